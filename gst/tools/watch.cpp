// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include <bit>
#include <cstdio>
#include <optional>

#include <unistd.h>

#include "base/clock.h"
#include "commands.h"
#include "history.h"
#include "json.h"
#include "look.h"
#include "table.h"
#include "terminal.h"
#include "view.h"

namespace tool {
namespace {

using possum::inspect::ObservedChannel;
using possum::inspect::ObservedReader;

std::vector<std::string> channel_row(const ObservedChannel& channel,
                                     const History& history) {
  const auto age = age_ns(channel);
  const bool live = channel.live();
  return {channel.name,
          possum::inspect::text_of(channel.condition),
          pid_text(channel.pid),
          rate_text(history.fps(channel)),
          age ? age_text(*age) : "",
          live ? std::to_string(std::popcount(channel.held())) + "/" +
                     std::to_string(channel.slots.size())
               : "",
          live ? std::to_string(channel.no_slot) : "",
          picture_size(channel),
          format(channel),
          live ? std::to_string(channel.attached()) : "",
          channel.writer};
}

// What a channel's columns mean for one of its readers.
std::vector<std::string> reader_row(const ObservedChannel& channel,
                                    const ObservedReader& reader,
                                    const History& history) {
  return {"  reader " + std::to_string(reader.index),
          state_text(reader),
          pid_text(reader.pid),
          rate_text(history.fps(channel, reader)),
          "",
          reader.taken == 0 ? "" : "slot " + slots_text(reader.taken),
          std::to_string(reader.missed),
          policy_text(reader),
          std::to_string(std::popcount(reader.offered)) + "/" +
              std::to_string(reader.depth) + " wait",
          "",
          reader.name};
}

// The order is that of a narrow terminal, which shows the first 79 cells.
Table table_of(const std::vector<ObservedChannel>& channels, const History& history) {
  Table table({{"CHANNEL"},
               {"STATE"},
               {"PID", Align::right},
               {"FPS", Align::right},
               {"AGE", Align::right},
               {"HELD", Align::right},
               {"DROPPED", Align::right},
               {"SIZE"},
               {"FORMAT"},
               {"READERS", Align::right},
               {"COMMAND"}});
  for (const ObservedChannel& channel : channels) {
    table.add(channel_row(channel, history));
    for (const ObservedReader& reader : channel.readers) {
      table.add(reader_row(channel, reader, history));
    }
    if (channel.condition != possum::inspect::ChannelCondition::dead &&
        !channel.problem.empty()) {
      table.note("  " + channel.problem);
    }
    if (!channel.frame_problem.empty() && !channel.frame) {
      table.note("  " + channel.frame_problem);
    }
  }
  return table;
}

class Watch {
 public:
  explicit Watch(const Options& options) : options_(options) {}
  int run();

 private:
  bool look();
  // False: to the end. Looks again at the next interval only.
  bool wait_next();
  bool plain() const {
    return options_.json || options_.count > 0 || !Screen::possible();
  }
  std::vector<std::string> page() const;
  void report();

  const Options& options_;
  Wakeups wakeups_;
  std::optional<Screen> screen_;
  History history_;
  std::vector<ObservedChannel> channels_;
  bool complete_ = true;  // no channel was left out
  std::int64_t next_ns_ = 0;
};

bool Watch::look() {
  channels_.clear();
  if (options_.channels.empty()) {
    if (!look_at_all(
            [this](ObservedChannel channel) { channels_.push_back(std::move(channel)); },
            complete_)) {
      return false;
    }
  } else {
    channels_.push_back(possum::inspect::observe_channel(options_.channels.front()));
  }
  history_.add(channels_);
  return true;
}

std::vector<std::string> Watch::page() const {
  std::vector<std::string> lines = {
      "possum: " + std::to_string(channels_.size()) +
          (channels_.size() == 1 ? " channel" : " channels") + ", q ends",
      ""};
  if (!complete_) lines.back() = left_out_text();
  const std::vector<std::string> rows = table_of(channels_, history_).lines();
  lines.insert(lines.end(), rows.begin(), rows.end());
  return lines;
}

void Watch::report() {
  if (screen_) {
    screen_->draw(page());
  } else if (options_.json) {
    print_json(channels_, history_);
  } else {
    print(table_of(channels_, history_).lines());
    std::puts("");
  }
  std::fflush(stdout);
}

bool Watch::wait_next() {
  next_ns_ += options_.interval_ns;
  // Looks that could not be made, as after a stop, are not made up for.
  const std::int64_t now_ns = possum::monotonic_ns();
  if (next_ns_ < now_ns) next_ns_ = now_ns;
  for (;;) {
    switch (wakeups_.wait(next_ns_, screen_ && isatty(STDIN_FILENO) == 1)) {
      case Wakeups::Event::time:
        return true;
      case Wakeups::Event::quit:
        return false;
      case Wakeups::Event::suspend:
        if (screen_) {
          screen_->suspend();
          report();
        } else {
          raise(SIGSTOP);
        }
        break;
      case Wakeups::Event::resize:
        if (screen_) report();
        break;
    }
  }
}

// Lines are for scripts: they begin when there are rates to tell.
int Watch::run() {
  next_ns_ = possum::monotonic_ns();
  if (!look()) return kNothing;
  if (!plain()) {
    screen_.emplace();
    report();
  }
  for (std::uint64_t reports = 0; wait_next();) {
    if (!look()) return kNothing;
    report();
    if (std::ferror(stdout) != 0) return kNothing;
    if (++reports == options_.count) break;
  }
  if (screen_ || options_.channels.empty()) return kOk;
  return status_of(channels_.front());
}

}  // namespace

int watch(const Options& options) { return Watch(options).run(); }

}  // namespace tool
