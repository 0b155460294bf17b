// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "shm_watch.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/clock.h"

namespace possum {
namespace {

// Without inotify (its descriptors are limited per user) waits end so often.
constexpr std::int64_t kBlindWaitNs = 20'000'000;
// The kernel reports that a file was closed before it drops the locks (__fput()).
constexpr std::int64_t kCloseNs = 20'000'000;
constexpr int kMaxReads = 64;  // of events, at some 100 each
// Anybody can make events without end: so many wake-ups a second, and some at once after
// a pause.
constexpr std::int64_t kWakeNs = 10'000'000;
constexpr std::int64_t kSavedWakesNs = 200'000'000;

}  // namespace

ShmWatch::ShmWatch(const std::string& name)
    : file_(name.substr(1)),
      prefix_(false),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

ShmWatch::ShmWatch(const Prefix& prefix)
    : file_(prefix.text.substr(1)),
      prefix_(true),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

void ShmWatch::arm() {
  if (std::exchange(armed_, true)) return;
  if (!inotify_) inotify_ = UniqueFd(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  // Created, mode set, removed. Not opened or closed: the caller's own looks do that.
  std::uint32_t events = IN_CREATE | IN_ATTRIB | IN_DELETE | IN_MOVED_TO;
  if (prefix_) events |= IN_MOVED_FROM | IN_CLOSE_WRITE;
  if (!inotify_) return;
  watch_ = inotify_add_watch(inotify_.get(), kShmDirectory, events);
  if (watch_ < 0) inotify_.reset();
}

void ShmWatch::disarm() {
  if (!std::exchange(armed_, false) || !inotify_) return;
  inotify_rm_watch(inotify_.get(), watch_);
  drain_events();
}

bool ShmWatch::concerns(const char* file) const {
  return prefix_ ? std::string_view(file).starts_with(file_) : file_ == file;
}

bool ShmWatch::drain_events() {
  alignas(inotify_event) char buffer[4096];
  bool ours = false;
  // Whoever makes events without end keeps nobody in here.
  for (int reads = 0; reads < kMaxReads; ++reads) {
    const ssize_t bytes = read(inotify_.get(), buffer, sizeof buffer);
    if (bytes <= 0) break;
    for (ssize_t at = 0; at < bytes;) {
      inotify_event event;
      std::memcpy(&event, buffer + at, sizeof event);
      const char* name = buffer + at + sizeof event;
      const bool mine =
          (event.mask & IN_Q_OVERFLOW) != 0 || (event.len > 0 && concerns(name));
      if (mine && (event.mask & IN_CLOSE_WRITE) != 0) {
        again_ns_ = monotonic_ns() + kCloseNs;
      }
      ours |= mine;
      at += static_cast<ssize_t>(sizeof event + event.len);
    }
  }
  return ours;
}

void ShmWatch::wait(std::int64_t deadline_ns) {
  if (!inotify_) deadline_ns = std::min(deadline_ns, monotonic_ns() + kBlindWaitNs);
  while (!interrupted()) {
    const std::int64_t now_ns = monotonic_ns();
    const std::int64_t until_ns = std::min(deadline_ns, again_ns_);
    if (until_ns <= now_ns) {
      if (again_ns_ <= now_ns) again_ns_ = INT64_MAX;
      return;
    }
    if (now_ns < next_wake_ns_) {
      sleep(std::min(until_ns, next_wake_ns_), -1);
    } else if (sleep(until_ns, inotify_.get())) {
      next_wake_ns_ = std::max(next_wake_ns_, now_ns - kSavedWakesNs) + kWakeNs;
      if (drain_events()) return;
    }
  }
}

void ShmWatch::sleep_until(std::int64_t deadline_ns) {
  while (!interrupted() && monotonic_ns() < deadline_ns) sleep(deadline_ns, -1);
}

bool ShmWatch::sleep(std::int64_t until_ns, int events) {
  const std::int64_t now_ns = monotonic_ns();
  if (!wake_) until_ns = std::min(until_ns, now_ns + kBlindWaitNs);
  pollfd fds[] = {{wake_.get(), POLLIN, 0}, {events, POLLIN, 0}};
  const timespec timeout = to_timespec(until_ns - now_ns);
  if (ppoll(fds, 2, &timeout, nullptr) <= 0) return false;
  if (fds[0].revents != 0) {
    // Before the look at the flag, which was set before the descriptor was written to.
    // The flag alone says whether waits end; the descriptor only makes them look.
    std::uint64_t value;
    static_cast<void>(!read(wake_.get(), &value, sizeof value));
  }
  return (fds[1].revents & POLLIN) != 0;
}

void ShmWatch::interrupt(bool on) {
  interrupted_.store(on, std::memory_order_seq_cst);
  if (!on) return;
  const std::uint64_t value = 1;
  static_cast<void>(!write(wake_.get(), &value, sizeof value));  // full is as good
}

}  // namespace possum
