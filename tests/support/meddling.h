// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Other threads at the worst moment, made certain: what they do runs where the library is
// between two steps. Also how to see that a wait sleeps. Include it in one source file.
#pragma once

#include <dlfcn.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include <functional>
#include <utility>

#include "support/check.h"
#include "support/transport.h"

namespace support {

// Between what interrupt(true) says to those who look and what wakes those who sleep: it
// writes eight bytes to an eventfd.
inline std::function<void()> before_wake_up;

// Before the thread that sets it takes a mutex again, the first that it let go of since.
inline thread_local std::function<void()> before_relock;
inline thread_local pthread_mutex_t* let_go = nullptr;

// Of all threads of this process.
inline std::int64_t processor_ns() {
  timespec time;
  CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0);
  return time.tv_sec * 1000 * kMs + time.tv_nsec;
}

constexpr std::int64_t kSleepNs = 300 * kMs;

// wait(deadline_ns) takes kSleepNs and nearly no processor time, however busy the machine
// is.
inline void check_sleeps(const std::function<void(std::int64_t deadline_ns)>& wait) {
  const std::int64_t began = processor_ns();
  const std::int64_t deadline = monotonic_ns() + kSleepNs;
  wait(deadline);
  CHECK(monotonic_ns() >= deadline - kMs);
  CHECK(processor_ns() - began < kSleepNs / 10);
}

// Runs it in a forked child, which ends without destructors.
inline void in_child(const std::function<void()>& body) {
  CHECK(status_of_fork(body) == 0);
}

}  // namespace support

extern "C" int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  static const auto real = reinterpret_cast<int (*)(pthread_mutex_t*)>(
      dlsym(RTLD_NEXT, "pthread_mutex_unlock"));
  if (support::before_relock && support::let_go == nullptr) support::let_go = mutex;
  return real(mutex);
}

extern "C" int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  static const auto real =
      reinterpret_cast<int (*)(pthread_mutex_t*)>(dlsym(RTLD_NEXT, "pthread_mutex_lock"));
  if (support::before_relock && support::let_go == mutex) {
    support::let_go = nullptr;
    std::exchange(support::before_relock, nullptr)();
  }
  return real(mutex);
}

extern "C" ssize_t write(int fd, const void* data, size_t bytes) {
  static const auto real =
      reinterpret_cast<ssize_t (*)(int, const void*, size_t)>(dlsym(RTLD_NEXT, "write"));
  if (support::before_wake_up && bytes == 8) {
    std::exchange(support::before_wake_up, nullptr)();
  }
  return real(fd, data, bytes);
}
