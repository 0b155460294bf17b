// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A GstBuffer as a frame descriptor, and the way back: where its planes lie, its flags
// and its times. A field of the descriptor is written and read here. Nothing here touches
// pixels or the channel. What is read comes from another process and is believed in
// nothing that could lead a reader of the pixels out of the frame.
#pragma once

#include <gst/video/video.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "transport/layout.h"

namespace possum {

using transport::layout::FrameDescriptor;

// --- the writer's side ---------------------------------------------------------------

// Fills width, height, planes, padding and the frame's size, for a frame that lies in one
// piece of `bytes` bytes. `meta` may be NULL: then the layout is the one of `info`. False
// if a plane does not fit, or if the layout is none that can cross (a negative stride).
bool describe_layout(const GstVideoInfo& info, const GstVideoMeta* meta,
                     std::uint64_t bytes, FrameDescriptor& frame);

// Fills in flags, offsets and duration.
void describe_attributes(GstBuffer* buffer, FrameDescriptor& frame);

// Fills in PTS and DTS in running time and, with an `origin`, in CLOCK_MONOTONIC. Without
// a TIME segment the frame has no times. After describe_attributes(), whose duration it
// brings to running time.
void describe_times(const GstSegment& segment, GstBuffer* buffer,
                    std::optional<std::int64_t> origin, FrameDescriptor& frame);

// The APIs of the buffer's metas that carry something a reader would miss.
std::vector<GType> metas_not_carried(GstBuffer* buffer);

// --- the reader's side ---------------------------------------------------------------

enum class FrameFit {
  standard,  // laid out as GstVideoInfo says
  strided,   // needs its GstVideoMeta
  corrupt,   // rows or tiles would run out of their plane
};

// The transport has checked that each plane lies within the frame; this checks that the
// rows of `info`'s format lie within their plane.
FrameFit fit_frame(const GstVideoInfo& info, const FrameDescriptor& frame);

// Adds the GstVideoMeta of a frame that fits and has planes.
void add_video_meta(GstBuffer* buffer, const GstVideoInfo& info,
                    const FrameDescriptor& frame);

// Sets flags, offsets and duration.
void apply_attributes(GstBuffer* buffer, const FrameDescriptor& frame);

struct Stamps {
  GstClockTime pts = GST_CLOCK_TIME_NONE;
  GstClockTime dts = GST_CLOCK_TIME_NONE;
};

// Absolute time minus `origin_ns`, the CLOCK_MONOTONIC of the own running time 0.
Stamps clock_stamps(const FrameDescriptor& frame, std::int64_t origin_ns);
// The writer's running times.
Stamps writer_stamps(const FrameDescriptor& frame);

}  // namespace possum
