// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A frame in the hands of a program: the transport's lease, what its caps mean, and the
// checked description of it. Nothing here waits.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>

#include "possum.h"
#include "transport/reader.h"

namespace possum {

struct VideoFormat;

// What the caps of a frame say; shared by all frames of equal caps.
struct FrameFormat {
  // As the transport has it: the same pointer while the caps are the same.
  std::shared_ptr<const std::string> caps;
  std::optional<possum_video> video;   // of a known format
  const VideoFormat* known = nullptr;  // that format
};

// Nothing if the text is none that may be shown.
std::shared_ptr<const FrameFormat> read_format(std::shared_ptr<const std::string> caps);

// Fills everything but what only the reader knows. False: the frame contradicts its caps.
bool describe_frame(const transport::Frame& frame, const FrameFormat& format,
                    std::int64_t now_ns, possum_frame_info& info, std::string& why);

}  // namespace possum

struct possum_frame {
  std::atomic<unsigned> owners{1};
  possum::transport::Frame lease;     // empty if `copy` has the bytes
  std::unique_ptr<std::byte[]> copy;  // of possum_reader_options.copy
  std::shared_ptr<const possum::FrameFormat> format;
  possum_frame_info info{};
};
