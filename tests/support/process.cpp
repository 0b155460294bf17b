// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A janitor, forked before the first child, outlives this program for a moment: its pipe
// tells it which process groups there are, and by its end that the program has ended.
#include "process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <set>
#include <utility>

namespace support {
namespace {

constexpr char kShm[] = "/dev/shm";
using Clock = std::chrono::steady_clock;

void must(bool fine, const char* what) {
  if (fine) return;
  std::perror(what);
  std::abort();
}

// As check.h has it, which looks for names that a test leaves.
std::string channel_prefix(pid_t program) { return "t" + std::to_string(program) + "."; }

std::vector<std::string> shm_files(const std::string& channel_start) {
  std::vector<std::string> found;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(kShm, none)) {
    const std::string name = entry.path().filename();
    if (name.starts_with("possum-c." + channel_start) ||
        name.starts_with("possum-d." + channel_start)) {
      found.push_back(name);
    }
  }
  return found;
}

std::filesystem::path directory_start(pid_t program) {
  return std::filesystem::temp_directory_path() /
         ("possum-test-" + std::to_string(program) + "-");
}

void remove_directories(pid_t program) {
  const std::string start = directory_start(program);
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(start).parent_path(), none)) {
    if (entry.path().string().starts_with(start)) {
      std::filesystem::remove_all(entry.path(), none);
    }
  }
}

// Reads process groups from the pipe, negative ones are gone, until the program ends.
[[noreturn]] void tidy_up_after(pid_t program, int pipe) {
  std::set<pid_t> groups;
  pid_t group = 0;
  while (read(pipe, &group, sizeof group) == static_cast<ssize_t>(sizeof group)) {
    if (group > 0) groups.insert(group);
    if (group < 0) groups.erase(-group);
  }
  for (const pid_t left : groups) ::kill(-left, SIGKILL);
  for (const std::string& name : shm_files(channel_prefix(program))) {
    unlink((std::string(kShm) + "/" + name).c_str());
  }
  remove_directories(program);
  _exit(0);
}

int hire_janitor() {
  int ends[2];
  must(pipe2(ends, O_CLOEXEC) == 0, "pipe");
  const pid_t program = getpid();
  const pid_t pid = fork();
  must(pid >= 0, "fork");
  if (pid == 0) {
    setsid();
    for (int fd = 0; fd < 256; ++fd) {
      if (fd != ends[0]) close(fd);
    }
    tidy_up_after(program, ends[0]);
  }
  close(ends[0]);
  return ends[1];
}

// Before main(), so that no test is found to have left it open.
const int to_janitor = hire_janitor();

void tell_janitor(pid_t group) {
  must(write(to_janitor, &group, sizeof group) == static_cast<ssize_t>(sizeof group),
       "write");
}

Clock::time_point deadline(int seconds) {
  const char* text = std::getenv("CK_TIMEOUT_MULTIPLIER");
  const int stretch = text != nullptr ? std::max(1, std::atoi(text)) : 1;
  return Clock::now() + std::chrono::seconds(seconds * stretch);
}

int milliseconds_until(Clock::time_point end) {
  const auto left =
      std::chrono::duration_cast<std::chrono::milliseconds>(end - Clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

void become(uid_t user) {
  const passwd* entry = getpwuid(user);
  const gid_t group = entry != nullptr ? entry->pw_gid : static_cast<gid_t>(user);
  must(setgroups(0, nullptr) == 0 && setgid(group) == 0 && setuid(user) == 0, "setuid");
}

// Between fork and exec; returns only if that fails.
void run_child(const std::string& command, const ChildOptions& options, int in, int out) {
  setpgid(0, 0);
  std::signal(SIGPIPE, SIG_DFL);
  tell_janitor(getpid());
  dup2(in, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(out, STDERR_FILENO);
  for (const std::string& variable : options.environment) {
    putenv(const_cast<char*>(variable.c_str()));
  }
  if (options.user) become(*options.user);
  execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
}

std::vector<Child*>& children() {
  static std::vector<Child*> all;
  return all;
}

}  // namespace

Child::Child(const std::string& command, const ChildOptions& options)
    : command_(command) {
  std::signal(SIGPIPE, SIG_IGN);  // write_line() says it better
  int in[2];
  int out[2];
  must(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0, "pipe");
  pid_ = fork();
  must(pid_ >= 0, "fork");
  if (pid_ == 0) {
    run_child(command, options, in[0], out[1]);
    _exit(127);
  }
  setpgid(pid_, pid_);  // whoever comes first
  pid_fd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  must(pid_fd_ >= 0, "pidfd_open");
  close(in[0]);
  close(out[1]);
  input_ = in[1];
  output_ = out[0];
  children().push_back(this);
}

Child::Child(Child&& other) noexcept
    : command_(std::move(other.command_)),
      pid_(std::exchange(other.pid_, -1)),
      pid_fd_(std::exchange(other.pid_fd_, -1)),
      input_(std::exchange(other.input_, -1)),
      output_(std::exchange(other.output_, -1)),
      text_(std::move(other.text_)),
      passed_(other.passed_) {
  std::replace(children().begin(), children().end(), &other, this);
}

Child::~Child() {
  if (pid_ > 0) kill();
  if (input_ >= 0) close(input_);
  if (output_ >= 0) close(output_);
  std::erase(children(), this);
}

// Whoever waits for one child listens to all: one that is not listened to would stop when
// its pipe is full. False: nothing was said in time, and the process has not ended.
bool Child::listen(int pid_fd, int timeout_ms) {
  std::vector<pollfd> fds{{pid_fd, POLLIN, 0}};
  for (const Child* child : children()) fds.push_back({child->output_, POLLIN, 0});
  if (poll(fds.data(), fds.size(), timeout_ms) <= 0) return false;
  for (std::size_t i = 0; i < children().size(); ++i) {
    if (fds[i + 1].revents != 0) children()[i]->read_some();
  }
  return true;
}

void Child::read_some() {
  char buffer[65536];
  const ssize_t got = read(output_, buffer, sizeof buffer);
  if (got > 0) {
    text_.append(buffer, static_cast<std::size_t>(got));
  } else {
    close(std::exchange(output_, -1));
  }
}

std::string Child::wait_line(std::string_view text, int seconds) {
  const auto end = deadline(seconds);
  for (;;) {
    std::size_t line_end = 0;
    while ((line_end = text_.find('\n', passed_)) != std::string::npos) {
      const std::string line = text_.substr(passed_, line_end - passed_);
      passed_ = line_end + 1;
      if (line.find(text) != std::string::npos) return line;
    }
    const int left_ms = milliseconds_until(end);
    if (output_ < 0 || left_ms == 0) {
      fail("waited in vain for \"" + std::string(text) + "\"");
    }
    listen(-1, left_ms);
  }
}

void Child::catch_up() {
  const std::size_t line_end = output().rfind('\n');
  if (line_end != std::string::npos) passed_ = line_end + 1;
}

bool Child::said(std::string_view text) {
  return output().find(text) != std::string::npos;
}

const std::string& Child::output() {
  while (listen(-1, 0)) {
  }
  return text_;
}

void Child::write_line(std::string_view line) {
  const std::string whole = std::string(line) + "\n";
  if (::write(input_, whole.data(), whole.size()) != static_cast<ssize_t>(whole.size())) {
    fail("cannot be told \"" + std::string(line) + "\"");
  }
}

void Child::signal(int number) const { must(::kill(pid_, number) == 0, "kill"); }

int Child::wait(int seconds) {
  const auto end = deadline(seconds);
  pollfd exit{pid_fd_, POLLIN, 0};
  while (poll(&exit, 1, 0) == 0) {
    if (!listen(pid_fd_, milliseconds_until(end))) fail("has not ended");
  }
  int status = 0;
  must(waitpid(pid_, &status, 0) == pid_, "waitpid");
  output();
  ::kill(-pid_, SIGKILL);  // what it may have left behind
  tell_janitor(-pid_);
  close(std::exchange(pid_fd_, -1));
  pid_ = -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void Child::expect_status(int status, int seconds) {
  const int found = wait(seconds);
  if (found != status) fail("left with status " + std::to_string(found));
}

void Child::kill() {
  ::kill(-pid_, SIGKILL);
  wait();
}

void Child::fail(const std::string& why) {
  output();
  for (const Child* child : children()) {
    std::fprintf(stderr, "--- pid %d: %s\n%s", child->pid_, child->command_.c_str(),
                 child->text_.c_str());
  }
  std::fprintf(stderr, "--- failed: pid %d %s\n", pid_, why.c_str());
  std::abort();
}

std::string unique_channel() {
  static int count = 0;
  return channel_prefix(getpid()) + std::to_string(++count);
}

std::string make_directory() {
  std::string name = directory_start(getpid()).string() + "XXXXXX";
  must(mkdtemp(name.data()) != nullptr, "mkdtemp");
  return name;
}

std::vector<std::string> shm_names(std::string_view channel) {
  std::vector<std::string> names;
  for (std::string& name : shm_files(std::string(channel))) {
    // The channel's own: the prefix ends there, or the data suffix begins.
    const char next = name.c_str()[std::strlen("possum-c.") + channel.size()];
    if (next == '\0' || next == '.') names.push_back(std::move(name));
  }
  return names;
}

}  // namespace support
