// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// GstBuffer to descriptor; see the header.
#include "frameinfo.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "base/clock.h"
#include "refs.h"

namespace possum {
namespace {

constexpr std::uint64_t kPaletteBytes = 256 * 4;  // GstVideoFormat: RGB8P

bool is_palette(const GstVideoFormatInfo* format, unsigned plane) {
  return GST_VIDEO_FORMAT_INFO_HAS_PALETTE(format) && plane == 1;
}

PlaneShape tiled_shape(const GstVideoFormatInfo* format, unsigned plane, gint stride) {
  const auto columns = static_cast<std::uint64_t>(GST_VIDEO_TILE_X_TILES(stride));
  PlaneShape shape;
  shape.rows = static_cast<std::uint64_t>(GST_VIDEO_TILE_Y_TILES(stride));
  shape.step = columns * format->tile_info[plane].size;
  shape.row_bytes = shape.step;
  return shape;
}

bool describe_plane(const GstVideoInfo& info, unsigned plane, std::uint64_t offset,
                    gint stride, std::uint64_t bytes,
                    transport::layout::PlaneLayout& out) {
  if (stride < 0 || offset > bytes) return false;
  const PlaneShape shape = plane_shape(info, plane, stride);
  if (shape.min_bytes() > bytes - offset) return false;
  out.offset = offset;
  out.bytes = std::min(shape.max_bytes(), bytes - offset);
  out.stride = stride;
  return true;
}

std::int64_t to_ns(std::optional<GstClockTime> time) {
  return time ? static_cast<std::int64_t>(*time) : transport::layout::kNoTime;
}

// A frame that begins before the segment or ends after it counts with the part inside,
// as in GstBaseSink.
std::optional<GstClockTime> running_pts(const GstSegment& segment, GstBuffer* buffer) {
  const GstClockTime pts = GST_BUFFER_PTS(buffer);
  if (!GST_CLOCK_TIME_IS_VALID(pts)) return std::nullopt;
  const GstClockTime end = GST_BUFFER_DURATION_IS_VALID(buffer)
                               ? pts + GST_BUFFER_DURATION(buffer)
                               : GST_CLOCK_TIME_NONE;
  guint64 first = 0;
  guint64 last = 0;
  if (!gst_segment_clip(&segment, GST_FORMAT_TIME, pts, end, &first, &last)) {
    return std::nullopt;
  }
  const bool backwards = segment.rate < 0 && GST_CLOCK_TIME_IS_VALID(last);
  const GstClockTime running =
      gst_segment_to_running_time(&segment, GST_FORMAT_TIME, backwards ? last : first);
  if (!GST_CLOCK_TIME_IS_VALID(running)) return std::nullopt;
  return running;
}

std::optional<GstClockTime> running_dts(const GstSegment& segment, GstBuffer* buffer) {
  const GstClockTime dts = GST_BUFFER_DTS(buffer);
  guint64 running = 0;
  if (!GST_CLOCK_TIME_IS_VALID(dts) ||
      gst_segment_to_running_time_full(&segment, GST_FORMAT_TIME, dts, &running) != 1) {
    return std::nullopt;
  }
  return running;
}

// What to add to the clock's time to get CLOCK_MONOTONIC: exactly 0 for the usual system
// clock, which is read between the two looks at its source.
std::int64_t clock_to_monotonic(GstClock* clock) {
  const std::int64_t before = monotonic_ns();
  const auto now = static_cast<std::int64_t>(gst_clock_get_time(clock));
  const std::int64_t after = monotonic_ns();
  if (before <= now && now <= after) return 0;
  return before + (after - before) / 2 - now;
}

}  // namespace

PlaneShape plane_shape(const GstVideoInfo& info, unsigned plane, gint stride) {
  const GstVideoFormatInfo* format = info.finfo;
  if (is_palette(format, plane)) return {1, kPaletteBytes, kPaletteBytes};
  if (GST_VIDEO_FORMAT_INFO_IS_TILED(format)) return tiled_shape(format, plane, stride);
  gint components[GST_VIDEO_MAX_COMPONENTS];
  gst_video_format_info_component(format, plane, components);
  const auto component = static_cast<guint>(components[0]);
  PlaneShape shape;
  shape.rows = static_cast<std::uint64_t>(GST_VIDEO_FORMAT_INFO_SCALE_HEIGHT(
      format, component, GST_VIDEO_INFO_FIELD_HEIGHT(&info)));
  shape.step = static_cast<std::uint64_t>(std::abs(std::int64_t{stride}));
  const auto width = static_cast<std::uint64_t>(
      GST_VIDEO_FORMAT_INFO_SCALE_WIDTH(format, component, GST_VIDEO_INFO_WIDTH(&info)));
  const auto pixel_stride =
      static_cast<std::uint64_t>(GST_VIDEO_FORMAT_INFO_PSTRIDE(format, component));
  // v210, UYVP and the like have no bytes per pixel.
  shape.row_bytes =
      pixel_stride == 0 ? shape.step : std::min(width * pixel_stride, shape.step);
  return shape;
}

bool describe_layout(const GstVideoInfo& info, const GstVideoMeta* meta,
                     std::uint64_t bytes, transport::layout::FrameDescriptor& frame) {
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
  frame.frame_flags |= transport::layout::kFramePlanes;
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

void describe_buffer(GstBuffer* buffer, transport::layout::FrameDescriptor& frame) {
  frame.buffer_flags = GST_BUFFER_FLAGS(buffer) & kCarriedFlags;
  frame.offset = GST_BUFFER_OFFSET(buffer);
  frame.offset_end = GST_BUFFER_OFFSET_END(buffer);
  frame.duration_ns = GST_BUFFER_DURATION_IS_VALID(buffer)
                          ? static_cast<std::int64_t>(GST_BUFFER_DURATION(buffer))
                          : transport::layout::kNoTime;
}

std::optional<std::int64_t> running_time_origin(GstElement* element) {
  Ref<GstClock> clock;
  GstClockTime base_time = GST_CLOCK_TIME_NONE;
  {
    const ObjectLock lock(element);
    if (element->clock != nullptr) {
      clock.reset(static_cast<GstClock*>(gst_object_ref(element->clock)));
    }
    base_time = element->base_time;
  }
  if (!clock || !GST_CLOCK_TIME_IS_VALID(base_time)) return std::nullopt;
  return static_cast<std::int64_t>(base_time) + clock_to_monotonic(clock.get());
}

void describe_times(const GstSegment& segment, GstBuffer* buffer,
                    std::optional<std::int64_t> origin,
                    transport::layout::FrameDescriptor& frame) {
  frame.pts_ns = transport::layout::kNoTime;
  frame.dts_ns = transport::layout::kNoTime;
  frame.running_pts_ns = transport::layout::kNoTime;
  frame.running_dts_ns = transport::layout::kNoTime;
  if (segment.format != GST_FORMAT_TIME) return;
  frame.frame_flags |= transport::layout::kFrameTimes;
  const std::optional<GstClockTime> pts = running_pts(segment, buffer);
  const std::optional<GstClockTime> dts = running_dts(segment, buffer);
  frame.running_pts_ns = to_ns(pts);
  frame.running_dts_ns = to_ns(dts);
  if (origin && pts) frame.pts_ns = frame.running_pts_ns + *origin;
  if (origin && dts) frame.dts_ns = frame.running_dts_ns + *origin;
  if (frame.duration_ns != transport::layout::kNoTime && std::fabs(segment.rate) != 1.0) {
    frame.duration_ns = static_cast<std::int64_t>(static_cast<double>(frame.duration_ns) /
                                                  std::fabs(segment.rate));
  }
}

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
