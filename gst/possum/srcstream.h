// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What possumsrc does between READY and PAUSED and back: waits for its channel, takes
// frames and makes GstBuffers of them, in the element's streaming thread. Properties and
// GObject are not its business.
#pragma once

#include <gst/base/gstbasesrc.h>
#include <gst/video/video.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/mutex.h"
#include "caps.h"
#include "element.h"
#include "frameinfo.h"
#include "refs.h"
#include "srcsettings.h"
#include "stats.h"
#include "times.h"
#include "transport/reader.h"

namespace possum {

class SrcStream {
 public:
  // NULL and an Error if a property makes no sense. Touches no channel. `element` (not
  // owned) outlives the stream.
  static std::shared_ptr<SrcStream> open(GstBaseSrc* element, const SrcSettings& settings,
                                         Error& error);

  // The streaming thread's:

  // The next frame, with its caps already pushed. Posts whatever goes wrong.
  GstFlowReturn create(GstBuffer** buffer);
  // Before the first frame is waited for, and when downstream may have changed its mind
  // about the caps: sends those that are known, and asks it again with the next frame.
  void negotiate();
  // Reads what downstream answered to an ALLOCATION query.
  void allocation_answered(GstQuery* query);

  // From any thread:

  // Ends create(), until resume().
  void interrupt();
  void resume();
  // Leaves the channel: nothing more is taken from it.
  void leave() { reader_->detach(); }
  // The same, after the streaming thread has ended.
  void close();
  // Of other settings than those at open(): max_buffers from the next frame on,
  // copy_frames from the next one that is taken, connection_timeout from the next wait.
  // The others are not looked at. One thread at a time.
  void follow(const SrcSettings& settings);
  // Returns when what is known before the first frame has reached downstream, or after a
  // moment: downstream may be blocked.
  void await_announcement();
  // The element goes from PAUSED to PLAYING.
  void playing() { catch_up_.store(true); }
  // Of the newest frame; NULL before the first.
  Ref<GstCaps> caps() const;
  LatencyEstimate::Range latency() const { return latency_.range(); }
  // The pipeline has settled on this latency: a sink keeps each frame for so long.
  void configured(GstClockTime latency) { configured_.store(latency); }
  // Transfer full.
  GstStructure* statistics() const;

 private:
  SrcStream(GstBaseSrc* element, const SrcSettings& settings,
            std::unique_ptr<transport::Reader> reader);

  GstElement* element() const { return GST_ELEMENT_CAST(base_); }
  bool may_drop() const { return settings_.leaky != Leaky::none; }

  GstFlowReturn next_frame(transport::Frame& frame);
  GstFlowReturn connect();
  void waiting(const Error& why);
  GstFlowReturn connect_failed(transport::AttachStatus status, const Error& error);
  GstFlowReturn disconnected();
  GstFlowReturn await_playing(transport::Frame& frame);
  void post_progress(GstProgressType type, const std::string& text);

  GstFlowReturn deliver(transport::Frame&& frame, GstBuffer** buffer);
  void announce_caps();
  void set_announced();
  GstFlowReturn follow_caps(const transport::Frame& frame);
  GstFlowReturn not_for_us(const ChannelCaps& read, const std::string& text);
  GstFlowReturn push_caps(Ref<GstCaps> caps);
  bool downstream_takes(GstCaps* caps) const;
  void post_refused(GstCaps* caps) const;
  bool downstream_knows_strides();
  Ref<GstBuffer> make_buffer(transport::Frame&& frame, FrameFit fit);
  void log_copied(const char* why);

  void note_frame(const transport::Frame& frame);
  std::int64_t arrival_ns(std::int64_t published_ns, std::int64_t now_ns);
  void doubt_times(FrameDescriptor& frame, bool strange_clock, std::int64_t now_ns);
  void measure(const FrameDescriptor& frame, std::uint64_t missed, std::int64_t now_ns);
  void warn_of_small_buffer(std::uint64_t missed);
  bool stamps_arrival() const;
  void stamp(GstBuffer* buffer, const FrameDescriptor& frame);
  void stamp_clock_time(GstBuffer* buffer, const FrameDescriptor& frame);
  void stamp_running_time(GstBuffer* buffer, const FrameDescriptor& frame);
  GstClockTime own_running_time() const;
  GstFlowReturn corrupt(const std::string& what, const std::string& detail) const;

  // Constant after construction.
  GstBaseSrc* const base_;
  const SrcSettings settings_;  // but for what follow() changes, which is below
  const std::unique_ptr<transport::Reader> reader_;  // used by the streaming thread
                                                     // alone: take() and attach()

  // Streaming thread only.
  std::shared_ptr<const std::string> caps_text_;  // that info_ was made from
  GstVideoInfo info_;
  std::optional<bool> knows_strides_;  // downstream's answer, for the current caps
  RunningTimeline timeline_;
  std::uint64_t incarnation_ = 0;  // of the writer that was attached to last
  bool new_writer_ = false;        // no frame of it has come yet
  std::uint64_t taken_ = 0;        // frames since the attachment
  std::uint32_t flush_id_ = 0;     // of the newest frame
  bool doubted_ = false;           // this writer's times, and that was told
  std::optional<std::int64_t> clocks_apart_ns_;  // this writer's and ours, at most
  bool waited_ = false;                          // connect() had to, and that was told
  bool discont_ = true;              // the next frame follows none that went before
  std::int64_t asked_ns_ = 0;        // when create() was called
  bool caught_up_ = false;           // frames that waited were let go of
  GstClockTime warned_latency_ = 0;  // that is too much for max-buffers
  Reasons said_;                     // in the log: why frames were copied

  // Any thread.
  std::atomic<unsigned> max_buffers_;
  std::atomic<GstClockTime> connection_timeout_;
  std::atomic<bool> copy_frames_;
  LatencyEstimate latency_;
  std::atomic<GstClockTime> configured_{0};
  std::atomic<bool> catch_up_{false};  // what waits is older than it should be
  std::atomic<bool> flushed_{false};
  SrcCounters counters_;

  mutable Mutex lock_;  // no call into GStreamer with it but to ref and unref caps
  Ref<GstCaps> caps_ POSSUM_GUARDED_BY(lock_);
  bool interrupted_ POSSUM_GUARDED_BY(lock_) = false;
  bool announced_ POSSUM_GUARDED_BY(lock_) = false;  // the first negotiation is over
  Condition announcement_;
};

}  // namespace possum
