// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// One mapped POSIX shared memory object, and the owner of a file descriptor. What the
// bytes mean is somebody else's business.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "base/bus_guard.h"
#include "base/error.h"

namespace possum {

class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  ~UniqueFd() { reset(); }
  UniqueFd(UniqueFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  UniqueFd& operator=(UniqueFd other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  void reset();

 private:
  int fd_ = -1;
};

enum class Access { read_only, read_write };

// A mapping; unmapped when destroyed. The descriptor is not kept. Behind it lies a
// private page of zeros, for code that reads, or writes, a few bytes past the end of a
// frame.
class ShmObject {
 public:
  // Maps `bytes` of `fd` from `offset` on, a multiple of the page size. What is to be
  // written to is all present then.
  static std::shared_ptr<ShmObject> map(int fd, std::size_t bytes, Access access,
                                        Error& error, std::size_t offset = 0);
  ~ShmObject();
  ShmObject(const ShmObject&) = delete;
  ShmObject& operator=(const ShmObject&) = delete;

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  // Maps a part of `fd` again, writable now.
  bool make_writable(int fd, std::size_t offset, std::size_t bytes, Error& error);
  // Maps `fd` again from `offset` on, which shows the same as long as nobody writes
  // there. The process may, then: see restore() and install_draw_guard(). False: not on
  // this machine, and all is as before.
  bool make_drawable(int fd, std::size_t offset);
  // Takes back what was drawn there; costs nothing if there is nothing.
  void restore() {
    if (region_->drawn() && !region_->restore()) spoiled_ = true;
  }
  // What was drawn could not be taken back: to be mapped anew for the next frame.
  bool spoiled() const { return spoiled_; }
  // Was it truncated and touched? Then it is zeros of this process: see bus_guard.h.
  bool damaged() const { return region_->damaged(); }

 private:
  ShmObject(std::byte* data, std::size_t size, int protection)
      : data_(data), size_(size), region_(std::in_place, data, size, protection) {}
  std::byte* data_;
  std::size_t size_;
  std::optional<GuardedRegion> region_;  // ends before the mapping does
  std::atomic<bool> spoiled_{false};
};

struct ObjectMode {
  unsigned mode = 0600;  // set with fchmod: the umask does not matter
  std::optional<gid_t> group;
};

// Creates `name` (O_EXCL, mode 0600). The caller sets the final mode: set_group(), then
// set_mode(). `taken`: there is something of that name already.
UniqueFd create_object(const std::string& name, bool& taken, Error& error);
bool set_group(int fd, const ObjectMode& mode, Error& error);
bool set_mode(int fd, const ObjectMode& mode, Error& error);
// Reserves `bytes` of memory for `fd`, so that no later touch can fail with SIGBUS.
// no_space carries needed_bytes and free_bytes.
bool reserve_bytes(int fd, std::size_t bytes, Error& error);

// Copies `bytes` from `offset` on. False: there are not so many.
bool copy_bytes(int fd, std::uint64_t offset, void* to, std::size_t bytes);

// What a name leads to now; a symbolic link is not followed.
std::optional<struct stat> stat_name(const std::string& name);
// What the descriptor leads to.
std::optional<struct stat> stat_fd(int fd);
// Do both lead to one object? False also where one cannot be asked.
bool same_object(int fd, int other_fd);
bool leads_to(const std::string& name, int fd);
// Is less memory there than the size says? Reading a hole makes whoever reads it pay for
// it, is SIGBUS where there is no memory, and makes a size mean nothing.
bool has_holes(const struct stat& info);

std::size_t page_bytes();  // of this machine

// Free bytes of the shm mount.
std::size_t shm_free_bytes();
// Where glibc keeps the objects, for listing and inotify: shm_overview(7).
inline constexpr const char kShmDirectory[] = "/dev/shm";

}  // namespace possum
