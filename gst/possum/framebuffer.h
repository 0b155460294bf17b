// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The way back from frameinfo.h: a frame descriptor as what GStreamer expects to find on
// a GstBuffer. The descriptor comes from another process and is believed in nothing that
// could lead a reader of the pixels out of the frame.
#pragma once

#include <gst/video/video.h>

#include "refs.h"
#include "transport/layout.h"

namespace possum {

enum class FrameFit {
  standard,  // laid out as GstVideoInfo says
  strided,   // needs its GstVideoMeta
  corrupt,   // rows or tiles would run out of their plane
};

// The transport has checked that each plane lies within the frame; this checks that the
// rows of `info`'s format lie within their plane.
FrameFit fit_frame(const GstVideoInfo& info,
                   const transport::layout::FrameDescriptor& frame);

// `frame` fits; `shell` is a buffer of GstPossumShells.
void set_video_meta(GstBuffer* shell, const GstVideoInfo& info,
                    const transport::layout::FrameDescriptor& frame);

// Flags, offsets and duration.
void apply_attributes(GstBuffer* buffer, const transport::layout::FrameDescriptor& frame);

// The pixels in the default layout of `info`, in system memory. NULL if `buffer` cannot
// be read.
Ref<GstBuffer> packed_copy(GstBuffer* buffer, const GstVideoInfo& info);

}  // namespace possum
