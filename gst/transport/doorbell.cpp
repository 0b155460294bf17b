// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "doorbell.h"

#include <errno.h>
#include <time.h>

#include <algorithm>
#include <cstring>

#include "base/clock.h"

namespace possum::transport {
namespace {

constexpr int kMaxMadeUp = 16;  // wake-ups in a row that nobody announced
constexpr std::int64_t kNapNs = 2'000'000;

constexpr bool kAllShared = layout::kSemSharedBytes == sizeof(sem_t);

// The one word of a sem_t that the C library believes as it stands: whether processes
// share it, which becomes part of the futex operation. Needed only where peers can write
// it, and looked for, because only the C library knows where it lies.
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

void SharedSemaphore::reset() {
  const sem_t fresh = fresh_semaphore(true, 0);
  std::memcpy(static_cast<void*>(semaphore()), &fresh, layout::kSemSharedBytes);
}

void SharedSemaphore::drain() {
  // One post at most is outstanding, or two after ring_self(); a few tries leave no
  // doubt, and a peer that stuffs the semaphore does not keep us here.
  for (int tries = 0; tries < 8 && sane() && sem_trywait(semaphore()) == 0; ++tries) {
  }
}

bool SharedSemaphore::post() { return sane() && sem_post(semaphore()) == 0; }

bool SharedSemaphore::sane() const {
  if constexpr (!kAllShared) return true;
  static const SharedWord shared_word;
  return shared_word.healthy(*semaphore());
}

bool SharedSemaphore::wait(std::int64_t deadline_ns) {
  const timespec deadline = to_timespec(deadline_ns);
  int result;
  do {
    result = sem_clockwait(semaphore(), CLOCK_MONOTONIC, &deadline);
  } while (result != 0 && errno == EINTR && sane());
  return result == 0;
}

void Doorbell::reset() {
  waiting_->store(layout::kNobody, std::memory_order_relaxed);
  POSSUM_CRASH_POINT("bell.init-flag");
  semaphore_.reset();
  POSSUM_CRASH_POINT("bell.init");
}

void Doorbell::ring_self() {
  waiting_->exchange(layout::kNobody, std::memory_order_seq_cst);
  POSSUM_CRASH_POINT("bell.self-flag");
  semaphore_.post();
  POSSUM_CRASH_POINT("bell.self-post");
}

void Doorbell::sleep(std::int64_t deadline_ns) {
  if (spin_.until([this] { return rung(); })) return;
  const std::int64_t before_ns = monotonic_ns();
  // Stuffed or scribbled over by a peer: a value that never runs out would make this a
  // busy wait.
  if (!semaphore_.sane() || made_up_ >= kMaxMadeUp) {
    made_up_ = 0;
    const timespec nap =
        to_timespec(std::clamp<std::int64_t>(deadline_ns - before_ns, 0, kNapNs));
    nanosleep(&nap, nullptr);
    return;
  }
  if (!fall_asleep()) return;
  const bool posted = semaphore_.wait(deadline_ns);
  POSSUM_CRASH_POINT("bell.wait");
  made_up_ = posted && !rung() ? made_up_ + 1 : 0;
  disarm();
  spin_.slept(monotonic_ns() - before_ns);
}

}  // namespace possum::transport
