// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What must not grow however long a process runs: its descriptors, its private memory,
// its mappings of a channel, and the semaphores in it. Include it after check.h.
#pragma once

#include <algorithm>
#include <fstream>

#include "support/transport.h"

namespace support {

inline std::size_t open_descriptors() {
  std::size_t number = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/self/fd")) {
    ++number;
  }
  return number;
}

inline std::size_t channel_mappings() {
  std::ifstream maps("/proc/self/maps");
  std::size_t number = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/dev/shm/possum-") != std::string::npos) ++number;
  }
  return number;
}

// Resident private memory; shared memory comes and goes with the frames.
inline std::size_t private_kb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoul(line.substr(8));
  }
  return 0;
}

// Freed memory that AddressSanitizer keeps back looks like growth.
#ifdef __SANITIZE_ADDRESS__
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

// Has it been posted no more often than happens in peace?
inline bool low_semaphore(const possum::transport::ControlMap& control, unsigned unit) {
  constexpr std::size_t kShared = possum::transport::layout::kSemSharedBytes;
  sem_t copy = possum::transport::fresh_semaphore(true, 0);
  std::memcpy(
      static_cast<void*>(&copy),
      control.object().data() + (unit + 1) * possum::transport::unit_bytes() - kShared,
      kShared);
  int value = 0;
  return sem_getvalue(&copy, &value) == 0 && value <= 2;
}

// No semaphore of the channel may ever fill up. False: there is no channel now.
inline bool low_semaphores(const std::string& channel, bool& low) {
  possum::transport::OpenControl open;
  Error error;
  if (open_control({.channel = channel}, open, error) !=
      possum::transport::OpenStatus::ok) {
    return false;
  }
  low = true;
  for (unsigned unit = possum::transport::layout::kRoomUnit;
       unit < possum::transport::layout::kUnits; ++unit) {
    low = low && low_semaphore(open.control, unit);
  }
  return true;
}

// Samples descriptors and memory; what there is after some samples must do for ever.
class Growth {
 public:
  void sample() {
    const std::size_t descriptors = open_descriptors();
    const std::size_t kb = private_kb();
    most_kb_ = std::max(most_kb_, kb);
    if (++samples_ < kWarmUp) return;
    if (samples_ == kWarmUp) {
      descriptors_ = descriptors;
      kb_ = kb;
    }
    CHECK(descriptors <= descriptors_);
    CHECK(kSanitized || kb <= kb_ + kSlackKb);
  }
  // "KB kB, at most KB, N descriptors, N samples"
  std::string text() const {
    return std::to_string(kb_) + " kB, at most " + std::to_string(most_kb_) + ", " +
           std::to_string(descriptors_) + " descriptors, " + std::to_string(samples_) +
           " samples";
  }
  bool tells_something() const { return samples_ > 2 * kWarmUp; }

 private:
  static constexpr unsigned kWarmUp = 10;
  static constexpr std::size_t kSlackKb = 512;
  unsigned samples_ = 0;
  std::size_t descriptors_ = 0;
  std::size_t kb_ = 0;
  std::size_t most_kb_ = 0;
};

}  // namespace support
