// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possumsrc's life: waiting for a writer, losing it, and what it does with frames.
#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/elements.h"
#include "support/waits.h"

// Last: it includes gstcheck.h.
#include "support/suite.h"

using namespace elements;

namespace {

GstMemory* memory_of(const Frame& frame) {
  return gst_buffer_peek_memory(frame.buffer.get(), 0);
}

// Is it a view of the shared memory?
bool is_frame_memory(const Frame& frame) {
  return gst_memory_is_type(memory_of(frame), "PossumFrame");
}

std::vector<int> numbers(int first, int last) {
  std::vector<int> list(static_cast<std::size_t>(last - first + 1));
  std::iota(list.begin(), list.end(), first);
  return list;
}

// A reader whose downstream is busy with frame 1, and a writer beside it.
struct HeldUp {
  explicit HeldUp(const std::string& properties)
      : channel(unique_channel()), producer(channel), consumer(channel, properties) {
    producer.start().push(1);
    consumer.hold_up();
    consumer.start();
    consumer.wait_held_up();
  }
  void push(int first, int last) const {
    for (int value = first; value <= last; ++value) {
      producer.push(static_cast<guint8>(value));
    }
  }
  const std::string channel;
  Producer producer;
  Consumer consumer;
};

}  // namespace

// --- waiting -------------------------------------------------------------------------

GST_START_TEST(reader_may_come_first_and_says_that_it_waits) {
  const std::string channel = unique_channel();
  Consumer consumer(channel);
  consumer.start();
  const Progress start = consumer.pipeline().wait_progress();
  expect_equal(start.type, GST_PROGRESS_TYPE_START);
  expect_equal(start.code, "connect");
  fail_unless(start.text.find(channel) != std::string::npos);
  Producer producer(channel);
  producer.start().push(1);
  expect_equal(consumer.pull_value(), 1);
  const Progress complete = consumer.pipeline().wait_progress();
  expect_equal(complete.type, GST_PROGRESS_TYPE_COMPLETE);
  expect_equal(complete.code, "connect");
  fail_if(consumer.pipeline().posted(GST_MESSAGE_PROGRESS));
}
GST_END_TEST

GST_START_TEST(reader_that_comes_second_waits_for_nothing) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  producer.start().push(1);
  Consumer consumer(channel);
  consumer.start();
  expect_equal(consumer.pull_value(), 1);
  fail_if(consumer.pipeline().posted(GST_MESSAGE_PROGRESS));
}
GST_END_TEST

GST_START_TEST(stopping_cancels_the_wait) {
  Consumer consumer(unique_channel());
  consumer.start();
  expect_equal(consumer.pipeline().wait_progress().type, GST_PROGRESS_TYPE_START);
  consumer.stop();
  expect_equal(consumer.pipeline().wait_progress().type, GST_PROGRESS_TYPE_CANCELED);
  consumer.pipeline().expect_no_error();
}
GST_END_TEST

GST_START_TEST(the_wait_ends_after_connection_timeout) {
  const std::string channel = unique_channel();
  Consumer consumer(channel, "connection-timeout=50000000");
  consumer.start();
  expect_equal(consumer.pipeline().wait_progress().type, GST_PROGRESS_TYPE_START);
  expect_equal(consumer.pipeline().wait_progress().type, GST_PROGRESS_TYPE_ERROR);
  const Report error = consumer.pipeline().wait_error();
  fail_unless(error.is(GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND));
  expect_equal(error.source, "src");
  fail_unless(error.says(channel), "%s", error.text.c_str());
  consumer.wait_eos();  // sent after the base class's error
  consumer.pipeline().expect_only_generic_errors();
}
GST_END_TEST

GST_START_TEST(each_wait_has_the_whole_timeout) {
  const std::string channel = unique_channel();
  auto producer = std::make_unique<Producer>(channel);
  producer->start().push(1);
  Consumer consumer(channel, "connection-timeout=50000000");
  consumer.start();
  expect_equal(consumer.pull_value(), 1);
  producer.reset();
  const Report error = consumer.pipeline().wait_error();
  fail_unless(error.is(GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND));
}
GST_END_TEST

GST_START_TEST(an_opened_channel_without_a_frame_is_found) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  producer.start();
  Consumer consumer(channel, "connection-timeout=1");
  consumer.start();
  wait_readers(producer.sink(), 1);
  producer.push(1);
  expect_equal(consumer.pull_value(), 1);
}
GST_END_TEST

// --- losing the writer ---------------------------------------------------------------

GST_START_TEST(reader_follows_to_the_next_writer) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  Consumer consumer(channel);
  producer.start().push(1);
  consumer.start();
  consumer.pull();
  producer.stop();
  expect_equal(consumer.pipeline().wait_progress().type, GST_PROGRESS_TYPE_START);
  constexpr char kOther[] = "video/x-raw,format=GRAY8,width=8,height=8,framerate=5/1";
  producer.start(kOther).push(new_frame(2, 64));
  const Frame frame = consumer.pull();
  expect_equal(frame.value(), 2);
  fail_unless(frame.has(GST_BUFFER_FLAG_DISCONT));
  fail_unless(gst_caps_is_subset(frame.caps.get(), caps_of(kOther).get()));
  expect_equal(consumer.pipeline().wait_progress().type, GST_PROGRESS_TYPE_COMPLETE);
  expect_equal(consumer.stat("reconnects"), 1);
}
GST_END_TEST

GST_START_TEST(waiting_frames_are_delivered_before_the_disconnect) {
  HeldUp pair("max-buffers=2 on-disconnect=eos");
  pair.push(2, 3);
  pair.producer.stop();
  pair.consumer.let_through();
  fail_unless(pair.consumer.pull_values(3) == numbers(1, 3));
  pair.consumer.wait_eos();
}
GST_END_TEST

GST_START_TEST(disconnect_ends_the_stream_if_asked_to) {
  HeldUp pair("on-disconnect=eos");
  pair.producer.stop();
  pair.consumer.let_through();
  pair.consumer.wait_eos();
  pair.consumer.pipeline().expect_no_error();
}
GST_END_TEST

GST_START_TEST(eos_ends_the_stream_and_the_attachment) {
  HeldUp pair("");
  pair.producer.eos();
  pair.consumer.let_through();
  pair.consumer.wait_eos();
  wait_readers(pair.producer.sink(), 0);
}
GST_END_TEST

GST_START_TEST(ignored_eos_is_a_long_pause) {
  HeldUp pair("ignore-eos=true");
  pair.producer.eos();
  pair.consumer.let_through();
  pair.producer.flush();
  pair.producer.push(2);
  fail_unless(pair.consumer.pull_values(2) == numbers(1, 2));
  expect_equal(pair.consumer.stat("reconnects"), 0);
}
GST_END_TEST

GST_START_TEST(ignored_eos_is_a_disconnect) {
  HeldUp pair("ignore-eos=true on-disconnect=error");
  pair.producer.eos();
  pair.consumer.let_through();
  fail_unless(pair.consumer.pipeline().wait_error().is(GST_RESOURCE_ERROR,
                                                       GST_RESOURCE_ERROR_READ));
}
GST_END_TEST

GST_START_TEST(num_buffers_ends_the_stream) {
  HeldUp pair("num-buffers=2 max-buffers=4");
  pair.push(2, 4);
  pair.consumer.let_through();
  pair.consumer.wait_eos();
  fail_unless(pair.consumer.pull_values(2) == numbers(1, 2));
  expect_equal(pair.consumer.waiting(), 0u);
}
GST_END_TEST

// --- a slow reader -------------------------------------------------------------------

GST_START_TEST(leaky_downstream_drops_the_oldest) {
  HeldUp pair("leaky-type=downstream max-buffers=3");
  pair.push(2, 9);
  pair.consumer.let_through();
  fail_unless(pair.consumer.pull_values(4) == std::vector({1, 7, 8, 9}));
  expect_equal(pair.consumer.stat("missed"), 5);
}
GST_END_TEST

GST_START_TEST(one_buffer_is_the_newest_only) {
  HeldUp pair("max-buffers=1");
  pair.push(2, 9);
  pair.consumer.let_through();
  fail_unless(pair.consumer.pull_values(2) == std::vector({1, 9}));
}
GST_END_TEST

GST_START_TEST(max_buffers_counts_at_once) {
  HeldUp pair("max-buffers=8");
  pair.push(2, 6);
  g_object_set(pair.consumer.src(), "max-buffers", 2, nullptr);
  pair.push(7, 9);
  pair.consumer.let_through();
  fail_unless(pair.consumer.pull_values(3) == std::vector({1, 8, 9}));
  // And of a later attachment.
  pair.producer.stop();
  pair.consumer.hold_up();
  pair.producer.start().push(10);
  pair.consumer.wait_held_up();
  pair.push(11, 19);
  pair.consumer.let_through();
  fail_unless(pair.consumer.pull_values(3) == std::vector({10, 18, 19}));
}
GST_END_TEST

GST_START_TEST(writer_that_waits_goes_on_when_max_buffers_is_raised) {
  const std::string channel = unique_channel();
  Producer producer(channel, "allow-blocking=true");
  Consumer consumer(channel, "leaky-type=none max-buffers=1");
  producer.start().push(1);
  consumer.hold_up();
  consumer.start();
  consumer.wait_held_up();
  producer.push(2);
  std::thread writer([&] { producer.push(3); });
  await_sleeping_writer(channel);
  g_object_set(consumer.src(), "max-buffers", 2, nullptr);
  writer.join();
  consumer.let_through();
  fail_unless(consumer.pull_values(3) == numbers(1, 3));
}
GST_END_TEST

GST_START_TEST(copy_frames_counts_at_once) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  Consumer consumer(channel);
  producer.start().push(1);
  consumer.start();
  expect_equal(consumer.pull_value(), 1);
  g_object_set(consumer.src(), "copy-frames", TRUE, nullptr);
  producer.push(2);
  expect_equal(consumer.pull_value(), 2);
  expect_equal(consumer.stat("copied"), 1);
}
GST_END_TEST

GST_START_TEST(leaky_upstream_drops_the_newest) {
  HeldUp pair("leaky-type=upstream max-buffers=3");
  pair.push(2, 9);
  pair.consumer.let_through();
  fail_unless(pair.consumer.pull_values(4) == numbers(1, 4));
  pair.producer.push(10);
  const Frame frame = pair.consumer.pull();
  expect_equal(frame.value(), 10);
  fail_unless(frame.has(GST_BUFFER_FLAG_DISCONT));
  expect_equal(pair.consumer.stat("missed"), 5);
}
GST_END_TEST

GST_START_TEST(blocking_reader_gets_every_frame) {
  const std::string channel = unique_channel();
  Producer producer(channel, "allow-blocking=true slots=4");
  Consumer consumer(channel, "leaky-type=none max-buffers=2");
  producer.start().push(1);
  consumer.start();
  expect_equal(consumer.pull_value(), 1);
  Task push([&] {
    for (guint8 value = 2; value < 200; ++value) producer.push(value);
  });
  fail_unless(consumer.pull_values(198) == numbers(2, 199));
  push.join();
  expect_equal(consumer.stat("missed"), 0);
}
GST_END_TEST

GST_START_TEST(discont_marks_the_first_frame_and_gaps_alone) {
  HeldUp pair("max-buffers=2");
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
GST_END_TEST

// --- memory --------------------------------------------------------------------------

GST_START_TEST(frames_are_read_only_views) {
  HeldUp pair("");
  Frame frame = pair.consumer.pull();
  fail_unless(is_frame_memory(frame));
  fail_unless(GST_MEMORY_IS_READONLY(memory_of(frame)));
  GstMapInfo map;
  fail_if(gst_memory_map(memory_of(frame), &map, GST_MAP_WRITE));
  fail_if(gst_memory_map(memory_of(frame), &map, GST_MAP_READWRITE));
}
GST_END_TEST

GST_START_TEST(writing_makes_a_private_copy) {
  HeldUp pair("");
  Consumer other(pair.channel);
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
GST_END_TEST

GST_START_TEST(a_part_of_a_frame_keeps_its_slot) {
  HeldUp pair("");
  Ref<GstBuffer> part;
  {
    const Frame frame = pair.consumer.pull();
    part.reset(
        gst_buffer_copy_region(frame.buffer.get(), GST_BUFFER_COPY_MEMORY, 100, 50));
  }
  pair.consumer.let_through();
  for (guint8 value = 2; value < 60; ++value) {
    pair.producer.push(value);
    expect_equal(pair.consumer.pull_value(), value);
  }
  expect_equal(gst_buffer_get_size(part.get()), 50u);
  expect_equal(value_of(part.get()), 1);
  expect_equal(pair.producer.stat("held"), 1);
  part.reset();
  expect_equal(pair.producer.stat("held"), 0);
}
GST_END_TEST

GST_START_TEST(a_held_frame_outlives_everything) {
  std::vector<Frame> held;
  {
    HeldUp pair("max-buffers=4");
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
GST_END_TEST

GST_START_TEST(a_held_frame_is_never_overwritten) {
  HeldUp pair("");
  const Frame held = pair.consumer.pull();
  pair.consumer.let_through();
  for (guint8 value = 2; value < 100; ++value) {
    pair.producer.push(value);
    expect_equal(pair.consumer.pull_value(), value);
  }
  expect_equal(held.value(), 1);
}
GST_END_TEST

GST_START_TEST(slots_go_home_when_frames_are_let_go) {
  HeldUp pair("");
  {
    const Frame frame = pair.consumer.pull();
    expect_equal(pair.producer.stat("held"), 1);
  }
  expect_equal(pair.producer.stat("held"), 0);
}
GST_END_TEST

GST_START_TEST(a_hoarder_gets_copies_and_the_writer_goes_on) {
  const std::string channel = unique_channel();
  Producer producer(channel, "slots=4");
  Consumer hoarder(channel);
  Consumer other(channel);
  producer.start().push(1);
  hoarder.start();
  other.start();
  std::vector<Frame> hoard;
  hoard.push_back(hoarder.pull());
  expect_equal(other.pull_value(), 1);
  for (guint8 value = 2; value <= 40; ++value) {
    producer.push(value);
    hoard.push_back(hoarder.pull());
    expect_equal(other.pull_value(), value);
  }
  for (std::size_t i = 0; i < hoard.size(); ++i) {
    expect_equal(hoard[i].value(), static_cast<int>(i) + 1);
  }
  fail_unless(hoarder.stat("copied") >= 36);
  expect_equal(producer.stat("no-slot"), 0);
}
GST_END_TEST

GST_START_TEST(copy_frames_gives_slots_back_at_once) {
  HeldUp pair("copy-frames=true");
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
GST_END_TEST

// --- queries -------------------------------------------------------------------------

GST_START_TEST(caps_query_follows_the_channel) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  Consumer consumer(channel);
  const Ref<GstCaps> pad_template{gst_pad_get_pad_template_caps(
      Ref<GstPad>{gst_element_get_static_pad(consumer.src(), "src")}.get())};
  fail_unless(gst_caps_is_equal(consumer.query_caps().get(), pad_template.get()));
  const Ref<GstCaps> filter = caps_of("video/x-raw,format={NV12,I420}");
  fail_unless(gst_caps_is_subset(consumer.query_caps(filter.get()).get(), filter.get()));
  producer.start().push(1);
  consumer.start();
  consumer.pull();
  fail_unless(gst_caps_is_equal(consumer.query_caps().get(), caps_of(kSmall).get()));
  fail_unless(gst_caps_is_empty(consumer.query_caps(caps_of("audio/x-raw").get()).get()));
}
GST_END_TEST

GST_START_TEST(live_src_does_not_preroll) {
  Consumer live(unique_channel());
  live.start(GST_STATE_READY);
  expect_equal(live.pipeline().set_state(GST_STATE_PAUSED), GST_STATE_CHANGE_NO_PREROLL);
  Consumer other(unique_channel(), "is-live=false");
  other.start(GST_STATE_READY);
  expect_equal(other.pipeline().set_state(GST_STATE_PAUSED), GST_STATE_CHANGE_SUCCESS);
  expect_equal(other.latency().live, false);
}
GST_END_TEST

GST_START_TEST(src_that_is_not_live_prerolls_with_the_first_frame) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  producer.start().push(1);
  Pipeline reader("possumsrc is-live=false channel=" + channel + " ! fakesink name=sink");
  reader.reach(GST_STATE_PAUSED);
  const Ref<GstElement> sink = reader.element("sink");
  GstSample* sample = nullptr;
  g_object_get(sink.get(), "last-sample", &sample, nullptr);
  fail_unless(sample != nullptr);
  expect_equal(value_of(gst_sample_get_buffer(sample)), 1);
  gst_sample_unref(sample);
}
GST_END_TEST

GST_START_TEST(src_is_not_seekable) {
  HeldUp pair("");
  const Ref<GstQuery> query{gst_query_new_seeking(GST_FORMAT_TIME)};
  gboolean seekable = TRUE;
  fail_unless(gst_element_query(pair.consumer.src(), query.get()));
  gst_query_parse_seeking(query.get(), nullptr, &seekable, nullptr, nullptr);
  fail_if(seekable);
}
GST_END_TEST

// --- going to PLAYING ----------------------------------------------------------------

GST_START_TEST(live_reader_plays_on_with_the_newest_frame) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  Consumer consumer(channel, "max-buffers=8");
  producer.start().push(1);
  consumer.start();
  expect_equal(consumer.pull_value(), 1);
  consumer.pipeline().reach(GST_STATE_PAUSED);
  for (guint8 value = 2; value < 6; ++value) producer.push(value);
  consumer.pipeline().play();
  const Frame frame = consumer.pull();
  expect_equal(frame.value(), 5);
  fail_unless(frame.has(GST_BUFFER_FLAG_DISCONT));
  producer.push(6);
  expect_equal(consumer.pull_value(), 6);
}
GST_END_TEST

// However late its thread notices that it was PAUSED.
GST_START_TEST(quick_pauses_never_stop_a_live_reader) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  Consumer consumer(channel);
  producer.start().push(1);
  consumer.start();
  expect_equal(consumer.pull_value(), 1);
  for (guint8 value = 2; value < 60; ++value) {
    consumer.pipeline().reach(GST_STATE_PAUSED);
    producer.push(value);
    consumer.pipeline().play();
    expect_equal(consumer.pull_value(), value);
  }
}
GST_END_TEST

GST_START_TEST(blocking_reader_plays_on_with_the_oldest_frame) {
  const std::string channel = unique_channel();
  Producer producer(channel, "allow-blocking=true");
  Consumer consumer(channel, "leaky-type=none max-buffers=8");
  producer.start().push(1);
  consumer.start();
  expect_equal(consumer.pull_value(), 1);
  consumer.pipeline().reach(GST_STATE_PAUSED);
  for (guint8 value = 2; value < 6; ++value) producer.push(value);
  consumer.pipeline().play();
  fail_unless(consumer.pull_values(4) == numbers(2, 5));
}
GST_END_TEST

GST_START_TEST(reader_goes_on_after_stop_and_start) {
  HeldUp pair("");
  for (guint8 value = 2; value < 6; ++value) {
    pair.consumer.stop();
    pair.producer.push(value);
    pair.consumer.start();
    while (pair.consumer.pull_value() != value) {
    }
  }
  pair.consumer.pipeline().expect_no_error();
}
GST_END_TEST

// --- several of them -----------------------------------------------------------------

GST_START_TEST(two_sinks_live_in_one_process) {
  const std::string one = unique_channel();
  const std::string two = unique_channel();
  Producer first(one);
  Producer second(two);
  Consumer of_first(one);
  Consumer of_second(two);
  first.start().push(1);
  second.start().push(101);
  of_first.start();
  of_second.start();
  for (guint8 value = 1; value < 50; ++value) {
    expect_equal(of_first.pull_value(), value);
    expect_equal(of_second.pull_value(), value + 100);
    first.push(static_cast<guint8>(value + 1));
    second.push(static_cast<guint8>(value + 101));
  }
}
GST_END_TEST

GST_START_TEST(sink_and_src_of_one_channel_share_a_pipeline) {
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
GST_END_TEST

GST_START_TEST(a_relay_copies_once_and_loses_nothing) {
  const std::string from = unique_channel();
  const std::string to = unique_channel();
  Producer producer(from, "allow-blocking=true");
  producer.start().push(1);
  Pipeline relay("possumsrc leaky-type=none timestamp-mode=running-time channel=" + from +
                 " ! possumsink name=sink sync=false allow-blocking=true channel=" + to);
  Consumer consumer(to, "leaky-type=none timestamp-mode=running-time");
  relay.set_state(GST_STATE_PLAYING);
  consumer.start();
  expect_equal(consumer.pull_value(), 1);
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
GST_END_TEST

static Suite* src_suite() {
  Suite* suite = suite_create("src");
  TCase* tcase = new_case(suite, "src");
  tcase_add_test(tcase, reader_may_come_first_and_says_that_it_waits);
  tcase_add_test(tcase, reader_that_comes_second_waits_for_nothing);
  tcase_add_test(tcase, stopping_cancels_the_wait);
  tcase_add_test(tcase, the_wait_ends_after_connection_timeout);
  tcase_add_test(tcase, each_wait_has_the_whole_timeout);
  tcase_add_test(tcase, an_opened_channel_without_a_frame_is_found);
  tcase_add_test(tcase, reader_follows_to_the_next_writer);
  tcase_add_test(tcase, waiting_frames_are_delivered_before_the_disconnect);
  tcase_add_test(tcase, disconnect_ends_the_stream_if_asked_to);
  tcase_add_test(tcase, eos_ends_the_stream_and_the_attachment);
  tcase_add_test(tcase, ignored_eos_is_a_long_pause);
  tcase_add_test(tcase, ignored_eos_is_a_disconnect);
  tcase_add_test(tcase, num_buffers_ends_the_stream);
  tcase_add_test(tcase, leaky_downstream_drops_the_oldest);
  tcase_add_test(tcase, one_buffer_is_the_newest_only);
  tcase_add_test(tcase, max_buffers_counts_at_once);
  tcase_add_test(tcase, writer_that_waits_goes_on_when_max_buffers_is_raised);
  tcase_add_test(tcase, copy_frames_counts_at_once);
  tcase_add_test(tcase, leaky_upstream_drops_the_newest);
  tcase_add_test(tcase, blocking_reader_gets_every_frame);
  tcase_add_test(tcase, discont_marks_the_first_frame_and_gaps_alone);
  tcase_add_test(tcase, frames_are_read_only_views);
  tcase_add_test(tcase, writing_makes_a_private_copy);
  tcase_add_test(tcase, a_part_of_a_frame_keeps_its_slot);
  tcase_add_test(tcase, a_held_frame_outlives_everything);
  tcase_add_test(tcase, a_held_frame_is_never_overwritten);
  tcase_add_test(tcase, slots_go_home_when_frames_are_let_go);
  tcase_add_test(tcase, a_hoarder_gets_copies_and_the_writer_goes_on);
  tcase_add_test(tcase, copy_frames_gives_slots_back_at_once);
  tcase_add_test(tcase, caps_query_follows_the_channel);
  tcase_add_test(tcase, live_src_does_not_preroll);
  tcase_add_test(tcase, src_that_is_not_live_prerolls_with_the_first_frame);
  tcase_add_test(tcase, src_is_not_seekable);
  tcase_add_test(tcase, live_reader_plays_on_with_the_newest_frame);
  tcase_add_test(tcase, quick_pauses_never_stop_a_live_reader);
  tcase_add_test(tcase, blocking_reader_plays_on_with_the_oldest_frame);
  tcase_add_test(tcase, reader_goes_on_after_stop_and_start);
  tcase_add_test(tcase, two_sinks_live_in_one_process);
  tcase_add_test(tcase, sink_and_src_of_one_channel_share_a_pipeline);
  tcase_add_test(tcase, a_relay_copies_once_and_loses_nothing);
  return suite;
}

GST_CHECK_MAIN(src)
