// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A live writer with another C library, as far as a reader looks: the header as
// PROTOCOL.md, section 3, wants it, with the semaphore of this C library. In C, which is
// all that such compilers come with. Arguments: --role writer CHANNEL. Says "ok 0" and
// stays until its input ends.
#include <fcntl.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { kUnit = 4096, kUnits = 35, kHeader = 832 };

static void put32(unsigned char* header, size_t at, uint32_t value) {
  memcpy(header + at, &value, sizeof value);
}

static void fill(unsigned char* header) {
  memcpy(header, "PSSMCTL1", 8);
  put32(header, 8, 3);                                      // version
  put32(header, 12, 8 * sizeof(void*) | 1 << 8 | 2 << 16);  // abi: not glibc
  put32(header, 16, kHeader);
  put32(header, 20, kUnit);
  put32(header, 24, 32);
  put32(header, 28, 32);
  put32(header, 32, kUnit * kUnits);
  put32(header, 40, sizeof(sem_t));
  sem_t semaphore;
  memset(&semaphore, 0, sizeof semaphore);
  sem_init(&semaphore, 1, 0x2d5);
  memcpy(header + 48, &semaphore, sizeof semaphore);
  put32(header, 112, 0x12345678);  // incarnation
  put32(header, 192, 1);           // READY
}

int main(int argc, char** argv) {
  unsigned char header[kHeader] = {0};
  char name[256];
  struct flock owner = {0};
  if (argc < 4) return 2;
  snprintf(name, sizeof name, "/possum-c.%s", argv[3]);
  const int fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
  owner.l_type = F_WRLCK;
  owner.l_whence = SEEK_SET;
  owner.l_start = 1 << 30;
  owner.l_len = 1;
  fill(header);
  if (fd < 0 || fcntl(fd, F_OFD_SETLK, &owner) != 0 ||
      ftruncate(fd, kUnit * kUnits) != 0 ||
      pwrite(fd, header, sizeof header, 0) != sizeof header) {
    perror(name);
    return 1;
  }
  puts("ok 0");
  fflush(stdout);
  while (getchar() != EOF) {
  }
  shm_unlink(name);
  return 0;
}
