// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "look.h"

#include <cstdio>

namespace tool {

bool look_at_all(std::vector<possum::ObservedChannel>& channels) {
  std::vector<possum::ChannelFiles> found;
  possum::Error error;
  if (!possum::list_channels(found, error)) {
    std::fprintf(stderr, "possum: %s (%s)\n", error.message.c_str(),
                 error.detail.c_str());
    return false;
  }
  for (const possum::ChannelFiles& files : found) {
    possum::ObservedChannel channel = possum::observe_channel(files.channel);
    if (channel.condition != possum::ChannelCondition::absent) {
      channels.push_back(std::move(channel));
    }
  }
  return true;
}

}  // namespace tool
