// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The launch lines in the documentation of the plugin's features, as they stand in the
// sources, run: each on a channel of its own, to an end, and without a screen.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include "inspect/observer.h"
#include "support/check.h"
#include "support/players.h"

using namespace support;
using support::Process;

namespace {

bool has(const std::string& line, std::string_view word) {
  return line.find(word) != std::string::npos;
}

// What stands between "|[" and "]|" in the comments of a source file, lines that end with
// a backslash joined with the next.
std::vector<std::string> documented_lines(const std::filesystem::path& source) {
  std::vector<std::string> lines;
  std::ifstream file(source);
  bool inside = false;
  bool joined = false;
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(" * ]|")) inside = false;
    if (inside) {
      if (!joined) lines.emplace_back();
      joined = line.ends_with("\\");
      line = line.substr(line.find_first_not_of(" *"));
      lines.back() += joined ? line.substr(0, line.size() - 1) : line;
    }
    if (line.ends_with("|[")) inside = true;
  }
  return lines;
}

std::vector<std::filesystem::path> sources() {
  std::vector<std::filesystem::path> list;
  const std::filesystem::path root = env("POSSUM_SOURCE_ROOT");
  for (const auto& entry : std::filesystem::directory_iterator(root / "gst" / "possum")) {
    if (entry.path().extension() == ".cpp") list.push_back(entry.path());
  }
  std::sort(list.begin(), list.end());
  return list;
}

bool is_launch(const std::string& line) { return line.starts_with("gst-launch-1.0 "); }
bool writes(const std::string& line) { return has(line, "possumsink"); }

// The lines of one source file, one after the other: those that read do so while the last
// one that writes is running.
class Session {
 public:
  ~Session() { end_writer(); }

  void run(const std::string& line) {
    std::printf("   %s\n", line.c_str());
    std::fflush(stdout);
    if (writes(line)) {
      next_writer_ = line;
      return;
    }
    start_writer();
    if (is_launch(line)) {
      start(line).expect_status(0);
    } else if (line.starts_with("gst-play-1.0 ")) {
      play(line);
    } else {
      Process tool = start(line);
      tool.wait_line("possumsrc channel=" + channel_);
      tool.expect_status(0);
    }
  }

 private:
  // The same line, but for its channel, its screen and its length.
  std::string bounded(std::string line) const {
    line = replaced(line, "possumsink", "possumsink channel=" + channel_);
    // A lossless reader ends with its writer.
    const std::string end = has(line, "leaky-type=none") ? "" : "num-buffers=5 ";
    line = replaced(line, "possumsrc", "possumsrc " + end + "channel=" + channel_);
    line = replaced(line, "possum://default", "possum://" + channel_);
    line = replaced(line, "autovideosink", "fakesink");
    line = replaced(line, "gst-play-1.0",
                    "gst-play-1.0 --no-interactive "
                    "--videosink=fakesink");
    return replaced(line, "gst-launch-1.0", env("POSSUM_LAUNCH") + " -e");
  }
  Process start(const std::string& line) const {
    return support::shell("cd " + directory_.file("") + " && exec " + bounded(line));
  }
  void start_writer() {
    if (next_writer_.empty()) return;
    end_writer();
    writer_.emplace(start(next_writer_));
    ends_by_itself_ = has(next_writer_, "num-buffers");
    // One that waits for its reader has no frame yet.
    if (!has(next_writer_, "min-readers")) await_frame();
    next_writer_.clear();
  }
  void await_frame() const {
    support::launch("possumsrc num-buffers=1 channel=CHANNEL ! fakesink", channel_)
        .expect_status(0);
  }
  // At the writer's EOS a player is at the end of what it plays.
  void play(const std::string& line) {
    Process player = start(line);
    for (int tries = 0; possum::inspect::observe_channel(channel_).attached() == 0;
         ++tries) {
      if (tries > 100 * support::kBoundSeconds) player.fail("does not read");
      usleep(10'000);  // no event tells who reads
    }
    end_writer();
    player.expect_status(0);
  }
  // -e makes an EOS of it.
  void end_writer() {
    if (!writer_) return;
    if (!ends_by_itself_) writer_->signal(SIGINT);
    writer_->expect_status(0);
    writer_.reset();
  }

  const std::string channel_ = support::unique_channel();
  const support::TemporaryDirectory directory_;
  bool ends_by_itself_ = false;
  std::string next_writer_;  // until somebody reads
  std::optional<Process> writer_;
};

// How many were run.
template <class Wanted>
int run_lines(const Wanted& wanted) {
  int count = 0;
  for (const auto& source : sources()) {
    Session session;
    for (const std::string& line : documented_lines(source)) {
      if (!wanted(line)) continue;
      session.run(line);
      ++count;
    }
  }
  return count;
}

void need_tool(const std::string& name) {
  if (std::system(("command -v " + name + " >/dev/null").c_str()) == 0) return;
  check::skip("no " + name + ": install gstreamer1.0-plugins-base-apps");
}

}  // namespace

TEST(launch_lines_run) { CHECK(run_lines(is_launch) >= 8); }

// Those of GStreamer's tools, and the writers that they look at.
TEST(lines_of_tools_run) {
  if (!has(env("POSSUM_LAUNCH"), "gst-launch-1.0")) {
    check::skip("GStreamer's tools cannot load a sanitized plugin");
  }
  need_tool("gst-play-1.0");
  need_tool("gst-device-monitor-1.0");
  int tools = 0;
  run_lines([&tools](const std::string& line) {
    tools += !is_launch(line);
    return !is_launch(line) || writes(line);
  });
  CHECK(tools >= 2);
}
