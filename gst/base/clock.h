// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#pragma once

#include <time.h>

#include <cstdint>

namespace possum {

inline constexpr std::int64_t kNanosecondsPerSecond = 1'000'000'000;
inline constexpr std::int64_t kMs = 1'000'000;  // nanoseconds

// CLOCK_MONOTONIC in nanoseconds: one clock for all processes of a machine, but for those
// in a time namespace of their own.
inline std::int64_t monotonic_ns() {
  timespec t{};
  clock_gettime(CLOCK_MONOTONIC, &t);
  return std::int64_t{t.tv_sec} * kNanosecondsPerSecond + t.tv_nsec;
}

inline timespec to_timespec(std::int64_t ns) {
  if (ns < 0) ns = 0;
  return {static_cast<time_t>(ns / kNanosecondsPerSecond),
          static_cast<long>(ns % kNanosecondsPerSecond)};
}

}  // namespace possum
