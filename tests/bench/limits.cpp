// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What the machine itself can do, and the plainest way there is, measured beside the
// contestants. One line of JSON: what the writing process measured, and each reader.
//
//   bench-limits wake READERS FRAMES RATE CORE CORE
//                                           sem_post() to the return of sem_wait() in
//                                           other processes, all asleep; no frame. The
//                                           cores of the writer and of the readers, -1:
//                                           any
//   bench-limits copy BYTES SECONDS         memcpy() over as many buffers as a pool has
//   bench-limits semaphore BYTES READERS FRAMES RATE look|copy
//                                           one shared array guarded by a semaphore:
//                                           copied in, copied out or looked at there;
//                                           readers that find nothing new sleep for a
//                                           millisecond
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>

#include "usage.h"

namespace {

constexpr int kBuffers = 16;
constexpr int kReaders = 32;
constexpr int kWarmUp = 16;  // frames, of those that are paced

struct Shared {
  sem_t guard;
  sem_t bells[kReaders];
  std::int64_t sent_ns;
  std::uint64_t count;
  bool over;
  char reports[kReaders][512];
};

Shared* share(std::size_t extra) {
  void* memory = mmap(nullptr, sizeof(Shared) + extra, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  auto* shared = new (memory) Shared{};
  sem_init(&shared->guard, 1, 1);
  for (sem_t& bell : shared->bells) sem_init(&bell, 1, 0);
  return shared;
}

void wait(sem_t* semaphore) {
  while (sem_wait(semaphore) != 0) {
  }
}

// What one process measures: its frames after the first few.
class Measure {
 public:
  void note(std::int64_t ns) {
    // As many frames as periods: from the last that is not measured.
    if (++seen_ == kWarmUp) from_ = bench::Usage::now();
    if (seen_ <= kWarmUp) return;
    ++noted_;
    ns_.add(ns);
  }
  void miss(std::uint64_t frames) {
    if (noted_ > 0) missed_ += frames;
  }
  bench::Report report() {
    bench::Report report;
    report.add(bench::Usage::now() - from_, static_cast<double>(noted_));
    report.add("missed", static_cast<double>(missed_));
    report.add_latency(ns_);
    report.add_memory();
    return report;
  }

 private:
  int seen_ = 0;
  int noted_ = 0;
  std::uint64_t missed_ = 0;
  bench::Usage from_;
  bench::Samples ns_;
};

// Forks the readers, writes at a pace, and prints what all have measured.
int run_readers(Shared* shared, int readers, int frames, int rate,
                const std::function<void(int reader, Measure&)>& read,
                const std::function<void(bool last)>& write) {
  for (int i = 0; i < readers; ++i) {
    if (fork() != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    Measure measure;
    read(i, measure);
    std::snprintf(shared->reports[i], sizeof shared->reports[i], "%s",
                  measure.report().text().c_str());
    _exit(0);
  }
  Measure measure;
  std::int64_t due = bench::now_ns();
  for (int i = 1; i <= frames + kWarmUp; ++i) {
    due += 1'000'000'000 / rate;
    const timespec t = {due / 1'000'000'000, due % 1'000'000'000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, nullptr) == EINTR) {
    }
    const std::int64_t begin = bench::now_ns();
    write(i == frames + kWarmUp);
    measure.note(bench::now_ns() - begin);
  }
  std::string all = measure.report().text();
  while (::wait(nullptr) > 0) {
  }
  std::printf("{\"produced\": %s, \"received\": [", all.c_str());
  for (int i = 0; i < readers; ++i)
    std::printf("%s%s", i ? ", " : "", shared->reports[i]);
  std::printf("]}\n");
  return 0;
}

void stay_on(int core) {
  if (core < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(core), &set);
  sched_setaffinity(0, sizeof set, &set);
}

int measure_wake(int readers, int frames, int rate, int writers_core, int readers_core) {
  Shared* shared = share(0);
  stay_on(writers_core);
  return run_readers(
      shared, readers, frames, rate,
      [&](int reader, Measure& measure) {
        stay_on(readers_core);
        for (bool over = false; !over;) {
          wait(&shared->bells[reader]);
          over = shared->over;
          measure.note(bench::now_ns() - shared->sent_ns);
        }
      },
      [&](bool last) {
        shared->over = last;
        shared->sent_ns = bench::now_ns();
        for (int i = 0; i < readers; ++i) sem_post(&shared->bells[i]);
      });
}

int measure_semaphore(std::size_t bytes, int readers, int frames, int rate, bool copy) {
  Shared* shared = share(bytes);
  auto* const frame = reinterpret_cast<std::byte*>(shared + 1);
  const std::unique_ptr<std::byte[]> own(new std::byte[bytes]);
  bench::draw_background(own.get(), bytes, 0x0101010101010101);
  return run_readers(
      shared, readers, frames, rate,
      [&](int, Measure& measure) {
        std::uint64_t seen = 0;
        for (bool over = false; !over;) {
          bench::Stamp stamp{};
          wait(&shared->guard);
          const bool fresh = shared->count != seen;
          if (fresh) measure.miss(shared->count - seen - 1);
          seen = shared->count;
          over = shared->over;
          if (fresh && copy) std::memcpy(own.get(), frame, bytes);
          if (fresh && !bench::read_stamp(copy ? own.get() : frame, bytes, stamp))
            abort();
          sem_post(&shared->guard);
          if (fresh) {
            measure.note(bench::now_ns() - stamp.sent_ns);
          } else {
            usleep(1000);
          }
        }
      },
      [&](bool last) {
        bench::Stamp stamp{};
        stamp.magic = bench::kMagic;
        stamp.seq = shared->count + 1;
        stamp.sent_ns = bench::now_ns();
        bench::write_stamp(own.get(), bytes, stamp);
        wait(&shared->guard);
        std::memcpy(frame, own.get(), bytes);
        ++shared->count;
        shared->over = last;
        sem_post(&shared->guard);
      });
}

int measure_copy(std::size_t bytes, double seconds) {
  std::vector<std::unique_ptr<std::byte[]>> from;
  std::vector<std::unique_ptr<std::byte[]>> to;
  for (int i = 0; i < kBuffers; ++i) {
    from.emplace_back(new std::byte[bytes]);
    to.emplace_back(new std::byte[bytes]);
    std::memset(from.back().get(), i, bytes);
    std::memset(to.back().get(), i, bytes);
  }
  const bench::Usage start = bench::Usage::now();
  const auto end = start.wall_ns + static_cast<std::int64_t>(seconds * 1e9);
  int count = 0;
  while (bench::now_ns() < end) {
    for (std::size_t i = 0; i < kBuffers; ++i, ++count) {
      std::memcpy(to[i].get(), from[i].get(), bytes);
      asm volatile("" ::: "memory");
    }
  }
  bench::Report report;
  report.add(bench::Usage::now() - start, count);
  std::printf("{\"produced\": %s, \"received\": []}\n", report.text().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  const auto number = [&](int i) { return std::atoi(argv[i]); };
  if (what == "wake" && argc == 7) {
    return measure_wake(number(2), number(3), number(4), number(5), number(6));
  }
  if (what == "copy" && argc == 4) {
    return measure_copy(std::strtoul(argv[2], nullptr, 10), std::atof(argv[3]));
  }
  if (what == "semaphore" && argc == 7) {
    return measure_semaphore(std::strtoul(argv[2], nullptr, 10), number(3), number(4),
                             number(5), argv[6] == std::string("copy"));
  }
  std::fprintf(stderr, "see the top of limits.cpp\n");
  return 2;
}
