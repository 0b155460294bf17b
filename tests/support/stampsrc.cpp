// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Draws into whatever pool downstream offers, as videotestsrc does, with a border around
// the picture as decoders have it.
#include "stampsrc.h"

#include <gst/base/gstpushsrc.h>
#include <gst/video/gstvideopool.h>
#include <gst/video/video.h>

#include <ctime>
#include <mutex>
#include <utility>

#include "base/clock.h"
#include "stamp.h"

namespace {

enum Property {
  PROP_0,
  PROP_CAPS,
  PROP_CHANGE_EVERY,
  PROP_LIVE,
  PROP_PADDING,
  PROP_OWN_MEMORY,
  PROP_REDRAW,
};

struct Impl {
  GstCaps* caps = nullptr;
  guint change_every = 0;
  guint padding = 0;
  bool own_memory = false;
  bool redraw = false;

  // Streaming thread.
  guint64 turn = 0;
  guint64 number = 0;
  GstClockTime running_time = 0;
  GstVideoInfo info;
  GstBuffer* last = nullptr;  // with redraw

  std::mutex lock;
  GstClockID wait = nullptr;  // guarded by lock
  bool flushing = false;      // guarded by lock
};

struct StampSrc {
  GstPushSrc parent;
  Impl* impl;
};
struct StampSrcClass {
  GstPushSrcClass parent;
};

G_DEFINE_TYPE(StampSrc, stamp_src, GST_TYPE_PUSH_SRC)

Impl& impl_of(gpointer self) { return *static_cast<StampSrc*>(self)->impl; }

std::int64_t monotonic_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

// --- caps ----------------------------------------------------------------------------

GstCaps* stamp_src_get_caps(GstBaseSrc* src, GstCaps* filter) {
  GstCaps* caps = impl_of(src).caps;
  if (caps == nullptr) return gst_pad_get_pad_template_caps(GST_BASE_SRC_PAD(src));
  if (filter == nullptr) return gst_caps_ref(caps);
  return gst_caps_intersect_full(filter, caps, GST_CAPS_INTERSECT_FIRST);
}

gboolean stamp_src_negotiate(GstBaseSrc* src) {
  Impl& impl = impl_of(src);
  const auto which = static_cast<guint>(impl.turn % gst_caps_get_size(impl.caps));
  GstCaps* caps = gst_caps_copy_nth(impl.caps, which);
  const gboolean fine =
      gst_video_info_from_caps(&impl.info, caps) && gst_base_src_set_caps(src, caps);
  gst_caps_unref(caps);
  return fine;
}

// --- memory --------------------------------------------------------------------------

// Instead of what downstream offers.
void offer_own_pool(const Impl& impl, GstQuery* query) {
  while (gst_query_get_n_allocation_pools(query) > 0) {
    gst_query_remove_nth_allocation_pool(query, 0);
  }
  GstBufferPool* pool = gst_video_buffer_pool_new();
  gst_query_add_allocation_pool(query, pool, static_cast<guint>(impl.info.size), 2, 0);
  gst_object_unref(pool);
}

void configure(GstBufferPool* pool, const Impl& impl) {
  GstStructure* config = gst_buffer_pool_get_config(pool);
  gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  if (impl.padding > 0) {
    GstVideoAlignment align;
    gst_video_alignment_reset(&align);
    align.padding_left = align.padding_right = impl.padding;
    align.padding_top = align.padding_bottom = impl.padding;
    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
    gst_buffer_pool_config_set_video_alignment(config, &align);
  }
  gst_buffer_pool_set_config(pool, config);
}

gboolean stamp_src_decide_allocation(GstBaseSrc* src, GstQuery* query) {
  const Impl& impl = impl_of(src);
  if (impl.own_memory || gst_query_get_n_allocation_pools(query) == 0) {
    offer_own_pool(impl, query);
  }
  if (!GST_BASE_SRC_CLASS(stamp_src_parent_class)->decide_allocation(src, query)) {
    return FALSE;
  }
  GstBufferPool* pool = nullptr;
  gst_query_parse_nth_allocation_pool(query, 0, &pool, nullptr, nullptr, nullptr);
  configure(pool, impl);
  gst_object_unref(pool);
  return TRUE;
}

// --- frames --------------------------------------------------------------------------

bool wait_until(GstBaseSrc* src, GstClockTime running_time) {
  Impl& impl = impl_of(src);
  GstClock* clock = gst_element_get_clock(GST_ELEMENT(src));
  if (clock == nullptr) return false;
  const GstClockTime when = gst_element_get_base_time(GST_ELEMENT(src)) + running_time;
  GstClockID id = gst_clock_new_single_shot_id(clock, when);
  gst_object_unref(clock);
  {
    const std::scoped_lock guard(impl.lock);
    impl.wait = id;
    if (impl.flushing) gst_clock_id_unschedule(id);
  }
  const GstClockReturn result = gst_clock_id_wait(id, nullptr);
  const std::scoped_lock guard(impl.lock);
  gst_clock_id_unref(std::exchange(impl.wait, nullptr));
  return result != GST_CLOCK_UNSCHEDULED;
}

GstClockTime frame_duration(const GstVideoInfo& info) {
  return gst_util_uint64_scale_int(GST_SECOND, info.fps_d, info.fps_n);
}

GstFlowReturn next_buffer(GstBaseSrc* src, GstBuffer** buffer) {
  Impl& impl = impl_of(src);
  if (impl.last != nullptr) {
    *buffer = gst_buffer_make_writable(std::exchange(impl.last, nullptr));
    return GST_FLOW_OK;
  }
  return GST_BASE_SRC_CLASS(stamp_src_parent_class)->alloc(src, impl.number, 0, buffer);
}

GstFlowReturn stamp_src_create(GstPushSrc* push, GstBuffer** buffer) {
  auto* src = GST_BASE_SRC(push);
  Impl& impl = impl_of(src);
  const guint64 turn = impl.change_every > 0 ? impl.number / impl.change_every : 0;
  if (turn != std::exchange(impl.turn, turn) && !gst_base_src_negotiate(src)) {
    return GST_FLOW_NOT_NEGOTIATED;
  }
  if (gst_base_src_is_live(src) && !wait_until(src, impl.running_time)) {
    const GstFlowReturn flow = gst_base_src_wait_playing(src);
    if (flow != GST_FLOW_OK) return flow;
  }
  const GstFlowReturn flow = next_buffer(src, buffer);
  if (flow != GST_FLOW_OK) return flow;
  const std::int64_t now_ns = monotonic_ns();
  ++impl.number;
  GstVideoFrame frame;
  if (!gst_video_frame_map(&frame, &impl.info, *buffer, GST_MAP_WRITE)) {
    return GST_FLOW_ERROR;
  }
  support::draw_stamped(&frame, impl.number, now_ns);
  gst_video_frame_unmap(&frame);
  GST_BUFFER_PTS(*buffer) = impl.running_time;
  if (gst_base_src_is_live(src)) {
    GST_BUFFER_PTS(*buffer) =
        static_cast<GstClockTime>(now_ns) - gst_element_get_base_time(GST_ELEMENT(src));
  }
  GST_BUFFER_DURATION(*buffer) = frame_duration(impl.info);
  GST_BUFFER_OFFSET(*buffer) = impl.number;
  impl.running_time += frame_duration(impl.info);
  if (impl.redraw) gst_buffer_replace(&impl.last, *buffer);
  return GST_FLOW_OK;
}

gboolean stamp_src_unlock(GstBaseSrc* src) {
  Impl& impl = impl_of(src);
  const std::scoped_lock guard(impl.lock);
  impl.flushing = true;
  if (impl.wait != nullptr) gst_clock_id_unschedule(impl.wait);
  return TRUE;
}

gboolean stamp_src_unlock_stop(GstBaseSrc* src) {
  Impl& impl = impl_of(src);
  const std::scoped_lock guard(impl.lock);
  impl.flushing = false;
  return TRUE;
}

gboolean stamp_src_start(GstBaseSrc* src) {
  Impl& impl = impl_of(src);
  impl.turn = 0;
  impl.number = 0;
  impl.running_time = 0;
  return impl.caps != nullptr;
}

gboolean stamp_src_stop(GstBaseSrc* src) {
  gst_clear_buffer(&impl_of(src).last);
  return TRUE;
}

gboolean stamp_src_query(GstBaseSrc* src, GstQuery* query) {
  if (GST_QUERY_TYPE(query) == GST_QUERY_LATENCY) {
    gst_query_set_latency(query, gst_base_src_is_live(src), 0, GST_CLOCK_TIME_NONE);
    return TRUE;
  }
  return GST_BASE_SRC_CLASS(stamp_src_parent_class)->query(src, query);
}

// --- object --------------------------------------------------------------------------

void stamp_src_set_property(GObject* object, guint id, const GValue* value, GParamSpec*) {
  Impl& impl = impl_of(object);
  switch (id) {
    case PROP_CAPS:
      gst_clear_caps(&impl.caps);
      impl.caps = gst_caps_from_string(g_value_get_string(value));
      break;
    case PROP_CHANGE_EVERY:
      impl.change_every = g_value_get_uint(value);
      break;
    case PROP_LIVE:
      gst_base_src_set_live(GST_BASE_SRC(object), g_value_get_boolean(value));
      break;
    case PROP_PADDING:
      impl.padding = g_value_get_uint(value);
      break;
    case PROP_OWN_MEMORY:
      impl.own_memory = g_value_get_boolean(value);
      break;
    case PROP_REDRAW:
      impl.redraw = g_value_get_boolean(value);
      break;
    default:
      break;
  }
}

void stamp_src_finalize(GObject* object) {
  Impl* impl = static_cast<StampSrc*>(static_cast<gpointer>(object))->impl;
  gst_clear_caps(&impl->caps);
  delete impl;
  G_OBJECT_CLASS(stamp_src_parent_class)->finalize(object);
}

void stamp_src_class_init(StampSrcClass* klass) {
  auto* object_class = G_OBJECT_CLASS(klass);
  object_class->set_property = stamp_src_set_property;
  object_class->finalize = stamp_src_finalize;
  constexpr auto kFlags =
      static_cast<GParamFlags>(G_PARAM_WRITABLE | G_PARAM_STATIC_STRINGS);
  const auto uint = [](const char* name) {
    return g_param_spec_uint(name, name, name, 0, G_MAXUINT, 0, kFlags);
  };
  const auto boolean = [](const char* name) {
    return g_param_spec_boolean(name, name, name, FALSE, kFlags);
  };
  g_object_class_install_property(
      object_class, PROP_CAPS, g_param_spec_string("caps", "caps", "caps", "", kFlags));
  g_object_class_install_property(object_class, PROP_CHANGE_EVERY, uint("change-every"));
  g_object_class_install_property(object_class, PROP_LIVE, boolean("live"));
  g_object_class_install_property(object_class, PROP_PADDING, uint("padding"));
  g_object_class_install_property(object_class, PROP_OWN_MEMORY, boolean("own-memory"));
  g_object_class_install_property(object_class, PROP_REDRAW, boolean("redraw"));

  auto* element_class = GST_ELEMENT_CLASS(klass);
  gst_element_class_set_static_metadata(element_class, "stamp source", "Source/Video",
                                        "Draws pictures that prove themselves",
                                        "the possum authors");
  GstCaps* caps = gst_caps_new_empty_simple("video/x-raw");
  gst_element_class_add_pad_template(
      element_class, gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, caps));
  gst_caps_unref(caps);

  auto* base_class = GST_BASE_SRC_CLASS(klass);
  base_class->get_caps = stamp_src_get_caps;
  base_class->negotiate = stamp_src_negotiate;
  base_class->decide_allocation = stamp_src_decide_allocation;
  base_class->unlock = stamp_src_unlock;
  base_class->unlock_stop = stamp_src_unlock_stop;
  base_class->start = stamp_src_start;
  base_class->stop = stamp_src_stop;
  base_class->query = stamp_src_query;
  GST_PUSH_SRC_CLASS(klass)->create = stamp_src_create;
}

void stamp_src_init(StampSrc* self) {
  self->impl = new Impl;
  gst_base_src_set_format(GST_BASE_SRC(self), GST_FORMAT_TIME);
}

}  // namespace

void register_stampsrc() {
  gst_element_register(nullptr, "stampsrc", GST_RANK_NONE, stamp_src_get_type());
}
