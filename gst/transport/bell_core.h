// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Who wakes whom, without a system: the order of the flag and of the look at the state
// that makes a lost wake-up impossible. A template over its flag and its semaphore, so
// that the very code that ships runs under a model checker.
//
// Flag is an atomic 32-bit word; Semaphore provides
//   drain()  takes what was posted and not yet waited for
//   post()   true if it posted
#pragma once

#include <atomic>
#include <utility>

#include "crash_point.h"

namespace possum::transport {

template <class Flag, class Semaphore>
class BellCore {
 public:
  BellCore(Flag& waiting, Semaphore semaphore)
      : waiting_(&waiting), semaphore_(std::move(semaphore)) {}

  // Wakes the sleeper, if there is one: no system call otherwise. True if it posted.
  bool ring() {
    // seq_cst: pairs with arm(). Either this load sees the flag, or the sleeper's look at
    // the state, which follows its store of the flag, sees what was changed before.
    if (waiting_->load(std::memory_order_seq_cst) == 0) return false;
    if (waiting_->exchange(0, std::memory_order_seq_cst) == 0) return false;
    POSSUM_CRASH_POINT("ring.flag");
    const bool posted = semaphore_.post();
    POSSUM_CRASH_POINT("ring.post");
    return posted;
  }

  // The sleeper's side. arm(); look at the state that the ringer changes; then either
  // sleep or disarm().
  void arm() {
    semaphore_.drain();
    POSSUM_CRASH_POINT("bell.drain");
    waiting_->store(1, std::memory_order_seq_cst);  // pairs with ring()
    POSSUM_CRASH_POINT("bell.arm");
  }
  void disarm() {
    waiting_->store(0, std::memory_order_relaxed);
    POSSUM_CRASH_POINT("bell.disarm");
  }

  // Arms, then looks once more. True: there is no need to sleep, and it is disarmed.
  template <class Look>
  bool arm_unless(Look look) {
    arm();
    if (!look()) return false;
    disarm();
    return true;
  }

 protected:
  Flag* waiting_;
  Semaphore semaphore_;
};

}  // namespace possum::transport
