// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// inotify(7) tells all there is to tell: names come and go, a writer announces other
// caps, and the kernel closes the control object of one that dies, in whatever PID
// namespace it was. Only when it does so, and drops the lock much later, nobody tells.
#include "channelmonitor.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "transport/clock.h"
#include "transport/observer.h"

namespace possum {
namespace {

// How long a writer is shown at most whose lock went long after its descriptor.
constexpr std::int64_t kLateNs = 5 * kNanosecondsPerSecond;
// Of its time the thread may spend one part in so many on looking, so that somebody who
// makes and removes names without end does not keep a processor busy.
constexpr std::int64_t kShare = 10;

}  // namespace

Channels look_at_channels() {
  std::vector<ChannelFiles> found;
  Error error;
  Channels channels;
  if (!list_channels(found, error)) return channels;
  for (const ChannelFiles& files : found) {
    if (!files.control) continue;
    // What the dead left does not matter.
    const ObservedChannel seen = observe_channel(ChannelFiles{files.channel, true, {}});
    if (seen.live() && seen.attachable) {
      channels.emplace(files.channel, DeviceInfo::of(seen));
    }
  }
  return channels;
}

ChannelMonitor::ChannelMonitor(Changed changed)
    : changed_(std::move(changed)), watch_(ChannelWatch::Everything{}) {
  watch_.arm();
  look();
  thread_ = std::thread(&ChannelMonitor::run, this);
}

ChannelMonitor::~ChannelMonitor() {
  watch_.interrupt(true);
  thread_.join();
}

void ChannelMonitor::look() {
  Channels now = look_at_channels();
  for (auto& [name, info] : now) {
    const auto known = known_.find(name);
    if (known == known_.end()) {
      changed_(nullptr, &info);
      continue;
    }
    // Frames may come too fast to be looked at, or there is none after a flush.
    if (info.caps.empty() && info.incarnation == known->second.incarnation) {
      info.caps = known->second.caps;
    }
    if (info != known->second) changed_(&known->second, &info);
  }
  for (const auto& [name, info] : known_) {
    if (now.find(name) == now.end()) changed_(&info, nullptr);
  }
  known_ = std::move(now);
}

void ChannelMonitor::run() {
  std::int64_t rest_until_ns = 0;
  while (!watch_.interrupted()) {
    std::int64_t now_ns = monotonic_ns();
    watch_.wait(known_.empty() ? INT64_MAX : now_ns + kLateNs);
    watch_.rest(rest_until_ns);
    if (watch_.interrupted()) return;
    now_ns = monotonic_ns();
    look();
    const std::int64_t end_ns = monotonic_ns();
    rest_until_ns = end_ns + (kShare - 1) * (end_ns - now_ns);
  }
}

}  // namespace possum
