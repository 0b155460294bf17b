// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Looking for a moment before sleeping. Two processes that hand over frames as fast as
// they can wait a microsecond or two for each other, and a sleep with its wake-up costs
// both of them several.
#pragma once

#include <cstdint>
#include <utility>

#include "clock.h"

namespace possum {

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

}  // namespace possum
