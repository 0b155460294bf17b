// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Puts an unreadable page behind everything that the program maps, and lets the address
// sanitizer guard what the last page holds beyond the end of the file. The linker sends
// calls of mmap() (which is called mmap64 where files may be large) and munmap() here
// (--wrap); libraries keep their own.
#include <errno.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <atomic>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GUARD_POISONS 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define GUARD_POISONS 1
#endif
#ifdef GUARD_POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, bytes)
#define ASAN_UNPOISON_MEMORY_REGION(at, bytes)
#endif

extern "C" {
void* __real_mmap64(void* at, std::size_t bytes, int prot, int flags, int fd,
                    off_t offset);
int __real_munmap(void* at, std::size_t bytes);
void* __wrap_mmap64(void* at, std::size_t bytes, int prot, int flags, int fd,
                    off_t offset);
int __wrap_munmap(void* at, std::size_t bytes);
int __wrap_inotify_init1(int flags);
}

namespace {

std::atomic<std::size_t> guarded{0};

std::size_t whole_pages(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return (bytes + page - 1) / page * page;
}

}  // namespace

void* __wrap_mmap64(void* at, std::size_t bytes, int prot, int flags, int fd,
                    off_t offset) {
  if (at != nullptr) return __real_mmap64(at, bytes, prot, flags, fd, offset);
  const std::size_t inside = whole_pages(bytes);
  const std::size_t guard = whole_pages(1);
  if (inside < bytes || inside + guard < inside) {  // the kernel's answer, not ours
    return __real_mmap64(at, bytes, prot, flags, fd, offset);
  }
  void* const room = __real_mmap64(nullptr, inside + guard, PROT_NONE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return MAP_FAILED;
  void* const data = __real_mmap64(room, bytes, prot, flags | MAP_FIXED, fd, offset);
  if (data == MAP_FAILED) {
    __real_munmap(room, inside + guard);
    return MAP_FAILED;
  }
  ASAN_POISON_MEMORY_REGION(static_cast<char*>(data) + bytes, inside - bytes);
  ++guarded;
  return data;
}

int __wrap_munmap(void* at, std::size_t bytes) {
  const std::size_t inside = whole_pages(bytes);
  ASAN_UNPOISON_MEMORY_REGION(static_cast<char*>(at) + bytes, inside - bytes);
  return __real_munmap(at, inside + whole_pages(1));
}

// The kernel takes 10 ms to close one of these, which is most of an input's time. Readers
// do without where there is none.
int __wrap_inotify_init1(int) {
  errno = EMFILE;
  return -1;
}

namespace fuzz {
std::size_t guarded_mappings() { return guarded; }  // declared in fuzz.h
}  // namespace fuzz
