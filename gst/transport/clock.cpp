// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "clock.h"

#include <filesystem>
#include <fstream>
#include <string>

namespace possum {

// /proc/PID/timens_offsets speaks of the namespace that children get. A process that
// called unshare() and has not forked yet is in another one; what its clock is ahead by
// cannot be known.
std::int64_t clock_offset_ns() {
  namespace fs = std::filesystem;
  std::error_code none;
  if (fs::read_symlink("/proc/self/ns/time", none) !=
      fs::read_symlink("/proc/self/ns/time_for_children", none)) {
    return 0;
  }
  std::ifstream file("/proc/self/timens_offsets");
  std::string clock;
  std::int64_t seconds = 0;
  std::int64_t nanoseconds = 0;
  while (file >> clock >> seconds >> nanoseconds) {
    if (clock == "monotonic") return seconds * kNanosecondsPerSecond + nanoseconds;
  }
  return 0;
}

}  // namespace possum
