// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "fork_guard.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

namespace possum {
namespace {

std::atomic<std::uint32_t> generation{0};

struct Guard {
  std::mutex lock;
  std::vector<int> fds;
};

// Never destroyed: a fork may come after static destructors.
Guard& guard() {
  static Guard* const instance = new Guard;
  return *instance;
}

void before_fork() { guard().lock.lock(); }
void after_fork_in_parent() { guard().lock.unlock(); }
void after_fork_in_child() {
  // Close only: F_UNLCK would release the parent's locks, which live with the shared
  // open file description.
  for (const int fd : guard().fds) close(fd);
  guard().fds.clear();
  generation.fetch_add(1, std::memory_order_relaxed);
  guard().lock.unlock();
}

// When the library is loaded: a handle may be made and forked with before it opens a
// descriptor.
[[maybe_unused]] const int installed =
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);

}  // namespace

std::uint32_t process_generation() { return generation.load(std::memory_order_relaxed); }

int open_guarded(const char* shm_name, int flags, unsigned mode) {
  const std::lock_guard lock(guard().lock);
  const int fd = shm_open(shm_name, flags, mode);
  if (fd >= 0) guard().fds.push_back(fd);
  return fd;
}

void close_guarded(int fd) {
  const std::lock_guard lock(guard().lock);
  std::erase(guard().fds, fd);
  close(fd);
}

}  // namespace possum
