// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Sleeping until another process rings: a process-shared semaphore and a flag that says
// somebody sleeps. The words lie in memory that peers can write, so a ring may be lost
// or made up; every wait is bounded and its caller looks at the real state again.
#pragma once

#include <cstdint>

#include "bell_core.h"
#include "layout.h"
#include "semaphore_mapping.h"

namespace possum::transport {

// Fills `image` with the bytes of a semaphore of known value: what both sides must agree
// on before they use each other's semaphores.
void semaphore_image(std::uint8_t (&image)[layout::kSemImageBytes]);

// The sem_t of a SemaphoreMapping, with value and waiters that any peer may have made up.
class SharedSemaphore {
 public:
  explicit SharedSemaphore(const SemaphoreMapping& mapping) : mapping_(&mapping) {}
  void reset();  // the shared part
  void drain();
  bool post();
  // Where all of it has to be shared: has the constant part not changed?
  bool sane() const;
  // As sem_clockwait() on CLOCK_MONOTONIC, signals disregarded. True: there was a post.
  bool wait(std::int64_t deadline_ns);

 private:
  sem_t* semaphore() const { return &mapping_->semaphore(); }
  const SemaphoreMapping* mapping_;
};

class Doorbell : public BellCore<std::atomic<std::uint32_t>, SharedSemaphore> {
 public:
  // Lives no longer than both.
  Doorbell(layout::DoorbellWords& words, const SemaphoreMapping& mapping)
      : BellCore(words.waiting, SharedSemaphore(mapping)) {}

  // Only while nobody can be sleeping on it.
  void reset();
  // Wakes the sleeper or makes its next sleep short, whatever the flag says. For the
  // process that sleeps here itself.
  void ring_self();
  // Until rung or deadline_ns (CLOCK_MONOTONIC), or a moment earlier. After arm().
  void sleep(std::int64_t deadline_ns);

 private:
  int made_up_ = 0;  // sleeping thread only
};

}  // namespace possum::transport
