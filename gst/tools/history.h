// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What one look alone does not show: how fast counters run, and the caps of frames that
// could not be copied this time.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "inspect/observer.h"

namespace tool {

class History {
 public:
  // Forgets what is no longer there. Frames that are missing in `channels` are taken from
  // the look before, if the writer is the same.
  void add(std::vector<possum::inspect::ObservedChannel>& channels);
  // Frames per second between the last two looks; none after the first.
  std::optional<double> fps(const possum::inspect::ObservedChannel& channel) const;
  std::optional<double> fps(const possum::inspect::ObservedChannel& channel,
                            const possum::inspect::ObservedReader& reader) const;

 private:
  struct Counter {
    std::uint64_t frames = 0;
    std::int64_t at_ns = 0;
    std::optional<double> fps;
  };
  // Incarnation, page and tenancy; the writer's own page is kWriter.
  struct Key {
    std::string channel;
    std::uint64_t incarnation;
    unsigned page;
    std::uint32_t epoch;
    auto operator<=>(const Key&) const = default;
  };
  static Key key_of(const possum::inspect::ObservedChannel& channel);
  static Key key_of(const possum::inspect::ObservedChannel& channel,
                    const possum::inspect::ObservedReader& reader);
  Counter count(const Key& key, std::uint64_t frames, std::int64_t now_ns) const;
  std::optional<double> fps(const Key& key) const;

  std::map<Key, Counter> counters_;
  std::map<Key, possum::inspect::ObservedFrame> frames_;
};

}  // namespace tool
