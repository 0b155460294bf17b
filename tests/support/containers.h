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

// What is apart from the rest of the machine.
struct Container {
  bool pid = false;
  bool ipc = false;
  bool user = false;        // root inside is `as` outside
  int clock_s = 0;          // CLOCK_MONOTONIC is ahead by so much
  bool everything = false;  // the above and network, host name, mounts, cgroup
  User as{0, 0};

  int flags() const {
    int result = CLONE_NEWNS;
    if (pid || everything) result |= CLONE_NEWPID;
    if (ipc || everything) result |= CLONE_NEWIPC;
    if (user) result |= CLONE_NEWUSER;
    if (clock_s != 0) result |= CLONE_NEWTIME;
    if (everything) result |= CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWCGROUP;
    return result;
  }
};

namespace detail {

// For the next child; the caller itself stays outside of PID and time namespaces.
// Returns what failed, if anything.
inline std::string enter(const Container& box) {
  if (box.as.uid != 0) {
    if (setgroups(0, nullptr) != 0 ||
        setresgid(box.as.gid, box.as.gid, box.as.gid) != 0 ||
        setresuid(box.as.uid, box.as.uid, box.as.uid) != 0) {
      return "changing users";
    }
    prctl(PR_SET_DUMPABLE, 1);  // as after exec: /proc/self is ours again
  }
  if (unshare(box.flags()) != 0) return "unshare";
  if (box.user) {
    std::ofstream("/proc/self/setgroups") << "deny";
    std::ofstream("/proc/self/uid_map") << "0 " << box.as.uid << " 1";
    std::ofstream("/proc/self/gid_map") << "0 " << box.as.gid << " 1";
    if (geteuid() != 0) return "the map of users";
  }
  if (box.clock_s != 0 &&
      !(std::ofstream("/proc/self/timens_offsets") << "monotonic " << box.clock_s << " 0")
           .flush()) {
    return "the offset of the clock";
  }
  if (mount("none", "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) return "mounts";
  return {};
}

// In the child: a /proc of the new namespaces, and a /dev of which only shm is the old.
inline std::string settle(const Container& box) {
  if ((box.flags() & CLONE_NEWPID) != 0 &&
      mount("proc", "/proc", "proc", 0, nullptr) != 0) {
    return "mounting /proc";
  }
  if (box.everything &&
      (mount("/dev/shm", "/mnt", nullptr, MS_BIND, nullptr) != 0 ||
       mount("none", "/dev", "tmpfs", 0, nullptr) != 0 || mkdir("/dev/shm", 0755) != 0 ||
       mount("/mnt", "/dev/shm", nullptr, MS_MOVE, nullptr) != 0)) {
    return "mounting /dev";
  }
  return {};
}

inline Container container_of(const std::vector<std::string>& args) {
  const auto number = [&](std::size_t i) { return std::stoi(args.at(i)); };
  Container box;
  box.pid = number(0) != 0;
  box.ipc = number(1) != 0;
  box.user = number(2) != 0;
  box.clock_s = number(3);
  box.everything = number(4) != 0;
  box.as = {static_cast<uid_t>(number(5)), static_cast<gid_t>(number(6))};
  return box;
}

}  // namespace detail

// Another role in a container: its seven properties, ROLE, ARGS... Says "inside PID", or
// what the kernel refuses. The process outside ends as the one inside does.
ROLE(contained) {
  const Container box = detail::container_of(args);
  std::string refused = detail::enter(box);
  int go[2];
  CHECK(pipe2(go, O_CLOEXEC) == 0);
  const pid_t pid = refused.empty() ? fork() : -1;
  if (refused.empty() && pid < 0) refused = "fork";
  if (!refused.empty()) {
    say("refused: " + refused + ": " + std::strerror(errno));
    return 0;
  }
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    char word = 0;
    if (read(go[0], &word, 1) != 1) _exit(0);
    refused = detail::settle(box);
    say(refused.empty() ? "settled"
                        : "refused: " + refused + ": " + std::strerror(errno));
    if (!refused.empty()) _exit(0);
    _exit(check::find(check::roles(), args.at(7).c_str())
              ->run({args.begin() + 8, args.end()}));
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
  std::vector<std::string> words;
  for (const int value :
       {int{box.pid}, int{box.ipc}, int{box.user}, box.clock_s, int{box.everything},
        static_cast<int>(box.as.uid), static_cast<int>(box.as.gid)}) {
    words.push_back(std::to_string(value));
  }
  words.push_back(role);
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
class Contained : public Far {
 public:
  // SIGKILL to the process inside; gone when this returns.
  void kill_inside() {
    CHECK(::kill(inside_, SIGKILL) == 0);
    CHECK(Far::join() == 128 + SIGKILL);
  }

 protected:
  Contained(const Container& box, const std::string& role,
            const std::vector<std::string>& args)
      : Contained(box, role, args, 0) {}

 private:
  Contained(const Container& box, const std::string& role,
            const std::vector<std::string>& args, pid_t inside)
      : Far(contained(box, role, args, inside)), inside_(inside) {}

  pid_t inside_;
};

class BoxedReader : public Contained<FarReader> {
 public:
  BoxedReader(const Container& box, const std::string& channel,
              Policy policy = Policy::blocking, const std::string& owner = "")
      : Contained(box, "reader", arguments(channel, policy, owner)) {}

 private:
  static std::vector<std::string> arguments(const std::string& channel, Policy policy,
                                            const std::string& owner) {
    std::vector<std::string> result = {channel, std::to_string(static_cast<int>(policy)),
                                       "4"};
    if (!owner.empty()) result.push_back(owner);
    return result;
  }
};

class BoxedWriter : public Contained<FarWriter> {
 public:
  BoxedWriter(const Container& box, const std::string& channel,
              const std::string& says = "ok 0")
      : Contained(box, "writer", {channel, "blocking"}) {
    expect(says);
  }
};

}  // namespace support
