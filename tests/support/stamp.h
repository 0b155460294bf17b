// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Test pictures that prove themselves: every byte of the picture follows from a stamp at
// the start of its first row, so that a reader knows alone whether a frame is whole,
// which one it is, who made it and when.
#pragma once

#include <gst/video/video.h>

#include <cstdint>
#include <optional>

namespace support {

struct Stamp {
  std::uint64_t magic;
  std::uint64_t number;      // 1, 2, 3, ... of one producer
  std::int64_t captured_ns;  // CLOCK_MONOTONIC
  std::uint32_t producer;    // its pid
  std::uint32_t format;      // GstVideoFormat
  std::uint32_t width;
  std::uint32_t height;
};

// The smallest picture's rows hold a stamp. The format must have whole bytes per pixel
// and plane (GRAY8, I420, NV12, YUY2, RGB, BGRx, ...).
void draw_stamped(GstVideoFrame* frame, std::uint64_t number, std::int64_t captured_ns);

// Nothing if a byte of the picture is wrong or it is of another size or format.
std::optional<Stamp> read_stamped(GstVideoFrame* frame);

}  // namespace support
