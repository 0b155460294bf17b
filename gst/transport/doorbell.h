// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Sleeping until another process rings: a process-shared semaphore and a flag that says
// somebody sleeps. The words lie in memory that peers can write, so a ring may be lost
// or made up; every wait is bounded and its caller looks at the real state again. Before
// it sleeps a thread spins for a short while: two processes that hand over frames as fast
// as they can wait a microsecond or two for each other, and a sleep with its wake-up
// costs both of them several.
#pragma once

#include <cstdint>
#include <utility>

#include "base/clock.h"
#include "bell_core.h"
#include "layout.h"
#include "shared_semaphore.h"

namespace possum::transport {

// Spins before a sleep of one thread, where that has paid lately: a wait that lasts, as
// for the next picture of a camera, costs no processor time.
class Spin {
 public:
  // Looks for up to kSpinNs. True as soon as look() is; then there is no need to sleep.
  template <class Look>
  bool until(Look look) {
    if (skip_ > 0) {
      --skip_;
      return false;
    }
    const std::int64_t end_ns = monotonic_ns() + kSpinNs;
    do {
      for (int i = 0; i < kLooks; ++i) {
        if (look()) {
          failures_ = 0;
          return true;
        }
        pause();
      }
    } while (monotonic_ns() < end_ns);
    in_vain_ = true;
    return false;
  }

  // The thread has slept for so long.
  void slept(std::int64_t duration_ns) {
    const bool in_vain = std::exchange(in_vain_, false);
    if (duration_ns > kShortNs) {
      skip_ = 1;  // no hurry: the next one sleeps at once too
    } else if (in_vain) {
      // Perhaps there is one processor, and the peer runs because we slept.
      if (failures_ < kMostFailures) ++failures_;
      skip_ = (1u << failures_) - 1;
    }
  }

 private:
  // About what a sleep and a wake-up cost both sides together.
  static constexpr std::int64_t kSpinNs = 20'000;
  static constexpr std::int64_t kShortNs = 200'000;
  static constexpr int kLooks = 16;  // between two looks at the clock
  static constexpr unsigned kMostFailures = 8;

  static void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  bool in_vain_ = false;   // the last try, and no sleep since
  unsigned failures_ = 0;  // tries in a row that ended in a sleep
  unsigned skip_ = 0;      // waits that go to sleep at once
};

class Doorbell : public BellCore<std::atomic<std::uint32_t>, SharedSemaphore> {
 public:
  using BellCore::BellCore;
  // The flag is `words`, which outlive this; the semaphore ends unit `unit` of the object
  // that `fd` leads to.
  bool map(layout::DoorbellWords& words, int fd, std::size_t unit, Error& error);

  // Only while nobody can be sleeping on it.
  void reset();
  // Wakes the sleeper or makes its next sleep short, whatever the flag says. For the
  // process that sleeps here itself.
  void ring_self();
  // Until rung or deadline_ns (CLOCK_MONOTONIC), or a moment earlier. After arm() and a
  // look at the state, which is to be looked at again afterwards. One thread sleeps on a
  // doorbell.
  void sleep(std::int64_t deadline_ns);

 private:
  // Of the sleeping thread.
  int unannounced_ = 0;  // posts in a row that no ring went with
  Spin spin_;
};

}  // namespace possum::transport
