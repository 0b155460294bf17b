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

// Caps, and a frame that fills them.
void push(const Producer& producer, const std::string& caps, int value) {
  producer.caps(caps);
  producer.push(new_frame(static_cast<guint8>(value), info_of(caps).size));
}

void expect_frame(const Frame& frame, const std::string& caps, int value) {
  expect_equal(frame.value(), value);
  expect_equal(gst_buffer_get_size(frame.buffer.get()), info_of(caps).size);
  fail_unless(gst_caps_is_equal(frame.caps.get(), caps_of(caps).get()), "%s",
              text_of(frame.caps.get()).c_str());
}

Ref<GstBuffer> padded_frame(const Producer& producer, const GstVideoInfo& info) {
  return producer.pool([&](GstStructure* config) { ask_for_borders(info, config); })
      .acquire();
}

}  // namespace

TEST(size_format_and_rate_change_with_the_next_frame) {
  Pair pair;
  const std::string sizes[] = {gray(32, 32),         gray(33, 31), gray(640, 480),
                               gray(32, 32, "50/1"), kSmall,       kSmall};
  for (int i = 0; i < 50; ++i) {
    const std::string& caps = sizes[i % G_N_ELEMENTS(sizes)];
    push(pair.producer, caps, i + 2);
    const Frame frame = pair.consumer.pull();
    expect_frame(frame, caps, i + 2);
    fail_if(frame.has(GST_BUFFER_FLAG_DISCONT));
  }
  pair.consumer.expect_stats({{"missed", 0}, {"reconnects", 0}});
}

TEST(held_frames_stay_valid_across_changes) {
  Pair pair;
  std::vector<Frame> held;
  for (int i = 1; i <= 7; ++i) {
    const std::string caps = gray(100 * i, 10 * i);
    push(pair.producer, caps, i);
    held.push_back(pair.consumer.pull());
  }
  for (int i = 1; i <= 7; ++i) {
    expect_frame(held[static_cast<std::size_t>(i) - 1], gray(100 * i, 10 * i), i);
  }
}

TEST(frames_that_wait_keep_the_caps_they_were_sent_with) {
  HeldUp pair("", "max-buffers=8");
  for (int i = 2; i < 9; ++i) push(pair.producer, gray(10 * i, 20), i);
  pair.consumer.let_through();
  expect_frame(pair.consumer.pull(), kSmall, 1);
  for (int i = 2; i < 9; ++i) expect_frame(pair.consumer.pull(), gray(10 * i, 20), i);
}

TEST(a_stalled_reader_does_not_disturb_the_other) {
  Pair pair;
  Consumer stalled(pair.channel());
  stalled.hold_up();
  stalled.start();
  stalled.wait_held_up();
  for (int i = 2; i < 60; ++i) {
    const std::string caps = gray(10 * i, 20);
    push(pair.producer, caps, i);
    expect_frame(pair.consumer.pull(), caps, i);
  }
  expect_equal(pair.producer.stat("no-slot"), 0);
  stalled.let_through();
  expect_frame(stalled.pull(), kSmall, 1);
  for (int i = 57; i < 60; ++i) expect_frame(stalled.pull(), gray(10 * i, 20), i);
}

TEST(a_pool_of_the_old_caps_does_no_harm) {
  Pair pair;
  const Pool old = pair.producer.pool();
  pair.producer.push(old.acquire(2));
  expect_frame(pair.consumer.pull(), kSmall, 2);
  const std::string large = gray(640, 480);
  pair.producer.caps(large);
  const Pool now = pair.producer.pool();
  const Ref<GstBuffer> late = old.acquire(3);
  pair.producer.push(now.acquire(4));
  expect_frame(pair.consumer.pull(), large, 4);
}

// --- downstream ----------------------------------------------------------------------

TEST(refused_caps_are_one_error_that_names_both) {
  Pair pair("", "", Upstream{}, Downstream{true, "video/x-raw,format=I420"});
  push(pair.producer, gray(32, 32), 2);
  const Report error = pair.consumer.pipeline().wait_error();
  fail_unless(error.is(GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT), "%s",
              error.text.c_str());
  expect_equal(error.source, "src");
  error.expect_words({"channel \"" + pair.channel() + "\" now carries ", "GRAY8",
                      "downstream takes ", "I420", "Put videoconvert behind possumsrc"});
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
    push(producer, gray(40 + i, 40 - i), 2);
  }
  producer.eos();
  reader.wait_eos();
}

TEST(who_knows_no_strides_gets_packed_frames) {
  const GstVideoInfo info = info_of(kOdd);
  Pair pair("", "", Upstream{}, Downstream{false, ""});
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
  const GstVideoInfo info = info_of(kOdd);
  Pair pair("", "", Upstream{}, Downstream{false, ""});
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
