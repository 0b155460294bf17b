// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The one copy of a frame that comes from elsewhere.
#pragma once

#include <cstddef>

namespace possum {

// As memcpy(): `bytes` of a frame that has `frame_bytes` in all. Of a frame that is too
// large for the caches to keep until somebody reads it, the copy goes past them, and each
// line of the slot crosses the memory bus once instead of twice. All of it can be seen by
// others before any later store of this thread.
void copy_pixels(void* to, const void* from, std::size_t bytes, std::size_t frame_bytes);

}  // namespace possum
