// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The producing process of the benchmark:
//
//   bench-producer --caps CAPS --sink "ELEMENT PROPERTIES..." [OPTION...]
//
// A source that stamps frames, drawn into whatever pool the sink proposes or into memory
// of its own, and the sink under test. Prints one line of JSON about the measured frames.
#include <gst/base/gstpushsrc.h>
#include <gst/gst.h>
#include <gst/video/video.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <unordered_set>

#include "options.h"
#include "usage.h"

namespace {

struct Options {
  gchar* caps = nullptr;
  gchar* sink = nullptr;
  gboolean foreign = FALSE;
  gint rate = 0;
  gint64 warm_up = 100;
  gint64 frames = 1000;
};
Options options;

struct Measure {
  bench::Usage from;
  bool done = false;
  std::int64_t push_ns = 0;                // when the last frame went out
  std::vector<std::int64_t> intervals_ns;  // from one push to being asked again
};
Measure measure;

// --- source
// ------------------------------------------------------------------------------

struct StampSrc {
  GstPushSrc parent;
  GstVideoInfo* info;
  std::uint64_t seq;
  std::int64_t due_ns;
  std::unordered_set<const void*>* drawn;
};
struct StampSrcClass {
  GstPushSrcClass parent_class;
};

constexpr guint kOwnBuffers = 16;

G_DEFINE_TYPE(StampSrc, stamp_src, GST_TYPE_PUSH_SRC)

gboolean set_caps(GstBaseSrc* base, GstCaps* caps) {
  return gst_video_info_from_caps(reinterpret_cast<StampSrc*>(base)->info, caps);
}

gboolean decide_allocation(GstBaseSrc* base, GstQuery* query) {
  auto* self = reinterpret_cast<StampSrc*>(base);
  GstCaps* caps = nullptr;
  gst_query_parse_allocation(query, &caps, nullptr);
  GstAllocator* allocator = nullptr;
  GstAllocationParams params;
  gst_allocation_params_init(&params);
  GstBufferPool* pool = nullptr;
  guint size = static_cast<guint>(self->info->size);
  guint min = 0;
  guint max = 0;
  if (!options.foreign) {
    if (gst_query_get_n_allocation_params(query) > 0) {
      gst_query_parse_nth_allocation_param(query, 0, &allocator, &params);
    }
    if (gst_query_get_n_allocation_pools(query) > 0) {
      gst_query_parse_nth_allocation_pool(query, 0, &pool, &size, &min, &max);
    }
  }
  size = std::max(size, static_cast<guint>(self->info->size));
  if (pool == nullptr) {
    // An allocator without a pool, or memory of our own: as many buffers as a capture
    // device has, so that no sink is drowned.
    pool = gst_buffer_pool_new();
    min = options.foreign ? kOwnBuffers : 2;
    max = options.foreign ? kOwnBuffers : 8;
  }
  GstStructure* config = gst_buffer_pool_get_config(pool);
  gst_buffer_pool_config_set_params(config, caps, size, min, max);
  gst_buffer_pool_config_set_allocator(config, allocator, &params);
  gst_buffer_pool_set_config(pool, config);
  if (gst_query_get_n_allocation_pools(query) > 0) {
    gst_query_set_nth_allocation_pool(query, 0, pool, size, min, max);
  } else {
    gst_query_add_allocation_pool(query, pool, size, min, max);
  }
  gst_object_unref(pool);
  if (allocator) gst_object_unref(allocator);
  return TRUE;
}

void count(std::uint64_t seq) {
  const auto first = static_cast<std::uint64_t>(options.warm_up);
  const auto last = first + static_cast<std::uint64_t>(options.frames);
  if (seq == first) measure.from = bench::Usage::now();
  if (seq > first && seq <= last && measure.push_ns != 0) {
    measure.intervals_ns.push_back(bench::now_ns() - measure.push_ns);
  }
  if (seq != last) return;
  const bench::Usage used = bench::Usage::now() - measure.from;
  measure.done = true;
  // At once: with the consumers gone, some sinks wait for ever.
  bench::Report report;
  report.add(used, static_cast<double>(options.frames));
  report.add_latency(measure.intervals_ns);
  report.print();
}

void pace(StampSrc* self) {
  if (options.rate == 0) return;
  if (self->due_ns == 0) self->due_ns = bench::now_ns();
  self->due_ns += 1'000'000'000 / options.rate;
  const timespec due = {self->due_ns / 1'000'000'000, self->due_ns % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr) == EINTR) {
  }
}

GstFlowReturn fill(GstPushSrc* push, GstBuffer* buffer) {
  auto* self = reinterpret_cast<StampSrc*>(push);
  const std::uint64_t seq = self->seq++;
  count(seq);
  // Some frames more, so that a consumer is never the one that waits for the end.
  if (seq >= static_cast<std::uint64_t>(options.warm_up + options.frames) + 32) {
    return GST_FLOW_EOS;
  }
  GstMapInfo map;
  if (!gst_buffer_map(buffer, &map, GST_MAP_WRITE)) return GST_FLOW_ERROR;
  auto* const frame = reinterpret_cast<std::byte*>(map.data);
  if (self->drawn->insert(frame).second) bench::draw_background(frame, map.size);
  pace(self);
  bench::Stamp stamp{};
  stamp.magic = bench::kMagic;
  stamp.seq = seq;
  stamp.producer = static_cast<std::uint64_t>(getpid());
  stamp.sent_ns = bench::now_ns();
  measure.push_ns = stamp.sent_ns;
  bench::write_stamp(frame, map.size, stamp);
  gst_buffer_unmap(buffer, &map);
  return GST_FLOW_OK;
}

void finalize(GObject* object) {
  auto* self = reinterpret_cast<StampSrc*>(object);
  gst_video_info_free(self->info);
  delete self->drawn;
  G_OBJECT_CLASS(stamp_src_parent_class)->finalize(object);
}

void stamp_src_class_init(StampSrcClass* klass) {
  static GstStaticPadTemplate pad = GST_STATIC_PAD_TEMPLATE(
      "src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS("video/x-raw"));
  gst_element_class_add_static_pad_template(GST_ELEMENT_CLASS(klass), &pad);
  gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(klass), "Stamp source",
                                        "Source/Video", "Stamps frames", "possum");
  G_OBJECT_CLASS(klass)->finalize = finalize;
  GST_BASE_SRC_CLASS(klass)->set_caps = set_caps;
  GST_BASE_SRC_CLASS(klass)->decide_allocation = decide_allocation;
  GST_PUSH_SRC_CLASS(klass)->fill = fill;
}

void stamp_src_init(StampSrc* self) {
  self->info = gst_video_info_new();
  self->drawn = new std::unordered_set<const void*>;
  gst_base_src_set_format(GST_BASE_SRC(self), GST_FORMAT_TIME);
}

// --- program
// -----------------------------------------------------------------------------

int run() {
  GError* problem = nullptr;
  const std::string line =
      std::string("stampsrc name=src ! ") + options.caps + " ! " + options.sink;
  GstElement* pipeline = gst_parse_launch(line.c_str(), &problem);
  if (problem) {
    std::fprintf(stderr, "%s\n", problem->message);
    return 2;
  }
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  std::printf("playing\n");
  std::fflush(stdout);
  GstBus* bus = gst_element_get_bus(pipeline);
  GstMessage* message = bench::await_message(bus, GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
  const bool failed = GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR;
  gst_message_unref(message);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  gst_object_unref(bus);
  gst_object_unref(pipeline);
  return failed || !measure.done ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  const GOptionEntry entries[] = {
      {"caps", 0, 0, G_OPTION_ARG_STRING, &options.caps, "of the frames", "CAPS"},
      {"sink", 0, 0, G_OPTION_ARG_STRING, &options.sink, "under test", "LINE"},
      {"foreign", 0, 0, G_OPTION_ARG_NONE, &options.foreign,
       "draw into memory of the source's own", nullptr},
      {"rate", 0, 0, G_OPTION_ARG_INT, &options.rate, "frames/s, 0: as fast as may be",
       "N"},
      {"warm-up", 0, 0, G_OPTION_ARG_INT64, &options.warm_up, "frames before", "N"},
      {"frames", 0, 0, G_OPTION_ARG_INT64, &options.frames, "frames measured", "N"},
      {},
  };
  if (!bench::parse_options(argc, argv, entries)) return 2;
  if (!options.caps || !options.sink) {
    std::fprintf(stderr, "--caps and --sink are needed\n");
    return 2;
  }
  gst_element_register(nullptr, "stampsrc", GST_RANK_NONE, stamp_src_get_type());
  return run();
}
