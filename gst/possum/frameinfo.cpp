// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header. What crosses in both directions stands side by side: layout,
// attributes, times.
#include "frameinfo.h"

#include <algorithm>
#include <cmath>

#include "planes.h"
#include "times.h"
#include "transport/frame_times.h"

namespace possum {

namespace layout = transport::layout;

namespace {

// The buffer flags that cross. The bits below GST_MINI_OBJECT_FLAG_LAST belong to the
// mini object, and TAG_MEMORY to its pool: neither means anything in another process, nor
// has a writer a say in them.
constexpr guint kCarriedFlags =
    ~static_cast<guint>((GST_MINI_OBJECT_FLAG_LAST - 1) | GST_BUFFER_FLAG_TAG_MEMORY);

// The GstVideoFrameFlags that there are in GStreamer 1.22. A writer may send any bits, an
// enumeration has not room for all of them.
constexpr guint kCarriedVideoFlags =
    GST_VIDEO_FRAME_FLAG_INTERLACED | GST_VIDEO_FRAME_FLAG_TFF |
    GST_VIDEO_FRAME_FLAG_RFF | GST_VIDEO_FRAME_FLAG_ONEFIELD |
    GST_VIDEO_FRAME_FLAG_MULTIPLE_VIEW | GST_VIDEO_FRAME_FLAG_FIRST_IN_BUNDLE;

}  // namespace

// --- layout --------------------------------------------------------------------------

bool describe_layout(const GstVideoInfo& info, const GstVideoMeta* meta,
                     std::uint64_t bytes, FrameDescriptor& frame) {
  GstVideoInfo shown = info;
  const gsize* offsets = info.offset;
  const gint* strides = info.stride;
  if (meta != nullptr) {
    if (meta->format != GST_VIDEO_INFO_FORMAT(&info) ||
        meta->n_planes != GST_VIDEO_INFO_N_PLANES(&info)) {
      return false;
    }
    shown.width = static_cast<gint>(meta->width);
    shown.height = static_cast<gint>(meta->height);
    offsets = meta->offset;
    strides = meta->stride;
    frame.video_flags = meta->flags;
    frame.padding[0] = meta->alignment.padding_top;
    frame.padding[1] = meta->alignment.padding_bottom;
    frame.padding[2] = meta->alignment.padding_left;
    frame.padding[3] = meta->alignment.padding_right;
  }
  frame.frame_flags |= layout::kFramePlanes;
  frame.data_bytes = bytes;
  frame.width = static_cast<std::uint32_t>(shown.width);
  frame.height = static_cast<std::uint32_t>(shown.height);
  frame.plane_count = GST_VIDEO_INFO_N_PLANES(&info);
  for (unsigned plane = 0; plane < frame.plane_count; ++plane) {
    if (!describe_plane(shown, plane, offsets[plane], strides[plane], bytes,
                        frame.planes[plane])) {
      return false;
    }
  }
  return true;
}

static bool has_standard_layout(const GstVideoInfo& info, const FrameDescriptor& frame) {
  if (frame.data_bytes < info.size ||
      frame.width != static_cast<guint>(GST_VIDEO_INFO_WIDTH(&info)) ||
      frame.height != static_cast<guint>(GST_VIDEO_INFO_HEIGHT(&info))) {
    return false;
  }
  for (unsigned p = 0; p < frame.plane_count; ++p) {
    if (frame.planes[p].offset != info.offset[p]) return false;
    if (frame.planes[p].stride != info.stride[p]) return false;
  }
  return true;
}

FrameFit fit_frame(const GstVideoInfo& info, const FrameDescriptor& frame) {
  if ((frame.frame_flags & layout::kFramePlanes) == 0) {
    return frame.data_bytes >= info.size ? FrameFit::standard : FrameFit::corrupt;
  }
  if (frame.plane_count != GST_VIDEO_INFO_N_PLANES(&info)) return FrameFit::corrupt;
  if (has_standard_layout(info, frame)) return FrameFit::standard;
  // The default layout for the size that the frame claims, if a frame can have it.
  GstVideoInfo view;
  gst_video_info_init(&view);
  if (frame.width < static_cast<guint>(GST_VIDEO_INFO_WIDTH(&info)) ||
      frame.height < static_cast<guint>(GST_VIDEO_INFO_HEIGHT(&info)) ||
      !gst_video_info_set_interlaced_format(&view, GST_VIDEO_INFO_FORMAT(&info),
                                            GST_VIDEO_INFO_INTERLACE_MODE(&info),
                                            frame.width, frame.height)) {
    return FrameFit::corrupt;
  }
  for (unsigned p = 0; p < frame.plane_count; ++p) {
    if (!plane_fits(view, p, frame.planes[p])) return FrameFit::corrupt;
  }
  return FrameFit::strided;
}

void add_video_meta(GstBuffer* buffer, const GstVideoInfo& info,
                    const FrameDescriptor& frame) {
  if ((frame.frame_flags & layout::kFramePlanes) == 0) return;
  gsize offsets[GST_VIDEO_MAX_PLANES] = {};
  gint strides[GST_VIDEO_MAX_PLANES] = {};
  for (unsigned p = 0; p < frame.plane_count; ++p) {
    offsets[p] = frame.planes[p].offset;
    strides[p] = frame.planes[p].stride;
  }
  GstVideoMeta* const meta = gst_buffer_add_video_meta_full(
      buffer, static_cast<GstVideoFrameFlags>(frame.video_flags & kCarriedVideoFlags),
      GST_VIDEO_INFO_FORMAT(&info), frame.width, frame.height, frame.plane_count, offsets,
      strides);
  if (std::all_of(std::begin(frame.padding), std::end(frame.padding),
                  [](std::uint32_t p) { return p == 0; })) {
    return;
  }
  GstVideoAlignment alignment;
  gst_video_alignment_reset(&alignment);
  alignment.padding_top = frame.padding[0];
  alignment.padding_bottom = frame.padding[1];
  alignment.padding_left = frame.padding[2];
  alignment.padding_right = frame.padding[3];
  // GStreamer checks it against the strides; what contradicts them is left out.
  if (!gst_video_meta_set_alignment(meta, alignment)) {
    gst_video_alignment_reset(&meta->alignment);
  }
}

// --- attributes ----------------------------------------------------------------------

void describe_attributes(GstBuffer* buffer, FrameDescriptor& frame) {
  frame.buffer_flags = GST_BUFFER_FLAGS(buffer) & kCarriedFlags;
  frame.offset = GST_BUFFER_OFFSET(buffer);
  frame.offset_end = GST_BUFFER_OFFSET_END(buffer);
  frame.duration_ns = GST_BUFFER_DURATION_IS_VALID(buffer)
                          ? static_cast<std::int64_t>(GST_BUFFER_DURATION(buffer))
                          : kNoTime;
}

void apply_attributes(GstBuffer* buffer, const FrameDescriptor& frame) {
  GST_BUFFER_FLAG_SET(buffer, frame.buffer_flags & kCarriedFlags);
  GST_BUFFER_OFFSET(buffer) = frame.offset;
  GST_BUFFER_OFFSET_END(buffer) = frame.offset_end;
  GST_BUFFER_DURATION(buffer) = to_clock_time(frame.duration_ns);
}

// --- times ---------------------------------------------------------------------------

void describe_times(const GstSegment& segment, GstBuffer* buffer,
                    std::optional<std::int64_t> origin, FrameDescriptor& frame) {
  frame.pts_ns = kNoTime;
  frame.dts_ns = kNoTime;
  frame.running_pts_ns = kNoTime;
  frame.running_dts_ns = kNoTime;
  if (segment.format != GST_FORMAT_TIME) return;
  frame.frame_flags |= layout::kFrameTimes;
  frame.running_pts_ns = running_pts_ns(segment, buffer);
  frame.running_dts_ns = running_dts_ns(segment, buffer);
  if (origin) {
    frame.pts_ns = since(-*origin, frame.running_pts_ns);
    frame.dts_ns = since(-*origin, frame.running_dts_ns);
  }
  if (frame.duration_ns != kNoTime && std::fabs(segment.rate) != 1.0) {
    frame.duration_ns = static_cast<std::int64_t>(static_cast<double>(frame.duration_ns) /
                                                  std::fabs(segment.rate));
  }
}

// What was shown before the own time began is shown at its beginning.
static GstClockTime pts_of(std::int64_t ns) {
  return ns == kNoTime ? GST_CLOCK_TIME_NONE
                       : static_cast<GstClockTime>(std::max<std::int64_t>(ns, 0));
}

Stamps clock_stamps(const FrameDescriptor& frame, std::int64_t origin_ns) {
  Stamps stamps;
  stamps.pts = pts_of(since(origin_ns, transport::capture_ns(frame)));
  if (transport::has_capture_time(frame)) {
    stamps.dts = to_clock_time(since(origin_ns, frame.dts_ns));
  }
  return stamps;
}

Stamps writer_stamps(const FrameDescriptor& frame) {
  if ((frame.frame_flags & layout::kFrameTimes) == 0) return {};
  return {pts_of(frame.running_pts_ns), to_clock_time(frame.running_dts_ns)};
}

// --- metas ---------------------------------------------------------------------------

std::vector<GType> metas_not_carried(GstBuffer* buffer) {
  // They speak of memory in this process, or keep it alive.
  static const GQuark memory = g_quark_from_static_string(GST_META_TAG_MEMORY_STR);
  static const GQuark reference =
      g_quark_from_static_string(GST_META_TAG_MEMORY_REFERENCE_STR);
  std::vector<GType> lost;
  gpointer state = nullptr;
  while (const GstMeta* meta = gst_buffer_iterate_meta(buffer, &state)) {
    const GType api = meta->info->api;
    if (api == GST_VIDEO_META_API_TYPE || gst_meta_api_type_has_tag(api, memory) ||
        gst_meta_api_type_has_tag(api, reference)) {
      continue;
    }
    lost.push_back(api);
  }
  return lost;
}

}  // namespace possum
