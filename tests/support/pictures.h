// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Random pictures of any raw format, in any layout, and whether two of them are the same.
// What a picture's bytes are is worked out here from GStreamer's description of the
// format alone, so that it can tell whether the elements got it right.
#pragma once

#include <gst/video/video.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "frames.h"

namespace elements {

// One plane, as rows of bytes that mean something. A tile is a row.
struct PlaneRows {
  std::vector<gsize> offsets;  // of each row from the plane's beginning
  gsize bytes = 0;             // of each row
};

inline bool is_palette(const GstVideoInfo& info, guint plane) {
  return GST_VIDEO_FORMAT_INFO_HAS_PALETTE(info.finfo) && plane == 1;
}

// A group of pixels of which the first component has one and the second a half ends with
// the greatest of its components.
inline gsize row_bytes(const GstVideoInfo& info, guint plane) {
  gsize most = 0;
  for (guint c = 0; c < GST_VIDEO_INFO_N_COMPONENTS(&info); ++c) {
    if (GST_VIDEO_INFO_COMP_PLANE(&info, c) != plane) continue;
    const auto step = static_cast<gsize>(GST_VIDEO_INFO_COMP_PSTRIDE(&info, c));
    // v210, UYVP and the like have no bytes per pixel.
    if (step == 0) return static_cast<gsize>(GST_VIDEO_INFO_PLANE_STRIDE(&info, plane));
    most = std::max(most, step * static_cast<gsize>(GST_VIDEO_INFO_COMP_WIDTH(&info, c)));
  }
  return most;
}

inline guint plane_rows(const GstVideoInfo& info, guint plane) {
  for (guint c = 0; c < GST_VIDEO_INFO_N_COMPONENTS(&info); ++c) {
    if (GST_VIDEO_INFO_COMP_PLANE(&info, c) == plane) {
      return static_cast<guint>(
          GST_VIDEO_SUB_SCALE(info.finfo->h_sub[c], GST_VIDEO_INFO_FIELD_HEIGHT(&info)));
    }
  }
  return 0;
}

// Those of the picture of `info`, in a plane with this stride.
inline PlaneRows rows_of(const GstVideoInfo& info, guint plane, gint stride) {
  PlaneRows rows;
  if (is_palette(info, plane)) {
    rows.offsets = {0};
    rows.bytes = 256 * 4;
    return rows;
  }
  if (GST_VIDEO_FORMAT_INFO_IS_TILED(info.finfo)) {
    const gint picture = GST_VIDEO_INFO_PLANE_STRIDE(&info, plane);
    rows.bytes = GST_VIDEO_FORMAT_INFO_TILE_SIZE(info.finfo, plane);
    for (gint y = 0; y < static_cast<gint>(GST_VIDEO_TILE_Y_TILES(picture)); ++y) {
      for (gint x = 0; x < static_cast<gint>(GST_VIDEO_TILE_X_TILES(picture)); ++x) {
        rows.offsets.push_back(
            rows.bytes *
            gst_video_tile_get_index(GST_VIDEO_FORMAT_INFO_TILE_MODE(info.finfo), x, y,
                                     static_cast<gint>(GST_VIDEO_TILE_X_TILES(stride)),
                                     static_cast<gint>(GST_VIDEO_TILE_Y_TILES(stride))));
      }
    }
    return rows;
  }
  rows.bytes = row_bytes(info, plane);
  for (guint y = 0; y < plane_rows(info, plane); ++y) {
    rows.offsets.push_back(static_cast<gsize>(y) * static_cast<gsize>(stride));
  }
  return rows;
}

// The picture without its layout: all rows of all planes, one after the other.
using Picture = std::vector<guint8>;

inline void fill_random(guint8* data, gsize size, unsigned seed) {
  std::minstd_rand random(seed);
  std::generate(data, data + size, [&] { return static_cast<guint8>(random() >> 8); });
}

// Where planes are in a buffer that is read or written.
struct MappedPlanes {
  MappedPlanes(const GstVideoInfo& info, GstBuffer* buffer, GstMapFlags flags) {
    require(gst_video_frame_map(&frame, &info, buffer, flags),
            "a frame cannot be mapped");
  }
  ~MappedPlanes() { gst_video_frame_unmap(&frame); }
  MappedPlanes(const MappedPlanes&) = delete;
  MappedPlanes& operator=(const MappedPlanes&) = delete;
  guint8* data(guint plane) const { return static_cast<guint8*>(frame.data[plane]); }
  gint stride(guint plane) const { return GST_VIDEO_FRAME_PLANE_STRIDE(&frame, plane); }
  GstVideoFrame frame{};
};

inline Picture picture_of(const GstVideoInfo& info, GstBuffer* buffer) {
  const MappedPlanes mapped(info, buffer, GST_MAP_READ);
  Picture picture;
  for (guint p = 0; p < GST_VIDEO_INFO_N_PLANES(&info); ++p) {
    const PlaneRows rows = rows_of(info, p, mapped.stride(p));
    for (const gsize offset : rows.offsets) {
      const guint8* row = mapped.data(p) + offset;
      picture.insert(picture.end(), row, row + rows.bytes);
    }
  }
  return picture;
}

// Makes all bytes of the buffer random, padding too, and returns the picture.
inline Picture draw_random(const GstVideoInfo& info, GstBuffer* buffer, unsigned seed) {
  GstMapInfo map;
  require(gst_buffer_map(buffer, &map, GST_MAP_WRITE), "a buffer cannot be written");
  fill_random(map.data, map.size, seed);
  gst_buffer_unmap(buffer, &map);
  return picture_of(info, buffer);
}

// Padding for upstream elements that decode or capture with borders. The ones above and
// to the left move the planes' beginnings, which tiles do not know.
inline GstVideoAlignment wide_borders(const GstVideoInfo& info) {
  GstVideoAlignment borders;
  gst_video_alignment_reset(&borders);
  borders.padding_right = 24;
  borders.padding_bottom = 16;
  if (!GST_VIDEO_FORMAT_INFO_IS_TILED(info.finfo)) {
    borders.padding_left = 16;
    borders.padding_top = 8;
  }
  for (guint& align : borders.stride_align) align = 63;
  return borders;
}

// In ordinary memory, with borders and with bytes before the first plane.
inline Ref<GstBuffer> new_padded(const GstVideoInfo& info) {
  constexpr gsize kGap = 192;
  GstVideoInfo padded = info;
  GstVideoAlignment borders = wide_borders(info);
  require(gst_video_info_align(&padded, &borders), "borders are refused");
  Ref<GstBuffer> buffer{gst_buffer_new_allocate(nullptr, padded.size + kGap, nullptr)};
  for (gsize& offset : padded.offset) offset += kGap;
  gst_buffer_add_video_meta_full(
      buffer.get(), GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_INFO_FORMAT(&info),
      static_cast<guint>(info.width), static_cast<guint>(info.height),
      GST_VIDEO_INFO_N_PLANES(&info), padded.offset, padded.stride);
  return buffer;
}

// For the config of a pool: the same borders there.
inline void ask_for_borders(const GstVideoInfo& info, GstStructure* config) {
  GstVideoAlignment borders = wide_borders(info);
  gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
  gst_buffer_pool_config_set_video_alignment(config, &borders);
}

}  // namespace elements
