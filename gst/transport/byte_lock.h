// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Who is alive: open file description locks on single bytes of the control object
// (fcntl(2)). The kernel drops them when the last reference to the description is gone,
// so the descriptor is never mapped (a mapping is a reference) and children close it.
#pragma once

#include <cstdint>

#include "shm_object.h"

namespace possum {

// A descriptor of its own that carries locks. Nothing may be mapped through it.
class LockFd {
 public:
  LockFd() = default;
  explicit LockFd(UniqueFd fd);
  ~LockFd() { reset(); }
  LockFd(LockFd&& other) noexcept
      : fd_(std::move(other.fd_)), generation_(other.generation_) {}
  LockFd& operator=(LockFd other) noexcept {
    std::swap(fd_, other.fd_);
    std::swap(generation_, other.generation_);
    return *this;
  }

  explicit operator bool() const { return static_cast<bool>(fd_); }
  int get() const { return fd_.get(); }
  // Releases every lock taken through it.
  void reset();

  enum class Result { ok, busy, failed };  // failed: errno says why
  Result try_lock(std::int64_t byte);
  void unlock(std::int64_t byte);
  // Does another open file description hold the byte? Costs one system call.
  bool held_by_other(std::int64_t byte) const;

 private:
  UniqueFd fd_;
  std::uint32_t generation_ = 0;
};

}  // namespace possum
