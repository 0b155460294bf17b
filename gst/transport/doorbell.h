// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Sleeping until another process rings: a process-shared semaphore and a flag that says
// somebody sleeps. The words lie in memory that peers can write, so a ring may be lost
// or made up; every wait is bounded and its caller looks at the real state again.
#pragma once

#include <cstdint>

#include "layout.h"

namespace possum {

// Fills `image` with the bytes of a semaphore of known value: what both sides must agree
// on before they use each other's semaphores.
void semaphore_image(std::uint8_t (&image)[layout::kSemImageBytes]);

class Doorbell {
 public:
  explicit Doorbell(layout::DoorbellWords& words) : words_(&words) {}

  // Only while nobody can be sleeping on it.
  void init();
  // Wakes the sleeper, if there is one: no system call otherwise. True if it posted.
  bool ring();
  // Wakes the sleeper or makes its next sleep short, whatever the flag says. For the
  // process that sleeps here itself.
  void ring_self();
  // The sleeper's side. arm(); look at the state that the ringer changes; then either
  // sleep() or disarm().
  void arm();
  void disarm();
  // Until rung or deadline_ns (CLOCK_MONOTONIC), or a moment earlier.
  void sleep(std::int64_t deadline_ns);

 private:
  bool sane() const;
  layout::DoorbellWords* words_;
  int made_up_ = 0;  // sleeping thread only
};

}  // namespace possum
