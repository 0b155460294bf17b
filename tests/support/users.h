// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Whether a test can act as several users.
#pragma once

#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "leftovers.h"

namespace support {

// Asked of the kernel: root in a user namespace of its own, which PrivateShm makes for
// whoever is not root, has nobody else to become.
inline bool may_become_others() {
  constexpr uid_t kAnyOther = 54321;
  const pid_t pid = fork();
  if (pid == 0) {
    _exit(setgroups(0, nullptr) == 0 && setresgid(kAnyOther, kAnyOther, kAnyOther) == 0 &&
                  setresuid(kAnyOther, kAnyOther, kAnyOther) == 0
              ? 0
              : 1);
  }
  int status = -1;
  return pid > 0 && waitpid(pid, &status, 0) == pid && status == 0;
}

// All files of a channel, as if that user wrote it. Root's.
inline void give_channel_to(const std::string& channel, uid_t owner) {
  for (const std::string& name : names_of(channel)) {
    const std::string path = std::string(kShm) + "/" + name;
    if (chown(path.c_str(), owner, static_cast<gid_t>(-1)) != 0) std::abort();
  }
}

}  // namespace support
