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

#include "support/elements.h"
#include "support/users.h"
#include "transport/layout.h"
#include "transport/writer.h"

// Last: it includes gstcheck.h.
#include "support/suite.h"

using namespace elements;

namespace {

std::string gray(int width, int height) {
  return "video/x-raw,format=GRAY8,width=" + std::to_string(width) +
         ",height=" + std::to_string(height) + ",framerate=25/1";
}

// --- what upstream does to a possumsink ----------------------------------------------

void stream_start(const Producer& producer) {
  producer.event(gst_event_new_stream_start("test"));
}

bool caps(const Producer& producer, const std::string& text) {
  return producer.event(gst_event_new_caps(caps_of(text).get()));
}

void segment(const Producer& producer) {
  GstSegment whole;
  gst_segment_init(&whole, GST_FORMAT_TIME);
  producer.segment(whole);
}

void begin(const Producer& producer, const std::string& text = kSmall) {
  stream_start(producer);
  require(caps(producer, text), "refused: " + text);
  segment(producer);
}

// As an element does that does not look at what became of its events.
GstFlowReturn chain(const Producer& producer, Ref<GstBuffer> buffer) {
  const Ref<GstPad> pad{gst_element_get_static_pad(producer.sink(), "sink")};
  return gst_pad_chain(pad.get(), buffer.release());
}

Ref<GstBuffer> without_memory() {
  Ref<GstBuffer> buffer{gst_buffer_new()};
  stamp(buffer.get(), 1);
  return buffer;
}

enum class Outcome { shown, left_out, refused };

// `play` ends with a frame of value 1 and returns what became of it.
struct Order {
  const char* name;
  std::function<GstFlowReturn(Producer&)> play;
  Outcome outcome;
  std::vector<std::string> words;  // of the error, if it is refused
};

const std::string kUnknown =
    "video/x-raw,format=(string)OF_TOMORROW,width=16,height=16,framerate=25/1";
const std::string kHuge =
    "video/x-raw,format=(string)RGBA64_LE,width=2147483647,height=2147483647,"
    "framerate=25/1";
const std::vector<std::string> kNoCaps = {"without caps", "set caps on the source",
                                          "capsfilter", "before possumsink"};

const std::vector<Order>& orders() {
  static const std::vector<Order> all = {
      {"a frame first of all", [](Producer& p) { return chain(p, new_frame(1)); },
       Outcome::refused, kNoCaps},
      {"a frame before caps",
       [](Producer& p) {
         stream_start(p);
         segment(p);
         return p.try_push(new_frame(1));
       },
       Outcome::refused, kNoCaps},
      {"a frame without memory before caps",
       [](Producer& p) {
         stream_start(p);
         segment(p);
         return p.try_push(without_memory());
       },
       Outcome::refused, kNoCaps},
      {"a gap and a query before caps",
       [](Producer& p) {
         stream_start(p);
         segment(p);
         const Ref<GstQuery> query{gst_query_new_allocation(nullptr, TRUE)};
         require(!gst_pad_peer_query(p.pad(), query.get()), "a pool for no caps");
         p.event(gst_event_new_gap(0, GST_MSECOND));
         return p.try_push(new_frame(1));
       },
       Outcome::refused, kNoCaps},
      {"a frame before a segment",
       [](Producer& p) {
         stream_start(p);
         caps(p, kSmall);
         return p.try_push(new_frame(1));
       },
       Outcome::shown,
       {}},
      {"a frame after caps that are refused",
       [](Producer& p) {
         stream_start(p);
         caps(p, kUnknown);
         segment(p);
         return chain(p, new_frame(1));
       },
       Outcome::refused,
       {"OF_TOMORROW"}},
      {"a frame after caps that are refused behind others",
       [](Producer& p) {
         begin(p);
         caps(p, kHuge);
         return chain(p, new_frame(1));
       },
       Outcome::refused,
       {"smaller size"}},
      {"a frame after caps that are refused behind a frame",
       [](Producer& p) {
         begin(p);
         p.push(2);
         caps(p, kHuge);
         return chain(p, new_frame(1));
       },
       Outcome::refused,
       {"smaller size"}},
      {"a frame of an impossible size",
       [](Producer& p) {
         stream_start(p);
         caps(p, kHuge);
         segment(p);
         return p.try_push(new_frame(1));
       },
       Outcome::refused,
       {"smaller size"}},
      {"caps of another kind",
       [](Producer& p) {
         stream_start(p);
         caps(p, "image/jpeg,width=16,height=16,framerate=25/1");
         segment(p);
         return p.try_push(new_frame(1));
       },
       Outcome::refused,
       {"image/jpeg"}},
      {"caps twice",
       [](Producer& p) {
         begin(p, gray(8, 8));
         caps(p, kSmall);
         return p.try_push(new_frame(1));
       },
       Outcome::shown,
       {}},
      {"a frame after a flush",
       [](Producer& p) {
         begin(p);
         p.flush();
         return p.try_push(new_frame(1));
       },
       Outcome::shown,
       {}},
      {"a frame without bytes",
       [](Producer& p) {
         begin(p);
         return p.try_push(new_frame(1, 0));
       },
       Outcome::left_out,
       {}},
      {"a frame without memory",
       [](Producer& p) {
         begin(p);
         return p.try_push(without_memory());
       },
       Outcome::left_out,
       {}},
      {"a frame that is too short",
       [](Producer& p) {
         begin(p);
         return p.try_push(new_frame(1, kSmallBytes - 1));
       },
       Outcome::left_out,
       {}},
      {"a frame that is too long",
       [](Producer& p) {
         begin(p);
         return p.try_push(new_frame(1, 3 * kSmallBytes));
       },
       Outcome::shown,
       {}},
      {"a frame without caps in the second life",
       [](Producer& p) {
         begin(p);
         p.push(2);
         p.stop();
         p.open();
         stream_start(p);
         segment(p);
         return p.try_push(new_frame(1));
       },
       Outcome::refused, kNoCaps},
  };
  return all;
}

void expect_refusal(Producer& producer, const Order& order, GstFlowReturn flow) {
  expect_equal(flow, GST_FLOW_NOT_NEGOTIATED);
  const Report error = producer.pipeline().wait_error();
  expect_equal(error.source, "sink");
  for (const std::string& word : order.words) {
    require(error.says(word), "no \"" + word + "\" in: " + error.text);
  }
  // It is not said again.
  expect_equal(chain(producer, new_frame(1)), GST_FLOW_NOT_NEGOTIATED);
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
  const GstFlowReturn flow = order.play(producer);
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

}  // namespace

// --- upstream ------------------------------------------------------------------------

// The loop's index is that of an order.
GST_START_TEST(a_sink_survives_every_order_of_events) {
  gst_check_add_log_filter("GStreamer", G_LOG_LEVEL_WARNING,
                           g_regex_new("Got data flow before", {}, {}, nullptr),
                           is_expected, nullptr, nullptr);
  const Order& order = orders()[static_cast<std::size_t>(__i__)];
  g_print("%s\n", order.name);
  play(order, "");
}
GST_END_TEST

// Whoever waits for readers first would wait for ever.
GST_START_TEST(frames_without_caps_are_an_error_before_any_reader_came) {
  Producer producer(unique_channel(), "min-readers=1");
  producer.open();
  stream_start(producer);
  segment(producer);
  expect_equal(producer.try_push(new_frame(1)), GST_FLOW_NOT_NEGOTIATED);
  fail_unless(producer.pipeline().wait_error().says("without caps"));
}
GST_END_TEST

GST_START_TEST(caps_that_are_too_long_are_told_to_the_writer) {
  Producer producer(unique_channel());
  producer.open();
  stream_start(producer);
  caps(producer, std::string(kSmall) + ",my-field=" + std::string(16384, 'x'));
  segment(producer);
  expect_equal(producer.try_push(new_frame(1)), GST_FLOW_NOT_NEGOTIATED);
  const Report error = producer.pipeline().wait_error();
  fail_unless(error.is(GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT));
  fail_unless(error.says("16384") && error.says("capssetter"), "%s", error.text.c_str());
  producer.pipeline().expect_only_generic_errors();
}
GST_END_TEST

GST_START_TEST(what_upstream_must_change_is_named) {
  struct Row {
    const char* caps;
    std::vector<std::string> words;
  };
  const Row rows[] = {
      {"image/jpeg,width=16,height=16,framerate=25/1",
       {"Put decodebin before possumsink"}},
      {"video/x-bayer,format=bggr,width=16,height=16,framerate=25/1", {"bayer2rgb"}},
      {"video/x-raw(memory:GLMemory),format=RGBA,width=16,height=16,framerate=25/1",
       {"Put gldownload before possumsink", "memory:GLMemory"}},
      {"video/x-raw,format=I420,width=16,framerate=25/1", {"capssetter", "no height"}},
      {"video/x-raw,format=I420,width=16,height=16,framerate=25/1,"
       "interlace-mode=alternate",
       {"video/x-raw(format:Interlaced)"}},
      {"audio/x-raw,rate=8000", {"Choose other caps", "audio/x-raw", "video/x-raw"}},
  };
  for (const Row& row : rows) {
    Producer producer(unique_channel());
    producer.open();
    stream_start(producer);
    caps(producer, row.caps);
    segment(producer);
    expect_equal(producer.try_push(new_frame(1)), GST_FLOW_NOT_NEGOTIATED);
    const Report error = producer.pipeline().wait_error();
    for (const std::string& word : row.words) {
      require(error.says(word), "no \"" + word + "\" in: " + error.text);
    }
    producer.pipeline().expect_only_generic_errors();
  }
}
GST_END_TEST

GST_START_TEST(who_only_asks_about_caps_makes_no_error) {
  Producer producer(unique_channel());
  producer.start().push(1);
  for (const char* text : {"image/jpeg", "video/x-raw(memory:GLMemory),format=RGBA"}) {
    fail_if(gst_pad_peer_query_accept_caps(producer.pad(), caps_of(text).get()));
  }
  producer.push(2);
  producer.pipeline().expect_no_error();
}
GST_END_TEST

// --- both ends -----------------------------------------------------------------------

GST_START_TEST(both_ends_know_every_format_of_the_gstreamer_that_runs) {
  Ref<GstCaps> templates[2];
  for (int i = 0; i < 2; ++i) {
    GstElementFactory* factory =
        gst_element_factory_find(i == 0 ? "possumsink" : "possumsrc");
    const Ref<GstElement> element{gst_element_factory_create(factory, nullptr)};
    gst_object_unref(factory);
    const Ref<GstPad> pad{
        gst_element_get_static_pad(element.get(), i == 0 ? "sink" : "src")};
    templates[i].reset(gst_pad_get_pad_template_caps(pad.get()));
  }
  fail_unless(gst_caps_is_strictly_equal(templates[0].get(), templates[1].get()));
  guint count = 0;
  const GstVideoFormat* formats = gst_video_formats_raw(&count);
  for (guint i = 0; i < count; ++i) {
    const std::string text =
        std::string("video/x-raw,width=16,height=16,framerate=1/1,") +
        "format=" + gst_video_format_to_string(formats[i]);
    fail_unless(gst_caps_is_subset(caps_of(text).get(), templates[1].get()), "%s",
                text.c_str());
  }
}
GST_END_TEST

// --- downstream ----------------------------------------------------------------------

namespace {

// A writer that sends whatever texts and frames a test wants.
class Liar {
 public:
  Liar() : channel_(unique_channel()) {
    possum::transport::WriterOptions options;
    options.channel = channel_;
    options.allow_blocking = true;
    writer_ = possum::transport::Writer::create(options, {}, error_);
    require(writer_->open(error_) == possum::transport::WriteStatus::ok, error_.message);
  }
  const std::string& channel() const { return channel_; }
  unsigned readers() const { return writer_->active_readers(); }
  // Frames of that many bytes, all of this value.
  void send(const std::string& caps, guint8 value = 1, std::size_t bytes = kSmallBytes,
            unsigned planes = 0) {
    possum::transport::SlotRef slot;
    require(writer_->acquire(std::max<std::size_t>(bytes, 1), caps.size(), 0, slot,
                             error_) == possum::transport::WriteStatus::ok,
            error_.message);
    std::memset(slot.data, value, bytes);
    possum::transport::layout::FrameDescriptor frame{};
    frame.data_bytes = bytes;
    frame.plane_count = planes;
    if (planes > 0) frame.frame_flags = possum::transport::layout::kFramePlanes;
    require(writer_->publish(slot, frame, caps, {}, false, error_) ==
                possum::transport::WriteStatus::ok,
            error_.message);
  }

 private:
  const std::string channel_;
  possum::Error error_;
  std::unique_ptr<possum::transport::Writer> writer_;
};

struct Sent {
  const char* name;
  std::string caps;
  std::size_t bytes = kSmallBytes;
  unsigned planes = 0;
  std::vector<std::string> words;  // of the error; none: the picture is shown
};

const std::vector<Sent>& sent() {
  static const std::vector<Sent> all = {
      {"raw video", kSmall, kSmallBytes, 0, {}},
      {"more bytes than the picture has", kSmall, 3 * kSmallBytes, 0, {}},
      {"fewer bytes", kSmall, kSmallBytes - 1, 0, {"do not fit its caps"}},
      {"no bytes", kSmall, 0, 0, {"do not fit its caps"}},
      {"another number of planes", kSmall, kSmallBytes, 2, {"do not fit its caps"}},
      {"no caps", "", kSmallBytes, 0, {"no raw video", "restart its writer"}},
      {"caps that are none", "{{{", kSmallBytes, 0, {"no raw video"}},
      {"caps without a size",
       "video/x-raw, format=I420",
       kSmallBytes,
       0,
       {"no raw video"}},
      {"caps that are not fixed",
       "video/x-raw, format={I420, NV12}, width=16, height=16",
       kSmallBytes,
       0,
       {"no raw video"}},
      {"two structures",
       std::string(kSmall) + "; " + kSmall,
       kSmallBytes,
       0,
       {"no raw video"}},
      {"an impossible size",
       "video/x-raw, format=I420, width=2147483647, height=2147483647, framerate=1/1",
       kSmallBytes,
       0,
       {"no raw video"}},
      {"memory of another kind",
       "video/x-raw(memory:GLMemory), format=RGBA, width=16, height=16",
       kSmallBytes,
       0,
       {"no raw video"}},
      {"a format of tomorrow",
       kUnknown,
       kSmallBytes,
       0,
       {"OF_TOMORROW", "GStreamer 1.", "videoconvert"}},
      {"a format that is none for bytes",
       "video/x-raw, format=ENCODED, width=16, height=16",
       kSmallBytes,
       0,
       {"ENCODED"}},
      {"a structure of Python",
       "application/x-possum-struct, name=Point, dtype=\"f4\"",
       16,
       0,
       {"carries application/x-possum-struct", "libpossum or Python"}},
      {"pictures in JPEG",
       "image/jpeg, width=(int)16, height=(int)16",
       16,
       0,
       {"carries image/jpeg", "libpossum or Python"}},
      {"a field of the application",
       std::string(kSmall) + ", lens=(string)\"wide, \\\"1\\\"\"",
       kSmallBytes,
       0,
       {}},
      {"a field with a structure in it",
       std::string(kSmall) + ", a=(structure)\"b, c=(int)1;\", d=[ 1, 2 ], e=<1>",
       kSmallBytes,
       0,
       {}},
      {"bytes that are no text",
       std::string(kSmall) + ", a=\"\\377\"",
       kSmallBytes,
       0,
       {}},
      {"a colour space that is none",
       "video/x-raw, format=I420, width=16, height=16, colorimetry=\"\\377\"",
       kSmallBytes,
       0,
       {"no raw video"}},
      {"views that are none",
       std::string(kSmall) + ", multiview-mode=x",
       kSmallBytes,
       0,
       {"no raw video"}},
      {"a field with a comma in a word",
       std::string(kSmall) + ", a=b\\,c=(int)1",
       kSmallBytes,
       0,
       {}},
  };
  return all;
}

}  // namespace

GST_START_TEST(a_reader_survives_whatever_a_writer_sends) {
  const Sent& what = sent()[static_cast<std::size_t>(__i__)];
  g_print("%s\n", what.name);
  Liar liar;
  liar.send(what.caps, 1, what.bytes, what.planes);
  Consumer consumer(liar.channel());
  consumer.start();
  if (what.words.empty()) {
    expect_equal(bytes_of(consumer.pull().buffer.get()).front(), 1);
    consumer.pipeline().expect_no_error();
    return;
  }
  const Report error = consumer.pipeline().wait_error();
  expect_equal(error.source, "src");
  for (const std::string& word : what.words) {
    require(error.says(word), "no \"" + word + "\" in: " + error.text);
  }
  consumer.wait_eos();
  consumer.pipeline().expect_only_generic_errors();
}
GST_END_TEST

GST_START_TEST(what_downstream_lacks_is_named_and_what_is_there_is_not) {
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
    Liar liar;
    liar.send(row.channel);
    Pipeline reader("possumsrc name=src channel=" + liar.channel() + " ! " +
                    row.elements + " ! fakesink");
    reader.set_state(GST_STATE_PLAYING);
    const Report error = reader.wait_error();
    require(error.is(GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT), error.text);
    expect_equal(error.source, "src");
    require(error.says("channel \"" + liar.channel() + "\" now carries "), error.text);
    for (const std::string& word : row.words) {
      require(error.says(word), "no \"" + word + "\" in: " + error.text);
    }
    for (const std::string& word : row.others) {
      require(!error.says(word), "\"" + word + "\" in: " + error.text);
    }
    reader.stop();
    reader.expect_only_generic_errors();
  }
}
GST_END_TEST

namespace {

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

}  // namespace

GST_START_TEST(a_field_that_downstream_misses_is_named) {
  Liar liar;
  liar.send(kSmall);
  Consumer consumer(liar.channel(), "", {true, "video/x-raw,format=I420,lens=wide"});
  consumer.start();
  const Report error = consumer.pipeline().wait_error();
  fail_unless(error.says("Put capssetter behind possumsrc") && error.says("no lens") &&
                  error.says("lens=wide"),
              "%s", error.text.c_str());
}
GST_END_TEST

// Nobody downstream is asked again, or told.
GST_START_TEST(a_change_of_fields_that_are_left_out_is_no_change) {
  Liar liar;
  liar.send(kSmall);
  Consumer consumer(liar.channel(), "leaky-type=none");
  consumer.start();
  expect_equal(consumer.pull_value(), 1);
  std::atomic<int> asked{0};
  const Ref<GstPad> pad{gst_element_get_static_pad(consumer.src(), "src")};
  gst_pad_add_probe(
      pad.get(),
      static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM |
                                   GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM),
      [](GstPad*, GstPadProbeInfo* info, gpointer count) {
        const bool told =
            (info->type & GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM) != 0 &&
            GST_EVENT_TYPE(GST_PAD_PROBE_INFO_EVENT(info)) == GST_EVENT_CAPS;
        const bool asked =
            (info->type & GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM) != 0 &&
            GST_QUERY_TYPE(GST_PAD_PROBE_INFO_QUERY(info)) == GST_QUERY_CAPS;
        if (told || asked) ++*static_cast<std::atomic<int>*>(count);
        return GST_PAD_PROBE_OK;
      },
      &asked, nullptr);
  for (unsigned number = 2; number < 20; ++number) {
    // A list is never taken over.
    liar.send(std::string(kSmall) + ",lens=(int){1," + std::to_string(number) + "}",
              static_cast<guint8>(number));
    expect_equal(consumer.pull_value(), static_cast<int>(number));
  }
  expect_equal(asked.load(), 0);
  consumer.stop();
}
GST_END_TEST

// GStreamer's parser keeps each name for ever.
GST_START_TEST(a_writer_that_changes_its_caps_for_ever_takes_no_memory) {
  Liar liar;
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
GST_END_TEST

// --- before the first frame ----------------------------------------------------------

GST_START_TEST(a_live_reader_sends_caps_and_segment_before_it_takes_a_frame) {
  Liar liar;
  liar.send(kSmall);
  Consumer consumer(liar.channel(), "leaky-type=none");
  consumer.start(GST_STATE_PAUSED);
  fail_unless(gst_caps_is_equal(consumer.wait_caps().get(), caps_of(kSmall).get()));
  expect_equal(consumer.waiting(), 0);
  // It holds nobody up, nor is it there for those who wait for readers.
  expect_equal(liar.readers(), 0);
  fail_unless(gst_caps_is_equal(consumer.query_caps().get(), caps_of(kSmall).get()));
  consumer.start();
  expect_equal(consumer.pull_value(), 1);
}
GST_END_TEST

GST_START_TEST(caps_of_other_users_are_read_only_if_one_allows_them) {
  if (!support::may_become_others()) {
    g_print("SKIPPED %s: acting as other users needs root\n", __func__);
    return;
  }
  Liar liar;
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
GST_END_TEST

GST_START_TEST(the_caps_of_the_first_frame_rule_whatever_was_sent_before) {
  const std::string channel = unique_channel();
  Producer first(channel);
  first.start().push(1);
  Consumer consumer(channel);
  consumer.start(GST_STATE_PAUSED);
  consumer.wait_caps();
  first.stop();
  Producer second(channel);
  second.start(gray(8, 8)).push(new_frame(2, 64));
  consumer.start();
  const Frame frame = consumer.pull();
  expect_equal(frame.value(), 2);
  fail_unless(gst_caps_is_subset(frame.caps.get(), caps_of(gray(8, 8)).get()));
}
GST_END_TEST

// The frames may have others by the time they come.
GST_START_TEST(caps_that_downstream_refuses_early_are_no_error) {
  Liar liar;
  liar.send(gray(8, 8), 1, 64);
  Consumer consumer(liar.channel(), "", {true, "video/x-raw,format=I420"});
  consumer.start(GST_STATE_PAUSED);
  liar.send(kSmall, 2);
  consumer.start();
  expect_equal(consumer.pull_value(), 2);
}
GST_END_TEST

GST_START_TEST(a_compositor_starts_with_the_size_of_the_channel) {
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
GST_END_TEST

static Suite* negotiation_suite() {
  Suite* suite = suite_create("negotiation");
  TCase* tcase = new_case(suite, "negotiation");
  tcase_add_loop_test(tcase, a_sink_survives_every_order_of_events, 0,
                      static_cast<int>(orders().size()));
  tcase_add_test(tcase, frames_without_caps_are_an_error_before_any_reader_came);
  tcase_add_test(tcase, caps_that_are_too_long_are_told_to_the_writer);
  tcase_add_test(tcase, what_upstream_must_change_is_named);
  tcase_add_test(tcase, who_only_asks_about_caps_makes_no_error);
  tcase_add_test(tcase, both_ends_know_every_format_of_the_gstreamer_that_runs);
  tcase_add_loop_test(tcase, a_reader_survives_whatever_a_writer_sends, 0,
                      static_cast<int>(sent().size()));
  tcase_add_test(tcase, what_downstream_lacks_is_named_and_what_is_there_is_not);
  tcase_add_test(tcase, a_field_that_downstream_misses_is_named);
  tcase_add_test(tcase, a_change_of_fields_that_are_left_out_is_no_change);
  tcase_add_test(tcase, a_writer_that_changes_its_caps_for_ever_takes_no_memory);
  tcase_add_test(tcase, a_live_reader_sends_caps_and_segment_before_it_takes_a_frame);
  tcase_add_test(tcase, caps_of_other_users_are_read_only_if_one_allows_them);
  tcase_add_test(tcase, the_caps_of_the_first_frame_rule_whatever_was_sent_before);
  tcase_add_test(tcase, caps_that_downstream_refuses_early_are_no_error);
  tcase_add_test(tcase, a_compositor_starts_with_the_size_of_the_channel);
  return suite;
}

GST_CHECK_MAIN(negotiation)
