/* SPDX-License-Identifier: LGPL-2.1-or-later
 * Copyright (C) 2026 the possum authors
 *
 * What smallest_reader.c and smallest_writer.c share: the bytes of
 * gst/transport/PROTOCOL.md as C structs, the byte locks and the bells. 64-bit C
 * libraries only.
 */
#ifndef SMALLEST_H
#define SMALLEST_H

#define _GNU_SOURCE /* F_OFD_SETLK, sem_clockwait() */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(void*) == 8, "the semaphores of 32-bit C libraries differ");

enum { VERSION = 3, SLOTS = 32, READERS = 32, MAX_DEPTH = 16, MAX_TAKEN = 9 };
enum { ROOM_UNIT = 1, ATTENTION_UNIT = 2, PAGE_UNIT = 3, UNITS = PAGE_UNIT + READERS };
enum { INIT = 0, READY = 1, EOS = 2 };                   /* Header.state */
enum { FREE = 0, ACTIVE = 1, LEFT = 2 };                 /* Page.cfg, lowest byte */
enum { DROP_OLDEST = 0, DROP_NEWEST = 1, BLOCKING = 2 }; /* Page.cfg, third byte */
enum { ALLOW_BLOCKING = 1 };                             /* Header.flags */
enum { ADMITTED = 2 };                                   /* Page.grant */
#define OWNER_BYTE ((off_t)1 << 30)
#define PAGE_BYTE(r) (OWNER_BYTE + 1 + (off_t)(r))
#define BIT(slot) (UINT32_C(1) << (slot))
#define SHM "/dev/shm"

typedef _Atomic uint32_t a32;
typedef _Atomic uint64_t a64;

typedef struct {
  char magic[8];
  uint32_t version, abi, header_bytes, unit_bytes, readers, slots;
  uint64_t object_bytes;
  uint32_t sem_bytes, zero;
  uint8_t sem_image[64];
  uint64_t incarnation;
  uint32_t writer_pid, flags;
  uint64_t writer_start;
  char writer_name[16];
  uint8_t zeros[40];
  a32 state, reserve, admitted, latest, have;
  uint8_t more_zeros[44];
  struct {
    a64 seq;
    a32 object, pages;
  } slot[SLOTS];
  a64 frames, bytes, zero_copy, copied, no_slot, last_publish_ns, end[2];
} Header;
_Static_assert(sizeof(Header) == 832, "PROTOCOL.md, section 3");

typedef struct {
  a64 word, cfg;
  a32 waiting, zero, grant, zeros[9];
  a32 pid, more_zeros;
  a64 frames, missed, copied, name[2], end[2];
} Page;
_Static_assert(sizeof(Page) == 128, "PROTOCOL.md, section 3");

typedef struct {
  char magic[8];
  uint32_t version, slot;
  uint64_t incarnation;
  uint32_t object, header_bytes;
  uint64_t object_bytes;
  uint32_t caps_offset, caps_capacity, metas_offset, metas_capacity;
  uint64_t pixels_offset, pixels_capacity;
} DataHeader;
_Static_assert(sizeof(DataHeader) == 72, "PROTOCOL.md, section 4");

typedef struct {
  uint64_t seq;
  int64_t publish_ns, pts_ns, dts_ns, running_pts_ns, running_dts_ns, duration_ns,
      latency_ns;
  uint64_t offset, offset_end, data_offset, data_bytes;
  uint32_t buffer_flags, frame_flags, flush_id, caps_id, caps_bytes, metas_bytes;
  uint32_t width, height, padding[4], video_flags, plane_count;
  struct {
    uint64_t offset, bytes;
    int32_t stride;
    uint32_t zero;
  } planes[4];
  uint64_t zero;
} Descriptor;
_Static_assert(sizeof(Descriptor) == 256, "PROTOCOL.md, section 4");

static inline size_t unit_bytes(void) {
  const long page = sysconf(_SC_PAGESIZE);
  return page > 4096 ? (size_t)page : 4096;
}

/* The fields by which both ends see that they have the same C library. */
static inline void fill_abi(Header* header) {
  sem_t semaphore;
  memset(&semaphore, 0, sizeof semaphore);
  sem_init(&semaphore, 1, 0x2d5);
  memset(header->sem_image, 0, sizeof header->sem_image);
  memcpy(header->sem_image, &semaphore, sizeof semaphore);
  header->sem_bytes = sizeof semaphore;
#ifdef __GLIBC__
  header->abi = 64 | 1 << 8 | 1 << 16;
#else
  header->abi = 64 | 1 << 8 | 2 << 16;
#endif
}

static _Noreturn inline void fail(const char* why) {
  fprintf(stderr, "%s%s%s\n", why, errno ? ": " : "", errno ? strerror(errno) : "");
  exit(EXIT_FAILURE);
}

/* [A-Za-z0-9_][A-Za-z0-9._-]{0,119} */
static inline bool is_channel_name(const char* name) {
  static const char letters[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-";
  return *name && !strchr(".-", *name) && strspn(name, letters) == strlen(name) &&
         strlen(name) <= 120;
}

/* For shm_open(). */
enum { NAME_BYTES = 200 };
static inline void control_name(char* name, const char* channel) {
  snprintf(name, NAME_BYTES, "/possum-c.%s", channel);
}
static inline void data_name(char* name, const char* channel, uint64_t incarnation,
                             uint32_t object) {
  snprintf(name, NAME_BYTES, "/possum-d.%s.%016" PRIx64 ".%08" PRIx32, channel,
           incarnation, object);
}

static inline int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* --- byte locks: PROTOCOL.md, section 2 ----------------------------------------------
 */

static inline bool lock_call(int fd, int command, short type, off_t byte,
                             struct flock* lock) {
  memset(lock, 0, sizeof *lock);
  lock->l_type = type;
  lock->l_whence = SEEK_SET;
  lock->l_start = byte;
  lock->l_len = 1;
  return fcntl(fd, command, lock) == 0;
}
static inline bool try_lock(int fd, off_t byte) {
  struct flock lock;
  return lock_call(fd, F_OFD_SETLK, F_WRLCK, byte, &lock);
}
static inline void unlock(int fd, off_t byte) {
  struct flock lock;
  lock_call(fd, F_OFD_SETLK, F_UNLCK, byte, &lock);
}
/* By another open file description. */
static inline bool is_held(int fd, off_t byte) {
  struct flock lock;
  return lock_call(fd, F_OFD_GETLK, F_WRLCK, byte, &lock) && lock.l_type != F_UNLCK;
}

/* --- bells: PROTOCOL.md, sections 3 and 6 --------------------------------------------
 */

typedef struct {
  a32* waiting;
  sem_t* semaphore; /* 8 shared bytes, the rest private */
} Bell;

/* `fd` leads to the control object; the semaphore is that of unit `unit`. */
static inline bool map_bell(Bell* bell, int fd, size_t unit, a32* waiting) {
  const size_t bytes = unit_bytes();
  const int access = PROT_READ | PROT_WRITE;
  char* both = mmap(NULL, 2 * bytes, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (both == MAP_FAILED || mmap(both, bytes, access, MAP_SHARED | MAP_FIXED, fd,
                                 (off_t)(unit * bytes)) == MAP_FAILED) {
    return false;
  }
  sem_t fresh;
  memset(&fresh, 0, sizeof fresh);
  sem_init(&fresh, 1, 0);
  memcpy(both + bytes, (char*)&fresh + 8, sizeof fresh - 8);
  bell->waiting = waiting;
  bell->semaphore = (sem_t*)(both + bytes - 8);
  return true;
}
static inline void unmap_bell(Bell* bell) {
  if (bell->semaphore)
    munmap((char*)bell->semaphore + 8 - unit_bytes(), 2 * unit_bytes());
}

static inline void ring(const Bell* bell) {
  if (atomic_load(bell->waiting) == 0) return;
  const uint32_t was = atomic_exchange(bell->waiting, 0);
  if (was != 0 && was != 2) sem_post(bell->semaphore);
}
/* Between these two the sleeper looks at what it waits for, and sleeps only if that has
 * not come. It may wake early, and looks again. */
static inline void arm(const Bell* bell) {
  for (int tries = 0; tries < 8 && sem_trywait(bell->semaphore) == 0; ++tries) continue;
  atomic_store(bell->waiting, 2);
}
static inline void sleep_until(const Bell* bell, int64_t moment_ns) {
  uint32_t looking = 2;
  if (!atomic_compare_exchange_strong(bell->waiting, &looking, 1))
    return; /* rung meanwhile */
  const struct timespec moment = {moment_ns / 1000000000, moment_ns % 1000000000};
  sem_clockwait(bell->semaphore, CLOCK_MONOTONIC, &moment);
  atomic_store_explicit(bell->waiting, 0, memory_order_relaxed);
}

/* What both programs print of each frame. */
static inline uint32_t checksum(const uint8_t* bytes, size_t count) {
  uint32_t sum = 2166136261;
  for (size_t i = 0; i < count; ++i) sum = (sum ^ bytes[i]) * 16777619;
  return sum;
}

#endif
