// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "shm_object.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>

namespace possum {

namespace {

// Of an object's mapping, with the private page behind it.
std::size_t with_slack(std::size_t bytes) {
  return (bytes + page_bytes() - 1) / page_bytes() * page_bytes() + page_bytes();
}

}  // namespace

void UniqueFd::reset() {
  if (fd_ >= 0) close(fd_);
  fd_ = -1;
}

std::shared_ptr<ShmObject> ShmObject::map(int fd, std::size_t bytes, Access access,
                                          Error& error, std::size_t offset) {
  const bool writes = access == Access::read_write;
  const int prot = writes ? PROT_READ | PROT_WRITE : PROT_READ;
  const int flags = MAP_SHARED | (writes ? MAP_POPULATE : 0);
  // One page more, which is none of the file's: the private page goes in its place.
  void* const data =
      mmap(nullptr, with_slack(bytes), prot, flags, fd, static_cast<off_t>(offset));
  const bool mapped = data != MAP_FAILED;
  if (!mapped ||
      mmap(static_cast<std::byte*>(data) + with_slack(bytes) - page_bytes(), page_bytes(),
           prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED) {
    error = shm_error("Shared memory could not be mapped",
                      "mmap of " + std::to_string(bytes) + " bytes", errno);
    if (mapped) munmap(data, with_slack(bytes));
    return nullptr;
  }
  // A core dump holds the owner lock until it is written: keep it small.
  madvise(data, bytes, MADV_DONTDUMP);
  return std::shared_ptr<ShmObject>(
      new ShmObject(static_cast<std::byte*>(data), bytes, prot));
}

ShmObject::~ShmObject() {
  region_.reset();  // somebody else's mapping may have these addresses next
  munmap(data_, with_slack(size_));
}

bool ShmObject::make_writable(int fd, std::size_t offset, std::size_t bytes,
                              Error& error) {
  constexpr int kProtection = PROT_READ | PROT_WRITE;
  region_->set_protection(kProtection);
  if (mmap(data_ + offset, bytes, kProtection, MAP_SHARED | MAP_FIXED, fd,
           static_cast<off_t>(offset)) != MAP_FAILED) {
    madvise(data_ + offset, bytes, MADV_DONTDUMP);
    return true;
  }
  error = shm_error("Shared memory could not be mapped", "mmap of a part", errno);
  return false;
}

bool ShmObject::make_drawable(int fd, std::size_t offset) {
  if (mmap(data_ + offset, size_ - offset, PROT_READ, MAP_PRIVATE | MAP_FIXED, fd,
           static_cast<off_t>(offset)) == MAP_FAILED) {
    return false;
  }
  madvise(data_ + offset, size_ - offset, MADV_DONTDUMP);
  region_->make_drawable(offset);
  return true;
}

UniqueFd create_object(const std::string& name, bool& taken, Error& error) {
  UniqueFd fd(shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600));
  const int reason = errno;
  taken = !fd && reason == EEXIST;
  if (!fd) {
    error = shm_error("A shared memory object could not be created", "shm_open " + name,
                      reason);
  }
  return fd;
}

bool set_group(int fd, const ObjectMode& mode, Error& error) {
  if (mode.group && fchown(fd, static_cast<uid_t>(-1), *mode.group) != 0) {
    error = system_error(ErrorCode::no_permission,
                         "The group could not be set: " + error_words(errno) +
                             ": choose a group that this user is a member of",
                         "fchown", errno);
    return false;
  }
  return true;
}

bool set_mode(int fd, const ObjectMode& mode, Error& error) {
  if (fchmod(fd, mode.mode) != 0) {
    error = system_error(ErrorCode::system,
                         "The permissions could not be set: " + error_words(errno),
                         "fchmod", errno);
    return false;
  }
  return true;
}

bool copy_bytes(int fd, std::uint64_t offset, void* to, std::size_t bytes) {
  return pread(fd, to, bytes, static_cast<off_t>(offset)) == static_cast<ssize_t>(bytes);
}

std::optional<struct stat> stat_name(const std::string& name) {
  struct stat info {};
  if (lstat((kShmDirectory + name).c_str(), &info) != 0) return std::nullopt;
  return info;
}

std::optional<struct stat> stat_fd(int fd) {
  struct stat info {};
  if (fstat(fd, &info) != 0) return std::nullopt;
  return info;
}

bool same_object(int fd, int other_fd) {
  const auto one = stat_fd(fd), other = stat_fd(other_fd);
  return one && other && one->st_ino == other->st_ino;
}

bool leads_to(const std::string& name, int fd) {
  const auto named = stat_name(name), ours = stat_fd(fd);
  return named && ours && named->st_ino == ours->st_ino;
}

bool has_holes(const struct stat& info) {
  constexpr off_t kBlock = 512;  // stat(2)
  return info.st_blocks < info.st_size / kBlock;
}

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

std::size_t shm_free_bytes() {
  struct statvfs mount {};
  if (statvfs(kShmDirectory, &mount) != 0) return 0;
  const std::uint64_t bytes = std::uint64_t{mount.f_bavail} * mount.f_frsize;
  return static_cast<std::size_t>(std::min<std::uint64_t>(bytes, SIZE_MAX));
}

bool reserve_bytes(int fd, std::size_t bytes, Error& error) {
  // Small steps: tmpfs undoes an interrupted fallocate(2) as a whole, so that one large
  // call could be restarted for ever under a steady stream of signals.
  constexpr std::size_t kStep = 4 << 20;
  // Past this limit the kernel does not only refuse, but ends the process by SIGXFSZ.
  rlimit limit{};
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < bytes) {
    error = system_error(
        ErrorCode::system,
        "This process may not make files as large as " + std::to_string(bytes) +
            " bytes, and shared memory is a file: raise the limit (ulimit -f unlimited, "
            "LimitFSIZE=infinity)",
        "RLIMIT_FSIZE is " + std::to_string(limit.rlim_cur), EFBIG);
    return false;
  }
  struct statvfs mount {};
  // A mount without a limit says 0 of 0 blocks.
  const bool limited = statvfs(kShmDirectory, &mount) == 0 && mount.f_blocks != 0;
  int result = limited && shm_free_bytes() < bytes ? ENOSPC : 0;
  for (std::size_t done = 0; done < bytes && result == 0;) {
    const std::size_t step = std::min(kStep, bytes - done);
    result = posix_fallocate(fd, static_cast<off_t>(done), static_cast<off_t>(step));
    if (result == EINTR) {
      result = 0;
    } else if (result == 0) {
      done += step;
    }
  }
  if (result == 0) return true;
  const std::size_t free_bytes = shm_free_bytes();
  const std::string call = "posix_fallocate of " + std::to_string(bytes) + " bytes";
  if (result != ENOSPC) {
    error = shm_error("Shared memory could not be reserved", call, result);
    return false;
  }
  error = system_error(ErrorCode::no_space,
                       "Shared memory could not be reserved: " + error_words(result) +
                           ": enlarge /dev/shm (docker run --shm-size=512m)",
                       call, result);
  error.needed_bytes = bytes;
  error.free_bytes = free_bytes;
  return false;
}

}  // namespace possum
