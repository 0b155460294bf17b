// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "doorbell.h"

#include <errno.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "clock.h"

namespace possum {
namespace {

// What a peer may change in a healthy semaphore: the value and the number of waiters,
// the first eight bytes of glibc's sem_t (nptl/sem_init.c). The rest is constant.
constexpr std::size_t kVolatileBytes = 8;

constexpr int kMaxMadeUp = 16;  // wake-ups in a row that nobody announced
constexpr std::int64_t kNapNs = 2'000'000;

const sem_t& fresh_semaphore() {
  static const sem_t semaphore = [] {
    sem_t s;
    std::memset(&s, 0, sizeof s);
    sem_init(&s, 1, 0);
    return s;
  }();
  return semaphore;
}

}  // namespace

void semaphore_image(std::uint8_t (&image)[layout::kSemImageBytes]) {
  sem_t semaphore;
  std::memset(&semaphore, 0, sizeof semaphore);
  sem_init(&semaphore, 1, layout::kSemImageValue);
  std::memset(image, 0, sizeof image);
  std::memcpy(image, &semaphore, sizeof semaphore);
}

void SharedSemaphore::init() {
  std::memset(semaphore_, 0, sizeof *semaphore_);
  sem_init(semaphore_, 1, 0);
}

void SharedSemaphore::drain() {
  // One post at most is outstanding, or two after ring_self(); a few tries leave no
  // doubt, and a peer that stuffs the semaphore does not keep us here.
  for (int tries = 0; tries < 8 && sane() && sem_trywait(semaphore_) == 0; ++tries) {
  }
}

bool SharedSemaphore::post() { return sane() && sem_post(semaphore_) == 0; }

bool SharedSemaphore::sane() const {
  sem_t copy;
  std::memcpy(&copy, semaphore_, sizeof copy);
  return std::memcmp(reinterpret_cast<const char*>(&copy) + kVolatileBytes,
                     reinterpret_cast<const char*>(&fresh_semaphore()) + kVolatileBytes,
                     sizeof copy - kVolatileBytes) == 0;
}

bool SharedSemaphore::wait(std::int64_t deadline_ns) {
  const timespec deadline = to_timespec(deadline_ns);
  int result;
  do {
    result = sem_clockwait(semaphore_, CLOCK_MONOTONIC, &deadline);
  } while (result != 0 && errno == EINTR);
  return result == 0;
}

void Doorbell::init() {
  waiting_->store(0, std::memory_order_relaxed);
  semaphore_.init();
}

void Doorbell::ring_self() {
  waiting_->exchange(0, std::memory_order_seq_cst);
  semaphore_.post();
}

void Doorbell::sleep(std::int64_t deadline_ns) {
  // Scribbled over or stuffed by a peer: a value that never runs out would make this a
  // busy wait.
  if (!semaphore_.sane() || made_up_ >= kMaxMadeUp) {
    made_up_ = 0;
    const timespec nap =
        to_timespec(std::clamp<std::int64_t>(deadline_ns - monotonic_ns(), 0, kNapNs));
    nanosleep(&nap, nullptr);
    return;
  }
  const bool posted = semaphore_.wait(deadline_ns);
  const bool rung = waiting_->load(std::memory_order_relaxed) == 0;
  made_up_ = posted && !rung ? made_up_ + 1 : 0;
  disarm();
}

}  // namespace possum
