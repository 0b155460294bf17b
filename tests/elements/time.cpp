// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Time stamps, segments and latency between two pipelines with base times of their own.
#include <atomic>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "base/clock.h"
#include "support/strange_writer.h"
#include "support/suite.h"

namespace {

constexpr Upstream kLive{true, 0};
constexpr Upstream kRecorded{false, 0};

void expect_time(GstClockTime is, GstClockTime wanted, Where where = Where::here()) {
  expect_equal(static_cast<gint64>(is), static_cast<gint64>(wanted), where);
}

void expect_between(GstClockTime low, GstClockTime is, GstClockTime high,
                    Where where = Where::here()) {
  require(low <= is && is <= high,
          std::to_string(is) + " ns is not from " + std::to_string(low) + " to " +
              std::to_string(high),
          where);
}

constexpr GstClockTime kNone = GST_CLOCK_TIME_NONE;

// A writer in PLAYING, of a live source unless said otherwise, and a reader that has its
// first frame.
struct Pair : Ends {
  explicit Pair(const std::string& src_properties = "", Upstream upstream = kLive,
                const std::string& sink_properties = "")
      : Ends(sink_properties, src_properties, upstream) {
    producer.start().push(0);
    consumer.start();
    first = consumer.pull();
  }
  // Sends a frame with these times and takes it.
  Frame send(GstClockTime pts, GstClockTime dts = kNone, GstClockTime duration = kNone) {
    Ref<GstBuffer> buffer = frame_at(1, pts, dts);
    GST_BUFFER_DURATION(buffer.get()) = duration;
    producer.push(std::move(buffer));
    return consumer.pull();
  }
  // The writer's pipeline, or both, have played for so much longer.
  static void age(GstElement* element, GstClockTime time) {
    gst_element_set_base_time(element, gst_element_get_base_time(element) - time);
  }
  void age(GstClockTime time) {
    age(producer.sink(), time);
    age(consumer.src(), time);
  }
  GstClockTime writer_now() const { return running_time(producer.sink()); }
  GstClockTime reader_now() const { return running_time(consumer.src()); }
  // A running time of the writer, in the reader's.
  GstClockTime moved(GstClockTime running) const {
    return running + gst_element_get_base_time(producer.sink()) -
           gst_element_get_base_time(consumer.src());
  }
  Frame first;
};

GstSegment segment_from(GstClockTime start, GstClockTime base, double rate = 1.0) {
  GstSegment segment;
  gst_segment_init(&segment, GST_FORMAT_TIME);
  segment.start = segment.time = segment.position = start;
  segment.base = base;
  segment.rate = rate;
  return segment;
}

// Both times relative to now. The first one only while nobody reads yet.
void publish(StrangeWriter& writer, std::int64_t published_ns, std::int64_t pts_ns) {
  const auto slot = writer.send(kSmall, 1, kSmallBytes, [pts_ns](auto& frame) {
    frame.pts_ns = frame.dts_ns = possum::monotonic_ns() + pts_ns;
  });
  if (published_ns == 0) return;
  const std::int64_t when = possum::monotonic_ns() + published_ns;
  std::memcpy(slot.mapping->data() + sizeof(possum::transport::layout::DataHeader) +
                  offsetof(StrangeWriter::Descriptor, publish_ns),
              &when, sizeof when);
}

void expect_clock_doubted(const Consumer& consumer) {
  const Report report = consumer.pipeline().wait_warning();
  fail_unless(report.is(GST_CORE_ERROR, GST_CORE_ERROR_CLOCK));
  report.expect_words({"time namespace"});
}

constexpr std::int64_t kMinuteNs = 60 * possum::kNanosecondsPerSecond;

// --- clock ---------------------------------------------------------------------------

TEST(clock_mode_agrees_on_the_capture_time) {
  Pair pair;
  const GstClockTime captured = pair.writer_now();
  const Frame frame = pair.send(captured, captured + 3, 40 * GST_MSECOND);
  expect_time(frame.pts(), pair.moved(captured));
  expect_time(frame.dts(), pair.moved(captured) + 3);
  expect_time(GST_BUFFER_DURATION(frame.buffer.get()), 40 * GST_MSECOND);
  expect_time(frame.running_time(), frame.pts());
  fail_unless(frame.pts() <= pair.reader_now());
}

TEST(clock_mode_looks_through_the_segment) {
  const struct {
    GstSegment segment;
    GstClockTime pts, dts;
    GstClockTime running_pts, running_dts;
    GstClockTime duration;  // of 40 ms
  } rows[] = {
      {segment_from(100 * GST_SECOND, 7 * GST_SECOND), 103 * GST_SECOND, 102 * GST_SECOND,
       10 * GST_SECOND, 9 * GST_SECOND, 40 * GST_MSECOND},
      {segment_from(60 * GST_SECOND, 6 * GST_SECOND), 60 * GST_SECOND, kNone,
       6 * GST_SECOND, kNone, 40 * GST_MSECOND},
      {segment_from(10 * GST_SECOND, 0), 11 * GST_SECOND, 9 * GST_SECOND, GST_SECOND,
       kNone, 40 * GST_MSECOND},  // decoded before the segment
      {segment_from(0, GST_SECOND, 2.0), 4 * GST_SECOND, kNone, 3 * GST_SECOND, kNone,
       20 * GST_MSECOND},
  };
  Pair pair;
  pair.age(600 * GST_SECOND);
  for (const auto& row : rows) {
    pair.producer.segment(row.segment);
    const Frame frame = pair.send(row.pts, row.dts, 40 * GST_MSECOND);
    expect_time(frame.pts(), pair.moved(row.running_pts));
    expect_time(frame.dts(),
                row.running_dts == kNone ? kNone : pair.moved(row.running_dts));
    expect_time(GST_BUFFER_DURATION(frame.buffer.get()), row.duration);
  }
}

TEST(a_pause_of_the_writer_shows_in_the_reader) {
  for (const Upstream upstream : {kRecorded, kLive}) {
    Pair pair("", upstream, "sync=true");
    pair.send(kFrameTime);
    pair.producer.pipeline().set_state(GST_STATE_PAUSED);
    // While it prerolls again, its running time stands still; then its base time moves.
    // What it shows meanwhile has no other time than its publication.
    const GstClockTime before = pair.reader_now();
    Task push([&] { pair.producer.push(new_frame(200)); });
    const Frame preroll = pair.consumer.pull();
    expect_equal(preroll.value(), 200);
    expect_between(before, preroll.pts(), pair.reader_now());
    pair.producer.pipeline().play();
    push.join();
    const GstClockTime due = pair.writer_now();
    expect_time(pair.send(due).pts(), pair.moved(due));
  }
}

// Where nobody waits for the moment of a frame it has none: the viewer's clock would have
// to catch up with a whole film.
TEST(frames_whose_times_say_nothing_stand_for_their_publication) {
  const struct {
    Upstream upstream;
    GstClockTime time;
  } rows[] = {
      {kRecorded, 3000 * GST_SECOND},  // not paced
      {kLive, 3000 * GST_SECOND},      // a program counts frames, and makes them faster
      {kLive, kNone},
      {kLive, G_MAXINT64 - 1},  // what nothing can hold
      {kLive, G_MAXINT64},
      {kLive, G_MAXUINT64 - 1},
  };
  for (const auto& row : rows) {
    Pair pair("", row.upstream, "sync=false");
    const GstClockTime before = pair.reader_now();
    const Frame frame = pair.send(row.time, row.time, row.time);
    expect_between(before, frame.pts(), pair.reader_now());
    expect_time(frame.dts(), kNone);
  }
}

TEST(frames_that_are_not_paced_keep_their_running_times) {
  Pair pair("timestamp-mode=running-time", kRecorded, "sync=false");
  const Frame frame = pair.send(3000 * GST_SECOND, 2999 * GST_SECOND);
  expect_time(frame.pts(), 3000 * GST_SECOND);
  expect_time(frame.dts(), 2999 * GST_SECOND);
}

// As every other sink of that pipeline does. A sink is early by its render-delay, which
// is part of the pipeline's latency.
TEST(paced_frames_stand_for_the_moment_that_the_sink_shows_them) {
  const struct {
    const char* properties;
    GstClockTime latency;
    GstClockTime later;
  } rows[] = {
      {"sync=true ts-offset=150000000", 50 * GST_MSECOND, 200 * GST_MSECOND},
      {"sync=true render-delay=3000000000", 3 * GST_SECOND, 0},
  };
  for (const auto& row : rows) {
    Pair pair("", kRecorded, row.properties);
    gst_element_send_event(pair.producer.sink(), gst_event_new_latency(row.latency));
    const GstClockTime pts = pair.writer_now();
    const Frame frame = pair.send(pts);
    expect_time(frame.pts(), pair.moved(pts + row.later));
    fail_unless(pair.reader_now() >= frame.pts());
  }
}

// An async=false sink is there before its first frame.
TEST(first_frame_of_a_sink_that_plays_already_has_its_own_time) {
  Producer producer(unique_channel(), "sync=true async=false");
  producer.start();
  producer.pipeline().play();
  Consumer consumer(producer.channel());
  consumer.start();
  const GstClockTime due = 200 * GST_MSECOND;
  producer.push(frame_at(1, due));
  expect_time(consumer.pull().pts(), due + gst_element_get_base_time(producer.sink()) -
                                         gst_element_get_base_time(consumer.src()));
}

TEST(preroll_frame_stands_for_its_publication) {
  Consumer consumer;
  consumer.start();
  expect_equal(consumer.pipeline().wait_progress().type, GST_PROGRESS_TYPE_START);
  Producer producer(consumer.channel());
  producer.pause();
  const GstClockTime before = running_time(consumer.src());
  Task push([&] { producer.try_push(new_frame(200)); });
  const Frame frame = consumer.pull();
  expect_between(before, frame.pts(), running_time(consumer.src()));
  expect_time(frame.dts(), kNone);
  producer.stop();
}

// A live source makes frames in PLAYING, so that the sink prerolls with a base time.
TEST(first_frame_of_a_live_writer_has_its_capture_time) {
  Consumer consumer;
  consumer.start();
  expect_equal(consumer.pipeline().wait_progress().type, GST_PROGRESS_TYPE_START);
  Pipeline writer("videotestsrc is-live=true ! possumsink name=sink channel=" +
                  consumer.channel());
  const Ref<GstElement> sink = writer.element("sink");
  std::atomic<GstClockTime> captured{kNone};
  add_probe(sink.get(), "sink", GST_PAD_PROBE_TYPE_BUFFER,
            [&](GstPad*, GstPadProbeInfo* info) {
              captured = GST_BUFFER_PTS(GST_PAD_PROBE_INFO_BUFFER(info));
              return GST_PAD_PROBE_REMOVE;
            });
  writer.set_state(GST_STATE_PLAYING);
  const Frame frame = consumer.pull();
  expect_time(frame.pts(), captured + gst_element_get_base_time(sink.get()) -
                               gst_element_get_base_time(consumer.src()));
}

TEST(a_frame_from_before_the_own_time_is_at_its_beginning) {
  Producer producer;
  producer.start().push(0);
  producer.push(frame_at(1, 0, 0));
  Consumer consumer(producer.channel());
  consumer.start();
  const Frame frame = consumer.pull();
  expect_time(frame.pts(), 0);
  expect_time(frame.dts(), kNone);
}

TEST(frames_outside_the_segment_do_not_cross) {
  Pair pair;
  pair.age(600 * GST_SECOND);
  pair.producer.segment(segment_from(10 * GST_SECOND, 5 * GST_SECOND));
  pair.producer.push(frame_at(5, GST_SECOND));
  expect_equal(pair.send(11 * GST_SECOND).value(), 1);
  // One that begins before it counts with the part inside.
  expect_time(pair.send(10 * GST_SECOND - 5, kNone, 20).pts(),
              pair.moved(5 * GST_SECOND));
}

TEST(do_timestamp_means_arrival) {
  Pair pair("do-timestamp=true");
  const GstClockTime before = pair.reader_now();
  const Frame frame = pair.send(3600 * GST_SECOND);
  expect_between(before, frame.pts(), pair.reader_now());
}

// Else a sink that waits for the latency from each frame's time falls behind.
TEST(do_timestamp_means_arrival_also_of_frames_that_had_to_wait) {
  Pair pair("do-timestamp=true");
  pair.consumer.hold_up();
  pair.producer.push(1);
  pair.consumer.wait_held_up();
  pair.producer.push(new_frame(2));
  const GstClockTime arrived = pair.reader_now();
  pair.consumer.let_through();
  pair.consumer.pull();
  const Frame waited = pair.consumer.pull();
  expect_between(0, waited.pts(), arrived);
  expect_time(waited.dts(), waited.pts());
}

// --- running time --------------------------------------------------------------------

TEST(running_time_mode_keeps_the_writers_times) {
  Pair pair("timestamp-mode=running-time");
  pair.producer.segment(segment_from(10 * GST_SECOND, 5 * GST_SECOND));
  const Frame frame = pair.send(12 * GST_SECOND, 11 * GST_SECOND, 7);
  expect_time(frame.pts(), 7 * GST_SECOND);
  expect_time(frame.dts(), 6 * GST_SECOND);
  expect_time(GST_BUFFER_DURATION(frame.buffer.get()), 7);
}

TEST(running_time_mode_begins_at_the_readers_running_time) {
  Producer producer;
  producer.start().push(0);
  producer.push(frame_at(1, 500 * GST_SECOND));
  Consumer consumer(producer.channel(), "timestamp-mode=running-time");
  consumer.start();
  const Frame frame = consumer.pull();
  expect_time(frame.pts(), 500 * GST_SECOND);
  expect_time(frame.segment.start, 500 * GST_SECOND);
  expect_time(frame.segment.time, 500 * GST_SECOND);
  fail_unless(frame.running_time() < patience_ns());
  producer.push(new_frame(2));
}

TEST(running_time_mode_begins_anew_with_each_writer) {
  Pair pair("timestamp-mode=running-time");
  fail_unless(pair.send(10 * GST_SECOND).segment.base < patience_ns());
  pair.producer.stop();
  expect_equal(pair.consumer.pipeline().wait_progress().type, GST_PROGRESS_TYPE_START);
  const GstClockTime before = pair.reader_now();
  pair.producer.start().push(50);
  const Frame frame = pair.consumer.pull();
  expect_time(frame.pts(), 50 * kFrameTime);
  expect_time(frame.segment.start, 50 * kFrameTime);
  expect_between(before, frame.segment.base, pair.reader_now());
}

// A live sink leaves out what comes before its readers, but for the first frame.
TEST(running_time_mode_begins_anew_after_what_was_left_out) {
  Producer producer(unique_channel(), "min-readers=1", kLive);
  producer.start().push(0);
  producer.push(1);
  Consumer consumer(producer.channel(), "timestamp-mode=running-time");
  consumer.start().pull();
  producer.push(frame_at(2, 500 * GST_SECOND));
  const Frame frame = consumer.pull();
  expect_time(frame.pts(), 500 * GST_SECOND);
  fail_unless(frame.running_time() < patience_ns());
}

TEST(running_time_mode_begins_anew_after_a_flush) {
  Pair pair("timestamp-mode=running-time");
  pair.send(10 * GST_SECOND);
  pair.producer.flush();
  const GstClockTime before = pair.reader_now();
  Task push([&] { pair.producer.push(frame_at(1, 3 * GST_SECOND)); });
  const Frame arrived = pair.consumer.pull();
  push.join();
  expect_time(arrived.pts(), 3 * GST_SECOND);
  expect_time(arrived.segment.start, 3 * GST_SECOND);
  fail_unless(arrived.segment.base >= before);
}

TEST(src_that_is_not_live_begins_at_zero) {
  Pair pair("is-live=false");
  expect_time(pair.first.segment.base, 0);
  expect_time(pair.first.running_time(), 0);
  const Frame frame = pair.send(9 * GST_SECOND);
  expect_time(frame.pts(), 9 * GST_SECOND);
  expect_time(frame.running_time(), 9 * GST_SECOND);
}

TEST(segments_that_are_not_time_carry_no_times) {
  Pair pair("timestamp-mode=running-time");
  GstSegment bytes;
  gst_segment_init(&bytes, GST_FORMAT_BYTES);
  pair.producer.segment(bytes);
  const Frame frame = pair.send(5 * GST_SECOND, 5 * GST_SECOND);
  expect_time(frame.pts(), kNone);
  expect_time(frame.dts(), kNone);
}

// --- latency -------------------------------------------------------------------------

TEST(latency_is_the_writers_at_least) {
  Pair pair("", {true, 123 * GST_MSECOND});
  pair.send(pair.writer_now());
  const Consumer::Latency latency = pair.consumer.latency();
  fail_unless(latency.live);
  expect_between(123 * GST_MSECOND, latency.min, GST_SECOND);
}

TEST(latency_from_the_arrival_on_is_not_the_writers) {
  Pair pair("do-timestamp=true", {true, 900 * GST_MSECOND});
  fail_unless(pair.consumer.latency().min < 900 * GST_MSECOND);
}

TEST(most_latency_is_what_the_frames_that_may_wait_last) {
  for (const char* leaky : {"downstream", "upstream"}) {
    Pair pair(std::string("max-buffers=5 leaky-type=") + leaky);
    const Consumer::Latency latency = pair.consumer.latency();
    expect_time(latency.max, latency.min + 5 * kFrameTime);
  }
}

TEST(there_is_no_most_latency_where_the_writer_waits) {
  Pair pair("leaky-type=none", kLive, "allow-blocking=true");
  expect_time(pair.consumer.latency().max, kNone);
}

TEST(without_a_frame_rate_the_distance_of_frames_is_measured) {
  Pair pair;
  pair.age(600 * GST_SECOND);
  pair.producer.caps(
      "video/x-raw,format=I420,width=16,height=16,framerate=0/1,"
      "interlace-mode=progressive");
  for (GstClockTime pts = 0; pts < 2 * GST_SECOND; pts += 100 * GST_MSECOND) {
    pair.send(pts);
  }
  const Consumer::Latency latency = pair.consumer.latency();
  const GstClockTime frame = (latency.max - latency.min) / 3;
  expect_between(70 * GST_MSECOND, frame, 130 * GST_MSECOND);
}

TEST(pipeline_is_told_when_the_frame_rate_changes) {
  Pair pair;
  pair.consumer.pipeline().wait(GST_MESSAGE_LATENCY);  // after the first late frame
  pair.producer.caps(
      "video/x-raw,format=I420,width=16,height=16,framerate=5/"
      "1,interlace-mode=progressive");
  // At most once a second.
  do {
    pair.send(pair.writer_now());
    fail_unless(pair.reader_now() < patience_ns());
  } while (!pair.consumer.pipeline().posted(GST_MESSAGE_LATENCY));
  const Consumer::Latency latency = pair.consumer.latency();
  expect_time(latency.max, latency.min + 3 * GST_SECOND / 5);
}

// As every application has to answer a LATENCY message; until a warning comes.
Report adjust_latency_until_warned(const Pipeline& reader) {
  for (;;) {
    const Ref<GstMessage> message =
        reader.wait(GST_MESSAGE_LATENCY | GST_MESSAGE_WARNING);
    if (GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_WARNING) {
      return parse_report(message.get());
    }
    gst_bin_recalculate_latency(reader.bin());
  }
}

TEST(pipeline_with_another_live_branch_is_told_to_add_a_queue) {
  Producer producer(unique_channel(), "", kLive);
  producer.start().push(0);
  const Pipeline reader(
      "possumsrc channel=" + producer.channel() +
      " ! fakesink sync=true videotestsrc is-live=true ! identity name=slow ! "
      "fakesink sync=true");
  add_probe(reader.element("slow").get(), "src",
            GST_PAD_PROBE_TYPE_QUERY_UPSTREAM | GST_PAD_PROBE_TYPE_PULL,
            [](GstPad*, GstPadProbeInfo* info) {
              GstQuery* query = GST_PAD_PROBE_INFO_QUERY(info);
              if (GST_QUERY_TYPE(query) == GST_QUERY_LATENCY) {
                gst_query_set_latency(query, TRUE, GST_SECOND, kNone);
              }
              return GST_PAD_PROBE_OK;
            });
  reader.set_state(GST_STATE_PLAYING);
  const Report report = adjust_latency_until_warned(reader);
  fail_unless(report.is(GST_CORE_ERROR, GST_CORE_ERROR_CLOCK));
  fail_unless(report.debug.find("Add queues") != std::string::npos, "%s",
              report.debug.c_str());
}

// GStreamer 1.22 says nothing of a latency that the application has set.
TEST(frames_missed_for_a_latency_that_was_set_are_told_of) {
  Producer producer(unique_channel(), "", kLive);
  producer.start().push(0);
  const Pipeline reader("possumsrc name=src channel=" + producer.channel() +
                        " ! fakesink sync=true");
  gst_pipeline_set_latency(GST_PIPELINE(reader.get()), 500 * GST_MSECOND);
  reader.set_state(GST_STATE_PLAYING);
  const Ref<GstElement> src = reader.element("src");
  while (stat(src.get(), "missed") == 0) {
    producer.push(frame_at(1, GST_CLOCK_TIME_NONE));
  }
  Report report;
  do {
    report = adjust_latency_until_warned(reader);
  } while (report.source != "src");
  fail_unless(report.is(GST_CORE_ERROR, GST_CORE_ERROR_CLOCK));
  fail_unless(report.says("500 ms") && report.says("Add a queue") &&
              report.says("max-buffers=3"));
}

TEST(latency_covers_the_age_of_frames_but_no_more_than_a_second) {
  Pair pair("", {true, 0});
  while (pair.writer_now() < 20 * GST_MSECOND) {
  }
  pair.send(pair.writer_now() - 20 * GST_MSECOND);
  expect_between(20 * GST_MSECOND, pair.consumer.latency().min, GST_SECOND - 1);
  // What stood somewhere for long says nothing about the way here.
  Pair::age(pair.producer.sink(), 10 * GST_SECOND);
  pair.send(0);
  expect_time(pair.consumer.latency().min, GST_SECOND);
}

TEST(age_contains_the_writers_latency) {
  Pair pair("", {true, 400 * GST_MSECOND});
  Pair::age(pair.producer.sink(), 300 * GST_MSECOND);
  pair.send(pair.writer_now() - 300 * GST_MSECOND);
  expect_between(400 * GST_MSECOND, pair.consumer.latency().min, 600 * GST_MSECOND);
}

TEST(latency_is_told_once_a_second_at_most_and_never_falls) {
  Pair pair("", {true, 0});
  pair.consumer.pipeline().posted(GST_MESSAGE_LATENCY);  // perhaps of the first frame
  pair.producer.upstream({true, 50 * GST_MSECOND});
  pair.producer.event(gst_event_new_stream_start("slower"));
  GstClockTime least = 0;
  for (int i = 0; i < 20; ++i) {
    pair.send(pair.writer_now());
    const GstClockTime min = pair.consumer.latency().min;
    fail_unless(min >= least);
    least = min;
  }
  fail_unless(least >= 50 * GST_MSECOND);
  unsigned messages = 0;
  while (pair.consumer.pipeline().posted(GST_MESSAGE_LATENCY)) ++messages;
  const auto seconds = static_cast<unsigned>(pair.reader_now() / GST_SECOND);
  fail_unless(messages <= 1 + seconds, "%u messages", messages);
}

TEST(latency_starts_afresh_with_a_new_writer) {
  Pair pair("", {true, 900 * GST_MSECOND});
  fail_unless(pair.consumer.latency().min >= 900 * GST_MSECOND);
  pair.producer.upstream({true, 10 * GST_MSECOND});
  pair.producer.stop();
  pair.producer.start().push(0);
  pair.consumer.pull();
  expect_between(10 * GST_MSECOND, pair.consumer.latency().min, 900 * GST_MSECOND - 1);
}

TEST(a_synchronising_sink_drops_nothing) {
  Producer producer(unique_channel(), "", {true, 300 * GST_MSECOND});
  Pipeline reader("possumsrc max-buffers=16 channel=" + producer.channel() +
                  " ! fakesink name=sink sync=true qos=true max-lateness=0");
  producer.start().push(0);
  reader.set_state(GST_STATE_PLAYING);
  // As every application has to do.
  reader.wait(GST_MESSAGE_LATENCY);
  gst_bin_recalculate_latency(reader.bin());
  for (int i = 0; i < 10; ++i) producer.push(frame_at(1, running_time(producer.sink())));
  producer.eos();
  reader.wait_eos();
  const Ref<GstElement> sink = reader.element("sink");
  expect_equal(stat(sink.get(), "rendered") + stat(sink.get(), "dropped"), 11);
  fail_unless(stat(sink.get(), "rendered") >= 10);
}

// --- times of another clock ------------------------------------------------------------

TEST(times_hours_ahead_become_arrival_with_one_warning) {
  StrangeWriter writer;
  Consumer consumer(writer.channel());
  consumer.start();
  for (int i = 0; i < 3; ++i) {
    publish(writer, 0, 120 * kMinuteNs);
    const Frame frame = consumer.pull();
    fail_unless(GST_CLOCK_TIME_IS_VALID(frame.pts()) && frame.pts() < 60 * GST_SECOND);
    fail_if(GST_BUFFER_DTS_IS_VALID(frame.buffer.get()));
  }
  expect_clock_doubted(consumer);
  fail_if(consumer.pipeline().posted(GST_MESSAGE_WARNING));
}

// Else a sink that waits for the latency from each frame's time falls behind.
TEST(doubted_frames_that_had_to_wait_came_when_they_came) {
  StrangeWriter writer;
  Consumer consumer(writer.channel());
  consumer.start();
  consumer.hold_up();
  const std::int64_t before_ns = possum::monotonic_ns();
  publish(writer, 0, 120 * kMinuteNs);
  consumer.wait_held_up();
  publish(writer, 0, 120 * kMinuteNs);
  const std::int64_t after_ns = possum::monotonic_ns();
  while (possum::monotonic_ns() < after_ns + 2 * (after_ns - before_ns)) {
  }
  consumer.let_through();
  const GstClockTime first = consumer.pull().pts();
  const GstClockTime second = consumer.pull().pts();
  expect_between(first, second, first + static_cast<GstClockTime>(after_ns - before_ns));
}

TEST(frame_published_in_the_future_stands_for_its_arrival) {
  StrangeWriter writer;
  publish(writer, kMinuteNs, kMinuteNs);
  Consumer consumer(writer.channel());
  consumer.start();
  fail_unless(consumer.pull().pts() < 30 * GST_SECOND);
  consumer.pipeline().wait_warning();
}

// As in another time namespace, whose clock is behind.
TEST(frame_published_before_anybody_came_for_it_stands_for_its_arrival) {
  StrangeWriter writer;
  publish(writer, -kMinuteNs, -kMinuteNs);
  Consumer consumer(writer.channel());
  consumer.hold_up();
  consumer.start();
  consumer.wait_held_up();
  fail_if(consumer.pipeline().posted(GST_MESSAGE_WARNING));  // it may have waited
  publish(writer, -kMinuteNs, -kMinuteNs);
  const auto now = [&] { return running_time(consumer.src()); };
  consumer.pull();
  const GstClockTime before = now();
  consumer.let_through();
  const Frame frame = consumer.pull();
  fail_unless(before <= frame.pts() && frame.pts() <= now());
  fail_if(GST_BUFFER_DTS_IS_VALID(frame.buffer.get()));
  expect_clock_doubted(consumer);
  // Whatever else that writer says of its times.
  const GstClockTime after = now();
  publish(writer, 0, -kMinuteNs);
  fail_unless(consumer.pull().pts() >= after);
  fail_if(consumer.pipeline().posted(GST_MESSAGE_WARNING));
}

TEST(frames_of_a_writer_that_runs_ahead_keep_their_times) {
  StrangeWriter writer;
  Consumer consumer(writer.channel());
  consumer.start();
  publish(writer, 0, 30 * kMinuteNs);
  fail_unless(consumer.pull().pts() > 29 * 60 * GST_SECOND);
  fail_if(consumer.pipeline().posted(GST_MESSAGE_WARNING));
}

TEST(writers_times_are_not_doubted_where_they_are_not_used) {
  StrangeWriter writer;
  publish(writer, kMinuteNs, 120 * kMinuteNs);
  Consumer consumer(writer.channel(), "timestamp-mode=running-time");
  consumer.start().pull();
  fail_if(consumer.pipeline().posted(GST_MESSAGE_WARNING));
}

TEST(a_synchronising_sink_does_not_wait_for_times_hours_ahead) {
  StrangeWriter writer;
  const Pipeline reader("possumsrc channel=" + writer.channel() +
                        " ! fakesink name=sink");
  const Ref<GstElement> sink = reader.element("sink");
  g_object_set(sink.get(), "sync", TRUE, "signal-handoffs", TRUE, nullptr);
  SignalCount shown(sink.get(), "handoff");
  reader.set_state(GST_STATE_PLAYING);
  for (unsigned i = 1; i <= 3; ++i) {
    publish(writer, 0, 120 * kMinuteNs);
    shown.wait_until([&] { return shown.count() == i; });
  }
}

}  // namespace
