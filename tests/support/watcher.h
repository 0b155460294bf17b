// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A reader that lives on whatever happens to the others: it follows a channel from writer
// to writer in a thread of its own and checks all that it gets. What a frame shows must
// follow from incarnation and sequence number, when it is taken and again before it is
// given back; the order must hold; a lossless one must get everything.
#pragma once

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>

#include "support/transport.h"

namespace support {

inline std::uint64_t key_for(std::uint64_t incarnation, std::uint64_t seq) {
  return incarnation ^ (seq * 0x9e3779b97f4a7c15u);
}

inline bool genuine(const Frame& frame, std::uint64_t incarnation) {
  return key_of(frame) == key_for(incarnation, frame.descriptor().seq) && intact(frame);
}

class Watcher {
 public:
  // Holds `hold` frames for as long as it can.
  Watcher(const std::string& channel, Policy policy, unsigned depth, std::size_t hold)
      : lossless_(policy == Policy::blocking), hold_(hold) {
    Error error;
    ReaderOptions options = reader_of(channel, policy, depth);
    options.ignore_eos = true;
    reader_ = Reader::create(options, error);
    CHECK(reader_);
    thread_ = std::thread([this] { watch(); });
  }
  ~Watcher() { stop(); }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // Gives everything back and leaves.
  void stop() {
    if (!thread_.joinable()) return;
    reader_->interrupt(true);
    thread_.join();
    reader_.reset();
  }
  // From now on a frame may be gone when its writer is: one whose object was made just
  // before the death, and whose name the next writer removed before we opened it.
  void forgive() {
    const std::lock_guard lock(mutex_);
    forgiving_ = true;
  }

  void await_frame(std::uint64_t incarnation, std::uint64_t seq) {
    await([&] { return last_of_[incarnation] >= seq; });
  }
  bool attached_within(std::uint64_t incarnation, int ms) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(ms),
                             [&] { return now_ == incarnation; });
  }
  void await_end(std::uint64_t incarnation) {
    await([&] { return now_ != incarnation; });
  }
  // The last frame it got of a writer, 0: none.
  std::uint64_t last(std::uint64_t incarnation) {
    const std::lock_guard lock(mutex_);
    return last_of_[incarnation];
  }

 private:
  void await(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    CHECK(changed_.wait_for(lock, std::chrono::milliseconds(kLimitMs), condition));
  }

  void watch() {
    for (;;) {
      Error error;
      const AttachStatus status = reader_->attach(INT64_MAX, error);
      if (status == AttachStatus::interrupted) return;
      if (status != AttachStatus::attached)
        std::fprintf(stderr, "%d: %s (%s)\n", static_cast<int>(status),
                     error.message.c_str(), error.detail.c_str());
      CHECK(status == AttachStatus::attached);
      enter(reader_->incarnation());
      if (!follow()) return;
      enter(0);
    }
  }
  void enter(std::uint64_t incarnation) {
    const std::lock_guard lock(mutex_);
    now_ = incarnation;
    changed_.notify_all();
  }

  // Until the writer is gone; false when interrupted.
  bool follow() {
    for (;;) {
      Frame frame;
      Error error;
      const TakeStatus status = reader_->take(INT64_MAX, frame, error);
      if (status != TakeStatus::frame) {
        while (!held_.empty()) let_go();
        if (status == TakeStatus::failed)
          std::fprintf(stderr, "%s\n", error.detail.c_str());
        CHECK(status == TakeStatus::disconnected || status == TakeStatus::interrupted);
        return status == TakeStatus::disconnected;
      }
      CHECK(genuine(frame, now_));
      note(frame);
      held_.push_back(std::move(frame));
      while (held_.size() > hold_) let_go();
    }
  }
  void let_go() {
    CHECK(genuine(held_.front(), now_));
    held_.pop_front();
  }
  void note(const Frame& frame) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t seq = frame.descriptor().seq;
    std::uint64_t& last = last_of_[now_];
    CHECK(seq > last);
    if (last != 0) CHECK(frame.missed() == seq - last - 1);
    if (lossless_ && last != 0 && !forgiving_) CHECK(seq == last + 1);
    last = seq;
    changed_.notify_all();
  }

  const bool lossless_;
  const std::size_t hold_;
  std::unique_ptr<Reader> reader_;
  std::deque<Frame> held_;  // the thread's
  std::mutex mutex_;        // guards all below; now_ is written by the thread only
  std::condition_variable changed_;
  bool forgiving_ = false;
  std::uint64_t now_ = 0;  // incarnation of the writer it is attached to
  std::map<std::uint64_t, std::uint64_t> last_of_;  // sequence numbers
  std::thread thread_;
};

}  // namespace support
