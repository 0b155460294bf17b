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
Stamps clock_stamps(const layout::FrameDescriptor& frame, std::int64_t origin_ns);
// The writer's running times.
Stamps writer_stamps(const layout::FrameDescriptor& frame);
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

// The latency to report: the writer's own or the largest age of a frame when it could be
// taken, whichever is greater. Only min() may be called from any thread.
class LatencyEstimate {
 public:
  // Another writer: what was measured before says nothing about it.
  void restart() { min_ns_.store(0, std::memory_order_relaxed); }
  void note(std::int64_t writer_latency_ns, std::int64_t age_ns);
  // Is it time to tell the pipeline? At most once a second, for steps worth it.
  bool announce(std::int64_t now_ns);
  GstClockTime min() const {
    return static_cast<GstClockTime>(min_ns_.load(std::memory_order_relaxed));
  }

 private:
  std::atomic<std::int64_t> min_ns_{0};
  std::int64_t announced_ns_ = 0;
  std::optional<std::int64_t> announced_at_ns_;
};

}  // namespace possum
