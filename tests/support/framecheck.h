// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Looks at every frame that passes a pad of `possum-player` and says what it saw, a line
// each:
//
//   caps CAPS
//   frame NUMBER from PID pts NS lag NS   every `report` frames, the first of a producer
//   gap LAST NUMBER                       frames are missing in between
//   bad WHY                               and the program ends with status 3
#pragma once

#include <gst/gst.h>
#include <gst/video/video.h>

#include <cstdint>
#include <mutex>
#include <optional>
#include <random>

#include "stamp.h"

namespace support {

struct FrameCheckOptions {
  bool stamped = true;    // pictures come from stampsrc
  bool lossless = false;  // a gap is bad
  bool timed = false;     // the time stamps are those of capture, within a millisecond
  guint report = 30;
  guint sleep_us = 0;  // up to so long, at random, on each frame
};

class FrameCheck {
 public:
  explicit FrameCheck(const FrameCheckOptions& options) : options_(options) {}

  // Of the element's pad called "sink" or "src".
  void watch(GstElement* element);

  // From any thread.
  void keep_next();    // says "kept NUMBER" when it has one
  void verify_kept();  // says "kept NUMBER whole" or "bad ..."
  void release_kept();
  void print_totals();  // "total N frames, M missed, last NUMBER"

 private:
  static GstPadProbeReturn on_data(GstPad* pad, GstPadProbeInfo* info, gpointer data);
  void see_caps(GstCaps* caps);
  void see_buffer(GstPad* pad, GstBuffer* buffer);
  Stamp stamp_of(GstBuffer* buffer);
  void check_order(const Stamp& stamp, bool discont);
  void check_time(const Stamp& stamp, std::int64_t absolute_pts_ns);
  void report(const Stamp& stamp, GstBuffer* buffer, std::int64_t absolute_pts_ns);
  void keep_if_wanted(const Stamp& stamp, GstBuffer* buffer);

  const FrameCheckOptions options_;
  GstElement* element_ = nullptr;  // not owned

  // Streaming thread.
  GstVideoInfo info_;
  std::mt19937 random_{1};
  std::uint32_t producer_ = 0;
  bool first_of_producer_ = false;

  std::mutex lock_;  // guards what follows
  std::uint64_t frames_ = 0;
  std::uint64_t missed_ = 0;
  std::uint64_t last_ = 0;
  bool keep_ = false;
  GstBuffer* kept_ = nullptr;
  GstVideoInfo kept_info_;
  std::uint64_t kept_number_ = 0;
};

}  // namespace support
