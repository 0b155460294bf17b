// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What must happen in a forked child: it closes the lock descriptors it inherited (so
// that the locks die with the parent) and every handle opened before the fork is dead.
#pragma once

#include <cstdint>

namespace possum {

// Changes in the child of every fork(); handles compare it with the value they were
// opened under. Cheaper than getpid(), which is a system call.
std::uint32_t process_generation();

// Opens a descriptor that a forked child closes at once, and closes it. No fork can come
// between opening and registering. -1: errno says why.
int open_guarded(const char* shm_name, int flags, unsigned mode);
void close_guarded(int fd);

}  // namespace possum
