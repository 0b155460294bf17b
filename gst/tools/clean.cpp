// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <optional>
#include <set>

#include "base/clock.h"
#include "base/shm_watch.h"
#include "base/text.h"
#include "base/users.h"
#include "channel/names.h"
#include "commands.h"
#include "json.h"
#include "look.h"
#include "table.h"
#include "transport/claim.h"
#include "view.h"

namespace tool {
namespace {

using possum::inspect::ChannelCondition;
using possum::inspect::ObservedChannel;

// Between two looks at all of them, however often somebody makes names.
constexpr std::int64_t kRestNs = 20'000'000;
constexpr std::int64_t kReturnNs = possum::kNanosecondsPerSecond;

// For as long as this lives the effective user is another one.
class ActAs {
 public:
  explicit ActAs(uid_t user) : self_(geteuid()) {
    fine_ = user == self_ || seteuid(user) == 0;
  }
  ~ActAs() {
    if (geteuid() != self_ && seteuid(self_) != 0) std::abort();
  }
  ActAs(const ActAs&) = delete;
  ActAs& operator=(const ActAs&) = delete;
  explicit operator bool() const { return fine_; }

 private:
  const uid_t self_;
  bool fine_ = false;
};

// Whose writer left these names.
uid_t owner_of(const ObservedChannel& channel) {
  if (channel.owner) return *channel.owner;
  for (const std::string& file : channel.left) {
    if (const auto info = possum::stat_name("/" + file)) return info->st_uid;
  }
  return geteuid();
}

std::vector<std::string> data_of(const ObservedChannel& channel) {
  const std::string control = possum::control_name(channel.name).substr(1);
  std::vector<std::string> names;
  std::copy_if(channel.left.begin(), channel.left.end(), std::back_inserter(names),
               [&](const std::string& file) { return file != control; });
  return names;
}

bool without_control(const ObservedChannel& channel) {
  return channel.condition == ChannelCondition::dead && !channel.owner;
}

// Looks again at a channel without a control object if it has one now.
bool returned(ObservedChannel* channel) {
  if (!possum::stat_name(possum::control_name(channel->name))) return false;
  *channel = possum::inspect::observe_channel(
      possum::inspect::ChannelFiles{channel->name, true, std::move(channel->left)});
  return true;
}

// Somebody else's, or no channel at all.
Cleaned refused(const ObservedChannel& channel, const std::string& problem) {
  return {channel.name, "refused", {}, problem};
}

std::string foreign(uid_t owner) {
  return "what is left belongs to user " + possum::user_text(owner) +
         ": only that user or root can remove it";
}

// What is left of `files`, but for what was removed.
bool something_stays(const std::vector<std::string>& files,
                     const std::vector<std::string>& removed) {
  const std::set<std::string> gone(removed.begin(), removed.end());
  return std::any_of(files.begin(), files.end(), [&](const std::string& file) {
    return gone.count(file) == 0 && possum::stat_name("/" + file);
  });
}

Cleaned remove_left(const ObservedChannel& channel) {
  const uid_t owner = owner_of(channel);
  const ActAs user(owner);
  if (!user) return refused(channel, foreign(owner));
  Cleaned cleaned = {channel.name, "removed", {}, {}};
  possum::Error error;
  std::vector<std::string> removed;
  // Of what could not be looked at, nobody has asked what there is.
  const std::vector<std::string> data = data_of(channel);
  const possum::transport::ClaimStatus status = possum::transport::clean_channel(
      channel.name, channel.left.empty() ? nullptr : &data, removed, error);
  for (const std::string& name : removed) cleaned.names.push_back(name.substr(1));
  if (status != possum::transport::ClaimStatus::ok) {
    // Somebody was quicker, and cleared it away or will.
    cleaned.result = status == possum::transport::ClaimStatus::busy ? "in-use" : "failed";
    cleaned.problem = possum::plain_text(error.message);
    return cleaned;
  }
  if (something_stays(channel.left, cleaned.names)) {
    cleaned.result = "refused";
    cleaned.problem = "some of its names belong to other users";
  }
  return cleaned;
}

void print_results(const std::vector<Cleaned>& results) {
  for (const Cleaned& cleaned : results) {
    const char* const verb =
        cleaned.result == "would-remove" ? "would remove" : "removed";
    for (const std::string& name : cleaned.names) {
      std::printf("%s %s/%s\n", verb, possum::kShmDirectory, name.c_str());
    }
  }
  std::fflush(stdout);
  for (const Cleaned& cleaned : results) {
    if (!cleaned.problem.empty()) complain(cleaned.channel, cleaned.problem);
  }
}

Cleaned in_use(const ObservedChannel& channel) {
  Cleaned cleaned = {channel.name, "in-use", {}, "a writer is about to be there"};
  if (channel.condition != ChannelCondition::setting_up) {
    cleaned.problem = "it has a live writer, pid " + std::to_string(channel.pid) + " (" +
                      channel.writer + ")";
  }
  return cleaned;
}

// Is there a shared memory object under the name of a channel that cannot be looked at?
bool is_object(const ObservedChannel& channel) {
  const auto info = possum::stat_name(possum::control_name(channel.name));
  return info && S_ISREG(info->st_mode);
}

// Nothing where there is nothing to do or, unless it was named, to say.
std::optional<Cleaned> clean_one(const ObservedChannel& channel, bool named,
                                 bool dry_run) {
  switch (channel.condition) {
    case ChannelCondition::dead:
      if (dry_run) return Cleaned{channel.name, "would-remove", channel.left, {}};
      return remove_left(channel);
    case ChannelCondition::unreadable:
      // One's own, hidden by a umask: a claim can tell whether its writer lives.
      if (channel.owner == geteuid() && !dry_run) return remove_left(channel);
      return refused(channel, channel.problem);
    case ChannelCondition::damaged:
      // One of many hard links, perhaps: a claim can tell whether their writer lives.
      if (is_object(channel) && !dry_run) {
        const Cleaned cleaned = remove_left(channel);
        if (cleaned.result != "in-use") return cleaned;
      }
      return refused(channel, channel.problem);
    case ChannelCondition::absent:
      return std::nullopt;
    case ChannelCondition::ready:
    case ChannelCondition::eos:
    case ChannelCondition::setting_up:
    case ChannelCondition::incompatible:
      break;
  }
  return named ? std::optional(in_use(channel)) : std::nullopt;
}

}  // namespace

// A writer whose names were taken away makes them anew within 250 ms; until then its data
// objects look like those of a dead one. One second for all of them together.
void await_returns(std::vector<ObservedChannel>& channels) {
  std::vector<ObservedChannel*> away;
  for (ObservedChannel& channel : channels) {
    if (without_control(channel)) away.push_back(&channel);
  }
  possum::ShmWatch watch(possum::all_control_names());
  if (!away.empty()) watch.arm();
  const std::int64_t deadline_ns = possum::monotonic_ns() + kReturnNs;
  std::erase_if(away, returned);
  while (!away.empty() && possum::monotonic_ns() < deadline_ns) {
    watch.wait(deadline_ns);
    std::erase_if(away, returned);
    watch.sleep_until(std::min(deadline_ns, possum::monotonic_ns() + kRestNs));
  }
}

// What is alive, or somebody else's, is a failure only if it was named: who cleans up
// everything means what is dead and their own.
int clean(const Options& options) {
  std::vector<ObservedChannel> channels;
  bool complete = true;
  if (options.channels.empty() &&
      !look_at_all(
          [&](ObservedChannel channel) { channels.push_back(std::move(channel)); },
          complete)) {
    return kNothing;
  }
  for (const std::string& name : options.channels) {
    channels.push_back(possum::inspect::observe_channel(name));
  }
  const bool named = !options.channels.empty();
  await_returns(channels);
  std::vector<Cleaned> results;
  for (const ObservedChannel& channel : channels) {
    if (auto cleaned = clean_one(channel, named, options.dry_run)) {
      results.push_back(std::move(*cleaned));
    }
  }
  if (options.json) {
    print_json(results);
  } else {
    print_results(results);
  }
  if (!complete) std::fprintf(stderr, "possum: %s\n", left_out_text().c_str());
  const bool done = std::all_of(results.begin(), results.end(), [&](const Cleaned& c) {
    return c.result == "removed" || c.result == "would-remove" ||
           (c.result == "refused" && !named);
  });
  return done ? kOk : kNothing;
}

}  // namespace tool
