// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Names for channels, and what must not remain of them: entries in /dev/shm, mappings and
// descriptors are counted around every test.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "require.h"

namespace elements {

inline std::string channel_prefix() { return "t" + std::to_string(getpid()) + "-"; }

// A name that no other test uses.
inline std::string new_channel() {
  static int count = 0;
  return channel_prefix() + std::to_string(count++);
}

// Of the channels of this test.
inline std::vector<std::string> shm_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    const std::string name = entry.path().filename();
    if (name.find("." + channel_prefix()) != std::string::npos) names.push_back(name);
  }
  return names;
}

inline std::vector<std::string> mappings() {
  std::ifstream maps("/proc/self/maps");
  std::vector<std::string> list;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/dev/shm/possum-") != std::string::npos) list.push_back(line);
  }
  return list;
}

// What each open descriptor is.
inline std::vector<std::string> list_descriptors() {
  std::vector<std::string> list;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code closed;  // the one of this loop
    const auto target = std::filesystem::read_symlink(entry.path(), closed);
    if (!closed) list.push_back(target);
  }
  return list;
}

inline std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "\n" + line;
  return text;
}

// For a checked fixture: before each test, and after it.
inline std::size_t descriptors_before = 0;

inline void count_leftovers() { descriptors_before = list_descriptors().size(); }

inline void expect_no_leftovers() {
  require(shm_names().empty(), "left in /dev/shm:" + joined(shm_names()));
  require(mappings().empty(), "a channel is still mapped:" + joined(mappings()));
  const std::vector<std::string> now = list_descriptors();
  require(now.size() == descriptors_before,
          std::to_string(descriptors_before) + " descriptors before, now" + joined(now));
}

}  // namespace elements
