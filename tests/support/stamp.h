// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Test pictures that prove themselves: every byte of the picture follows from a stamp at
// the start of its first row, so that a reader knows alone whether a frame is whole,
// which one it is, who made it and when.
#pragma once

#include <gst/video/video.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <optional>

namespace support {

struct Stamp {
  std::uint64_t magic;
  std::uint32_t format;  // GstVideoFormat
  std::uint32_t width;
  std::uint32_t height;
  std::uint32_t producer;    // its pid
  std::uint64_t number;      // 1, 2, 3, ... of one producer
  std::int64_t captured_ns;  // CLOCK_MONOTONIC
};

// As it is at the start of such a picture, but for what differs from frame to frame.
inline Stamp stamp_for(const GstVideoFrame& frame) {
  Stamp stamp{};
  stamp.magic = 0x706d'6174'5374'7365;
  stamp.format = static_cast<std::uint32_t>(GST_VIDEO_FRAME_FORMAT(&frame));
  stamp.width = static_cast<std::uint32_t>(GST_VIDEO_FRAME_WIDTH(&frame));
  stamp.height = static_cast<std::uint32_t>(GST_VIDEO_FRAME_HEIGHT(&frame));
  return stamp;
}

// Rows are 256-byte ramps that begin at another value in each row, plane and frame.
inline const std::uint8_t* ramp(std::uint64_t number, guint plane, std::size_t row) {
  static const auto bytes = [] {
    std::array<std::uint8_t, 1 << 16> all{};
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint8_t>(i);
    return all;
  }();
  return bytes.data() + (number * 37 + number / 256 + plane * 101 + row * 3) % 256;
}

// Calls handle(bytes of a row, what they should be, how many) for each row, without the
// stamp. The format must have whole bytes per pixel and plane (GRAY8, I420, NV12, BGRx).
template <class Handle>
void each_row(const GstVideoFrame& frame, std::uint64_t number, Handle&& handle) {
  const GstVideoFormatInfo* format = frame.info.finfo;
  for (guint plane = 0; plane < GST_VIDEO_FRAME_N_PLANES(&frame); ++plane) {
    guint c = 0;
    while (GST_VIDEO_FORMAT_INFO_PLANE(format, c) != plane) ++c;
    const auto rows = static_cast<std::size_t>(GST_VIDEO_FRAME_COMP_HEIGHT(&frame, c));
    const auto bytes = static_cast<std::size_t>(GST_VIDEO_FRAME_COMP_WIDTH(&frame, c) *
                                                GST_VIDEO_FORMAT_INFO_PSTRIDE(format, c));
    const auto stride =
        static_cast<std::size_t>(GST_VIDEO_FRAME_PLANE_STRIDE(&frame, plane));
    auto* at = static_cast<std::uint8_t*>(GST_VIDEO_FRAME_PLANE_DATA(&frame, plane));
    for (std::size_t row = 0; row < rows; ++row, at += stride) {
      const std::size_t skip = plane == 0 && row == 0 ? sizeof(Stamp) : 0;
      handle(at + skip, ramp(number, plane, row), bytes - skip);
    }
  }
}

// The picture's rows must hold a stamp.
inline void draw_stamped(const GstVideoFrame& frame, std::uint64_t number,
                         std::int64_t captured_ns) {
  Stamp stamp = stamp_for(frame);
  stamp.producer = static_cast<std::uint32_t>(getpid());
  stamp.number = number;
  stamp.captured_ns = captured_ns;
  std::memcpy(GST_VIDEO_FRAME_PLANE_DATA(&frame, 0), &stamp, sizeof stamp);
  each_row(frame, number, [](std::uint8_t* row, const std::uint8_t* wanted, auto bytes) {
    std::memcpy(row, wanted, bytes);
  });
}

// Nothing if a byte of the picture is wrong or it is of another size or format.
inline std::optional<Stamp> read_stamped(const GstVideoFrame& frame) {
  Stamp stamp{};
  std::memcpy(&stamp, GST_VIDEO_FRAME_PLANE_DATA(&frame, 0), sizeof stamp);
  const Stamp wanted = stamp_for(frame);
  bool whole = std::memcmp(&stamp, &wanted, offsetof(Stamp, producer)) == 0;
  each_row(frame, stamp.number,
           [&whole](const std::uint8_t* row, const std::uint8_t* wanted, auto bytes) {
             whole = whole && std::memcmp(row, wanted, bytes) == 0;
           });
  return whole ? std::optional(stamp) : std::nullopt;
}

}  // namespace support
