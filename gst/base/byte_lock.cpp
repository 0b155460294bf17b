// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "byte_lock.h"

#include <errno.h>
#include <fcntl.h>

#include "fork_guard.h"

namespace possum {
namespace {

// l_pid must be 0 for OFD commands (fcntl(2)); value initialisation sees to it.
struct flock byte_range(short type, std::int64_t byte) {
  struct flock range {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = byte;
  range.l_len = 1;
  return range;
}

}  // namespace

LockFd LockFd::open(const std::string& name, int flags, unsigned mode) {
  LockFd lock;
  lock.fd_ = open_guarded(name.c_str(), flags, mode);
  lock.generation_ = process_generation();
  return lock;
}

void LockFd::reset() {
  const int fd = std::exchange(fd_, -1);
  // After a fork the child's copy is closed already; the number may be somebody else's.
  if (fd >= 0 && generation_ == process_generation()) close_guarded(fd);
}

LockFd::Result LockFd::try_lock(std::int64_t byte) {
  struct flock range = byte_range(F_WRLCK, byte);
  int result;
  do {
    result = fcntl(fd_, F_OFD_SETLK, &range);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return Result::ok;
  return errno == EAGAIN || errno == EACCES ? Result::busy : Result::failed;
}

void LockFd::unlock(std::int64_t byte) {
  struct flock range = byte_range(F_UNLCK, byte);
  fcntl(fd_, F_OFD_SETLK, &range);
}

bool LockFd::held_by_other(std::int64_t byte) const {
  struct flock range = byte_range(F_WRLCK, byte);
  return fcntl(fd_, F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
}

}  // namespace possum
