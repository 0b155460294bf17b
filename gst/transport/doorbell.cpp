// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "doorbell.h"

#include <time.h>

#include <algorithm>

#include "base/clock.h"
#include "control.h"

namespace possum::transport {
namespace {

constexpr int kMaxUnannounced = 16;
constexpr std::int64_t kNapNs = 2'000'000;

}  // namespace

bool Doorbell::map(layout::DoorbellWords& words, int fd, std::size_t unit, Error& error) {
  waiting_ = &words.waiting;
  semaphore_ = SharedSemaphore(fd, unit * unit_bytes(), unit_bytes(), error);
  return static_cast<bool>(semaphore_);
}

void Doorbell::reset() {
  waiting_->store(layout::kNobody, std::memory_order_relaxed);
  POSSUM_CRASH_POINT("bell.init-flag");
  semaphore_.reset();
  POSSUM_CRASH_POINT("bell.init");
}

void Doorbell::ring_self() {
  waiting_->exchange(layout::kNobody, std::memory_order_seq_cst);
  POSSUM_CRASH_POINT("bell.self-flag");
  semaphore_.post();
  POSSUM_CRASH_POINT("bell.self-post");
}

void Doorbell::sleep(std::int64_t deadline_ns) {
  if (spin_.until([this] { return rung(); })) return;
  const std::int64_t before_ns = monotonic_ns();
  // Stuffed or scribbled over by a peer: a value that never runs out would make this a
  // busy wait.
  if (!semaphore_.intact() || unannounced_ >= kMaxUnannounced) {
    unannounced_ = 0;
    const timespec nap =
        to_timespec(std::clamp<std::int64_t>(deadline_ns - before_ns, 0, kNapNs));
    nanosleep(&nap, nullptr);
    return;
  }
  if (!fall_asleep()) return;
  const bool posted = semaphore_.wait(deadline_ns);
  POSSUM_CRASH_POINT("bell.wait");
  unannounced_ = posted && !rung() ? unannounced_ + 1 : 0;
  disarm();
  spin_.slept(monotonic_ns() - before_ns);
}

}  // namespace possum::transport
