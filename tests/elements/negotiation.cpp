// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Caps, segments, frames and the lack of them, in every order that can happen: what comes
// of it is the right picture, one warning, or one error that says what to do.
#include <gst/video/video.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/properties.h"
#include "support/strange_writer.h"
#include "support/suite.h"

namespace {

// --- what upstream does to a possumsink ----------------------------------------------

using Step = std::function<void(Producer&)>;

void stream_start(const Producer& producer) {
  producer.event(gst_event_new_stream_start("test"));
}

void segment(const Producer& producer) {
  GstSegment whole;
  gst_segment_init(&whole, GST_FORMAT_TIME);
  producer.segment(whole);
}

// Whatever becomes of it.
Step caps(const std::string& text) {
  return [text](const Producer& producer) {
    producer.event(gst_event_new_caps(caps_of(text).get()));
  };
}

void begin(const Producer& producer) {
  stream_start(producer);
  producer.caps(kSmall);
  segment(producer);
}

void another_frame(const Producer& producer) { producer.push(2); }
void flush(const Producer& producer) { producer.flush(); }
void start_again(Producer& producer) {
  producer.stop();
  producer.open();
}

void gap_and_query(const Producer& producer) {
  const Ref<GstQuery> query{gst_query_new_allocation(nullptr, TRUE)};
  require(!gst_pad_peer_query(producer.pad(), query.get()), "a pool for no caps");
  producer.event(gst_event_new_gap(0, GST_MSECOND));
}

// The last frame, as an element pushes it that does not look at what became of its
// events.
GstFlowReturn chain(const Producer& producer) {
  const Ref<GstPad> pad{gst_element_get_static_pad(producer.sink(), "sink")};
  return gst_pad_chain(pad.get(), new_frame(1).release());
}

template <gsize bytes = kSmallBytes>
GstFlowReturn push(const Producer& producer) {
  return producer.try_push(new_frame(1, bytes));
}

GstFlowReturn push_no_memory(const Producer& producer) {
  Ref<GstBuffer> buffer{gst_buffer_new()};
  stamp(buffer.get(), 1);
  return producer.try_push(std::move(buffer));
}

enum class Outcome { shown, left_out, refused };

// What comes before a frame of value 1, and what becomes of it.
struct Order {
  const char* name;
  std::vector<Step> before;
  GstFlowReturn (*last)(const Producer&);
  Outcome outcome;
  std::vector<std::string> words = {};  // of the error, if it is refused
};

const std::string kUnknown =
    "video/x-raw,format=(string)OF_TOMORROW,width=16,height=16,framerate=25/1";
const std::string kHuge =
    "video/x-raw,format=(string)RGBA64_LE,width=2147483647,height=2147483647,"
    "framerate=25/1";
const std::vector<std::string> kNoCaps = {"without caps", "set caps on the source",
                                          "capsfilter", "before possumsink"};

// The frame's caps are refused with these words.
Order refuses(const char* text, const std::vector<std::string>& words) {
  return {text, {stream_start, caps(text), segment}, push, Outcome::refused, words};
}

const std::vector<Order>& orders() {
  using enum Outcome;
  static const std::string too_long =
      std::string(kSmall) + ",my-field=" + std::string(16384, 'x');
  static const std::vector<Order> all = {
      {"a frame first of all", {}, chain, refused, kNoCaps},
      {"a frame before caps", {stream_start, segment}, push, refused, kNoCaps},
      {"a frame without memory before caps",
       {stream_start, segment},
       push_no_memory,
       refused,
       kNoCaps},
      {"a gap and a query before caps",
       {stream_start, segment, gap_and_query},
       push,
       refused,
       kNoCaps},
      {"a frame before a segment", {stream_start, caps(kSmall)}, push, shown},
      {"a frame after caps that are refused",
       {stream_start, caps(kUnknown), segment},
       chain,
       refused,
       {"OF_TOMORROW"}},
      {"a frame after caps that are refused behind others",
       {begin, caps(kHuge)},
       chain,
       refused,
       {"smaller size"}},
      {"a frame after caps that are refused behind a frame",
       {begin, another_frame, caps(kHuge)},
       chain,
       refused,
       {"smaller size"}},
      {"caps twice",
       {stream_start, caps(gray(8, 8)), segment, caps(kSmall)},
       push,
       shown},
      {"a frame after a flush", {begin, flush}, push, shown},
      {"a frame without bytes", {begin}, push<0>, left_out},
      {"a frame without memory", {begin}, push_no_memory, left_out},
      {"a frame that is too short", {begin}, push<kSmallBytes - 1>, left_out},
      {"a frame that is too long", {begin}, push<3 * kSmallBytes>, shown},
      {"a frame without caps in the second life",
       {begin, another_frame, start_again, stream_start, segment},
       push,
       refused,
       kNoCaps},
      refuses(kHuge.c_str(), {"smaller size"}),
      refuses(too_long.c_str(), {"16384", "capssetter"}),
      refuses("image/jpeg,width=16,height=16,framerate=25/1",
              {"image/jpeg", "Put decodebin before possumsink"}),
      refuses("video/x-bayer,format=bggr,width=16,height=16,framerate=25/1",
              {"bayer2rgb"}),
      refuses(
          "video/x-raw(memory:GLMemory),format=RGBA,width=16,height=16,framerate=25/1",
          {"Put gldownload before possumsink", "memory:GLMemory"}),
      refuses("video/x-raw,format=I420,width=16,framerate=25/1",
              {"capssetter", "no height"}),
      refuses("video/x-raw,format=I420,width=16,height=16,framerate=25/1,"
              "interlace-mode=alternate",
              {"video/x-raw(format:Interlaced)"}),
      refuses("audio/x-raw,rate=8000",
              {"Choose other caps", "audio/x-raw", "video/x-raw"}),
  };
  return all;
}

void expect_refusal(Producer& producer, const Order& order, GstFlowReturn flow) {
  expect_equal(flow, GST_FLOW_NOT_NEGOTIATED);
  const Report error = producer.pipeline().wait_error();
  expect_equal(error.source, "sink");
  require(order.words == kNoCaps ? error.is(GST_CORE_ERROR, GST_CORE_ERROR_NEGOTIATION)
                                 : error.is(GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT),
          error.text);
  error.expect_words(order.words);
  // It is not said again.
  expect_equal(chain(producer), GST_FLOW_NOT_NEGOTIATED);
  producer.pipeline().expect_only_generic_errors();
  // Started again it works. After a preroll that failed, GstBaseSink frees the caps it
  // had only then: on the way from PAUSED.
  producer.stop();
  require(own_names().empty(), "stopped, its channel is there");
  producer.start().push(1);
  producer.pipeline().expect_no_error();
}

// GStreamer says by a critical warning that an element sent a buffer too early.
gboolean is_expected(const gchar*, GLogLevelFlags, const gchar*, gpointer) {
  return TRUE;
}

void play(const Order& order, const std::string& properties) {
  const std::string channel = unique_channel();
  Producer producer(channel, properties);
  producer.open();
  for (const Step& step : order.before) step(producer);
  const GstFlowReturn flow = order.last(producer);
  if (order.outcome == Outcome::refused) return expect_refusal(producer, order, flow);
  expect_equal(flow, GST_FLOW_OK);
  if (order.outcome == Outcome::left_out) {
    const Report warning = producer.pipeline().wait_warning();
    require(warning.says("left out"), warning.text);
    begin(producer);
    producer.push(1);
  }
  Consumer consumer(channel);
  consumer.start();
  const Frame frame = consumer.pull();
  const std::vector<guint8> bytes = bytes_of(frame.buffer.get());
  expect_equal(bytes.front(), 1);
  producer.pipeline().expect_no_error();
}

// --- upstream ------------------------------------------------------------------------

// The loop's index is that of an order.
TESTS(a_sink_survives_every_order_of_events, orders().size()) {
  gst_check_add_log_filter("GStreamer", G_LOG_LEVEL_WARNING,
                           g_regex_new("Got data flow before", {}, {}, nullptr),
                           is_expected, nullptr, nullptr);
  const Order& order = orders()[i];
  g_print("%s\n", order.name);
  play(order, "");
}

// Whoever waits for readers first would wait for ever.
TEST(frames_without_caps_are_an_error_before_any_reader_came) {
  Producer producer(unique_channel(), "min-readers=1");
  producer.open();
  stream_start(producer);
  segment(producer);
  expect_equal(producer.try_push(new_frame(1)), GST_FLOW_NOT_NEGOTIATED);
  fail_unless(producer.pipeline().wait_error().says("without caps"));
}

TEST(who_only_asks_about_caps_makes_no_error) {
  Producer producer;
  producer.start().push(1);
  for (const char* text : {"image/jpeg", "video/x-raw(memory:GLMemory),format=RGBA"}) {
    fail_if(gst_pad_peer_query_accept_caps(producer.pad(), caps_of(text).get()));
  }
  producer.push(2);
  producer.pipeline().expect_no_error();
}

// --- both ends -----------------------------------------------------------------------

// --- downstream ----------------------------------------------------------------------

struct Sent {
  const char* name;
  std::string caps;
  std::vector<std::string> words = {};  // of the error; none: the picture is shown
  std::size_t bytes = kSmallBytes;
  unsigned planes = 0;
};

const std::vector<Sent>& sent() {
  static const std::vector<Sent> all = {
      {"raw video", kSmall},
      {"more bytes than the picture has", kSmall, {}, 3 * kSmallBytes},
      {"fewer bytes", kSmall, {"do not fit its caps"}, kSmallBytes - 1},
      {"no bytes", kSmall, {"do not fit its caps"}, 0},
      {"another number of planes", kSmall, {"do not fit its caps"}, kSmallBytes, 2},
      {"no caps", "", {"no raw video", "restart its writer"}},
      {"caps that are none", "{{{", {"no raw video"}},
      {"caps without a size", "video/x-raw, format=I420", {"no raw video"}},
      {"caps that are not fixed",
       "video/x-raw, format={I420, NV12}, width=16, height=16",
       {"no raw video"}},
      {"two structures", std::string(kSmall) + "; " + kSmall, {"no raw video"}},
      {"an impossible size",
       "video/x-raw, format=I420, width=2147483647, height=2147483647, framerate=1/1",
       {"no raw video"}},
      {"memory of another kind",
       "video/x-raw(memory:GLMemory), format=RGBA, width=16, height=16",
       {"no raw video"}},
      {"a format of tomorrow", kUnknown, {"OF_TOMORROW", "GStreamer 1.", "videoconvert"}},
      {"a format that is none for bytes",
       "video/x-raw, format=ENCODED, width=16, height=16",
       {"ENCODED"}},
      {"a structure of Python",
       "application/x-possum-struct, name=Point, dtype=\"f4\"",
       {"carries application/x-possum-struct", "libpossum or Python"},
       16},
      {"pictures in JPEG",
       "image/jpeg, width=(int)16, height=(int)16",
       {"carries image/jpeg", "libpossum or Python"},
       16},
      {"a field of the application",
       std::string(kSmall) + ", lens=(string)\"wide, \\\"1\\\"\""},
      {"a field with a structure in it",
       std::string(kSmall) + ", a=(structure)\"b, c=(int)1;\", d=[ 1, 2 ], e=<1>"},
      {"bytes that are no text", std::string(kSmall) + ", a=\"\\377\""},
      {"a colour space that is none",
       "video/x-raw, format=I420, width=16, height=16, colorimetry=\"\\377\"",
       {"no raw video"}},
      {"views that are none",
       std::string(kSmall) + ", multiview-mode=x",
       {"no raw video"}},
      {"a field with a comma in a word", std::string(kSmall) + ", a=b\\,c=(int)1"},
  };
  return all;
}

TESTS(a_reader_survives_whatever_a_writer_sends, sent().size()) {
  const Sent& what = sent()[i];
  g_print("%s\n", what.name);
  StrangeWriter liar;
  liar.send(what.caps, 1, what.bytes, [&](auto& frame) {
    frame.plane_count = what.planes;
    if (what.planes > 0) frame.frame_flags = possum::transport::layout::kFramePlanes;
  });
  Consumer consumer(liar.channel());
  consumer.start();
  if (what.words.empty()) {
    expect_equal(bytes_of(consumer.pull().buffer.get()).front(), 1);
    consumer.pipeline().expect_no_error();
    return;
  }
  const Report error = consumer.pipeline().wait_error();
  expect_equal(error.source, "src");
  error.expect_words(what.words);
  consumer.wait_eos();
  consumer.pipeline().expect_only_generic_errors();
}

TEST(what_downstream_lacks_is_named_and_what_is_there_is_not) {
  struct Row {
    const char* channel;  // caps there
    const char* elements;
    std::vector<std::string> words;
    std::vector<std::string> others;  // that must not be said
  };
  constexpr char kHalves[] =
      "video/x-raw,format=I420,width=16,height=16,framerate=25/1,"
      "interlace-mode=interleaved";
  const std::string one_view = std::string(kSmall) + ",views=1";
  const Row rows[] = {
      {kSmall,
       "video/x-raw,format=BGR",
       {"Put videoconvert behind", "I420", "BGR"},
       {"videoscale", "width"}},
      {kSmall,
       "video/x-raw,format=BGR,width=8",
       {"videoconvert ! videoscale", "width=16", "width=8"},
       {"height"}},
      {kSmall,
       "videoconvert ! videoscale ! video/x-raw,framerate=5/1",
       {"Put videorate behind", "framerate=25/1", "framerate=5/1"},
       {"videoconvert", "videoscale", "format"}},
      {kSmall,
       "queue ! videorate ! video/x-raw,format=BGR,framerate=5/1",
       {"Put videoconvert behind"},
       {"videorate"}},
      {kSmall,
       "video/x-raw,interlace-mode=interleaved",
       {"Put interlace behind", "progressive"},
       {"videoconvert"}},
      {kHalves,
       "videoconvert ! video/x-raw,interlace-mode=progressive",
       {"Put deinterlace behind"},
       {"videoconvert"}},
      {kSmall,
       "video/x-raw,colorimetry=bt709,pixel-aspect-ratio=2/1",
       {"videoconvert ! videoscale", "colorimetry", "pixel-aspect-ratio"},
       {}},
      {one_view.c_str(),
       "video/x-raw,views=2",
       {"at the writer", "views=1", "views=2"},
       {"Put"}},
  };
  for (const Row& row : rows) {
    StrangeWriter liar;
    liar.send(row.channel);
    Pipeline reader("possumsrc name=src channel=" + liar.channel() + " ! " +
                    row.elements + " ! fakesink");
    reader.set_state(GST_STATE_PLAYING);
    const Report error = reader.wait_error();
    require(error.is(GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT), error.text);
    expect_equal(error.source, "src");
    require(error.says("channel \"" + liar.channel() + "\" now carries "), error.text);
    error.expect_words(row.words);
    for (const std::string& word : row.others) {
      require(!error.says(word), "\"" + word + "\" in: " + error.text);
    }
    reader.stop();
    reader.expect_only_generic_errors();
  }
}

// Names and values that never were before, short and long, until a channel carries no
// more.
std::string new_caps(unsigned number) {
  const std::string mark = std::to_string(number);
  std::string text = std::string(kSmall) + ",content-light-level=(string)\"" + mark +
                     "\",colorimetry=(string)c" + mark;
  for (unsigned field = 0;; ++field) {
    const std::string more = ",z" + mark + "_" + std::to_string(field) +
                             std::string(field % 2 == 0 ? 0 : 200, 'q') + "=(int)1";
    if (text.size() + more.size() > 16384) return text;
    text += more;
  }
}

TEST(a_field_that_downstream_misses_is_named) {
  StrangeWriter liar;
  liar.send(kSmall);
  Consumer consumer(liar.channel(), "", {true, "video/x-raw,format=I420,lens=wide"});
  consumer.start();
  const Report error = consumer.pipeline().wait_error();
  fail_unless(error.says("Put capssetter behind possumsrc") && error.says("no lens") &&
                  error.says("lens=wide"),
              "%s", error.text.c_str());
}

// Nobody downstream is asked again, or told.
TEST(a_change_of_fields_that_are_left_out_is_no_change) {
  StrangeWriter liar;
  liar.send(kSmall);
  Consumer consumer(liar.channel(), "leaky-type=none");
  expect_equal(consumer.start().pull_value(), 1);
  std::atomic<int> asked{0};
  add_probe(consumer.src(), "src",
            GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM | GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM,
            [&](GstPad*, GstPadProbeInfo* info) {
              const bool event = (info->type & GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM) != 0;
              asked += event ? GST_EVENT_TYPE(info->data) == GST_EVENT_CAPS
                             : GST_QUERY_TYPE(info->data) == GST_QUERY_CAPS;
              return GST_PAD_PROBE_OK;
            });
  for (unsigned number = 2; number < 20; ++number) {
    // A list is never taken over.
    liar.send(std::string(kSmall) + ",lens=(int){1," + std::to_string(number) + "}",
              static_cast<guint8>(number));
    expect_equal(consumer.pull_value(), static_cast<int>(number));
  }
  expect_equal(asked.load(), 0);
  consumer.stop();
}

// GStreamer's parser keeps each name for ever.
TEST(a_writer_that_changes_its_caps_for_ever_takes_no_memory) {
  StrangeWriter liar;
  const Pipeline reader("possumsrc leaky-type=none channel=" + liar.channel() +
                        " ! fakesink name=out async=false sync=false");
  liar.send(kSmall);
  reader.set_state(GST_STATE_PLAYING);
  await([&] { return liar.readers() == 1; }, "the reader");
  constexpr unsigned kWarmUp = 500;
  constexpr unsigned kFrames = 5'000;
  std::size_t before = 0;
  for (unsigned number = 0; number < kFrames; ++number) {
    if (number == kWarmUp) before = support::private_kib();
    liar.send(new_caps(number));
  }
  const std::size_t after = support::private_kib();
  reader.expect_no_error();
#ifdef __SANITIZE_ADDRESS__
  constexpr bool kFreedMemoryIsKept = true;
#else
  constexpr bool kFreedMemoryIsKept = false;
#endif
  fail_unless(kFreedMemoryIsKept || after < before + 4096, "%zu kB became %zu", before,
              after);
}

// --- before the first frame ----------------------------------------------------------

TEST(a_live_reader_sends_caps_and_segment_before_it_takes_a_frame) {
  StrangeWriter liar;
  liar.send(kSmall);
  Consumer consumer(liar.channel(), "leaky-type=none");
  consumer.start(GST_STATE_PAUSED);
  fail_unless(gst_caps_is_equal(consumer.wait_caps().get(), caps_of(kSmall).get()));
  expect_equal(consumer.waiting(), 0);
  // It holds nobody up, nor is it there for those who wait for readers.
  expect_equal(liar.readers(), 0);
  fail_unless(gst_caps_is_equal(consumer.query_caps().get(), caps_of(kSmall).get()));
  expect_equal(consumer.start().pull_value(), 1);
}

TEST(caps_of_other_users_are_read_only_if_one_allows_them) {
  if (!may_become_others()) return;
  StrangeWriter liar;
  liar.send(kSmall);
  support::give_channel_to(liar.channel(), 54321);
  // What is known before the first frame is there when the state has changed.
  Consumer careful(liar.channel());
  careful.start(GST_STATE_PAUSED);
  fail_if(careful.has_caps());
  for (const char* owner : {"allowed-owner=54321", "allowed-owner=any"}) {
    Consumer trusting(liar.channel(), owner);
    trusting.start(GST_STATE_PAUSED);
    fail_unless(trusting.has_caps());
  }
}

TEST(the_caps_of_the_first_frame_rule_whatever_was_sent_before) {
  Producer first;
  first.start().push(1);
  Consumer consumer(first.channel());
  consumer.start(GST_STATE_PAUSED);
  consumer.wait_caps();
  first.stop();
  Producer second(first.channel());
  second.start(gray(8, 8)).push(new_frame(2, 64));
  consumer.start();
  const Frame frame = consumer.pull();
  expect_equal(frame.value(), 2);
  fail_unless(gst_caps_is_subset(frame.caps.get(), caps_of(gray(8, 8)).get()));
}

// The frames may have others by the time they come.
TEST(caps_that_downstream_refuses_early_are_no_error) {
  StrangeWriter liar;
  liar.send(gray(8, 8), 1, 64);
  Consumer consumer(liar.channel(), "", {true, "video/x-raw,format=I420"});
  consumer.start(GST_STATE_PAUSED);
  liar.send(kSmall, 2);
  expect_equal(consumer.start().pull_value(), 2);
}

TEST(a_compositor_starts_with_the_size_of_the_channel) {
  const std::string channel = unique_channel();
  const Pipeline writer(
      "videotestsrc is-live=true ! "
      "video/x-raw,format=I420,width=320,height=240,framerate=100/1 ! "
      "possumsink name=sink channel=" +
      channel);
  writer.set_state(GST_STATE_PLAYING);
  const Ref<GstElement> sink = writer.element("sink");
  await([&] { return stat(sink.get(), "frames") > 0; }, "the writer's first frame");
  for (const char* live : {"true", "false"}) {
    const Pipeline reader("possumsrc is-live=" + std::string(live) + " channel=" +
                          channel + " ! compositor ! fakesink name=out num-buffers=1");
    reader.set_state(GST_STATE_PLAYING);
    reader.wait_eos();
    const Ref<GstElement> out = reader.element("out");
    const Ref<GstPad> pad{gst_element_get_static_pad(out.get(), "sink")};
    const Ref<GstCaps> caps{gst_pad_get_current_caps(pad.get())};
    const std::string text = text_of(caps.get());
    fail_unless(text.find("width=(int)320, height=(int)240") != std::string::npos, "%s",
                text.c_str());
  }
}

}  // namespace
