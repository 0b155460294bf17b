// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Verbs for tests whose pipelines are processes. A pipeline is written as one would type
// it in a shell; CHANNEL in it stands for the channel that is passed.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "leftovers.h"
#include "process.h"

namespace support {

inline std::string env(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr) {
    std::fprintf(stderr, "%s is not set: run this by `meson test`\n", name);
    std::abort();
  }
  return value;
}

inline std::string replaced(std::string text, std::string_view what,
                            std::string_view by) {
  for (std::size_t at = 0; (at = text.find(what, at)) != std::string::npos;
       at += by.size()) {
    text.replace(at, what.size(), by);
  }
  return text;
}

// gst-launch-1.0 [-e] PIPELINE
inline Process launch(const std::string& pipeline, const std::string& channel = "",
                      const ProcessOptions& options = {}) {
  return shell(
      "exec " + env("POSSUM_LAUNCH") + " " + replaced(pipeline, "CHANNEL", channel),
      options);
}

// possum-player [OPTION...] PIPELINE, see player.cpp
inline Process play(const std::string& pipeline, const std::string& channel = "",
                    const ProcessOptions& options = {}) {
  return shell(
      "exec " + env("POSSUM_PLAYER") + " " + replaced(pipeline, "CHANNEL", channel),
      options);
}

// Live pictures that prove themselves, see player.cpp; what follows takes them. Sources
// that are not live begin with kStamp.
inline constexpr char kStamp[] = "videotestsrc name=stamp pattern=ball ";
inline std::string live_pictures(
    const std::string& format = "format=I420,width=320,height=240") {
  return std::string(kStamp) + "is-live=true ! video/x-raw," + format +
         ",framerate=60/1 ! ";
}

// The first number after `key` in a line such as a printed GstStructure or "frame 7 ...".
inline std::int64_t number_after(const std::string& line, std::string_view key) {
  std::size_t at = line.find(key);
  if (at == std::string::npos) {
    std::fprintf(stderr, "no %s in: %s\n", std::string(key).c_str(), line.c_str());
    std::abort();
  }
  at += key.size();
  if (line.compare(at, 2, "=(") == 0) at = line.find(')', at) + 1;
  return std::atoll(line.c_str() + at);
}

// What element `name` of a player says of itself now.
inline std::string stats_of(Process& player, const std::string& name) {
  player.tell("stats " + name);
  return player.wait_line("stats " + name + " ");
}

// The number in the next line that reports a frame.
inline std::int64_t next_frame(Process& player) {
  return number_after(player.wait_line("frame "), "frame ");
}

// Waits for a frame that comes at least `count` frames after now.
inline void await_frames(Process& player, std::int64_t count) {
  player.catch_up();
  const std::int64_t first = next_frame(player);
  while (next_frame(player) < first + count) {
  }
}

inline void end(Process& player) {
  player.signal(SIGINT);
  player.expect_status(0);
}

// A directory that goes with its owner.
class TemporaryDirectory {
 public:
  TemporaryDirectory() = default;
  ~TemporaryDirectory() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string file(const std::string& name) const { return path_ / name; }

 private:
  const std::filesystem::path path_{make_directory()};
};

inline std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace support
