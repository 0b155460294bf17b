// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The GObject side of possumsrc: pad, properties, states, and GstBaseSrc's questions.
// What happens in the streaming thread is SrcStream's.

/**
 * SECTION:element-possumsrc
 * @title: possumsrc
 * @see_also: possumsink
 *
 * Reads the raw video that a possumsink in another process (or in this one) writes to a
 * channel. Reader and writer may be started in either order, stopped, killed and
 * restarted; a channel may have up to 32 readers.
 *
 * Frames are not copied: each buffer is a read-only view of the shared memory that the
 * writer filled. It stays valid as long as somebody holds it, also when the writer is
 * gone, and an element that wants to write to it gets a private copy by GStreamer's usual
 * means. What downstream holds, the writer cannot use: a pipeline that keeps many frames
 * should set #GstPossumSrc:copy-frames.
 *
 * Caps, time stamps and buffer flags come from the writer; nothing needs to be typed at
 * the reader. The caps may change with every frame; those of the newest one go downstream
 * before a frame is taken, so that mixers and muxers know them when they start. A channel
 * without a frame has none yet. While no writer is there, the element waits and says why
 * by PROGRESS messages with the code "connect".
 *
 * It answers the LATENCY query with what #GstPossumSrc:max-buffers frames last as the
 * most: a sink keeps each frame for the latency of its pipeline, and what does not find
 * room meanwhile is lost. Where a pipeline needs more, because of another live branch or
 * of gst_pipeline_set_latency(), a warning says so, and a larger max-buffers or a queue
 * behind this element helps.
 *
 * All its messages come from the streaming thread. As with every element, a handler that
 * runs in it (a bus sync handler) cannot stop the element.
 *
 * Players make the element from a URI, `possum://CHANNEL?PROPERTY=VALUE&...`, whose
 * parameters are the properties below but #GstPossumSrc:channel. Setting one while the
 * element is in NULL or READY says everything: what it does not name goes back to its
 * default. Bytes that mean something in a URI are written as %XX. Applications that let
 * people choose find channels by the possumdeviceprovider.
 *
 * ## Example launch lines
 * In one terminal:
 * |[
 * gst-launch-1.0 videotestsrc ! possumsink
 * ]|
 * In another, or in several:
 * |[
 * gst-launch-1.0 possumsrc ! videoconvert ! autovideosink
 * ]|
 * Only ever the newest frame:
 * |[
 * gst-launch-1.0 possumsrc max-buffers=1 ! videoconvert ! autovideosink sync=false
 * ]|
 * In a player:
 * |[
 * gst-play-1.0 "possum://default?max-buffers=1"
 * ]|
 *
 * Since: 0.1
 */
#include "gstpossumsrc.h"

#include <atomic>
#include <memory>

#include "caps.h"
#include "element.h"
#include "refs.h"
#include "srcsettings.h"
#include "srcstream.h"
#include "urihandler.h"

GST_DEBUG_CATEGORY(gst_possum_src_debug);
#define GST_CAT_DEFAULT gst_possum_src_debug

using possum::ObjectLock;
using possum::Ref;
using possum::SrcProperty;
using possum::SrcSettings;
using possum::SrcStream;

namespace {

// With the object lock held nothing is called but SrcStream::follow().
struct SrcImpl {
  SrcSettings settings;               // guarded by the object lock
  std::shared_ptr<SrcStream> stream;  // guarded by the object lock; of the last start
  std::atomic<GThread*> pausing{nullptr};  // who takes the element to PAUSED just now
};

}  // namespace

struct _GstPossumSrc {
  GstPushSrc parent;
  SrcImpl* impl;
};

G_DEFINE_FINAL_TYPE_WITH_CODE(GstPossumSrc, gst_possum_src, GST_TYPE_PUSH_SRC,
                              G_IMPLEMENT_INTERFACE(GST_TYPE_URI_HANDLER,
                                                    possum::init_uri_handler))
GST_ELEMENT_REGISTER_DEFINE_WITH_CODE(
    possumsrc, "possumsrc", GST_RANK_NONE, GST_TYPE_POSSUM_SRC,
    GST_DEBUG_CATEGORY_INIT(gst_possum_src_debug, "possumsrc", 0, "possumsrc element"))

static std::shared_ptr<SrcStream> stream_of(gpointer self) {
  const ObjectLock lock(self);
  return GST_POSSUM_SRC(self)->impl->stream;
}

// --- properties ----------------------------------------------------------------------

static void gst_possum_src_set_property(GObject* object, guint id, const GValue* value,
                                        GParamSpec* spec) {
  SrcImpl& impl = *GST_POSSUM_SRC(object)->impl;
  const bool set =
      possum::change_setting(object, impl.settings, id, value, spec, [&impl] {
        if (impl.stream) impl.stream->follow(impl.settings);
      });
  if (set && static_cast<SrcProperty>(id) == SrcProperty::is_live) {
    gst_base_src_set_live(GST_BASE_SRC(object), g_value_get_boolean(value));
  }
}

static void gst_possum_src_get_property(GObject* object, guint id, GValue* value,
                                        GParamSpec* spec) {
  if (static_cast<SrcProperty>(id) == SrcProperty::stats) {
    const auto stream = stream_of(object);
    g_value_take_boxed(value, stream ? stream->statistics() : nullptr);
    return;
  }
  const ObjectLock lock(object);
  if (!GST_POSSUM_SRC(object)->impl->settings.get(id, value)) {
    G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
  }
}

// --- states --------------------------------------------------------------------------

static gboolean start(GstPossumSrc* self) {
  SrcImpl& impl = *self->impl;
  SrcSettings settings;
  {
    const ObjectLock lock(self);
    settings = impl.settings;
  }
  possum::Error error;
  std::shared_ptr<SrcStream> stream =
      SrcStream::open(GST_BASE_SRC(self), settings, error);
  if (!stream) {
    possum::post_error(GST_ELEMENT(self), possum::Side::src, error);
    return FALSE;
  }
  const ObjectLock lock(self);
  stream->follow(impl.settings);  // what was set meanwhile
  impl.stream.swap(stream);
  return TRUE;
}

static gboolean gst_possum_src_start(GstBaseSrc* base) {
  return possum::guarded(base, possum::Side::src, FALSE,
                         [base] { return start(GST_POSSUM_SRC(base)); });
}

static gboolean gst_possum_src_stop(GstBaseSrc* base) {
  if (const auto stream = stream_of(base)) stream->close();
  return TRUE;
}

// Some versions of GstBaseSrc, 1.26 for one, also call it on the way to PAUSED. create()
// waits for PLAYING there without being told, and would rather not return FLUSHING: that
// pauses the streaming task, and for good if PLAYING has come before it does.
static gboolean gst_possum_src_unlock(GstBaseSrc* base) {
  if (GST_POSSUM_SRC(base)->impl->pausing == g_thread_self()) return TRUE;
  GST_DEBUG_OBJECT(base, "waits are interrupted");
  if (const auto stream = stream_of(base)) stream->interrupt();
  return TRUE;
}

static gboolean gst_possum_src_unlock_stop(GstBaseSrc* base) {
  GST_DEBUG_OBJECT(base, "waits may go on");
  if (const auto stream = stream_of(base)) stream->resume();
  return TRUE;
}

static GstStateChangeReturn gst_possum_src_change_state(GstElement* element,
                                                        GstStateChange transition) {
  // Before the base class lets the streaming thread go on.
  if (transition == GST_STATE_CHANGE_PAUSED_TO_PLAYING) {
    if (const auto stream = stream_of(element)) stream->playing();
  }
  const bool pauses = transition == GST_STATE_CHANGE_PLAYING_TO_PAUSED;
  if (pauses) GST_POSSUM_SRC(element)->impl->pausing = g_thread_self();
  const GstStateChangeReturn result =
      GST_ELEMENT_CLASS(gst_possum_src_parent_class)->change_state(element, transition);
  if (pauses) GST_POSSUM_SRC(element)->impl->pausing = nullptr;
  // An aggregator of live sources starts at PLAYING, with the caps that it has then.
  if (transition == GST_STATE_CHANGE_READY_TO_PAUSED &&
      result == GST_STATE_CHANGE_NO_PREROLL &&
      gst_pad_is_linked(GST_BASE_SRC_PAD(element))) {
    if (const auto stream = stream_of(element)) stream->await_announcement();
  }
  return result;
}

// --- streaming -----------------------------------------------------------------------

static GstFlowReturn gst_possum_src_create(GstPushSrc* push, GstBuffer** buffer) {
  return possum::guarded(push, possum::Side::src, GST_FLOW_ERROR, [=] {
    const auto stream = stream_of(push);
    return stream ? stream->create(buffer) : GST_FLOW_FLUSHING;
  });
}

// The writer decides the caps, downstream whether it takes them.
static gboolean gst_possum_src_negotiate(GstBaseSrc* base) {
  return possum::guarded(base, possum::Side::src, FALSE, [base] {
    if (const auto stream = stream_of(base)) stream->negotiate();
    return TRUE;
  });
}

static gboolean gst_possum_src_decide_allocation(GstBaseSrc* base, GstQuery* query) {
  if (const auto stream = stream_of(base)) stream->allocation_answered(query);
  // Frames come in memory of their own; a pool from downstream must not be set up.
  while (gst_query_get_n_allocation_pools(query) > 0) {
    gst_query_remove_nth_allocation_pool(query, 0);
  }
  return TRUE;
}

static GstCaps* gst_possum_src_get_caps(GstBaseSrc* base, GstCaps* filter) {
  const auto stream = stream_of(base);
  Ref<GstCaps> caps = stream ? stream->caps() : nullptr;
  if (!caps) caps.reset(gst_pad_get_pad_template_caps(GST_BASE_SRC_PAD(base)));
  if (filter == nullptr) return caps.release();
  return gst_caps_intersect_full(filter, caps.get(), GST_CAPS_INTERSECT_FIRST);
}

static gboolean gst_possum_src_is_seekable(GstBaseSrc*) { return FALSE; }

static gboolean gst_possum_src_query(GstBaseSrc* base, GstQuery* query) {
  const auto stream = stream_of(base);
  if (GST_QUERY_TYPE(query) != GST_QUERY_LATENCY || !stream ||
      !gst_base_src_is_live(base)) {
    return GST_BASE_SRC_CLASS(gst_possum_src_parent_class)->query(base, query);
  }
  const possum::LatencyEstimate::Range latency = stream->latency();
  GST_DEBUG_OBJECT(base, "latency %" GST_TIME_FORMAT " to %" GST_TIME_FORMAT,
                   GST_TIME_ARGS(latency.min), GST_TIME_ARGS(latency.max));
  gst_query_set_latency(query, TRUE, latency.min, latency.max);
  return TRUE;
}

static gboolean gst_possum_src_event(GstBaseSrc* base, GstEvent* event) {
  const auto stream = stream_of(base);
  if (GST_EVENT_TYPE(event) == GST_EVENT_LATENCY && stream) {
    GstClockTime latency = 0;
    gst_event_parse_latency(event, &latency);
    stream->configured(latency);
  }
  return GST_BASE_SRC_CLASS(gst_possum_src_parent_class)->event(base, event);
}

// --- class ---------------------------------------------------------------------------

static void gst_possum_src_finalize(GObject* object) {
  delete GST_POSSUM_SRC(object)->impl;
  G_OBJECT_CLASS(gst_possum_src_parent_class)->finalize(object);
}

// num-buffers or the application ended the stream: the writer must not wait for a reader
// that takes nothing any more.
static GstPadProbeReturn leave_at_eos(GstPad*, GstPadProbeInfo* info, gpointer self) {
  if (GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_EOS) {
    if (const auto stream = stream_of(self)) stream->leave();
  }
  return GST_PAD_PROBE_OK;
}

static void gst_possum_src_init(GstPossumSrc* self) {
  self->impl = new SrcImpl;
  gst_pad_add_probe(GST_BASE_SRC_PAD(self), GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
                    leave_at_eos, self, nullptr);
  gst_base_src_set_format(GST_BASE_SRC(self), GST_FORMAT_TIME);
  gst_base_src_set_live(GST_BASE_SRC(self), self->impl->settings.is_live);
}

static void gst_possum_src_class_init(GstPossumSrcClass* klass) {
  GObjectClass* const object_class = G_OBJECT_CLASS(klass);
  object_class->set_property = gst_possum_src_set_property;
  object_class->get_property = gst_possum_src_get_property;
  object_class->finalize = gst_possum_src_finalize;
  possum::install_src_properties(object_class);

  GstElementClass* const element_class = GST_ELEMENT_CLASS(klass);
  element_class->change_state = gst_possum_src_change_state;
  const Ref<GstCaps> caps = possum::raw_video_caps();
  gst_element_class_add_pad_template(
      element_class,
      gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, caps.get()));
  gst_element_class_set_static_metadata(
      element_class, "Possum video source", "Source/Video",
      "Reads raw video from a possumsink in another process, without copying",
      "the possum authors");

  GstBaseSrcClass* const base_class = GST_BASE_SRC_CLASS(klass);
  base_class->start = gst_possum_src_start;
  base_class->stop = gst_possum_src_stop;
  base_class->unlock = gst_possum_src_unlock;
  base_class->unlock_stop = gst_possum_src_unlock_stop;
  base_class->negotiate = gst_possum_src_negotiate;
  base_class->decide_allocation = gst_possum_src_decide_allocation;
  base_class->get_caps = gst_possum_src_get_caps;
  base_class->is_seekable = gst_possum_src_is_seekable;
  base_class->query = gst_possum_src_query;
  base_class->event = gst_possum_src_event;
  GST_PUSH_SRC_CLASS(klass)->create = gst_possum_src_create;
}
