// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What the threads of a writer share: the channel in its current life, under one mutex.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <utility>

#include "base/bus_guard.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/fork_guard.h"
#include "base/mutex.h"
#include "base/reporter.h"
#include "claim.h"
#include "doorbell.h"
#include "slot_store.h"
#include "writer_core.h"
#include "writer_options.h"

namespace possum::transport {

// One life of a channel at its writer, and the environment of WriterCore. The writer's
// mutex is held around every call that does not say otherwise.
struct Incarnation {
  using Core = WriterCore<Incarnation, SlotRequest>;

  Incarnation(Claim made, const WriterOptions& options)
      : channel(options.channel),
        claim(std::move(made)),
        slots(channel, claim.incarnation, {options.perms, options.group}, header()),
        core(*this, options.slots, options.allow_blocking) {}
  ~Incarnation() { end(); }
  Incarnation(const Incarnation&) = delete;
  Incarnation& operator=(const Incarnation&) = delete;

  // Takes the names away, frees the lock, wakes all that sleep. Mappings stay. Without
  // the mutex, by who has made sure that nobody finds this incarnation any more.
  void end() {
    // A forked child owns nothing.
    if (std::exchange(ended_, true) || generation_ != process_generation()) return;
    core.admit();  // who has come until now still gets the newest frame
    remove_names(channel, claim);
    for (unsigned r = 0; r < layout::kReaders; ++r) ring_reader(r);
    claim.room.ring_self();
  }
  // Did a mapping turn into zeros under us (bus_guard.h)? Costs next to nothing.
  bool damaged() const {
    return bus_faults() != 0 && (claim.control.object().damaged() || slots.damaged());
  }

  const std::string channel;
  Claim claim;
  SlotStore slots;
  Core core;

  // --- environment of WriterCore
  layout::ReaderPage& page(unsigned r) const { return claim.control.page(r); }
  layout::ControlHeader& header() const { return claim.control.header(); }
  void ring_reader(unsigned r) { claim.bells[r].ring(); }
  bool lock_page(unsigned r) {
    return claim.lock.try_lock(layout::kReaderByte + r) == LockFd::Result::ok;
  }
  void unlock_page(unsigned r) { claim.lock.unlock(layout::kReaderByte + r); }
  void reset_bell(unsigned r) { claim.bells[r].reset(); }
  bool recycle_due() {
    constexpr std::int64_t kIntervalNs = 5'000'000;
    const std::int64_t now = monotonic_ns();
    if (now - recycled_ns_ < kIntervalNs) return false;
    recycled_ns_ = now;
    return true;
  }
  bool fits(unsigned slot, const SlotRequest& request) const {
    return slots.fits(slot, request.need);
  }
  void discard(unsigned slot) { slots.remove(slot); }
  std::uint32_t create(unsigned slot, SlotRequest& request) {
    return slots.make(slot, request);
  }

 private:
  const std::uint32_t generation_ = process_generation();
  std::int64_t recycled_ns_ = 0;
  bool ended_ = false;
};

struct WriterState {
  WriterState(WriterOptions wanted, WriterEvents functions)
      : options(std::move(wanted)),
        events(std::make_shared<const WriterEvents>(std::move(functions))) {}

  // Has housekeeping look at the channel at once, whatever peers ring.
  void wake_housekeeping() POSSUM_REQUIRES(mutex) {
    asked = true;
    changed.notify_all();
    if (channel) channel->claim.attention.ring_self();
  }
  // Has all that wait for readers look again.
  void wake_waiters() POSSUM_REQUIRES(mutex) {
    changed.notify_all();
    if (channel) channel->claim.room.ring();
  }
  // Has a function of the application called, after those that wait. The call has a share
  // of all of them: one may free the writer.
  template <class... Args>
  void report(std::function<void(Args...)> WriterEvents::*event,
              std::type_identity_t<Args>... args) {
    if (!((*events).*event)) return;
    reporter.report([all = events, event, args...] { ((*all).*event)(args...); });
  }

  const WriterOptions options;
  const std::shared_ptr<const WriterEvents> events;
  Reporter reporter;

  Mutex mutex;  // never held in a wait
  // Notified when something below changes, and for those who wait for readers.
  Condition changed;
  // Null while the channel is closed, lost or being made anew. Whoever sleeps at one of
  // its doorbells keeps a share: the channel may be another one afterwards.
  std::shared_ptr<Incarnation> channel POSSUM_GUARDED_BY(mutex);
  // The name was lost and is being claimed again, which takes a moment. Frames wait for
  // that, but are dropped while somebody else has the name.
  bool reclaiming POSSUM_GUARDED_BY(mutex) = false;
  bool name_held POSSUM_GUARDED_BY(mutex) = false;
  Error lost POSSUM_GUARDED_BY(mutex);  // why it could not be claimed again
  bool eos POSSUM_GUARDED_BY(mutex) = false;
  bool asked POSSUM_GUARDED_BY(mutex) = false;  // see wake_housekeeping()
};

}  // namespace possum::transport
