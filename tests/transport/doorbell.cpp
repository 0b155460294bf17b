// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The doorbell between two processes: no ring is lost, the semaphore does not fill up,
// and neither signals nor a peer's scribbling stop or crash the sleeper.
#include "transport/doorbell.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/time.h>

#include <atomic>
#include <cerrno>
#include <thread>

#include "support/transport.h"

using namespace support;
using possum::Doorbell;
using possum::monotonic_ns;

namespace {

// What two processes share here, besides the doorbell.
struct Shared {
  alignas(64) possum::layout::DoorbellWords ping;
  alignas(64) possum::layout::DoorbellWords pong;
  alignas(64) std::atomic<std::uint64_t> sent;
  alignas(64) std::atomic<std::uint64_t> seen;
};

// Anonymous and shared: inherited by fork().
class SharedPage {
 public:
  SharedPage()
      : shared_(static_cast<Shared*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
                                          MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    Doorbell(shared_->ping).init();
    Doorbell(shared_->pong).init();
  }
  ~SharedPage() { munmap(shared_, 4096); }
  Shared* operator->() const { return shared_; }

 private:
  Shared* shared_;
};

int value_of(possum::layout::DoorbellWords& words) {
  int value = -1;
  CHECK(sem_getvalue(&words.sem, &value) == 0);
  return value;
}

pid_t in_child(const std::function<void()>& body) {
  const pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    _exit(0);
  }
  return pid;
}
void expect_success(pid_t pid) {
  int status = 0;
  pid_t ended;
  do {
    ended = waitpid(pid, &status, 0);
  } while (ended < 0 && errno == EINTR);  // a test here lets signals rain
  CHECK(ended == pid && status == 0);
}

// The sleeper's loop as the transport writes it. A ring that is lost shows as a sleep
// that lasts until its deadline, which no ring here comes near.
void wait_for(Doorbell& bell, const std::atomic<std::uint64_t>& number,
              std::uint64_t wanted) {
  while (number.load(std::memory_order_seq_cst) < wanted) {
    bell.arm();
    if (number.load(std::memory_order_seq_cst) >= wanted) {
      bell.disarm();
      return;
    }
    const std::int64_t before = monotonic_ns();
    bell.sleep(before + 5000 * kMs);
    CHECK(monotonic_ns() - before < 4000 * kMs);
  }
}

void ping_pong(std::uint64_t rounds) {
  SharedPage page;
  const pid_t child = in_child([&] {
    Doorbell ping(page->ping);
    Doorbell pong(page->pong);
    for (std::uint64_t n = 1; n <= rounds; ++n) {
      wait_for(ping, page->sent, n);
      page->seen.store(n, std::memory_order_seq_cst);
      pong.ring();
    }
  });
  Doorbell ping(page->ping);
  Doorbell pong(page->pong);
  for (std::uint64_t n = 1; n <= rounds; ++n) {
    page->sent.store(n, std::memory_order_seq_cst);
    ping.ring();
    wait_for(pong, page->seen, n);
    CHECK(value_of(page->ping) <= 2 && value_of(page->pong) <= 2);
  }
  expect_success(child);
}

}  // namespace

TEST(nobody_asleep_means_no_post) {
  SharedPage page;
  Doorbell bell(page->ping);
  for (int i = 0; i < 1000; ++i) CHECK(!bell.ring());
  CHECK(value_of(page->ping) == 0);
  bell.arm();
  bell.disarm();
  CHECK(!bell.ring());
}

TEST(one_sleep_is_rung_once) {
  SharedPage page;
  Doorbell bell(page->ping);
  bell.arm();
  CHECK(bell.ring());
  CHECK(!bell.ring());
  const std::int64_t before = monotonic_ns();
  bell.sleep(before + 5000 * kMs);
  CHECK(monotonic_ns() - before < 1000 * kMs);
  CHECK(value_of(page->ping) == 0);
}

TEST(sleep_ends_at_its_deadline) {
  SharedPage page;
  Doorbell bell(page->ping);
  bell.arm();
  const std::int64_t before = monotonic_ns();
  bell.sleep(before + 30 * kMs);
  const std::int64_t slept = monotonic_ns() - before;
  CHECK(slept >= 30 * kMs && slept < 5000 * kMs);
  CHECK(!bell.ring());  // no longer marked as asleep
}

TEST(ring_self_ends_a_sleep_from_another_thread) {
  SharedPage page;
  Doorbell bell(page->ping);
  std::atomic<bool> stop{false};
  std::thread sleeper([&] {
    Doorbell mine(page->ping);
    while (!stop.load()) {
      mine.arm();
      if (stop.load()) break;
      const std::int64_t before = monotonic_ns();
      mine.sleep(before + 5000 * kMs);
      CHECK(monotonic_ns() - before < 4000 * kMs);
    }
  });
  stop.store(true);
  bell.ring_self();
  sleeper.join();
}

TEST(no_wake_up_is_lost_between_two_processes) { ping_pong(40'000); }

TEST(many_rings_do_not_fill_the_semaphore) {
  constexpr std::uint64_t kRings = 400'000;
  SharedPage page;
  const pid_t child = in_child([&] {
    Doorbell bell(page->ping);
    for (std::uint64_t n = 1; n <= kRings; ++n) {
      page->sent.store(n, std::memory_order_seq_cst);
      bell.ring();
      if (value_of(page->ping) > 2) _exit(1);
    }
  });
  Doorbell bell(page->ping);
  for (std::uint64_t seen = 0; seen < kRings;) {
    wait_for(bell, page->sent, seen + 1);
    seen = page->sent.load(std::memory_order_seq_cst);
    CHECK(value_of(page->ping) <= 2);
  }
  expect_success(child);
}

TEST(signals_neither_end_nor_lengthen_sleeps) {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGALRM, &action, nullptr);  // no SA_RESTART
  const itimerval every_ms = {{0, 1000}, {0, 1000}};
  CHECK(setitimer(ITIMER_REAL, &every_ms, nullptr) == 0);
  {
    SharedPage page;
    Doorbell bell(page->ping);
    bell.arm();
    const std::int64_t before = monotonic_ns();
    bell.sleep(before + 100 * kMs);
    const std::int64_t slept = monotonic_ns() - before;
    CHECK(slept >= 100 * kMs && slept < 5000 * kMs);
  }
  ping_pong(5'000);
  const itimerval off{};
  setitimer(ITIMER_REAL, &off, nullptr);
}

TEST(scribbled_semaphore_neither_aborts_nor_hangs) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 40; ++round) {
    SharedPage page;
    auto* bytes = reinterpret_cast<unsigned char*>(&page->ping.sem);
    if (round < static_cast<int>(sizeof(sem_t))) {
      bytes[round] ^= 0xff;
    } else {
      for (std::size_t i = 0; i < sizeof(sem_t); ++i) {
        bytes[i] = static_cast<unsigned char>(random());
      }
    }
    Doorbell bell(page->ping);
    bell.ring();
    bell.arm();
    bell.ring();
    bell.ring_self();
    bell.arm();
    const std::int64_t before = monotonic_ns();
    bell.sleep(before + 5 * kMs);
    CHECK(monotonic_ns() - before < 2000 * kMs);
  }
}

TEST(stuffed_semaphore_does_not_make_a_busy_wait) {
  SharedPage page;
  page->sent.store(0);
  const pid_t child = in_child([&] {
    for (;;) {
      int value = 0;
      sem_getvalue(&page->ping.sem, &value);
      if (value < 1000) sem_post(&page->ping.sem);
    }
  });
  Doorbell bell(page->ping);
  const std::int64_t until = monotonic_ns() + 200 * kMs;
  int sleeps = 0;
  while (monotonic_ns() < until) {
    bell.arm();
    bell.sleep(until);
    ++sleeps;
  }
  ::kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  CHECK(sleeps < 5000);  // 17 per 2 ms nap at most, about
}

TEST(sem_image_is_repeatable_and_knows_the_value) {
  std::uint8_t one[possum::layout::kSemImageBytes];
  std::uint8_t two[possum::layout::kSemImageBytes];
  std::memset(one, 0xaa, sizeof one);
  std::memset(two, 0x55, sizeof two);
  possum::semaphore_image(one);
  possum::semaphore_image(two);
  CHECK(std::memcmp(one, two, sizeof one) == 0);
  sem_t semaphore;
  std::memcpy(&semaphore, one, sizeof semaphore);
  int value = 0;
  CHECK(sem_getvalue(&semaphore, &value) == 0);
  CHECK(value == static_cast<int>(possum::layout::kSemImageValue));
}
