// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "look.h"

#include <cstdio>

#include "base/shm_object.h"

namespace tool {

bool look_at_all(const See& see, bool& complete) {
  std::vector<possum::inspect::ChannelFiles> found;
  possum::Error error;
  if (!possum::inspect::list_channels(found, error, &complete)) {
    std::fprintf(stderr, "possum: %s (%s)\n", error.message.c_str(),
                 error.detail.c_str());
    return false;
  }
  for (const possum::inspect::ChannelFiles& files : found) {
    possum::inspect::ObservedChannel channel = possum::inspect::observe_channel(files);
    if (channel.condition != possum::inspect::ChannelCondition::absent)
      see(std::move(channel));
  }
  return true;
}

std::string left_out_text() {
  return "another user has more than " +
         std::to_string(possum::inspect::kMaxChannelsOfOthers) +
         " names of channels in " + possum::kShmDirectory + ": the rest is left out";
}

}  // namespace tool
