// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "framecheck.h"

#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <utility>

#include "base/clock.h"

namespace support {
namespace {

constexpr std::int64_t kMillisecond = 1'000'000;
constexpr int kBadFrame = 3;

[[noreturn]] void bad(const char* why, std::uint64_t number) {
  std::printf("bad %s, frame %" PRIu64 "\n", why, number);
  std::fflush(stdout);
  _exit(kBadFrame);
}

std::int64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

// When the pipeline's clock, which is CLOCK_MONOTONIC here, shows the buffer's time.
std::int64_t absolute_time(GstElement* element, GstPad* pad, GstBuffer* buffer) {
  GstEvent* event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0);
  if (event == nullptr) return 0;
  const GstSegment* segment = nullptr;
  gst_event_parse_segment(event, &segment);
  const guint64 running =
      gst_segment_to_running_time(segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer));
  gst_event_unref(event);
  return static_cast<std::int64_t>(running + gst_element_get_base_time(element));
}

}  // namespace

void FrameCheck::watch(GstElement* element) {
  element_ = element;
  GstPad* pad = gst_element_get_static_pad(element, "sink");
  if (pad == nullptr) pad = gst_element_get_static_pad(element, "src");
  gst_pad_add_probe(pad,
                    static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_BUFFER |
                                                 GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM),
                    on_data, this, nullptr);
  gst_object_unref(pad);
}

GstPadProbeReturn FrameCheck::on_data(GstPad* pad, GstPadProbeInfo* info, gpointer data) {
  auto* self = static_cast<FrameCheck*>(data);
  if ((info->type & GST_PAD_PROBE_TYPE_BUFFER) != 0) {
    self->see_buffer(pad, GST_PAD_PROBE_INFO_BUFFER(info));
  } else if (GstEvent* event = GST_PAD_PROBE_INFO_EVENT(info);
             GST_EVENT_TYPE(event) == GST_EVENT_CAPS) {
    GstCaps* caps = nullptr;
    gst_event_parse_caps(event, &caps);
    self->see_caps(caps);
  }
  return GST_PAD_PROBE_OK;
}

void FrameCheck::see_caps(GstCaps* caps) {
  gchar* text = gst_caps_to_string(caps);
  std::printf("caps %s\n", text);
  g_free(text);
  if (!gst_video_info_from_caps(&info_, caps)) bad("caps", last_);
}

Stamp FrameCheck::stamp_of(GstBuffer* buffer) {
  Stamp stamp{};
  if (!options_.stamped) {
    stamp.number = last_ + 1;
    return stamp;
  }
  GstVideoFrame frame;
  if (!gst_video_frame_map(&frame, &info_, buffer, GST_MAP_READ)) bad("map", last_);
  const std::optional<Stamp> found = read_stamped(&frame);
  gst_video_frame_unmap(&frame);
  if (!found) bad("picture", last_);
  return *found;
}

void FrameCheck::see_buffer(GstPad* pad, GstBuffer* buffer) {
  const Stamp stamp = stamp_of(buffer);
  const std::int64_t absolute_ns = absolute_time(element_, pad, buffer);
  first_of_producer_ =
      std::exchange(producer_, stamp.producer) != stamp.producer || frames_ == 0;
  {
    const std::scoped_lock guard(lock_);
    if (options_.stamped) {
      check_order(stamp, GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT));
    }
    if (options_.timed) check_time(stamp, absolute_ns);
    last_ = stamp.number;
    ++frames_;
    report(stamp, buffer, absolute_ns);
    keep_if_wanted(stamp, buffer);
  }
  if (options_.sleep_us > 0) usleep(random_() % options_.sleep_us);
}

void FrameCheck::check_order(const Stamp& stamp, bool discont) {
  if (first_of_producer_) {
    if (!discont) bad("no DISCONT on the first frame", stamp.number);
    return;
  }
  if (stamp.number <= last_) bad("order", stamp.number);
  const std::uint64_t gap = stamp.number - last_ - 1;
  if (gap == 0) return;
  if (options_.lossless) bad("frames missing before", stamp.number);
  if (!discont) bad("no DISCONT after a gap", stamp.number);
  missed_ += gap;
  std::printf("gap %" PRIu64 " %" PRIu64 "\n", last_, stamp.number);
}

// What was captured before the pipeline began has time 0.
void FrameCheck::check_time(const Stamp& stamp, std::int64_t absolute_pts_ns) {
  const auto base_ns = static_cast<std::int64_t>(gst_element_get_base_time(element_));
  const std::int64_t expected_ns = std::max(stamp.captured_ns, base_ns);
  if (std::llabs(absolute_pts_ns - expected_ns) >= kMillisecond) {
    std::printf("captured %" PRId64 ", stamped %" PRId64 "\n", stamp.captured_ns,
                absolute_pts_ns);
    bad("time stamp", stamp.number);
  }
}

void FrameCheck::report(const Stamp& stamp, GstBuffer* buffer,
                        std::int64_t absolute_pts_ns) {
  if (!first_of_producer_ && (options_.report == 0 || frames_ % options_.report != 0)) {
    return;
  }
  std::printf("frame %" PRIu64 " from %" PRIu32 " pts %" PRIu64 " lag %" PRId64 "\n",
              stamp.number, stamp.producer, GST_BUFFER_PTS(buffer),
              monotonic_ns() - absolute_pts_ns);
}

// --- a frame in the hands of the application ------------------------------------------

void FrameCheck::keep_next() {
  const std::scoped_lock guard(lock_);
  keep_ = true;
}

void FrameCheck::keep_if_wanted(const Stamp& stamp, GstBuffer* buffer) {
  if (!std::exchange(keep_, false)) return;
  gst_buffer_replace(&kept_, buffer);
  kept_info_ = info_;
  kept_number_ = stamp.number;
  std::printf("kept %" PRIu64 "\n", stamp.number);
}

void FrameCheck::verify_kept() {
  const std::scoped_lock guard(lock_);
  GstVideoFrame frame;
  if (kept_ == nullptr ||
      !gst_video_frame_map(&frame, &kept_info_, kept_, GST_MAP_READ)) {
    bad("no kept frame", kept_number_);
  }
  const std::optional<Stamp> found = read_stamped(&frame);
  gst_video_frame_unmap(&frame);
  if (!found || found->number != kept_number_) bad("kept picture", kept_number_);
  std::printf("kept %" PRIu64 " whole\n", kept_number_);
}

void FrameCheck::release_kept() {
  const std::scoped_lock guard(lock_);
  gst_clear_buffer(&kept_);
  std::printf("released\n");
}

void FrameCheck::print_totals() {
  const std::scoped_lock guard(lock_);
  std::printf("total %" PRIu64 " frames, %" PRIu64 " missed, last %" PRIu64 "\n", frames_,
              missed_, last_);
}

}  // namespace support
