// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The writing end of a channel: claims the name, owns the slots, publishes frames,
// sweeps up after readers. It knows bytes and times, not what the pixels mean.
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "layout.h"
#include "shm_object.h"

namespace possum::transport {

inline constexpr std::int64_t kForever = INT64_MAX;

struct WriterOptions {
  std::string channel = "default";
  unsigned slots = 16;  // 3..32, the most the pool may grow to
  // Of the control object, see check_perms(); data objects lose w of group and others.
  unsigned perms = 0600;
  std::optional<gid_t> group;
  bool allow_blocking = false;
  std::int64_t max_blocking_ns = kForever;  // stall after which a blocking reader drops
  std::int64_t claim_timeout_ns = 2'000'000'000;  // how long a held name is retried
  bool bus_guard = false;  // install the SIGBUS handler of bus_guard.h
};

// A right to one slot of this process. Plain data: copying it copies no right.
struct SlotRef {
  std::uint64_t incarnation = 0;
  std::uint32_t object = 0;
  unsigned slot = 0;
  std::byte* data = nullptr;           // first byte of the pixel area, page aligned
  std::size_t capacity = 0;            // bytes from data
  std::shared_ptr<ShmObject> mapping;  // keeps data readable and writable
};

enum class WriteStatus {
  ok,
  interrupted,  // interrupt(true) was called; nothing is lost, call again
  timeout,      // the deadline came first; nothing is lost, call again
  no_slot,      // readers hold every slot, or somebody truncated or removed the objects
                // and the channel is being made anew: drop the frame (counted)
  failed,       // see the Error
};

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

// Called from the housekeeping thread only, with no lock held. A function may be empty.
// It may call anything, close() and the Writer's end among it. close() waits for one that
// runs, but half a second at most: perhaps that one waits for the thread in close(). It
// then runs on by itself: let it own what it uses. None is begun after close().
struct WriterEvents {
  // A reader that came and went between two looks, 10 ms at most, is not told of at all.
  std::function<void(unsigned index, std::uint32_t pid)> reader_attached;
  // reason: "left", "died"
  std::function<void(unsigned index, const char* reason)> reader_detached;
  std::function<void(unsigned index, std::uint32_t pid)> reader_demoted;
  // The pool wanted to grow and /dev/shm had no room. Called once per shortage.
  std::function<void(unsigned slots, const Error&)> pool_limited;
  // The channel is there: at first, over what a dead writer left (`took_over`) or not,
  // and again (`anew`) after somebody had removed or damaged its objects.
  std::function<void(bool took_over, bool anew)> claimed;
  // So many slots exist from here on, of so many bytes together. Told a tick later, 250
  // ms at most, and not of each step in between.
  std::function<void(unsigned slots, std::size_t bytes)> pool_changed;
  // The control name was removed and could not be claimed again. Every later call fails.
  std::function<void(const Error&)> lost;
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
  class Impl;
  explicit Writer(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

}  // namespace possum::transport
