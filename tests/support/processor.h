// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Time that a thread was made to wait by nobody but the scheduler: what a bound on
// waiting for others must not count on a busy machine.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>

#include "base/clock.h"
#include "base/shm_object.h"

namespace support {

// How long this thread has waited for a processor so far, proc(5). 0 where the kernel
// does not say.
inline std::int64_t processor_wait_ns() {
  const possum::UniqueFd fd(open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
  char text[96] = {};
  long long waited = 0;
  if (pread(fd.get(), text, sizeof text - 1, 0) <= 0 ||
      std::sscanf(text, "%*d %lld", &waited) != 1) {
    return 0;
  }
  return waited;
}

// CLOCK_MONOTONIC without those waits: for differences within one thread.
inline std::int64_t own_time_ns() { return possum::monotonic_ns() - processor_wait_ns(); }

}  // namespace support
