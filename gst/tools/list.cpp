// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include <cstdio>

#include "commands.h"
#include "json.h"
#include "look.h"
#include "table.h"
#include "transport/channel.h"
#include "view.h"

namespace tool {
namespace {

std::vector<std::string> row(const possum::ObservedChannel& channel) {
  const auto age = age_ns(channel);
  return {channel.name,
          text_of(channel.condition),
          picture_size(channel),
          format(channel),
          channel.frame ? caps_field(channel.frame->caps, "framerate") : "",
          channel.live() ? std::to_string(channel.attached()) : "",
          age ? age_text(*age) : "",
          channel.owner ? possum::user_text(*channel.owner) : "",
          pid_text(channel.pid),
          channel.writer};
}

void print_table(const std::vector<possum::ObservedChannel>& channels) {
  Table table({{"CHANNEL"},
               {"STATE"},
               {"SIZE"},
               {"FORMAT"},
               {"RATE"},
               {"READERS", Align::right},
               {"AGE", Align::right},
               {"OWNER"},
               {"PID", Align::right},
               {"COMMAND"}});
  for (const auto& channel : channels) table.add(row(channel));
  print(table.lines());
  std::fflush(stdout);
  for (const auto& channel : channels) complain(channel);
}

}  // namespace

int list(const Options& options) {
  std::vector<possum::ObservedChannel> channels;
  if (!look_at_all(channels)) return kNothing;
  if (options.json) {
    print_json(channels);
  } else if (options.names_only) {
    for (const auto& channel : channels) std::puts(channel.name.c_str());
  } else if (channels.empty()) {
    std::fputs("possum: there are no channels\n", stderr);
  } else {
    print_table(channels);
  }
  return channels.empty() ? kNothing : kOk;
}

}  // namespace tool
