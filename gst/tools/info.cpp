// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include <bit>
#include <cstdio>

#include "base/shm_object.h"
#include "base/users.h"
#include "commands.h"
#include "json.h"
#include "table.h"
#include "view.h"

namespace tool {
namespace {

using possum::inspect::ObservedChannel;

void line(const char* title, const std::string& text) {
  std::printf("%-12s %s\n", title, shown(text).c_str());
}

std::string counted(std::uint64_t count, const char* what) {
  return std::to_string(count) + " " + what;
}

std::string pages_with(const ObservedChannel& channel, unsigned slot,
                       std::uint32_t possum::inspect::ObservedReader::*mask) {
  std::string text;
  for (const possum::inspect::ObservedReader& reader : channel.readers) {
    if ((reader.*mask >> slot & 1) == 0) continue;
    text += (text.empty() ? "" : ", ") + std::to_string(reader.index) + " (pid " +
            std::to_string(reader.pid) + ")";
  }
  return text;
}

void print_slots(const ObservedChannel& channel) {
  line("slots", std::to_string(channel.slots.size()) + " with " +
                    bytes_text(channel.pool_bytes()) + " of shared memory, " +
                    std::to_string(std::popcount(channel.held())) + " held by readers");
  if (channel.slots.empty()) return;
  Table table({{"SLOT", Align::right},
               {"OBJECT", Align::right},
               {"FRAME", Align::right},
               {"BYTES", Align::right},
               {"WAITS FOR READER"},
               {"HELD BY READER"}});
  for (const possum::inspect::ObservedSlot& slot : channel.slots) {
    table.add({std::to_string(slot.index), std::to_string(slot.object),
               slot.seq == 0 ? "" : std::to_string(slot.seq), std::to_string(slot.bytes),
               pages_with(channel, slot.index, &possum::inspect::ObservedReader::offered),
               pages_with(channel, slot.index, &possum::inspect::ObservedReader::taken)});
  }
  print(table.lines(), "  ");
}

void print_readers(const ObservedChannel& channel) {
  line("readers", std::to_string(channel.attached()) + " attached");
  if (channel.readers.empty()) return;
  Table table({{"READER", Align::right},
               {"STATE"},
               {"PID", Align::right},
               {"COMMAND"},
               {"POLICY"},
               {"DEPTH", Align::right},
               {"WAITING", Align::right},
               {"HELD", Align::right},
               {"FRAMES", Align::right},
               {"MISSED", Align::right},
               {"COPIED", Align::right}});
  for (const possum::inspect::ObservedReader& r : channel.readers) {
    table.add({std::to_string(r.index), state_text(r), pid_text(r.pid), r.name,
               policy_text(r), std::to_string(r.depth),
               std::to_string(std::popcount(r.offered)),
               std::to_string(std::popcount(r.taken)), std::to_string(r.frames),
               std::to_string(r.missed), std::to_string(r.copied)});
  }
  print(table.lines(), "  ");
}

void print_inside(const ObservedChannel& channel) {
  line("incarnation", incarnation_text(channel.incarnation));
  line("blocking", channel.allows_blocking ? "readers may hold the writer up"
                                           : "no reader can hold the writer up");
  line("frames", counted(channel.frames, "published (") + bytes_text(channel.bytes) +
                     "), " + counted(channel.zero_copy, "without a copy, ") +
                     counted(channel.copied, "copied, ") +
                     counted(channel.no_slot, "dropped for want of a slot"));
  if (const auto age = age_ns(channel)) line("last frame", age_text(*age) + " ago");
  if (channel.frame) {
    line("newest", "frame " + std::to_string(channel.frame->seq) + " in slot " +
                       std::to_string(channel.frame->slot) + ", " +
                       bytes_text(channel.frame->bytes));
    line("caps", channel.frame->caps);
  }
  print_slots(channel);
  print_readers(channel);
}

void print_all(const ObservedChannel& channel) {
  line("channel", channel.name);
  line("state", possum::inspect::text_of(channel.condition));
  if (channel.owner) {
    line("owner", possum::user_text(*channel.owner) + ", group " +
                      possum::group_text(channel.group) + ", mode " +
                      mode_text(channel.mode));
  }
  if (channel.version != 0) {
    line("writer", "pid " + std::to_string(channel.pid) + ", " + channel.writer);
    line("layout", std::to_string(channel.version));
  }
  if (channel.live()) print_inside(channel);
  if (!channel.left.empty()) {
    line("left",
         counted(channel.left.size(), "names, ") + bytes_text(channel.left_bytes));
    for (const std::string& file : channel.left) {
      std::printf("  %s/%s\n", possum::kShmDirectory, file.c_str());
    }
  }
}

}  // namespace

int info(const Options& options) {
  const ObservedChannel channel =
      possum::inspect::observe_channel(options.channels.front());
  if (options.json) {
    print_json(channel);
  } else if (channel.condition == possum::inspect::ChannelCondition::absent) {
    complain(channel.name, "there is no such channel");
  } else {
    print_all(channel);
    std::fflush(stdout);
    complain(channel);
    if (channel.condition == possum::inspect::ChannelCondition::dead) {
      complain(channel.name, channel.problem);
    }
  }
  return status_of(channel);
}

}  // namespace tool
