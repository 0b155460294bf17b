// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "view.h"

#include <algorithm>
#include <bit>
#include <cinttypes>
#include <cstdio>

#include "base/caps_text.h"
#include "base/clock.h"
#include "base/text.h"
#include "options.h"
#include "table.h"

namespace tool {
namespace {

using possum::kMs;
using possum::inspect::ChannelCondition;
using possum::inspect::ObservedChannel;
using possum::inspect::ObservedReader;
namespace layout = possum::transport::layout;

// A writer's own words, which must not push the other columns away.
constexpr std::size_t kMaxField = 32;
constexpr std::int64_t kSecond = 1000 * kMs;
constexpr std::int64_t kMinute = 60 * kSecond;
constexpr std::int64_t kHour = 60 * kMinute;

template <class... Values>
std::string printed(const char* pattern, Values... values) {
  char text[64];
  std::snprintf(text, sizeof text, pattern, values...);
  return text;
}

}  // namespace

std::string caps_field(const std::string& caps, const std::string& name) {
  const auto parsed = possum::CapsText::parse(caps);
  const auto* const field = parsed ? parsed->find(name) : nullptr;
  if (field == nullptr || !field->fixed) return "";
  return possum::plain_text(field->value, kMaxField);
}

std::string picture_size(const ObservedChannel& channel) {
  if (!channel.frame) return "";
  const std::string width = caps_field(channel.frame->caps, "width");
  const std::string height = caps_field(channel.frame->caps, "height");
  return width.empty() || height.empty() ? "" : width + "x" + height;
}

std::string format(const ObservedChannel& channel) {
  if (!channel.frame) return "";
  const std::string& caps = channel.frame->caps;
  const std::string format = caps_field(caps, "format");
  if (!format.empty()) return format;
  const auto parsed = possum::CapsText::parse(caps);
  return parsed ? possum::plain_text(parsed->media_type, kMaxField) : "";
}

std::string bytes_text(std::uint64_t bytes) {
  constexpr const char* kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  for (; value >= 1024 && unit + 1 < std::size(kUnits); ++unit) value /= 1024;
  return printed(unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
}

std::string age_text(std::int64_t age_ns) {
  if (age_ns < kSecond) return printed("%" PRId64 " ms", age_ns / kMs);
  const double seconds = static_cast<double>(age_ns) / kSecond;
  if (age_ns < kMinute) return printed("%.1f s", seconds);
  if (age_ns < kHour) return printed("%.1f min", seconds / 60);
  return printed("%.1f h", seconds / 3600);
}

std::string rate_text(const std::optional<double>& fps) {
  return fps ? printed("%.1f", *fps) : "";
}

std::string slots_text(std::uint32_t mask) {
  std::string text;
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    text += (text.empty() ? "" : ",") + std::to_string(std::countr_zero(rest));
  }
  return text;
}

std::string mode_text(unsigned mode) { return printed("%04o", mode); }

std::string incarnation_text(std::uint64_t incarnation) {
  return printed("%016" PRIx64, incarnation);
}

const char* policy_text(const ObservedReader& reader) {
  switch (reader.policy) {
    case possum::transport::layout::Policy::drop_oldest:
      return "drop-oldest";
    case possum::transport::layout::Policy::drop_newest:
      return "drop-newest";
    case possum::transport::layout::Policy::blocking:
      return reader.demoted ? "demoted" : "blocking";
  }
  return "?";
}

const char* state_text(const ObservedReader& reader) {
  if (!reader.alive) return "dead";
  switch (reader.state) {
    case possum::transport::layout::PageState::free:
      return "attaching";
    case possum::transport::layout::PageState::active:
      return "active";
    case possum::transport::layout::PageState::left:
      return "left";
  }
  return "?";
}

std::string pid_text(std::uint32_t pid) { return pid == 0 ? "" : std::to_string(pid); }

std::optional<std::int64_t> age_ns(const ObservedChannel& channel) {
  if (!channel.last_publish_ns) return std::nullopt;
  return channel.looked_ns - *channel.last_publish_ns;
}

int status_of(const ObservedChannel& channel) {
  switch (channel.condition) {
    case ChannelCondition::ready:
    case ChannelCondition::eos:
    case ChannelCondition::setting_up:
      return kOk;
    case ChannelCondition::dead:
    case ChannelCondition::absent:
      return kNothing;
    case ChannelCondition::unreadable:
    case ChannelCondition::incompatible:
    case ChannelCondition::damaged:
      return kUnreadable;
  }
  return kNothing;
}

void complain(const std::string& channel, const std::string& text) {
  std::fprintf(stderr, "possum: %s: %s\n", channel.c_str(), shown(text).c_str());
}

std::vector<std::string> complaints_about(const ObservedChannel& channel) {
  std::vector<std::string> texts;
  if (channel.condition != ChannelCondition::dead && !channel.problem.empty()) {
    texts.push_back(channel.problem);
  }
  if (!channel.frame_problem.empty()) texts.push_back(channel.frame_problem);
  return texts;
}

void complain(const ObservedChannel& channel) {
  for (const std::string& text : complaints_about(channel)) complain(channel.name, text);
}

}  // namespace tool
