// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A process-shared semaphore of which peers can write only what has to change: value and
// number of waiters. The C library believes the rest of a sem_t as it stands, and ends
// the process where that makes no sense: each process has that part for itself.
#pragma once

#include <semaphore.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "error.h"
#include "shm_object.h"

namespace possum {

// How much of a sem_t is shared: value and number of waiters, in which the C library
// tolerates anything. A 32-bit glibc keeps the word that says "process-shared" between
// the two: there it is all shared.
#if defined(__GLIBC__) && __SIZEOF_POINTER__ == 4
inline constexpr std::size_t kSemSharedBytes = sizeof(sem_t);
#else
inline constexpr std::size_t kSemSharedBytes = 8;
#endif
static_assert(kSemSharedBytes <= sizeof(sem_t) && kSemSharedBytes % alignof(sem_t) == 0);

// A zeroed sem_t after sem_init(): nobody waits on it.
sem_t fresh_semaphore(bool shared, unsigned value);

// Its shared part ends a run of pages of an object; the rest lies in the private page
// behind the mapping of that run. Copies share the mapping. Any thread.
class SharedSemaphore {
 public:
  SharedSemaphore() = default;
  // The semaphore that ends the `bytes` from `offset` on, multiples of the page size, of
  // the object that `fd` leads to; its shared part as it is. Empty on failure.
  SharedSemaphore(int fd, std::size_t offset, std::size_t bytes, Error& error);
  explicit operator bool() const { return pages_ != nullptr; }

  void reset();  // makes the shared part that of a fresh one
  void drain();
  bool post();
  // As sem_clockwait() on CLOCK_MONOTONIC, signals disregarded. True: there was a post.
  bool wait(std::int64_t deadline_ns);
  // May the C library use it? A peer can spoil one that has to be shared as a whole.
  bool intact() const;
  sem_t& get() const { return *semaphore_; }

 private:
  std::shared_ptr<ShmObject> pages_;
  sem_t* semaphore_ = nullptr;
};

}  // namespace possum
