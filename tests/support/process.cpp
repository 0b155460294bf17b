// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A janitor, forked before anything else, outlives this program for a moment: its
// pipe tells it which process groups there are, and by its end that the program has
// ended.
#include "process.h"

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <utility>

#include "leftovers.h"

namespace support {
namespace {

using Clock = std::chrono::steady_clock;

void must(bool fine, const char* what) {
  if (fine) return;
  std::perror(what);
  std::abort();
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
  for (const std::string& name : own_names(program)) {
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
  not_the_tests_descriptor = ends[1];
  return ends[1];
}

bool plays_a_role() {
  std::ifstream words("/proc/self/cmdline");
  std::string word;
  std::getline(words, word, '\0');
  return std::getline(words, word, '\0') && word == "--role";
}

// Before main(), since it would keep what this program maps later. A role, which has its
// parent's, needs none.
const int to_janitor = plays_a_role() ? -1 : hire_janitor();

void tell_janitor(pid_t group) {
  if (to_janitor < 0) return;
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
  return left > 0 ? static_cast<int>(left) + 1 : 0;
}

// Signals rain in some tests.
pid_t wait_for(pid_t pid, int& status, int options = 0) {
  pid_t result;
  do {
    result = waitpid(pid, &status, options);
  } while (result < 0 && errno == EINTR);
  return result;
}

void become(const User& user) {
  must(setgroups(0, nullptr) == 0 && setgid(user.gid) == 0 && setuid(user.uid) == 0,
       "setuid");
}

void control(int terminal) {
  ioctl(terminal, TIOCSCTTY, 0);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) dup2(terminal, fd);
}

// Until it is another program a process would end by this one's handler, which may be a
// sanitizer's.
void block_faults(bool on) {
  sigset_t fault;
  sigemptyset(&fault);
  sigaddset(&fault, SIGSEGV);
  pthread_sigmask(on ? SIG_BLOCK : SIG_UNBLOCK, &fault, nullptr);
}

// Between fork and exec; returns only if that fails.
void run_program(const std::vector<char*>& argv, int program,
                 const ProcessOptions& options) {
  std::signal(SIGPIPE, SIG_DFL);
  std::signal(SIGSEGV, SIG_DFL);
  block_faults(false);
  for (const int fd : options.keep) fcntl(fd, F_SETFD, 0);
  for (const std::string& variable : options.environment) {
    putenv(const_cast<char*>(variable.c_str()));
  }
  if (!options.directory.empty() && chdir(options.directory.c_str()) != 0) return;
  if (options.user) become(*options.user);
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // after the change of users, which forgets it
  if (program >= 0) {
    syscall(SYS_execveat, program, "", argv.data(), environ, AT_EMPTY_PATH);
  }
  execvp(argv[0], argv.data());
}

// Of this thread.
std::vector<Process*>& processes() {
  static thread_local std::vector<Process*> all;
  return all;
}

}  // namespace

// --- beginning and end -----------------------------------------------------------------

Process::Process(const std::vector<std::string>& words, const ProcessOptions& options) {
  for (const std::string& word : words) what_ += (what_.empty() ? "" : " ") + word;
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  // By descriptor where the user may not come as far.
  const int program = options.user ? open(argv[0], O_PATH | O_CLOEXEC) : -1;
  if (options.terminal >= 0) {
    begin([&] {
      control(options.terminal);
      run_program(argv, program, options);
    });
  } else {
    const bool apart = options.errors == ProcessOptions::Errors::apart;
    int in[2];
    int out[2];
    int err[2] = {-1, -1};
    must(pipe2(in, O_CLOEXEC) == 0 && pipe2(out, O_CLOEXEC) == 0, "pipe");
    must(!apart || pipe2(err, O_CLOEXEC) == 0, "pipe");
    begin([&] {
      dup2(in[0], STDIN_FILENO);
      dup2(out[1], STDOUT_FILENO);
      if (options.errors == ProcessOptions::Errors::joined) dup2(out[1], STDERR_FILENO);
      if (apart) dup2(err[1], STDERR_FILENO);
      run_program(argv, program, options);
    });
    close(in[0]);
    close(out[1]);
    if (apart) close(err[1]);
    input_ = in[1];
    output_.fd = out[0];
    errors_.fd = err[0];
  }
  if (program >= 0) close(program);
}

Process::Process(const std::function<void()>& body) : what_("a fork of this program") {
  std::fflush(nullptr);
  begin([&] {
    block_faults(false);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    std::fflush(nullptr);
    _exit(0);
  });
}

void Process::begin(const std::function<void()>& in_child) {
  std::signal(SIGPIPE, SIG_IGN);  // tell() says it better
  block_faults(true);
  pid_ = fork();
  must(pid_ >= 0, "fork");
  if (pid_ == 0) {
    processes().clear();  // they are the parent's
    setsid();             // a group of its own, too
    tell_janitor(getpid());
    in_child();
    _exit(127);
  }
  block_faults(false);
  pid_fd_ = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  must(pid_fd_ >= 0, "pidfd_open");
  processes().push_back(this);
}

Process::Process(Process&& other) noexcept { *this = std::move(other); }

Process& Process::operator=(Process&& other) noexcept {
  std::swap(what_, other.what_);
  std::swap(pid_, other.pid_);
  std::swap(pid_fd_, other.pid_fd_);
  std::swap(input_, other.input_);
  std::swap(output_, other.output_);
  std::swap(errors_, other.errors_);
  std::swap(passed_, other.passed_);
  auto& all = processes();
  const auto mine = std::find(all.begin(), all.end(), this);
  const auto others = std::find(all.begin(), all.end(), &other);
  if (mine == all.end() && others != all.end()) *others = this;
  if (mine != all.end() && others == all.end()) *mine = &other;
  return *this;
}

Process::~Process() {
  if (pid_ > 0) kill();
  close_input();
  output_.close();
  errors_.close();
  std::erase(processes(), this);
}

void Process::kill(int number) {
  ::kill(pid_, number);
  join();
}

bool Process::has_ended() const {
  pollfd end{pid_fd_, POLLIN, 0};
  return poll(&end, 1, 0) == 1;
}

int Process::join(int seconds) {
  const auto end = deadline(seconds);
  while (!has_ended()) {
    const int left_ms = milliseconds_until(end);
    if (left_ms == 0) fail("has not ended");
    listen(left_ms, pid_fd_);
  }
  int status = 0;
  must(wait_for(pid_, status) == pid_, "waitpid");
  output();
  ::kill(-pid_, SIGKILL);  // what it may have left behind
  tell_janitor(-pid_);
  ::close(std::exchange(pid_fd_, -1));
  pid_ = -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

void Process::expect_status(int status, int seconds) {
  const int found = join(seconds);
  if (found != status) fail("left with status " + std::to_string(found));
}

int Process::finish() {
  close_input();
  return join();
}

void Process::signal(int number) const { must(::kill(pid_, number) == 0, "kill"); }

void Process::stop() const {
  signal(SIGSTOP);
  await_stop();
}

void Process::await_stop() const {
  int status = 0;
  must(wait_for(pid_, status, WUNTRACED) == pid_, "waitpid");
  if (!WIFSTOPPED(status)) {
    std::fprintf(stderr, "pid %d ended instead of stopping\n", pid_);
    std::abort();
  }
}

void Process::fail(const std::string& why) {
  output();
  for (const Process* process : processes()) {
    std::fprintf(stderr, "--- pid %d: %s\n%s%s", process->pid_, process->what_.c_str(),
                 process->output_.text.c_str(), process->errors_.text.c_str());
  }
  std::fprintf(stderr, "--- failed: pid %d %s\n", pid_, why.c_str());
  std::abort();
}

// --- lines -----------------------------------------------------------------------------

void Process::Stream::read_some() {
  char buffer[65536];
  const ssize_t got = read(fd, buffer, sizeof buffer);
  if (got > 0) {
    text.append(buffer, static_cast<std::size_t>(got));
  } else if (got == 0 || errno != EINTR) {
    close();
  }
}

void Process::Stream::close() {
  if (fd >= 0) ::close(std::exchange(fd, -1));
}

// Whoever waits for one process listens to all: one that is not listened to would stop
// when its pipe is full. False: nothing was said in time, and what was to end has not.
bool Process::listen(int timeout_ms, int pid_fd, bool all_pids) {
  std::vector<pollfd> fds{{pid_fd, POLLIN, 0}};
  std::vector<Stream*> streams;
  for (Process* process : processes()) {
    for (Stream* stream : {&process->output_, &process->errors_}) {
      if (stream->fd < 0) continue;
      streams.push_back(stream);
      fds.push_back({stream->fd, POLLIN, 0});
    }
  }
  for (const Process* process : processes()) {
    if (all_pids) fds.push_back({process->pid_fd_, POLLIN, 0});
  }
  const int ready = poll(fds.data(), fds.size(), timeout_ms);
  if (ready < 0) return errno == EINTR && timeout_ms != 0;
  for (std::size_t i = 0; i < streams.size() && ready > 0; ++i) {
    if (fds[i + 1].revents != 0) streams[i]->read_some();
  }
  return ready > 0;
}

void Process::await_any(std::int64_t deadline_ns) {
  const std::int64_t now = std::chrono::duration_cast<std::chrono::nanoseconds>(
                               Clock::now().time_since_epoch())
                               .count();
  listen(static_cast<int>(std::max<std::int64_t>(0, deadline_ns - now) / 1'000'000), -1,
         true);
}

std::optional<std::string> Process::next_line() {
  const std::size_t end = output_.text.find('\n', passed_);
  if (end == std::string::npos) return std::nullopt;
  std::string line = output_.text.substr(passed_, end - passed_);
  passed_ = end + 1;
  return line;
}

std::optional<std::string> Process::hear_if_alive() {
  const auto end = deadline(kBoundSeconds);
  for (;;) {
    if (auto line = next_line()) return line;
    if (output_.fd < 0) return std::nullopt;
    const int left_ms = milliseconds_until(end);
    if (left_ms == 0) fail("does not answer");
    listen(left_ms);
  }
}

std::string Process::hear() {
  const auto line = hear_if_alive();
  if (!line) fail("is dead, or has closed its output");
  return *line;
}

std::string Process::wait_line(std::string_view text, int seconds) {
  const auto end = deadline(seconds);
  for (;;) {
    while (auto line = next_line()) {
      if (line->find(text) != std::string::npos) return *line;
    }
    const int left_ms = milliseconds_until(end);
    if (output_.fd < 0 || left_ms == 0) {
      fail("waited in vain for \"" + std::string(text) + "\"");
    }
    listen(left_ms);
  }
}

bool Process::answers(int ms) {
  const auto end = Clock::now() + std::chrono::milliseconds(ms);
  while (output_.text.find('\n', passed_) == std::string::npos) {
    const int left_ms = milliseconds_until(end);
    if (output_.fd < 0 || left_ms == 0) return false;
    listen(left_ms);
  }
  return true;
}

void Process::catch_up() {
  const std::size_t line_end = output().rfind('\n');
  if (line_end != std::string::npos) passed_ = line_end + 1;
}

bool Process::said(std::string_view text) {
  return output().find(text) != std::string::npos;
}

const std::string& Process::output() {
  while (listen(0)) {
  }
  return output_.text;
}

const std::string& Process::errors() {
  output();
  return errors_.text;
}

bool Process::tell_if_alive(std::string_view line) {
  const std::string whole = std::string(line) + "\n";
  ssize_t written;
  do {
    written = ::write(input_, whole.data(), whole.size());
  } while (written < 0 && errno == EINTR);
  return written == static_cast<ssize_t>(whole.size());
}

void Process::tell(std::string_view line) {
  if (!tell_if_alive(line)) fail("cannot be told \"" + std::string(line) + "\"");
}

void Process::close_input() {
  if (input_ >= 0) ::close(std::exchange(input_, -1));
}

std::string Process::ask(std::string_view line) {
  tell(line);
  return hear();
}

void Process::expect(std::string_view line) {
  const std::string heard = hear();
  if (heard != line) fail("said \"" + heard + "\", not \"" + std::string(line) + "\"");
}

void Process::order(std::string_view line, std::string_view answer) {
  tell(line);
  expect(answer);
}

// --- helpers ---------------------------------------------------------------------------

Process shell(const std::string& command, ProcessOptions options) {
  options.errors = ProcessOptions::Errors::joined;
  return Process({"/bin/sh", "-c", command}, options);
}

int status_of_fork(const std::function<void()>& body) { return Process(body).join(); }

std::string make_directory() {
  std::string name = directory_start(getpid()).string() + "XXXXXX";
  must(mkdtemp(name.data()) != nullptr, "mkdtemp");
  return name;
}

}  // namespace support
