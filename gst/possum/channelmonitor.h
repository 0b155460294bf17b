// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Which channels are written to, now and from now on: a thread that sleeps until
// something happens to the names or the writers, looks at all channels, and says what is
// different. It attaches to none.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/event_thread.h"
#include "inspect/observer.h"

namespace possum {

// What can be said of a channel from outside.
struct ChannelInfo {
  std::string channel;
  std::uint64_t incarnation = 0;
  std::uint32_t pid = 0;
  std::string command;
  uid_t owner = 0;
  bool allows_blocking = false;
  std::string caps;  // of the newest frame; empty: none seen yet, or of another user

  static ChannelInfo of(const inspect::ObservedChannel& seen);
  bool operator==(const ChannelInfo&) const = default;
};

using Channels = std::map<std::string, ChannelInfo>;

// Those that have a writer, and that this user may look at. Blocks on nothing; takes the
// longer, the more names there are in /dev/shm.
Channels look_at_channels();

class ChannelMonitor {
 public:
  // `before` is NULL when a channel appears, `after` when it goes.
  using Changed =
      std::function<void(const ChannelInfo* before, const ChannelInfo* after)>;
  // Looks, once.
  ChannelMonitor();
  // Also from within `changed`. Waits for a call of it that runs, but half a second at
  // most, see EventThread; it may then return much later, and none follows it.
  ~ChannelMonitor();
  ChannelMonitor(const ChannelMonitor&) = delete;
  ChannelMonitor& operator=(const ChannelMonitor&) = delete;

  // Before start(): the channels that there were.
  const Channels& channels() const;
  // From its own thread it calls `changed` for these as they appear, and then for
  // whatever is different. Once. Returns when these have been told, a fifth of a second
  // later at most. Throws std::system_error if there can be no thread.
  void start(Changed changed);

 private:
  class Watcher;
  const std::shared_ptr<Watcher> watcher_;  // its thread has a share in it
  EventThread thread_;
};

}  // namespace possum
