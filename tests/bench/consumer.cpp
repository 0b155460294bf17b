// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A consuming process of the benchmark:
//
//   bench-consumer --src "ELEMENT PROPERTIES... [! CAPS]" [OPTION...]
//
// The source under test and a sink that checks each frame's stamp and notes when it came.
// Prints "first MS" (from READY on), and one line of JSON about the measured frames; with
// --follow a line about each producer after the first.
#include <gst/base/gstbasesink.h>
#include <gst/gst.h>

#include <string>

#include "options.h"
#include "usage.h"

namespace {

struct Options {
  gchar* src = nullptr;
  gboolean all = FALSE;
  gboolean follow = FALSE;
  gint64 warm_up = 100;
  gint64 frames = 1000;
  gint work_us = 0;
};
Options options;

struct Measure {
  std::int64_t ready_ns = 0;
  bool seen = false;
  std::uint64_t producer = 0;
  std::uint64_t last_seq = 0;
  std::int64_t last_ns = 0;
  bench::Usage from;
  bench::Usage used;
  bool begun = false;
  bool done = false;
  std::uint64_t received = 0;  // measured
  std::uint64_t missed = 0;
  std::uint64_t broken = 0;  // torn, out of order, or no frame at all
  std::vector<std::int64_t> latency_ns;
};
Measure measure;  // streaming thread, then main thread

struct StampSink {
  GstBaseSink parent;
};
struct StampSinkClass {
  GstBaseSinkClass parent_class;
};
G_DEFINE_TYPE(StampSink, stamp_sink, GST_TYPE_BASE_SINK)

void note_producer(const bench::Stamp& stamp, std::int64_t now) {
  if (!measure.seen) {
    std::printf("first %.3f\n", static_cast<double>(now - measure.ready_ns) / 1e6);
    std::fflush(stdout);
  } else if (options.follow) {
    std::printf("{\"followed_ms\": %.3f, \"age_ms\": %.3f, \"seq\": %" PRIu64 "}\n",
                static_cast<double>(now - measure.last_ns) / 1e6,
                static_cast<double>(now - stamp.sent_ns) / 1e6, stamp.seq);
    std::fflush(stdout);
  }
  measure.seen = true;
  measure.producer = stamp.producer;
}

void note_order(const bench::Stamp& stamp, std::int64_t now) {
  if (!measure.seen || stamp.producer != measure.producer) {
    note_producer(stamp, now);
  } else if (stamp.seq <= measure.last_seq) {
    ++measure.broken;
  } else if (measure.begun && !measure.done) {
    measure.missed += stamp.seq - measure.last_seq - 1;
  }
  measure.last_seq = stamp.seq;
  measure.last_ns = now;
}

void note(const bench::Stamp& stamp, std::int64_t now) {
  note_order(stamp, now);
  const auto first = static_cast<std::uint64_t>(options.warm_up);
  const auto last = first + static_cast<std::uint64_t>(options.frames);
  if (!measure.begun && stamp.seq >= first) {
    measure.begun = true;
    measure.from = bench::Usage::now();
    return;
  }
  if (!measure.begun || measure.done) return;
  ++measure.received;
  measure.latency_ns.push_back(now - stamp.sent_ns);
  if (stamp.seq >= last) {
    measure.used = bench::Usage::now() - measure.from;
    measure.done = true;
  }
}

GstFlowReturn render(GstBaseSink* sink, GstBuffer* buffer) {
  const std::int64_t now = bench::now_ns();
  GstMapInfo map;
  if (!gst_buffer_map(buffer, &map, GST_MAP_READ)) return GST_FLOW_ERROR;
  const auto* const frame = reinterpret_cast<const std::byte*>(map.data);
  bench::Stamp stamp{};
  if (map.size < 2 * sizeof stamp || !bench::read_stamp(frame, map.size, stamp)) {
    ++measure.broken;
  } else {
    note(stamp, now);
    if (options.all && !bench::read_all(frame, map.size)) ++measure.broken;
  }
  gst_buffer_unmap(buffer, &map);
  if (options.work_us > 0) g_usleep(static_cast<gulong>(options.work_us));
  if (measure.done && !options.follow) {
    gst_element_post_message(
        GST_ELEMENT(sink),
        gst_message_new_application(GST_OBJECT(sink), gst_structure_new_empty("done")));
    return GST_FLOW_EOS;
  }
  return GST_FLOW_OK;
}

void stamp_sink_class_init(StampSinkClass* klass) {
  static GstStaticPadTemplate pad =
      GST_STATIC_PAD_TEMPLATE("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
  gst_element_class_add_static_pad_template(GST_ELEMENT_CLASS(klass), &pad);
  gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(klass), "Stamp sink",
                                        "Sink/Video", "Checks stamped frames", "possum");
  GST_BASE_SINK_CLASS(klass)->render = render;
}
void stamp_sink_init(StampSink* self) {
  gst_base_sink_set_sync(GST_BASE_SINK(self), FALSE);
  gst_base_sink_set_async_enabled(GST_BASE_SINK(self), FALSE);
}

int run() {
  GError* problem = nullptr;
  const std::string line = std::string(options.src) + " ! stampsink";
  GstElement* pipeline = gst_parse_launch(line.c_str(), &problem);
  if (problem) {
    std::fprintf(stderr, "%s\n", problem->message);
    return 2;
  }
  gst_element_set_state(pipeline, GST_STATE_READY);
  measure.latency_ns.reserve(static_cast<std::size_t>(options.frames));
  measure.ready_ns = bench::now_ns();
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  std::printf("playing\n");
  std::fflush(stdout);
  GstBus* bus = gst_element_get_bus(pipeline);
  GstMessage* message = bench::await_message(
      bus, GST_MESSAGE_EOS | GST_MESSAGE_ERROR | GST_MESSAGE_APPLICATION);
  gst_message_unref(message);
  gst_element_set_state(pipeline, GST_STATE_NULL);
  bench::Report report;
  if (measure.received > 0) {
    if (!measure.done) measure.used = bench::Usage::now() - measure.from;
    report.add(measure.used, static_cast<double>(measure.received));
    report.add_latency(measure.latency_ns);
  }
  report.add("received", static_cast<double>(measure.received));
  report.add("missed", static_cast<double>(measure.missed));
  report.add("broken", static_cast<double>(measure.broken));
  report.print();
  gst_object_unref(bus);
  gst_object_unref(pipeline);
  return measure.received > 0 && measure.broken == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  const GOptionEntry entries[] = {
      {"src", 0, 0, G_OPTION_ARG_STRING, &options.src, "under test", "LINE"},
      {"all", 0, 0, G_OPTION_ARG_NONE, &options.all, "read every byte", nullptr},
      {"follow", 0, 0, G_OPTION_ARG_NONE, &options.follow,
       "go on until EOS, tell about new producers", nullptr},
      {"warm-up", 0, 0, G_OPTION_ARG_INT64, &options.warm_up, "frames before", "N"},
      {"frames", 0, 0, G_OPTION_ARG_INT64, &options.frames, "frames measured", "N"},
      {"work", 0, 0, G_OPTION_ARG_INT, &options.work_us, "microseconds a frame", "N"},
      {},
  };
  if (!bench::parse_options(argc, argv, entries)) return 2;
  if (!options.src) {
    std::fprintf(stderr, "--src is needed\n");
    return 2;
  }
  gst_element_register(nullptr, "stampsink", GST_RANK_NONE, stamp_sink_get_type());
  return run();
}
