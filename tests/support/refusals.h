// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Refusals of the system that nobody can bring about without harm to others: the table of
// open files of the whole machine is full, no more threads. The kernel asks a thread of
// the test about each such call of this process, and it refuses as long as the test wants
// it to. There is no way back: for a process of its own.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <thread>

namespace support {

class Refusals {
 public:
  // To all threads of this process, to its end.
  static Refusals& to_this_process() {
    static auto* const refusals = new Refusals;
    return *refusals;
  }
  Refusals(const Refusals&) = delete;
  Refusals& operator=(const Refusals&) = delete;

  // False where the kernel has no such filters: nothing is refused then.
  bool work() const { return works_; }
  // Opening shared memory objects fails for this reason. 0: it does not.
  void opens(int reason) { opens_ = reason; }
  // Starting threads and processes, too.
  void threads(int reason) { threads_ = reason; }

 private:
  static constexpr int kUnknown = -2;

  Refusals() {
    constexpr auto kFlags = offsetof(seccomp_data, args[2]);
    sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, kFlags),
        // As shm_open(3) does and hardly anybody else.
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_NOFOLLOW, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog filter = {std::size(steps), steps};
    // It waits for the descriptor that the kernel asks through.
    std::thread([this] { answer(); }).detach();
    constexpr unsigned long kHow = SECCOMP_FILTER_FLAG_NEW_LISTENER |
                                   SECCOMP_FILTER_FLAG_TSYNC |
                                   SECCOMP_FILTER_FLAG_TSYNC_ESRCH;
    long listener = -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0) {
      listener = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, kHow, &filter);
    }
    works_ = listener >= 0;
    listener_ = static_cast<int>(listener);
    listener_.notify_one();
  }
  void answer() {
    listener_.wait(kUnknown);
    for (;;) {
      seccomp_notif call{};
      if (ioctl(listener_, SECCOMP_IOCTL_NOTIF_RECV, &call) != 0) {
        if (errno == EINTR || errno == ENOENT) continue;
        return;
      }
      const int reason = call.data.nr == SYS_openat ? opens_ : threads_;
      seccomp_notif_resp answer{};
      answer.id = call.id;
      answer.error = -reason;
      answer.flags = reason == 0 ? SECCOMP_USER_NOTIF_FLAG_CONTINUE : 0;
      ioctl(listener_, SECCOMP_IOCTL_NOTIF_SEND, &answer);
    }
  }

  bool works_ = false;
  std::atomic<int> listener_{kUnknown};
  std::atomic<int> opens_{0};
  std::atomic<int> threads_{0};
};

}  // namespace support
