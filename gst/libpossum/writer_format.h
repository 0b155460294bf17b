// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What a writer knows of its frames from their caps, and the descriptor that follows from
// that and from what the program says about one frame.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "possum.h"
#include "transport/layout.h"

namespace possum {

struct VideoFormat;

struct WriterFormat {
  std::string caps;                    // empty: not said yet
  std::size_t frame_bytes = 0;         // 0: not known
  std::optional<possum_video> video;   // of a known format
  const VideoFormat* known = nullptr;  // that format
  std::uint32_t width = 0;             // of raw video of any format, else 0
  std::uint32_t height = 0;
};

// Nothing but a reason where the text is no caps; a reason, too, where it is raw video of
// which nothing more is known.
std::optional<WriterFormat> make_format(std::string caps, std::size_t frame_bytes,
                                        std::string& why);

// Times, flags and offsets. `opened_ns`: CLOCK_MONOTONIC of the writer's time 0.
bool describe_times(const possum_frame_params& params, std::int64_t opened_ns,
                    transport::layout::FrameDescriptor& frame, std::string& why);

// Size and planes of a frame in a place of `room` bytes; it has `bytes` if nobody says
// otherwise. False: why not.
bool describe_planes(const WriterFormat& format, const possum_frame_params& params,
                     std::size_t bytes, std::size_t room,
                     transport::layout::FrameDescriptor& frame, std::string& why);

// Copies the rows of a frame that lies as `from` says to where `to` says. Of raw video of
// a known format.
void copy_planes(const WriterFormat& format, const std::byte* source,
                 const transport::layout::FrameDescriptor& from, std::byte* target,
                 const transport::layout::FrameDescriptor& to);

possum_frame_params default_params();

}  // namespace possum
