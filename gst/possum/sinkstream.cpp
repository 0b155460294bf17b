// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header. The writer's answers become flow returns, messages, signals and numbers
// here. What a frame is lies in frameinfo, how it gets into a slot in framesender.
#include "sinkstream.h"

#include <cstring>
#include <string>
#include <utility>

#include "base/caps_text.h"
#include "base/clock.h"
#include "caps.h"
#include "element.h"

GST_DEBUG_CATEGORY_EXTERN(gst_possum_sink_debug);
#define GST_CAT_DEFAULT gst_possum_sink_debug

namespace possum {

using transport::WriteStatus;

// --- life ----------------------------------------------------------------------------

std::shared_ptr<SinkStream> SinkStream::open(GstBaseSink* element,
                                             const SinkSettings& settings, Error& error) {
  std::optional<transport::WriterOptions> options = settings.writer_options(error);
  if (!options) return nullptr;
  const std::shared_ptr<SinkStream> stream(new SinkStream(element, settings));
  stream->writer_ =
      transport::Writer::create(*std::move(options), events_of(stream), error);
  if (!stream->writer_) return nullptr;
  stream->sender_.emplace(*stream->writer_);
  return stream;
}

SinkStream::SinkStream(GstBaseSink* element, const SinkSettings& settings)
    : base_(element), weak_(element), min_readers_(settings.min_readers) {}

bool SinkStream::claim() {
  Error error;
  const WriteStatus status = writer_->open(error);
  if (status == WriteStatus::failed) post(error);
  claimed_ = status == WriteStatus::ok;
  return claimed_;
}

void SinkStream::close() {
  if (!std::exchange(claimed_, false)) return;
  sender_->abandon();
  negotiated_ = false;
  end_delay();
  const bool had_readers = readers() > 0;
  writer_->close();
  GST_INFO_OBJECT(base_, "the channel is closed, after %" G_GUINT64_FORMAT " frames",
                  static_cast<guint64>(writer_->statistics().frames));
  if (had_readers) notify_readers();
}

void SinkStream::interrupt(bool on) {
  const MutexLock lock(lock_);
  if (!on && interrupts_ == 0) return;  // of a flush that began before this stream
  on ? ++interrupts_ : --interrupts_;
  writer_->interrupt(interrupts_ > 0);
}

GstStructure* SinkStream::statistics(GstStructure* base) const {
  return sink_stats(base, writer_->statistics(), counters_.values());
}

// --- what the housekeeping thread tells ----------------------------------------------

// A handler may drop the last reference to the element, or run on when the channel has
// been closed and the element has another stream.
transport::WriterEvents SinkStream::events_of(const std::shared_ptr<SinkStream>& stream) {
  const std::weak_ptr<SinkStream> weak = stream;
  const auto with_element = [weak](auto handler) {
    return [weak, handler](auto... what) {
      const std::shared_ptr<SinkStream> self = weak.lock();
      if (!self) return;
      const Ref<GstObject> held = self->weak_.get();
      if (held) handler(*self, what...);
    };
  };
  transport::WriterEvents events;
  events.claimed = with_element([](SinkStream& self, bool took_over, bool anew) {
    GST_INFO_OBJECT(self.base_, "the channel is %s%s", anew ? "made anew" : "made",
                    took_over ? ", over what a dead writer left" : "");
  });
  events.pool_changed =
      with_element([](SinkStream& self, unsigned slots, std::size_t bytes) {
        GST_INFO_OBJECT(self.base_, "the pool has %u slots, %" G_GSIZE_FORMAT " KiB",
                        slots, bytes / 1024);
      });
  events.reader_attached =
      with_element([](SinkStream& self, auto... what) { self.tell_attached(what...); });
  events.reader_detached =
      with_element([](SinkStream& self, auto... what) { self.tell_detached(what...); });
  events.reader_demoted =
      with_element([](SinkStream& self, auto... what) { self.tell_demoted(what...); });
  events.pool_limited =
      with_element([](SinkStream& self, unsigned slots, const Error& error) {
        GST_INFO_OBJECT(self.base_, "the pool stays at %u slots", slots);
        post_warning(self.element(), Side::sink, error);
      });
  events.lost = with_element([](SinkStream& self, const Error& error) {
    GST_INFO_OBJECT(self.base_, "the channel is lost");
    self.post(error);
  });
  return events;
}

void SinkStream::tell_attached(unsigned index, std::uint32_t pid) {
  GST_INFO_OBJECT(base_, "reader %u attached, pid %u", index, pid);
  g_signal_emit_by_name(base_, "reader-attached", index, pid);
  notify_readers();
}

void SinkStream::tell_detached(unsigned index, const char* reason) {
  GST_INFO_OBJECT(base_, "reader %u detached: %s", index, reason);
  g_signal_emit_by_name(base_, "reader-detached", index, reason);
  notify_readers();
}

void SinkStream::tell_demoted(unsigned index, std::uint32_t pid) {
  GST_INFO_OBJECT(base_, "reader %u is demoted", index);
  GST_ELEMENT_WARNING(base_, RESOURCE, BUSY,
                      ("Reader %u (pid %u) held this sink up for longer than "
                       "max-blocking-time: frames are dropped for it from now on.",
                       index, pid),
                      (nullptr));
}

// --- errors --------------------------------------------------------------------------

// The first error of a run says why; what follows from it is not told.
void SinkStream::post(const Error& error) {
  if (is_first_error()) post_error(element(), Side::sink, error);
}

// The transport knows bytes; the user knows formats.
void SinkStream::post_failure(Error error) {
  const GstVideoInfo& info = sender_->info();
  if (error.code == ErrorCode::no_space && error.needed_bytes != 0) {
    constexpr std::uint64_t kMib = 1024 * 1024;
    error.message = "/dev/shm is too small: needs at least " +
                    std::to_string((error.needed_bytes + kMib - 1) / kMib) +
                    " MiB (3 slots of " + std::to_string(info.width) + "x" +
                    std::to_string(info.height) + " " + info.finfo->name + "), " +
                    std::to_string(error.free_bytes / kMib) +
                    " MiB free: use a smaller format or enlarge /dev/shm "
                    "(docker run --shm-size=512m)";
  }
  post(error);
}

// GStreamer refuses caps for two reasons. The event comes again with each frame.
void SinkStream::post_impossible(GstCaps* caps) {
  if (!is_first_error()) return;
  const gchar* const mode =
      gst_structure_get_string(gst_caps_get_structure(caps, 0), "interlace-mode");
  const bool one_field = g_strcmp0(mode, "alternate") == 0 &&
                         !gst_caps_features_contains(gst_caps_get_features(caps, 0),
                                                     GST_CAPS_FEATURE_FORMAT_INTERLACED);
  GST_ELEMENT_ERROR(
      base_, STREAM, FORMAT,
      ("%s", one_field ? "Buffers of one field each have caps of their own: "
                         "write video/x-raw(format:Interlaced) where "
                         "interlace-mode is alternate, before possumsink."
                       : "No frame can have these caps: use a smaller size "
                         "or another format before possumsink."),
      ("%" GST_PTR_FORMAT, static_cast<void*>(caps)));
}

GstFlowReturn SinkStream::post_no_caps() {
  if (is_first_error()) {
    GST_ELEMENT_ERROR(base_, CORE, NEGOTIATION,
                      ("Frames without caps: set caps on the source or put a capsfilter "
                       "before possumsink, rawvideoparse where bytes come from a file."),
                      (nullptr));
  }
  return GST_FLOW_NOT_NEGOTIATED;
}

// --- caps ----------------------------------------------------------------------------

bool SinkStream::set_caps(GstCaps* caps) {
  negotiated_ = false;
  GstVideoInfo info;
  if (!gst_video_info_from_caps(&info, caps)) {
    post_impossible(caps);
    return false;
  }
  const Ref<gchar> text{gst_caps_to_string(caps)};
  const gsize bytes = std::strlen(text.get());
  if (bytes > kMaxCapsText) {
    if (is_first_error()) {
      GST_ELEMENT_ERROR(base_, STREAM, FORMAT,
                        ("The caps are too long: %" G_GSIZE_FORMAT
                         " bytes as text, a channel carries %" G_GSIZE_FORMAT
                         ". Leave fields out, with capssetter before possumsink.",
                         bytes, kMaxCapsText),
                        (nullptr));
    }
    return false;
  }
  sender_->set_format(text.get(), info);
  unreadable_told_ = false;
  negotiated_ = true;
  return true;
}

// GStreamer asks the pad before it hands the event on.
void SinkStream::refuse_caps(GstCaps* caps) {
  negotiated_ = false;
  if (!is_first_error()) return;
  GstPad* const pad = GST_BASE_SINK_PAD(base_);
  const Ref<GstCaps> taken{gst_pad_get_pad_template_caps(pad)};
  const std::string text = explain_refusal(
      caps, taken.get(), pad,
      {"before possumsink", "upstream", "upstream sends", "possumsink takes"});
  GST_ELEMENT_ERROR(base_, STREAM, FORMAT, ("%s.", text.c_str()),
                    ("%" GST_PTR_FORMAT, static_cast<void*>(caps)));
}

// --- times ---------------------------------------------------------------------------

// A live source is its own clock: without times GstBaseSink does not wait.
void SinkStream::get_times(GstBuffer* buffer, GstClockTime* start, GstClockTime* end) {
  upstream_.refresh(GST_BASE_SINK_PAD(base_));
  *start = GST_CLOCK_TIME_NONE;
  *end = GST_CLOCK_TIME_NONE;
  if (upstream_.live()) return;
  *start =
      GST_BUFFER_PTS_IS_VALID(buffer) ? GST_BUFFER_PTS(buffer) : GST_BUFFER_DTS(buffer);
  if (GST_CLOCK_TIME_IS_VALID(*start) && GST_BUFFER_DURATION_IS_VALID(buffer)) {
    *end = *start + GST_BUFFER_DURATION(buffer);
  }
}

// Does running time pass? From the moment that the base time was set and the element was
// told to go to PLAYING, which it reaches with the end of the preroll.
bool SinkStream::clock_runs() const {
  const ObjectLock lock(base_);
  return GST_STATE_TARGET(base_) == GST_STATE_PLAYING;
}

// What to add to a frame's running time to get the moment that it is due, in
// CLOCK_MONOTONIC. That of a live source is the capture, of another one when this sink
// shows it, as any other sink of the pipeline would. Nothing if nobody paces the frames:
// they come at no moment in particular.
std::optional<std::int64_t> SinkStream::due_origin() const {
  const bool live = upstream_.live();
  if (!live && !gst_base_sink_get_sync(base_)) return std::nullopt;
  const auto origin = running_time_origin(element());
  if (!origin || live) return origin;
  // GstBaseSink is early by render-delay.
  return *origin + gst_base_sink_get_ts_offset(base_) +
         static_cast<std::int64_t>(gst_base_sink_get_latency(base_)) -
         static_cast<std::int64_t>(gst_base_sink_get_render_delay(base_));
}

// The sink has waited for readers until `until_ns`, with this frame, and perhaps the
// clock ran on. Then the film goes on with it, and all that follows is due later by as
// much.
void SinkStream::delay_film(GstBuffer* buffer, std::int64_t until_ns) {
  FrameDescriptor frame{};
  describe_times(base_->segment, buffer, due_origin(), frame);
  if (frame.pts_ns == kNoTime) return;  // it has no moment to miss
  const std::int64_t late_ns = until_ns - frame.pts_ns;
  if (late_ns <= 0) return;
  GST_INFO_OBJECT(base_, "waiting for readers delays what follows by %" GST_TIME_FORMAT,
                  GST_TIME_ARGS(static_cast<GstClockTime>(late_ns)));
  delay_ns_ += late_ns;
  gst_base_sink_set_ts_offset(base_, gst_base_sink_get_ts_offset(base_) + late_ns);
}

// Running time begins anew.
void SinkStream::end_delay() {
  const std::int64_t delay_ns = std::exchange(delay_ns_, 0);
  if (delay_ns == 0) return;
  gst_base_sink_set_ts_offset(base_, gst_base_sink_get_ts_offset(base_) - delay_ns);
}

// --- waiting for readers -------------------------------------------------------------

// For sources that wait for readers: until there are enough. A wait leaves in
// held_until_ns_ when it ended.
WriteStatus SinkStream::await_readers() {
  if (readers() >= min_readers_) return WriteStatus::ok;
  GST_INFO_OBJECT(base_, "waiting for readers: %u of %u", readers(), min_readers_.load());
  Error error;
  const WriteStatus status = writer_->wait_readers(min_readers_, error);
  if (status == WriteStatus::failed) post(error);
  if (status == WriteStatus::ok) held_until_ns_ = monotonic_ns();
  return status;
}

// Nothing in the pipeline plays before its sinks have prerolled: held up here, the whole
// film, its sound too, begins when the viewers are there. Only at the beginning: a film
// that has begun can be paused without them. Interrupted, the wait goes on in render().
GstFlowReturn SinkStream::hold_beginning() {
  if (begun_ || min_readers_ == 0 || upstream_.live() || !gst_base_sink_get_sync(base_)) {
    return GST_FLOW_OK;
  }
  return await_readers() == WriteStatus::failed ? GST_FLOW_ERROR : GST_FLOW_OK;
}

GstFlowReturn SinkStream::wait_in_render(GstBuffer* buffer) {
  WriteStatus status = WriteStatus::ok;
  GstFlowReturn flow = GST_FLOW_OK;
  while (flow == GST_FLOW_OK && (status = await_readers()) == WriteStatus::interrupted) {
    flow = gst_base_sink_wait_preroll(base_);
  }
  // The clock may have run during the preroll too: another part of the pipeline is live.
  const std::int64_t until_ns = std::exchange(held_until_ns_, 0);
  if (flow != GST_FLOW_OK) return flow;
  if (status != WriteStatus::ok) return GST_FLOW_ERROR;
  if (until_ns != 0) delay_film(buffer, until_ns);
  return GST_FLOW_OK;
}

// GstBaseSink holds its preroll lock, as in render().
bool SinkStream::drain() {
  // What ended in our own error is not complete: readers wait for the next writer.
  if (told_) return true;
  GST_INFO_OBJECT(base_, "EOS");
  writer_->set_eos();
  Error error;
  WriteStatus status = WriteStatus::ok;
  while ((status = writer_->drain(error)) == WriteStatus::interrupted) {
    if (gst_base_sink_wait_preroll(base_) != GST_FLOW_OK) return false;
  }
  if (status == WriteStatus::ok) return true;
  post(error);
  return false;
}

void SinkStream::begin_flush() { writer_->flush(); }

void SinkStream::end_flush(bool reset_time) {
  if (reset_time) end_delay();
  sender_->abandon();
  ++flush_id_;
}

// --- frames --------------------------------------------------------------------------

void SinkStream::describe(GstBuffer* buffer, bool preroll, FrameDescriptor& frame) {
  frame.flush_id = flush_id_;
  upstream_.refresh(GST_BASE_SINK_PAD(base_));
  const bool live = upstream_.live();
  if (live) frame.latency_ns = static_cast<std::int64_t>(upstream_.min());
  describe_attributes(buffer, frame);
  std::optional<std::int64_t> origin;
  if (preroll && !live) {
    // The base time comes with PLAYING, and another one after each pause.
    frame.frame_flags |= transport::layout::kFramePreroll;
  } else {
    // A live source makes frames in PLAYING only, so even its first one has a time.
    origin = due_origin();
  }
  describe_times(base_->segment, buffer, origin, frame);
  // A live source that runs ahead of the clock: nobody has waited for that moment, and a
  // reader's sink would, with each frame.
  if (live && frame.pts_ns > monotonic_ns()) {
    frame.pts_ns = kNoTime;
    frame.dts_ns = kNoTime;
  }
}

SendStatus SinkStream::send(GstBuffer* buffer, bool preroll, Error& error) {
  FrameDescriptor frame{};
  if (!sender_->began(number_)) {
    describe(buffer, preroll, frame);
    // Readers cannot know: a frame that is not sent has no sequence number.
    if (left_out_) frame.buffer_flags |= GST_BUFFER_FLAG_DISCONT;
  }
  const SendStatus status = sender_->send(buffer, number_, frame, error);
  if (status != SendStatus::interrupted) left_out_ = status != SendStatus::sent;
  if (status == SendStatus::sent) {
    count_metas(buffer);
    log_sent(buffer);
  }
  return status;
}

void SinkStream::count_metas(GstBuffer* buffer) {
  for (const GType api : metas_not_carried(buffer)) {
    if (counters_.count_meta(g_type_name(api))) {
      GST_WARNING_OBJECT(base_, "%s does not cross the channel", g_type_name(api));
    }
  }
}

void SinkStream::log_sent(GstBuffer* buffer) {
  const char* const why = sender_->why_copied();
  if (why == nullptr) {
    GST_LOG_OBJECT(base_, "published where it lies: %" GST_PTR_FORMAT,
                   static_cast<void*>(buffer));
    return;
  }
  if (said_.is_news(why)) {
    GST_INFO_OBJECT(base_, "a frame is copied, more may follow: %s", why);
  }
  GST_DEBUG_OBJECT(base_, "copied: %s: %" GST_PTR_FORMAT, why,
                   static_cast<void*>(buffer));
}

void SinkStream::log_dropped(GstBuffer* buffer, const char* why) {
  if (said_.is_news(why)) {
    GST_INFO_OBJECT(base_, "a frame is dropped, more may follow: %s", why);
  }
  GST_DEBUG_OBJECT(base_, "dropped: %s: %" GST_PTR_FORMAT, why,
                   static_cast<void*>(buffer));
}

void SinkStream::drop_unreadable(GstBuffer* buffer) {
  counters_.count_dropped();
  log_dropped(buffer, "it is smaller than its caps say, or cannot be read");
  if (std::exchange(unreadable_told_, true)) return;
  GST_ELEMENT_WARNING(base_, STREAM, FORMAT,
                      ("A frame of %" G_GSIZE_FORMAT
                       " bytes is smaller than its caps say (%" G_GSIZE_FORMAT
                       " bytes), or its memory cannot be read: it is left out. Look at "
                       "the element before possumsink.",
                       gst_buffer_get_size(buffer), sender_->info().size),
                      (nullptr));
}

GstFlowReturn SinkStream::flow_of(SendStatus status, GstBuffer* buffer,
                                  const Error& error) {
  switch (status) {
    case SendStatus::no_slot:
      counters_.count_dropped();
      log_dropped(buffer, "readers hold every slot");
      return GST_FLOW_OK;
    case SendStatus::unreadable:
      drop_unreadable(buffer);
      return GST_FLOW_OK;
    case SendStatus::failed:
      post_failure(error);
      return GST_FLOW_ERROR;
    case SendStatus::sent:
    case SendStatus::interrupted:
      break;
  }
  return GST_FLOW_OK;
}

// Interrupted: unless GstBaseSink drops the frame, render() goes on with it.
GstFlowReturn SinkStream::preroll(GstBuffer* buffer) {
  if (!negotiated_) return post_no_caps();
  if (prerolled_ == number_) return GST_FLOW_OK;
  upstream_.refresh(GST_BASE_SINK_PAD(base_));
  // With the clock running already (async=false, or another part of the pipeline is live)
  // a frame that has its moment waits for it, and render() follows.
  if (!upstream_.live() && clock_runs()) return GST_FLOW_OK;
  Error error;
  const SendStatus status = send(buffer, true, error);
  if (status == SendStatus::sent) prerolled_ = number_;
  // Anything else is tried again, and counted, by render().
  return status == SendStatus::failed ? flow_of(status, buffer, error) : hold_beginning();
}

GstFlowReturn SinkStream::render(GstBuffer* buffer) {
  if (!negotiated_) return post_no_caps();
  begun_ = true;
  const bool shown = prerolled_ == number_;
  if (min_readers_ > 0 && !sender_->began(number_)) {
    if (!upstream_.live()) {
      const GstFlowReturn flow = wait_in_render(buffer);
      if (flow != GST_FLOW_OK) return flow;
    } else if (!shown && readers() < min_readers_) {
      left_out_ = true;
      counters_.count_discarded();
      log_dropped(buffer, "fewer readers than min-readers");
      return GST_FLOW_OK;
    }
  }
  if (shown) return GST_FLOW_OK;
  Error error;
  SendStatus status = SendStatus::sent;
  while ((status = send(buffer, false, error)) == SendStatus::interrupted) {
    const GstFlowReturn flow = gst_base_sink_wait_preroll(base_);
    if (flow != GST_FLOW_OK) return flow;
  }
  return flow_of(status, buffer, error);
}

}  // namespace possum
