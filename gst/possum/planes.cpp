// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header. A frame is copied all at once where the layouts agree, else plane by
// plane and row by row.
#include "planes.h"

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "base/pixel_copy.h"

namespace possum {
namespace {

// --- shapes --------------------------------------------------------------------------

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

bool tiles_fit(const GstVideoInfo& view, unsigned p, const PlaneLayout& plane) {
  if (view.width > kMaxTiled || view.height > kMaxTiled) return false;
  const gint wanted = view.stride[p];
  return plane.stride > 0 &&
         GST_VIDEO_TILE_X_TILES(plane.stride) >= GST_VIDEO_TILE_X_TILES(wanted) &&
         GST_VIDEO_TILE_Y_TILES(plane.stride) >= GST_VIDEO_TILE_Y_TILES(wanted) &&
         plane_shape(view, p, plane.stride).max_bytes() <= plane.bytes;
}

// --- copying -------------------------------------------------------------------------

// A mapped frame that cannot be left mapped.
class MappedFrame {
 public:
  MappedFrame(const GstVideoInfo& info, GstBuffer* buffer) {
    mapped_ = gst_video_frame_map(
        &frame_, const_cast<GstVideoInfo*>(&info), buffer,
        static_cast<GstMapFlags>(static_cast<guint>(GST_MAP_READ) |
                                 static_cast<guint>(GST_VIDEO_FRAME_MAP_FLAG_NO_REF)));
  }
  ~MappedFrame() {
    if (mapped_) gst_video_frame_unmap(&frame_);
  }
  MappedFrame(const MappedFrame&) = delete;
  MappedFrame& operator=(const MappedFrame&) = delete;
  explicit operator bool() const { return mapped_; }
  const GstVideoInfo& info() const { return frame_.info; }
  const guint8* plane(unsigned n) const {
    return static_cast<const guint8*>(frame_.data[n]);
  }
  // The bytes that plane n lies in: with a GstVideoMeta each plane has a map of its own.
  const GstMapInfo& bytes_of(unsigned n) const {
    return frame_.meta != nullptr ? frame_.map[n] : frame_.map[0];
  }

 private:
  GstVideoFrame frame_{};
  bool mapped_ = false;
};

struct PlaneCopy {
  const guint8* source;
  const guint8* source_begin;  // of the bytes that may be read
  const guint8* source_end;
  std::ptrdiff_t source_step;
  guint8* dest;
  std::size_t dest_step;
  std::size_t row_bytes;  // that must be there
  std::size_t rows;
  std::size_t frame_bytes;
};

bool copy_rows(const PlaneCopy& p) {
  const auto source_step = static_cast<std::size_t>(std::abs(p.source_step));
  const std::size_t wanted = std::min(source_step, p.dest_step);
  for (std::size_t row = 0; row < p.rows; ++row) {
    const guint8* from = p.source + static_cast<std::ptrdiff_t>(row) * p.source_step;
    guint8* to = p.dest + row * p.dest_step;
    if (from < p.source_begin || from > p.source_end) return false;
    // The end of the last row may be missing.
    const std::size_t bytes =
        std::min(wanted, static_cast<std::size_t>(p.source_end - from));
    if (bytes < std::min(p.row_bytes, wanted)) return false;
    copy_pixels(to, from, bytes, p.frame_bytes);
    std::memset(to + bytes, 0, p.dest_step - bytes);
  }
  return true;
}

bool copy_tiles(const MappedFrame& frame, const GstVideoInfo& info, unsigned plane,
                guint8* dest) {
  const gint source_stride = frame.info().stride[plane];
  const gint dest_stride = info.stride[plane];
  const std::size_t tile = info.finfo->tile_info[plane].size;
  const gint sx = GST_VIDEO_TILE_X_TILES(source_stride);
  const gint sy = GST_VIDEO_TILE_Y_TILES(source_stride);
  const gint dx = GST_VIDEO_TILE_X_TILES(dest_stride);
  const gint dy = GST_VIDEO_TILE_Y_TILES(dest_stride);
  const auto mode =
      static_cast<GstVideoTileMode>(GST_VIDEO_FORMAT_INFO_TILE_MODE(info.finfo));
  const GstMapInfo& map = frame.bytes_of(plane);
  const guint8* source = frame.plane(plane);
  const auto there = static_cast<std::size_t>(map.data + map.size - source);
  if (there < static_cast<std::size_t>(sx) * static_cast<std::size_t>(sy) * tile) {
    return false;
  }
  for (gint y = 0; y < std::min(sy, dy); ++y) {
    for (gint x = 0; x < std::min(sx, dx); ++x) {
      const std::size_t from = gst_video_tile_get_index(mode, x, y, sx, sy);
      const std::size_t to = gst_video_tile_get_index(mode, x, y, dx, dy);
      std::memcpy(dest + to * tile, source + from * tile, tile);
    }
  }
  return true;
}

// Rows that only round a plane up are zero, not what the slot held before.
void clear_rest(const GstVideoInfo& info, unsigned plane, std::size_t used,
                guint8* dest) {
  std::size_t end = info.size;
  for (unsigned other = 0; other < GST_VIDEO_INFO_N_PLANES(&info); ++other) {
    if (info.offset[other] > info.offset[plane]) end = std::min(end, info.offset[other]);
  }
  const std::size_t room = end - info.offset[plane];
  if (used < room) std::memset(dest + used, 0, room - used);
}

bool copy_plane(const MappedFrame& frame, const GstVideoInfo& info, unsigned plane,
                guint8* dest) {
  if (GST_VIDEO_FORMAT_INFO_IS_TILED(info.finfo)) {
    return copy_tiles(frame, info, plane, dest);
  }
  const gint stride = frame.info().stride[plane];
  const PlaneShape from = plane_shape(frame.info(), plane, stride);
  const PlaneShape to = plane_shape(info, plane, info.stride[plane]);
  const GstMapInfo& map = frame.bytes_of(plane);
  PlaneCopy copy{};
  copy.source = frame.plane(plane);
  copy.source_begin = map.data;
  copy.source_end = map.data + map.size;
  copy.source_step = static_cast<std::ptrdiff_t>(from.step) * (stride < 0 ? -1 : 1);
  copy.dest = dest;
  copy.dest_step = to.step;
  copy.row_bytes = from.row_bytes;
  copy.rows = std::min(from.rows, to.rows);
  copy.frame_bytes = info.size;
  if (!copy_rows(copy)) return false;
  clear_rest(info, plane, copy.rows * copy.dest_step, dest);
  return true;
}

bool same_layout(const GstVideoMeta* meta, const GstVideoInfo& info) {
  if (meta == nullptr) return true;
  if (meta->format != GST_VIDEO_INFO_FORMAT(&info)) return false;
  return std::equal(meta->offset, meta->offset + meta->n_planes, info.offset) &&
         std::equal(meta->stride, meta->stride + meta->n_planes, info.stride);
}

// From one memory after the other: no merging first.
bool copy_all(GstBuffer* buffer, std::size_t bytes, std::byte* dest) {
  std::size_t done = 0;
  for (guint i = 0; done < bytes && i < gst_buffer_n_memory(buffer); ++i) {
    GstMemory* memory = gst_buffer_peek_memory(buffer, i);
    GstMapInfo map;
    if (!gst_memory_map(memory, &map, GST_MAP_READ)) return false;
    const std::size_t part = std::min(bytes - done, map.size);
    copy_pixels(dest + done, map.data, part, bytes);
    gst_memory_unmap(memory, &map);
    done += part;
  }
  return done == bytes;
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

bool describe_plane(const GstVideoInfo& info, unsigned plane, std::uint64_t offset,
                    gint stride, std::uint64_t bytes, PlaneLayout& out) {
  if (stride < 0 || offset > bytes) return false;
  const PlaneShape shape = plane_shape(info, plane, stride);
  if (shape.min_bytes() > bytes - offset) return false;
  out.offset = offset;
  out.bytes = std::min(shape.max_bytes(), bytes - offset);
  out.stride = stride;
  return true;
}

// `view` is the default layout for the size that the frame claims.
bool plane_fits(const GstVideoInfo& view, unsigned p, const PlaneLayout& plane) {
  if (GST_VIDEO_FORMAT_INFO_IS_TILED(view.finfo)) return tiles_fit(view, p, plane);
  PlaneShape shape = plane_shape(view, p, plane.stride);
  const bool palette = GST_VIDEO_FORMAT_INFO_HAS_PALETTE(view.finfo) && p == 1;
  if (!palette) {
    shape.row_bytes = touched_bytes(view, p);
    if (plane.stride <= 0 || shape.step < shape.row_bytes) return false;
  }
  return shape.min_bytes() <= plane.bytes;
}

bool copy_frame(GstBuffer* buffer, const GstVideoInfo& info, std::byte* dest,
                std::size_t room) {
  if (room < info.size) return false;
  if (same_layout(gst_buffer_get_video_meta(buffer), info) &&
      gst_buffer_get_size(buffer) >= info.size) {
    return copy_all(buffer, info.size, dest);
  }
  const MappedFrame frame(info, buffer);
  if (!frame) return false;
  auto* const bytes = reinterpret_cast<guint8*>(dest);
  for (unsigned plane = 0; plane < GST_VIDEO_INFO_N_PLANES(&info); ++plane) {
    if (!copy_plane(frame, info, plane, bytes + info.offset[plane])) return false;
  }
  return true;
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
