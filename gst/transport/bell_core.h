// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Who wakes whom, without a system: the order of the flag and of the look at the state
// that makes a lost wake-up impossible. A template over its flag and its semaphore, so
// that the very code that ships runs under a model checker.
//
// A sleeper arms the bell, looks at the state that its ringers change, and then sleeps.
// While it is looking, a ringer only takes the flag back, which it notices before it
// falls asleep; asleep it needs a post, which is a system call on both sides.
//
// Flag is an atomic 32-bit word (layout::BellState); Semaphore provides
//   drain()  takes what was posted and not yet waited for
//   post()   true if it posted
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

#include "base/crash_point.h"
#include "layout.h"

namespace possum::transport {

template <class Flag, class Semaphore>
class BellCore {
 public:
  BellCore() = default;
  BellCore(Flag& waiting, Semaphore semaphore)
      : waiting_(&waiting), semaphore_(std::move(semaphore)) {}

  // Wakes the sleeper, if there is one: no system call otherwise. True if it posted.
  bool ring() {
    // seq_cst: pairs with arm(). Either this load sees the flag, or the sleeper's look at
    // the state, which follows its store of the flag, sees what was changed before.
    if (waiting_->load(std::memory_order_seq_cst) == layout::kNobody) return false;
    // What the load saw may be old; the exchange says whether the sleeper is asleep.
    const std::uint32_t was =
        waiting_->exchange(layout::kNobody, std::memory_order_seq_cst);
    if (was == layout::kNobody || was == layout::kLooking) return false;
    POSSUM_CRASH_POINT("ring.flag");
    const bool posted = semaphore_.post();
    POSSUM_CRASH_POINT("ring.post");
    return posted;
  }

  // The sleeper's side. arm(); look at the state that the ringer changes; then either
  // disarm() or, if fall_asleep(), wait for the semaphore. Where fall_asleep() fails, and
  // after each sleep, the state must be looked at again, and before the next sleep the
  // bell be armed again.
  void arm() {
    semaphore_.drain();
    POSSUM_CRASH_POINT("bell.drain");
    waiting_->store(layout::kLooking, std::memory_order_seq_cst);  // pairs with ring()
    POSSUM_CRASH_POINT("bell.arm");
  }
  void disarm() {
    waiting_->store(layout::kNobody, std::memory_order_relaxed);
    POSSUM_CRASH_POINT("bell.disarm");
  }
  // Has somebody rung since arm()? A hint: fall_asleep() says for sure.
  bool rung() const {
    return waiting_->load(std::memory_order_relaxed) == layout::kNobody;
  }
  // False: somebody has rung since arm().
  bool fall_asleep() {
    std::uint32_t looking = layout::kLooking;
    const bool asleep = waiting_->compare_exchange_strong(
        looking, layout::kAsleep, std::memory_order_relaxed, std::memory_order_relaxed);
    POSSUM_CRASH_POINT("bell.asleep");
    return asleep;
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
  Flag* waiting_ = nullptr;
  Semaphore semaphore_{};
};

}  // namespace possum::transport
