// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Sleeping until another process rings: a process-shared semaphore and a flag that says
// somebody sleeps. The words lie in memory that peers can write, so a ring may be lost
// or made up; every wait is bounded and its caller looks at the real state again.
//
// Before it sleeps a thread looks round for a short while. Two processes that hand over
// frames as fast as they can wait for each other for a microsecond or two; a sleep and a
// wake-up cost both of them several.
#pragma once

#include <cstdint>
#include <utility>

#include "base/clock.h"
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

// Whether to look round before a sleep, of one waiting thread. It is done only where it
// has paid lately: a wait that lasts, as for the next picture of a camera, costs no
// processor time.
class Spin {
 public:
  // Looks for up to kSpinNs. True as soon as look() is; then there is no need to sleep.
  template <class Look>
  bool until(Look look) {
    if (skip_ > 0) {
      --skip_;
      return false;
    }
    const std::int64_t end_ns = monotonic_ns() + kSpinNs;
    do {
      for (int i = 0; i < kLooks; ++i) {
        if (look()) {
          failures_ = 0;
          return true;
        }
        pause();
      }
    } while (monotonic_ns() < end_ns);
    in_vain_ = true;
    return false;
  }

  // The thread has slept for so long.
  void slept(std::int64_t duration_ns) {
    const bool in_vain = std::exchange(in_vain_, false);
    if (duration_ns > kShortNs) {
      skip_ = 1;  // no hurry: the next one sleeps at once too
    } else if (in_vain) {
      // Perhaps there is one processor, and the peer runs because we slept.
      if (failures_ < kMostFailures) ++failures_;
      skip_ = (1u << failures_) - 1;
    }
  }

 private:
  // About what a sleep and a wake-up cost both sides together.
  static constexpr std::int64_t kSpinNs = 20'000;
  static constexpr std::int64_t kShortNs = 200'000;
  static constexpr int kLooks = 16;  // between two looks at the clock
  static constexpr unsigned kMostFailures = 8;

  static void pause() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
  }

  bool in_vain_ = false;   // the last try, and no sleep since
  unsigned failures_ = 0;  // tries in a row that ended in a sleep
  unsigned skip_ = 0;      // waits that go to sleep at once
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
  // Until rung or deadline_ns (CLOCK_MONOTONIC), or a moment earlier. After arm() and a
  // look at the state, which is to be looked at again afterwards. One thread sleeps on a
  // doorbell.
  void sleep(std::int64_t deadline_ns);

 private:
  // Of the sleeping thread.
  int made_up_ = 0;
  Spin spin_;
};

}  // namespace possum::transport
