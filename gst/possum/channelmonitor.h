// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Which channels are written to, now and from now on: a thread that sleeps until
// something happens to the names or the writers, looks at all channels, and says what is
// different. It attaches to none.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/event_thread.h"
#include "gstpossumdevice.h"

namespace possum {

using Channels = std::map<std::string, DeviceInfo>;

// Those that have a writer, and that this user may look at. Blocks on nothing; takes the
// longer, the more names there are in /dev/shm.
Channels look_at_channels();

class ChannelMonitor {
 public:
  // `before` is NULL when a channel appears, `after` when it goes.
  using Changed = std::function<void(const DeviceInfo* before, const DeviceInfo* after)>;
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
