// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "shared_semaphore.h"

#include <errno.h>
#include <time.h>

#include <cstring>

#include "clock.h"

namespace possum {

sem_t fresh_semaphore(bool shared, unsigned value) {
  sem_t semaphore;
  std::memset(&semaphore, 0, sizeof semaphore);
  sem_init(&semaphore, shared, value);
  return semaphore;
}

SharedSemaphore::SharedSemaphore(int fd, std::size_t offset, std::size_t bytes,
                                 Error& error)
    : pages_(ShmObject::map(fd, bytes, Access::read_write, error, offset)) {
  if (!pages_) return;
  std::byte* const end = pages_->data() + bytes;
  semaphore_ = reinterpret_cast<sem_t*>(end - kSemSharedBytes);
  const sem_t fresh = fresh_semaphore(true, 0);
  std::memcpy(end, reinterpret_cast<const std::byte*>(&fresh) + kSemSharedBytes,
              sizeof fresh - kSemSharedBytes);
}

void SharedSemaphore::reset() {
  const sem_t fresh = fresh_semaphore(true, 0);
  std::memcpy(static_cast<void*>(semaphore_), &fresh, kSemSharedBytes);
}

void SharedSemaphore::drain() {
  // One post at most is outstanding, or two after ring_self(); a few tries leave no
  // doubt, and a peer that stuffs the semaphore does not keep us here.
  for (int tries = 0; tries < 8 && intact() && sem_trywait(semaphore_) == 0; ++tries) {
  }
}

bool SharedSemaphore::post() { return intact() && sem_post(semaphore_) == 0; }

bool SharedSemaphore::wait(std::int64_t deadline_ns) {
  const timespec deadline = to_timespec(deadline_ns);
  int result;
  do {
    result = sem_clockwait(semaphore_, CLOCK_MONOTONIC, &deadline);
  } while (result != 0 && errno == EINTR && intact());
  return result == 0;
}

bool SharedSemaphore::intact() const {
  if constexpr (kSemSharedBytes < sizeof(sem_t)) return true;
  // 32-bit glibc believes one word of it, the second: whether processes share it, which
  // becomes part of the futex operation.
  constexpr std::size_t kWord = sizeof(std::uint32_t);
  static const sem_t fresh = fresh_semaphore(true, 0);
  return std::memcmp(reinterpret_cast<const char*>(semaphore_) + kWord,
                     reinterpret_cast<const char*>(&fresh) + kWord, kWord) == 0;
}

}  // namespace possum
