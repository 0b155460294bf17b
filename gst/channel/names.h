// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What channels are called by people, and their objects in the shm mount.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/shm_watch.h"

namespace possum {

// [A-Za-z0-9_][A-Za-z0-9._-]{0,119}
bool valid_channel_name(std::string_view name);

// As shm_open(3) takes them, with a slash in front.
std::string control_name(std::string_view channel);
ShmWatch::Prefix all_control_names();
std::string data_name(std::string_view channel, std::uint64_t incarnation,
                      std::uint32_t object);

// What the name of a file in the shm mount says. Nothing of files that are none of ours.
struct FileName {
  std::string channel;
  bool control = false;  // else a data object
  std::uint64_t incarnation = 0;
  std::uint32_t object = 0;
};
std::optional<FileName> parse_file_name(std::string_view file);

// Calls `each` with the name, as shm_open(3) takes it, of each data object of the
// channel, or of one of its incarnations. One after the other: other users can make any
// number of such names.
void for_data_names(const std::string& channel, std::optional<std::uint64_t> incarnation,
                    const std::function<void(const std::string& name)>& each);

}  // namespace possum
