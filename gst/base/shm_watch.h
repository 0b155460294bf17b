// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Waiting for something to happen to a name in the shm mount, or to all names that begin
// alike, by inotify(7), with an interrupt from any thread. A hint only: the caller looks
// for itself.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "base/shm_object.h"

namespace possum {

class ShmWatch {
 public:
  // Of one name, as shm_open(3) takes it.
  explicit ShmWatch(const std::string& name);
  // Of all names with a beginning, and of deaths as well: a process that is killed closes
  // what it had open. For those who only look, since to open and close an object is such
  // an event itself.
  struct Prefix {
    std::string text;
  };
  explicit ShmWatch(const Prefix& prefix);

  // From here on no event is lost until disarm(). Where inotify cannot be had, waits are
  // plain short sleeps. The descriptor stays: closing one takes the kernel about 20 ms,
  // and who has just found what it waited for is in a hurry.
  void arm();
  void disarm();
  bool armed() const { return armed_; }
  // Until an event, an interrupt or deadline_ns (CLOCK_MONOTONIC). One thread at a time.
  // Whoever makes events without end, of this name or another, makes a caller that waits
  // again and again look no more than about a hundred times a second.
  void wait(std::int64_t deadline_ns);
  // Until an interrupt or deadline_ns, whatever happens: events stay for the next wait().
  void sleep_until(std::int64_t deadline_ns);

  // From any thread.
  void interrupt(bool on);
  bool interrupted() const { return interrupted_.load(std::memory_order_seq_cst); }

 private:
  // Until an interrupt, an event of the descriptor `events` (-1: of none) or until_ns.
  // True: there is an event.
  bool sleep(std::int64_t until_ns, int events);
  bool drain_events();  // true: one of them was of what is watched
  bool concerns(const char* file) const;
  const std::string file_;  // in the shm mount, or the beginning of many
  const bool prefix_;
  std::int64_t again_ns_ = INT64_MAX;  // when a wait ends once more, see drain_events()
  std::int64_t next_wake_ns_ = 0;      // no event is looked at before
  UniqueFd inotify_;
  int watch_ = -1;  // of inotify_
  bool armed_ = false;
  UniqueFd wake_;
  std::atomic<bool> interrupted_{false};
};

}  // namespace possum
