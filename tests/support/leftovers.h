// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Names for channels, and what must not remain of them: names in /dev/shm, descriptors,
// mappings and memory.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace support {

inline constexpr char kShm[] = "/dev/shm";

// Begins the names of all channels that the tests of this process make up.
inline std::string channel_prefix(pid_t process = getpid()) {
  return "t" + std::to_string(process) + ".";
}

// A channel name that no other test uses.
inline std::string unique_channel() {
  static int count = 0;
  return channel_prefix() + std::to_string(++count);
}

// The names in /dev/shm that belong to the channels of a process.
inline std::vector<std::string> own_names(pid_t process = getpid()) {
  std::vector<std::string> names;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(kShm, none)) {
    std::string name = entry.path().filename();
    if (name.find("." + channel_prefix(process)) != std::string::npos) {
      names.push_back(std::move(name));
    }
  }
  return names;
}

// The names in /dev/shm that belong to a channel.
inline std::vector<std::string> names_of(std::string_view channel) {
  const std::string control = "possum-c." + std::string(channel);
  const std::string data = "possum-d." + std::string(channel) + ".";
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kShm)) {
    std::string name = entry.path().filename();
    if (name == control || name.starts_with(data)) names.push_back(std::move(name));
  }
  return names;
}

// One of process.cpp's, which is open as long as this program runs.
inline int not_the_tests_descriptor = -1;

// What each open descriptor of a process is: "NUMBER -> WHAT".
inline std::vector<std::string> open_descriptors(const std::string& process = "self") {
  std::vector<std::string> list;
  const std::string hidden = std::to_string(not_the_tests_descriptor);
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + process + "/fd")) {
    std::error_code closed;  // the descriptor of this loop
    const std::string number = entry.path().filename();
    const auto target = std::filesystem::read_symlink(entry.path(), closed);
    if (!closed && !target.native().ends_with("/fd") &&
        (process != "self" || number != hidden)) {
      list.push_back(number + " -> " + target.string());
    }
  }
  return list;
}

// The lines of /proc/self/maps that are channels'.
inline std::vector<std::string> channel_mappings() {
  std::ifstream maps("/proc/self/maps");
  std::vector<std::string> list;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/dev/shm/possum-") != std::string::npos) list.push_back(line);
  }
  return list;
}

// Resident private memory; shared memory comes and goes with the frames.
inline std::size_t private_kib(const std::string& process = "self") {
  std::ifstream status("/proc/" + process + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) return std::stoul(line.substr(8));
  }
  return 0;
}

// Freed memory that AddressSanitizer keeps back looks like growth.
#ifdef __SANITIZE_ADDRESS__
inline constexpr bool kSanitized = true;
#else
inline constexpr bool kSanitized = false;
#endif

inline std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "\n" + line;
  return text;
}

}  // namespace support
