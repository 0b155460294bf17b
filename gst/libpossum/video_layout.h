// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Raw video formats and where their planes lie, without GStreamer and without memory: a
// table and the rules of gst_video_info_set_format() for its formats.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/caps_text.h"
#include "possum.h"

namespace possum {

struct PlaneKind {
  std::uint8_t pixel_bytes = 0;  // from one column to the next, see `group`
  std::uint8_t shift_x = 0;      // columns: width >> shift_x, rounded up
  std::uint8_t shift_y = 0;      // rows likewise
};

struct VideoFormat {
  const char* name;
  unsigned planes;
  PlaneKind plane[POSSUM_MAX_PLANES];
  bool pairs = false;       // a row consists of whole pairs of pixels
  bool even_lines = false;  // there is room for one more line if the number is odd
  bool no_fields = false;   // interlacing changes nothing
  std::uint8_t group = 1;   // pixels that are packed together into whole bytes: a column
  std::uint8_t row_step = 4;  // bytes; rows are a multiple of it apart
};

const VideoFormat* find_format(std::string_view name);
const char* format_name(unsigned index);  // NULL behind the last

// The greatest width and height: keeps strides in 31 bits.
inline constexpr std::int32_t kMaxSide = 32767;

// Lines of one frame: of a field where fields alternate.
std::uint32_t frame_lines(const possum_video& video);
// Bytes that a row of the plane has at least.
std::uint64_t row_bytes(const VideoFormat& format, const possum_plane_layout& plane);

// Sets plane_count, planes and bytes for the format, width, height and interlace in it.
void set_default_layout(const VideoFormat& format, possum_video& video);

// Nothing in `why` but where this returns nothing: what is wrong with the caps.
std::optional<possum_video> read_video_caps(std::string_view text, std::string& why);

// "" if the members make no caps.
std::string write_video_caps(const possum_video& video);

possum_video default_video();

}  // namespace possum
