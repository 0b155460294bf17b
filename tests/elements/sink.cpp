// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possumsink's life: preroll, clock, waiting for readers, EOS, flushes and state changes.
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/suite.h"

namespace {

constexpr char kBlocking[] = "leaky-type=none max-buffers=1";

// A push that waits for a reader that has frame 1 in its hands, one more waiting, and
// takes no other.
struct StuckPush : HeldUp {
  StuckPush() : HeldUp("allow-blocking=true", kBlocking) {
    producer.push(2);
    push.emplace([this] { flow = producer.try_push(new_frame(3)); });
    // Counted when it is in a slot, before it is offered.
    await([this] { return producer.stat("frames") == 3; }, "frame 3 in a slot");
  }
  GstFlowReturn flow = GST_FLOW_CUSTOM_ERROR;
  std::optional<Task> push;
};

// --- preroll -------------------------------------------------------------------------

TEST(preroll_publishes_and_render_of_that_frame_does_not) {
  Ends pair;
  pair.producer.pause();
  Task first([&] { pair.producer.push(1); });
  pair.consumer.start();
  expect_equal(pair.consumer.pull_value(), 1);
  fail_if(first.done());
  pair.producer.pipeline().play();
  first.join();
  pair.producer.push(2);
  const Frame next = pair.consumer.pull();
  expect_equal(next.value(), 2);
  fail_if(next.has(GST_BUFFER_FLAG_DISCONT));
  pair.producer.expect_stats({{"frames", 2}, {"rendered", 2}});
}

TEST(frame_interrupted_by_pause_is_published_once) {
  Pair pair;
  for (guint8 value = 2; value < 6; ++value) {
    pair.producer.pipeline().set_state(GST_STATE_PAUSED);
    Task push([&] { pair.producer.push(value); });
    expect_equal(pair.consumer.pull_value(), value);  // as the preroll frame
    pair.producer.pipeline().play();
    push.join();
  }
  expect_equal(pair.producer.stat("frames"), 5);
  expect_equal(pair.consumer.stat("missed"), 0);
}

// --- what GstBaseSink drops ----------------------------------------------------------

constexpr char kPunctual[] = "sync=true async=false max-lateness=1";

// Of one buffer in ordinary memory.
struct SingleBuffer {
  SingleBuffer() : pool(gst_buffer_pool_new()) {
    GstStructure* config = gst_buffer_pool_get_config(pool.get());
    gst_buffer_pool_config_set_params(config, caps_of(kSmall).get(), kSmallBytes, 1, 1);
    gst_buffer_pool_set_config(pool.get(), config);
    gst_buffer_pool_set_active(pool.get(), TRUE);
    address = acquire(pool.get()).get();
  }
  ~SingleBuffer() { gst_buffer_pool_set_active(pool.get(), FALSE); }
  Ref<GstBuffer> frame(guint8 value, GstClockTime pts) const {
    Ref<GstBuffer> buffer = acquire(pool.get(), value);
    require(buffer.get() == address, "another buffer");
    GST_BUFFER_PTS(buffer.get()) = pts;
    GST_BUFFER_DURATION(buffer.get()) = 1;
    return buffer;
  }
  Ref<GstBufferPool> pool;
  const GstBuffer* address = nullptr;
};

// The next frame comes in the very buffer of one that was begun in PAUSED, interrupted,
// and dropped because it was late.
TEST(a_frame_is_not_taken_for_one_that_was_dropped) {
  Ends pair(std::string("allow-blocking=true ") + kPunctual, kBlocking);
  Producer& producer = pair.producer;
  Consumer& consumer = pair.consumer;
  const SingleBuffer buffer;
  const auto soon = [&] { return running_time(producer.sink()) + 100 * GST_MSECOND; };
  producer.start();
  producer.push(buffer.frame(1, soon()));
  consumer.hold_up();
  consumer.start();
  consumer.wait_held_up();
  producer.push(buffer.frame(2, soon()));
  producer.pipeline().set_state(GST_STATE_PAUSED);
  {
    Task late([&] { producer.push(buffer.frame(3, 0)); });
    await([&] { return producer.stat("frames") == 3; }, "frame 3 in a slot");
    producer.pipeline().set_state(GST_STATE_PLAYING);
  }
  Task next([&] { producer.push(buffer.frame(4, soon())); });
  await([&] { return producer.stat("frames") == 4; }, "frame 4 in a slot");
  consumer.let_through();
  consumer.expect_values({1, 2, 4});
  next.join();
}

TEST(a_frame_that_was_shown_in_paused_and_dropped_gives_its_buffer_back) {
  Producer producer(unique_channel(), kPunctual);
  const SingleBuffer buffer;
  producer.start();
  producer.pipeline().set_state(GST_STATE_PAUSED);
  {
    Task late([&] { producer.push(buffer.frame(1, 0)); });
    await([&] { return producer.stat("frames") == 1; }, "the preroll frame");
    producer.pipeline().set_state(GST_STATE_PLAYING);
  }
  Task next([&] {
    const GstClockTime soon = running_time(producer.pipeline().get()) + GST_SECOND / 10;
    producer.push(buffer.frame(2, soon));
  });
  next.join();
  expect_equal(producer.stat("frames"), 2);
}

// One by one, as they would come without it.
TEST(frames_of_a_list_are_all_published) {
  Pair pair("", "max-buffers=8");
  GstBufferList* const list = gst_buffer_list_new();
  const Ref<GstBuffer> twice = new_frame(3);
  gst_buffer_list_add(list, new_frame(2).release());
  gst_buffer_list_add(list, gst_buffer_ref(twice.get()));
  gst_buffer_list_add(list, gst_buffer_ref(twice.get()));
  expect_equal(gst_pad_push_list(pair.producer.pad(), list), GST_FLOW_OK);
  pair.consumer.expect_values({2, 3, 3});
}

// --- clock ---------------------------------------------------------------------------

TEST(live_upstream_is_never_delayed_and_other_upstream_paced_by_the_clock) {
  for (const bool live : {true, false}) {
    Producer producer(unique_channel(), "sync=true", {live, 0});
    producer.start().push(1);
    const GstClockTime due = live ? 3600 * GST_SECOND : 200 * GST_MSECOND;
    producer.push(frame_at(2, due));
    expect_equal(running_time(producer.sink()) < due, live);
  }
}

TEST(upstream_is_asked_again_when_it_may_have_changed) {
  Producer producer(unique_channel(), "sync=true");
  producer.start().push(1);
  producer.pipeline().play();  // which sends a LATENCY event
  producer.push(frame_at(1, 0));
  producer.upstream({true, 0});
  producer.event(gst_event_new_stream_start("another"));
  producer.push(frame_at(2, 3600 * GST_SECOND));

  producer.upstream({false, 0});
  gst_element_send_event(producer.sink(), gst_event_new_latency(0));
  const GstClockTime later = running_time(producer.sink()) + 200 * GST_MSECOND;
  producer.push(frame_at(3, later));
  fail_unless(running_time(producer.sink()) >= later);
  producer.upstream({true, 0});
  gst_element_send_event(producer.sink(), gst_event_new_reconfigure());
  producer.push(frame_at(4, 3600 * GST_SECOND));
}

// --- waiting for readers -------------------------------------------------------------

gint64 ts_offset(GstElement* sink) {
  gint64 offset = 0;
  g_object_get(sink, "ts-offset", &offset, nullptr);
  return offset;
}

// The moment that a frame is due, by the clock that all pipelines have.
GstClockTime due(const Consumer& consumer, const Frame& frame) {
  return frame.pts() + gst_element_get_base_time(consumer.src());
}

void let_time_pass(GstElement* element, GstClockTime time) {
  const GstClockTime until = running_time(element) + time;
  await([&] { return running_time(element) >= until; }, "that time");
}

// Pushes frames of 25 Hz from `value` on until one of them is not taken.
void play_film(const Producer& producer, guint8 value) {
  while (producer.try_push(new_frame(value)) == GST_FLOW_OK) ++value;
}

// One frame time after the other, and none that is due before `earliest`.
void expect_smooth(Consumer& consumer, GstClockTime earliest) {
  GstClockTime last = due(consumer, consumer.pull());
  fail_unless(last >= earliest);
  for (int i = 0; i < 5; ++i) {
    const GstClockTime next = due(consumer, consumer.pull());
    expect_equal(next - last, kFrameTime);
    last = next;
  }
  expect_equal(consumer.stat("missed"), 0);
}

TEST(paced_film_begins_when_its_readers_are_there) {
  const std::string channel = unique_channel();
  const Pipeline writer(
      "videotestsrc num-buffers=20 ! video/x-raw,format=GRAY8,framerate=50/1 ! "
      "possumsink name=sink min-readers=1 allow-blocking=true channel=" +
      channel + " audiotestsrc num-buffers=20 ! fakesink name=sound sync=true");
  const Ref<GstElement> sink = writer.element("sink");
  const Ref<GstElement> sound = writer.element("sound");
  writer.set_state(GST_STATE_PLAYING);
  await_sleeping_writer(channel);
  // The sound waits too.
  expect_equal(gst_element_get_state(writer.get(), nullptr, nullptr, 0),
               GST_STATE_CHANGE_ASYNC);
  expect_equal(stat(sound.get(), "rendered"), 0);
  Consumer consumer(channel, "leaky-type=none max-buffers=16");
  consumer.start().pull();  // the preroll
  const Frame second = consumer.pull();
  expect_equal(due(consumer, second) - gst_element_get_base_time(sink.get()),
               GST_SECOND / 50);
  consumer.wait_eos();
  writer.wait_eos();
  expect_equal(ts_offset(sink.get()), 0);
}

TEST(paced_film_goes_on_where_it_was_left_though_it_was_paused) {
  Producer producer(unique_channel(), "sync=true min-readers=1");
  auto first = std::make_unique<Consumer>(producer.channel());
  first->start();
  producer.start();
  Task push([&] { play_film(producer, 0); });
  first->pull();
  const GstClockTime left = due(*first, first->pull());
  first.reset();
  await_sleeping_writer(producer.channel());
  let_time_pass(producer.sink(), 300 * GST_MSECOND);
  for (int i = 0; i < 3; ++i) {
    producer.pipeline().reach(GST_STATE_PAUSED);
    producer.pipeline().play();
    await_sleeping_writer(producer.channel());
  }
  Consumer second(producer.channel());
  second.start().pull();  // what the first one saw last
  expect_smooth(second, left + 300 * GST_MSECOND);
  fail_unless(ts_offset(producer.sink()) >= 200 * static_cast<gint64>(GST_MSECOND));
  producer.stop();
  push.join();
  expect_equal(ts_offset(producer.sink()), 0);
}

// The sink plays before it has a frame.
TEST(film_begins_with_its_reader_though_the_clock_runs_already) {
  Producer producer(unique_channel(), "sync=true async=false min-readers=1");
  producer.start();
  producer.pipeline().play();
  Task push([&] { play_film(producer, 0); });
  await_sleeping_writer(producer.channel());
  let_time_pass(producer.sink(), 300 * GST_MSECOND);
  const GstClockTime before = running_time(producer.sink());
  Consumer consumer(producer.channel());
  consumer.start();
  expect_smooth(consumer, before + gst_element_get_base_time(producer.sink()));
  producer.stop();
  push.join();
}

// A live branch makes the whole pipeline play at once.
TEST(film_beside_a_live_source_begins_with_its_reader) {
  const std::string channel = unique_channel();
  const Pipeline writer(
      "videotestsrc ! video/x-raw,format=GRAY8,framerate=25/1 ! possumsink name=sink "
      "min-readers=1 channel=" +
      channel + " videotestsrc is-live=true ! fakesink");
  const Ref<GstElement> sink = writer.element("sink");
  writer.set_state(GST_STATE_PLAYING);
  await_sleeping_writer(channel);
  const GstClockTime base = gst_element_get_base_time(sink.get());
  fail_unless(base != 0);
  let_time_pass(sink.get(), 300 * GST_MSECOND);
  Consumer consumer(channel);
  consumer.start().pull();  // the preroll
  expect_smooth(consumer, base + 300 * GST_MSECOND);
}

TEST(a_flush_ends_the_delay_of_a_film) {
  Producer producer(unique_channel(),
                    "sync=true async=false min-readers=1 ts-offset=1000");
  producer.start();
  producer.pipeline().play();
  std::optional<Task> push;
  push.emplace([&] { producer.try_push(new_frame(0)); });
  await_sleeping_writer(producer.channel());
  let_time_pass(producer.sink(), 50 * GST_MSECOND);
  Consumer consumer(producer.channel());
  consumer.start().pull();
  push->join();
  fail_unless(ts_offset(producer.sink()) > 40 * static_cast<gint64>(GST_MSECOND));
  producer.flush();
  expect_equal(ts_offset(producer.sink()), 1000);
}

TEST(live_frames_are_discarded_until_enough_readers_came) {
  Ends pair("min-readers=2", "", {true, 0});
  pair.begin();
  pair.push(2, 3);
  pair.producer.expect_stats({{"discarded", 2}, {"dropped", 2}, {"frames", 1}});
  Consumer second(pair.channel());
  expect_equal(second.start().pull_value(), 1);
  // The reader cannot count frames that were never offered.
  pair.producer.push(4);
  const Frame next = pair.consumer.pull();
  expect_equal(next.value(), 4);
  fail_unless(next.has(GST_BUFFER_FLAG_DISCONT));
  expect_equal(pair.producer.stat("discarded"), 2);
}

TEST(other_upstream_waits_in_render_for_enough_readers) {
  Producer producer(unique_channel(), "min-readers=2");
  producer.start();
  Task push([&] {
    producer.push(1);
    producer.push(2);
  });
  Consumer first(producer.channel());
  Consumer second(producer.channel());
  expect_equal(first.start().pull_value(), 1);  // preroll waits for nobody
  await_sleeping_writer(producer.channel());
  fail_if(push.done());
  expect_equal(second.start().pull_value(), 1);
  push.join();
  expect_equal(first.pull_value(), 2);
  expect_equal(second.pull_value(), 2);
  expect_equal(producer.stat("discarded"), 0);
}

TEST(the_only_frame_waits_for_its_reader) {
  const std::string channel = unique_channel();
  Pipeline writer(
      "videotestsrc num-buffers=1 ! video/x-raw,format=GRAY8 ! possumsink "
      "sync=false min-readers=1 allow-blocking=true channel=" +
      channel);
  writer.set_state(GST_STATE_PLAYING);
  await_sleeping_writer(channel);
  Consumer consumer(channel, "leaky-type=none");
  consumer.start().pull();
  consumer.wait_eos();
  writer.wait_eos();
}

TEST(state_change_ends_the_wait_for_readers) {
  for (const GstState state : {GST_STATE_NULL, GST_STATE_READY}) {
    for (const char* sync : {"sync=false", "sync=true"}) {
      const std::string channel = unique_channel();
      Producer producer(channel, std::string("min-readers=1 ") + sync);
      producer.start();
      GstFlowReturn flow = GST_FLOW_OK;
      Task push([&] { flow = producer.try_push(new_frame(1)); });
      await_sleeping_writer(channel);
      producer.pipeline().set_state(state);
      push.join();
      expect_equal(flow, GST_FLOW_FLUSHING);
      producer.stop();
      producer.pipeline().expect_no_error();
    }
  }
}

TEST(pause_during_a_wait_loses_no_frame) {
  StuckPush stuck;
  stuck.producer.pipeline().set_state(GST_STATE_PAUSED);
  fail_if(stuck.push->done());
  stuck.producer.pipeline().set_state(GST_STATE_PLAYING);
  stuck.consumer.let_through();
  stuck.push->join();
  expect_equal(stuck.flow, GST_FLOW_OK);
  stuck.producer.push(4);
  stuck.consumer.expect_values(1, 4);
  expect_equal(stuck.consumer.stat("missed"), 0);
  expect_equal(stuck.producer.stat("frames"), 4);
}

TEST(a_stalled_blocking_reader_is_demoted_and_warned_about) {
  HeldUp pair("allow-blocking=true max-blocking-time=50000000", kBlocking);
  pair.push(2, 9);
  const Pipeline& pipeline = pair.producer.pipeline();
  const Report warning = pipeline.wait_warning();
  fail_unless(warning.is(GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_BUSY));
  warning.expect_words({"max-blocking-time", std::to_string(getpid())});
  fail_if(pipeline.posted(GST_MESSAGE_WARNING));
  expect_equal(num_readers(pair.producer.sink()), 1u);
  pair.consumer.let_through();
  pair.consumer.expect_values({1, 9});
}

// --- the end -------------------------------------------------------------------------

TEST(eos_reaches_the_reader_after_the_last_frame) {
  HeldUp pair("", "max-buffers=4");
  pair.push(2, 3);
  pair.producer.eos();
  pair.producer.pipeline().wait_eos();
  pair.consumer.let_through();
  pair.consumer.expect_values(1, 3);
  pair.consumer.wait_eos();
}

TEST(late_reader_gets_the_last_frame_and_eos) {
  Producer producer;
  producer.start().push(1);
  producer.push(2);
  producer.eos();
  Consumer consumer(producer.channel());
  expect_equal(consumer.start().pull_value(), 2);
  consumer.wait_eos();
}

TEST(flushing_seek_after_eos_goes_on_with_the_same_channel) {
  Pair pair("", "ignore-eos=true");
  pair.producer.eos();
  pair.producer.flush();
  pair.cross(2);
  expect_equal(pair.consumer.stat("reconnects"), 0);
  pair.producer.push(3);
  Consumer late(pair.channel());
  expect_equal(late.start().pull_value(), 3);
}

TEST(eos_waits_for_a_blocking_reader) {
  HeldUp pair("allow-blocking=true", kBlocking);
  Consumer other(pair.channel());
  expect_equal(other.start().pull_value(), 1);
  pair.producer.push(2);
  Task eos([&] { pair.producer.eos(); });
  other.wait_eos();
  fail_if(pair.producer.pipeline().posted(GST_MESSAGE_EOS));
  fail_if(eos.done());
  pair.consumer.let_through();
  pair.consumer.expect_values({1, 2});
  eos.join();
  pair.producer.pipeline().wait_eos();
  pair.consumer.wait_eos();
}

TEST(flush_withdraws_frames_that_dropping_readers_have_not_taken) {
  HeldUp pair("allow-blocking=true", "max-buffers=8");
  Consumer blocking(pair.channel(), "leaky-type=none max-buffers=8");
  blocking.hold_up();
  blocking.start();
  blocking.wait_held_up();
  pair.push(2, 3);
  pair.producer.flush();
  pair.producer.push(4);
  pair.consumer.let_through();
  pair.consumer.expect_values({1, 4});
  blocking.let_through();
  blocking.expect_values(1, 4);
}

TEST(stopping_posts_no_error_and_waits_for_nobody) {
  HeldUp pair("allow-blocking=true", kBlocking);
  pair.producer.push(2);
  pair.producer.stop();
  pair.producer.pipeline().expect_no_error();
  pair.consumer.let_through();
  pair.consumer.expect_values({1, 2});
  fail_unless(own_names().empty());
}

TEST(the_name_is_free_in_ready_and_claimed_in_paused) {
  const std::string channel = unique_channel();
  const std::string control = "/dev/shm/possum-c." + channel;
  Pipeline pipeline("videotestsrc ! possumsink channel=" + channel);
  pipeline.reach(GST_STATE_READY);
  fail_if(std::filesystem::exists(control));
  pipeline.reach(GST_STATE_PAUSED);
  fail_unless(std::filesystem::exists(control));
  pipeline.reach(GST_STATE_READY);
  fail_if(std::filesystem::exists(control));
}

// A thread that was woken for PLAYING may run only when the element is in PAUSED again.
TEST(quick_pauses_never_hang_while_a_non_live_writer_waits) {
  Pipeline writer("videotestsrc ! possumsink sync=false min-readers=1 channel=" +
                  unique_channel());
  // GstBin 1.22 can miss the end of the first preroll when the state changes during it,
  // with a fakesink too, and never goes on to PLAYING.
  writer.reach(GST_STATE_PAUSED);
  for (int i = 0; i < 4000; ++i) {
    for (const GstState state :
         {GST_STATE_PLAYING, GST_STATE_PAUSED, GST_STATE_PLAYING}) {
      fail_if(writer.set_state(state) == GST_STATE_CHANGE_FAILURE);
    }
    gst_element_get_state(writer.get(), nullptr, nullptr, GST_CLOCK_TIME_NONE);
  }
  writer.stop();
  writer.expect_no_error();
}

}  // namespace
