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

LockFd::LockFd(UniqueFd fd) : fd_(std::move(fd)), generation_(process_generation()) {
  if (fd_) guard_lock_fd(fd_.get());
}

void LockFd::reset() {
  if (!fd_) return;
  if (generation_ == process_generation()) {
    forget_lock_fd(fd_.get());
    fd_.reset();
  } else {
    // Closed right after the fork; the number may belong to somebody else by now.
    fd_.release();
  }
}

LockFd::Result LockFd::try_lock(std::int64_t byte) {
  struct flock range = byte_range(F_WRLCK, byte);
  int result;
  do {
    result = fcntl(fd_.get(), F_OFD_SETLK, &range);
  } while (result != 0 && errno == EINTR);
  if (result == 0) return Result::ok;
  return errno == EAGAIN || errno == EACCES ? Result::busy : Result::failed;
}

void LockFd::unlock(std::int64_t byte) {
  struct flock range = byte_range(F_UNLCK, byte);
  fcntl(fd_.get(), F_OFD_SETLK, &range);
}

bool LockFd::held_by_other(std::int64_t byte) const {
  struct flock range = byte_range(F_WRLCK, byte);
  return fcntl(fd_.get(), F_OFD_GETLK, &range) == 0 && range.l_type != F_UNLCK;
}

}  // namespace possum
