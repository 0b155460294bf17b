// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "json.h"

#include <bit>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "view.h"

namespace tool {
namespace {

using Json = nlohmann::ordered_json;
using possum::inspect::ObservedChannel;

// Texts are valid UTF-8 by now; if one were not, it should cost its bytes and no abort.
void print(const Json& document, int indent) {
  std::puts(document.dump(indent, ' ', false, Json::error_handler_t::replace).c_str());
}

template <class T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json slot_numbers(std::uint32_t mask) {
  Json numbers = Json::array();
  for (std::uint32_t rest = mask; rest != 0; rest &= rest - 1) {
    numbers.push_back(std::countr_zero(rest));
  }
  return numbers;
}

Json reader_json(const possum::inspect::ObservedReader& reader) {
  return {
      {"index", reader.index},
      {"epoch", reader.epoch},
      {"state", state_text(reader)},
      {"pid", reader.pid},
      {"command", reader.name},
      {"policy", policy_text(reader)},
      {"depth", reader.depth},
      {"offered", slot_numbers(reader.offered)},
      {"held", slot_numbers(reader.taken)},
      {"frames", reader.frames},
      {"missed", reader.missed},
      {"copied", reader.copied},
  };
}

Json slot_json(const possum::inspect::ObservedSlot& slot) {
  return {
      {"slot", slot.index},
      {"object", slot.object},
      {"seq", slot.seq},
      {"bytes", slot.bytes},
  };
}

Json frame_json(const possum::inspect::ObservedFrame& frame) {
  return {
      {"slot", frame.slot},
      {"seq", frame.seq},
      {"bytes", frame.bytes},
      {"caps", frame.caps},
  };
}

template <class List, class Function>
Json array_of(const List& list, Function json_of) {
  Json array = Json::array();
  for (const auto& item : list) array.push_back(json_of(item));
  return array;
}

void add_inside(const ObservedChannel& channel, Json& json) {
  json["incarnation"] = incarnation_text(channel.incarnation);
  json["attachable"] = channel.attachable;
  json["allow-blocking"] = channel.allows_blocking;
  json["frames"] = channel.frames;
  json["bytes"] = channel.bytes;
  json["zero-copy"] = channel.zero_copy;
  json["copied"] = channel.copied;
  json["no-slot"] = channel.no_slot;
  json["age-ns"] = or_null(age_ns(channel));
  json["frame"] = channel.frame ? frame_json(*channel.frame) : Json(nullptr);
  json["slots"] = array_of(channel.slots, slot_json);
  json["readers"] = array_of(channel.readers, reader_json);
}

Json channel_json(const ObservedChannel& channel) {
  Json json = {{"channel", channel.name},
               {"state", possum::inspect::text_of(channel.condition)}};
  if (!channel.problem.empty()) json["problem"] = channel.problem;
  if (!channel.frame_problem.empty()) json["frame-problem"] = channel.frame_problem;
  if (channel.owner) {
    json["uid"] = *channel.owner;
    json["gid"] = channel.group;
    json["mode"] = mode_text(channel.mode);
  }
  if (channel.version != 0) {
    json["pid"] = channel.pid;
    json["command"] = channel.writer;
    json["layout"] = channel.version;
  }
  if (channel.live()) add_inside(channel, json);
  if (!channel.left.empty()) {
    json["left"] = channel.left;
    json["left-bytes"] = channel.left_bytes;
  }
  return json;
}

Json with_rates(const ObservedChannel& channel, const History& history) {
  Json json = channel_json(channel);
  if (!channel.live()) return json;
  json["fps"] = or_null(history.fps(channel));
  for (std::size_t i = 0; i < channel.readers.size(); ++i) {
    json["readers"][i]["fps"] = or_null(history.fps(channel, channel.readers[i]));
  }
  return json;
}

constexpr int kIndent = 2;
constexpr int kOneLine = -1;

}  // namespace

void JsonArray::add(const ObservedChannel& channel) {
  std::puts(empty_ ? "[" : ",");
  empty_ = false;
  const std::string text =
      channel_json(channel).dump(kIndent, ' ', false, Json::error_handler_t::replace);
  // Newlines of texts are escaped: what there are end lines of the document.
  std::fputs("  ", stdout);
  for (const char c : text) {
    std::putchar(c);
    if (c == '\n') std::fputs("  ", stdout);
  }
}

void JsonArray::end() { std::puts(empty_ ? "[]" : "\n]"); }

void print_json(const ObservedChannel& channel) { print(channel_json(channel), kIndent); }

void print_json(const std::vector<Cleaned>& results) {
  const auto json_of = [](const Cleaned& cleaned) {
    Json json = {{"channel", cleaned.channel},
                 {"result", cleaned.result},
                 {"names", cleaned.names}};
    if (!cleaned.problem.empty()) json["problem"] = cleaned.problem;
    return json;
  };
  print(array_of(results, json_of), kIndent);
}

void print_json(const std::vector<ObservedChannel>& channels, const History& history) {
  print(array_of(channels,
                 [&](const ObservedChannel& c) { return with_rates(c, history); }),
        kOneLine);
}

}  // namespace tool
