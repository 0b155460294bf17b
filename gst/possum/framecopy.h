// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The one copy of a frame that does not lie in a slot: from wherever it lies into the
// default layout of its caps.
#pragma once

#include <gst/video/video.h>

#include <cstddef>

namespace possum {

// Copies the frame to `dest`, which has `room` bytes and must have info.size; honours the
// strides of the buffer's GstVideoMeta. False if the buffer cannot be mapped, or it or
// the room is too small.
bool copy_frame(GstBuffer* buffer, const GstVideoInfo& info, std::byte* dest,
                std::size_t room);

}  // namespace possum
