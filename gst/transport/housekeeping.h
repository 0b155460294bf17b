// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Keeps a writer's channel in order, in a thread of its own: claims the name, and claims
// it again when somebody has removed it; lets readers in; frees the pages of those that
// left or died; and has the application told what happened.
#pragma once

#include <array>
#include <cstdint>
#include <utility>

#include "base/event_thread.h"
#include "base/shm_watch.h"
#include "writer_state.h"

namespace possum::transport {

class Housekeeping {
 public:
  // `state` outlives this.
  explicit Housekeeping(WriterState& state);

  // Claims the channel and starts the threads. A name that somebody else has is tried
  // again until deadline_ns or an interrupt of `watch`. The channel is closed.
  WriteStatus start(std::int64_t deadline_ns, ShmWatch& watch, Error& error)
      POSSUM_EXCLUDES(state_.mutex);
  // Ends the threads, the reporter's as WriterEvents says, and the channel. Any thread.
  void stop() POSSUM_EXCLUDES(state_.mutex);

 private:
  WriteStatus claim(std::int64_t deadline_ns, ShmWatch& watch, bool anew, Error& error)
      POSSUM_EXCLUDES(state_.mutex);
  void run(EventThread::Run& thread) POSSUM_EXCLUDES(state_.mutex);
  void reclaim() POSSUM_EXCLUDES(state_.mutex);
  void report_changes(Incarnation& channel) POSSUM_REQUIRES(state_.mutex);

  WriterState& state_;
  ShmWatch reclaim_watch_;
  EventThread thread_;

  // What the application knows, once the reporter is idle.
  struct KnownReader {
    bool attached = false;
    bool demoted = false;
    std::uint32_t tenant = 0;
  };
  std::array<KnownReader, layout::kReaders> known_ POSSUM_GUARDED_BY(state_.mutex);
  std::pair<unsigned, std::size_t> pool_ POSSUM_GUARDED_BY(state_.mutex);  // slots, bytes
};

}  // namespace possum::transport
