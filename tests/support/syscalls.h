// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// How many system calls a program makes: the measure of work that does not depend on how
// fast the machine is. Include it after check.h.
#pragma once

#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <vector>

namespace support {

struct Work {
  long syscalls = 0;
  long peak_kib = 0;  // of resident memory
  int status = 0;     // as of exit
};

// Runs `args` with nothing to say to anybody, with address space for so many bytes. Skips
// the test where a process may not trace its child.
inline Work work_of(std::vector<std::string> args, rlim_t address_space) {
  std::vector<char*> argv;
  for (std::string& arg : args) argv.push_back(arg.data());
  argv.push_back(nullptr);
  std::fflush(nullptr);
  const pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    const rlimit limit = {address_space, address_space};
    if (std::freopen("/dev/null", "w", stdout) == nullptr) _exit(126);
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(126);
    setrlimit(RLIMIT_AS, &limit);
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(125);
    execv(argv[0], argv.data());
    _exit(127);
  }
  Work work;
  long stops = 0;
  int status = 0;
  rusage usage{};
  const auto wait = [&] { CHECK(wait4(pid, &status, 0, &usage) == pid); };
  wait();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 125) check::skip("no ptrace here");
  CHECK(WIFSTOPPED(status));
  CHECK(ptrace(PTRACE_SETOPTIONS, pid, nullptr,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0);
  int signal = 0;
  for (;;) {
    CHECK(ptrace(PTRACE_SYSCALL, pid, nullptr, signal) == 0);
    wait();
    if (!WIFSTOPPED(status)) break;
    const bool at_syscall = WSTOPSIG(status) == (SIGTRAP | 0x80);
    stops += at_syscall;
    signal = at_syscall ? 0 : WSTOPSIG(status);
  }
  work.syscalls = stops / 2;  // one before, one behind
  work.peak_kib = usage.ru_maxrss;
  work.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return work;
}

}  // namespace support
