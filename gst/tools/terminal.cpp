// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "terminal.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/clock.h"
#include "table.h"

namespace tool {
namespace {

// ECMA-48 and xterm's alternate screen: what every terminal of a Linux machine knows.
constexpr char kEnter[] = "\x1b[?1049h\x1b[?25l";
constexpr char kLeave[] = "\x1b[?25h\x1b[?1049l";
constexpr char kHome[] = "\x1b[H";
constexpr char kRestOfLine[] = "\x1b[K";
constexpr char kRestOfScreen[] = "\x1b[J";

constexpr unsigned short kRows = 24;
constexpr unsigned short kColumns = 80;

winsize window() {
  winsize size{};
  ioctl(STDOUT_FILENO, TIOCGWINSZ, &size);
  if (size.ws_row == 0) size.ws_row = kRows;
  if (size.ws_col == 0) size.ws_col = kColumns;
  return size;
}

void put(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

}  // namespace

Wakeups::Wakeups() {
  sigset_t mine;
  sigemptyset(&mine);
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGWINCH, SIGTSTP}) {
    sigaddset(&mine, number);
  }
  sigprocmask(SIG_BLOCK, &mine, &before_);
  signals_ = possum::UniqueFd(signalfd(-1, &mine, SFD_CLOEXEC | SFD_NONBLOCK));
}

Wakeups::~Wakeups() { sigprocmask(SIG_SETMASK, &before_, nullptr); }

Wakeups::Event Wakeups::take_signal() {
  signalfd_siginfo info{};
  if (read(signals_.get(), &info, sizeof info) != sizeof info) return Event::time;
  if (info.ssi_signo == SIGWINCH) return Event::resize;
  if (info.ssi_signo == SIGTSTP) return Event::suspend;
  return Event::quit;
}

bool Wakeups::quit_pressed() {
  char keys[64];
  const ssize_t got = read(STDIN_FILENO, keys, sizeof keys);
  // A terminal that is gone, or an end of input that was typed.
  if (got <= 0) input_ended_ = true;
  return got > 0 && std::memchr(keys, 'q', static_cast<std::size_t>(got)) != nullptr;
}

Wakeups::Event Wakeups::wait(std::int64_t deadline_ns, bool keys) {
  for (;;) {
    const std::int64_t left = deadline_ns - possum::monotonic_ns();
    if (left <= 0) return Event::time;
    pollfd fds[] = {{signals_.get(), POLLIN, 0}, {STDIN_FILENO, POLLIN, 0}};
    const timespec timeout = possum::to_timespec(left);
    if (ppoll(fds, keys && !input_ended_ ? 2 : 1, &timeout, nullptr) <= 0) continue;
    if (fds[0].revents != 0) {
      const Event event = take_signal();
      if (event != Event::time) return event;
    }
    if (fds[1].revents != 0 && quit_pressed()) return Event::quit;
  }
}

bool Screen::possible() {
  const char* const kind = std::getenv("TERM");
  return isatty(STDOUT_FILENO) == 1 && kind != nullptr && *kind != '\0' &&
         std::strcmp(kind, "dumb") != 0;
}

void Screen::enter() {
  changed_ = tcgetattr(STDIN_FILENO, &before_) == 0;
  if (changed_) {
    termios quiet = before_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    tcsetattr(STDIN_FILENO, TCSANOW, &quiet);
  }
  put(kEnter);
}

void Screen::leave() {
  put(kLeave);
  if (changed_) tcsetattr(STDIN_FILENO, TCSADRAIN, &before_);
}

void Screen::suspend() {
  leave();
  raise(SIGSTOP);
  enter();
}

void Screen::draw(const std::vector<std::string>& lines) const {
  const winsize size = window();
  const std::size_t fitting =
      lines.size() > size.ws_row ? size.ws_row - 1u : lines.size();
  std::string page = kHome;
  const auto add = [&](const std::string& line) {
    if (page != kHome) page += "\r\n";
    // Not the last column: the cursor would stay in it, to be erased.
    page += cut(line, size.ws_col - 1u) + kRestOfLine;
  };
  for (std::size_t i = 0; i < fitting; ++i) add(lines[i]);
  if (fitting < lines.size()) {
    add("... and " + std::to_string(lines.size() - fitting) + " lines more");
  }
  put(page + kRestOfScreen);
}

}  // namespace tool
