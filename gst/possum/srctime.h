// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possumsrc's arithmetic of time: from a frame descriptor to PTS and DTS, the segments of
// running-time mode, and the latency to report. Knows no element, no clock, no channel.
#pragma once

#include <gst/gst.h>

#include <atomic>
#include <cstdint>
#include <optional>

#include "transport/layout.h"

namespace possum {

struct Stamps {
  GstClockTime pts = GST_CLOCK_TIME_NONE;
  GstClockTime dts = GST_CLOCK_TIME_NONE;
};

// From one moment to a later one; 0 if it is not later.
std::int64_t elapsed_ns(std::int64_t from_ns, std::int64_t to_ns);

// Absolute time minus `origin_ns`, the CLOCK_MONOTONIC of the own running time 0.
Stamps clock_stamps(const transport::layout::FrameDescriptor& frame,
                    std::int64_t origin_ns);
// The writer's running times.
Stamps writer_stamps(const transport::layout::FrameDescriptor& frame);
// kNoTime and nonsense are GST_CLOCK_TIME_NONE.
GstClockTime to_clock_time(std::int64_t ns);

// Lays the writers' running times one after the other onto the own running time. Not
// thread safe.
class RunningTimeline {
 public:
  explicit RunningTimeline(bool live) : live_(live) {}
  // The next frame begins a new segment: another writer, or the writer was flushed.
  void restart() { restart_ = true; }
  // The own pipeline was flushed: its running time may have begun anew.
  void flush();
  // The segment to push before a frame with this PTS, if a new one is due.
  // `own_running_ns` is the own running time now, 0 while there is none.
  std::optional<GstSegment> place(GstClockTime pts, GstClockTime duration,
                                  GstClockTime own_running_ns);

 private:
  GstClockTime base_for_next(GstClockTime own_running_ns) const;

  const bool live_;
  bool first_ = true;
  bool restart_ = true;
  GstClockTime start_ = 0;    // of the current segment
  GstClockTime base_ = 0;     // of the current segment
  GstClockTime reached_ = 0;  // running time where the frames so far end
};

// The latency to report. At least: the writer's own or the largest age of a frame when it
// could be taken, whichever is greater. At most: what the frames that may wait here last
// in addition. range() and set_buffers() may be called from any thread.
class LatencyEstimate {
 public:
  struct Range {
    GstClockTime min;
    GstClockTime max;  // GST_CLOCK_TIME_NONE: any, or not known yet
  };
  // `buffers`: how many frames may wait before one is lost; 0: none ever is.
  explicit LatencyEstimate(unsigned buffers) : buffers_(buffers) {}
  void set_buffers(unsigned buffers) { buffers_ = buffers; }
  // Another writer: what was measured before says nothing about it.
  void restart();
  void note(std::int64_t writer_latency_ns, std::int64_t age_ns);
  // How far frames are apart: `nominal_ns` as their caps say, or, where that is 0, what
  // the captures of this frame and of the one before it say, with `missed` between them.
  void note_spacing(std::int64_t nominal_ns, std::int64_t capture_ns,
                    std::uint64_t missed);
  // Is it time to tell the pipeline? At most once a second, for steps worth it.
  bool announce(std::int64_t now_ns);
  Range range() const;

 private:
  std::atomic<unsigned> buffers_;
  std::atomic<std::int64_t> min_ns_{0};
  std::atomic<std::int64_t> spacing_ns_{0};  // 0: not known
  std::int64_t captured_ns_ = transport::layout::kNoTime;
  std::int64_t mean_ns_ = 0;  // of the measured spacings
  Range announced_{0, GST_CLOCK_TIME_NONE};
  std::optional<std::int64_t> announced_at_ns_;
};

}  // namespace possum
