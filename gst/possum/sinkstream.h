// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What possumsink does between READY and PAUSED and back: claims its channel, takes what
// GstBaseSink hands it, brings frames onto the channel, and tells the application what
// happens to its readers. Properties and GObject are not its business.
#pragma once

#include <gst/base/gstbasesink.h>
#include <gst/video/video.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "base/error.h"
#include "base/mutex.h"
#include "element.h"
#include "framesender.h"
#include "refs.h"
#include "sinksettings.h"
#include "stats.h"
#include "times.h"
#include "transport/writer.h"

namespace possum {

class SinkStream {
 public:
  // NULL and an Error if a property makes no sense. Touches no channel. `element` (not
  // owned) outlives the stream, but for what the stream's housekeeping thread may still
  // be busy with. It has the signals "reader-attached" and "reader-detached".
  static std::shared_ptr<SinkStream> open(GstBaseSink* element,
                                          const SinkSettings& settings, Error& error);

  // The thread that changes the element's state:

  // Claims the channel; waits for its name, see Writer::open(), until give_up(). False: a
  // message has said why, or it was given up.
  bool claim();
  // Leaves the channel, if it has one, after the streaming thread has ended.
  void close();

  // The streaming thread's. Those that wait, for readers, end by interrupt() and post
  // whatever goes wrong:

  bool set_caps(GstCaps* caps);
  // When a frame is due; NONE where nobody is to wait for it.
  void get_times(GstBuffer* buffer, GstClockTime* start, GstClockTime* end);
  // A buffer has come to the pad. GstBaseSink may drop it between preroll() and render(),
  // so neither can tell by the buffer whether it has seen the frame before.
  void count_buffer() { ++number_; }
  GstFlowReturn preroll(GstBuffer* buffer);
  GstFlowReturn render(GstBuffer* buffer);
  // EOS: returns when blocking readers have taken the last frame. False: not all have.
  bool drain();
  // Withdraws what no reader has taken yet.
  void begin_flush();
  void end_flush(bool reset_time);

  // From any thread:

  // Ends every wait; counted, as a flush and a state change may want it at once.
  void interrupt(bool on);
  // Ends claim(), for good.
  void give_up() { writer_->interrupt(true); }
  // Of other settings than those at open(): min_readers. The others are not looked at.
  void follow(const SinkSettings& settings) { min_readers_ = settings.min_readers; }
  // What upstream says of its latency may have changed.
  void forget_upstream() { upstream_.forget(); }
  // Upstream sends caps that are not in the pad's template.
  void refuse_caps(GstCaps* caps);
  // For the pool that upstream gets.
  const std::shared_ptr<transport::Writer>& writer() const { return writer_; }
  unsigned readers() const { return writer_->active_readers(); }
  // `base`: transfer full, from gst_base_sink_get_stats(). transfer full
  GstStructure* statistics(GstStructure* base) const;

 private:
  SinkStream(GstBaseSink* element, const SinkSettings& settings);

  GstElement* element() const { return GST_ELEMENT_CAST(base_); }
  static transport::WriterEvents events_of(const std::shared_ptr<SinkStream>& stream);
  void tell_attached(unsigned index, std::uint32_t pid);
  void tell_detached(unsigned index, const char* reason);
  void tell_demoted(unsigned index, std::uint32_t pid);
  void notify_readers() { g_object_notify(G_OBJECT(base_), "num-readers"); }

  bool is_first_error() { return !told_.exchange(true); }
  void post(const Error& error);
  void post_failure(Error error);
  void post_impossible(GstCaps* caps);
  GstFlowReturn post_no_caps();

  transport::WriteStatus await_readers();
  GstFlowReturn hold_beginning();
  GstFlowReturn wait_in_render(GstBuffer* buffer);
  void delay_film(GstBuffer* buffer, std::int64_t until_ns);
  void end_delay();

  bool clock_runs() const;
  std::optional<std::int64_t> due_origin() const;
  void describe(GstBuffer* buffer, bool preroll, FrameDescriptor& frame);
  SendStatus send(GstBuffer* buffer, bool preroll, Error& error);
  void count_metas(GstBuffer* buffer);
  void log_sent(GstBuffer* buffer);
  void log_dropped(GstBuffer* buffer, const char* why);
  void drop_unreadable(GstBuffer* buffer);
  GstFlowReturn flow_of(SendStatus status, GstBuffer* buffer, const Error& error);

  // Constant after open().
  GstBaseSink* const base_;
  WeakRef<GstBaseSink> weak_;  // for the housekeeping thread
  std::shared_ptr<transport::Writer> writer_;
  std::optional<FrameSender> sender_;  // streaming thread only

  bool claimed_ = false;  // and not closed; the thread that changes the state only

  // Streaming thread only.
  std::uint64_t number_ = 0;        // of the frame that it deals with
  std::uint64_t prerolled_ = 0;     // of the one that is published, not yet rendered
  bool left_out_ = false;           // a frame, since the last one that was sent
  bool begun_ = false;              // the film is on its way
  std::int64_t held_until_ns_ = 0;  // the beginning of the film; 0: it was not
  std::int64_t delay_ns_ = 0;       // of the film: contained in ts-offset
  std::uint32_t flush_id_ = 0;
  bool unreadable_told_ = false;  // once for each caps
  Reasons said_;                  // in the log: why frames were copied or dropped

  // Any thread.
  std::atomic<unsigned> min_readers_;
  std::atomic<bool> told_{false};        // the first error is on the bus
  std::atomic<bool> negotiated_{false};  // the frames that come have the sender's format
  SinkCounters counters_;
  UpstreamLatency upstream_;  // forget() from any thread

  Mutex lock_;  // held for no call but Writer::interrupt()
  unsigned interrupts_ POSSUM_GUARDED_BY(lock_) = 0;  // who wants nobody to wait
};

}  // namespace possum
