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

void Doorbell::init() {
  words_->waiting.store(0, std::memory_order_relaxed);
  std::memset(&words_->sem, 0, sizeof words_->sem);
  sem_init(&words_->sem, 1, 0);
}

bool Doorbell::sane() const {
  // The volatile bytes are left alone: others change them at this very moment.
  constexpr std::size_t kConstantBytes = sizeof(sem_t) - kVolatileBytes;
  char copy[kConstantBytes];
  std::memcpy(copy, reinterpret_cast<const char*>(&words_->sem) + kVolatileBytes,
              sizeof copy);
  return std::memcmp(copy,
                     reinterpret_cast<const char*>(&fresh_semaphore()) + kVolatileBytes,
                     sizeof copy) == 0;
}

bool Doorbell::ring() {
  // seq_cst: pairs with arm(). Either this load sees the flag, or the sleeper's look at
  // the state, which follows its store of the flag, sees what was changed before.
  if (words_->waiting.load(std::memory_order_seq_cst) == 0) return false;
  if (words_->waiting.exchange(0, std::memory_order_seq_cst) == 0) return false;
  if (!sane()) return false;
  sem_post(&words_->sem);
  return true;
}

void Doorbell::ring_self() {
  words_->waiting.exchange(0, std::memory_order_seq_cst);
  if (sane()) sem_post(&words_->sem);
}

void Doorbell::arm() {
  // One post at most is outstanding, or two after ring_self(); a few tries leave no
  // doubt, and a peer that stuffs the semaphore does not keep us here.
  for (int tries = 0; tries < 8 && sane() && sem_trywait(&words_->sem) == 0; ++tries) {
  }
  words_->waiting.store(1, std::memory_order_seq_cst);  // pairs with ring()
}

void Doorbell::disarm() { words_->waiting.store(0, std::memory_order_relaxed); }

void Doorbell::sleep(std::int64_t deadline_ns) {
  // Scribbled over or stuffed by a peer: glibc would abort on what it cannot understand,
  // and a value that never runs out would make this a busy wait.
  if (!sane() || made_up_ >= kMaxMadeUp) {
    made_up_ = 0;
    const timespec nap =
        to_timespec(std::clamp<std::int64_t>(deadline_ns - monotonic_ns(), 0, kNapNs));
    nanosleep(&nap, nullptr);
    return;
  }
  const timespec deadline = to_timespec(deadline_ns);
  int result;
  do {
    result = sem_clockwait(&words_->sem, CLOCK_MONOTONIC, &deadline);
  } while (result != 0 && errno == EINTR);
  const bool rung = words_->waiting.load(std::memory_order_relaxed) == 0;
  made_up_ = result == 0 && !rung ? made_up_ + 1 : 0;
  disarm();
}

}  // namespace possum
