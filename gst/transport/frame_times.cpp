// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "frame_times.h"

namespace possum::transport {
namespace {

// Processors agree on CLOCK_MONOTONIC far better than this.
constexpr std::int64_t kClockSlackNs = 1'000'000;
// From the moment that a writer notes as the publication to that of the offer.
constexpr std::int64_t kOfferSlackNs = 1'000'000'000;
// A writer that does not wait for the clock runs ahead of it by what its readers keep
// back; slow slides make that many minutes.
constexpr std::int64_t kMaxAheadNs = 3'600'000'000'000;

// `now_ns` is not negative.
bool possible(std::int64_t time_ns, std::int64_t now_ns, std::int64_t ahead_ns) {
  return time_ns >= 0 && (time_ns <= now_ns || time_ns - now_ns <= ahead_ns);
}

}  // namespace

bool has_capture_time(const layout::FrameDescriptor& frame) {
  return frame.pts_ns != layout::kNoTime &&
         (frame.frame_flags & layout::kFramePreroll) == 0;
}

std::int64_t capture_ns(const layout::FrameDescriptor& frame) {
  return has_capture_time(frame) ? frame.pts_ns : frame.publish_ns;
}

bool plausible_times(const layout::FrameDescriptor& frame, std::int64_t now_ns) {
  return possible(frame.publish_ns, now_ns, kClockSlackNs) &&
         (!has_capture_time(frame) || possible(frame.pts_ns, now_ns, kMaxAheadNs));
}

bool published_before(const layout::FrameDescriptor& frame, std::int64_t moment_ns) {
  return frame.publish_ns < moment_ns - kOfferSlackNs;
}

void stamp_arrival(layout::FrameDescriptor& frame, std::int64_t now_ns) {
  frame.publish_ns = now_ns;
  frame.pts_ns = layout::kNoTime;
  frame.dts_ns = layout::kNoTime;
}

}  // namespace possum::transport
