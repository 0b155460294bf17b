// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The reading end of a channel: waits for it, attaches, takes frames and hands them out
// as leases that outlive everything. It trusts nothing that lies in shared memory.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "layout.h"

namespace possum::transport {

struct ReaderOptions {
  std::string channel = "default";
  layout::Policy policy = layout::Policy::drop_oldest;
  unsigned depth = 3;                  // 1..16 frames that may wait for this reader
  std::optional<uid_t> allowed_owner;  // besides this user and root
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

class Attachment;  // private
class ShmObject;

// A frame in the hands of this process: either a lease on a slot or a private copy.
// Move only; from any thread; may outlive the Reader, the writer and the channel.
// Destroying it gives the slot back.
class Frame {
 public:
  Frame();
  ~Frame();
  Frame(Frame&&) noexcept;
  Frame& operator=(Frame&&) noexcept;

  // The checked copy: every plane lies within size() bytes. seq is 0 in an empty frame.
  const layout::FrameDescriptor& descriptor() const { return descriptor_; }
  const std::byte* data() const { return data_; }  // PROT_READ, but for copy_on_write
  std::size_t size() const { return descriptor_.data_bytes; }
  // Shared by all frames of equal caps of one attachment; NUL-free.
  const std::shared_ptr<const std::string>& caps() const { return caps_; }
  const std::vector<std::byte>& metas() const { return metas_; }
  bool is_copy() const { return copy_ != nullptr; }
  // Frames this reader missed right before this one (sequence gap).
  std::uint64_t missed() const { return missed_; }
  // Does the writer go by another clock than this process, such as that of another time
  // namespace? Then the absolute times mean nothing here. False is no promise: see
  // plausible_times().
  bool strange_clock() const { return strange_clock_; }

 private:
  friend class Attachment;
  void release() noexcept;
  layout::FrameDescriptor descriptor_{};
  const std::byte* data_ = nullptr;
  std::shared_ptr<const std::string> caps_;
  std::vector<std::byte> metas_;
  std::unique_ptr<std::byte[]> copy_;
  std::shared_ptr<ShmObject> mapping_;
  std::shared_ptr<Attachment> attachment_;
  std::uint64_t missed_ = 0;
  unsigned slot_ = 0;
  bool strange_clock_ = false;
};

struct ReaderStatistics {
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  std::uint64_t missed = 0;
  std::uint64_t copied = 0;       // because of the reserve rule
  std::uint64_t attachments = 0;  // successful attach() calls
  std::uint32_t writer_pid = 0;
  std::string writer_name;
};

class Reader {
 public:
  // Checks the options. Touches no channel.
  static std::unique_ptr<Reader> create(ReaderOptions options, Error& error);
  ~Reader();  // detach()
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;

  const ReaderOptions& options() const;

  // Waits for a live channel and takes a page of it. deadline_ns is CLOCK_MONOTONIC,
  // INT64_MAX: no deadline; one in the past: one try. Ended by interrupt(true).
  // Detaches from an earlier channel first.
  // `waiting` is called in the same thread, with no lock held, when the wait begins and
  // when it goes on for another reason, at most once a second.
  using Waiting = std::function<void(const Error& why)>;
  AttachStatus attach(std::int64_t deadline_ns, Error& error,
                      const Waiting& waiting = {});
  // Leaves the channel. Frames handed out stay valid and give their slots back later.
  void detach();
  bool attached() const;
  // Another writer each time.
  std::uint64_t incarnation() const;

  // Takes the oldest waiting frame; waits until deadline_ns (CLOCK_MONOTONIC) for one.
  // One thread at a time.
  TakeStatus take(std::int64_t deadline_ns, Frame& frame, Error& error);
  // Lets go of all waiting frames but the newest. They count as missed.
  void skip_to_newest();
  // Another depth than that of the options, 1 to 16, from the next frame on; from any
  // thread, attached or not.
  void set_depth(unsigned depth);

  // Ends every wait of this object, from any thread, until interrupt(false).
  void interrupt(bool on);

  ReaderStatistics statistics() const;

 private:
  class Impl;
  explicit Reader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace possum::transport
