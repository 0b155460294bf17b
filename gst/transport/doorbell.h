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

namespace possum {

// Fills `image` with the bytes of a semaphore of known value: what both sides must agree
// on before they use each other's semaphores.
void semaphore_image(std::uint8_t (&image)[layout::kSemImageBytes]);

// A process-shared sem_t that any peer may have scribbled over.
class SharedSemaphore {
 public:
  explicit SharedSemaphore(sem_t& semaphore) : semaphore_(&semaphore) {}
  void init();
  void drain();
  bool post();
  // False once its constant bytes have changed: glibc aborts on what it cannot
  // understand.
  bool sane() const;
  // As sem_clockwait() on CLOCK_MONOTONIC, signals disregarded. True: there was a post.
  bool wait(std::int64_t deadline_ns);

 private:
  sem_t* semaphore_;
};

class Doorbell : public BellCore<std::atomic<std::uint32_t>, SharedSemaphore> {
 public:
  explicit Doorbell(layout::DoorbellWords& words)
      : BellCore(words.waiting, SharedSemaphore(words.sem)) {}

  // Only while nobody can be sleeping on it.
  void init();
  // Wakes the sleeper or makes its next sleep short, whatever the flag says. For the
  // process that sleeps here itself.
  void ring_self();
  // Until rung or deadline_ns (CLOCK_MONOTONIC), or a moment earlier. After arm().
  void sleep(std::int64_t deadline_ns);

 private:
  int made_up_ = 0;  // sleeping thread only
};

}  // namespace possum
