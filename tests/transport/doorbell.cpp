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
using namespace layout;

namespace {

// What two processes share here, besides the semaphores.
struct Shared {
  alignas(64) DoorbellWords ping;
  alignas(64) DoorbellWords pong;
  alignas(64) std::atomic<std::uint64_t> sent;
  alignas(64) std::atomic<std::uint64_t> seen;
};

// A nameless object, inherited by fork(). Both units end with a semaphore.
class SharedPage {
 public:
  SharedPage() : fd_(memfd_create("possum", MFD_CLOEXEC)) {
    Error error;
    CHECK(fd_ && ftruncate(fd_.get(), static_cast<off_t>(2 * unit_bytes())) == 0);
    all_ = ShmObject::map(fd_.get(), 2 * unit_bytes(), Access::read_write, error);
    ping_ = SharedSemaphore(fd_.get(), 0, unit_bytes(), error);
    pong_ = SharedSemaphore(fd_.get(), unit_bytes(), unit_bytes(), error);
    CHECK(all_ && ping_ && pong_);
    ping().reset();
    pong().reset();
  }
  Shared* operator->() const { return reinterpret_cast<Shared*>(all_->data()); }
  Doorbell ping() const { return {(*this)->ping.waiting, ping_}; }
  Doorbell pong() const { return {(*this)->pong.waiting, pong_}; }
  sem_t& ping_semaphore() const { return ping_.get(); }
  // What others can write of it.
  std::atomic<std::uint64_t>& ping_bytes() const {
    return *reinterpret_cast<std::atomic<std::uint64_t>*>(all_->data() + unit_bytes() -
                                                          kSemSharedBytes);
  }
  int ping_value() const { return value_of(ping_); }
  bool low() const { return value_of(ping_) <= 2 && value_of(pong_) <= 2; }

 private:
  static int value_of(const SharedSemaphore& semaphore) {
    int value = -1;
    CHECK(sem_getvalue(&semaphore.get(), &value) == 0);
    return value;
  }

  UniqueFd fd_;
  std::shared_ptr<ShmObject> all_;
  SharedSemaphore ping_;
  SharedSemaphore pong_;
};

struct OneBell {
  SharedPage page;
  Doorbell bell = page.ping();
};

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
  Process child([&] {
    Doorbell ping = page.ping();
    Doorbell pong = page.pong();
    for (std::uint64_t n = 1; n <= rounds; ++n) {
      wait_for(ping, page->sent, n);
      page->seen.store(n, std::memory_order_seq_cst);
      pong.ring();
    }
  });
  Doorbell ping = page.ping();
  Doorbell pong = page.pong();
  for (std::uint64_t n = 1; n <= rounds; ++n) {
    page->sent.store(n, std::memory_order_seq_cst);
    ping.ring();
    wait_for(pong, page->seen, n);
    CHECK(page.low());
  }
  child.expect_status(0);
}

}  // namespace

TEST_F(OneBell, nobody_asleep_means_no_post) {
  for (int i = 0; i < 1000; ++i) CHECK(!bell.ring());
  CHECK(page.ping_value() == 0);
  bell.arm();
  bell.disarm();
  CHECK(!bell.ring());
}

TEST_F(OneBell, one_sleep_is_rung_once) {
  bell.arm();
  CHECK(bell.fall_asleep());
  CHECK(bell.ring());
  CHECK(!bell.ring());
  CHECK(page.ping_value() == 1);
  bell.arm();
  CHECK(page.ping_value() == 0);
}

// While the sleeper looks round a ring takes the flag back, and needs no system call.
TEST_F(OneBell, a_ring_before_the_sleep_is_no_post) {
  bell.arm();
  CHECK(!bell.rung() && page->ping.waiting == kLooking);
  CHECK(!bell.ring());
  CHECK(bell.rung() && page.ping_value() == 0);
  CHECK(!bell.fall_asleep());
  const std::int64_t before = monotonic_ns();
  bell.sleep(before + 5000 * kMs);
  CHECK(monotonic_ns() - before < 1000 * kMs);
}

// A sleeper that was killed leaves either state.
TEST_F(OneBell, a_dead_sleepers_flag_costs_one_ring) {
  for (const std::uint32_t left : {kAsleep, kLooking}) {
    page->ping.waiting = left;
    bell.ring();
    CHECK(page->ping.waiting == kNobody && !bell.ring());
  }
}

TEST_F(OneBell, sleep_ends_at_its_deadline) {
  bell.arm();
  const std::int64_t before = monotonic_ns();
  bell.sleep(before + 30 * kMs);
  const std::int64_t slept = monotonic_ns() - before;
  CHECK(slept >= 30 * kMs && slept < 5000 * kMs);
  CHECK(!bell.ring());  // no longer marked as asleep
}

TEST_F(OneBell, ring_self_ends_a_sleep_from_another_thread) {
  std::atomic<bool> stop{false};
  std::thread sleeper([&] {
    Doorbell mine = page.ping();
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
  Process child([&] {
    Doorbell bell = page.ping();
    for (std::uint64_t n = 1; n <= kRings; ++n) {
      page->sent.store(n, std::memory_order_seq_cst);
      bell.ring();
      if (page.ping_value() > 2) _exit(1);
    }
  });
  Doorbell bell = page.ping();
  for (std::uint64_t seen = 0; seen < kRings;) {
    wait_for(bell, page->sent, seen + 1);
    seen = page->sent.load(std::memory_order_seq_cst);
    CHECK(page.ping_value() <= 2);
  }
  child.expect_status(0);
}

TEST(signals_neither_end_nor_lengthen_sleeps) {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGALRM, &action, nullptr);  // no SA_RESTART
  const itimerval every_ms = {{0, 1000}, {0, 1000}};
  CHECK(setitimer(ITIMER_REAL, &every_ms, nullptr) == 0);
  {
    SharedPage page;
    Doorbell bell = page.ping();
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
    page.ping_bytes() =
        round < 8 ? std::uint64_t{0xff} << (8 * round) : std::uint64_t{random()};
    Doorbell bell = page.ping();
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

// All that peers share is written as fast as they can while the C library works with it.
TEST(semaphore_that_changes_in_use_neither_aborts_nor_hangs) {
  if (kSemSharedBytes == sizeof(sem_t)) {
    check::skip("here peers trust each other with it: PROTOCOL.md, section 12");
  }
  SharedPage page;
  Process child([&] {
    std::mt19937_64 random(7);
    for (;;) {
      page.ping_bytes() = random() % 2 ? random() : std::uint64_t{1} << 32;
      page->ping.waiting = 1;
    }
  });
  Doorbell bell = page.ping();
  const std::int64_t until = monotonic_ns() + 300 * kMs;
  while (monotonic_ns() < until) {
    bell.arm();
    bell.ring();
    bell.ring_self();
    const std::int64_t before = monotonic_ns();
    bell.sleep(before + 1 * kMs);
    CHECK(monotonic_ns() - before < 2000 * kMs);
  }
  child.kill();
}

// What the C library believes as it stands tells a shared semaphore from one that is not.
TEST(only_value_and_waiters_are_shared) {
  for (const unsigned value : {0u, 1u, 0x2d5u, 0x7fffffffu}) {
    SharedPage page;
    sem_t& semaphore = page.ping_semaphore();
    const sem_t fresh = fresh_semaphore(true, 0);
    CHECK(std::memcmp(&semaphore, &fresh, sizeof fresh) == 0);
    const sem_t shared = fresh_semaphore(true, value);
    const sem_t own = fresh_semaphore(false, value);
    constexpr std::size_t kShared = kSemSharedBytes;
    CHECK(kShared == sizeof(sem_t) || std::memcmp(&shared, &own, kShared) == 0);
    CHECK(std::memcmp(&shared, &own, sizeof shared) != 0);
    CHECK(sem_post(&semaphore) == 0 && sem_trywait(&semaphore) == 0);
    CHECK(sem_trywait(&semaphore) != 0 && errno == EAGAIN);
    page.ping_bytes() = ~std::uint64_t{0};
    CHECK(page.ping_value() != 0);
    page.ping().reset();
    CHECK(std::memcmp(&semaphore, &fresh, sizeof fresh) == 0);
  }
}

TEST(stuffed_semaphore_does_not_make_a_busy_wait) {
  SharedPage page;
  page->sent.store(0);
  Process child([&] {
    for (;;) {
      int value = 0;
      sem_getvalue(&page.ping_semaphore(), &value);
      if (value < 1000) sem_post(&page.ping_semaphore());
    }
  });
  Doorbell bell = page.ping();
  const std::int64_t until = monotonic_ns() + 200 * kMs;
  int sleeps = 0;
  while (monotonic_ns() < until) {
    bell.arm();
    bell.sleep(until);
    ++sleeps;
  }
  child.kill();
  CHECK(sleeps < 5000);  // 17 per 2 ms nap at most, about
}

TEST(a_spin_ends_with_what_it_waits_for) {
  Spin spin;
  int looks = 0;
  CHECK(spin.until([&] { return ++looks == 3; }));
  CHECK(looks == 3);
}

// How often it went to sleep at once before it looked round again.
int waits_without_a_look(Spin& spin) {
  for (int waits = 0;; ++waits) {
    bool looked = false;
    CHECK(!spin.until([&] {
      looked = true;
      return false;
    }));
    spin.slept(1000);
    if (looked) return waits;
  }
}

TEST(a_spin_in_vain_is_tried_less_and_less) {
  Spin spin;
  CHECK(waits_without_a_look(spin) == 0);
  for (int waits = 1; waits < 255; waits = 2 * waits + 1) {
    CHECK(waits_without_a_look(spin) == waits);
  }
  CHECK(waits_without_a_look(spin) == 255);
  CHECK(waits_without_a_look(spin) == 255);  // never given up
  for (int i = 0; i < 255; ++i) CHECK(!spin.until([] { return true; }));
  CHECK(spin.until([] { return true; }));  // it pays again
  CHECK(waits_without_a_look(spin) == 0);
  CHECK(waits_without_a_look(spin) == 1);
}

TEST(nobody_spins_for_the_next_picture_of_a_camera) {
  Spin spin;
  CHECK(waits_without_a_look(spin) == 0);
  CHECK(!spin.until([] { return true; }));
  for (int i = 0; i < 10; ++i) {
    spin.slept(16 * kMs);
    CHECK(!spin.until([] { return true; }));
  }
  spin.slept(1000);  // frames come fast now
  CHECK(spin.until([] { return true; }));
}

TEST(sem_image_is_repeatable_and_knows_the_value) {
  std::uint8_t one[kSemImageBytes];
  std::uint8_t two[kSemImageBytes];
  std::memset(one, 0xaa, sizeof one);
  std::memset(two, 0x55, sizeof two);
  semaphore_image(one);
  semaphore_image(two);
  CHECK(std::memcmp(one, two, sizeof one) == 0);
  sem_t semaphore;
  std::memcpy(&semaphore, one, sizeof semaphore);
  int value = 0;
  CHECK(sem_getvalue(&semaphore, &value) == 0);
  CHECK(value == static_cast<int>(kSemImageValue));
}
