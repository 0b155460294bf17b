// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What the system says of processes, and random numbers from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace possum {

// "gst-launch-1.0", or "" when it cannot be read.
std::string process_name();

// When the process began, in clock ticks since boot. `pid` is a directory of /proc: a
// number of this process's PID namespace, or "self". 0: there is no such process, or no
// /proc.
std::uint64_t process_start_ticks(const std::string& pid);

// Nobody can guess them. False, with errno, when the system has none.
bool random_bytes(void* to, std::size_t bytes);

}  // namespace possum
