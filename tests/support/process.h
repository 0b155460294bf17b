// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Child processes for tests: started by a shell command, read line by line, waited for
// with a bound, gone together with the test program whatever becomes of it. What does not
// come true in time aborts the program with everything the child has said.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace support {

// How long anything may take that normally takes no time; CK_TIMEOUT_MULTIPLIER stretches
// it, as for gst-check.
inline constexpr int kBoundSeconds = 40;

struct ChildOptions {
  std::vector<std::string> environment;  // NAME=VALUE
  std::optional<uid_t> user;             // needs root
};

class Child {
 public:
  // Runs `/bin/sh -c COMMAND` as a process group of its own; begin the command with
  // "exec" so that pid() is the program's. Output and errors are one stream of lines.
  explicit Child(const std::string& command, const ChildOptions& options = {});
  ~Child();  // SIGKILL to the whole group
  Child(Child&& other) noexcept;
  Child& operator=(Child&&) = delete;

  pid_t pid() const { return pid_; }

  // The next line that contains `text`; lines before it are passed over.
  std::string wait_line(std::string_view text, int seconds = kBoundSeconds);
  // Passes over everything until now.
  void catch_up();
  // Has such a line been said so far, passed over or not?
  bool said(std::string_view text);
  // Everything until now.
  const std::string& output();

  void write_line(std::string_view line);
  void signal(int number) const;
  // Exit status as a shell shows it: 128 + N after signal N.
  int wait(int seconds = kBoundSeconds);
  // Waits, and fails unless it is this one.
  void expect_status(int status, int seconds = kBoundSeconds);
  // SIGKILL and wait.
  void kill();

  // Aborts the program and says why.
  [[noreturn]] void fail(const std::string& why);

 private:
  static bool listen(int pid_fd, int timeout_ms);
  void read_some();

  std::string command_;
  pid_t pid_ = -1;
  int pid_fd_ = -1;
  int input_ = -1;
  int output_ = -1;
  std::string text_;
  std::size_t passed_ = 0;  // bytes of text_ that wait_line() is done with
};

// A channel name of this program's own. What is left of it in /dev/shm when the program
// ends in whatever way is removed.
std::string unique_channel();
// A new directory in the temporary one, which goes when the program does.
std::string make_directory();
// The names in /dev/shm that belong to the channel.
std::vector<std::string> shm_names(std::string_view channel);

}  // namespace support
