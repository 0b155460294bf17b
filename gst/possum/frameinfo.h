// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A GstBuffer seen as a frame descriptor: where its planes lie, its flags and its times.
// Nothing here touches pixels or the channel.
#pragma once

#include <gst/video/video.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "transport/layout.h"

namespace possum {

// The buffer flags that cross. The bits below GST_MINI_OBJECT_FLAG_LAST belong to the
// mini object, and TAG_MEMORY to its pool: neither means anything in another process, nor
// has a writer a say in them.
inline constexpr guint kCarriedFlags =
    ~static_cast<guint>((GST_MINI_OBJECT_FLAG_LAST - 1) | GST_BUFFER_FLAG_TAG_MEMORY);

// The GstVideoFrameFlags that there are in GStreamer 1.22. A writer may send any bits, an
// enumeration has not room for all of them.
inline constexpr guint kCarriedVideoFlags =
    GST_VIDEO_FRAME_FLAG_INTERLACED | GST_VIDEO_FRAME_FLAG_TFF |
    GST_VIDEO_FRAME_FLAG_RFF | GST_VIDEO_FRAME_FLAG_ONEFIELD |
    GST_VIDEO_FRAME_FLAG_MULTIPLE_VIEW | GST_VIDEO_FRAME_FLAG_FIRST_IN_BUNDLE;

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

// Fills width, height, planes, padding and the frame's size, for a frame that lies in one
// piece of `bytes` bytes. `meta` may be NULL: then the layout is the one of `info`. False
// if a plane does not fit, or if the layout is none that can cross (a negative stride).
bool describe_layout(const GstVideoInfo& info, const GstVideoMeta* meta,
                     std::uint64_t bytes, transport::layout::FrameDescriptor& frame);

// Flags, offsets and duration.
void describe_buffer(GstBuffer* buffer, transport::layout::FrameDescriptor& frame);

// What to add to a running time to get CLOCK_MONOTONIC, for this element's clock and
// base time now. Nothing without a clock.
std::optional<std::int64_t> running_time_origin(GstElement* element);

// PTS and DTS in running time and, with an `origin`, in CLOCK_MONOTONIC. Without a TIME
// segment the frame has no times.
void describe_times(const GstSegment& segment, GstBuffer* buffer,
                    std::optional<std::int64_t> origin,
                    transport::layout::FrameDescriptor& frame);

// The APIs of the buffer's metas that carry something a reader would miss.
std::vector<GType> metas_not_carried(GstBuffer* buffer);

}  // namespace possum
