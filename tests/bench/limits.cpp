// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What the machine itself can do, measured beside the contestants:
//
//   bench-limits wake N RATE        sem_post() to the return of sem_wait() in another
//                                   process, N times at RATE per second, both asleep
//   bench-limits copy BYTES N       memcpy() over as many buffers as a pool has
//   bench-limits semaphore BYTES N RATE  one shared buffer guarded by a semaphore, copied
//                                   in and copied out, the reader polling each
//                                   millisecond
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "usage.h"

namespace {

constexpr int kBuffers = 16;

struct Shared {
  sem_t guard;
  sem_t bell;
  std::int64_t sent_ns;
  std::uint64_t count;
  bool over;
};

Shared* share(std::size_t extra) {
  void* memory = mmap(nullptr, sizeof(Shared) + extra, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) std::abort();
  auto* shared = new (memory) Shared{};
  sem_init(&shared->guard, 1, 1);
  sem_init(&shared->bell, 1, 0);
  return shared;
}

void wait(sem_t* semaphore) {
  while (sem_wait(semaphore) != 0) {
  }
}

void sleep_until(std::int64_t ns) {
  const timespec due = {ns / 1'000'000'000, ns % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr) == EINTR) {
  }
}

int join(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int measure_wake(int count, int rate) {
  Shared* shared = share(0);
  const pid_t child = fork();
  if (child == 0) {
    std::vector<std::int64_t> latency;
    for (int i = 0; i < count; ++i) {
      wait(&shared->bell);
      latency.push_back(bench::now_ns() - shared->sent_ns);
    }
    bench::Report report;
    report.add_latency(latency);
    report.print();
    _exit(0);
  }
  std::int64_t due = bench::now_ns();
  for (int i = 0; i < count; ++i) {
    due += 1'000'000'000 / rate;
    sleep_until(due);
    shared->sent_ns = bench::now_ns();
    sem_post(&shared->bell);
  }
  return join(child);
}

int measure_copy(std::size_t bytes, int count) {
  std::vector<std::unique_ptr<std::byte[]>> from;
  std::vector<std::unique_ptr<std::byte[]>> to;
  for (int i = 0; i < kBuffers; ++i) {
    from.emplace_back(new std::byte[bytes]);
    to.emplace_back(new std::byte[bytes]);
    std::memset(from.back().get(), i, bytes);
    std::memset(to.back().get(), i, bytes);
  }
  const bench::Usage start = bench::Usage::now();
  for (int i = 0; i < count; ++i) {
    std::memcpy(to[static_cast<std::size_t>(i % kBuffers)].get(),
                from[static_cast<std::size_t>(i % kBuffers)].get(), bytes);
    asm volatile("" ::: "memory");
  }
  bench::Report report;
  report.add(bench::Usage::now() - start, count);
  report.add("received", count);
  report.print();
  return 0;
}

int measure_semaphore(std::size_t bytes, int count, int rate) {
  Shared* shared = share(bytes);
  auto* const frame = reinterpret_cast<std::byte*>(shared + 1);
  const pid_t child = fork();
  if (child == 0) {
    std::vector<std::int64_t> latency;
    const std::unique_ptr<std::byte[]> own(new std::byte[bytes]);
    std::uint64_t seen = 0;
    const bench::Usage start = bench::Usage::now();
    for (bool over = false; !over;) {
      wait(&shared->guard);
      const bool fresh = shared->count != seen;
      seen = shared->count;
      over = shared->over;
      if (fresh) std::memcpy(own.get(), frame, bytes);
      const std::int64_t sent = shared->sent_ns;
      sem_post(&shared->guard);
      if (fresh) {
        latency.push_back(bench::now_ns() - sent);
      } else {
        usleep(1000);
      }
    }
    bench::Report report;
    const auto received = static_cast<double>(latency.size());
    report.add(bench::Usage::now() - start, received);
    report.add_latency(latency);
    report.add("received", received);
    report.print();
    _exit(0);
  }
  const std::unique_ptr<std::byte[]> own(new std::byte[bytes]);
  std::memset(own.get(), 1, bytes);
  std::int64_t due = bench::now_ns();
  for (int i = 0; i < count; ++i) {
    if (rate > 0) sleep_until(due += 1'000'000'000 / rate);
    wait(&shared->guard);
    shared->sent_ns = bench::now_ns();
    std::memcpy(frame, own.get(), bytes);
    ++shared->count;
    shared->over = i + 1 == count;
    sem_post(&shared->guard);
  }
  return join(child);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc > 1 ? argv[1] : "";
  const auto number = [&](int i) { return i < argc ? std::atol(argv[i]) : 0; };
  if (what == "wake" && argc == 4) {
    return measure_wake(static_cast<int>(number(2)), static_cast<int>(number(3)));
  }
  if (what == "copy" && argc == 4) {
    return measure_copy(static_cast<std::size_t>(number(2)), static_cast<int>(number(3)));
  }
  if (what == "semaphore" && argc == 5) {
    return measure_semaphore(static_cast<std::size_t>(number(2)),
                             static_cast<int>(number(3)), static_cast<int>(number(4)));
  }
  std::fprintf(stderr,
               "bench-limits wake N RATE | copy BYTES N | semaphore BYTES N RATE\n");
  return 2;
}
