// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possumsrc's life: waiting for a writer, losing it, and what it does with frames.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/suite.h"

namespace {

GstMemory* memory_of(const Frame& frame) {
  return gst_buffer_peek_memory(frame.buffer.get(), 0);
}

// Is it a view of the shared memory?
bool is_frame_memory(const Frame& frame) {
  return gst_memory_is_type(memory_of(frame), "PossumFrame");
}

}  // namespace

// --- waiting -------------------------------------------------------------------------

TEST(reader_may_come_first_and_says_that_it_waits) {
  Consumer consumer;
  consumer.start();
  const Progress start = consumer.pipeline().wait_progress();
  expect_equal(start.type, GST_PROGRESS_TYPE_START);
  expect_equal(start.code, "connect");
  fail_unless(start.text.find(consumer.channel()) != std::string::npos);
  Producer producer(consumer.channel());
  producer.start().push(1);
  expect_equal(consumer.pull_value(), 1);
  const Progress complete = consumer.pipeline().wait_progress();
  expect_equal(complete.type, GST_PROGRESS_TYPE_COMPLETE);
  expect_equal(complete.code, "connect");
  fail_if(consumer.pipeline().posted(GST_MESSAGE_PROGRESS));
}

TEST(reader_that_comes_second_waits_for_nothing) {
  const Pair pair;
  fail_if(pair.consumer.pipeline().posted(GST_MESSAGE_PROGRESS));
}

TEST(each_wait_has_the_whole_timeout) {
  const std::string channel = unique_channel();
  auto producer = std::make_unique<Producer>(channel);
  producer->start().push(1);
  Consumer consumer(channel, "connection-timeout=50000000");
  expect_equal(consumer.start().pull_value(), 1);
  producer.reset();
  const Report error = consumer.pipeline().wait_error();
  fail_unless(error.is(GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND));
}

TEST(an_opened_channel_without_a_frame_is_found) {
  Ends pair("", "connection-timeout=1");
  pair.producer.start();
  pair.consumer.start();
  wait_readers(pair.producer.sink(), 1);
  pair.cross(1);
}

// --- losing the writer ---------------------------------------------------------------

TEST(reader_follows_to_the_next_writer) {
  Pair pair;
  pair.producer.stop();
  const Pipeline& reader = pair.consumer.pipeline();
  expect_equal(reader.wait_progress().type, GST_PROGRESS_TYPE_START);
  constexpr char kOther[] = "video/x-raw,format=GRAY8,width=8,height=8,framerate=5/1";
  pair.producer.start(kOther).push(new_frame(2, 64));
  const Frame frame = pair.consumer.pull();
  expect_equal(frame.value(), 2);
  fail_unless(frame.has(GST_BUFFER_FLAG_DISCONT));
  fail_unless(gst_caps_is_subset(frame.caps.get(), caps_of(kOther).get()));
  expect_equal(reader.wait_progress().type, GST_PROGRESS_TYPE_COMPLETE);
  expect_equal(pair.consumer.stat("reconnects"), 1);
}

TEST(waiting_frames_are_delivered_before_the_disconnect) {
  HeldUp pair("", "max-buffers=2 on-disconnect=eos");
  pair.push(2, 3);
  pair.producer.stop();
  pair.consumer.let_through();
  pair.consumer.expect_values(1, 3);
  pair.consumer.wait_eos();
  pair.consumer.pipeline().expect_no_error();
}

TEST(eos_ends_the_stream_and_the_attachment) {
  HeldUp pair;
  pair.producer.eos();
  pair.consumer.let_through();
  pair.consumer.wait_eos();
  wait_readers(pair.producer.sink(), 0);
}

TEST(ignored_eos_is_a_long_pause) {
  HeldUp pair("", "ignore-eos=true");
  pair.producer.eos();
  pair.consumer.let_through();
  pair.producer.flush();
  pair.producer.push(2);
  pair.consumer.expect_values(1, 2);
  expect_equal(pair.consumer.stat("reconnects"), 0);
}

TEST(ignored_eos_is_a_disconnect) {
  HeldUp pair("", "ignore-eos=true on-disconnect=error");
  pair.producer.eos();
  pair.consumer.let_through();
  fail_unless(pair.consumer.pipeline().wait_error().is(GST_RESOURCE_ERROR,
                                                       GST_RESOURCE_ERROR_READ));
}

TEST(num_buffers_ends_the_stream) {
  HeldUp pair("", "num-buffers=2 max-buffers=4");
  pair.push(2, 4);
  pair.consumer.let_through();
  pair.consumer.wait_eos();
  pair.consumer.expect_values(1, 2);
  expect_equal(pair.consumer.waiting(), 0u);
}

// --- a slow reader -------------------------------------------------------------------

TEST(leaky_downstream_drops_the_oldest) {
  for (const int waiting : {3, 1}) {
    HeldUp pair("", "leaky-type=downstream max-buffers=" + std::to_string(waiting));
    pair.push(2, 9);
    pair.consumer.let_through();
    expect_equal(pair.consumer.pull_value(), 1);
    pair.consumer.expect_values(10 - waiting, 9);
    expect_equal(pair.consumer.stat("missed"), 8u - static_cast<unsigned>(waiting));
  }
}

TEST(max_buffers_counts_at_once) {
  HeldUp pair("", "max-buffers=8");
  pair.push(2, 6);
  g_object_set(pair.consumer.src(), "max-buffers", 2, nullptr);
  pair.push(7, 9);
  pair.consumer.let_through();
  pair.consumer.expect_values({1, 8, 9});
  // And of a later attachment.
  pair.producer.stop();
  pair.consumer.hold_up();
  pair.producer.start().push(10);
  pair.consumer.wait_held_up();
  pair.push(11, 19);
  pair.consumer.let_through();
  pair.consumer.expect_values({10, 18, 19});
}

TEST(writer_that_waits_goes_on_when_max_buffers_is_raised) {
  HeldUp pair("allow-blocking=true", "leaky-type=none max-buffers=1");
  pair.producer.push(2);
  Task writer([&] { pair.producer.push(3); });
  await_sleeping_writer(pair.channel());
  g_object_set(pair.consumer.src(), "max-buffers", 2, nullptr);
  writer.join();
  pair.consumer.let_through();
  pair.consumer.expect_values(1, 3);
}

TEST(copy_frames_counts_at_once) {
  Pair pair;
  g_object_set(pair.consumer.src(), "copy-frames", TRUE, nullptr);
  pair.cross(2);
  expect_equal(pair.consumer.stat("copied"), 1);
}

TEST(leaky_upstream_drops_the_newest) {
  HeldUp pair("", "leaky-type=upstream max-buffers=3");
  pair.push(2, 9);
  pair.consumer.let_through();
  pair.consumer.expect_values(1, 4);
  pair.producer.push(10);
  const Frame frame = pair.consumer.pull();
  expect_equal(frame.value(), 10);
  fail_unless(frame.has(GST_BUFFER_FLAG_DISCONT));
  expect_equal(pair.consumer.stat("missed"), 5);
}

TEST(blocking_reader_gets_every_frame) {
  Pair pair("allow-blocking=true slots=4", "leaky-type=none max-buffers=2");
  Task push([&] { pair.push(2, 199); });
  pair.consumer.expect_values(2, 199);
  push.join();
  expect_equal(pair.consumer.stat("missed"), 0);
}

TEST(discont_marks_the_first_frame_and_gaps_alone) {
  HeldUp pair("", "max-buffers=2");
  fail_unless(pair.consumer.pull().has(GST_BUFFER_FLAG_DISCONT));
  pair.push(2, 3);
  pair.consumer.let_through();
  fail_if(pair.consumer.pull().has(GST_BUFFER_FLAG_DISCONT));
  fail_if(pair.consumer.pull().has(GST_BUFFER_FLAG_DISCONT));
  pair.consumer.hold_up();
  pair.push(4, 4);
  pair.consumer.wait_held_up();
  fail_if(pair.consumer.pull().has(GST_BUFFER_FLAG_DISCONT));
  pair.push(5, 8);
  pair.consumer.let_through();
  const Frame after_gap = pair.consumer.pull();
  expect_equal(after_gap.value(), 7);
  fail_unless(after_gap.has(GST_BUFFER_FLAG_DISCONT));
  fail_if(pair.consumer.pull().has(GST_BUFFER_FLAG_DISCONT));
}

// --- memory --------------------------------------------------------------------------

TEST(frames_are_read_only_views) {
  HeldUp pair;
  Frame frame = pair.consumer.pull();
  fail_unless(is_frame_memory(frame));
  fail_unless(GST_MEMORY_IS_READONLY(memory_of(frame)));
  GstMapInfo map;
  fail_if(gst_memory_map(memory_of(frame), &map, GST_MAP_WRITE));
  fail_if(gst_memory_map(memory_of(frame), &map, GST_MAP_READWRITE));
}

TEST(writing_makes_a_private_copy) {
  HeldUp pair;
  Consumer other(pair.channel());
  other.start();
  const Frame same = other.pull();
  Frame frame = pair.consumer.pull();
  frame.buffer.reset(gst_buffer_make_writable(frame.buffer.release()));
  GstMapInfo map;
  fail_unless(gst_buffer_map(frame.buffer.get(), &map, GST_MAP_READWRITE));
  fail_unless(
      std::all_of(map.data, map.data + map.size, [](guint8 b) { return b == 1; }));
  memset(map.data, 77, map.size);
  gst_buffer_unmap(frame.buffer.get(), &map);
  expect_equal(frame.value(), 77);
  fail_if(is_frame_memory(frame));
  expect_equal(same.value(), 1);
}

TEST(a_part_of_a_frame_keeps_its_slot) {
  HeldUp pair;
  Ref<GstBuffer> part;
  {
    const Frame frame = pair.consumer.pull();
    part.reset(
        gst_buffer_copy_region(frame.buffer.get(), GST_BUFFER_COPY_MEMORY, 100, 50));
  }
  pair.consumer.let_through();
  for (int value = 2; value < 60; ++value) pair.cross(value);
  expect_equal(gst_buffer_get_size(part.get()), 50u);
  expect_equal(value_of(part.get()), 1);
  expect_equal(pair.producer.stat("held"), 1);
  part.reset();
  expect_equal(pair.producer.stat("held"), 0);
}

TEST(a_held_frame_outlives_everything) {
  std::vector<Frame> held;
  {
    HeldUp pair("", "max-buffers=4");
    pair.push(2, 4);
    pair.consumer.let_through();
    while (held.size() < 4) held.push_back(pair.consumer.pull());
    pair.producer.stop();
  }
  fail_unless(own_names().empty());
  for (std::size_t i = 0; i < held.size(); ++i) {
    expect_equal(held[i].value(), static_cast<int>(i) + 1);
  }
  // In a thread that knows nothing of the element.
  Task([&] { held.clear(); }).join();
}

TEST(a_hoarder_gets_copies_and_the_writer_goes_on) {
  Pair pair("slots=4");
  Consumer hoarder(pair.channel());
  hoarder.start();
  std::vector<Frame> hoard;
  for (int value = 1; value <= 40; ++value) {
    if (value > 1) pair.cross(value);
    hoard.push_back(hoarder.pull());
  }
  for (std::size_t i = 0; i < hoard.size(); ++i) {
    expect_equal(hoard[i].value(), static_cast<int>(i) + 1);
  }
  fail_unless(hoarder.stat("copied") >= 36);
  expect_equal(pair.producer.stat("no-slot"), 0);
}

TEST(copy_frames_gives_slots_back_at_once) {
  HeldUp pair("", "copy-frames=true");
  const Frame first = pair.consumer.pull();
  fail_if(is_frame_memory(first));
  fail_if(GST_MEMORY_IS_READONLY(memory_of(first)));
  expect_equal(pair.producer.stat("held"), 0);
  pair.consumer.let_through();
  pair.producer.push(2);
  const Frame second = pair.consumer.pull();
  expect_equal(first.value(), 1);
  expect_equal(second.value(), 2);
  expect_equal(pair.consumer.stat("copied"), 2);
  expect_equal(pair.producer.stat("held"), 0);
}

// --- queries -------------------------------------------------------------------------

TEST(caps_query_follows_the_channel) {
  Ends pair;
  const Consumer& consumer = pair.consumer;
  const Ref<GstCaps> pad_template{gst_pad_get_pad_template_caps(
      Ref<GstPad>{gst_element_get_static_pad(consumer.src(), "src")}.get())};
  fail_unless(gst_caps_is_equal(consumer.query_caps().get(), pad_template.get()));
  const Ref<GstCaps> filter = caps_of("video/x-raw,format={NV12,I420}");
  fail_unless(gst_caps_is_subset(consumer.query_caps(filter.get()).get(), filter.get()));
  pair.begin();
  fail_unless(gst_caps_is_equal(consumer.query_caps().get(), caps_of(kSmall).get()));
  fail_unless(gst_caps_is_empty(consumer.query_caps(caps_of("audio/x-raw").get()).get()));
}

TEST(live_src_does_not_preroll) {
  Consumer live;
  live.start(GST_STATE_READY);
  expect_equal(live.pipeline().set_state(GST_STATE_PAUSED), GST_STATE_CHANGE_NO_PREROLL);
  Consumer other(unique_channel(), "is-live=false");
  other.start(GST_STATE_READY);
  expect_equal(other.pipeline().set_state(GST_STATE_PAUSED), GST_STATE_CHANGE_SUCCESS);
  expect_equal(other.latency().live, false);
}

TEST(src_that_is_not_live_prerolls_with_the_first_frame) {
  Producer producer;
  producer.start().push(1);
  Pipeline reader("possumsrc is-live=false channel=" + producer.channel() +
                  " ! fakesink name=sink");
  reader.reach(GST_STATE_PAUSED);
  const Ref<GstElement> sink = reader.element("sink");
  GstSample* sample = nullptr;
  g_object_get(sink.get(), "last-sample", &sample, nullptr);
  fail_unless(sample != nullptr);
  expect_equal(value_of(gst_sample_get_buffer(sample)), 1);
  gst_sample_unref(sample);
}

TEST(src_is_not_seekable) {
  HeldUp pair;
  const Ref<GstQuery> query{gst_query_new_seeking(GST_FORMAT_TIME)};
  gboolean seekable = TRUE;
  fail_unless(gst_element_query(pair.consumer.src(), query.get()));
  gst_query_parse_seeking(query.get(), nullptr, &seekable, nullptr, nullptr);
  fail_if(seekable);
}

// --- going to PLAYING ----------------------------------------------------------------

TEST(live_reader_plays_on_with_the_newest_frame_or_the_oldest_if_it_blocks) {
  for (const bool blocking : {false, true}) {
    Pair pair("allow-blocking=true",
              blocking ? "leaky-type=none max-buffers=8" : "max-buffers=8");
    pair.consumer.pipeline().reach(GST_STATE_PAUSED);
    pair.push(2, 5);
    pair.consumer.pipeline().play();
    if (blocking) pair.consumer.expect_values(2, 4);
    const Frame frame = pair.consumer.pull();
    expect_equal(frame.value(), 5);
    expect_equal(frame.has(GST_BUFFER_FLAG_DISCONT), !blocking);
    pair.cross(6);
  }
}

// However late its thread notices that it was PAUSED.
TEST(quick_pauses_never_stop_a_live_reader) {
  Pair pair;
  for (guint8 value = 2; value < 60; ++value) {
    pair.consumer.pipeline().reach(GST_STATE_PAUSED);
    pair.producer.push(value);
    pair.consumer.pipeline().play();
    expect_equal(pair.consumer.pull_value(), value);
  }
}

TEST(reader_goes_on_after_stop_and_start) {
  HeldUp pair;
  for (guint8 value = 2; value < 6; ++value) {
    pair.consumer.stop();
    pair.producer.push(value);
    pair.consumer.start();
    pair.consumer.pull_until(value);
  }
  pair.consumer.pipeline().expect_no_error();
}

// --- several of them -----------------------------------------------------------------

TEST(sink_and_src_of_one_channel_share_a_pipeline) {
  const std::string channel = unique_channel();
  Pipeline both(
      "videotestsrc num-buffers=50 ! video/x-raw,width=64,height=48 ! "
      "possumsink allow-blocking=true sync=false min-readers=1 channel=" +
      channel + " possumsrc leaky-type=none channel=" + channel + " ! fakesink name=end");
  both.set_state(GST_STATE_PLAYING);
  both.wait_eos();
  // The first frame only meets the reader if it attached before; the rest does.
  const Ref<GstElement> end = both.element("end");
  fail_unless(stat(end.get(), "rendered") >= 49);
}

TEST(a_relay_copies_once_and_loses_nothing) {
  const std::string from = unique_channel();
  const std::string to = unique_channel();
  Producer producer(from, "allow-blocking=true");
  producer.start().push(1);
  Pipeline relay("possumsrc leaky-type=none timestamp-mode=running-time channel=" + from +
                 " ! possumsink name=sink sync=false allow-blocking=true channel=" + to);
  Consumer consumer(to, "leaky-type=none timestamp-mode=running-time");
  relay.set_state(GST_STATE_PLAYING);
  expect_equal(consumer.start().pull_value(), 1);
  for (guint8 value = 2; value < 100; ++value) {
    producer.push(value);
    const Frame frame = consumer.pull();
    expect_equal(frame.value(), value);
    fail_unless(gst_caps_is_equal(frame.caps.get(), caps_of(kSmall).get()));
  }
  const Ref<GstElement> sink = relay.element("sink");
  expect_equal(stat(sink.get(), "copied"), stat(sink.get(), "frames"));
  producer.eos();
  relay.wait_eos();
  consumer.wait_eos();
}
