// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A consuming process of the benchmark:
//
//   bench-consumer --src "ELEMENT PROPERTIES... [! CAPS]" [OPTION...]
//
// The source under test and a sink that checks each frame's stamp and notes when it came.
// Says "playing", one line of JSON about each producer's first frame, and one about the
// frames that the producer measured.
#include <gst/base/gstbasesink.h>
#include <gst/gst.h>

#include <string>

#include "options.h"
#include "usage.h"

namespace {

struct Options {
  gchar* src = nullptr;
  gboolean all = FALSE;
};
Options options;

struct Measure {
  std::int64_t starting_ns = 0;  // constant while frames flow
  // Streaming thread.
  bool seen = false;
  std::uint64_t producer = 0;
  std::uint64_t last_seq = 0;
  std::int64_t last_ns = 0;
  bench::Phase phase = bench::Phase::warming;
  bench::Usage from;
  std::uint64_t received = 0;  // measured
  std::uint64_t missed = 0;
  bench::Samples latency_ns;
};
Measure measure;

struct StampSink {
  GstBaseSink parent;
};
struct StampSinkClass {
  GstBaseSinkClass parent_class;
};
G_DEFINE_TYPE(StampSink, stamp_sink, GST_TYPE_BASE_SINK)

// A contestant that is fast with wrong frames has no figures.
[[noreturn]] void give_up(const char* why) {
  std::fprintf(stderr, "%s\n", why);
  _exit(1);
}

void note_producer(const bench::Stamp& stamp, std::int64_t now) {
  const auto ms = [now](std::int64_t then) {
    return static_cast<double>(now - then) / 1e6;
  };
  bench::Report report;
  report.add("since_start_ms", ms(measure.starting_ns));
  report.add("since_producers_start_ms", ms(stamp.starting_ns));
  report.add("age_ms", ms(stamp.sent_ns));
  if (measure.seen) report.add("without_picture_ms", ms(measure.last_ns));
  report.print();
  measure.seen = true;
  measure.producer = stamp.producer;
}

void note_order(const bench::Stamp& stamp, std::int64_t now) {
  if (!measure.seen || stamp.producer != measure.producer) {
    note_producer(stamp, now);
  } else if (stamp.seq <= measure.last_seq) {
    give_up("a frame came again, or too late");
  } else if (measure.phase == bench::Phase::measured) {
    measure.missed += stamp.seq - measure.last_seq - 1;
  }
  measure.last_seq = stamp.seq;
  measure.last_ns = now;
}

void report() {
  bench::Report report;
  report.add(bench::Usage::now() - measure.from, static_cast<double>(measure.received));
  report.add("missed", static_cast<double>(measure.missed));
  report.add_latency(measure.latency_ns);
  report.add_memory();
  report.print();
}

void note(const bench::Stamp& stamp, std::int64_t now) {
  note_order(stamp, now);
  if (measure.phase == bench::Phase::warming && stamp.phase == bench::Phase::measured) {
    measure.from = bench::Usage::now();
  }
  if (stamp.phase == bench::Phase::measured) {
    ++measure.received;
    measure.latency_ns.add(now - stamp.sent_ns);
  } else if (measure.phase == bench::Phase::measured) {
    report();
  }
  measure.phase = stamp.phase;
}

GstFlowReturn render(GstBaseSink*, GstBuffer* buffer) {
  const std::int64_t now = bench::now_ns();
  GstMapInfo map;
  if (!gst_buffer_map(buffer, &map, GST_MAP_READ)) return GST_FLOW_ERROR;
  const auto* const frame = reinterpret_cast<const std::byte*>(map.data);
  bench::Stamp stamp{};
  if (map.size < 2 * sizeof stamp || !bench::read_stamp(frame, map.size, stamp)) {
    give_up("a frame was torn, or none of the producer's");
  }
  note(stamp, now);
  if (options.all && !bench::read_all(frame, map.size, stamp.background))
    give_up("a frame was not whole");
  gst_buffer_unmap(buffer, &map);
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

}  // namespace

int main(int argc, char** argv) {
  const GOptionEntry entries[] = {
      {"src", 0, 0, G_OPTION_ARG_STRING, &options.src, "under test", "LINE"},
      {"all", 0, 0, G_OPTION_ARG_NONE, &options.all, "read every byte", nullptr},
      {},
  };
  if (!bench::begin(argc, argv, entries)) return 2;
  gst_element_register(nullptr, "stampsink", GST_RANK_NONE, stamp_sink_get_type());
  return bench::play(std::string(options.src) + " ! stampsink", measure.starting_ns,
                     [](const std::string&) {});
}
