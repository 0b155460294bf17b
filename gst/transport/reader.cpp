// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "reader.h"

#include <algorithm>
#include <cstring>
#include <new>

#include "base/bus_guard.h"
#include "base/clock.h"
#include "base/crash_point.h"
#include "base/fork_guard.h"
#include "channel/errors.h"
#include "channel/names.h"
#include "open.h"

namespace possum::transport {
namespace {

// How often a waiting reader looks whether its writer lives: often at first, so that a
// restarted writer is followed at once; seldom in a long pause.
constexpr std::int64_t kBusyTickNs = 20 * kMs;
constexpr std::int64_t kIdleTickNs = 100 * kMs;
constexpr std::int64_t kIdleAfterNs = 1000 * kMs;
constexpr std::int64_t kSearchNs = 250 * kMs;  // the slow poll behind inotify
// How long an attach waits for its writer to see it: one that runs needs a moment.
constexpr std::int64_t kAdmissionNs = 100 * kMs;
constexpr std::int64_t kPageFullNs = 100 * kMs;  // between looks for a free page
constexpr std::int64_t kSetUpPollNs = 5 * kMs;   // while a writer is setting up
constexpr std::int64_t kSetUpLimitNs = 1000 * kMs;
constexpr std::int64_t kTellNs = 1000 * kMs;  // from one reason to wait to the next
// Tries of one take() that found nothing to take though something was offered: one is a
// race, so many are a writer that offers nonsense for ever.
constexpr int kMaxFruitless = 100;

std::int64_t pause_after(OpenStatus status) {
  switch (status) {
    case OpenStatus::not_ready:
      return kSetUpPollNs;
    case OpenStatus::full:
      return kPageFullNs;
    default:
      return kSearchNs;
  }
}

}  // namespace

std::unique_ptr<Reader> Reader::create(ReaderOptions options, Error& error) {
  if (!valid_channel_name(options.channel)) {
    error = channel_name_error(options.channel);
    return nullptr;
  }
  if (options.depth < 1 || options.depth > layout::kMaxDepth) {
    error = make_error(ErrorCode::settings, "max-buffers must be 1 to 16",
                       std::to_string(options.depth));
    return nullptr;
  }
  if (options.bus_guard) install_bus_guard();
  if (options.copy_on_write) install_draw_guard();
  return std::unique_ptr<Reader>(new Reader(std::move(options)));
}

Reader::Reader(ReaderOptions options)
    : options_(std::move(options)),
      generation_(process_generation()),
      depth_(options_.depth),
      watch_(control_name(options_.channel)) {}

// Asks first whether this is a forked child, where nobody would release the mutex.
std::shared_ptr<Attachment> Reader::attachment() const {
  if (forked()) return nullptr;
  const MutexLock lock(mutex_);
  return attachment_;
}

std::uint64_t Reader::incarnation() const {
  const auto a = attachment();
  return a ? a->incarnation() : 0;
}

AttachStatus Reader::attach(std::int64_t deadline_ns, Error& error,
                            const Waiting& waiting) {
  if (forked()) {
    error = made_before_fork("reader");
    return AttachStatus::failed;
  }
  detach();
  const AttachStatus status = search(deadline_ns, error, waiting);
  watch_.disarm();
  return status;
}

// Whatever lies under the name, a writer may come in its place: only what is wrong with a
// channel of somebody trusted, or with this process, ends the wait.
AttachStatus Reader::search(std::int64_t deadline_ns, Error& error,
                            const Waiting& waiting) {
  std::int64_t set_up_since = 0;
  std::int64_t tell_ns = 0;
  std::string told;
  for (;;) {
    if (watch_.interrupted()) return AttachStatus::interrupted;
    OpenStatus status = try_attach(error);
    if (status == OpenStatus::ok) return AttachStatus::attached;
    if (status == OpenStatus::failed) return AttachStatus::failed;
    const std::int64_t now = monotonic_ns();
    if (status != OpenStatus::not_ready) {
      set_up_since = 0;
    } else if (set_up_since == 0) {
      set_up_since = now;
    } else if (now - set_up_since > kSetUpLimitNs) {
      status = OpenStatus::refused;
    }
    if (now >= deadline_ns) return AttachStatus::timeout;
    // A writer that is being set up is there in a moment.
    if (waiting && status != OpenStatus::not_ready && now >= tell_ns &&
        error.message != told) {
      waiting(error);
      told = error.message;
      tell_ns = now + kTellNs;
    }
    if (!watch_.armed()) {
      watch_.arm();
      continue;  // what happened before that gave no event
    }
    watch_.wait(std::min(deadline_ns, monotonic_ns() + pause_after(status)));
  }
}

OpenStatus Reader::try_attach(Error& error) {
  OpenControl open;
  OpenStatus status = open_control(options_, open, error);
  if (status != OpenStatus::ok) return status;
  // Whoever holds the lock now is about to remove it: our frames would come again.
  if (open.incarnation == dead_incarnation_) {
    error = no_channel(options_.channel);
    return OpenStatus::absent;
  }
  const layout::ControlHeader& header = open.control.header();
  if (options_.policy == layout::Policy::blocking &&
      (header.flags & layout::kAllowBlocking) == 0) {
    error = blocking_refused(options_.channel);
    return OpenStatus::failed;
  }
  status = take_page(options_, open, error);
  if (status != OpenStatus::ok) return status;
  char name[layout::kNameBytes];
  std::memcpy(name, header.writer_name, sizeof name);
  name[sizeof name - 1] = '\0';
  const std::uint32_t pid = header.writer_pid;
  auto a = std::make_shared<Attachment>(std::move(open), options_.channel,
                                        options_.copy_on_write);
  const unsigned depth = depth_.load();
  a->enter(options_.policy, depth);
  if (!await_admission(*a)) {
    a->leave();
    error = no_channel(options_.channel);
    return OpenStatus::absent;
  }
  const MutexLock lock(mutex_);
  past_.writer_pid = pid;
  past_.writer_name = name;
  ++past_.attachments;
  attachment_ = std::move(a);
  if (depth_.load() != depth) attachment_->set_depth(depth_.load());
  return OpenStatus::ok;
}

// Waits for the writer to see us, so that the first take() finds the newest frame. A
// writer that is stopped does so later. False: it died, or lost its name, before.
bool Reader::await_admission(Attachment& a) const {
  const std::int64_t until = monotonic_ns() + kAdmissionNs;
  for (;;) {
    if (a.admitted()) return true;
    const bool there = a.writer_alive() && a.linked();
    POSSUM_CRASH_POINT("attach.owner");
    if (!there) return a.admitted();  // by its last look
    const std::int64_t now = monotonic_ns();
    if (now >= until || watch_.interrupted()) return true;
    if (a.bell().arm_unless([&] { return a.admitted(); })) return true;
    a.bell().sleep(std::min(until, now + kBusyTickNs));
  }
}

void Reader::detach() {
  if (forked()) return;
  std::shared_ptr<Attachment> old;
  {
    const MutexLock lock(mutex_);
    old = std::move(attachment_);
    attachment_.reset();
    if (old) past_.add(old->counts());
  }
  if (old) old->leave();
}

TakeStatus Reader::take(std::int64_t deadline_ns, Frame& frame, Error& error) try {
  frame = {};
  const std::shared_ptr<Attachment> a = attachment();
  if (!a && !forked()) return TakeStatus::disconnected;
  if (!a) {
    error = made_before_fork("reader");
    return TakeStatus::failed;
  }
  const std::int64_t started_ns = monotonic_ns();
  // Is it time to look after the writer? Not while frames come; one try looks at once.
  bool look = deadline_ns <= started_ns;
  int fruitless = 0;
  for (;;) {
    if (watch_.interrupted()) return TakeStatus::interrupted;
    const bool offered = a->offered();
    switch (a->take(frame, error)) {
      case Attachment::Took::frame:
        return TakeStatus::frame;
      case Attachment::Took::failed:
        return TakeStatus::failed;
      case Attachment::Took::nothing:
        break;
    }
    if (offered && ++fruitless >= kMaxFruitless) {
      error = damaged(options_.channel, "nothing that is offered is a new frame");
      return TakeStatus::failed;
    }
    // In this order: the lock, the state, the grant, the word. Only an empty word lets
    // the others count, so nothing that was offered before the end is lost.
    bool dead = false;
    if (look) {
      dead = !a->writer_alive();
      POSSUM_CRASH_POINT("wait.owner");
      if (!dead && !a->control_intact()) {
        error = damaged(options_.channel, "the control object was truncated");
        return TakeStatus::failed;
      }
      a->forget_replaced();
    }
    a->bell().arm();
    const auto next = a->next(dead, options_.ignore_eos);
    const std::int64_t now = monotonic_ns();
    if (next == Attachment::Next::sleep && !watch_.interrupted() && now < deadline_ns) {
      const std::int64_t tick =
          now - started_ns < kIdleAfterNs ? kBusyTickNs : kIdleTickNs;
      a->bell().sleep(std::min(deadline_ns, now + tick));
      look = true;
      continue;
    }
    a->bell().disarm();
    if (next == Attachment::Next::eos) return TakeStatus::eos;
    if (next == Attachment::Next::disconnected) {
      dead_incarnation_ = a->incarnation();
      return TakeStatus::disconnected;
    }
    if (next == Attachment::Next::sleep && now >= deadline_ns) return TakeStatus::timeout;
  }
} catch (const std::bad_alloc&) {  // caps and metas are as large as a writer says
  error = no_memory("a frame's caps and metas");
  return TakeStatus::failed;
}

void Reader::skip_to_newest() {
  if (const auto a = attachment()) a->skip_to_newest();
}

void Reader::set_depth(unsigned depth) {
  depth_.store(std::clamp(depth, 1u, unsigned{layout::kMaxDepth}));
  if (const auto a = attachment()) a->set_depth(depth_.load());
}

void Reader::interrupt(bool on) {
  if (forked()) return;  // the descriptor in there is the parent's as well
  watch_.interrupt(on);
  if (const auto a = attachment(); on && a) a->bell().ring_self();
}

ReaderStatistics Reader::statistics() const {
  if (forked()) return {};
  const MutexLock lock(mutex_);
  ReaderStatistics result = past_;
  if (attachment_) result.add(attachment_->counts());
  return result;
}

}  // namespace possum::transport
