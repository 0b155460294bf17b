// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Which channels are written to, now and from now on: a thread that sleeps until
// something happens to the names or the writers, looks at all channels, and says what is
// different. It attaches to none.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <thread>

#include "gstpossumdevice.h"
#include "transport/channel_watch.h"

namespace possum {

using Channels = std::map<std::string, DeviceInfo>;

// Those that have a writer, and that this user may look at. Blocks on nothing; takes the
// longer, the more names there are in /dev/shm.
Channels look_at_channels();

class ChannelMonitor {
 public:
  // `before` is NULL when a channel appears, `after` when it goes.
  using Changed = std::function<void(const DeviceInfo* before, const DeviceInfo* after)>;
  // Calls `changed` for all channels there are before it returns, and then from its own
  // thread. Throws std::system_error if there can be no thread.
  explicit ChannelMonitor(Changed changed);
  // Waits for a call of `changed` to return; there is none later.
  ~ChannelMonitor();
  ChannelMonitor(const ChannelMonitor&) = delete;
  ChannelMonitor& operator=(const ChannelMonitor&) = delete;

 private:
  void look();
  void run();
  const Changed changed_;
  ChannelWatch watch_;
  Channels known_;  // of the thread once it runs
  std::thread thread_;
};

}  // namespace possum
