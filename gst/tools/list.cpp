// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include <cstdio>

#include "base/users.h"
#include "commands.h"
#include "json.h"
#include "look.h"
#include "table.h"
#include "view.h"

namespace tool {
namespace {

std::vector<std::string> row(const possum::inspect::ObservedChannel& channel) {
  const auto age = age_ns(channel);
  return {channel.name,
          possum::inspect::text_of(channel.condition),
          picture_size(channel),
          format(channel),
          channel.frame ? caps_field(channel.frame->caps, "framerate") : "",
          channel.live() ? std::to_string(channel.attached()) : "",
          age ? age_text(*age) : "",
          channel.owner ? possum::user_text(*channel.owner) : "",
          pid_text(channel.pid),
          channel.writer};
}

Table empty_table() {
  return Table({{"CHANNEL"},
                {"STATE"},
                {"SIZE"},
                {"FORMAT"},
                {"RATE"},
                {"READERS", Align::right},
                {"AGE", Align::right},
                {"OWNER"},
                {"PID", Align::right},
                {"COMMAND"}});
}

// Only lines are kept: there may be thousands of channels.
bool list_table(bool& any, bool& complete) {
  Table table = empty_table();
  std::vector<std::pair<std::string, std::string>> complaints;
  if (!look_at_all(
          [&](const possum::inspect::ObservedChannel& channel) {
            table.add(row(channel));
            for (std::string& text : complaints_about(channel)) {
              complaints.emplace_back(channel.name, std::move(text));
            }
          },
          complete)) {
    return false;
  }
  any = !table.empty();
  if (any) {
    print(table.lines());
    std::fflush(stdout);
  }
  for (const auto& [channel, text] : complaints) complain(channel, text);
  return true;
}

bool list_names(bool& any, bool& complete) {
  return look_at_all(
      [&](const possum::inspect::ObservedChannel& channel) {
        any = true;
        std::puts(channel.name.c_str());
      },
      complete);
}

bool list_json(bool& any, bool& complete) {
  JsonArray array;
  if (!look_at_all(
          [&](const possum::inspect::ObservedChannel& channel) {
            any = true;
            array.add(channel);
          },
          complete)) {
    return false;
  }
  array.end();
  return true;
}

}  // namespace

int list(const Options& options) {
  bool any = false;
  bool complete = true;
  if (!(options.json         ? list_json(any, complete)
        : options.names_only ? list_names(any, complete)
                             : list_table(any, complete))) {
    return kNothing;
  }
  if (!complete) std::fprintf(stderr, "possum: %s\n", left_out_text().c_str());
  if (!any && !options.json && !options.names_only) {
    std::fputs("possum: there are no channels\n", stderr);
  }
  return any ? kOk : kNothing;
}

}  // namespace tool
