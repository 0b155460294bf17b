// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum watch in a terminal: what it draws in which size, and that the terminal is as it
// was, however it ends. The terminal is a pseudo terminal whose other end is the test.
#include "support/check.h"

#include <sys/ioctl.h>
#include <termios.h>

#include "support/tool.h"

using namespace support;

namespace {

constexpr char kEnter[] = "\x1b[?1049h";
constexpr char kLeave[] = "\x1b[?1049l";
constexpr char kShowCursor[] = "\x1b[?25h";
constexpr char kHome[] = "\x1b[H";

class Terminal {
 public:
  explicit Terminal(const std::string& line, const char* kind = "xterm") {
    master_ = UniqueFd(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    CHECK(master_ && grantpt(master_.get()) == 0 && unlockpt(master_.get()) == 0);
    resize(24, 100);
    // Kept open, so that modes and output outlive the program.
    slave_ = UniqueFd(open(ptsname(master_.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
    CHECK(slave_);
    before_ = modes();
    program_.emplace(tool_words(line),
                     ProcessOptions{.environment = {std::string("TERM=") + kind},
                                    .terminal = slave_.get()});
  }

  Process& program() { return *program_; }
  void resize(unsigned short rows, unsigned short columns) const {
    const winsize size = {rows, columns, 0, 0};
    CHECK(ioctl(master_.get(), TIOCSWINSZ, &size) == 0);
  }
  void type(const std::string& keys) const {
    CHECK(write(master_.get(), keys.data(), keys.size()) ==
          static_cast<ssize_t>(keys.size()));
  }

  // Until it has shown that after what was awaited last.
  void await(const std::string& text) {
    std::size_t at;
    while ((at = shown_.find(text, passed_)) == std::string::npos) read_some();
    passed_ = at + text.size();
  }
  // The next page, from its first line on.
  std::vector<std::string> page() {
    await(kHome);
    const std::size_t begin = passed_;
    await("\x1b[J");
    std::vector<std::string> lines(1);
    for (std::size_t at = begin; at < passed_; ++at) {
      if (shown_[at] == '\x1b') {
        at += 2;  // ESC [ K or J
      } else if (shown_[at] == '\n') {
        lines.emplace_back();
      } else if (shown_[at] != '\r') {
        lines.back() += shown_[at];
      }
    }
    return lines;
  }
  bool quiet_modes() const { return (modes().c_lflag & (ICANON | ECHO)) == 0; }
  bool restored() const {
    const termios now = modes();
    return now.c_lflag == before_.c_lflag && now.c_iflag == before_.c_iflag &&
           now.c_oflag == before_.c_oflag && now.c_cflag == before_.c_cflag;
  }

  void expect_end() {
    await(kShowCursor);
    await(kLeave);
    program_->expect_status(0);
    CHECK(restored());
  }
  void quit() {
    type("q");
    expect_end();
  }

 private:
  termios modes() const {
    termios now{};
    CHECK(tcgetattr(slave_.get(), &now) == 0);
    return now;
  }
  void read_some() {
    pollfd fd = {master_.get(), POLLIN, 0};
    if (poll(&fd, 1, kLimitMs) != 1) {
      std::fprintf(stderr, "shown so far: %s\n", shown_.c_str());
      CHECK(false);
    }
    char bytes[4096];
    const ssize_t got = read(master_.get(), bytes, sizeof bytes);
    CHECK(got > 0);
    shown_.append(bytes, static_cast<std::size_t>(got));
  }

  UniqueFd master_;
  UniqueFd slave_;
  termios before_{};
  std::optional<Process> program_;
  std::string shown_;
  std::size_t passed_ = 0;
};

bool shows(const std::vector<std::string>& page, const std::string& text) {
  return std::any_of(page.begin(), page.end(),
                     [&](const std::string& line) { return contains(line, text); });
}

}  // namespace

TEST_F(OnChannel, channel_and_its_readers_are_drawn_until_q) {
  FarWriter writer(channel);
  writer.publish(1, 1, kSmall, "video/x-raw,format=NV12,width=641,height=359");
  FarReader reader = attached(channel);
  reader.frame();
  Terminal terminal("watch " + channel + " -i 0.1");
  terminal.await(kEnter);
  const auto first = terminal.page();
  CHECK(shows(first, "641x359") && shows(first, std::to_string(reader.pid())));
  CHECK(shows(first, "slot ") && terminal.quiet_modes());
  // It follows what happens.
  reader.kill();
  while (shows(terminal.page(), "reader 0")) {
  }
  writer.order("close", "closed");
  while (!shows(terminal.page(), "absent")) {
  }
  terminal.type("x");
  terminal.page();
  terminal.quit();
}

TEST_F(OnChannel, page_is_cut_to_the_terminal_and_follows_its_size) {
  const auto writer = open_writer(plain_writer(channel));
  std::vector<FarReader> readers;
  for (int i = 0; i < 4; ++i) readers.push_back(attached(channel));
  Terminal terminal("watch " + channel + " -i 3600");
  CHECK(terminal.page().size() == 8);
  terminal.resize(6, 30);
  const auto small = terminal.page();  // at once: the interval is an hour
  CHECK(small.size() == 6 && small.back() == "... and 3 lines more");
  for (const std::string& line : small) CHECK(line.size() < 30);
  terminal.resize(24, 200);
  CHECK(shows(terminal.page(), "tools-screen"));
  terminal.quit();
}

// 80 columns are what most terminals begin with.
TEST(what_matters_most_fits_into_a_narrow_terminal) {
  const std::string channel = "cam-" + std::to_string(getpid());
  FarWriter writer(channel);
  writer.publish(1, 1, kSmall, "video/x-raw,format=NV12,width=1920,height=1080");
  FarReader reader = attached(channel);
  reader.frame();
  Terminal terminal("watch " + channel + " -i 0.1");
  terminal.resize(24, 80);
  std::vector<std::string> page;
  do {
    page = terminal.page();
  } while (shows(page, "COMMAND") || !shows(page, "0.0"));
  for (const char* const title : {"FPS", "AGE", "HELD", "DROPPED", "SIZE"}) {
    CHECK(shows(page, title));
  }
  CHECK(shows(page, "1920x1080") && shows(page, "NV12") && shows(page, "slot "));
  CHECK(shows(page, std::to_string(writer.pid())));
  CHECK(shows(page, std::to_string(reader.pid())));
  terminal.quit();
}

TEST_F(OnChannel, every_end_restores_the_terminal) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    Terminal terminal("watch " + channel);
    terminal.page();
    if (number == SIGINT) {
      terminal.type("\x03");
    } else {
      terminal.program().signal(number);
    }
    terminal.expect_end();
  }
}

TEST_F(OnChannel, stopped_and_continued_it_gives_the_terminal_back_meanwhile) {
  Terminal terminal("watch " + channel + " -i 3600");
  terminal.page();
  terminal.type("\x1a");
  terminal.await(kLeave);
  terminal.program().await_stop();
  CHECK(terminal.restored());
  terminal.program().go_on();
  terminal.await(kEnter);
  terminal.page();
  CHECK(terminal.quiet_modes());
  terminal.quit();
}

TEST_F(OnChannel, terminal_that_can_do_nothing_gets_lines) {
  const auto writer = open_writer(plain_writer(channel));
  Terminal terminal("watch " + channel + " -i 0.1", "dumb");
  terminal.await(channel);
  terminal.await(channel);
  CHECK(terminal.restored());
  terminal.program().signal(SIGTERM);
  terminal.program().expect_status(0);
}
