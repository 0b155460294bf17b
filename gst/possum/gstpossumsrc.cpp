// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The GObject side of possumsrc: properties and GstBaseSrc's questions. What happens in
// the streaming thread is SrcStream's.

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
#include <string>

#include "caps.h"
#include "errors.h"
#include "mutability.h"
#include "refs.h"
#include "srcenums.h"
#include "srcstream.h"
#include "urihandler.h"

GST_DEBUG_CATEGORY(gst_possum_src_debug);
#define GST_CAT_DEFAULT gst_possum_src_debug

using possum::ObjectLock;
using possum::Ref;
using possum::SrcSettings;
using possum::SrcStream;

namespace {

enum Property {
  PROP_0,
  PROP_CHANNEL,
  PROP_LEAKY_TYPE,
  PROP_MAX_BUFFERS,
  PROP_CONNECTION_TIMEOUT,
  PROP_ON_DISCONNECT,
  PROP_IGNORE_EOS,
  PROP_TIMESTAMP_MODE,
  PROP_IS_LIVE,
  PROP_ALLOWED_OWNER,
  PROP_COPY_FRAMES,
  PROP_SIGBUS_GUARD,
  PROP_STATS,
};

// All but the atomic guarded by the object lock. The stream exists from start to stop;
// whoever needs it takes a share of it and lets go of the lock.
struct SrcImpl {
  SrcSettings settings;
  std::shared_ptr<SrcStream> stream;
  Ref<GstStructure> last_statistics;       // of the stream before, once it has stopped
  std::atomic<GThread*> pausing{nullptr};  // who takes the element to PAUSED just now
};

}  // namespace

struct _GstPossumSrc {
  GstPushSrc parent;
  SrcImpl* impl;
};

G_DEFINE_TYPE_WITH_CODE(GstPossumSrc, gst_possum_src, GST_TYPE_PUSH_SRC,
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

static std::string string_of(const GValue* value, const char* fallback) {
  const gchar* const text = g_value_get_string(value);
  return text == nullptr ? fallback : text;
}

// False if it is no setting.
static bool set(SrcSettings& settings, guint id, const GValue* value) {
  switch (id) {
    case PROP_CHANNEL:
      settings.channel = string_of(value, "default");
      break;
    case PROP_LEAKY_TYPE:
      settings.leaky = static_cast<possum::Leaky>(g_value_get_enum(value));
      break;
    case PROP_MAX_BUFFERS:
      settings.max_buffers = g_value_get_uint(value);
      break;
    case PROP_CONNECTION_TIMEOUT:
      settings.connection_timeout = g_value_get_uint64(value);
      break;
    case PROP_ON_DISCONNECT:
      settings.on_disconnect = static_cast<possum::OnDisconnect>(g_value_get_enum(value));
      break;
    case PROP_IGNORE_EOS:
      settings.ignore_eos = g_value_get_boolean(value);
      break;
    case PROP_TIMESTAMP_MODE:
      settings.timestamp_mode =
          static_cast<possum::TimestampMode>(g_value_get_enum(value));
      break;
    case PROP_IS_LIVE:
      settings.is_live = g_value_get_boolean(value);
      break;
    case PROP_ALLOWED_OWNER:
      settings.allowed_owner = string_of(value, "");
      break;
    case PROP_COPY_FRAMES:
      settings.copy_frames = g_value_get_boolean(value);
      break;
    case PROP_SIGBUS_GUARD:
      settings.sigbus_guard = g_value_get_boolean(value);
      break;
    default:
      return false;
  }
  return true;
}

static void gst_possum_src_set_property(GObject* object, guint id, const GValue* value,
                                        GParamSpec* pspec) {
  auto* const element = GST_ELEMENT_CAST(object);
  SrcImpl& impl = *GST_POSSUM_SRC(object)->impl;
  bool refused = false;
  {
    const ObjectLock lock(object);
    SrcSettings changed = impl.settings;
    if (!set(changed, id, value)) G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    refused = changed != impl.settings && !possum::may_set(element, pspec);
    if (!refused) impl.settings = std::move(changed);
    if (impl.stream) impl.stream->follow(impl.settings);
  }
  if (refused) {
    possum::warn_not_set(element, pspec);
  } else if (id == PROP_IS_LIVE) {
    gst_base_src_set_live(GST_BASE_SRC(object), g_value_get_boolean(value));
  }
}

static GstStructure* statistics_of(GstPossumSrc* self) {
  if (const auto stream = stream_of(self)) return stream->statistics();
  const ObjectLock lock(self);
  const GstStructure* const last = self->impl->last_statistics.get();
  return last == nullptr ? nullptr : gst_structure_copy(last);
}

static void gst_possum_src_get_property(GObject* object, guint id, GValue* value,
                                        GParamSpec* pspec) {
  GstPossumSrc* const self = GST_POSSUM_SRC(object);
  if (id == PROP_STATS) {
    g_value_take_boxed(value, statistics_of(self));
    return;
  }
  const ObjectLock lock(object);
  const SrcSettings& settings = self->impl->settings;
  switch (id) {
    case PROP_CHANNEL:
      g_value_set_string(value, settings.channel.c_str());
      break;
    case PROP_LEAKY_TYPE:
      g_value_set_enum(value, static_cast<gint>(settings.leaky));
      break;
    case PROP_MAX_BUFFERS:
      g_value_set_uint(value, settings.max_buffers);
      break;
    case PROP_CONNECTION_TIMEOUT:
      g_value_set_uint64(value, settings.connection_timeout);
      break;
    case PROP_ON_DISCONNECT:
      g_value_set_enum(value, static_cast<gint>(settings.on_disconnect));
      break;
    case PROP_IGNORE_EOS:
      g_value_set_boolean(value, settings.ignore_eos);
      break;
    case PROP_TIMESTAMP_MODE:
      g_value_set_enum(value, static_cast<gint>(settings.timestamp_mode));
      break;
    case PROP_IS_LIVE:
      g_value_set_boolean(value, settings.is_live);
      break;
    case PROP_ALLOWED_OWNER:
      g_value_set_string(value, settings.allowed_owner.empty()
                                    ? nullptr
                                    : settings.allowed_owner.c_str());
      break;
    case PROP_COPY_FRAMES:
      g_value_set_boolean(value, settings.copy_frames);
      break;
    case PROP_SIGBUS_GUARD:
      g_value_set_boolean(value, settings.sigbus_guard);
      break;
    default:
      G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
      break;
  }
}

// --- life ----------------------------------------------------------------------------

static gboolean start(GstPossumSrc* self) {
  GstBaseSrc* const base = GST_BASE_SRC(self);
  SrcSettings settings;
  {
    const ObjectLock lock(self);
    settings = self->impl->settings;
  }
  possum::Error error;
  std::shared_ptr<SrcStream> stream = SrcStream::open(base, settings, error);
  if (!stream) {
    possum::post_error(GST_ELEMENT(self), possum::Side::src, error);
    return FALSE;
  }
  const ObjectLock lock(self);
  stream->follow(self->impl->settings);  // what was set meanwhile
  self->impl->stream = std::move(stream);
  self->impl->last_statistics.reset();
  return TRUE;
}

static gboolean gst_possum_src_start(GstBaseSrc* base) {
  return possum::guarded(base, possum::Side::src, FALSE,
                         [base] { return start(GST_POSSUM_SRC(base)); });
}

static gboolean gst_possum_src_stop(GstBaseSrc* base) {
  GstPossumSrc* const self = GST_POSSUM_SRC(base);
  const std::shared_ptr<SrcStream> stream = stream_of(self);
  if (!stream) return TRUE;
  stream->close();
  GST_INFO_OBJECT(self, "has left the channel");
  Ref<GstStructure> statistics{stream->statistics()};
  const ObjectLock lock(self);
  self->impl->last_statistics = std::move(statistics);
  self->impl->stream.reset();
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
    if (const auto stream = stream_of(self)) stream->close();
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

static void install_properties(GObjectClass* klass) {
  const SrcSettings defaults;
  constexpr int kSetting = G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS;
  constexpr auto flags = static_cast<GParamFlags>(kSetting | GST_PARAM_MUTABLE_READY);
  // SrcStream::follow() sees to it.
  constexpr auto any_time =
      static_cast<GParamFlags>(kSetting | GST_PARAM_MUTABLE_PLAYING);
  const auto install = [klass](Property id, GParamSpec* spec) {
    g_object_class_install_property(klass, id, spec);
  };

  /**
   * GstPossumSrc:channel:
   *
   * The name that writer and readers meet by, machine-wide: a letter, digit or "_", then
   * up to 119 letters, digits, ".", "_" or "-". Anything else is an error when the
   * element starts.
   */
  install(PROP_CHANNEL,
          g_param_spec_string(
              "channel", "Channel",
              "Name of the channel to read, unique on the machine: 1 to 120 letters, "
              "digits, '.', '_' or '-', the first no '.' or '-'",
              defaults.channel.c_str(), flags));
  /**
   * GstPossumSrc:leaky-type:
   *
   * What happens when #GstPossumSrc:max-buffers frames wait for this reader. With "none"
   * the writer waits, which it must permit by its allow-blocking property: this is
   * checked whenever the reader attaches, and an error if not so.
   */
  install(PROP_LEAKY_TYPE,
          g_param_spec_enum(
              "leaky-type", "Leaky type",
              "What happens when max-buffers frames wait and another one comes",
              GST_TYPE_POSSUM_SRC_LEAKY_TYPE, static_cast<gint>(defaults.leaky), flags));
  /**
   * GstPossumSrc:max-buffers:
   *
   * How many frames may wait for this reader; those that downstream holds are not among
   * them. 1 with leaky-type=downstream is "the newest only". May be changed at any time:
   * it counts from the next frame on, and the latency that the element answers follows.
   */
  install(PROP_MAX_BUFFERS,
          g_param_spec_uint("max-buffers", "Max buffers",
                            "Frames that may wait for this reader before leaky-type "
                            "applies",
                            1, possum::transport::layout::kMaxDepth, defaults.max_buffers,
                            any_time));
  /**
   * GstPossumSrc:connection-timeout:
   *
   * How long each wait for a channel may last, in nanoseconds, at the start and after
   * each disconnect; 0 is for ever. It also counts while 32 readers are attached, or
   * something else lies under the name. Then the element posts a RESOURCE error:
   * NOT_FOUND, BUSY, or NOT_AUTHORIZED for what belongs to another user.
   */
  install(
      PROP_CONNECTION_TIMEOUT,
      g_param_spec_uint64(
          "connection-timeout", "Connection timeout",
          "Nanoseconds that each wait for a channel may last, at the start and after a "
          "disconnect, before it is an error (0: for ever)",
          0, G_MAXUINT64, defaults.connection_timeout, any_time));
  /**
   * GstPossumSrc:on-disconnect:
   *
   * What to do when the writer stops without EOS, or dies: wait for the next one of that
   * channel, whose caps and times then take over; end the stream; or post a RESOURCE
   * READ error.
   */
  install(PROP_ON_DISCONNECT,
          g_param_spec_enum("on-disconnect", "On disconnect",
                            "What to do when the writer dies, or stops without EOS",
                            GST_TYPE_POSSUM_SRC_ON_DISCONNECT,
                            static_cast<gint>(defaults.on_disconnect), flags));
  /**
   * GstPossumSrc:ignore-eos:
   *
   * Treat the writer's EOS as a disconnect: what follows is up to
   * #GstPossumSrc:on-disconnect. With "wait", frames that the same writer sends after its
   * EOS arrive too.
   */
  install(PROP_IGNORE_EOS,
          g_param_spec_boolean(
              "ignore-eos", "Ignore EOS",
              "Treat the writer's EOS as a disconnect: on-disconnect says what follows",
              defaults.ignore_eos, flags));
  /**
   * GstPossumSrc:timestamp-mode:
   *
   * "clock": a frame's PTS is when it was captured, or, of a writer that is not live,
   * when its sink shows it, in this pipeline's running time, so that two pipelines agree
   * on it. Of a writer with sync=false it is when the frame was published.
   *
   * "running-time", for the hand-over of recorded material: PTS and DTS are the running
   * times of the writer. They are neither its time stamps nor positions in a file: they
   * begin with 0 when it starts, go on across segments and seeks that do not flush, and
   * begin with 0 again after a flushing seek, wherever that leads to. Each writer, and
   * each flush of it, gets a segment of its own, which begins with the first PTS. A pause
   * of the writer, or its wait for min-readers, does not show in running times: to a live
   * reader with a clock that runs on, what follows is late.
   *
   * With do-timestamp=true neither counts: the PTS is when the frame arrived.
   */
  install(PROP_TIMESTAMP_MODE,
          g_param_spec_enum("timestamp-mode", "Timestamp mode",
                            "What PTS and DTS of a frame say",
                            GST_TYPE_POSSUM_SRC_TIMESTAMP_MODE,
                            static_cast<gint>(defaults.timestamp_mode), flags));
  /**
   * GstPossumSrc:is-live:
   *
   * If false, the pipeline prerolls with the first frame, and time stamps are as with
   * timestamp-mode=running-time.
   */
  install(
      PROP_IS_LIVE,
      g_param_spec_boolean(
          "is-live", "Is live",
          "Be a live source. If false, preroll with the first frame and stamp as with "
          "timestamp-mode=running-time",
          defaults.is_live, flags));
  /**
   * GstPossumSrc:allowed-owner:
   *
   * User name or uid whose channels are accepted, besides those of this user and root;
   * "any" accepts all. Whoever owns the channel decides what is shown.
   */
  install(
      PROP_ALLOWED_OWNER,
      g_param_spec_string(
          "allowed-owner", "Allowed owner",
          "User name or uid whose channels are accepted besides those of this user and "
          "root (\"any\": everybody's, NULL: nobody else's)",
          nullptr, flags));
  /**
   * GstPossumSrc:copy-frames:
   *
   * Copy each frame on arrival and give its slot back at once, for pipelines that keep
   * many frames for long.
   */
  install(
      PROP_COPY_FRAMES,
      g_param_spec_boolean(
          "copy-frames", "Copy frames",
          "Copy each frame on arrival and give its slot back at once, for pipelines that "
          "keep many frames for long",
          defaults.copy_frames, any_time));
  /**
   * GstPossumSrc:sigbus-guard:
   *
   * Whoever may write to the channel's shared memory may also truncate it, and the next
   * touch ends this process with SIGBUS. With the guard the frame turns into zeros, for
   * those who hold it too, and the element posts a RESOURCE READ error instead.
   *
   * The handler is installed when the element starts, for the whole process and for good:
   * that is up to the application, hence the default. What is not ours goes to the
   * handler that was there before. One that is installed later replaces the guard, unless
   * it passes on what it does not know. Threads that block SIGBUS are not guarded.
   */
  install(PROP_SIGBUS_GUARD,
          g_param_spec_boolean(
              "sigbus-guard", "SIGBUS guard",
              "Survive somebody who truncates the shared memory: an error instead of a "
              "crash. Installs a SIGBUS handler that stays for the whole process and "
              "passes on what is not ours to the one before it",
              defaults.sigbus_guard, flags));
  /**
   * GstPossumSrc:stats:
   *
   * A #GstStructure of counters since the element started, or of the last run once it has
   * stopped; NULL before the first: "frames" and "bytes" taken, "missed" (frames that the
   * writer sent and this reader did not get), "copied" (frames that were copied), and
   * "reconnects" (attachments after the first) of type guint64; "age" (guint64,
   * nanoseconds from the capture of the newest frame to its arrival here,
   * #GST_CLOCK_TIME_NONE before the first); "writer-pid" (guint, 0 before the first
   * attachment).
   */
  install(
      PROP_STATS,
      g_param_spec_boxed(
          "stats", "Statistics",
          "Since the start: frames and bytes taken; missed (sent but not got); copied "
          "(frames that had to be copied); reconnects; age (ns from the newest frame's "
          "capture to its arrival, -1: none yet); writer-pid (0: none yet). "
          "NULL before the first start",
          GST_TYPE_STRUCTURE,
          static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS)));
}

static void gst_possum_src_class_init(GstPossumSrcClass* klass) {
  GObjectClass* const object_class = G_OBJECT_CLASS(klass);
  object_class->set_property = gst_possum_src_set_property;
  object_class->get_property = gst_possum_src_get_property;
  object_class->finalize = gst_possum_src_finalize;
  install_properties(object_class);

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

  gst_type_mark_as_plugin_api(GST_TYPE_POSSUM_SRC_LEAKY_TYPE,
                              static_cast<GstPluginAPIFlags>(0));
  gst_type_mark_as_plugin_api(GST_TYPE_POSSUM_SRC_ON_DISCONNECT,
                              static_cast<GstPluginAPIFlags>(0));
  gst_type_mark_as_plugin_api(GST_TYPE_POSSUM_SRC_TIMESTAMP_MODE,
                              static_cast<GstPluginAPIFlags>(0));
}
