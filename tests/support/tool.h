// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The command possum as a shell starts it: arguments in, output and exit status out. Its
// path is in POSSUM_TOOL. Include it after check.h.
#pragma once

#include <nlohmann/json.hpp>

#include "support/peers.h"

namespace support {

using Json = nlohmann::json;

struct ToolResult {
  int status = -1;  // 128 + N when a signal ended it
  std::string out;
  std::string err;

  Json json() const {
    const Json document = Json::parse(out, nullptr, false);
    CHECK(!document.is_discarded());
    return document;
  }
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class Tool {
 public:
  explicit Tool(const std::vector<std::string>& args,
                std::optional<User> user = std::nullopt) {
    const char* const path = std::getenv("POSSUM_TOOL");
    CHECK(path != nullptr);
    // By descriptor: other users may not come as far as the build directory.
    const possum::transport::UniqueFd program(open(path, O_PATH | O_CLOEXEC));
    CHECK(program);
    std::vector<std::string> words = {"possum"};
    words.insert(words.end(), args.begin(), args.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    int out[2];
    int err[2];
    CHECK(pipe2(out, O_CLOEXEC) == 0 && pipe2(err, O_CLOEXEC) == 0);
    pid_ = fork();
    CHECK(pid_ >= 0);
    if (pid_ == 0) {
      dup2(out[1], STDOUT_FILENO);
      dup2(err[1], STDERR_FILENO);
      if (user && (setgroups(0, nullptr) != 0 || setgid(user->gid) != 0 ||
                   setuid(user->uid) != 0)) {
        _exit(126);
      }
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      syscall(SYS_execveat, program.get(), "", argv.data(), environ, AT_EMPTY_PATH);
      _exit(127);
    }
    close(out[1]);
    close(err[1]);
    out_ = possum::transport::UniqueFd(out[0]);
    err_ = possum::transport::UniqueFd(err[0]);
  }
  ~Tool() {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  Tool(const Tool&) = delete;
  Tool& operator=(const Tool&) = delete;

  pid_t pid() const { return pid_; }

  // Until it has printed that to standard output.
  void await(const std::string& text) {
    const std::int64_t deadline = in_ms(kLimitMs);
    while (!contains(result_.out, text)) {
      CHECK(out_);
      listen(deadline);
    }
  }
  // Waits for its end, with a bound.
  ToolResult result() {
    const std::int64_t deadline = in_ms(kLimitMs);
    while (out_ || err_) listen(deadline);
    int status = 0;
    CHECK(waitpid(pid_, &status, 0) == pid_);
    pid_ = -1;
    result_.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return result_;
  }

 private:
  void listen(std::int64_t deadline) {
    pollfd fds[] = {{out_.get(), POLLIN, 0}, {err_.get(), POLLIN, 0}};
    const std::int64_t left = (deadline - possum::monotonic_ns()) / kMs;
    CHECK(left > 0 && poll(fds, 2, static_cast<int>(left)) > 0);
    if (fds[0].revents != 0) read_some(out_, result_.out);
    if (fds[1].revents != 0) read_some(err_, result_.err);
  }
  static void read_some(possum::transport::UniqueFd& fd, std::string& text) {
    char bytes[4096];
    const ssize_t got = read(fd.get(), bytes, sizeof bytes);
    if (got > 0) {
      text.append(bytes, static_cast<std::size_t>(got));
    } else {
      fd.reset();
    }
  }

  pid_t pid_ = -1;
  ToolResult result_;
  possum::transport::UniqueFd out_;
  possum::transport::UniqueFd err_;
};

inline ToolResult run_tool(const std::vector<std::string>& args,
                           std::optional<User> user = std::nullopt) {
  return Tool(args, user).result();
}

// The exit status is as wanted, or everything is shown.
inline ToolResult expect_tool(int status, const std::vector<std::string>& args,
                              std::optional<User> user = std::nullopt) {
  const ToolResult result = run_tool(args, user);
  if (result.status != status) {
    std::fprintf(stderr, "status %d\n%s%s", result.status, result.out.c_str(),
                 result.err.c_str());
  }
  CHECK(result.status == status);
  return result;
}

}  // namespace support
