// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The processes that a test starts: how it talks to them, stops and ends them. They go
// together with the test program, whatever becomes of it, and so does what its channels
// leave in /dev/shm. What does not come true in time ends the program, with everything
// that its processes have said. A process belongs to the thread that started it.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace support {

// How long anything may take that normally takes no time; CK_TIMEOUT_MULTIPLIER stretches
// it, as for gst-check.
inline constexpr int kBoundSeconds = 40;

struct User {
  uid_t uid;
  gid_t gid;
};

struct ProcessOptions {
  enum class Errors {
    ours,    // appear where this program's do
    joined,  // are part of the output
    apart,   // are collected in errors()
  };
  Errors errors = Errors::ours;
  std::vector<std::string> environment = {};  // NAME=VALUE, beside this program's
  std::optional<User> user = {};              // for root
  std::string directory = {};                 // to run in; empty: this program's
  std::vector<int> keep = {};  // descriptors of this program that it gets, too
  int terminal = -1;  // what it controls, in the place of input, output and errors
};

class Process {
 public:
  // Runs a program as a process group of its own. `words` are its path or, without a
  // slash, its name in PATH, and its arguments. Another user needs no access to the
  // directories that the program is in.
  explicit Process(const std::vector<std::string>& words,
                   const ProcessOptions& options = {});
  // Runs `body` in a fork of this program, which ends with 0 after it, and without
  // destructors. It says what it says where this program does.
  explicit Process(const std::function<void()>& body);
  // SIGKILL to the whole group, unless it has been seen to end.
  ~Process();
  Process(Process&& other) noexcept;
  Process& operator=(Process&& other) noexcept;

  pid_t pid() const { return pid_; }

  // --- lines

  void tell(std::string_view line);
  // False: it is dead, or has closed its input.
  bool tell_if_alive(std::string_view line);
  void close_input();

  // The next line.
  std::string hear();
  // Nothing after the last line, once it is dead or has closed its output.
  std::optional<std::string> hear_if_alive();
  // The next line that contains `text`; lines before it are passed over.
  std::string wait_line(std::string_view text, int seconds = kBoundSeconds);
  // Has it said a line within so long that has not been heard?
  bool answers(int ms);
  // Passes over everything until now.
  void catch_up();
  // Has such a line been said so far, passed over or not?
  bool said(std::string_view text);
  // Everything until now.
  const std::string& output();
  const std::string& errors();

  std::string ask(std::string_view line);
  // The next line is this one.
  void expect(std::string_view line);
  void order(std::string_view line, std::string_view answer);

  // --- life

  void signal(int number) const;
  // SIGSTOP; stopped, as the kernel reports it, when this returns.
  void stop() const;
  // Until it has stopped by itself.
  void await_stop() const;
  void go_on() const { signal(SIGCONT); }
  // Gone with its locks when this returns.
  void kill(int number = SIGKILL);
  // It can be joined without waiting.
  bool has_ended() const;
  // Waits for its end: the exit status as a shell shows it, 128 + N after signal N. What
  // is left of its group is killed.
  int join(int seconds = kBoundSeconds);
  // Waits, and fails unless the status is this one.
  void expect_status(int status, int seconds = kBoundSeconds);
  // Closes its input and waits.
  int finish();
  // Until any of this program's processes has said something or ended, or until then.
  static void await_any(std::int64_t deadline_ns);

  // Ends the test program and says why.
  [[noreturn]] void fail(const std::string& why);

 private:
  struct Stream {
    int fd = -1;
    std::string text;
    void read_some();
    void close();
  };

  void begin(const std::function<void()>& in_child);
  static bool listen(int timeout_ms, int pid_fd = -1, bool all_pids = false);
  std::optional<std::string> next_line();

  std::string what_;
  pid_t pid_ = -1;
  int pid_fd_ = -1;
  int input_ = -1;
  Stream output_;
  Stream errors_;
  std::size_t passed_ = 0;  // bytes of the output that have been heard
};

// `/bin/sh -c COMMAND`, with output and errors in one; begin the command with "exec", so
// that pid() is the program's.
Process shell(const std::string& command, ProcessOptions options = {});

// The exit status of a fork of this program that runs `body`, as join() has it.
int status_of_fork(const std::function<void()>& body);

// A new directory in the temporary one, which goes when the program does.
std::string make_directory();

}  // namespace support
