// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The GObject side of possumsink: pad, properties, signals, states, and GstBaseSink's
// questions. What happens to frames is SinkStream's.

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
#include <memory>
#include <utility>

#include "caps.h"
#include "element.h"
#include "gstpossumpool.h"
#include "refs.h"
#include "sinksettings.h"
#include "sinkstream.h"
#include "stats.h"
#include "urihandler.h"

GST_DEBUG_CATEGORY(gst_possum_sink_debug);
#define GST_CAT_DEFAULT gst_possum_sink_debug

using possum::ObjectLock;
using possum::Ref;
using possum::SinkProperty;
using possum::SinkSettings;
using possum::SinkStream;

namespace {

// What upstream gets at least; one buffer to fill while the sink looks at another.
constexpr guint kMinBuffers = 2;

// Lock order: GstBaseSink's stream and preroll locks, then the object lock; with that
// held nothing is called but SinkStream::follow().
struct SinkImpl {
  SinkSettings settings;               // guarded by the object lock
  std::shared_ptr<SinkStream> stream;  // guarded by the object lock; of the last start
  std::atomic<bool> claiming{false};
  std::atomic<unsigned> going_down{0};  // threads in set_state(READY or NULL)
  GstPadChainFunction chain = nullptr;  // constant: GstBaseSink's
};

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

static std::shared_ptr<SinkStream> stream_of(gpointer self) {
  const ObjectLock lock(self);
  return impl_of(self).stream;
}

// The streaming thread's, which is not there while another stream takes the place of this
// one, and comes after the first.
static SinkStream& streaming(gpointer self) { return *impl_of(self).stream; }

// --- properties ----------------------------------------------------------------------

static void gst_possum_sink_set_property(GObject* object, guint id, const GValue* value,
                                         GParamSpec* spec) {
  SinkImpl& impl = impl_of(object);
  possum::change_setting(object, impl.settings, id, value, spec, [&impl] {
    if (impl.stream) impl.stream->follow(impl.settings);
  });
}

static void gst_possum_sink_get_property(GObject* object, guint id, GValue* value,
                                         GParamSpec* spec) {
  switch (static_cast<SinkProperty>(id)) {
    case SinkProperty::num_readers: {
      const auto stream = stream_of(object);
      g_value_set_uint(value, stream ? stream->readers() : 0);
      return;
    }
    case SinkProperty::stats: {
      const auto stream = stream_of(object);
      GstStructure* const base = gst_base_sink_get_stats(GST_BASE_SINK(object));
      g_value_take_boxed(
          value, stream ? stream->statistics(base) : possum::sink_stats(base, {}, {}));
      return;
    }
    default:
      break;
  }
  const ObjectLock lock(object);
  if (!impl_of(object).settings.get(id, value)) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
}

// --- states --------------------------------------------------------------------------

// The streaming thread has ended.
static void stop(GstPossumSink* self) {
  if (const auto stream = stream_of(self)) stream->close();
}

// Claims the channel. May wait for it; set_state() below ends that. Each of the two says
// what it does before it looks at the other, so neither misses the other.
static bool start(GstPossumSink* self) {
  SinkImpl& impl = impl_of(self);
  SinkSettings settings;
  {
    const ObjectLock lock(self);
    settings = impl.settings;
  }
  possum::Error error;
  std::shared_ptr<SinkStream> stream =
      SinkStream::open(GST_BASE_SINK(self), settings, error);
  if (!stream) {
    possum::post_error(GST_ELEMENT(self), possum::Side::sink, error);
    return false;
  }
  {
    std::shared_ptr<SinkStream> before = stream;  // goes when the lock is let go of
    const ObjectLock lock(self);
    stream->follow(impl.settings);  // what was set meanwhile
    impl.stream.swap(before);
  }
  impl.claiming = true;
  if (impl.going_down > 0) stream->give_up();
  const bool claimed = stream->claim();
  impl.claiming = false;
  return claimed;
}

static gboolean gst_possum_sink_unlock(GstBaseSink* sink) {
  if (const auto stream = stream_of(sink)) stream->interrupt(true);
  return TRUE;
}

static gboolean gst_possum_sink_unlock_stop(GstBaseSink* sink) {
  if (const auto stream = stream_of(sink)) stream->interrupt(false);
  return TRUE;
}

// A streaming thread that GstBaseSink woke for PLAYING may come to run only when it is
// PAUSED again, and then waits in render() with the preroll lock, which the next change
// to PLAYING needs; there, GstBaseSink unlocks nobody.
static GstStateChangeReturn go_playing(GstPossumSink* self) {
  GstBaseSink* sink = GST_BASE_SINK(self);
  const auto stream = stream_of(self);
  stream->interrupt(true);
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(gst_possum_sink_parent_class)
          ->change_state(GST_ELEMENT(self), GST_STATE_CHANGE_PAUSED_TO_PLAYING);
  GST_BASE_SINK_PREROLL_LOCK(sink);
  stream->interrupt(false);
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
  const bool starts = transition == GST_STATE_CHANGE_READY_TO_PAUSED;
  // A preroll that failed has left the element READY with its channel open.
  if (starts) stop(self);
  if (starts &&
      !possum::guarded(self, possum::Side::sink, false, [self] { return start(self); })) {
    return GST_STATE_CHANGE_FAILURE;
  }
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(gst_possum_sink_parent_class)->change_state(element, transition);
  const bool failed = starts && result == GST_STATE_CHANGE_FAILURE;
  // Upstream that runs already, as when this element alone was stopped and started, has
  // the pool of another channel.
  if (starts && !failed) {
    gst_pad_push_event(GST_BASE_SINK_PAD(self), gst_event_new_reconfigure());
  }
  if (failed || transition == GST_STATE_CHANGE_PAUSED_TO_READY ||
      transition == GST_STATE_CHANGE_READY_TO_NULL) {
    stop(self);
  }
  return result;
}

// Without this, going back to NULL would wait for start() in another thread, which holds
// the state lock.
static GstStateChangeReturn gst_possum_sink_set_state(GstElement* element,
                                                      GstState state) {
  const auto chain_up = [element, state] {
    return GST_ELEMENT_CLASS(gst_possum_sink_parent_class)->set_state(element, state);
  };
  if (state > GST_STATE_READY) return chain_up();
  SinkImpl& impl = impl_of(element);
  ++impl.going_down;
  if (impl.claiming) stream_of(element)->give_up();
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

static gboolean gst_possum_sink_set_caps(GstBaseSink* sink, GstCaps* caps) {
  return possum::guarded(sink, possum::Side::sink, false, [=] {
    const auto stream = stream_of(sink);
    return stream && stream->set_caps(caps);
  });
}

static gboolean gst_possum_sink_propose_allocation(GstBaseSink* sink, GstQuery* query) {
  GstCaps* caps = nullptr;
  gboolean need_pool = FALSE;
  gst_query_parse_allocation(query, &caps, &need_pool);
  GstVideoInfo info;
  if (caps == nullptr || !gst_video_info_from_caps(&info, caps)) return FALSE;
  const auto size = static_cast<guint>(info.size);
  Ref<GstBufferPool> pool;
  if (const auto stream = need_pool ? stream_of(sink) : nullptr) {
    pool.reset(gst_possum_pool_new(stream->writer()));
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

static gboolean gst_possum_sink_query(GstBaseSink* sink, GstQuery* query) {
  const gboolean answered =
      GST_BASE_SINK_CLASS(gst_possum_sink_parent_class)->query(sink, query);
  if (GST_QUERY_TYPE(query) != GST_QUERY_ACCEPT_CAPS) return answered;
  GstCaps* caps = nullptr;
  gboolean accepted = TRUE;
  gst_query_parse_accept_caps(query, &caps);
  gst_query_parse_accept_caps_result(query, &accepted);
  if (!accepted && are_sent(GST_BASE_SINK_PAD(sink), caps)) {
    if (const auto stream = stream_of(sink)) stream->refuse_caps(caps);
  }
  return answered;
}

// --- frames --------------------------------------------------------------------------

static GstFlowReturn gst_possum_sink_chain(GstPad* pad, GstObject* parent,
                                           GstBuffer* buffer) {
  SinkImpl& impl = impl_of(parent);
  if (!impl.stream) {  // somebody has activated the pad of an element that is stopped
    gst_buffer_unref(buffer);
    return GST_FLOW_FLUSHING;
  }
  impl.stream->count_buffer();
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

static void gst_possum_sink_get_times(GstBaseSink* sink, GstBuffer* buffer,
                                      GstClockTime* start, GstClockTime* end) {
  streaming(sink).get_times(buffer, start, end);
}

static GstFlowReturn gst_possum_sink_preroll(GstBaseSink* sink, GstBuffer* buffer) {
  return possum::guarded(sink, possum::Side::sink, GST_FLOW_ERROR,
                         [=] { return streaming(sink).preroll(buffer); });
}

static GstFlowReturn gst_possum_sink_render(GstBaseSink* sink, GstBuffer* buffer) {
  return possum::guarded(sink, possum::Side::sink, GST_FLOW_ERROR,
                         [=] { return streaming(sink).render(buffer); });
}

// --- events --------------------------------------------------------------------------

static gboolean gst_possum_sink_event(GstBaseSink* sink, GstEvent* event) {
  const auto chain_up = [sink, event] {
    return GST_BASE_SINK_CLASS(gst_possum_sink_parent_class)->event(sink, event);
  };
  const auto stream = stream_of(sink);
  if (!stream) return chain_up();
  switch (GST_EVENT_TYPE(event)) {
    case GST_EVENT_STREAM_START:
      stream->forget_upstream();
      return chain_up();
    case GST_EVENT_EOS:
      if (stream->drain()) return chain_up();
      gst_event_unref(event);
      return FALSE;
    case GST_EVENT_FLUSH_START: {
      // First out of render(), so that nothing is offered after the flush.
      const gboolean handled = chain_up();
      stream->begin_flush();
      return handled;
    }
    case GST_EVENT_FLUSH_STOP: {
      gboolean reset_time = FALSE;
      gst_event_parse_flush_stop(event, &reset_time);
      stream->end_flush(reset_time);
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
    if (const auto stream = stream_of(element)) stream->forget_upstream();
  }
  return GST_ELEMENT_CLASS(gst_possum_sink_parent_class)->send_event(element, event);
}

// --- class ---------------------------------------------------------------------------

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
   *
   * Since: 0.1
   */
  g_signal_new("reader-attached", G_TYPE_FROM_CLASS(klass), G_SIGNAL_RUN_LAST, 0, nullptr,
               nullptr, nullptr, G_TYPE_NONE, 2, G_TYPE_UINT, G_TYPE_UINT);
  /**
   * GstPossumSink::reader-detached:
   * @sink: the sink
   * @index: the reader's place, 0 to 31
   * @reason: "left", or "died" when its process ended without saying so
   *
   * As #GstPossumSink::reader-attached.
   *
   * Since: 0.1
   */
  g_signal_new("reader-detached", G_TYPE_FROM_CLASS(klass), G_SIGNAL_RUN_LAST, 0, nullptr,
               nullptr, nullptr, G_TYPE_NONE, 2, G_TYPE_UINT, G_TYPE_STRING);
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
