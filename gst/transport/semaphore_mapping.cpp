// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "semaphore_mapping.h"

#include <errno.h>
#include <sys/mman.h>

#include <cstring>

#include "control.h"

namespace possum::transport {

sem_t fresh_semaphore(bool shared, unsigned value) {
  sem_t semaphore;
  std::memset(&semaphore, 0, sizeof semaphore);
  sem_init(&semaphore, shared, value);
  return semaphore;
}

std::unique_ptr<SemaphoreMapping> SemaphoreMapping::map(int fd, std::size_t unit,
                                                        Error& error) {
  constexpr int kProtection = PROT_READ | PROT_WRITE;
  void* const both =
      mmap(nullptr, 2 * unit_bytes(), kProtection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (both != MAP_FAILED) {
    const auto offset = static_cast<off_t>(unit * unit_bytes());
    if (mmap(both, unit_bytes(), kProtection, MAP_SHARED | MAP_FIXED | MAP_POPULATE, fd,
             offset) != MAP_FAILED) {
      madvise(both, 2 * unit_bytes(), MADV_DONTDUMP);
      return std::unique_ptr<SemaphoreMapping>(
          new SemaphoreMapping(static_cast<std::byte*>(both)));
    }
  }
  error = shm_error("Shared memory could not be mapped", "mmap of a semaphore", errno);
  if (both != MAP_FAILED) munmap(both, 2 * unit_bytes());
  return nullptr;
}

SemaphoreMapping::SemaphoreMapping(std::byte* unit)
    : unit_(unit),
      semaphore_(reinterpret_cast<sem_t*>(unit + unit_bytes() - layout::kSemSharedBytes)),
      region_(std::in_place, unit, unit_bytes(), PROT_READ | PROT_WRITE) {
  const sem_t fresh = fresh_semaphore(true, 0);
  std::memcpy(unit_ + unit_bytes(),
              reinterpret_cast<const std::byte*>(&fresh) + layout::kSemSharedBytes,
              sizeof fresh - layout::kSemSharedBytes);
}

SemaphoreMapping::~SemaphoreMapping() {
  region_.reset();  // somebody else's mapping may have these addresses next
  munmap(unit_, 2 * unit_bytes());
}

}  // namespace possum::transport
