// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "history.h"

namespace tool {
namespace {

constexpr unsigned kWriter = possum::transport::layout::kReaders;
constexpr double kNsPerSecond = 1e9;

}  // namespace

History::Key History::key_of(const possum::inspect::ObservedChannel& channel) {
  return {channel.name, channel.incarnation, kWriter, 0};
}

History::Key History::key_of(const possum::inspect::ObservedChannel& channel,
                             const possum::inspect::ObservedReader& reader) {
  return {channel.name, channel.incarnation, reader.index, reader.epoch};
}

// A counter that runs backwards begins anew.
History::Counter History::count(const Key& key, std::uint64_t frames,
                                std::int64_t now_ns) const {
  Counter counter = {frames, now_ns, std::nullopt};
  const auto before = counters_.find(key);
  if (before == counters_.end()) return counter;
  const Counter& then = before->second;
  if (frames >= then.frames && now_ns > then.at_ns) {
    counter.fps = static_cast<double>(frames - then.frames) * kNsPerSecond /
                  static_cast<double>(now_ns - then.at_ns);
  }
  return counter;
}

void History::add(std::vector<possum::inspect::ObservedChannel>& channels) {
  std::map<Key, Counter> counters;
  std::map<Key, possum::inspect::ObservedFrame> frames;
  for (possum::inspect::ObservedChannel& channel : channels) {
    if (!channel.live()) continue;
    const Key key = key_of(channel);
    counters[key] = count(key, channel.frames, channel.looked_ns);
    for (const possum::inspect::ObservedReader& reader : channel.readers) {
      const Key page = key_of(channel, reader);
      counters[page] = count(page, reader.frames, channel.looked_ns);
    }
    const auto before = frames_.find(key);
    if (!channel.frame && before != frames_.end()) channel.frame = before->second;
    if (channel.frame) frames[key] = *channel.frame;
  }
  counters_ = std::move(counters);
  frames_ = std::move(frames);
}

std::optional<double> History::fps(const Key& key) const {
  const auto found = counters_.find(key);
  return found == counters_.end() ? std::nullopt : found->second.fps;
}

std::optional<double> History::fps(
    const possum::inspect::ObservedChannel& channel) const {
  return fps(key_of(channel));
}

std::optional<double> History::fps(const possum::inspect::ObservedChannel& channel,
                                   const possum::inspect::ObservedReader& reader) const {
  return fps(key_of(channel, reader));
}

}  // namespace tool
