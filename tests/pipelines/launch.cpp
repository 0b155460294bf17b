// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The launch lines that the README shows, typed as it shows them, and how they end.

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <thread>

#include "support/check.h"
#include "support/players.h"

using namespace support;
using support::names_of;

namespace {

constexpr char kReadmeSink[] = "videotestsrc ! possumsink";
constexpr char kReadmeSrc[] = "possumsrc ! videoconvert ! autovideosink";

// Other tests may want the channel called "default" too.
class DefaultChannel {
 public:
  DefaultChannel() : fd_(open(lock_file().c_str(), O_RDWR | O_CREAT, 0600)) {
    CHECK(fd_ >= 0);
    CHECK(flock(fd_, LOCK_EX) == 0);
  }
  ~DefaultChannel() { close(fd_); }
  DefaultChannel(const DefaultChannel&) = delete;
  DefaultChannel& operator=(const DefaultChannel&) = delete;

 private:
  static std::string lock_file() {
    return std::filesystem::temp_directory_path() /
           ("possum-test-default-" + std::to_string(getuid()) + ".lock");
  }
  const int fd_;
};

struct Rgb {
  unsigned r, g, b;
};

// A display of its own, whose screen is a file that anyone can look at.
class Display {
 public:
  Display()
      : server_(support::shell(
            "exec Xvfb -displayfd 1 -screen 0 640x480x24 -noreset -nolisten tcp -fbdir " +
            directory_.file(""))) {
    const std::string line = server_.wait_line("");
    name_ = ":" + line;
  }
  // What graphics drivers leak is none of our business.
  support::ProcessOptions options() const {
    return {
        .environment = {"DISPLAY=" + name_, "ASAN_OPTIONS=detect_leaks=0:exitcode=99"}};
  }
  // An XWD file: big-endian words, of which the first is the header's length, the 13th
  // the bytes of a row and the 20th the number of colours (12 bytes each) before the
  // pixels (X11/XWDFile.h).
  Rgb pixel(std::size_t x, std::size_t y) const {
    const std::string screen = support::contents(directory_.file("Xvfb_screen0"));
    const std::size_t at =
        word(screen, 0) + word(screen, 19) * 12 + y * word(screen, 12) + x * 4;
    CHECK(at + 4 <= screen.size());
    return {byte(screen, at + 2), byte(screen, at + 1), byte(screen, at)};
  }

 private:
  static unsigned byte(const std::string& text, std::size_t at) {
    return static_cast<unsigned char>(text.at(at));
  }
  static std::size_t word(const std::string& text, std::size_t n) {
    std::size_t value = 0;
    for (std::size_t i = 0; i < 4; ++i) value = value << 8 | byte(text, 4 * n + i);
    return value;
  }
  TemporaryDirectory directory_;
  Process server_;
  std::string name_;
};

bool high(unsigned value) { return value > 150; }
bool low(unsigned value) { return value < 60; }

// The upper two thirds of the SMPTE pattern, 320 pixels wide, from the left.
bool shows_bars(const Display& display) {
  const struct {
    bool r, g, b;
  } bars[] = {{true, true, true},   {true, true, false}, {false, true, true},
              {false, true, false}, {true, false, true}, {true, false, false},
              {false, false, true}};
  std::size_t n = 0;
  for (const auto& bar : bars) {
    const Rgb seen = display.pixel(23 + 46 * n++, 60);
    const bool same = (bar.r ? high(seen.r) : low(seen.r)) &&
                      (bar.g ? high(seen.g) : low(seen.g)) &&
                      (bar.b ? high(seen.b) : low(seen.b));
    if (!same) return false;
  }
  return true;
}

// A picture on a screen is no event that anything waits for.
void await_bars(const Display& display, Process& viewer) {
  for (int tries = 0; tries < 50 * support::kBoundSeconds; ++tries) {
    if (shows_bars(display)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  viewer.fail("does not show the test picture");
}

// gst-launch-1.0 and possum-player say different things when they play; that a writer is
// there, its channel says.
void await_channel(const std::string& channel) {
  Process reader = play("possumsrc channel=CHANNEL num-buffers=1 ! fakesink", channel);
  reader.expect_status(0);
}

}  // namespace

TEST(readme_lines_show_the_test_picture_whoever_comes_first) {
  const DefaultChannel default_channel;
  for (const bool reader_first : {false, true}) {
    const Display display;
    const auto look = [&] { return launch(kReadmeSrc, "", display.options()); };
    std::optional<Process> viewer;
    if (reader_first) {
      viewer = look();
      viewer->wait_line("Waiting for channel");
      CHECK(!shows_bars(display));
    }
    Process writer = launch(kReadmeSink);
    if (!reader_first) {
      await_channel("default");
      viewer = look();
    }
    await_bars(display, *viewer);
    end(*viewer);
    end(writer);
    CHECK(names_of("default").empty());
  }
}

TEST(every_way_to_look_works) {
  const std::string channel = unique_channel();
  Process writer = launch("videotestsrc ! possumsink channel=CHANNEL", channel);
  const Display display;
  for (const char* sink : {"fakesink", "fakesink sync=true", "fakevideosink",
                           "videoconvert ! fakevideosink", "ximagesink"}) {
    Process viewer = launch(std::string("possumsrc channel=CHANNEL num-buffers=5 ! "
                                        "videoconvert ! ") +
                                sink,
                            channel, display.options());
    viewer.expect_status(0);
  }
  end(writer);
}

TEST(eos_ends_every_side_with_0) {
  for (const bool read : {true, false}) {
    const std::string channel = unique_channel();
    std::optional<Process> reader;
    if (read) {
      reader = launch("possumsrc channel=CHANNEL ! fakesink", channel);
      reader->wait_line("Waiting for channel");
    }
    Process writer =
        launch("videotestsrc num-buffers=30 ! possumsink channel=CHANNEL", channel);
    writer.expect_status(0);
    CHECK(!writer.said("ERROR"));
    if (reader) reader->expect_status(0);
    CHECK(names_of(channel).empty());
  }
}

// Without async=false, an EOS event that comes while the sink prerolls hangs
// gst-launch-1.0 behind any live source (GStreamer 1.22).
TEST(interrupt_ends_every_line_with_0) {
  for (const std::string options : {"", "-e "}) {
    for (const std::string source : {"videotestsrc", "videotestsrc is-live=true"}) {
      const std::string channel = unique_channel();
      Process reader =
          launch(options + "possumsrc channel=CHANNEL ! fakesink async=false", channel);
      reader.wait_line("Waiting for channel");
      Process waiting =
          launch(options + "possumsrc channel=CHANNEL.not ! fakesink", channel);
      waiting.wait_line("Waiting for channel");
      end(waiting);
      Process writer =
          launch(options + source + " ! possumsink channel=CHANNEL", channel);
      reader.wait_line("Attached to channel");
      await_channel(channel);
      end(reader);
      end(writer);
      for (Process* each : {&writer, &reader, &waiting}) CHECK(!each->said("ERROR"));
      CHECK(names_of(channel).empty());
    }
  }
}

TEST(interrupt_ends_a_writer_that_waits_for_its_reader_with_0) {
  const std::string channel = unique_channel();
  Process writer =
      launch("videotestsrc ! possumsink channel=CHANNEL allow-blocking=true sync=false",
             channel);
  Process reader = play(
      "--sums possumsrc channel=CHANNEL leaky-type=none ! fakesink name=check", channel);
  reader.wait_line("sum ");
  reader.stop();
  // By the time that somebody else has come and gone, there is no room any more.
  Process other = play("possumsrc channel=CHANNEL num-buffers=1 ! fakesink", channel);
  other.expect_status(0);
  end(writer);
  CHECK(names_of(channel).empty());
}

TEST(a_running_error_ends_with_1_and_no_start_with_255) {
  const std::string channel = unique_channel();
  Process writer = launch("videotestsrc ! possumsink channel=CHANNEL", channel);
  await_channel(channel);
  Process reader = launch(
      "possumsrc channel=CHANNEL on-disconnect=error ! identity error-after=5 ! fakesink",
      channel);
  reader.expect_status(1);
  Process second = launch("videotestsrc ! possumsink channel=CHANNEL", channel);
  second.expect_status(255);
  end(writer);
}
