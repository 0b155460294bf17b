// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A reader's time with one writer: its page, the data objects that it has mapped, and the
// frames that it holds. Lives until the Reader has left it and the last Frame is gone;
// its byte lock is what tells the writer that the page's TAKEN bits still count.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/fork_guard.h"
#include "base/mutex.h"
#include "base/shm_object.h"
#include "doorbell.h"
#include "frame.h"
#include "layout.h"
#include "open.h"
#include "reader_core.h"

namespace possum::transport {

// Of one attachment, and of all that a Reader had.
struct DeliveryCounts {
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  std::uint64_t missed = 0;
  std::uint64_t copied = 0;  // because of the reserve rule

  void add(const DeliveryCounts& more) {
    frames += more.frames;
    bytes += more.bytes;
    missed += more.missed;
    copied += more.copied;
  }
};

// Its methods are for the taking thread, but for those that say otherwise. A forked child
// calls release() and the destructor alone, which do nothing there.
class Attachment : public std::enable_shared_from_this<Attachment> {
 public:
  // `open` with its page.
  Attachment(OpenControl open, std::string channel, bool copy_on_write);
  ~Attachment();  // gives the page back
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  // Maps what there is, says who reads here and takes the page.
  void enter(layout::Policy policy, unsigned depth);
  // Has the writer let this reader in?
  bool admitted() const { return core_.admitted(); }
  // Takes no frame any more. The leases stay.
  void leave();

  enum class Took { frame, nothing, failed };
  // Takes the oldest frame that is offered into `frame`, which is empty. Never waits.
  Took take(Frame& frame, Error& error);
  // Lets go of all frames that are offered but the newest.
  void skip_to_newest() POSSUM_EXCLUDES(mutex_);
  // Lets go of objects that the table no longer names; frames keep theirs.
  void forget_replaced();

  using Next = ReaderCore<Attachment>::Next;
  // What to do when there is nothing to take. After arming the bell, and after `dead` was
  // found by looking at the writer's lock.
  Next next(bool dead, bool ignore_eos) const { return core_.next(dead, ignore_eos); }
  // May there be a frame? A hint.
  bool offered() const {
    return layout::offered_of(own_page().word.load(std::memory_order_relaxed)) != 0;
  }
  // The taking thread sleeps here; others ring_self().
  Doorbell& bell() { return open_.bell; }

  // From any thread.
  void set_depth(unsigned depth) POSSUM_EXCLUDES(mutex_);
  void release(unsigned slot) POSSUM_EXCLUDES(mutex_);
  DeliveryCounts counts() const POSSUM_EXCLUDES(mutex_);
  std::uint64_t incarnation() const { return open_.incarnation; }

  // --- environment of ReaderCore -------------------------------------------------------
  layout::ControlHeader& header() const { return open_.control.header(); }
  layout::ReaderPage& page(unsigned r) const { return open_.control.page(r); }
  void ring_writer() { open_.room.ring(); }
  void ring_both();
  bool writer_alive() const { return open_.lock.held_by_other(layout::kOwnerByte); }
  bool linked() const;
  // Is the control object as long as it was made? Whoever sleeps in it touches nothing
  // that could tell.
  bool control_intact() const { return is_whole(open_.lock.get()); }
  Mapped map(unsigned slot, std::uint32_t object);

 private:
  using Core = ReaderCore<Attachment>;
  using Opened = Core::Opened;
  // A data object in this process.
  struct MappedSlot {
    std::uint32_t object = 0;
    layout::DataHeader header{};
    std::shared_ptr<ShmObject> mapping;
    Error error;  // why there is none
  };

  bool forked() const { return generation_ != process_generation(); }
  layout::ReaderPage& own_page() const { return page(open_.tenancy.page); }
  void announce();
  bool page_lost(Error& error) const;
  bool fail_if_truncated(Error& error);
  Error map_object(int fd, const std::string& name, unsigned slot, std::uint32_t object,
                   MappedSlot& mapped) const;
  Opened fill(Frame& frame, std::uint64_t seq, bool copy, Error& error);
  std::string fill_text(Frame& frame, const MappedSlot& mapped);
  bool fill_copy(Frame& frame, const std::byte* pixels, Error& error);
  void count_lost() POSSUM_EXCLUDES(mutex_);
  void note_arrival(Frame& frame) POSSUM_EXCLUDES(mutex_);

  // Constant, but for the lock, which dies with us, and the taking thread's sleeps.
  OpenControl open_;
  const std::string channel_;
  const bool copy_on_write_;
  const std::uint32_t generation_;
  const std::int64_t entered_ns_;  // before the writer could offer us anything

  // The taking thread's.
  std::array<MappedSlot, layout::kSlots> mapped_;
  std::shared_ptr<const std::string> caps_;
  std::uint32_t caps_id_ = 0;
  std::uint64_t faults_seen_ = 0;
  bool truncated_ = false;

  mutable Mutex mutex_;
  Core core_;  // what changes the page, the taking thread's and others': under mutex_
  unsigned leases_ POSSUM_GUARDED_BY(mutex_) = 0;
  bool strange_clock_ POSSUM_GUARDED_BY(mutex_) = false;
  std::uint64_t last_seq_ POSSUM_GUARDED_BY(mutex_) = 0;
  std::uint64_t lost_ POSSUM_GUARDED_BY(mutex_) =
      0;  // since last_seq_, counted as missed
  DeliveryCounts counts_ POSSUM_GUARDED_BY(mutex_);
};

}  // namespace possum::transport
