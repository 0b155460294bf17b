// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "names.h"

#include <dirent.h>

#include <algorithm>
#include <charconv>
#include <cinttypes>
#include <cstdio>

#include "base/shm_object.h"

namespace possum {
namespace {

constexpr std::size_t kMaxName = 120;
constexpr std::string_view kControlPrefix = "/possum-c.";
constexpr std::string_view kDataPrefix = "/possum-d.";
constexpr std::size_t kDataSuffix = 1 + 16 + 1 + 8;  // .INCARNATION.OBJECT

bool name_char(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
         c == '_';
}

// Lower case, with leading zeros: there is one name for each object.
template <class Number>
bool read_hex(std::string_view text, Number& number) {
  const auto digit = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
  };
  std::from_chars(text.data(), text.data() + text.size(), number, 16);
  return std::all_of(text.begin(), text.end(), digit);
}

}  // namespace

bool valid_channel_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name_char(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return name_char(c) || c == '.' || c == '-'; });
}

std::string control_name(std::string_view channel) {
  return std::string(kControlPrefix).append(channel);
}

ShmWatch::Prefix all_control_names() { return {std::string(kControlPrefix)}; }

std::string data_name(std::string_view channel, std::uint64_t incarnation,
                      std::uint32_t object) {
  char suffix[kDataSuffix + 1];
  std::snprintf(suffix, sizeof suffix, ".%016" PRIx64 ".%08" PRIx32, incarnation, object);
  return std::string(kDataPrefix).append(channel) + suffix;
}

std::optional<FileName> parse_file_name(std::string_view file) {
  const std::string_view control = kControlPrefix.substr(1), data = kDataPrefix.substr(1);
  FileName name;
  if (file.starts_with(control)) {
    name.control = true;
    file.remove_prefix(control.size());
  } else if (file.starts_with(data) && file.size() > data.size() + kDataSuffix) {
    // Of a fixed width: what comes before it is a whole name even if that has dots.
    const std::string_view suffix = file.substr(file.size() - kDataSuffix);
    if (suffix[0] != '.' || suffix[17] != '.' ||
        !read_hex(suffix.substr(1, 16), name.incarnation) ||
        !read_hex(suffix.substr(18), name.object)) {
      return std::nullopt;
    }
    file.remove_prefix(data.size());
    file.remove_suffix(kDataSuffix);
  } else {
    return std::nullopt;
  }
  if (!valid_channel_name(file)) return std::nullopt;
  name.channel = file;
  return name;
}

void for_data_names(const std::string& channel, std::optional<std::uint64_t> incarnation,
                    const std::function<void(const std::string& name)>& each) {
  DIR* const dir = opendir(kShmDirectory);
  if (dir == nullptr) return;
  while (const dirent* entry = readdir(dir)) {
    const auto name = parse_file_name(entry->d_name);
    if (name && !name->control && name->channel == channel &&
        name->incarnation == incarnation.value_or(name->incarnation)) {
      each("/" + std::string(entry->d_name));
    }
  }
  closedir(dir);
}

}  // namespace possum
