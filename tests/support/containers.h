// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Readers and writers in namespaces of their own, as containers have them: only the mount
// at /dev/shm is shared. Include it after check.h.
#pragma once

#include <sched.h>
#include <sys/mount.h>

#include <fstream>

#include "support/peers.h"

namespace support {

inline constexpr int kWholeContainer =
    CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP;

struct Container {
  int apart = 0;    // CLONE_NEW... of what is apart from the rest of the machine
  int clock_s = 0;  // with CLONE_NEWTIME: CLOCK_MONOTONIC is ahead by so much
  User as{0, 0};    // with CLONE_NEWUSER: who root inside is outside
};

namespace detail {

// For the next child; the caller itself stays outside of PID and time namespaces.
// Returns what failed, if anything.
inline std::string enter(const Container& box) {
  if (box.as.uid != 0 && !become(box.as)) return "changing users";
  if (unshare(CLONE_NEWNS | box.apart) != 0) return "unshare";
  if ((box.apart & CLONE_NEWUSER) != 0) {
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " << box.as.uid << " 1";
    std::ofstream("/proc/self/gid_map") << "0 " << box.as.gid << " 1";
    if (geteuid() != 0) return "the map of users";
  }
  if ((box.apart & CLONE_NEWTIME) != 0 &&
      !(std::ofstream("/proc/self/timens_offsets") << "monotonic " << box.clock_s << " 0")
           .flush()) {
    return "the offset of the clock";
  }
  if (mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return "mounts";
  return {};
}

// In the child: a /proc of the new namespaces, and a /dev of which only shm is the old.
inline std::string settle(const Container& box) {
  if ((box.apart & CLONE_NEWPID) != 0 &&
      mount("proc", "/proc", "proc", 0, nullptr) != 0) {
    return "mounting /proc";
  }
  if ((box.apart & CLONE_NEWNET) != 0 &&
      (mount("/dev/shm", "/mnt", nullptr, MS_BIND, nullptr) != 0 ||
       mount("none", "/dev", "tmpfs", 0, nullptr) != 0 || mkdir("/dev/shm", 0755) != 0 ||
       mount("/mnt", "/dev/shm", nullptr, MS_MOVE, nullptr) != 0)) {
    return "mounting /dev";
  }
  return {};
}

}  // namespace detail

// Another role in a container: its four numbers, ROLE, ARGS... Says "inside PID", or what
// the kernel refuses. The process outside ends as the one inside does.
ROLE(contained) {
  const Container box{std::stoi(args.at(0)),
                      std::stoi(args.at(1)),
                      {static_cast<uid_t>(std::stoul(args.at(2))),
                       static_cast<gid_t>(std::stoul(args.at(3)))}};
  const auto refuse = [](const std::string& what) {
    say("refused: " + what + ": " + std::strerror(errno));
    return 0;
  };
  int go[2];
  CHECK(pipe2(go, O_CLOEXEC) == 0);
  const std::string no_entry = detail::enter(box);
  if (!no_entry.empty()) return refuse(no_entry);
  const pid_t pid = fork();
  if (pid < 0) return refuse("fork");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char word = 0;
    if (read(go[0], &word, 1) != 1) _exit(0);
    const std::string unsettled = detail::settle(box);
    if (!unsettled.empty()) _exit(refuse(unsettled));
    say("settled");
    _exit(check::find(check::roles(), args.at(4).c_str())
              ->run({args.begin() + 5, args.end()}));
  }
  // Who reads our input is the one inside.
  say("inside " + std::to_string(pid));
  CHECK(write(go[1], "g", 1) == 1);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  _exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
}

// Skips the test where the kernel refuses such a container.
inline Peer contained(const Container& box, const std::string& role,
                      const std::vector<std::string>& args, pid_t& inside) {
  std::vector<std::string> words = {
      std::to_string(box.apart), std::to_string(box.clock_s), std::to_string(box.as.uid),
      std::to_string(box.as.gid), role};
  words.insert(words.end(), args.begin(), args.end());
  Peer peer("contained", words);
  std::string line = peer.hear();
  if (line.starts_with("inside ")) {
    inside = std::stoi(line.substr(7));
    line = peer.hear();
  }
  if (line != "settled") check::skip("no such container here, " + line);
  return peer;
}

template <class Far>
class Boxed : public Far {
 public:
  // SIGKILL to the process inside; gone when this returns.
  void kill_inside() {
    CHECK(::kill(inside_, SIGKILL) == 0);
    CHECK(Far::join() == 128 + SIGKILL);
  }

 protected:
  Boxed(const Container& box, const std::string& role,
        const std::vector<std::string>& args, pid_t inside = 0)
      : Far(contained(box, role, args, inside)), inside_(inside) {}

 private:
  pid_t inside_;
};

struct BoxedReader : Boxed<FarReader> {
  explicit BoxedReader(const Container& box, const std::string& channel,
                       Policy policy = Policy::blocking, const std::string& owner = "")
      : Boxed(box, "reader", reader_words(channel, policy, 4, owner)) {}
};

struct BoxedWriter : Boxed<FarWriter> {
  BoxedWriter(const Container& box, const std::string& channel,
              const std::string& says = "ok 0")
      : Boxed(box, "writer", {channel, "blocking"}) {
    expect(says);
  }
};

}  // namespace support
