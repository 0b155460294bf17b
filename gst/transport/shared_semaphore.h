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

#include "base/error.h"
#include "base/shm_object.h"
#include "layout.h"

namespace possum::transport {

// A zeroed sem_t after sem_init(): nobody waits on it.
sem_t fresh_semaphore(bool shared, unsigned value);
// Fills `image` with the bytes of a semaphore of known value: what both sides must agree
// on before they use each other's semaphores.
void semaphore_image(std::uint8_t (&image)[layout::kSemImageBytes]);

// Its shared part ends a unit of an object; the rest lies in the private page behind the
// mapping of that unit. Copies share the mapping. Any thread.
class SharedSemaphore {
 public:
  SharedSemaphore() = default;
  // The semaphore of unit `unit` of the object that `fd` leads to, its shared part as it
  // is. Empty on failure.
  SharedSemaphore(int fd, std::size_t unit, Error& error);
  explicit operator bool() const { return unit_ != nullptr; }

  void reset();  // makes the shared part that of a fresh one
  void drain();
  bool post();
  // As sem_clockwait() on CLOCK_MONOTONIC, signals disregarded. True: there was a post.
  bool wait(std::int64_t deadline_ns);
  // May the C library use it? A peer can spoil one that has to be shared as a whole.
  bool intact() const;
  sem_t& get() const { return *semaphore_; }

 private:
  std::shared_ptr<ShmObject> unit_;
  sem_t* semaphore_ = nullptr;
};

}  // namespace possum::transport
