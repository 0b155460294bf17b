// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Lets ThreadSanitizer see both ends of a channel. It knows memory by its address, so a
// writer and a reader of one process, each with a mapping of its own, could race for ever
// unseen. Here every mapping of an object in this process is the same one. What the
// kernel does for the protocol is told as well: a byte lock is a lock, and a header that
// is read by pread(2) is read. The semaphores, in turn, are taken out of sight, because
// no access may owe its order to a bell that a peer can ring at any time.
//
// Linked with --wrap into tests built with -Db_sanitize=thread, and compiled without it:
// the table below must not order the threads that it serves. POSSUM_TWO_MAPPINGS=1
// leaves the mappings alone, to show what would be missed.
#include <fcntl.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "transport/layout.h"

extern "C" {
// Of libtsan.
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void __tsan_read_range(void* address, unsigned long bytes);
long __tsan_atomic64_fetch_add(volatile long* at, long value, int order);
void AnnotateIgnoreSyncBegin(const char* file, int line);
void AnnotateIgnoreSyncEnd(const char* file, int line);

// Named as in objects whose off_t has 64 bits, which Meson asks for.
void* __real_mmap64(void* at, size_t bytes, int prot, int flags, int fd, off_t offset);
int __real_munmap(void* at, size_t bytes);
ssize_t __real_pread64(int fd, void* to, size_t bytes, off_t offset);
int __real_fcntl64(int fd, int command, ...);
int __real_close(int fd);
int __real_sem_post(sem_t* semaphore);
int __real_sem_trywait(sem_t* semaphore);
}

namespace {

constexpr int kMappings = 4096;
constexpr int kDescriptors = 4096;
constexpr unsigned kBytes = 1 + possum::transport::layout::kReaders;  // that are locked

struct Mapping {
  ino_t inode;
  char* base;  // null: an unused entry
  size_t bytes;
  int users;
};

Mapping mappings[kMappings];
// The lock bytes that a descriptor holds, bit 0 for OWNER, and of which object.
struct Held {
  ino_t inode;
  std::uint64_t bytes;
} held[kDescriptors];

std::atomic_flag busy = ATOMIC_FLAG_INIT;
struct Lock {
  Lock() {
    while (busy.test_and_set(std::memory_order_acquire)) {
    }
  }
  ~Lock() { busy.clear(std::memory_order_release); }
};

[[noreturn]] void give_up(const char* why) {
  std::fprintf(stderr, "one_mapping: %s\n", why);
  std::abort();
}

bool in_shm(int fd, struct stat& info) {
  static const dev_t device = [] {
    struct stat mount {};
    return stat("/dev/shm", &mount) == 0 ? mount.st_dev : 0;
  }();
  return fd >= 0 && fstat(fd, &info) == 0 && S_ISREG(info.st_mode) &&
         info.st_dev == device;
}

Mapping* mapping_of(ino_t inode) {
  for (Mapping& m : mappings) {
    if (m.base && m.inode == inode) return &m;
  }
  return nullptr;
}

bool two_mappings() {
  static const bool two = std::getenv("POSSUM_TWO_MAPPINGS") != nullptr;
  return two;
}

// An address that stands for one byte lock of one object. Two objects may share it, which
// orders more than there is, but seldom.
void* lock_of(ino_t inode, unsigned byte) {
  static char stands_for[1021][kBytes];
  return &stands_for[inode % 1021][byte];
}

unsigned index_of(const struct flock& range) {
  const std::int64_t index = range.l_start - possum::transport::layout::kOwnerByte;
  if (index < 0 || index >= kBytes) give_up("a lock on an unknown byte");
  return static_cast<unsigned>(index);
}

int set_lock(int fd, struct flock& range) {
  struct stat info {};
  if (fd >= kDescriptors || !in_shm(fd, info)) give_up("a lock on something else");
  const unsigned byte = index_of(range);
  const std::uint64_t bit = std::uint64_t{1} << byte;
  if (range.l_type == F_UNLCK) {
    __tsan_release(lock_of(info.st_ino, byte));
    held[fd].bytes &= ~bit;
    return __real_fcntl64(fd, F_OFD_SETLK, &range);
  }
  const int result = __real_fcntl64(fd, F_OFD_SETLK, &range);
  if (result == 0) {
    held[fd] = {info.st_ino, held[fd].bytes | bit};
    __tsan_acquire(lock_of(info.st_ino, byte));
  }
  return result;
}

// While it lives, nothing this thread does puts it in order with another one. What is
// seen of the bell is that its changing part changes.
class Unordered {
 public:
  explicit Unordered(sem_t* semaphore) {
    __tsan_atomic64_fetch_add(reinterpret_cast<volatile long*>(semaphore), 0,
                              __ATOMIC_RELAXED);
    AnnotateIgnoreSyncBegin(__FILE__, __LINE__);
  }
  ~Unordered() { AnnotateIgnoreSyncEnd(__FILE__, __LINE__); }
  Unordered(const Unordered&) = delete;
  Unordered& operator=(const Unordered&) = delete;
};

}  // namespace

extern "C" {

void* __wrap_mmap64(void* at, size_t bytes, int prot, int flags, int fd, off_t offset) {
  struct stat info {};
  if (two_mappings() || !in_shm(fd, info)) {
    return __real_mmap64(at, bytes, prot, flags, fd, offset);
  }
  const Lock lock;
  Mapping* found = mapping_of(info.st_ino);
  // A reader's own page is writable already.
  const bool fixed = (flags & MAP_FIXED) != 0;
  if (fixed && found && found->base + offset == at) return at;
  // A semaphore has a mapping of its own, with a part behind it that is nobody else's.
  if (fixed || offset != 0) return __real_mmap64(at, bytes, prot, flags, fd, offset);
  if (found) {
    if (found->bytes != bytes) give_up("two sizes of one object");
    ++found->users;
    return found->base;
  }
  // Whoever may write is given the right to: the next one here may need it.
  const bool writable = (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDWR;
  if (writable) prot |= PROT_WRITE;
  // Past the interceptor, for which this thread would have written all these bytes just
  // now: when readers map an object whose writer is gone, nothing orders one of them
  // before another's first look.
  auto* const base =
      reinterpret_cast<void*>(syscall(SYS_mmap, at, bytes, prot, flags, fd, offset));
  if (base == MAP_FAILED) return base;
  for (Mapping& m : mappings) {
    if (m.base) continue;
    m = {info.st_ino, static_cast<char*>(base), bytes, 1};
    return base;
  }
  give_up("too many mappings");
}

int __wrap_munmap(void* at, size_t bytes) {
  const Lock lock;
  for (Mapping& m : mappings) {
    if (!m.base || m.base != at) continue;
    if (--m.users > 0) return 0;
    m = {};
    break;
  }
  return __real_munmap(at, bytes);
}

// The header of a data object is read while it cannot change. That of the control object
// is not: its reader looks again once the state says that it is complete.
ssize_t __wrap_pread64(int fd, void* to, size_t bytes, off_t offset) {
  struct stat info {};
  if (!two_mappings() && in_shm(fd, info)) {
    const Lock lock;
    const Mapping* const m = mapping_of(info.st_ino);
    if (m && bytes == sizeof(possum::transport::layout::DataHeader)) {
      __tsan_read_range(m->base + offset, bytes);
    }
  }
  return __real_pread64(fd, to, bytes, offset);
}

int __wrap_fcntl64(int fd, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void* const argument = va_arg(rest, void*);
  va_end(rest);
  if (command == F_OFD_SETLK) return set_lock(fd, *static_cast<struct flock*>(argument));
  return __real_fcntl64(fd, command, argument);
}

int __wrap_close(int fd) {
  if (fd >= 0 && fd < kDescriptors) {
    const Held last = held[fd];
    held[fd] = {};
    for (unsigned byte = 0; byte < kBytes; ++byte) {
      if ((last.bytes >> byte & 1) != 0) __tsan_release(lock_of(last.inode, byte));
    }
  }
  return __real_close(fd);
}

int __wrap_sem_post(sem_t* semaphore) {
  const Unordered bell(semaphore);
  return __real_sem_post(semaphore);
}
int __wrap_sem_trywait(sem_t* semaphore) {
  const Unordered bell(semaphore);
  return __real_sem_trywait(semaphore);
}

}  // extern "C"
