// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The planes of a raw video frame: how their rows lie in memory, whether they lie in what
// memory there is, and how they are copied. Knows nothing of the channel.
#pragma once

#include <gst/video/video.h>

#include <cstddef>
#include <cstdint>

#include "refs.h"
#include "transport/layout.h"

namespace possum {

using transport::layout::PlaneLayout;

// How a plane is spread over its bytes. For a tiled format a row is a row of tiles.
struct PlaneShape {
  std::uint64_t rows = 0;
  std::uint64_t step = 0;       // bytes from one row to the next
  std::uint64_t row_bytes = 0;  // bytes of a row that mean something, <= step
  // The last row need not be complete.
  std::uint64_t min_bytes() const {
    return rows == 0 ? 0 : (rows - 1) * step + row_bytes;
  }
  std::uint64_t max_bytes() const { return rows * step; }
};

// `stride` as in GstVideoMeta; its sign is ignored.
PlaneShape plane_shape(const GstVideoInfo& info, unsigned plane, gint stride);

// Fills `out` for a plane of a frame that lies in one piece of `bytes` bytes. False if
// the plane does not fit, or cannot cross (a negative stride).
bool describe_plane(const GstVideoInfo& info, unsigned plane, std::uint64_t offset,
                    gint stride, std::uint64_t bytes, PlaneLayout& out);

// Do the rows of this plane, as any element may touch them, lie in the bytes that `plane`
// has? `view` is the default layout for the size that the frame claims.
bool plane_fits(const GstVideoInfo& view, unsigned p, const PlaneLayout& plane);

// Copies the frame to `dest`, which has `room` bytes and must have info.size, into the
// default layout of `info`; honours the strides of the buffer's GstVideoMeta. False if
// the buffer cannot be mapped, or it or the room is too small.
bool copy_frame(GstBuffer* buffer, const GstVideoInfo& info, std::byte* dest,
                std::size_t room);

// The same into system memory. NULL if the buffer cannot be read.
Ref<GstBuffer> packed_copy(GstBuffer* buffer, const GstVideoInfo& info);

}  // namespace possum
