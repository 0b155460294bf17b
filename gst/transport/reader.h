// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The reading end of a channel: waits for it, attaches, takes frames and hands them out
// as leases that outlive everything. It trusts nothing that lies in shared memory.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "attachment.h"
#include "base/error.h"
#include "base/mutex.h"
#include "base/shm_watch.h"
#include "frame.h"
#include "layout.h"

namespace possum::transport {

struct ReaderOptions {
  std::string channel = "default";
  layout::Policy policy = layout::Policy::drop_oldest;
  unsigned depth = 3;                    // 1..16 frames that may wait for this reader
  std::optional<uid_t> allowed_owner{};  // besides this user and root
  bool any_owner = false;
  // take() goes on waiting after EOS, until a new frame comes or the writer is gone.
  bool ignore_eos = false;
  bool bus_guard = false;  // install the SIGBUS handler of bus_guard.h
  // Let this process write to frames: what it writes is its own, and gone with the frame.
  // Installs the SIGSEGV handler of bus_guard.h.
  bool copy_on_write = false;
};

enum class AttachStatus {
  attached,
  timeout,  // Error says why there was no channel: not_found, busy (32 readers are
            // attached), not_owner or no_permission (something lies there)
  interrupted,
  failed,  // waiting longer would not help: see the Error
};

enum class TakeStatus {
  frame,
  eos,           // everything was taken and the writer said EOS
  disconnected,  // everything was taken and the writer is gone; attach() again
  interrupted,
  timeout,
  failed,  // corrupt or truncated channel; this attachment is over
};

struct ReaderStatistics : DeliveryCounts {
  std::uint64_t attachments = 0;  // successful attach() calls
  std::uint32_t writer_pid = 0;
  std::string writer_name;
};

// attach(), detach(), take() and skip_to_newest() are for one thread at a time, all else
// for any. In a forked child nothing works, and nothing is touched.
class Reader {
 public:
  // Checks the options. Touches no channel.
  static std::unique_ptr<Reader> create(ReaderOptions options, Error& error);
  ~Reader() { detach(); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  const ReaderOptions& options() const { return options_; }

  // Waits for a live channel and takes a page of it. deadline_ns is CLOCK_MONOTONIC,
  // INT64_MAX: no deadline; one in the past: one try. Ended by interrupt(true).
  // Detaches from an earlier channel first. Waits 100 ms at most for the writer to let
  // this reader in; a stopped one does so later, and take() waits for that.
  // `waiting` is called in the same thread, with no lock held, when the wait begins and
  // when it goes on for another reason, at most once a second.
  using Waiting = std::function<void(const Error& why)>;
  AttachStatus attach(std::int64_t deadline_ns, Error& error,
                      const Waiting& waiting = {});
  // Leaves the channel. Frames handed out stay valid and give their slots back later.
  void detach() POSSUM_EXCLUDES(mutex_);
  bool attached() const { return attachment() != nullptr; }
  // Another writer each time; 0 while not attached.
  std::uint64_t incarnation() const;

  // Takes the oldest waiting frame; waits until deadline_ns (CLOCK_MONOTONIC) for one.
  TakeStatus take(std::int64_t deadline_ns, Frame& frame, Error& error);
  // Lets go of all waiting frames but the newest. They count as missed.
  void skip_to_newest();
  // Another depth than that of the options, 1 to 16, from the next frame on; attached or
  // not.
  void set_depth(unsigned depth);

  // Ends every wait of this object until interrupt(false).
  void interrupt(bool on);

  ReaderStatistics statistics() const POSSUM_EXCLUDES(mutex_);

 private:
  explicit Reader(ReaderOptions options);
  bool forked() const { return generation_ != process_generation(); }
  std::shared_ptr<Attachment> attachment() const POSSUM_EXCLUDES(mutex_);
  AttachStatus search(std::int64_t deadline_ns, Error& error, const Waiting& waiting);
  OpenStatus try_attach(Error& error) POSSUM_EXCLUDES(mutex_);
  bool await_admission(Attachment& a) const POSSUM_EXCLUDES(mutex_);

  const ReaderOptions options_;
  const std::uint32_t generation_;  // see fork_guard.h
  std::atomic<unsigned> depth_;
  ShmWatch watch_;  // of the taking thread; also carries the interrupt

  // The taking thread's.
  std::uint64_t dead_incarnation_ = 0;  // of the last writer that went

  mutable Mutex mutex_;  // never held in a wait
  std::shared_ptr<Attachment> attachment_ POSSUM_GUARDED_BY(mutex_);
  ReaderStatistics past_ POSSUM_GUARDED_BY(mutex_);  // of what was left
};

}  // namespace possum::transport
