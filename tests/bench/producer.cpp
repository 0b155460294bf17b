// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The producing process of the benchmark:
//
//   bench-producer --caps CAPS --sink "ELEMENT PROPERTIES..." [OPTION...]
//
// A source that stamps frames, drawn into whatever pool the sink proposes or into memory
// of its own, and the sink under test. Says "playing", measures when it is told "go" on
// standard input, prints one line of JSON about the measured frames, and goes on sending
// until its standard input ends.
#include <gst/base/gstpushsrc.h>
#include <gst/gst.h>
#include <gst/video/video.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <string>

#include "options.h"
#include "usage.h"

namespace {

struct Options {
  gchar* caps = nullptr;
  gchar* sink = nullptr;
  gboolean foreign = FALSE;
  gint rate = 0;
  gdouble seconds = 1;
  gint64 frames = 0;
};
Options options;

struct Measure {
  std::uint64_t producer = 0;  // asking each time would be a system call a frame
  std::atomic<bool> go = false;
  std::int64_t starting_ns = 0;  // constant while frames flow
  // Streaming thread.
  bench::Phase phase = bench::Phase::warming;
  bench::Usage from;
  std::int64_t frames = 0;
  std::int64_t push_ns = 0;  // when the last frame went out
  bench::Samples pushes_ns;  // from one push to being asked again
};
Measure measure;

// --- source --------------------------------------------------------------------------

struct StampSrc {
  GstPushSrc parent;
  GstVideoInfo* info;
  std::uint64_t seq;
  std::int64_t due_ns;
  std::uint64_t buffers;  // seen so far
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

bool enough(std::int64_t now) {
  if (options.frames > 0) return measure.frames >= options.frames;
  return now - measure.from.wall_ns >= static_cast<std::int64_t>(options.seconds * 1e9);
}

// The phase of the frame that is drawn now.
bench::Phase count() {
  if (measure.phase == bench::Phase::warming && measure.go) {
    measure.phase = bench::Phase::measured;
    measure.from = bench::Usage::now();
  } else if (measure.phase == bench::Phase::measured) {
    const std::int64_t now = bench::now_ns();
    measure.pushes_ns.add(now - measure.push_ns);
    ++measure.frames;
    if (enough(now)) {
      measure.phase = bench::Phase::over;
      bench::Report report;
      report.add(bench::Usage::now() - measure.from, static_cast<double>(measure.frames));
      report.add_latency(measure.pushes_ns);
      report.add_memory();
      report.print();
    }
  }
  return measure.phase;
}

void pace(StampSrc* self) {
  if (options.rate == 0) return;
  if (self->due_ns == 0) self->due_ns = bench::now_ns();
  self->due_ns += 1'000'000'000 / options.rate;
  const timespec due = {self->due_ns / 1'000'000'000, self->due_ns % 1'000'000'000};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, nullptr) == EINTR) {
  }
}

// The stamp that a buffer has; one that is new gets its background, and a stamp with it.
// The memory itself tells: some allocators map all of theirs at the same address.
bench::Stamp stamp_of(StampSrc* self, std::byte* frame, std::size_t bytes) {
  bench::Stamp stamp;
  std::memcpy(&stamp, frame, sizeof stamp);
  if (stamp.magic == bench::kMagic) return stamp;
  stamp = {};
  stamp.magic = bench::kMagic;
  stamp.background = 0x0101010101010101 * (++self->buffers & 0xff);
  bench::draw_background(frame, bytes, stamp.background);
  return stamp;
}

GstFlowReturn fill(GstPushSrc* push, GstBuffer* buffer) {
  auto* self = reinterpret_cast<StampSrc*>(push);
  const std::uint64_t seq = self->seq++;
  const bench::Phase phase = count();
  GstMapInfo map;
  if (!gst_buffer_map(buffer, &map, GST_MAP_WRITE)) return GST_FLOW_ERROR;
  auto* const frame = reinterpret_cast<std::byte*>(map.data);
  bench::Stamp stamp = stamp_of(self, frame, map.size);
  pace(self);
  stamp.seq = seq;
  stamp.producer = measure.producer;
  stamp.starting_ns = measure.starting_ns;
  stamp.phase = phase;
  stamp.sent_ns = bench::now_ns();
  measure.push_ns = stamp.sent_ns;
  bench::write_stamp(frame, map.size, stamp);
  gst_buffer_unmap(buffer, &map);
  return GST_FLOW_OK;
}

void finalize(GObject* object) {
  auto* self = reinterpret_cast<StampSrc*>(object);
  gst_video_info_free(self->info);
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
  gst_base_src_set_format(GST_BASE_SRC(self), GST_FORMAT_TIME);
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
      {"seconds", 0, 0, G_OPTION_ARG_DOUBLE, &options.seconds, "measured", "N"},
      {"frames", 0, 0, G_OPTION_ARG_INT64, &options.frames,
       "measured, instead of seconds", "N"},
      {},
  };
  if (!bench::begin(argc, argv, entries)) return 2;
  gst_element_register(nullptr, "stampsrc", GST_RANK_NONE, stamp_src_get_type());
  measure.producer = static_cast<std::uint64_t>(getpid());
  return bench::play(
      std::string("stampsrc name=src ! ") + options.caps + " ! " + options.sink,
      measure.starting_ns, [](const std::string& command) {
        if (command == "go") measure.go = true;
      });
}
