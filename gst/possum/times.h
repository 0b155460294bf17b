// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Arithmetic of time for both elements: running time and CLOCK_MONOTONIC, the segments of
// possumsrc's running-time mode, and latencies. Knows no channel.
#pragma once

#include <gst/gst.h>

#include <atomic>
#include <cstdint>
#include <optional>

#include "transport/layout.h"

namespace possum {

// --- moments -------------------------------------------------------------------------

// Times of a frame descriptor are nanoseconds; there may be none.
inline constexpr std::int64_t kNoTime = transport::layout::kNoTime;

// kNoTime and nonsense become GST_CLOCK_TIME_NONE.
GstClockTime to_clock_time(std::int64_t ns);

// `time_ns` as counted from `origin_ns`; kNoTime when there is none or the difference
// makes no sense.
std::int64_t since(std::int64_t origin_ns, std::int64_t time_ns);

// From one moment to a later one; 0 if it is not later.
std::int64_t elapsed_ns(std::int64_t from_ns, std::int64_t to_ns);

// What to add to a running time to get CLOCK_MONOTONIC, for this element's clock and base
// time now. Nothing without a clock.
std::optional<std::int64_t> running_time_origin(GstElement* element);

// In running time; kNoTime without one, or outside the segment. A frame that begins
// before the segment or ends after it counts with the part inside, as in GstBaseSink.
std::int64_t running_pts_ns(const GstSegment& segment, GstBuffer* buffer);
std::int64_t running_dts_ns(const GstSegment& segment, GstBuffer* buffer);

// --- possumsrc's segments ------------------------------------------------------------

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

// --- latencies -----------------------------------------------------------------------

// What the elements before possumsink say about themselves by the LATENCY query: do they
// make frames in real time, and how late do those come? No answer counts as not live.
class UpstreamLatency {
 public:
  // The answer may have changed: it is asked for again with the next frame. Any thread.
  void forget() { stale_ = true; }
  // Asks the peer of `sinkpad` if need be. Streaming thread.
  void refresh(GstPad* sinkpad);
  // Streaming thread, after refresh().
  bool live() const { return live_; }
  GstClockTime min() const { return min_; }

 private:
  std::atomic<bool> stale_{true};
  bool live_ = false;
  GstClockTime min_ = 0;
};

// The latency that possumsrc reports. At least: the writer's own or the largest age of a
// frame when it could be taken, whichever is greater. At most: what the frames that may
// wait here last in addition. range() and set_buffers() may be called from any thread.
class LatencyEstimate {
 public:
  struct Range {
    GstClockTime min;
    GstClockTime max;  // GST_CLOCK_TIME_NONE: any, or not known yet
  };
  // `buffers`: how many frames may wait before one is lost; 0: none ever is.
  explicit LatencyEstimate(unsigned buffers) : buffers_(buffers) {}
  void set_buffers(unsigned buffers) { buffers_ = buffers; }
  // Another writer, or another clock: what was measured before says nothing about it.
  void restart();
  void note(std::int64_t writer_latency_ns, std::int64_t age_ns);
  // How far frames are apart: `nominal_ns` as their caps say, or, where that is 0, what
  // the captures of this frame and of the one before it say, with `missed` between them.
  void note_spacing(std::int64_t nominal_ns, std::int64_t capture_ns,
                    std::uint64_t missed);
  // Is there something to tell the pipeline? If so, it counts as told. At most once a
  // second, for steps worth it.
  bool take_announcement(std::int64_t now_ns);
  Range range() const;

 private:
  std::atomic<unsigned> buffers_;
  std::atomic<std::int64_t> min_ns_{0};
  std::atomic<std::int64_t> spacing_ns_{0};  // 0: not known
  std::int64_t captured_ns_ = kNoTime;
  std::int64_t mean_ns_ = 0;  // of the measured spacings
  Range announced_{0, GST_CLOCK_TIME_NONE};
  std::optional<std::int64_t> announced_at_ns_;
};

}  // namespace possum
