// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "fork_guard.h"

#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <vector>

#include "mutex.h"

namespace possum {
namespace {

std::atomic<std::uint32_t> generation{0};

constinit Mutex mutex;
// Never destroyed: a fork may come after static destructors.
constinit std::vector<int>* guarded POSSUM_GUARDED_BY(mutex) = nullptr;

void before_fork() POSSUM_ACQUIRE(mutex) { mutex.lock(); }
void after_fork_in_parent() POSSUM_RELEASE(mutex) { mutex.unlock(); }
void after_fork_in_child() POSSUM_RELEASE(mutex) {
  // Close only: F_UNLCK would release the parent's locks, which live with the shared
  // open file description.
  if (guarded != nullptr) {
    for (const int fd : *guarded) close(fd);
    guarded->clear();
  }
  generation.fetch_add(1, std::memory_order_relaxed);
  mutex.unlock();
}

// When the library is loaded: a handle may be made and forked with before it opens a
// descriptor.
[[maybe_unused]] const int installed =
    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);

}  // namespace

std::uint32_t process_generation() { return generation.load(std::memory_order_relaxed); }

int open_guarded(const char* shm_name, int flags, unsigned mode) {
  const MutexLock lock(mutex);
  const int fd = shm_open(shm_name, flags, mode);
  if (fd < 0) return fd;
  if (guarded == nullptr) guarded = new std::vector<int>;
  guarded->push_back(fd);
  return fd;
}

void close_guarded(int fd) {
  const MutexLock lock(mutex);
  std::erase(*guarded, fd);
  close(fd);
}

}  // namespace possum
