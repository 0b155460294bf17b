// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header. The reader's side of the same rules is in frame.cpp.
#include "writer_format.h"

#include <algorithm>
#include <charconv>

#include "base/caps_text.h"
#include "base/clock.h"
#include "base/pixel_copy.h"
#include "status.h"
#include "video_layout.h"

namespace possum {
namespace {

// Both sides mask out what belongs to the mini object and the pool (PROTOCOL.md, 9).
constexpr std::uint32_t kOwnFlags = 0xfu | 0x4000u;
// GstVideoBufferFlags have the bits of GstVideoFrameFlags, shifted.
constexpr unsigned kVideoFlagShift = 20;
constexpr std::uint32_t kVideoFlags = 0x3f;

std::uint32_t side_of(const CapsText& caps, const char* name) {
  const auto* const field = caps.find(name);
  std::uint32_t side = 0;
  if (field == nullptr || !field->fixed) return 0;
  const char* const end = field->value.data() + field->value.size();
  const auto [last, problem] = std::from_chars(field->value.data(), end, side);
  return problem == std::errc{} && last == end ? side : 0;
}

bool absent_or_not_negative(std::int64_t ns) { return ns == POSSUM_NO_TIME || ns >= 0; }

// Bytes from the first of the last row's on that a plane needs.
std::uint64_t needed_bytes(const VideoFormat& format, const possum_plane_layout& plane,
                           std::int32_t stride) {
  return std::uint64_t{plane.height - 1} * static_cast<std::uint64_t>(stride) +
         row_bytes(format, plane);
}

bool describe_plane(const VideoFormat& format, const possum_plane_layout& kind,
                    const possum_plane& given, std::uint64_t bytes,
                    transport::layout::PlaneLayout& out, std::string& why) {
  if (given.stride <= 0 ||
      static_cast<std::uint64_t>(given.stride) < row_bytes(format, kind)) {
    why = "a stride is smaller than a row";
    return false;
  }
  const std::uint64_t needed = needed_bytes(format, kind, given.stride);
  if (given.offset > bytes || needed > bytes - given.offset) {
    why = "a plane ends behind the frame";
    return false;
  }
  out.offset = given.offset;
  out.stride = given.stride;
  out.bytes = std::min(kind.height * static_cast<std::uint64_t>(given.stride),
                       bytes - given.offset);
  return true;
}

// Of a format that is not known here nothing more can be said.
bool describe_opaque(const possum_plane& given, std::uint64_t bytes,
                     transport::layout::PlaneLayout& out, std::string& why) {
  if (given.offset > bytes) {
    why = "a plane begins behind the frame";
    return false;
  }
  out.offset = given.offset;
  out.stride = given.stride;
  out.bytes = bytes - given.offset;
  return true;
}

}  // namespace

std::optional<WriterFormat> make_format(std::string caps, std::size_t frame_bytes,
                                        std::string& why) {
  if (caps.size() > kMaxCapsText) {
    why = "The caps are too long: " + std::to_string(caps.size()) +
          " bytes, and a channel carries " + std::to_string(kMaxCapsText) +
          ": leave fields out";
    return std::nullopt;
  }
  const auto parsed = CapsText::parse(caps);
  if (!parsed) {
    why =
        "The caps text is no caps: write a media type and fields, UTF-8 without control "
        "characters";
    return std::nullopt;
  }
  why.clear();
  WriterFormat format;
  format.frame_bytes = frame_bytes;
  if (parsed->media_type == "video/x-raw") {
    format.video = read_video_caps(caps, why);
    if (format.video) format.known = find_format(format.video->format);
    format.width = side_of(*parsed, "width");
    format.height = side_of(*parsed, "height");
    if (format.video && frame_bytes == 0) {
      format.frame_bytes = static_cast<std::size_t>(format.video->bytes);
    }
  }
  format.caps = std::move(caps);
  return format;
}

possum_frame_params default_params() {
  possum_frame_params params{};
  params.size = sizeof params;
  params.capture_ns = POSSUM_NO_TIME;
  params.pts_ns = POSSUM_NO_TIME;
  params.dts_ns = POSSUM_NO_TIME;
  params.duration_ns = POSSUM_NO_TIME;
  params.offset = POSSUM_NO_OFFSET;
  params.offset_end = POSSUM_NO_OFFSET;
  return params;
}

bool describe_times(const possum_frame_params& params, std::int64_t opened_ns,
                    transport::layout::FrameDescriptor& frame, std::string& why) {
  if (!absent_or_not_negative(params.pts_ns) ||
      !absent_or_not_negative(params.capture_ns) ||
      !absent_or_not_negative(params.duration_ns) || params.latency_ns < 0) {
    why = "a time is negative: leave out what is not known (POSSUM_NO_TIME)";
    return false;
  }
  const bool recorded = params.pts_ns != POSSUM_NO_TIME;
  frame.pts_ns = params.capture_ns;
  if (frame.pts_ns == POSSUM_NO_TIME && !recorded) frame.pts_ns = monotonic_ns();
  frame.running_pts_ns =
      recorded ? params.pts_ns : std::max<std::int64_t>(0, frame.pts_ns - opened_ns);
  frame.running_dts_ns = params.dts_ns;
  frame.dts_ns = transport::layout::kNoTime;
  std::int64_t ahead_ns = 0;
  if (params.dts_ns != POSSUM_NO_TIME && frame.pts_ns != POSSUM_NO_TIME &&
      !__builtin_sub_overflow(params.dts_ns, frame.running_pts_ns, &ahead_ns) &&
      __builtin_add_overflow(frame.pts_ns, ahead_ns, &frame.dts_ns)) {
    frame.dts_ns = transport::layout::kNoTime;
  }
  frame.duration_ns = params.duration_ns;
  frame.latency_ns = params.latency_ns;
  frame.offset = params.offset;
  frame.offset_end = params.offset_end;
  frame.buffer_flags = params.flags & ~kOwnFlags;
  frame.video_flags = params.flags >> kVideoFlagShift & kVideoFlags;
  frame.frame_flags |= transport::layout::kFrameTimes;
  return true;
}

bool describe_planes(const WriterFormat& format, const possum_frame_params& params,
                     std::size_t bytes, std::size_t room,
                     transport::layout::FrameDescriptor& frame, std::string& why) {
  const bool given = params.plane_count != 0;
  frame.data_bytes = params.bytes != 0        ? params.bytes
                     : format.video && !given ? format.video->bytes
                                              : bytes;
  if (frame.data_bytes > room) {
    why = "it has " + std::to_string(frame.data_bytes) + " bytes and there are " +
          std::to_string(room);
    return false;
  }
  if (!format.video && !given) return true;
  if (given && params.plane_count > POSSUM_MAX_PLANES) {
    why = "it has more than 4 planes";
    return false;
  }
  frame.frame_flags |= transport::layout::kFramePlanes;
  frame.width = format.width;
  frame.height = format.height;
  frame.plane_count = format.video ? format.video->plane_count : params.plane_count;
  if (given && params.plane_count != frame.plane_count) {
    why = "its format has " + std::to_string(frame.plane_count) + " planes";
    return false;
  }
  for (unsigned p = 0; p < frame.plane_count; ++p) {
    possum_plane plane = params.planes[p];
    transport::layout::PlaneLayout& out = frame.planes[p];
    if (format.known == nullptr) {
      if (!describe_opaque(plane, frame.data_bytes, out, why)) return false;
      continue;
    }
    const possum_plane_layout& kind = format.video->planes[p];
    if (!given) plane = {kind.offset, kind.stride, 0};
    if (!describe_plane(*format.known, kind, plane, frame.data_bytes, out, why))
      return false;
  }
  return true;
}

void copy_planes(const WriterFormat& format, const std::byte* source,
                 const transport::layout::FrameDescriptor& from, std::byte* target,
                 const transport::layout::FrameDescriptor& to) {
  for (unsigned p = 0; p < to.plane_count; ++p) {
    const possum_plane_layout& kind = format.video->planes[p];
    const std::uint64_t bytes = row_bytes(*format.known, kind);
    const std::byte* in = source + from.planes[p].offset;
    std::byte* out = target + to.planes[p].offset;
    for (std::uint32_t row = 0; row < kind.height; ++row) {
      copy_pixels(out, in, bytes, to.data_bytes);
      in += from.planes[p].stride;
      out += to.planes[p].stride;
    }
  }
}

}  // namespace possum
