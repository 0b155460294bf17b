// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What must not grow however long a process runs: its descriptors, its private memory,
// its mappings of a channel, and the semaphores in it. Include it after check.h.
#pragma once

#include "support/transport.h"

namespace support {

// Has it been posted no more often than happens in peace?
inline bool low_semaphore(const ControlMap& control, unsigned unit) {
  constexpr std::size_t kShared = layout::kSemSharedBytes;
  sem_t copy = fresh_semaphore(true, 0);
  std::memcpy(static_cast<void*>(&copy),
              control.object().data() + (unit + 1) * unit_bytes() - kShared, kShared);
  int value = 0;
  return sem_getvalue(&copy, &value) == 0 && value <= 2;
}

// No semaphore of the channel may ever fill up. False: there is no channel now.
inline bool low_semaphores(const std::string& channel, bool& low) {
  OpenControl open;
  Error error;
  if (open_control({.channel = channel}, open, error) != OpenStatus::ok) {
    return false;
  }
  low = true;
  for (unsigned unit = layout::kRoomUnit; unit < layout::kUnits; ++unit) {
    low = low && low_semaphore(open.control, unit);
  }
  return true;
}

// Samples descriptors and memory; what there is after some samples must do for ever, but
// for a little more in passing.
class Growth {
 public:
  explicit Growth(std::size_t slack_kib = 512, std::size_t slack_descriptors = 0)
      : slack_kib_(slack_kib), slack_descriptors_(slack_descriptors) {}
  // Takes a sample where the last one is 100 ms old. False: something has grown.
  bool sample(std::int64_t now_ns) {
    if (now_ns < next_ns_) return true;
    next_ns_ = now_ns + kIntervalNs;
    const std::size_t descriptors = open_descriptors().size();
    const std::size_t kib = private_kib();
    if (++samples_ < kWarmUp) return true;
    if (samples_ == kWarmUp) {
      descriptors_ = descriptors;
      kib_ = kib;
    }
    return descriptors <= descriptors_ + slack_descriptors_ &&
           (kBlind || kib <= kib_ + slack_kib_);
  }
  // Has it had time to?
  bool tells_something() const { return samples_ > 2 * kWarmUp; }

 private:
  // An emulator's memory is its own.
  static inline const bool kBlind = kSanitized || std::getenv("MESON_EXE_WRAPPER");
  static constexpr unsigned kWarmUp = 10;
  static constexpr std::int64_t kIntervalNs = 100 * kMs;
  const std::size_t slack_kib_;
  const std::size_t slack_descriptors_;
  std::int64_t next_ns_ = 0;
  unsigned samples_ = 0;
  std::size_t descriptors_ = 0;
  std::size_t kib_ = 0;
};

}  // namespace support
