// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A process-shared semaphore of which peers can write only what has to change. Where it
// lies in shared memory and what does not, layout.h says; this maps the two together.
#pragma once

#include <semaphore.h>

#include <cstddef>
#include <memory>
#include <optional>

#include "base/bus_guard.h"
#include "base/error.h"

namespace possum::transport {

// A zeroed sem_t after sem_init(): nobody waits on it.
sem_t fresh_semaphore(bool shared, unsigned value);

// One sem_t that begins in a unit of an object, maps that unit for itself and reaches
// over its end into memory of this process. The C library believes the constant part of a
// semaphore as it stands, and ends the process where that makes no sense: in here nobody
// else can change it.
class SemaphoreMapping {
 public:
  // The semaphore of unit `unit` of the object that `fd` leads to. Its shared part is
  // left as it is; the descriptor is not kept.
  static std::unique_ptr<SemaphoreMapping> map(int fd, std::size_t unit, Error& error);
  ~SemaphoreMapping();
  SemaphoreMapping(const SemaphoreMapping&) = delete;
  SemaphoreMapping& operator=(const SemaphoreMapping&) = delete;

  sem_t& semaphore() const { return *semaphore_; }

 private:
  explicit SemaphoreMapping(std::byte* unit);
  std::byte* unit_;  // and one more of our own behind it
  sem_t* semaphore_;
  std::optional<GuardedRegion> region_;  // ends before the mapping does
};

}  // namespace possum::transport
