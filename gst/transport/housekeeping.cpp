// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "housekeeping.h"

#include <algorithm>
#include <bit>
#include <memory>
#include <string>
#include <system_error>

#include "base/clock.h"
#include "base/crash_point.h"
#include "channel/errors.h"
#include "channel/names.h"

namespace possum::transport {
namespace {

constexpr std::int64_t kTickNs = 250 * kMs;
// Peers can ring without end, and each pass may have something to report: 100 a second,
// and after a pause one for each of the readers that may come together.
constexpr std::int64_t kPassNs = 10 * kMs;
constexpr std::int64_t kSavedPassesNs = 32 * kPassNs;
// Who has come waits to be let in, and is looked for more often. Only a look that finds
// nobody is followed by a rest: whoever rings for nothing keeps no processor busy.
constexpr std::int64_t kRestNs = kMs / 2;
constexpr std::int64_t kClaimPollNs = 20 * kMs;  // behind inotify
// "possum clean" may hold a lost name for a moment.
constexpr std::int64_t kReclaimNs = 500 * kMs;

bool any(const WriterEvents& events) {
  return events.reader_attached || events.reader_detached || events.reader_demoted ||
         events.pool_limited || events.claimed || events.pool_changed || events.lost;
}

}  // namespace

Housekeeping::Housekeeping(WriterState& state)
    : state_(state), reclaim_watch_(control_name(state.options.channel)) {}

WriteStatus Housekeeping::start(std::int64_t deadline_ns, ShmWatch& watch, Error& error) {
  {
    const MutexLock lock(state_.mutex);
    known_ = {};
    pool_ = {};
  }
  reclaim_watch_.interrupt(false);
  const WriteStatus status = claim(deadline_ns, watch, false, error);
  if (status != WriteStatus::ok) return status;
  try {
    thread_.start([this](EventThread::Run& thread) { run(thread); });
    // Last: a function of the application may close the channel, or free all this.
    if (any(*state_.events)) {
      state_.reporter.start([this] {
        const MutexLock lock(state_.mutex);
        if (state_.channel) state_.channel->claim.attention.ring();
      });
    }
  } catch (const std::system_error& problem) {
    stop();
    error = no_threads(problem.what());
    return WriteStatus::failed;
  }
  error = {};
  return WriteStatus::ok;
}

void Housekeeping::stop() {
  thread_.stop([this] {
    reclaim_watch_.interrupt(true);
    const MutexLock lock(state_.mutex);
    state_.wake_housekeeping();
  });
  std::shared_ptr<Incarnation> channel;
  {
    const MutexLock lock(state_.mutex);
    channel.swap(state_.channel);
    state_.changed.notify_all();
  }
  if (channel) channel->end();
  state_.reporter.stop();
}

WriteStatus Housekeeping::claim(std::int64_t deadline_ns, ShmWatch& watch, bool anew,
                                Error& error) {
  const WriterOptions& options = state_.options;
  const ClaimOptions wanted{
      options.channel, {options.perms, options.group}, options.allow_blocking};
  Claim made;
  ClaimStatus status;
  for (;;) {
    status = claim_channel(wanted, made, error);
    const std::int64_t now = monotonic_ns();
    if (status != ClaimStatus::busy || now >= deadline_ns || watch.interrupted()) break;
    {
      const MutexLock lock(state_.mutex);
      state_.name_held = true;
      state_.changed.notify_all();
    }
    if (watch.armed()) {
      watch.wait(std::min(deadline_ns, now + kClaimPollNs));
    } else {
      watch.arm();  // what happened before that gave no event
    }
  }
  watch.disarm();
  if (status == ClaimStatus::busy && watch.interrupted()) return WriteStatus::interrupted;
  if (status != ClaimStatus::ok) return WriteStatus::failed;
  const bool took_over = made.took_over;
  const MutexLock lock(state_.mutex);
  state_.channel = std::make_shared<Incarnation>(std::move(made), options);
  if (state_.eos) state_.channel->core.set_eos();
  state_.report(&WriterEvents::claimed, took_over, anew);
  return WriteStatus::ok;
}

// --- the thread ------------------------------------------------------------------------

void Housekeeping::run(EventThread::Run& thread) {
  std::int64_t next_look_ns = 0;  // for arrivals
  std::int64_t next_pass_ns = 0;
  std::int64_t next_tick_ns = monotonic_ns() + kTickNs;
  for (;;) {
    std::shared_ptr<Incarnation> channel;
    std::int64_t now = 0;
    bool asked = false;
    {
      const MutexLock lock(state_.mutex);
      while (!state_.asked && monotonic_ns() < next_look_ns) {
        state_.changed.wait_until(state_.mutex, next_look_ns);
      }
      channel = state_.channel;
      if (thread.stopping() || !channel) return;
      asked = std::exchange(state_.asked, false);
      channel->claim.attention.arm();  // before the look: nothing is missed
      const bool came = channel->core.admit() != 0;
      if (came) state_.wake_waiters();
      now = monotonic_ns();
      next_look_ns = came ? now : now + kRestNs;
    }
    if (!asked && now < next_pass_ns) {
      channel->claim.attention.sleep(next_pass_ns);
      continue;
    }
    next_pass_ns = std::max(next_pass_ns, now - kSavedPassesNs) + kPassNs;
    const bool tick = now >= next_tick_ns;
    if (tick) next_tick_ns = now + kTickNs;
    bool lost = name_lost(channel->channel, channel->claim) ||
                (tick && !control_intact(channel->claim));
    POSSUM_CRASH_POINT("tick.stat");
    {
      const MutexLock lock(state_.mutex);
      lost |= channel->damaged() || (tick && !channel->slots.announced());
      const std::uint32_t before = channel->core.admitted();
      if (!lost) channel->core.recycle();
      if (channel->core.admitted() != before) state_.wake_waiters();
      if (tick) channel->core.relax_reserve();
      // Not while a function of the application takes its time: what happens meanwhile
      // is told as it stands afterwards.
      if (!lost && state_.reporter.idle()) report_changes(*channel);
    }
    if (lost) {
      reclaim();
    } else {
      channel->claim.attention.sleep(next_tick_ns);
    }
  }
}

// rm, a system that clears /dev/shm at logout, or somebody who truncates: the channel is
// made anew under its name, readers find it by themselves.
void Housekeeping::reclaim() {
  std::shared_ptr<Incarnation> old;
  {
    const MutexLock lock(state_.mutex);
    old.swap(state_.channel);
    state_.reclaiming = true;
    state_.name_held = false;
    for (unsigned r = 0; r < layout::kReaders; ++r) {
      if (known_[r].attached) state_.report(&WriterEvents::reader_detached, r, "left");
    }
    known_ = {};
  }
  old->end();
  Error error;
  const WriteStatus status =
      claim(monotonic_ns() + kReclaimNs, reclaim_watch_, true, error);
  const MutexLock lock(state_.mutex);
  state_.reclaiming = false;
  if (status != WriteStatus::failed) return;  // it is there again, or was closed
  state_.lost = error;
  state_.report(&WriterEvents::lost, error);
}

void Housekeeping::report_changes(Incarnation& channel) {
  auto& core = channel.core;
  const auto gone = core.take_recycled();
  for (unsigned r = 0; r < layout::kReaders; ++r) {
    KnownReader& known = known_[r];
    const bool active = core.active(r);
    const std::uint32_t pid = channel.page(r).pid.load(std::memory_order_relaxed);
    if (known.attached && (!active || core.tenant(r) != known.tenant)) {
      known.attached = false;
      const bool died = (gone.died & slot_bit(r)) != 0;
      state_.report(&WriterEvents::reader_detached, r, died ? "died" : "left");
    }
    if (active && !known.attached) {
      known = {true, false, core.tenant(r)};
      state_.report(&WriterEvents::reader_attached, r, pid);
    }
    if (active && core.demoted(r) && !std::exchange(known.demoted, true)) {
      state_.report(&WriterEvents::reader_demoted, r, pid);
    }
  }
  const std::pair pool{static_cast<unsigned>(std::popcount(core.have())),
                       channel.slots.bytes()};
  if (std::exchange(pool_, pool) != pool) {
    state_.report(&WriterEvents::pool_changed, pool.first, pool.second);
  }
}

}  // namespace possum::transport
