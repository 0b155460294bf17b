// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "stamp.h"

#include <unistd.h>

#include <array>
#include <cstring>

namespace support {
namespace {

constexpr std::uint64_t kMagic = 0x706d'6174'5374'7365;

// Rows are 256-byte ramps that begin at another value in each row, plane and frame.
constexpr std::size_t kRampBytes = 1 << 16;
const std::uint8_t* ramp(std::size_t start) {
  static const auto bytes = [] {
    std::array<std::uint8_t, kRampBytes> all{};
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint8_t>(i);
    return all;
  }();
  return bytes.data() + start % 256;
}

struct Rows {
  std::size_t count;
  std::size_t bytes;
};

Rows rows_of(const GstVideoFrame* frame, guint plane) {
  const GstVideoFormatInfo* format = frame->info.finfo;
  guint c = 0;
  while (GST_VIDEO_FORMAT_INFO_PLANE(format, c) != plane) ++c;
  const auto width = GST_VIDEO_FRAME_COMP_WIDTH(frame, c);
  return {static_cast<std::size_t>(GST_VIDEO_FRAME_COMP_HEIGHT(frame, c)),
          static_cast<std::size_t>(width * GST_VIDEO_FORMAT_INFO_PSTRIDE(format, c))};
}

std::uint8_t* row_of(const GstVideoFrame* frame, guint plane, std::size_t row) {
  return static_cast<std::uint8_t*>(GST_VIDEO_FRAME_PLANE_DATA(frame, plane)) +
         row * static_cast<std::size_t>(GST_VIDEO_FRAME_PLANE_STRIDE(frame, plane));
}

std::size_t ramp_start(std::uint64_t number, guint plane, std::size_t row) {
  return static_cast<std::size_t>(number * 37 + number / 256 + plane * 101 + row * 3);
}

// How much of a row the stamp takes.
std::size_t stamped_bytes(guint plane, std::size_t row) {
  return plane == 0 && row == 0 ? sizeof(Stamp) : 0;
}

Stamp expected_stamp(const GstVideoFrame* frame) {
  Stamp stamp{};
  stamp.magic = kMagic;
  stamp.format = static_cast<std::uint32_t>(GST_VIDEO_FRAME_FORMAT(frame));
  stamp.width = static_cast<std::uint32_t>(GST_VIDEO_FRAME_WIDTH(frame));
  stamp.height = static_cast<std::uint32_t>(GST_VIDEO_FRAME_HEIGHT(frame));
  return stamp;
}

template <class Row>
bool each_row(const GstVideoFrame* frame, Row&& handle) {
  for (guint plane = 0; plane < GST_VIDEO_FRAME_N_PLANES(frame); ++plane) {
    const Rows rows = rows_of(frame, plane);
    for (std::size_t row = 0; row < rows.count; ++row) {
      const std::size_t skip = stamped_bytes(plane, row);
      if (!handle(plane, row, row_of(frame, plane, row) + skip, rows.bytes - skip)) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

void draw_stamped(GstVideoFrame* frame, std::uint64_t number, std::int64_t captured_ns) {
  Stamp stamp = expected_stamp(frame);
  stamp.number = number;
  stamp.captured_ns = captured_ns;
  stamp.producer = static_cast<std::uint32_t>(getpid());
  std::memcpy(row_of(frame, 0, 0), &stamp, sizeof stamp);
  each_row(frame,
           [number](guint plane, std::size_t row, std::uint8_t* at, std::size_t bytes) {
             std::memcpy(at, ramp(ramp_start(number, plane, row)), bytes);
             return true;
           });
}

std::optional<Stamp> read_stamped(GstVideoFrame* frame) {
  Stamp stamp{};
  std::memcpy(&stamp, row_of(frame, 0, 0), sizeof stamp);
  const Stamp expected = expected_stamp(frame);
  if (stamp.magic != expected.magic || stamp.format != expected.format ||
      stamp.width != expected.width || stamp.height != expected.height) {
    return std::nullopt;
  }
  const bool whole = each_row(frame, [&stamp](guint plane, std::size_t row,
                                              const std::uint8_t* at, std::size_t bytes) {
    return std::memcmp(at, ramp(ramp_start(stamp.number, plane, row)), bytes) == 0;
  });
  if (!whole) return std::nullopt;
  return stamp;
}

}  // namespace support
