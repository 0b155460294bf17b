// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Descriptor to GstBuffer; see the header.
#include "framebuffer.h"

#include <algorithm>
#include <cstring>

#include "framecopy.h"
#include "frameinfo.h"
#include "gstpossumshells.h"
#include "srctime.h"

namespace possum {
namespace {

bool has_padding(const transport::layout::FrameDescriptor& frame) {
  return std::any_of(std::begin(frame.padding), std::end(frame.padding),
                     [](std::uint32_t p) { return p != 0; });
}

bool standard_layout(const GstVideoInfo& info,
                     const transport::layout::FrameDescriptor& frame) {
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

// Bytes of one row that an element may touch. A row of 4:2:2 in one plane ends with a
// whole pair of pixels, hence the greatest of the components.
std::uint64_t touched_bytes(const GstVideoInfo& info, unsigned plane) {
  const GstVideoFormatInfo* const format = info.finfo;
  std::uint64_t most = 0;
  for (guint c = 0; c < GST_VIDEO_FORMAT_INFO_N_COMPONENTS(format); ++c) {
    if (GST_VIDEO_FORMAT_INFO_PLANE(format, c) != plane) continue;
    const gint pixel_stride = GST_VIDEO_FORMAT_INFO_PSTRIDE(format, c);
    // v210, UYVP and the like have no bytes per pixel.
    if (pixel_stride <= 0) return static_cast<std::uint64_t>(info.stride[plane]);
    const gint width =
        GST_VIDEO_FORMAT_INFO_SCALE_WIDTH(format, c, GST_VIDEO_INFO_WIDTH(&info));
    most = std::max(most, static_cast<std::uint64_t>(width) *
                              static_cast<std::uint64_t>(pixel_stride));
  }
  return most;
}

// A stride holds both numbers of tiles in 16 bits each: those of a larger frame would
// come out too small. No tile has less than four rows or columns.
constexpr gint kMaxTiled = 65535;

bool tiles_fit(const GstVideoInfo& view, unsigned p,
               const transport::layout::PlaneLayout& plane) {
  if (view.width > kMaxTiled || view.height > kMaxTiled) return false;
  const gint wanted = view.stride[p];
  return plane.stride > 0 &&
         GST_VIDEO_TILE_X_TILES(plane.stride) >= GST_VIDEO_TILE_X_TILES(wanted) &&
         GST_VIDEO_TILE_Y_TILES(plane.stride) >= GST_VIDEO_TILE_Y_TILES(wanted) &&
         plane_shape(view, p, plane.stride).max_bytes() <= plane.bytes;
}

// `view` is the default layout for the size that the frame claims.
bool plane_fits(const GstVideoInfo& view, unsigned p,
                const transport::layout::PlaneLayout& plane) {
  if (GST_VIDEO_FORMAT_INFO_IS_TILED(view.finfo)) return tiles_fit(view, p, plane);
  PlaneShape shape = plane_shape(view, p, plane.stride);
  const bool palette = GST_VIDEO_FORMAT_INFO_HAS_PALETTE(view.finfo) && p == 1;
  if (!palette) {
    shape.row_bytes = touched_bytes(view, p);
    if (plane.stride <= 0 || shape.step < shape.row_bytes) return false;
  }
  return shape.min_bytes() <= plane.bytes;
}

// False if no frame of that size can exist.
bool default_layout(const GstVideoInfo& info,
                    const transport::layout::FrameDescriptor& frame, GstVideoInfo& view) {
  gst_video_info_init(&view);
  return gst_video_info_set_interlaced_format(&view, GST_VIDEO_INFO_FORMAT(&info),
                                              GST_VIDEO_INFO_INTERLACE_MODE(&info),
                                              frame.width, frame.height);
}

}  // namespace

FrameFit fit_frame(const GstVideoInfo& info,
                   const transport::layout::FrameDescriptor& frame) {
  if ((frame.frame_flags & transport::layout::kFramePlanes) == 0) {
    return frame.data_bytes >= info.size ? FrameFit::standard : FrameFit::corrupt;
  }
  if (frame.plane_count != GST_VIDEO_INFO_N_PLANES(&info)) return FrameFit::corrupt;
  if (standard_layout(info, frame)) return FrameFit::standard;
  GstVideoInfo view;
  if (frame.width < static_cast<guint>(GST_VIDEO_INFO_WIDTH(&info)) ||
      frame.height < static_cast<guint>(GST_VIDEO_INFO_HEIGHT(&info)) ||
      !default_layout(info, frame, view)) {
    return FrameFit::corrupt;
  }
  for (unsigned p = 0; p < frame.plane_count; ++p) {
    if (!plane_fits(view, p, frame.planes[p])) return FrameFit::corrupt;
  }
  return FrameFit::strided;
}

void set_video_meta(GstBuffer* shell, const GstVideoInfo& info,
                    const transport::layout::FrameDescriptor& frame) {
  if ((frame.frame_flags & transport::layout::kFramePlanes) == 0) {
    gst_possum_shells_no_video_meta(shell);
    return;
  }
  gsize offsets[GST_VIDEO_MAX_PLANES] = {};
  gint strides[GST_VIDEO_MAX_PLANES] = {};
  for (unsigned p = 0; p < frame.plane_count; ++p) {
    offsets[p] = frame.planes[p].offset;
    strides[p] = frame.planes[p].stride;
  }
  GstVideoMeta* const meta = gst_possum_shells_video_meta(
      shell, static_cast<GstVideoFrameFlags>(frame.video_flags & kCarriedVideoFlags),
      GST_VIDEO_INFO_FORMAT(&info), frame.width, frame.height, frame.plane_count, offsets,
      strides);
  if (!has_padding(frame)) return;
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

void apply_attributes(GstBuffer* buffer,
                      const transport::layout::FrameDescriptor& frame) {
  GST_BUFFER_FLAG_SET(buffer, frame.buffer_flags & kCarriedFlags);
  GST_BUFFER_OFFSET(buffer) = frame.offset;
  GST_BUFFER_OFFSET_END(buffer) = frame.offset_end;
  GST_BUFFER_DURATION(buffer) = to_clock_time(frame.duration_ns);
}

Ref<GstBuffer> packed_copy(GstBuffer* buffer, const GstVideoInfo& info) {
  Ref<GstBuffer> packed{gst_buffer_new_allocate(nullptr, info.size, nullptr)};
  GstMapInfo map;
  if (!packed || !gst_buffer_map(packed.get(), &map, GST_MAP_WRITE)) return nullptr;
  // The default layout of a tiled format may have bytes that belong to no tile; of the
  // other formats copy_frame() writes each byte.
  if (GST_VIDEO_FORMAT_INFO_IS_TILED(info.finfo)) std::memset(map.data, 0, map.size);
  const bool copied =
      copy_frame(buffer, info, reinterpret_cast<std::byte*>(map.data), map.size);
  gst_buffer_unmap(packed.get(), &map);
  return copied ? std::move(packed) : nullptr;
}

}  // namespace possum
