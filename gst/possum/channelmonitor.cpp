// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// inotify(7) tells all there is to tell: names come and go, a writer announces other
// caps, and the kernel closes the control object of one that dies, in whatever PID
// namespace it was. Only when it does so, and drops the lock much later, nobody tells.
#include "channelmonitor.h"

#include <chrono>
#include <cstdint>
#include <future>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/shm_watch.h"
#include "base/users.h"
#include "channel/names.h"

namespace possum {
namespace {

// How long a writer is shown at most whose lock went long after its descriptor.
constexpr std::int64_t kLateNs = 5 * kNanosecondsPerSecond;
// Of its time the thread may spend one part in so many on looking, so that somebody who
// makes and removes names without end does not keep a processor busy.
constexpr std::int64_t kShare = 10;
// What start() gives the thread to tell of the channels that there were: the command
// gst-device-monitor-1.0 reads the messages of a start and ends. Whoever holds up a call,
// perhaps because he waits for the end of start(), is told of the rest later.
constexpr std::int64_t kToldWithinNs = kNanosecondsPerSecond / 5;

}  // namespace

// What other users write is not for GStreamer's parser, whose memory grows with it, nor
// may it make one device after the other.
ChannelInfo ChannelInfo::of(const inspect::ObservedChannel& seen) {
  const bool believed = seen.frame && seen.owner && trusted_owner(*seen.owner);
  return {seen.name,
          seen.incarnation,
          seen.pid,
          seen.writer,
          seen.owner.value_or(0),
          seen.allows_blocking,
          believed ? seen.frame->caps : std::string()};
}

Channels look_at_channels() {
  std::vector<inspect::ChannelFiles> found;
  Error error;
  Channels channels;
  if (!inspect::list_channels(found, error)) return channels;
  for (const inspect::ChannelFiles& files : found) {
    if (!files.control) continue;
    // What the dead left does not matter.
    const inspect::ObservedChannel seen =
        inspect::observe_channel(inspect::ChannelFiles{files.channel, true, {}});
    if (seen.live() && seen.attachable) {
      channels.emplace(files.channel, ChannelInfo::of(seen));
    }
  }
  return channels;
}

// Of the thread once it runs, but for interrupt().
class ChannelMonitor::Watcher {
 public:
  Watcher() : watch_(all_control_names()) {
    watch_.arm();
    known_ = look_at_channels();
  }
  const Channels& known() const { return known_; }
  void call(Changed changed) { changed_ = std::move(changed); }
  void interrupt() { watch_.interrupt(true); }
  void wait_until_told() {
    told_.get_future().wait_for(std::chrono::nanoseconds(kToldWithinNs));
  }
  void run(EventThread::Run& thread);

 private:
  bool look(EventThread::Run& thread);
  Changed changed_;
  std::promise<void> told_;  // of the channels that there were
  ShmWatch watch_;
  Channels known_;
};

ChannelMonitor::ChannelMonitor() : watcher_(std::make_shared<Watcher>()) {}

ChannelMonitor::~ChannelMonitor() {
  thread_.stop([this] { watcher_->interrupt(); });
}

const Channels& ChannelMonitor::channels() const { return watcher_->known(); }

void ChannelMonitor::start(Changed changed) {
  watcher_->call(std::move(changed));
  thread_.start([watcher = watcher_](EventThread::Run& thread) { watcher->run(thread); });
  watcher_->wait_until_told();
}

// False: the thread is to end.
bool ChannelMonitor::Watcher::look(EventThread::Run& thread) {
  const auto report = [&](const ChannelInfo* before, const ChannelInfo* after) {
    return thread.call([&] { changed_(before, after); });
  };
  Channels now = look_at_channels();
  for (auto& [name, info] : now) {
    const auto known = known_.find(name);
    if (known == known_.end()) {
      if (!report(nullptr, &info)) return false;
      continue;
    }
    // Frames may come too fast to be looked at, or there is none after a flush.
    if (info.caps.empty() && info.incarnation == known->second.incarnation) {
      info.caps = known->second.caps;
    }
    if (info != known->second && !report(&known->second, &info)) return false;
  }
  for (const auto& [name, info] : known_) {
    if (now.find(name) == now.end() && !report(&info, nullptr)) return false;
  }
  known_ = std::move(now);
  return true;
}

void ChannelMonitor::Watcher::run(EventThread::Run& thread) {
  for (const auto& known : known_) {
    if (!thread.call([&] { changed_(nullptr, &known.second); })) return;
  }
  told_.set_value();
  std::int64_t rest_until_ns = 0;
  while (!watch_.interrupted()) {
    std::int64_t now_ns = monotonic_ns();
    watch_.wait(known_.empty() ? INT64_MAX : now_ns + kLateNs);
    watch_.sleep_until(rest_until_ns);
    if (watch_.interrupted()) return;
    now_ns = monotonic_ns();
    if (!look(thread)) return;
    const std::int64_t end_ns = monotonic_ns();
    rest_until_ns = end_ns + (kShare - 1) * (end_ns - now_ns);
  }
}

}  // namespace possum
