// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header. Many of the values come from another process: every sum is checked.
#include "times.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "base/clock.h"
#include "refs.h"

namespace possum {
namespace {

// Smaller changes of the latency disturb more than they help.
constexpr std::int64_t kStepNs = 5'000'000;
constexpr std::int64_t kAnnounceEveryNs = kNanosecondsPerSecond;
// Keeps sums small; slides change more often than this.
constexpr std::int64_t kMaxSpacingNs = 3600 * kNanosecondsPerSecond;
constexpr std::int64_t kMaxAgeNs = kNanosecondsPerSecond;
// No source of a picture has more; it keeps a nonsensical descriptor harmless.
constexpr std::int64_t kMaxWriterLatencyNs = 60 * kNanosecondsPerSecond;

// Do they differ by enough to tell the pipeline?
bool differ(GstClockTime a, GstClockTime b) {
  return std::max(a, b) - std::min(a, b) >= static_cast<GstClockTime>(kStepNs);
}

// None of a time that no descriptor can hold.
std::int64_t to_ns(GstClockTime time) {
  return time <= static_cast<GstClockTime>(INT64_MAX) ? static_cast<std::int64_t>(time)
                                                      : kNoTime;
}

// What to add to the clock's time to get CLOCK_MONOTONIC: exactly 0 for the usual system
// clock, which is read between the two looks at its source.
std::int64_t clock_to_monotonic(GstClock* clock) {
  const std::int64_t before = monotonic_ns();
  const auto now = static_cast<std::int64_t>(gst_clock_get_time(clock));
  const std::int64_t after = monotonic_ns();
  if (before <= now && now <= after) return 0;
  return before + (after - before) / 2 - now;
}

}  // namespace

// --- moments -------------------------------------------------------------------------

GstClockTime to_clock_time(std::int64_t ns) {
  return ns < 0 ? GST_CLOCK_TIME_NONE : static_cast<GstClockTime>(ns);
}

std::int64_t since(std::int64_t origin_ns, std::int64_t time_ns) {
  std::int64_t result = 0;
  if (time_ns == kNoTime || __builtin_sub_overflow(time_ns, origin_ns, &result)) {
    return kNoTime;
  }
  return result;
}

std::int64_t elapsed_ns(std::int64_t from_ns, std::int64_t to_ns) {
  return std::max<std::int64_t>(0, since(from_ns, to_ns));
}

std::optional<std::int64_t> running_time_origin(GstElement* element) {
  Ref<GstClock> clock;
  GstClockTime base_time = GST_CLOCK_TIME_NONE;
  {
    const ObjectLock lock(element);
    if (element->clock != nullptr) {
      clock.reset(static_cast<GstClock*>(gst_object_ref(element->clock)));
    }
    base_time = element->base_time;
  }
  if (!clock || !GST_CLOCK_TIME_IS_VALID(base_time)) return std::nullopt;
  return static_cast<std::int64_t>(base_time) + clock_to_monotonic(clock.get());
}

std::int64_t running_pts_ns(const GstSegment& segment, GstBuffer* buffer) {
  const GstClockTime pts = GST_BUFFER_PTS(buffer);
  if (!GST_CLOCK_TIME_IS_VALID(pts)) return kNoTime;
  const GstClockTime end = GST_BUFFER_DURATION_IS_VALID(buffer)
                               ? pts + GST_BUFFER_DURATION(buffer)
                               : GST_CLOCK_TIME_NONE;
  guint64 first = 0;
  guint64 last = 0;
  if (!gst_segment_clip(&segment, GST_FORMAT_TIME, pts, end, &first, &last)) {
    return kNoTime;
  }
  const bool backwards = segment.rate < 0 && GST_CLOCK_TIME_IS_VALID(last);
  const GstClockTime running =
      gst_segment_to_running_time(&segment, GST_FORMAT_TIME, backwards ? last : first);
  return to_ns(running);
}

std::int64_t running_dts_ns(const GstSegment& segment, GstBuffer* buffer) {
  const GstClockTime dts = GST_BUFFER_DTS(buffer);
  guint64 running = 0;
  if (!GST_CLOCK_TIME_IS_VALID(dts) ||
      gst_segment_to_running_time_full(&segment, GST_FORMAT_TIME, dts, &running) != 1) {
    return kNoTime;
  }
  return to_ns(running);
}

// --- possumsrc's segments ------------------------------------------------------------

void RunningTimeline::flush() {
  first_ = true;
  restart_ = true;
  reached_ = 0;
}

// A live reader shows a new writer's first frame now. The others go on where the last
// writer ended, but not in the past, where a synchronising sink would drop everything.
GstClockTime RunningTimeline::base_for_next(GstClockTime own_running_ns) const {
  if (live_) return own_running_ns;
  return first_ ? 0 : std::max(reached_, own_running_ns);
}

std::optional<GstSegment> RunningTimeline::place(GstClockTime pts, GstClockTime duration,
                                                 GstClockTime own_running_ns) {
  if (!GST_CLOCK_TIME_IS_VALID(pts)) return std::nullopt;
  std::optional<GstSegment> fresh;
  if (restart_) {
    start_ = pts;
    base_ = base_for_next(own_running_ns);
    first_ = false;
    restart_ = false;
    fresh.emplace();
    gst_segment_init(&*fresh, GST_FORMAT_TIME);
    fresh->start = fresh->time = fresh->position = start_;
    fresh->base = base_;
  }
  if (pts >= start_) {
    const GstClockTime length = GST_CLOCK_TIME_IS_VALID(duration) ? duration : 0;
    reached_ = std::max(reached_, base_ + (pts - start_) + length);
  }
  return fresh;
}

// --- latencies -----------------------------------------------------------------------

void UpstreamLatency::refresh(GstPad* sinkpad) {
  if (!stale_.load(std::memory_order_relaxed) || !stale_.exchange(false)) return;
  const Ref<GstQuery> query{gst_query_new_latency()};
  gboolean live = FALSE;
  GstClockTime min = 0;
  if (gst_pad_peer_query(sinkpad, query.get())) {
    gst_query_parse_latency(query.get(), &live, &min, nullptr);
  }
  live_ = live;
  min_ = GST_CLOCK_TIME_IS_VALID(min) ? min : 0;
}

void LatencyEstimate::note(std::int64_t writer_latency_ns, std::int64_t age_ns) {
  const std::int64_t latency =
      std::clamp<std::int64_t>(writer_latency_ns, 0, kMaxWriterLatencyNs);
  // A frame older than this stood still for other reasons. A writer that is itself slow
  // gets some room beyond its own latency.
  const std::int64_t oldest = std::max(kMaxAgeNs, latency + kMaxAgeNs / 2);
  const std::int64_t measured = std::max(latency, std::min(age_ns, oldest));
  if (measured >= min_ns_.load(std::memory_order_relaxed) + kStepNs) {
    min_ns_.store(measured, std::memory_order_relaxed);
  }
}

void LatencyEstimate::restart() {
  min_ns_.store(0, std::memory_order_relaxed);
  captured_ns_ = kNoTime;
  announced_at_ns_.reset();
}

void LatencyEstimate::note_spacing(std::int64_t nominal_ns, std::int64_t capture_ns,
                                   std::uint64_t missed) {
  const std::int64_t before_ns = std::exchange(captured_ns_, capture_ns);
  std::int64_t spacing_ns = nominal_ns;
  if (nominal_ns == 0) {
    const std::int64_t step_ns = since(before_ns, capture_ns);
    if (before_ns == kNoTime || step_ns <= 0) return;
    const std::int64_t frames =
        1 + static_cast<std::int64_t>(std::min<std::uint64_t>(missed, kMaxSpacingNs));
    const std::int64_t measured_ns = std::min(step_ns / frames, kMaxSpacingNs);
    mean_ns_ = mean_ns_ == 0 ? measured_ns : mean_ns_ + (measured_ns - mean_ns_) / 8;
    spacing_ns = mean_ns_;
  }
  spacing_ns = std::clamp<std::int64_t>(spacing_ns, 1, kMaxSpacingNs);
  // A mean is never still.
  const std::int64_t known_ns = spacing_ns_.load(std::memory_order_relaxed);
  const std::int64_t tolerance_ns = nominal_ns == 0 ? known_ns / 4 : 0;
  if (std::abs(spacing_ns - known_ns) > tolerance_ns) {
    spacing_ns_.store(spacing_ns, std::memory_order_relaxed);
  }
}

LatencyEstimate::Range LatencyEstimate::range() const {
  const auto min = static_cast<GstClockTime>(min_ns_.load(std::memory_order_relaxed));
  const auto spacing =
      static_cast<GstClockTime>(spacing_ns_.load(std::memory_order_relaxed));
  const unsigned buffers = buffers_.load(std::memory_order_relaxed);
  if (buffers == 0 || spacing == 0) return {min, GST_CLOCK_TIME_NONE};
  return {min, min + buffers * spacing};
}

bool LatencyEstimate::take_announcement(std::int64_t now_ns) {
  const Range now = range();
  if (!differ(now.min, announced_.min) && !differ(now.max, announced_.max)) return false;
  if (announced_at_ns_ && now_ns - *announced_at_ns_ < kAnnounceEveryNs) return false;
  announced_ = now;
  announced_at_ns_ = now_ns;
  return true;
}

}  // namespace possum
