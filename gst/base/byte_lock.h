// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Who is alive: open file description locks on single bytes of a shared memory object
// (fcntl(2)). The kernel drops them when the last reference to the description is gone,
// so the descriptor is never mapped (a mapping is a reference) and children close it.
#pragma once

#include <cstdint>
#include <string>
#include <utility>

namespace possum {

// A descriptor of its own that carries locks. Nothing may be mapped through it.
class LockFd {
 public:
  LockFd() = default;
  // As shm_open(3); empty on failure, with errno set.
  static LockFd open(const std::string& name, int flags, unsigned mode);
  ~LockFd() { reset(); }
  LockFd(LockFd&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), generation_(other.generation_) {}
  LockFd& operator=(LockFd other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(generation_, other.generation_);
    return *this;
  }

  explicit operator bool() const { return fd_ >= 0; }
  int get() const { return fd_; }
  // Releases every lock taken through it.
  void reset();

  enum class Result { ok, busy, failed };  // failed: errno says why
  Result try_lock(std::int64_t byte);
  void unlock(std::int64_t byte);
  // Does another open file description hold the byte? Costs one system call.
  bool held_by_other(std::int64_t byte) const;

 private:
  int fd_ = -1;
  std::uint32_t generation_ = 0;
};

}  // namespace possum
