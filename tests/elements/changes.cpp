// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Caps that change while frames flow, and downstream elements that do not like the new
// ones, or know no strides.
#include <string>
#include <vector>

#include "support/pictures.h"
#include "support/suite.h"

namespace {

std::string gray(int width, int height, const std::string& rest = "framerate=25/1") {
  return "video/x-raw,format=GRAY8,width=" + std::to_string(width) +
         ",height=" + std::to_string(height) + "," + rest;
}

// A frame that fills these caps.
Ref<GstBuffer> frame_for(const std::string& caps, guint8 value) {
  return new_frame(value, info_of(caps).size);
}

struct Pair {
  explicit Pair(const std::string& src_properties = "", Downstream downstream = {})
      : channel(unique_channel()),
        producer(channel),
        consumer(channel, src_properties, std::move(downstream)) {
    producer.start().push(1);
    consumer.start();
    expect_equal(consumer.pull_value(), 1);
  }
  void push(const std::string& caps, guint8 value) const {
    producer.caps(caps);
    producer.push(frame_for(caps, value));
  }
  const std::string channel;
  Producer producer;
  Consumer consumer;
};

void expect_frame(const Frame& frame, const std::string& caps, int value) {
  expect_equal(frame.value(), value);
  expect_equal(gst_buffer_get_size(frame.buffer.get()), info_of(caps).size);
  fail_unless(gst_caps_is_equal(frame.caps.get(), caps_of(caps).get()), "%s",
              text_of(frame.caps.get()).c_str());
}

// A frame in a slot whose layout is not the default one.
Ref<GstBuffer> padded_frame(const Producer& producer, const GstVideoInfo& info) {
  const Ref<GstBufferPool> pool =
      producer.pool([&](GstStructure* config) { ask_for_borders(info, config); });
  Ref<GstBuffer> buffer = acquire(pool.get());
  gst_buffer_pool_set_active(pool.get(), FALSE);
  return buffer;
}

}  // namespace

TEST(size_format_and_rate_change_with_the_next_frame) {
  Pair pair;
  const std::string sizes[] = {gray(32, 32),   gray(33, 31),
                               gray(640, 480), gray(32, 32, "framerate=50/1"),
                               kSmall,         kSmall};
  for (int i = 0; i < 50; ++i) {
    const std::string& caps = sizes[i % G_N_ELEMENTS(sizes)];
    const auto value = static_cast<guint8>(i + 2);
    pair.push(caps, value);
    const Frame frame = pair.consumer.pull();
    expect_frame(frame, caps, value);
    fail_if(frame.has(GST_BUFFER_FLAG_DISCONT));
  }
  pair.consumer.expect_stats({{"missed", 0}, {"reconnects", 0}});
}

TEST(held_frames_stay_valid_across_changes) {
  Pair pair;
  std::vector<Frame> held;
  for (int i = 1; i <= 7; ++i) {
    const std::string caps = gray(100 * i, 10 * i);
    pair.push(caps, static_cast<guint8>(i));
    held.push_back(pair.consumer.pull());
  }
  for (int i = 1; i <= 7; ++i) {
    expect_frame(held[static_cast<std::size_t>(i) - 1], gray(100 * i, 10 * i), i);
  }
}

TEST(frames_that_wait_keep_the_caps_they_were_sent_with) {
  Pair pair("max-buffers=8");
  pair.consumer.hold_up();
  pair.producer.push(2);
  pair.consumer.wait_held_up();
  for (int i = 3; i < 9; ++i) pair.push(gray(10 * i, 20), static_cast<guint8>(i));
  pair.consumer.let_through();
  expect_frame(pair.consumer.pull(), kSmall, 2);
  for (int i = 3; i < 9; ++i) expect_frame(pair.consumer.pull(), gray(10 * i, 20), i);
}

TEST(a_stalled_reader_does_not_disturb_the_other) {
  Pair pair;
  Consumer stalled(pair.channel);
  stalled.hold_up();
  stalled.start();
  stalled.wait_held_up();
  for (int i = 2; i < 60; ++i) {
    const std::string caps = gray(10 * i, 20);
    pair.push(caps, static_cast<guint8>(i));
    expect_frame(pair.consumer.pull(), caps, i);
  }
  expect_equal(pair.producer.stat("no-slot"), 0);
  stalled.let_through();
  expect_frame(stalled.pull(), kSmall, 1);
  for (int i = 57; i < 60; ++i) expect_frame(stalled.pull(), gray(10 * i, 20), i);
}

TEST(a_pool_of_the_old_caps_does_no_harm) {
  Pair pair;
  const Ref<GstBufferPool> old = pair.producer.pool();
  Ref<GstBuffer> small = acquire(old.get(), 2);
  pair.producer.push(std::move(small));
  expect_frame(pair.consumer.pull(), kSmall, 2);
  const std::string large = gray(640, 480);
  pair.producer.caps(large);
  const Ref<GstBufferPool> now = pair.producer.pool();
  const Ref<GstBuffer> late = acquire(old.get(), 3);
  pair.producer.push(acquire(now.get(), 4));
  expect_frame(pair.consumer.pull(), large, 4);
  gst_buffer_pool_set_active(old.get(), FALSE);
  gst_buffer_pool_set_active(now.get(), FALSE);
}

// --- downstream ----------------------------------------------------------------------

TEST(refused_caps_are_one_error_that_names_both) {
  Pair pair("", {true, "video/x-raw,format=I420"});
  pair.push(gray(32, 32), 2);
  const Report error = pair.consumer.pipeline().wait_error();
  fail_unless(error.is(GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT), "%s",
              error.text.c_str());
  expect_equal(error.source, "src");
  for (const std::string& part :
       {std::string("channel \"") + pair.channel + "\" now carries ",
        std::string("GRAY8"), std::string("downstream takes "), std::string("I420"),
        std::string("Put videoconvert behind possumsrc")}) {
    fail_unless(error.says(part), "%s", error.text.c_str());
  }
  pair.consumer.wait_eos();
  pair.consumer.pipeline().expect_only_generic_errors();
  // A reader that failed does not hold up anybody.
  expect_equal(num_readers(pair.producer.sink()), 0u);
}

TEST(converters_follow_the_channel) {
  Producer producer(unique_channel(), "allow-blocking=true");
  Pipeline reader("possumsrc leaky-type=none channel=" + producer.channel() +
                  " ! videoconvert ! videoscale ! "
                  "video/x-raw,format=BGRx,width=20,height=20 ! fakesink async=false");
  producer.start().push(1);
  reader.set_state(GST_STATE_PLAYING);
  wait_readers(producer.sink(), 1);
  for (int i = 0; i < 20; ++i) {
    const std::string caps = gray(40 + i, 40 - i);
    producer.caps(caps);
    producer.push(frame_for(caps, 2));
  }
  producer.eos();
  reader.wait_eos();
}

TEST(who_knows_no_strides_gets_packed_frames) {
  constexpr char kOdd[] = "video/x-raw,format=I420,width=641,height=359,framerate=25/1";
  const GstVideoInfo info = info_of(kOdd);
  Pair pair("", {false, ""});
  expect_equal(pair.consumer.stat("copied"), 0);  // the default layout needs no copy
  pair.producer.caps(kOdd);
  for (unsigned i = 0; i < 3; ++i) {
    Ref<GstBuffer> padded = padded_frame(pair.producer, info);
    const Picture picture = draw_random(info, padded.get(), i);
    pair.producer.push(std::move(padded));
    const Frame frame = pair.consumer.pull();
    expect_equal(gst_buffer_get_size(frame.buffer.get()), info.size);
    Ref<GstBuffer> plain{
        gst_buffer_copy_region(frame.buffer.get(), GST_BUFFER_COPY_MEMORY, 0, info.size)};
    fail_unless(gst_buffer_get_video_meta(plain.get()) == nullptr);
    fail_unless(picture_of(info, plain.get()) == picture);
  }
  expect_equal(pair.consumer.stat("copied"), 3);
}

TEST(reconfigure_asks_downstream_again) {
  constexpr char kOdd[] = "video/x-raw,format=I420,width=641,height=359,framerate=25/1";
  const GstVideoInfo info = info_of(kOdd);
  Pair pair("", {false, ""});
  pair.producer.caps(kOdd);
  pair.producer.push(padded_frame(pair.producer, info));
  expect_equal(gst_buffer_get_size(pair.consumer.pull().buffer.get()), info.size);
  pair.consumer.downstream({true, ""});
  gst_pad_push_event(pair.consumer.pad(), gst_event_new_reconfigure());
  // The one that create() is at already may be of either kind.
  pair.producer.push(padded_frame(pair.producer, info));
  pair.consumer.pull();
  const guint64 copied = pair.consumer.stat("copied");
  pair.producer.push(padded_frame(pair.producer, info));
  fail_unless(gst_buffer_get_size(pair.consumer.pull().buffer.get()) > info.size);
  expect_equal(pair.consumer.stat("copied"), copied);
}
