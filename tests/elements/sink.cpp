// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possumsink's life: preroll, clock, waiting for readers, EOS, flushes and state changes.
#include <optional>
#include <string>
#include <vector>

#include "support/elements.h"
#include "support/waits.h"

// Last: it includes gstcheck.h.
#include "support/suite.h"

using namespace elements;

namespace {

constexpr char kBlocking[] = "leaky-type=none max-buffers=1";

// A reader that has frame 1 in its hands, one more waiting, and takes no other; and the
// push of a third frame that therefore waits.
class StuckPush {
 public:
  StuckPush()
      : channel_(new_channel()),
        producer(channel_, "allow-blocking=true"),
        consumer(channel_, kBlocking) {
    producer.start().push(1);
    consumer.hold_up();
    consumer.start();
    consumer.wait_held_up();
    producer.push(2);
    push_.emplace([this] { flow = producer.try_push(new_frame(3)); });
    // Counted when it is in a slot, before it is offered.
    await([this] { return producer.stat("frames") == 3; }, "frame 3 in a slot");
  }
  // Until the push returns.
  GstFlowReturn wait() {
    push_->join();
    return flow;
  }
  bool returned() const { return push_->done(); }

 private:
  const std::string channel_;
  GstFlowReturn flow = GST_FLOW_CUSTOM_ERROR;

 public:
  Producer producer;
  Consumer consumer;

 private:
  std::optional<Task> push_;
};

GstClockTime running_time(GstElement* element) {
  const Ref<GstClock> clock{gst_element_get_clock(element)};
  return gst_clock_get_time(clock.get()) - gst_element_get_base_time(element);
}

Ref<GstBuffer> frame_at(guint8 value, GstClockTime pts) {
  Ref<GstBuffer> frame = new_frame(value);
  GST_BUFFER_PTS(frame.get()) = pts;
  return frame;
}

void press_on(GstElement* pipeline, GstState low, unsigned times) {
  for (unsigned i = 0; i < times; ++i) {
    const bool up = i % 2 == 0;
    require(gst_element_set_state(pipeline, up ? GST_STATE_PLAYING : low) !=
                GST_STATE_CHANGE_FAILURE,
            "a state change failed");
  }
}

}  // namespace

// --- preroll -------------------------------------------------------------------------

GST_START_TEST(preroll_publishes_and_render_of_that_frame_does_not) {
  const std::string channel = new_channel();
  Producer producer(channel);
  Consumer consumer(channel);
  producer.pause();
  Task first([&] { producer.push(1); });
  consumer.start();
  const Frame preroll = consumer.pull();
  expect_equal(preroll.value(), 1);
  fail_if(first.done());
  producer.pipeline().play();
  first.join();
  producer.push(2);
  const Frame next = consumer.pull();
  expect_equal(next.value(), 2);
  fail_if(next.has(GST_BUFFER_FLAG_DISCONT));
  expect_equal(producer.stat("frames"), 2);
  expect_equal(producer.stat("rendered"), 2);
}
GST_END_TEST

GST_START_TEST(frame_interrupted_by_pause_is_published_once) {
  const std::string channel = new_channel();
  Producer producer(channel);
  Consumer consumer(channel);
  producer.start().push(1);
  consumer.start();
  expect_equal(consumer.pull_value(), 1);
  for (guint8 value = 2; value < 6; ++value) {
    producer.pipeline().set_state(GST_STATE_PAUSED);
    Task push([&] { producer.push(value); });
    expect_equal(consumer.pull_value(), value);  // as the preroll frame
    producer.pipeline().play();
    push.join();
  }
  expect_equal(producer.stat("frames"), 5);
  expect_equal(consumer.stat("missed"), 0);
}
GST_END_TEST

// --- clock ---------------------------------------------------------------------------

GST_START_TEST(live_upstream_is_never_delayed) {
  Producer producer(new_channel(), "sync=true", {true, 0});
  producer.start().push(1);
  producer.push(frame_at(2, 3600 * GST_SECOND));
  fail_unless(running_time(producer.sink()) < 3600 * GST_SECOND);
}
GST_END_TEST

GST_START_TEST(other_upstream_is_paced_by_the_clock) {
  Producer producer(new_channel(), "sync=true");
  producer.start().push(1);
  producer.push(frame_at(2, 200 * GST_MSECOND));
  fail_unless(running_time(producer.sink()) >= 200 * GST_MSECOND);
}
GST_END_TEST

GST_START_TEST(upstream_is_asked_again_when_it_may_have_changed) {
  Producer producer(new_channel(), "sync=true");
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
GST_END_TEST

// --- waiting for readers -------------------------------------------------------------

GST_START_TEST(live_frames_are_discarded_until_enough_readers_came) {
  const std::string channel = new_channel();
  Producer producer(channel, "min-readers=1", {true, 0});
  producer.start().push(1);  // preroll
  producer.push(2);
  producer.push(3);
  expect_equal(producer.stat("discarded"), 2);
  expect_equal(producer.stat("dropped"), 2);
  expect_equal(producer.stat("frames"), 1);
  Consumer consumer(channel);
  consumer.start();
  expect_equal(consumer.pull_value(), 1);
  producer.push(4);
  expect_equal(consumer.pull_value(), 4);
  expect_equal(producer.stat("discarded"), 2);
}
GST_END_TEST

GST_START_TEST(other_upstream_waits_in_render_for_enough_readers) {
  const std::string channel = new_channel();
  Producer producer(channel, "min-readers=2");
  producer.start();
  Task push([&] {
    producer.push(1);
    producer.push(2);
  });
  Consumer first(channel);
  Consumer second(channel);
  first.start();
  expect_equal(first.pull_value(), 1);  // preroll waits for nobody
  await_sleeping_writer(channel);
  fail_if(push.done());
  second.start();
  expect_equal(second.pull_value(), 1);
  push.join();
  expect_equal(first.pull_value(), 2);
  expect_equal(second.pull_value(), 2);
  expect_equal(producer.stat("discarded"), 0);
}
GST_END_TEST

GST_START_TEST(the_only_frame_waits_for_its_reader) {
  const std::string channel = new_channel();
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
GST_END_TEST

GST_START_TEST(state_change_ends_the_wait_for_readers) {
  for (const GstState state : {GST_STATE_NULL, GST_STATE_READY}) {
    const std::string channel = new_channel();
    Producer producer(channel, "min-readers=1");
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
GST_END_TEST

GST_START_TEST(a_blocking_reader_holds_up_render_until_it_takes_a_frame) {
  StuckPush stuck;
  fail_if(stuck.returned());
  stuck.consumer.let_through();
  expect_equal(stuck.wait(), GST_FLOW_OK);
  fail_unless(stuck.consumer.pull_values(3) == std::vector({1, 2, 3}));
}
GST_END_TEST

GST_START_TEST(flush_ends_a_wait_for_a_blocking_reader) {
  StuckPush stuck;
  stuck.producer.event(gst_event_new_flush_start());
  expect_equal(stuck.wait(), GST_FLOW_FLUSHING);
  stuck.producer.event(gst_event_new_flush_stop(TRUE));
  stuck.producer.pipeline().expect_no_error();
}
GST_END_TEST

GST_START_TEST(null_ends_a_wait_for_a_blocking_reader) {
  StuckPush stuck;
  stuck.producer.pipeline().stop();
  expect_equal(stuck.wait(), GST_FLOW_FLUSHING);
  stuck.producer.pipeline().expect_no_error();
}
GST_END_TEST

GST_START_TEST(pause_during_a_wait_loses_no_frame) {
  StuckPush stuck;
  stuck.producer.pipeline().set_state(GST_STATE_PAUSED);
  fail_if(stuck.returned());
  stuck.producer.pipeline().set_state(GST_STATE_PLAYING);
  stuck.consumer.let_through();
  expect_equal(stuck.wait(), GST_FLOW_OK);
  stuck.producer.push(4);
  fail_unless(stuck.consumer.pull_values(4) == std::vector({1, 2, 3, 4}));
  expect_equal(stuck.consumer.stat("missed"), 0);
  expect_equal(stuck.producer.stat("frames"), 4);
}
GST_END_TEST

GST_START_TEST(a_stalled_blocking_reader_is_demoted_and_warned_about) {
  const std::string channel = new_channel();
  Producer producer(channel, "allow-blocking=true max-blocking-time=50000000");
  Consumer consumer(channel, kBlocking);
  producer.start().push(1);
  consumer.hold_up();
  consumer.start();
  consumer.wait_held_up();
  for (guint8 value = 2; value < 10; ++value) producer.push(value);
  const Report warning = producer.pipeline().wait_warning();
  fail_unless(warning.is(GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_BUSY));
  fail_unless(warning.says("max-blocking-time"), "%s", warning.text.c_str());
  fail_unless(warning.says(std::to_string(getpid())));
  fail_if(producer.pipeline().posted(GST_MESSAGE_WARNING));
  expect_equal(num_readers(producer.sink()), 1u);
  consumer.let_through();
  fail_unless(consumer.pull_values(2) == std::vector({1, 9}));
}
GST_END_TEST

// --- the end -------------------------------------------------------------------------

GST_START_TEST(eos_reaches_the_reader_after_the_last_frame) {
  const std::string channel = new_channel();
  Producer producer(channel);
  Consumer consumer(channel, "max-buffers=4");
  producer.start().push(1);
  consumer.hold_up();
  consumer.start();
  consumer.wait_held_up();
  producer.push(2);
  producer.push(3);
  producer.eos();
  producer.pipeline().wait_eos();
  consumer.let_through();
  fail_unless(consumer.pull_values(3) == std::vector({1, 2, 3}));
  consumer.wait_eos();
}
GST_END_TEST

GST_START_TEST(late_reader_gets_the_last_frame_and_eos) {
  const std::string channel = new_channel();
  Producer producer(channel);
  producer.start().push(1);
  producer.push(2);
  producer.eos();
  Consumer consumer(channel);
  consumer.start();
  expect_equal(consumer.pull_value(), 2);
  consumer.wait_eos();
}
GST_END_TEST

GST_START_TEST(flushing_seek_after_eos_goes_on_with_the_same_channel) {
  const std::string channel = new_channel();
  Producer producer(channel);
  Consumer patient(channel, "ignore-eos=true");
  producer.start().push(1);
  patient.start();
  expect_equal(patient.pull_value(), 1);
  producer.eos();
  producer.flush();
  producer.push(2);
  expect_equal(patient.pull_value(), 2);
  expect_equal(patient.stat("reconnects"), 0);
  producer.push(3);
  Consumer late(channel);
  late.start();
  expect_equal(late.pull_value(), 3);
}
GST_END_TEST

GST_START_TEST(eos_waits_for_a_blocking_reader) {
  const std::string channel = new_channel();
  Producer producer(channel, "allow-blocking=true");
  Consumer consumer(channel, kBlocking);
  Consumer other(channel);
  producer.start().push(1);
  consumer.hold_up();
  consumer.start();
  consumer.wait_held_up();
  other.start();
  expect_equal(other.pull_value(), 1);
  producer.push(2);
  Task eos([&] { producer.eos(); });
  other.wait_eos();
  fail_if(producer.pipeline().posted(GST_MESSAGE_EOS));
  fail_if(eos.done());
  consumer.let_through();
  fail_unless(consumer.pull_values(2) == std::vector({1, 2}));
  eos.join();
  producer.pipeline().wait_eos();
  consumer.wait_eos();
}
GST_END_TEST

GST_START_TEST(eos_wait_ends_when_the_blocking_reader_leaves) {
  const std::string channel = new_channel();
  Producer producer(channel, "allow-blocking=true");
  Consumer consumer(channel, kBlocking);
  producer.start().push(1);
  consumer.hold_up();
  consumer.start();
  consumer.wait_held_up();
  producer.push(2);
  Task eos([&] { producer.eos(); });
  consumer.stop();
  eos.join();
  producer.pipeline().wait_eos();
}
GST_END_TEST

GST_START_TEST(eos_wait_ends_with_a_state_change) {
  const std::string channel = new_channel();
  Producer producer(channel, "allow-blocking=true");
  Consumer consumer(channel, kBlocking);
  producer.start().push(1);
  consumer.hold_up();
  consumer.start();
  consumer.wait_held_up();
  producer.push(2);
  Task eos([&] { producer.event(gst_event_new_eos()); });
  producer.stop();
  eos.join();
  producer.pipeline().expect_no_error();
}
GST_END_TEST

GST_START_TEST(flush_withdraws_frames_that_dropping_readers_have_not_taken) {
  const std::string channel = new_channel();
  Producer producer(channel);
  Consumer consumer(channel, "max-buffers=8");
  producer.start().push(1);
  consumer.hold_up();
  consumer.start();
  consumer.wait_held_up();
  producer.push(2);
  producer.push(3);
  producer.flush();
  producer.push(4);
  consumer.let_through();
  fail_unless(consumer.pull_values(2) == std::vector({1, 4}));
}
GST_END_TEST

GST_START_TEST(flush_leaves_blocking_readers_every_frame) {
  const std::string channel = new_channel();
  Producer producer(channel, "allow-blocking=true");
  Consumer consumer(channel, "leaky-type=none max-buffers=8");
  producer.start().push(1);
  consumer.hold_up();
  consumer.start();
  consumer.wait_held_up();
  producer.push(2);
  producer.push(3);
  producer.flush();
  producer.push(4);
  consumer.let_through();
  fail_unless(consumer.pull_values(4) == std::vector({1, 2, 3, 4}));
}
GST_END_TEST

GST_START_TEST(stopping_posts_no_error_and_waits_for_nobody) {
  const std::string channel = new_channel();
  Producer producer(channel, "allow-blocking=true");
  Consumer consumer(channel, kBlocking);
  producer.start().push(1);
  consumer.hold_up();
  consumer.start();
  consumer.wait_held_up();
  producer.push(2);
  producer.stop();
  producer.pipeline().expect_no_error();
  consumer.let_through();
  fail_unless(consumer.pull_values(2) == std::vector({1, 2}));
  fail_unless(shm_names().empty());
}
GST_END_TEST

GST_START_TEST(the_name_is_free_in_ready_and_claimed_in_paused) {
  const std::string channel = new_channel();
  const std::string control = "/dev/shm/possum-c." + channel;
  Pipeline pipeline("videotestsrc ! possumsink channel=" + channel);
  pipeline.reach(GST_STATE_READY);
  fail_if(std::filesystem::exists(control));
  pipeline.reach(GST_STATE_PAUSED);
  fail_unless(std::filesystem::exists(control));
  pipeline.reach(GST_STATE_READY);
  fail_if(std::filesystem::exists(control));
}
GST_END_TEST

// Without a capsfilter: GstBaseTransform 1.22 turns a flush between CAPS and the first
// buffer into an error of the stream.
GST_START_TEST(storms_of_state_changes_end_well) {
  const std::string channel = new_channel();
  for (const GstState low : {GST_STATE_READY, GST_STATE_NULL, GST_STATE_PAUSED}) {
    Pipeline writer("videotestsrc is-live=true ! possumsink channel=" + channel);
    Pipeline reader("possumsrc channel=" + channel + " ! fakesink");
    reader.set_state(GST_STATE_PLAYING);
    press_on(writer.get(), low, 200);
    writer.set_state(GST_STATE_PLAYING);
    press_on(reader.get(), low, 200);
    writer.stop();
    reader.stop();
    writer.expect_no_error();
    reader.expect_no_error();
  }
}
GST_END_TEST

GST_START_TEST(storms_end_well_while_a_non_live_writer_waits) {
  const std::string channel = new_channel();
  Pipeline writer(
      "videotestsrc ! possumsink sync=false "
      "min-readers=1 channel=" +
      channel);
  press_on(writer.get(), GST_STATE_READY, 200);
  press_on(writer.get(), GST_STATE_NULL, 200);
  writer.stop();
  writer.expect_no_error();
}
GST_END_TEST

// A thread that was woken for PLAYING may run only when the element is in PAUSED again.
GST_START_TEST(quick_pauses_never_hang_while_a_non_live_writer_waits) {
  Pipeline writer("videotestsrc ! possumsink sync=false min-readers=1 channel=" +
                  new_channel());
  // GstBin 1.22 can miss the end of the first preroll when the state changes during it,
  // with a fakesink too, and never goes on to PLAYING.
  writer.reach(GST_STATE_PAUSED);
  for (int i = 0; i < 4000; ++i) {
    press_on(writer.get(), GST_STATE_PAUSED, 3);  // ends in PLAYING
    gst_element_get_state(writer.get(), nullptr, nullptr, GST_CLOCK_TIME_NONE);
  }
  writer.stop();
  writer.expect_no_error();
}
GST_END_TEST

static Suite* sink_suite() {
  Suite* suite = suite_create("sink");
  TCase* tcase = new_case(suite, "sink");
  tcase_add_test(tcase, preroll_publishes_and_render_of_that_frame_does_not);
  tcase_add_test(tcase, frame_interrupted_by_pause_is_published_once);
  tcase_add_test(tcase, live_upstream_is_never_delayed);
  tcase_add_test(tcase, other_upstream_is_paced_by_the_clock);
  tcase_add_test(tcase, upstream_is_asked_again_when_it_may_have_changed);
  tcase_add_test(tcase, live_frames_are_discarded_until_enough_readers_came);
  tcase_add_test(tcase, other_upstream_waits_in_render_for_enough_readers);
  tcase_add_test(tcase, the_only_frame_waits_for_its_reader);
  tcase_add_test(tcase, state_change_ends_the_wait_for_readers);
  tcase_add_test(tcase, a_blocking_reader_holds_up_render_until_it_takes_a_frame);
  tcase_add_test(tcase, flush_ends_a_wait_for_a_blocking_reader);
  tcase_add_test(tcase, null_ends_a_wait_for_a_blocking_reader);
  tcase_add_test(tcase, pause_during_a_wait_loses_no_frame);
  tcase_add_test(tcase, a_stalled_blocking_reader_is_demoted_and_warned_about);
  tcase_add_test(tcase, eos_reaches_the_reader_after_the_last_frame);
  tcase_add_test(tcase, late_reader_gets_the_last_frame_and_eos);
  tcase_add_test(tcase, flushing_seek_after_eos_goes_on_with_the_same_channel);
  tcase_add_test(tcase, eos_waits_for_a_blocking_reader);
  tcase_add_test(tcase, eos_wait_ends_when_the_blocking_reader_leaves);
  tcase_add_test(tcase, eos_wait_ends_with_a_state_change);
  tcase_add_test(tcase, flush_withdraws_frames_that_dropping_readers_have_not_taken);
  tcase_add_test(tcase, flush_leaves_blocking_readers_every_frame);
  tcase_add_test(tcase, stopping_posts_no_error_and_waits_for_nobody);
  tcase_add_test(tcase, the_name_is_free_in_ready_and_claimed_in_paused);
  tcase_add_test(tcase, storms_of_state_changes_end_well);
  tcase_add_test(tcase, storms_end_well_while_a_non_live_writer_waits);
  tcase_add_test(tcase, quick_pauses_never_hang_while_a_non_live_writer_waits);
  return suite;
}

GST_CHECK_MAIN(sink)
