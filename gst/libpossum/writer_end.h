// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What stands behind a possum_writer: the transport's Writer made safe for any thread,
// and the bookkeeping of borrowed slots. Outlives the handle while slots are borrowed.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "base/mutex.h"
#include "possum.h"
#include "transport/writer.h"
#include "writer_format.h"

namespace possum {

class WriterEnd;

enum class SlotState {
  borrowed,
  unfinished,  // some readers have it, others had no room yet
  published,
  given_up,  // unfinished, and then something else was borrowed or published
  dropped,   // its channel is gone, or was made anew
};

}  // namespace possum

struct possum_slot {
  std::shared_ptr<possum::WriterEnd> end;
  possum::transport::SlotRef ref;
  std::size_t bytes = 0;                                  // that were asked for
  bool lent = false;                                      // or acquired
  possum::SlotState state = possum::SlotState::borrowed;  // guarded by end's state_lock_
  // From the first try to publish it on.
  std::shared_ptr<const possum::WriterFormat> format;
  possum::transport::layout::FrameDescriptor frame{};
};

namespace possum {

class WriterEnd : public std::enable_shared_from_this<WriterEnd> {
 public:
  static possum_status open(const possum_writer_options& options,
                            std::shared_ptr<WriterEnd>& end);
  ~WriterEnd();
  void close();

  transport::Writer& writer() const { return *writer_; }
  bool forked() const;

  possum_status set_caps(std::string caps, std::size_t frame_bytes);
  possum_status borrow(std::size_t bytes, std::int64_t deadline_ns, possum_slot** slot);
  void release(possum_slot* slot);
  possum_status publish(possum_slot* slot, const possum_frame_params& params,
                        std::int64_t deadline_ns);
  possum_status write(const void* data, std::size_t bytes,
                      const possum_frame_params& params, std::int64_t deadline_ns);
  void flush();

  // What a wait of the transport came to, for this thread.
  possum_status outcome(transport::WriteStatus status, const Error& error,
                        const char* waiting_for);
  unsigned borrowed() const { return borrowed_.load(); }

 private:
  using Turn = std::unique_lock<std::timed_mutex>;

  WriterEnd(std::unique_ptr<transport::Writer> writer, std::string channel,
            unsigned slots);
  std::shared_ptr<const WriterFormat> format() const POSSUM_EXCLUDES(state_lock_);
  bool take_turn(Turn& turn, std::int64_t deadline_ns);
  possum_status obtain(const WriterFormat& format, std::size_t bytes,
                       std::int64_t deadline_ns, std::unique_ptr<possum_slot>& slot);
  possum_status offer(possum_slot& slot, bool zero_copy, std::int64_t deadline_ns);
  void give_up_unfinished() POSSUM_EXCLUDES(state_lock_);
  void give_up(possum_slot& slot) POSSUM_REQUIRES(state_lock_);
  void end_borrowing(possum_slot& slot, SlotState state) POSSUM_REQUIRES(state_lock_);

  // Constant after construction.
  std::unique_ptr<transport::Writer>
      writer_;                 // not touched, but left alone in a forked child
  const std::string channel_;  // as messages call it
  const unsigned most_borrowed_;
  const std::uint32_t generation_;
  const std::int64_t opened_ns_;

  // Lock order: turn_, state_lock_, the transport's own. The turn of the one that finds
  // slots and publishes guards no data, and is waited for until a deadline.
  std::timed_mutex turn_;
  mutable Mutex state_lock_;  // never held in a wait; guards the slots' states as well
  std::shared_ptr<const WriterFormat> format_ POSSUM_GUARDED_BY(state_lock_);
  possum_slot* unfinished_ POSSUM_GUARDED_BY(state_lock_) = nullptr;  // not owned
  std::atomic<std::uint32_t> flush_id_{0};
  std::atomic<unsigned> borrowed_{0};
  std::atomic<unsigned> acquired_{0};  // of the borrowed: not lent
};

}  // namespace possum
