// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A mutex and a condition that clang checks: members say which mutex guards them,
// functions say which one they want held, and the clang build refuses to compile an
// access without it (-Wthread-safety; no other compiler looks at the annotations).
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

#if defined(__clang__)
#define POSSUM_THREAD_SAFETY(annotation) __attribute__((annotation))
#else
#define POSSUM_THREAD_SAFETY(annotation)
#endif

// Behind a member: read and written only while this mutex is held.
#define POSSUM_GUARDED_BY(mutex) POSSUM_THREAD_SAFETY(guarded_by(mutex))
// Behind a function: called only while these mutexes are held. It may let go of them in
// between, but holds them again when it returns.
#define POSSUM_REQUIRES(...) POSSUM_THREAD_SAFETY(requires_capability(__VA_ARGS__))
// Behind a function: called only while these mutexes are not held, because it takes them.
#define POSSUM_EXCLUDES(...) POSSUM_THREAD_SAFETY(locks_excluded(__VA_ARGS__))
// Behind a function that returns with these mutexes held, or no longer held.
#define POSSUM_ACQUIRE(...) POSSUM_THREAD_SAFETY(acquire_capability(__VA_ARGS__))
#define POSSUM_RELEASE(...) POSSUM_THREAD_SAFETY(release_capability(__VA_ARGS__))

namespace possum {

class POSSUM_THREAD_SAFETY(capability("mutex")) Mutex {
 public:
  void lock() POSSUM_ACQUIRE() { mutex_.lock(); }
  void unlock() POSSUM_RELEASE() { mutex_.unlock(); }

 private:
  friend class Condition;
  std::mutex mutex_;
};

// Holds a mutex to the end of its block.
class POSSUM_THREAD_SAFETY(scoped_lockable) MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) POSSUM_ACQUIRE(mutex) : mutex_(mutex) {
    mutex_.lock();
  }
  ~MutexLock() POSSUM_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Lets go of a held mutex to the end of its block: for a function that REQUIRES it.
class POSSUM_THREAD_SAFETY(scoped_lockable) MutexUnlock {
 public:
  explicit MutexUnlock(Mutex& mutex) POSSUM_RELEASE(mutex) : mutex_(mutex) {
    mutex_.unlock();
  }
  ~MutexUnlock() POSSUM_RELEASE() { mutex_.lock(); }
  MutexUnlock(const MutexUnlock&) = delete;
  MutexUnlock& operator=(const MutexUnlock&) = delete;

 private:
  Mutex& mutex_;
};

// Waiting for a change of what a mutex guards. Waits may end for no reason: look at the
// state in a loop. (There are no predicates as arguments: clang does not see in a lambda
// what its caller holds.)
class Condition {
 public:
  void notify_one() { condition_.notify_one(); }
  void notify_all() { condition_.notify_all(); }

  void wait(Mutex& mutex) POSSUM_REQUIRES(mutex) {
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    condition_.wait(lock);
    lock.release();
  }
  // Until notified or deadline_ns (CLOCK_MONOTONIC, INT64_MAX: none). False: the deadline
  // came.
  bool wait_until(Mutex& mutex, std::int64_t deadline_ns) POSSUM_REQUIRES(mutex) {
    using Clock = std::chrono::steady_clock;  // CLOCK_MONOTONIC
    std::unique_lock lock(mutex.mutex_, std::adopt_lock);
    const auto status = condition_.wait_until(
        lock, Clock::time_point(std::chrono::nanoseconds(deadline_ns)));
    lock.release();
    return status == std::cv_status::no_timeout;
  }

 private:
  std::condition_variable condition_;
};

}  // namespace possum
