// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A terminal that shows one page which is drawn over and over, and gets back what it
// showed before; and the one place that waits: for time, keys and signals.
#pragma once

#include <signal.h>
#include <termios.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/shm_object.h"

namespace tool {

// While it lives, SIGINT, SIGTERM, SIGHUP, SIGWINCH and SIGTSTP come from wait() alone.
class Wakeups {
 public:
  Wakeups();
  ~Wakeups();
  Wakeups(const Wakeups&) = delete;
  Wakeups& operator=(const Wakeups&) = delete;

  enum class Event { time, quit, resize, suspend };
  // Until deadline_ns (CLOCK_MONOTONIC) or an event; `keys`: q on standard input is one.
  Event wait(std::int64_t deadline_ns, bool keys);

 private:
  Event take_signal();
  bool quit_pressed();

  sigset_t before_{};
  possum::UniqueFd signals_;
  bool input_ended_ = false;
};

class Screen {
 public:
  // Is there a terminal on standard output that can do this?
  static bool possible();
  Screen() { enter(); }
  ~Screen() { leave(); }
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;

  // As much of the lines as there is room for; the last one says how many are missing.
  void draw(const std::vector<std::string>& lines) const;
  // Ctrl-Z: gives the terminal back and stops this process until it is continued.
  void suspend();

 private:
  void enter();
  void leave();
  termios before_{};
  bool changed_ = false;
};

}  // namespace tool
