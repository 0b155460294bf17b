// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Sleeping until another process rings: a process-shared semaphore and a flag that says
// somebody sleeps. The words lie in memory that peers can write, so a ring may be lost
// or made up; every wait is bounded and its caller looks at the real state again.
#pragma once

#include <cstdint>

#include "base/shared_semaphore.h"
#include "base/spin.h"
#include "bell_core.h"
#include "layout.h"

namespace possum::transport {

class Doorbell : public BellCore<std::atomic<std::uint32_t>, SharedSemaphore> {
 public:
  using BellCore::BellCore;
  // The flag is `words`, which outlive this; the semaphore ends unit `unit` of the object
  // that `fd` leads to.
  bool map(layout::DoorbellWords& words, int fd, std::size_t unit, Error& error);

  // Only while nobody can be sleeping on it.
  void reset();
  // Wakes the sleeper or makes its next sleep short, whatever the flag says. For the
  // process that sleeps here itself.
  void ring_self();
  // Until rung or deadline_ns (CLOCK_MONOTONIC), or a moment earlier. After arm() and a
  // look at the state, which is to be looked at again afterwards. One thread sleeps on a
  // doorbell.
  void sleep(std::int64_t deadline_ns);

 private:
  // Of the sleeping thread.
  int unannounced_ = 0;  // posts in a row that no ring went with
  Spin spin_;
};

}  // namespace possum::transport
