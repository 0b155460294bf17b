// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A /dev/shm of one's own, as small as one likes: a tmpfs in a mount namespace that only
// this program and its later children see. Include it after check.h.
#pragma once

#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "mount_namespace.h"

namespace support {

// Skips the test where the kernel does not allow it. Before any thread exists.
class PrivateShm {
 public:
  explicit PrivateShm(std::size_t bytes) {
    static const int refused = leave_mount_namespace() ? 0 : errno;
    const std::string options = "size=" + std::to_string(bytes);
    if (refused != 0 || mount("tmpfs", "/dev/shm", "tmpfs", 0, options.c_str()) != 0) {
      check::skip(std::string("no mounts of one's own here: ") +
                  std::strerror(refused != 0 ? refused : errno));
    }
  }
  ~PrivateShm() { umount2("/dev/shm", MNT_DETACH); }
  PrivateShm(const PrivateShm&) = delete;
  PrivateShm& operator=(const PrivateShm&) = delete;

  // Other options of the mount, as "size=64m".
  static void change(const char* options) {
    CHECK(mount(nullptr, "/dev/shm", nullptr, MS_REMOUNT, options) == 0);
  }
};

}  // namespace support
