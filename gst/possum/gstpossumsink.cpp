// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The element: its states, what GstBaseSink asks of it, and how the writer's answers
// become flow returns, messages, signals and numbers. What a frame is lies in frameinfo,
// how it gets into a slot in framesender.

/**
 * SECTION:element-possumsink
 * @title: possumsink
 * @see_also: possumsrc
 *
 * Shows raw video to any number of other processes on this machine, through POSIX shared
 * memory. Readers find it by the name of its #GstPossumSink:channel; they may come and
 * go, and either side may be started first. Upstream elements that accept the offered
 * buffer pool draw straight into shared memory; frames that lie elsewhere are copied
 * once.
 *
 * A live source is never held up. Other sources are paced by the clock, or run as fast as
 * they can with `sync=false`: nobody waits for the moment of such a frame, so that to
 * readers with the clock's time stamps it is the moment of its publication. Readers only
 * hold this element up if #GstPossumSink:allow-blocking says so.
 *
 * With `min-readers` a source that is not live waits for its readers. A paced one, before
 * its first frame, keeps the pipeline from reaching PAUSED, so that everything in it
 * begins together when they are there. Where the clock runs already (the readers left
 * during the film, another source of the pipeline is live, or async=false), the film goes
 * on from where it stood: nothing is late and nothing is hurried, and ts-offset grows by
 * the time waited, until a flush or the end. What else the pipeline plays then is ahead
 * by as much.
 *
 * Whoever may write to the shared memory may also truncate it, and the next touch ends
 * this process with SIGBUS, unless #GstPossumSink:sigbus-guard is set on one of its
 * elements. A handler that the application installs after that replaces the guard, unless
 * it passes on what it does not know.
 *
 * Signals, and warnings about readers and the pool, come from a thread of the element's
 * own, see #GstPossumSink::reader-attached. An error that ends the stream may come from
 * the streaming thread: as with every element, a handler that runs in it (a bus sync
 * handler) cannot change the element's state.
 *
 * The element can be made from a URI, `possum://CHANNEL?PROPERTY=VALUE&...`, whose
 * parameters are the properties below but #GstPossumSink:channel. Setting one while the
 * element is in NULL or READY says everything: what it does not name goes back to its
 * default. Bytes that mean something in a URI are written as %XX.
 *
 * ## Example launch lines
 * In one terminal:
 * |[
 * gst-launch-1.0 videotestsrc is-live=true ! possumsink
 * ]|
 * In another:
 * |[
 * gst-launch-1.0 possumsrc ! videoconvert ! autovideosink
 * ]|
 * Every frame, as fast as both sides can:
 * |[
 * gst-launch-1.0 videotestsrc num-buffers=100 ! \
 *     possumsink sync=false allow-blocking=true min-readers=1
 * ]|
 * |[
 * gst-launch-1.0 possumsrc leaky-type=none timestamp-mode=running-time ! \
 *     videoconvert ! jpegenc ! avimux ! filesink location=copy.avi
 * ]|
 *
 * Since: 0.1
 */
#include "gstpossumsink.h"

#include <gst/video/video.h>

#include <atomic>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>

#include "base/caps_text.h"
#include "base/clock.h"
#include "caps.h"
#include "errors.h"
#include "frameinfo.h"
#include "framesender.h"
#include "gstpossumpool.h"
#include "mutability.h"
#include "refs.h"
#include "refusal.h"
#include "sinksettings.h"
#include "sinkstats.h"
#include "transport/writer.h"
#include "upstream.h"
#include "urihandler.h"

GST_DEBUG_CATEGORY_STATIC(gst_possum_sink_debug);
#define GST_CAT_DEFAULT gst_possum_sink_debug

using possum::Error;
using possum::ErrorCode;
using possum::ObjectLock;
using possum::Ref;
using possum::SendStatus;
using possum::SinkSettings;
using possum::transport::Writer;
using possum::transport::WriteStatus;

namespace {

// What upstream gets at least; one buffer to fill while the sink looks at another.
constexpr guint kMinBuffers = 2;

// Lock order: GstBaseSink's stream and preroll locks, then ours; nothing but
// Writer::interrupt() is called with `lock` held, and nothing with the object lock.
struct SinkImpl {
  SinkSettings settings;  // guarded by GST_OBJECT_LOCK

  std::mutex lock;
  std::shared_ptr<Writer> writer;  // guarded by lock; of the last start, open or not
  unsigned interrupts = 0;         // guarded by lock; who wants nobody to wait

  std::atomic<bool> opening{false};
  std::atomic<unsigned> going_down{0};   // threads in set_state(READY or NULL)
  std::atomic<unsigned> min_readers{0};  // as in settings
  std::atomic<bool> told{false};         // this run's error is on the bus
  std::atomic<bool> negotiated{false};   // the frames that come have the sender's format
  possum::SinkCounters counters;         // locks itself
  possum::Upstream upstream;             // forget() from any thread

  // Streaming thread only, or while there is none.
  GstPadChainFunction chain = nullptr;  // constant: GstBaseSink's
  std::uint64_t number = 0;             // of the frame that it deals with
  std::uint64_t prerolled = 0;          // of the one that is published, not yet rendered
  possum::FrameSender sender;
  bool left_out = false;           // a frame, since the last one that was sent
  bool begun = false;              // the film is on its way
  std::int64_t held_until_ns = 0;  // the beginning of the film; 0: it was not
  std::int64_t delay_ns = 0;       // of the film: contained in ts-offset
  guint32 flush_id = 0;
  bool unreadable_told = false;  // once for each caps
};

enum Signal { SIGNAL_READER_ATTACHED, SIGNAL_READER_DETACHED, SIGNALS };
guint signals[SIGNALS];

}  // namespace

struct _GstPossumSink {
  GstBaseSink parent;
  SinkImpl* impl;
};

G_DEFINE_FINAL_TYPE_WITH_CODE(GstPossumSink, gst_possum_sink, GST_TYPE_BASE_SINK,
                              G_IMPLEMENT_INTERFACE(GST_TYPE_URI_HANDLER,
                                                    possum::init_uri_handler))
GST_ELEMENT_REGISTER_DEFINE_WITH_CODE(possumsink, "possumsink", GST_RANK_NONE,
                                      GST_TYPE_POSSUM_SINK,
                                      GST_DEBUG_CATEGORY_INIT(gst_possum_sink_debug,
                                                              "possumsink", 0,
                                                              "possum sink element"))

// Without GObject's checks of a cast, which every frame would pay for many times.
static SinkImpl& impl_of(gpointer self) {
  return *static_cast<GstPossumSink*>(self)->impl;
}

static std::shared_ptr<Writer> writer_of(gpointer self) {
  SinkImpl& impl = impl_of(self);
  const std::scoped_lock guard(impl.lock);
  return impl.writer;
}

// The first error of a run says why; what follows from it is not told.
static void tell_error(GstPossumSink* self, const Error& error) {
  if (impl_of(self).told.exchange(true)) return;
  possum::post_error(GST_ELEMENT(self), possum::Side::sink, error);
}

// --- what the housekeeping thread tells ----------------------------------------------

static void notify_readers(GstPossumSink* self) {
  g_object_notify(G_OBJECT(self), "num-readers");
}

static void warn_demoted(GstPossumSink* self, unsigned index, std::uint32_t pid) {
  GST_ELEMENT_WARNING(self, RESOURCE, BUSY,
                      ("Reader %u (pid %u) held this sink up for longer than "
                       "max-blocking-time: frames are dropped for it from now on.",
                       index, pid),
                      (nullptr));
}

// A handler may drop the last reference to the element, or run on when the channel has
// been closed.
static possum::transport::WriterEvents writer_events(GstPossumSink* self) {
  const auto weak = std::make_shared<possum::WeakRef<GstPossumSink>>(self);
  const auto with_element = [weak](auto tell) {
    return [weak, tell](auto... what) {
      const Ref<GstObject> held = weak->get();
      if (held) tell(GST_POSSUM_SINK(held.get()), what...);
    };
  };
  possum::transport::WriterEvents events;
  events.claimed = with_element([](GstPossumSink* sink, bool took_over, bool anew) {
    GST_INFO_OBJECT(sink, "the channel is %s%s", anew ? "made anew" : "made",
                    took_over ? ", over what a dead writer left" : "");
  });
  events.pool_changed =
      with_element([](GstPossumSink* sink, unsigned slots, std::size_t bytes) {
        GST_INFO_OBJECT(sink, "the pool has %u slots, %" G_GSIZE_FORMAT " KiB", slots,
                        bytes / 1024);
      });
  events.reader_attached =
      with_element([](GstPossumSink* sink, unsigned index, std::uint32_t pid) {
        GST_INFO_OBJECT(sink, "reader %u attached, pid %u", index, pid);
        g_signal_emit(sink, signals[SIGNAL_READER_ATTACHED], 0, index, pid);
        notify_readers(sink);
      });
  events.reader_detached =
      with_element([](GstPossumSink* sink, unsigned index, const char* reason) {
        GST_INFO_OBJECT(sink, "reader %u detached: %s", index, reason);
        g_signal_emit(sink, signals[SIGNAL_READER_DETACHED], 0, index, reason);
        notify_readers(sink);
      });
  events.reader_demoted = with_element(warn_demoted);
  events.pool_limited =
      with_element([](GstPossumSink* sink, unsigned slots, const Error& error) {
        GST_INFO_OBJECT(sink, "the pool stays at %u slots", slots);
        possum::post_warning(GST_ELEMENT(sink), possum::Side::sink, error);
      });
  events.lost = with_element(tell_error);
  return events;
}

// --- states --------------------------------------------------------------------------

static std::shared_ptr<Writer> new_writer(GstPossumSink* self, Error& error) {
  SinkSettings settings;
  {
    const ObjectLock guard(self);
    settings = impl_of(self).settings;
  }
  std::optional<possum::transport::WriterOptions> options =
      settings.writer_options(error);
  if (!options) return nullptr;
  return Writer::create(*std::move(options), writer_events(self), error);
}

// Claims the channel. May wait for it; set_state() below ends that. Each of the two says
// what it does before it looks at the other, so neither misses the other.
static bool open_channel(GstPossumSink* self) {
  SinkImpl& impl = impl_of(self);
  impl.told = false;
  impl.counters.reset();
  impl.upstream.forget();
  impl.left_out = false;
  impl.begun = false;
  impl.held_until_ns = 0;
  Error error;
  std::shared_ptr<Writer> writer = new_writer(self, error);
  if (!writer) {
    tell_error(self, error);
    return false;
  }
  {
    const std::scoped_lock guard(impl.lock);
    impl.writer = writer;
  }
  impl.opening = true;
  if (impl.going_down > 0) writer->interrupt(true);
  const WriteStatus status = writer->open(error);
  impl.opening = false;
  if (status == WriteStatus::failed) tell_error(self, error);
  if (status != WriteStatus::ok) return false;
  impl.sender.start(std::move(writer));
  return true;
}

// Running time begins anew.
static void end_delay(GstPossumSink* self) {
  GstBaseSink* sink = GST_BASE_SINK_CAST(self);
  const std::int64_t delay_ns = std::exchange(impl_of(self).delay_ns, 0);
  if (delay_ns == 0) return;
  gst_base_sink_set_ts_offset(sink, gst_base_sink_get_ts_offset(sink) - delay_ns);
}

// The streaming thread has ended.
static void close_channel(GstPossumSink* self) {
  SinkImpl& impl = impl_of(self);
  impl.sender.stop();
  impl.negotiated = false;
  end_delay(self);
  const auto writer = writer_of(self);
  if (!writer) return;
  const bool had_readers = writer->active_readers() > 0;
  writer->close();
  GST_INFO_OBJECT(self, "the channel is closed, after %" G_GUINT64_FORMAT " frames",
                  static_cast<guint64>(writer->statistics().frames));
  if (had_readers) notify_readers(self);
}

// A flush and a state change may want it at once.
static void interrupt_waits(GstPossumSink* self, bool on) {
  SinkImpl& impl = impl_of(self);
  const std::scoped_lock guard(impl.lock);
  on ? ++impl.interrupts : --impl.interrupts;
  if (impl.writer) impl.writer->interrupt(impl.interrupts > 0);
}

static gboolean gst_possum_sink_unlock(GstBaseSink* sink) {
  interrupt_waits(GST_POSSUM_SINK(sink), true);
  return TRUE;
}

static gboolean gst_possum_sink_unlock_stop(GstBaseSink* sink) {
  interrupt_waits(GST_POSSUM_SINK(sink), false);
  return TRUE;
}

// A streaming thread that GstBaseSink woke for PLAYING may come to run only when it is
// PAUSED again, and then waits in render() with the preroll lock, which the next change
// to PLAYING needs; there, GstBaseSink unlocks nobody.
static GstStateChangeReturn go_playing(GstPossumSink* self) {
  GstBaseSink* sink = GST_BASE_SINK(self);
  interrupt_waits(self, true);
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(gst_possum_sink_parent_class)
          ->change_state(GST_ELEMENT(self), GST_STATE_CHANGE_PAUSED_TO_PLAYING);
  GST_BASE_SINK_PREROLL_LOCK(sink);
  interrupt_waits(self, false);
  GST_BASE_SINK_PREROLL_SIGNAL(sink);  // whoever was interrupted goes on
  GST_BASE_SINK_PREROLL_UNLOCK(sink);
  return result;
}

// GstBaseSink calls start and stop between NULL and READY; the channel is there from
// PAUSED on.
static GstStateChangeReturn gst_possum_sink_change_state(GstElement* element,
                                                         GstStateChange transition) {
  GstPossumSink* self = GST_POSSUM_SINK(element);
  if (transition == GST_STATE_CHANGE_PAUSED_TO_PLAYING) return go_playing(self);
  const bool opens = transition == GST_STATE_CHANGE_READY_TO_PAUSED;
  if (opens && !possum::guarded(self, possum::Side::sink, false,
                                [self] { return open_channel(self); })) {
    return GST_STATE_CHANGE_FAILURE;
  }
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(gst_possum_sink_parent_class)->change_state(element, transition);
  const bool failed = opens && result == GST_STATE_CHANGE_FAILURE;
  // Upstream that runs already, as when this element alone was stopped and started, has
  // the pool of another channel.
  if (opens && !failed) {
    gst_pad_push_event(GST_BASE_SINK_PAD(self), gst_event_new_reconfigure());
  }
  if (failed || transition == GST_STATE_CHANGE_PAUSED_TO_READY) close_channel(self);
  return result;
}

// Without this, going back to NULL would wait for open_channel() in another thread, which
// holds the state lock.
static GstStateChangeReturn gst_possum_sink_set_state(GstElement* element,
                                                      GstState state) {
  const auto chain_up = [element, state] {
    return GST_ELEMENT_CLASS(gst_possum_sink_parent_class)->set_state(element, state);
  };
  if (state > GST_STATE_READY) return chain_up();
  SinkImpl& impl = impl_of(element);
  ++impl.going_down;
  if (impl.opening) writer_of(element)->interrupt(true);
  const GstStateChangeReturn result = chain_up();
  --impl.going_down;
  return result;
}

// --- negotiation ---------------------------------------------------------------------

static GstCaps* gst_possum_sink_get_caps(GstBaseSink* sink, GstCaps* filter) {
  GstCaps* caps = gst_pad_get_pad_template_caps(GST_BASE_SINK_PAD(sink));
  if (filter == nullptr) return caps;
  const Ref<GstCaps> ours{caps};
  // Ours first: upstream takes the first format that is left.
  return gst_caps_intersect_full(ours.get(), filter, GST_CAPS_INTERSECT_FIRST);
}

// GStreamer refuses caps for two reasons. The event comes again with each frame.
static void tell_impossible(GstPossumSink* self, GstCaps* caps) {
  if (impl_of(self).told.exchange(true)) return;
  const gchar* const mode =
      gst_structure_get_string(gst_caps_get_structure(caps, 0), "interlace-mode");
  const bool one_field = g_strcmp0(mode, "alternate") == 0 &&
                         !gst_caps_features_contains(gst_caps_get_features(caps, 0),
                                                     GST_CAPS_FEATURE_FORMAT_INTERLACED);
  GST_ELEMENT_ERROR(
      self, STREAM, FORMAT,
      ("%s", one_field ? "Buffers of one field each have caps of their own: "
                         "write video/x-raw(format:Interlaced) where "
                         "interlace-mode is alternate, before possumsink."
                       : "No frame can have these caps: use a smaller size "
                         "or another format before possumsink."),
      ("%" GST_PTR_FORMAT, static_cast<void*>(caps)));
}

static void tell_too_long(GstPossumSink* self, gsize bytes) {
  if (impl_of(self).told.exchange(true)) return;
  GST_ELEMENT_ERROR(self, STREAM, FORMAT,
                    ("The caps are too long: %" G_GSIZE_FORMAT
                     " bytes as text, a channel carries %" G_GSIZE_FORMAT
                     ". Leave fields out, with capssetter before possumsink.",
                     bytes, possum::kMaxCapsText),
                    (nullptr));
}

// GStreamer asks the pad before it hands the event on.
static void tell_refused(GstPossumSink* self, GstCaps* caps) {
  GstPad* const pad = GST_BASE_SINK_PAD(self);
  if (impl_of(self).told.exchange(true)) return;
  const Ref<GstCaps> taken{gst_pad_get_pad_template_caps(pad)};
  const std::string text = possum::explain_refusal(
      caps, taken.get(), pad,
      {"before possumsink", "upstream", "upstream sends", "possumsink takes"});
  GST_ELEMENT_ERROR(self, STREAM, FORMAT, ("%s.", text.c_str()),
                    ("%" GST_PTR_FORMAT, static_cast<void*>(caps)));
}

static GstFlowReturn tell_no_caps(GstPossumSink* self) {
  if (!impl_of(self).told.exchange(true)) {
    GST_ELEMENT_ERROR(self, CORE, NEGOTIATION,
                      ("Frames without caps: set caps on the source or put a capsfilter "
                       "before possumsink, rawvideoparse where bytes come from a file."),
                      (nullptr));
  }
  return GST_FLOW_NOT_NEGOTIATED;
}

static bool set_caps(GstPossumSink* self, GstCaps* caps) {
  SinkImpl& impl = impl_of(self);
  impl.negotiated = false;
  GstVideoInfo info;
  if (!gst_video_info_from_caps(&info, caps)) {
    tell_impossible(self, caps);
    return false;
  }
  const Ref<gchar> text{gst_caps_to_string(caps)};
  const gsize bytes = std::strlen(text.get());
  if (bytes > possum::kMaxCapsText) {
    tell_too_long(self, bytes);
    return false;
  }
  impl.sender.set_format(text.get(), info);
  impl.unreadable_told = false;
  impl.negotiated = true;
  return true;
}

static gboolean gst_possum_sink_set_caps(GstBaseSink* sink, GstCaps* caps) {
  return possum::guarded(sink, possum::Side::sink, false,
                         [=] { return set_caps(GST_POSSUM_SINK(sink), caps); });
}

static gboolean gst_possum_sink_propose_allocation(GstBaseSink* sink, GstQuery* query) {
  GstCaps* caps = nullptr;
  gboolean need_pool = FALSE;
  gst_query_parse_allocation(query, &caps, &need_pool);
  GstVideoInfo info;
  if (caps == nullptr || !gst_video_info_from_caps(&info, caps)) return FALSE;
  const auto size = static_cast<guint>(info.size);
  Ref<GstBufferPool> pool;
  if (const auto writer = need_pool ? writer_of(sink) : nullptr) {
    pool.reset(gst_possum_pool_new(writer));
    GstStructure* config = gst_buffer_pool_get_config(pool.get());
    gst_buffer_pool_config_set_params(config, caps, size, kMinBuffers, 0);
    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
    if (!gst_buffer_pool_set_config(pool.get(), config)) return FALSE;
  }
  // No maximum: decoders ignore a pool that may be too small for their reference frames.
  gst_query_add_allocation_pool(query, pool.get(), size, kMinBuffers, 0);
  gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
  return TRUE;
}

// Whether somebody only asks, or a CAPS event has come this far: then upstream's pad has
// these caps already.
static bool are_sent(GstPad* pad, GstCaps* caps) {
  const Ref<GstPad> peer{gst_pad_get_peer(pad)};
  const Ref<GstCaps> sent{peer ? gst_pad_get_current_caps(peer.get()) : nullptr};
  return sent && gst_caps_is_equal(sent.get(), caps);
}

static gboolean answer_accept_caps(GstPossumSink* self, GstQuery* query) {
  GstBaseSink* const sink = GST_BASE_SINK(self);
  const gboolean answered =
      GST_BASE_SINK_CLASS(gst_possum_sink_parent_class)->query(sink, query);
  GstCaps* caps = nullptr;
  gboolean accepted = TRUE;
  gst_query_parse_accept_caps(query, &caps);
  gst_query_parse_accept_caps_result(query, &accepted);
  if (!accepted && are_sent(GST_BASE_SINK_PAD(sink), caps)) {
    impl_of(self).negotiated = false;
    tell_refused(self, caps);
  }
  return answered;
}

static gboolean gst_possum_sink_query(GstBaseSink* sink, GstQuery* query) {
  if (GST_QUERY_TYPE(query) == GST_QUERY_ACCEPT_CAPS) {
    return answer_accept_caps(GST_POSSUM_SINK(sink), query);
  }
  return GST_BASE_SINK_CLASS(gst_possum_sink_parent_class)->query(sink, query);
}

// --- frames --------------------------------------------------------------------------

// A live source is its own clock: without times GstBaseSink does not wait.
static void gst_possum_sink_get_times(GstBaseSink* sink, GstBuffer* buffer,
                                      GstClockTime* start, GstClockTime* end) {
  possum::Upstream& upstream = impl_of(sink).upstream;
  upstream.refresh(GST_BASE_SINK_PAD(sink));
  *start = GST_CLOCK_TIME_NONE;
  *end = GST_CLOCK_TIME_NONE;
  if (upstream.live()) return;
  *start =
      GST_BUFFER_PTS_IS_VALID(buffer) ? GST_BUFFER_PTS(buffer) : GST_BUFFER_DTS(buffer);
  if (GST_CLOCK_TIME_IS_VALID(*start) && GST_BUFFER_DURATION_IS_VALID(buffer)) {
    *end = *start + GST_BUFFER_DURATION(buffer);
  }
}

// Does running time pass? From the moment that the base time was set and the element was
// told to go to PLAYING, which it reaches with the end of the preroll.
static bool clock_runs(GstPossumSink* self) {
  const ObjectLock guard(self);
  return GST_STATE_TARGET(self) == GST_STATE_PLAYING;
}

// What to add to a frame's running time to get the moment that it is due, in
// CLOCK_MONOTONIC. That of a live source is the capture, of another one when this sink
// shows it, as any other sink of the pipeline would. Nothing if nobody paces the frames:
// they come at no moment in particular.
static std::optional<std::int64_t> due_origin(GstPossumSink* self) {
  GstBaseSink* sink = GST_BASE_SINK_CAST(self);
  const bool live = impl_of(self).upstream.live();
  if (!live && !gst_base_sink_get_sync(sink)) return std::nullopt;
  const auto origin = possum::running_time_origin(GST_ELEMENT_CAST(self));
  if (!origin || live) return origin;
  return *origin + gst_base_sink_get_ts_offset(sink) +
         static_cast<std::int64_t>(gst_base_sink_get_latency(sink));
}

static void describe(GstPossumSink* self, GstBuffer* buffer, bool preroll,
                     possum::transport::layout::FrameDescriptor& frame) {
  SinkImpl& impl = impl_of(self);
  frame.flush_id = impl.flush_id;
  impl.upstream.refresh(GST_BASE_SINK_PAD(self));
  const bool live = impl.upstream.live();
  if (live) frame.latency_ns = static_cast<std::int64_t>(impl.upstream.latency());
  possum::describe_buffer(buffer, frame);
  std::optional<std::int64_t> origin;
  if (preroll && !live) {
    // The base time comes with PLAYING, and another one after each pause.
    frame.frame_flags |= possum::transport::layout::kFramePreroll;
  } else {
    // A live source makes frames in PLAYING only, so even its first one has a time.
    origin = due_origin(self);
  }
  possum::describe_times(GST_BASE_SINK_CAST(self)->segment, buffer, origin, frame);
}

static void count_metas(GstPossumSink* self, GstBuffer* buffer) {
  for (const GType api : possum::metas_not_carried(buffer)) {
    if (impl_of(self).counters.count_meta(g_type_name(api))) {
      GST_WARNING_OBJECT(self, "%s does not cross the channel", g_type_name(api));
    }
  }
}

static void log_sent(GstPossumSink* self, GstBuffer* buffer) {
  if (const char* const why = impl_of(self).sender.why_copied()) {
    GST_DEBUG_OBJECT(self, "copied: %s: %" GST_PTR_FORMAT, why,
                     static_cast<void*>(buffer));
  } else {
    GST_LOG_OBJECT(self, "published where it lies: %" GST_PTR_FORMAT,
                   static_cast<void*>(buffer));
  }
}

static SendStatus send_frame(GstPossumSink* self, GstBuffer* buffer, bool preroll,
                             Error& error) {
  SinkImpl& impl = impl_of(self);
  possum::transport::layout::FrameDescriptor frame{};
  if (!impl.sender.began(impl.number)) {
    describe(self, buffer, preroll, frame);
    // Readers cannot know: a frame that is not sent has no sequence number.
    if (impl.left_out) frame.buffer_flags |= GST_BUFFER_FLAG_DISCONT;
  }
  const SendStatus status = impl.sender.send(buffer, impl.number, frame, error);
  if (status != SendStatus::interrupted) impl.left_out = status != SendStatus::sent;
  if (status == SendStatus::sent) {
    count_metas(self, buffer);
    log_sent(self, buffer);
  }
  return status;
}

static void tell_unreadable(GstPossumSink* self, GstBuffer* buffer) {
  SinkImpl& impl = impl_of(self);
  impl.counters.count_dropped();
  if (std::exchange(impl.unreadable_told, true)) return;
  GST_ELEMENT_WARNING(self, STREAM, FORMAT,
                      ("A frame of %" G_GSIZE_FORMAT
                       " bytes is smaller than its caps say (%" G_GSIZE_FORMAT
                       " bytes), or its memory cannot be read: it is left out. Look at "
                       "the element before possumsink.",
                       gst_buffer_get_size(buffer), impl.sender.info().size),
                      (nullptr));
}

// Transport knows bytes; the user knows formats.
static void tell_failure(GstPossumSink* self, Error error) {
  const GstVideoInfo& info = impl_of(self).sender.info();
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
  tell_error(self, error);
}

static GstFlowReturn flow_of(GstPossumSink* self, SendStatus status, GstBuffer* buffer,
                             const Error& error) {
  switch (status) {
    case SendStatus::no_slot:
      GST_DEBUG_OBJECT(self, "dropped: readers hold every slot: %" GST_PTR_FORMAT,
                       static_cast<void*>(buffer));
      impl_of(self).counters.count_dropped();
      return GST_FLOW_OK;
    case SendStatus::unreadable:
      tell_unreadable(self, buffer);
      return GST_FLOW_OK;
    case SendStatus::failed:
      tell_failure(self, error);
      return GST_FLOW_ERROR;
    case SendStatus::sent:
    case SendStatus::interrupted:
      break;
  }
  return GST_FLOW_OK;
}

// The sink has waited for readers until `until_ns`, with this frame, and perhaps the
// clock ran on. Then the film goes on with it, and all that follows is due later by as
// much.
static void delay_film(GstPossumSink* self, GstBuffer* buffer, std::int64_t until_ns) {
  GstBaseSink* sink = GST_BASE_SINK_CAST(self);
  possum::transport::layout::FrameDescriptor frame{};
  possum::describe_times(sink->segment, buffer, due_origin(self), frame);
  if (frame.pts_ns == possum::transport::layout::kNoTime)
    return;  // it has no moment to miss
  const std::int64_t late_ns = until_ns - frame.pts_ns;
  if (late_ns <= 0) return;
  GST_INFO_OBJECT(self, "waiting for readers delays what follows by %" GST_TIME_FORMAT,
                  GST_TIME_ARGS(static_cast<GstClockTime>(late_ns)));
  impl_of(self).delay_ns += late_ns;
  gst_base_sink_set_ts_offset(sink, gst_base_sink_get_ts_offset(sink) + late_ns);
}

// Of sources that wait for readers: until there are enough. If that took a wait, it ended
// at `until_ns`.
static WriteStatus await_readers(GstPossumSink* self, std::int64_t& until_ns) {
  const std::atomic<unsigned>& wanted = impl_of(self).min_readers;
  const std::shared_ptr<Writer> writer = writer_of(self);
  if (writer->active_readers() >= wanted) return WriteStatus::ok;
  Error error;
  const WriteStatus status = writer->wait_readers(wanted, error);
  if (status == WriteStatus::failed) tell_error(self, error);
  if (status == WriteStatus::ok) until_ns = possum::monotonic_ns();
  return status;
}

// Nothing in the pipeline plays before its sinks have prerolled: held up here, the whole
// film, its sound too, begins when the viewers are there. Only at the beginning: a film
// that has begun can be paused without them. Interrupted, the wait goes on in render().
static GstFlowReturn hold_beginning(GstPossumSink* self) {
  SinkImpl& impl = impl_of(self);
  if (impl.begun || impl.min_readers == 0 || impl.upstream.live() ||
      !gst_base_sink_get_sync(GST_BASE_SINK(self))) {
    return GST_FLOW_OK;
  }
  return await_readers(self, impl.held_until_ns) == WriteStatus::failed ? GST_FLOW_ERROR
                                                                        : GST_FLOW_OK;
}

// GstBaseSink may drop a frame between preroll() and render(), so neither can tell by the
// buffer whether it has seen the frame before.
static GstFlowReturn gst_possum_sink_chain(GstPad* pad, GstObject* parent,
                                           GstBuffer* buffer) {
  SinkImpl& impl = impl_of(parent);
  ++impl.number;
  return impl.chain(pad, parent, buffer);
}

static GstFlowReturn gst_possum_sink_chain_list(GstPad* pad, GstObject* parent,
                                                GstBufferList* list) {
  const Ref<GstBufferList> held{list};
  GstFlowReturn flow = GST_FLOW_OK;
  for (guint i = 0; flow == GST_FLOW_OK && i < gst_buffer_list_length(list); ++i) {
    GstBuffer* const buffer = gst_buffer_ref(gst_buffer_list_get(list, i));
    flow = gst_possum_sink_chain(pad, parent, buffer);
  }
  return flow;
}

// Interrupted by unlock: unless GstBaseSink drops the frame, render() goes on with it.
static GstFlowReturn preroll(GstPossumSink* self, GstBuffer* buffer) {
  SinkImpl& impl = impl_of(self);
  if (!impl.negotiated) return tell_no_caps(self);
  if (impl.prerolled == impl.number) return GST_FLOW_OK;
  impl.upstream.refresh(GST_BASE_SINK_PAD(self));
  // With the clock running already (async=false, or another part of the pipeline is live)
  // a frame that has its moment waits for it, and render() follows.
  if (!impl.upstream.live() && clock_runs(self)) return GST_FLOW_OK;
  Error error;
  const SendStatus status = send_frame(self, buffer, true, error);
  if (status == SendStatus::sent) impl.prerolled = impl.number;
  // Anything else is tried again, and counted, by render().
  return status == SendStatus::failed ? flow_of(self, status, buffer, error)
                                      : hold_beginning(self);
}

static GstFlowReturn gst_possum_sink_preroll(GstBaseSink* sink, GstBuffer* buffer) {
  return possum::guarded(sink, possum::Side::sink, GST_FLOW_ERROR,
                         [=] { return preroll(GST_POSSUM_SINK(sink), buffer); });
}

static GstFlowReturn wait_in_render(GstPossumSink* self, GstBuffer* buffer) {
  // The clock may have run during the preroll too: another part of the pipeline is live.
  std::int64_t until_ns = std::exchange(impl_of(self).held_until_ns, 0);
  WriteStatus status = WriteStatus::ok;
  while ((status = await_readers(self, until_ns)) == WriteStatus::interrupted) {
    const GstFlowReturn flow = gst_base_sink_wait_preroll(GST_BASE_SINK(self));
    if (flow != GST_FLOW_OK) return flow;
  }
  if (status != WriteStatus::ok) return GST_FLOW_ERROR;
  if (until_ns != 0) delay_film(self, buffer, until_ns);
  return GST_FLOW_OK;
}

// Waits for readers, enough of them or blocking ones, if at all; see unlock.
static GstFlowReturn render(GstPossumSink* self, GstBuffer* buffer) {
  SinkImpl& impl = impl_of(self);
  if (!impl.negotiated) return tell_no_caps(self);
  impl.begun = true;
  const bool shown = impl.prerolled == impl.number;
  if (impl.min_readers > 0 && !impl.sender.began(impl.number)) {
    if (!impl.upstream.live()) {
      const GstFlowReturn flow = wait_in_render(self, buffer);
      if (flow != GST_FLOW_OK) return flow;
    } else if (!shown && writer_of(self)->active_readers() < impl.min_readers) {
      impl.left_out = true;
      impl.counters.count_discarded();
      GST_DEBUG_OBJECT(self, "dropped: fewer readers than min-readers: %" GST_PTR_FORMAT,
                       static_cast<void*>(buffer));
      return GST_FLOW_OK;
    }
  }
  if (shown) return GST_FLOW_OK;
  Error error;
  SendStatus status = SendStatus::sent;
  while ((status = send_frame(self, buffer, false, error)) == SendStatus::interrupted) {
    const GstFlowReturn flow = gst_base_sink_wait_preroll(GST_BASE_SINK(self));
    if (flow != GST_FLOW_OK) return flow;
  }
  return flow_of(self, status, buffer, error);
}

static GstFlowReturn gst_possum_sink_render(GstBaseSink* sink, GstBuffer* buffer) {
  return possum::guarded(sink, possum::Side::sink, GST_FLOW_ERROR, [=] {
    // Unchecked, as in impl_of().
    return render(reinterpret_cast<GstPossumSink*>(sink), buffer);
  });
}

// --- events --------------------------------------------------------------------------

// Returns when blocking readers have taken the last frame. GstBaseSink holds its preroll
// lock, as in render().
static bool drain_readers(GstPossumSink* self) {
  // What ended in our own error is not complete: readers wait for the next writer.
  if (impl_of(self).told) return true;
  const std::shared_ptr<Writer> writer = writer_of(self);
  writer->set_eos();
  Error error;
  WriteStatus status = WriteStatus::ok;
  while ((status = writer->drain(error)) == WriteStatus::interrupted) {
    if (gst_base_sink_wait_preroll(GST_BASE_SINK(self)) != GST_FLOW_OK) return false;
  }
  if (status == WriteStatus::ok) return true;
  tell_error(self, error);
  return false;
}

static void end_flush(GstPossumSink* self) {
  SinkImpl& impl = impl_of(self);
  impl.sender.abandon();
  ++impl.flush_id;
}

static gboolean gst_possum_sink_event(GstBaseSink* sink, GstEvent* event) {
  GstPossumSink* self = GST_POSSUM_SINK(sink);
  const auto chain_up = [sink, event] {
    return GST_BASE_SINK_CLASS(gst_possum_sink_parent_class)->event(sink, event);
  };
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_STREAM_START:
      impl_of(self).upstream.forget();
      return chain_up();
    case GST_EVENT_EOS:
      if (drain_readers(self)) return chain_up();
      gst_event_unref(event);
      return FALSE;
    case GST_EVENT_FLUSH_START: {
      // First out of render(), so that nothing is offered after the flush.
      const gboolean handled = chain_up();
      if (const auto writer = writer_of(self)) writer->flush();
      return handled;
    }
    case GST_EVENT_FLUSH_STOP: {
      gboolean reset_time = FALSE;
      gst_event_parse_flush_stop(event, &reset_time);
      if (reset_time) end_delay(self);
      end_flush(self);
      return chain_up();
    }
    default:
      return chain_up();
  }
}

// Upstream events that the application or the pipeline sends through this element.
static gboolean gst_possum_sink_send_event(GstElement* element, GstEvent* event) {
  if (GST_EVENT_TYPE(event) == GST_EVENT_LATENCY ||
      GST_EVENT_TYPE(event) == GST_EVENT_RECONFIGURE) {
    impl_of(element).upstream.forget();
  }
  return GST_ELEMENT_CLASS(gst_possum_sink_parent_class)->send_event(element, event);
}

// --- object --------------------------------------------------------------------------

static void gst_possum_sink_set_property(GObject* object, guint id, const GValue* value,
                                         GParamSpec* spec) {
  auto* const element = GST_ELEMENT_CAST(object);
  SinkImpl& impl = impl_of(object);
  bool refused = false;
  {
    const ObjectLock guard(object);
    SinkSettings changed = impl.settings;
    if (!changed.set(id, value)) G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    refused = changed != impl.settings && !possum::may_set(element, spec);
    if (!refused) impl.settings = std::move(changed);
    impl.min_readers = impl.settings.min_readers;  // a wait for them goes by the new one
  }
  if (refused) possum::warn_not_set(element, spec);
}

static GstStructure* collect_stats(GstPossumSink* self) {
  possum::transport::WriterStatistics statistics;
  if (const auto writer = writer_of(self)) statistics = writer->statistics();
  return possum::sink_stats(gst_base_sink_get_stats(GST_BASE_SINK(self)), statistics,
                            impl_of(self).counters);
}

static void gst_possum_sink_get_property(GObject* object, guint id, GValue* value,
                                         GParamSpec* spec) {
  GstPossumSink* self = GST_POSSUM_SINK(object);
  if (id == possum::PROP_NUM_READERS) {
    const auto writer = writer_of(self);
    g_value_set_uint(value, writer ? writer->active_readers() : 0);
    return;
  }
  if (id == possum::PROP_STATS) {
    g_value_take_boxed(value, collect_stats(self));
    return;
  }
  const ObjectLock guard(object);
  if (!impl_of(self).settings.get(id, value)) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
}

static void gst_possum_sink_finalize(GObject* object) {
  delete GST_POSSUM_SINK(object)->impl;
  G_OBJECT_CLASS(gst_possum_sink_parent_class)->finalize(object);
}

static void install_signals(GObjectClass* klass) {
  /**
   * GstPossumSink::reader-attached:
   * @sink: the sink
   * @index: the reader's place, 0 to 31
   * @pid: process id as the reader says it
   *
   * Emitted from a thread of its own, with no lock held. A handler may do anything: stop
   * the element or its pipeline, start it again, drop the last reference to it. Whoever
   * stops the element waits for a handler that runs, but half a second at most: perhaps
   * that one waits for the thread that stops the element. It then runs on, so what it
   * uses should live as long as the connection (g_signal_connect_data()). None begins
   * later.
   */
  signals[SIGNAL_READER_ATTACHED] =
      g_signal_new("reader-attached", G_TYPE_FROM_CLASS(klass), G_SIGNAL_RUN_LAST, 0,
                   nullptr, nullptr, nullptr, G_TYPE_NONE, 2, G_TYPE_UINT, G_TYPE_UINT);
  /**
   * GstPossumSink::reader-detached:
   * @sink: the sink
   * @index: the reader's place, 0 to 31
   * @reason: "left", or "died" when its process ended without saying so
   *
   * As #GstPossumSink::reader-attached.
   */
  signals[SIGNAL_READER_DETACHED] =
      g_signal_new("reader-detached", G_TYPE_FROM_CLASS(klass), G_SIGNAL_RUN_LAST, 0,
                   nullptr, nullptr, nullptr, G_TYPE_NONE, 2, G_TYPE_UINT, G_TYPE_STRING);
}

static void gst_possum_sink_class_init(GstPossumSinkClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  object_class->set_property = gst_possum_sink_set_property;
  object_class->get_property = gst_possum_sink_get_property;
  object_class->finalize = gst_possum_sink_finalize;
  possum::install_sink_properties(object_class);
  install_signals(object_class);

  auto* element_class = GST_ELEMENT_CLASS(klass);
  element_class->change_state = gst_possum_sink_change_state;
  element_class->set_state = gst_possum_sink_set_state;
  element_class->send_event = gst_possum_sink_send_event;
  gst_element_class_set_static_metadata(
      element_class, "Possum video sink", "Sink/Video",
      "Shows raw video to other processes through shared memory", "the possum authors");
  const Ref<GstCaps> caps = possum::raw_video_caps();
  gst_element_class_add_pad_template(
      element_class,
      gst_pad_template_new("sink", GST_PAD_SINK, GST_PAD_ALWAYS, caps.get()));

  auto* sink_class = GST_BASE_SINK_CLASS(klass);
  sink_class->unlock = gst_possum_sink_unlock;
  sink_class->unlock_stop = gst_possum_sink_unlock_stop;
  sink_class->get_caps = gst_possum_sink_get_caps;
  sink_class->set_caps = gst_possum_sink_set_caps;
  sink_class->propose_allocation = gst_possum_sink_propose_allocation;
  sink_class->query = gst_possum_sink_query;
  sink_class->get_times = gst_possum_sink_get_times;
  sink_class->preroll = gst_possum_sink_preroll;
  sink_class->render = gst_possum_sink_render;
  sink_class->event = gst_possum_sink_event;
}

static void gst_possum_sink_init(GstPossumSink* self) {
  self->impl = new SinkImpl;
  GstPad* const pad = GST_BASE_SINK_PAD(self);
  self->impl->chain = GST_PAD_CHAINFUNC(pad);
  gst_pad_set_chain_function(pad, gst_possum_sink_chain);
  gst_pad_set_chain_list_function(pad, gst_possum_sink_chain_list);
  // The last sample would keep a slot.
  gst_base_sink_set_last_sample_enabled(GST_BASE_SINK(self), FALSE);
  gst_base_sink_set_processing_deadline(GST_BASE_SINK(self), 0);
}
