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

constexpr int kMaxMadeUp = 16;  // wake-ups in a row that nobody announced
constexpr std::int64_t kNapNs = 2'000'000;

sem_t fresh_semaphore(bool shared, unsigned value) {
  sem_t semaphore;
  std::memset(&semaphore, 0, sizeof semaphore);
  sem_init(&semaphore, shared, value);
  return semaphore;
}

// The one word of a sem_t that the C library believes as it stands: whether processes
// share it, which becomes part of the futex operation. Value and waiters are numbers of
// which any will do. Where it lies differs (struct new_sem in glibc's nptl, at 8, or at 4
// without 64-bit atomics; the third of musl's __val), so it is looked for.
class SharedWord {
 public:
  SharedWord() {
    const sem_t shared = fresh_semaphore(true, 0);
    const sem_t own = fresh_semaphore(false, 0);
    while (at_ + sizeof wanted_ < sizeof shared && of(shared) == of(own)) {
      at_ += sizeof wanted_;
    }
    wanted_ = of(shared);
  }
  bool healthy(const sem_t& semaphore) const { return of(semaphore) == wanted_; }

 private:
  std::uint32_t of(const sem_t& semaphore) const {
    std::uint32_t word;
    std::memcpy(&word, reinterpret_cast<const char*>(&semaphore) + at_, sizeof word);
    return word;
  }
  std::size_t at_ = 0;
  std::uint32_t wanted_ = 0;
};

}  // namespace

void semaphore_image(std::uint8_t (&image)[layout::kSemImageBytes]) {
  const sem_t semaphore = fresh_semaphore(true, layout::kSemImageValue);
  std::memset(image, 0, sizeof image);
  std::memcpy(image, &semaphore, sizeof semaphore);
}

void Doorbell::init() {
  words_->waiting.store(0, std::memory_order_relaxed);
  std::memset(&words_->sem, 0, sizeof words_->sem);
  sem_init(&words_->sem, 1, 0);
}

bool Doorbell::sane() const {
  static const SharedWord shared_word;
  return shared_word.healthy(words_->sem);
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
  } while (result != 0 && errno == EINTR && sane());
  const bool rung = words_->waiting.load(std::memory_order_relaxed) == 0;
  made_up_ = result == 0 && !rung ? made_up_ + 1 : 0;
  disarm();
}

}  // namespace possum
