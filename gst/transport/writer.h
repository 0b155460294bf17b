// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The writing end of a channel: claims the name, owns the slots, publishes frames,
// sweeps up after readers. It knows bytes and times, not what the pixels mean.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/shm_watch.h"
#include "housekeeping.h"
#include "layout.h"
#include "slot_store.h"
#include "writer_options.h"
#include "writer_state.h"

namespace possum::transport {

struct ReaderInfo {
  unsigned index = 0;
  std::uint32_t pid = 0;  // as the reader says; another PID namespace makes it useless
  layout::Policy policy = layout::Policy::drop_oldest;
  bool demoted = false;
  unsigned waiting = 0;  // frames offered, not yet taken
  unsigned held = 0;     // frames taken, not yet released
  std::uint64_t delivered = 0;
  std::uint64_t dropped = 0;
};

struct WriterStatistics {
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  std::uint64_t zero_copy = 0;
  std::uint64_t copied = 0;
  std::uint64_t no_slot = 0;
  unsigned slots = 0;  // data objects that exist
  unsigned held = 0;   // slots that some reader holds (TAKEN)
  unsigned lent = 0;   // slots that upstream holds
  std::vector<ReaderInfo> readers;
};

class Writer {
 public:
  // Checks the options and makes an idle writer that is not yet on the channel.
  static std::unique_ptr<Writer> create(WriterOptions options, WriterEvents events,
                                        Error& error);
  ~Writer();  // close()
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Claims the channel and starts the housekeeping thread. Blocks for at most
  // claim_timeout_ns while another process holds the name; ended by interrupt(true)
  // (WriteStatus::interrupted). A closed writer may be opened again.
  WriteStatus open(Error& error);
  // Takes the names away and lets the readers know. Waits for no reader. From any thread,
  // also from a function of WriterEvents. Slots that are still lent stay readable and
  // writable memory.
  void close();
  bool is_open() const;

  // Ends every wait of this object, from any thread, until interrupt(false).
  void interrupt(bool on);

  // Makes sure that at least `count` slots (clamped to 3..slots) exist, each with
  // `bytes` of pixels; reserved and prefaulted. Free smaller ones are replaced. Fails
  // with no_space only if fewer than three can be had. Never waits for readers. While the
  // channel is being made anew nothing is done, and acquire() makes what it needs.
  bool prepare(unsigned count, std::size_t bytes, Error& error);

  // Lends a slot upstream without ever waiting: nullopt when that would leave the writer
  // too few. The borrower may write until it publishes and must give_back() in the end.
  std::optional<SlotRef> lend(std::size_t bytes, std::size_t caps_bytes = 0);
  // From any thread, when the last reference to a lent slot's memory is gone. Also
  // returns an acquired slot that will not be published. Harmless after close().
  void give_back(const SlotRef& ref);

  // Finds a slot to copy a frame into; it belongs to the caller until publish() or
  // give_back(). Waits only for blocking readers, until deadline_ns (CLOCK_MONOTONIC).
  // `bytes` of pixels, caps and metas text as passed to publish() later. The publishing
  // thread's; drain() and wait_readers() may wait in others meanwhile.
  WriteStatus acquire(std::size_t bytes, std::size_t caps_bytes, std::size_t metas_bytes,
                      SlotRef& ref, Error& error, std::int64_t deadline_ns = kForever);

  // Is this lent slot still one of ours, unseen by any reader, not the newest frame, and
  // large enough for that much text? If not, copy the frame into an acquired slot. Once
  // it is published, its bytes must not change while this is false.
  bool publishable(const SlotRef& ref, std::size_t caps_bytes,
                   std::size_t metas_bytes) const;

  // Offers the frame to every reader. Sets seq, publish_ns, caps_id, caps_bytes,
  // metas_bytes of the descriptor. Waits for room at blocking readers; after
  // `interrupted` or `timeout` call again with the same arguments: it goes on where it
  // was. Not thread safe against itself: one publishing thread.
  WriteStatus publish(const SlotRef& ref, layout::FrameDescriptor& frame,
                      std::string_view caps, std::span<const std::byte> metas,
                      bool zero_copy, Error& error, std::int64_t deadline_ns = kForever);
  // Forgets a publish that was interrupted and will not be continued: the readers that
  // had no room yet miss the frame.
  void abandon_publish();

  // Waits until `count` readers are attached. A killed one counts until housekeeping
  // finds out (250 ms at the most). `count` may change meanwhile: looked at every 20 ms.
  WriteStatus wait_readers(const std::atomic<unsigned>& count, Error& error,
                           std::int64_t deadline_ns = kForever);
  unsigned active_readers() const;

  // Says that no frame follows, until the next publish() or flush().
  void set_eos();
  // Waits until each blocking reader has taken what it was offered, or left.
  WriteStatus drain(Error& error, std::int64_t deadline_ns = kForever);
  // Withdraws frames not yet taken, but not from blocking readers; clears EOS.
  void flush();

  WriterStatistics statistics() const;
  std::uint64_t incarnation() const;  // 0 while closed

 private:
  using Core = Incarnation::Core;
  class Wait;

  Writer(WriterOptions options, WriterEvents events);

  // Asked before any lock is taken: in a forked child nobody would release it.
  bool forked() const { return generation_ != process_generation(); }
  bool gone(Error& error) const POSSUM_REQUIRES(state_.mutex);
  unsigned attached() const POSSUM_REQUIRES(state_.mutex);
  std::optional<WriteStatus> find_slot(SlotRequest& request, const Wait* wait,
                                       SlotRef& ref, Error& error)
      POSSUM_REQUIRES(state_.mutex);
  void note_shortage(const SlotRequest& request) POSSUM_REQUIRES(state_.mutex);
  Error too_few_slots(const SlotRequest& request) const POSSUM_REQUIRES(state_.mutex);
  WriteStatus drop_damaged() POSSUM_REQUIRES(state_.mutex);
  WriteStatus drop_frame() POSSUM_REQUIRES(state_.mutex);
  void count_frame(const layout::FrameDescriptor& frame, bool zero_copy)
      POSSUM_REQUIRES(state_.mutex);

  template <class Look>
  WriteStatus wait_until(std::int64_t deadline_ns, Error& error, Look look,
                         std::uint32_t (*holding)(const Core&))
      POSSUM_REQUIRES(state_.mutex);

  const std::uint32_t generation_;
  const std::int64_t max_blocking_ns_;
  ShmWatch watch_;  // of open(); carries the interrupt of all waits
  mutable WriterState state_;
  Housekeeping housekeeping_;

  WriterStatistics statistics_ POSSUM_GUARDED_BY(state_.mutex);
  bool shortage_told_ POSSUM_GUARDED_BY(state_.mutex) = false;
  // A thread sleeps at the doorbell `room`, or is about to. Others that wait meanwhile
  // wait for state_.changed, which that one notifies.
  bool room_taken_ POSSUM_GUARDED_BY(state_.mutex) = false;
};

}  // namespace possum::transport
