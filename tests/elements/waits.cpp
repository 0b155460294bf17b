// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// GST_STATE_NULL and flushes in the middle of every wait there is. Each test first sees
// that a thread really sleeps where it should, then that the element comes back at once,
// and then that it works as if nothing had been.
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <gst/check/gsttestclock.h>

#include "base/clock.h"
#include "support/suite.h"
#include "transport/reader.h"

namespace {

constexpr char kBlocking[] = "leaky-type=none max-buffers=1";

// Well below the times after which a wait would end by itself.
void expect_at_once(const std::string& what, const std::function<void()>& action) {
  using namespace std::chrono;
  const auto start = steady_clock::now();
  action();
  const auto took = duration_cast<milliseconds>(steady_clock::now() - start);
  require(took < patience() / 15, what + " took " + std::to_string(took.count()) + " ms");
}

void expect_stop_at_once(const Pipeline& pipeline) {
  expect_at_once("going to NULL", [&] { pipeline.stop(); });
  pipeline.expect_no_error();
}

// A sink whose next push waits, and the reader that may be the reason.
struct Writing : Ends {
  explicit Writing(const std::string& sink_properties,
                   const std::string& src_properties = kBlocking)
      : Ends(sink_properties, src_properties) {}
  ~Writing() { producer.stop(); }

  // Pushes frames from `value` on, until one of them is not taken.
  void begin_push(guint8 value) {
    pushing.emplace([this, value] {
      for (guint8 v = value; flow == GST_FLOW_OK; ++v) {
        flow = producer.try_push(new_frame(v));
      }
    });
    await_sleeping_writer(channel());
  }
  void expect_push(GstFlowReturn wanted) {
    pushing->join();
    expect_equal(flow, wanted);
  }
  void expect_null_ends() {
    expect_stop_at_once(producer.pipeline());
    expect_push(GST_FLOW_FLUSHING);
    expect_fresh_start();
  }
  // From NULL.
  void expect_fresh_start() {
    consumer.stop();
    flow = GST_FLOW_OK;
    set_properties(producer.sink(), "min-readers=0 sync=false");
    set_properties(consumer.src(), "leaky-type=downstream max-buffers=3");
    producer.start().push(100);
    consumer.start();
    consumer.pull_until(100);  // what was held comes first
    cross(101);
    producer.pipeline().expect_no_error();
    consumer.pipeline().expect_no_error();
  }

  GstFlowReturn flow = GST_FLOW_OK;
  std::optional<Task> pushing;
};

// Every slot is offered to a reader that may block, so that no slot can be had.
struct NoSlot : Writing {
  NoSlot() : Writing("allow-blocking=true slots=3", "leaky-type=none max-buffers=16") {
    hold_up();
    begin_push(2);
    // Frames are counted once they have a slot: 1 is held or copied, the rest waits.
    fail_unless(producer.stat("frames") <= 4);
  }
};

struct NoRoom : Writing {
  NoRoom() : Writing("allow-blocking=true") {
    hold_up();
    begin_push(2);
    expect_equal(producer.stat("frames"), 3);
  }
};

struct NoReaders : Writing {
  NoReaders() : Writing("min-readers=2") {
    producer.start();
    begin_push(1);
    expect_equal(producer.stat("frames"), 1);  // its preroll waits for nobody
  }
};

struct Draining : Writing {
  Draining() : Writing("allow-blocking=true") {
    hold_up();
    producer.push(2);
    pushing.emplace([this] { ended = producer.event(gst_event_new_eos()); });
    await_sleeping_writer(channel());
  }
  bool ended = false;
};

// --- the reading side ------------------------------------------------------------------

void expect_null_ends(Consumer& consumer) {
  expect_at_once("going to NULL", [&] { consumer.stop(); });
}

void expect_fresh_reader(Consumer& consumer) {
  Producer producer(consumer.channel());
  producer.start().push(100);
  consumer.start();
  consumer.pull_until(100);
  producer.push(101);
  expect_equal(consumer.pull_value(), 101);
  consumer.pipeline().expect_no_error();
}

struct Reading {
  Reading() {
    producer->start().push(1);
    consumer.start().pull();
  }
  void expect_null_ends() {
    ::expect_null_ends(consumer);
    producer.reset();
    expect_fresh_reader(consumer);
  }
  const std::string channel = unique_channel();
  std::unique_ptr<Producer> producer = std::make_unique<Producer>(channel);
  Consumer consumer{channel};
};

void await_connecting(const Consumer& consumer) {
  expect_equal(consumer.pipeline().wait_progress().type, GST_PROGRESS_TYPE_START);
  await_search();
}

// Flushes the reader as a seek from downstream would.
void flush(const Consumer& consumer) {
  gst_element_send_event(consumer.src(), gst_event_new_flush_start());
  gst_element_send_event(consumer.src(), gst_event_new_flush_stop(TRUE));
}

GstEvent* flushing_seek() {
  return gst_event_new_seek(1.0, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, GST_SEEK_TYPE_SET,
                            0, GST_SEEK_TYPE_NONE, -1);
}

}  // namespace

// --- possumsink: NULL ------------------------------------------------------------------

TEST(null_while_the_sink_waits_for_its_name) {
  const std::string channel = unique_channel();
  auto holder = std::make_unique<Producer>(channel);
  holder->start().push(1);
  Producer second(channel);
  GstStateChangeReturn result = GST_STATE_CHANGE_SUCCESS;
  Task start([&] { result = second.pipeline().set_state(GST_STATE_PAUSED); });
  await_search();
  expect_at_once("going to NULL",
                 [&] { gst_element_set_state(second.sink(), GST_STATE_NULL); });
  start.join();
  expect_equal(result, GST_STATE_CHANGE_FAILURE);
  second.pipeline().expect_only_generic_errors();
  second.stop();
  holder.reset();
  second.start().push(2);
  Consumer consumer(channel);
  expect_equal(consumer.start().pull_value(), 2);
}

TEST(null_while_the_sink_waits_for_readers) { NoReaders().expect_null_ends(); }
TEST(null_while_the_sink_waits_for_a_blocking_reader) { NoRoom().expect_null_ends(); }
TEST(null_while_the_sink_waits_for_a_slot) { NoSlot().expect_null_ends(); }

TEST(null_while_eos_waits_for_a_blocking_reader) {
  Draining writing;
  expect_stop_at_once(writing.producer.pipeline());
  writing.pushing->join();
  fail_if(writing.ended);
  writing.expect_fresh_start();
}

TEST(null_while_the_sink_prerolls) {
  Writing writing("");
  writing.producer.pause();
  writing.pushing.emplace(
      [&] { writing.flow = writing.producer.try_push(new_frame(1)); });
  writing.producer.pipeline().reach(GST_STATE_PAUSED);  // by that frame
  fail_if(writing.pushing->done());
  writing.expect_null_ends();
}

// Interrupted in the transport, it waits in GstBaseSink.
TEST(null_while_a_blocked_sink_is_paused) {
  NoRoom writing;
  writing.producer.pipeline().set_state(GST_STATE_PAUSED);
  writing.producer.pipeline().reach(GST_STATE_PAUSED);  // it says so from that wait
  fail_if(writing.pushing->done());
  writing.expect_null_ends();
}

TEST(null_while_the_sink_waits_for_the_clock) {
  Writing writing("sync=true");
  const Ref<GstClock> clock{gst_test_clock_new()};
  gst_pipeline_use_clock(GST_PIPELINE(writing.producer.pipeline().get()), clock.get());
  writing.producer.start();
  writing.pushing.emplace(
      [&] { writing.flow = writing.producer.try_push(new_frame(9)); });
  GstClockID waiting = nullptr;
  gst_test_clock_wait_for_next_pending_id(GST_TEST_CLOCK(clock.get()), &waiting);
  gst_clock_id_unref(waiting);
  writing.expect_null_ends();
}

// --- possumsink: flushes ---------------------------------------------------------------

TEST(flushes_end_every_wait_of_the_sink) {
  const auto expect_flushed = [](Writing& writing, GstFlowReturn wanted) {
    expect_at_once("a flush", [&] {
      writing.producer.event(gst_event_new_flush_start());
      writing.pushing->join();
    });
    expect_equal(writing.flow, wanted);
    writing.producer.event(gst_event_new_flush_stop(TRUE));
    writing.producer.pipeline().expect_no_error();
  };
  NoReaders no_readers;
  expect_flushed(no_readers, GST_FLOW_FLUSHING);
  NoRoom no_room;
  expect_flushed(no_room, GST_FLOW_FLUSHING);
  NoSlot no_slot;
  expect_flushed(no_slot, GST_FLOW_FLUSHING);
  Draining draining;
  expect_flushed(draining, GST_FLOW_OK);  // of the pushes; EOS itself:
  fail_if(draining.ended);
}

TEST(a_flushed_writer_goes_on) {
  NoRoom writing;
  writing.producer.event(gst_event_new_flush_start());
  writing.expect_push(GST_FLOW_FLUSHING);
  writing.producer.flush();
  writing.consumer.let_through();
  writing.producer.push(50);
  writing.consumer.pull_until(50);
}

TEST(a_flushing_seek_goes_through_a_blocked_sink) {
  const std::string channel = unique_channel();
  Pipeline writer("videotestsrc ! possumsink sync=false allow-blocking=true channel=" +
                  channel);
  Consumer consumer(channel, kBlocking);
  consumer.hold_up();
  consumer.start();
  writer.play();
  consumer.wait_held_up();
  await_sleeping_writer(channel);
  for (int i = 0; i < 20; ++i) {
    expect_at_once("a seek", [&] {
      fail_unless(gst_element_send_event(writer.get(), flushing_seek()));
    });
    await_sleeping_writer(channel);  // at the next frame
  }
  consumer.let_through();
  for (int i = 0; i < 5; ++i) consumer.pull();
  writer.expect_no_error();
}

// --- possumsrc: NULL -------------------------------------------------------------------

TEST(null_while_the_src_waits_for_a_channel) {
  Consumer consumer;
  consumer.start();
  await_connecting(consumer);
  expect_null_ends(consumer);
  expect_fresh_reader(consumer);
}

TEST(null_while_the_src_waits_for_a_frame) {
  Reading reading;
  await_sleeping_reader(reading.channel);
  expect_null_ends(reading.consumer);
  expect_equal(num_readers(reading.producer->sink()), 0u);
  reading.producer.reset();
  expect_fresh_reader(reading.consumer);
}

TEST(null_while_the_src_waits_for_a_place) {
  const std::string channel = unique_channel();
  auto producer = std::make_unique<Producer>(channel);
  producer->start().push(1);
  std::vector<std::unique_ptr<possum::transport::Reader>> readers;
  possum::Error error;
  while (readers.size() < possum::transport::layout::kReaders) {
    possum::transport::ReaderOptions options;
    options.channel = channel;
    readers.push_back(possum::transport::Reader::create(options, error));
    require(readers.back()->attach(possum::monotonic_ns(), error) ==
                possum::transport::AttachStatus::attached,
            error.message);
  }
  Consumer consumer(channel);
  consumer.start();
  await_connecting(consumer);
  expect_null_ends(consumer);
  readers.clear();
  producer.reset();
  expect_fresh_reader(consumer);
}

TEST(null_while_the_src_waits_for_the_next_writer) {
  Reading reading;
  reading.producer.reset();
  await_connecting(reading.consumer);
  reading.expect_null_ends();
}

// A live source has its frame and waits in GstBaseSrc.
TEST(null_while_a_frame_waits_for_playing) {
  Reading reading;
  reading.consumer.pipeline().reach(GST_STATE_PAUSED);
  reading.producer->push(2);
  reading.producer->push(3);
  expect_null_ends(reading.consumer);
  fail_unless(reading.consumer.waiting() == 0);
  reading.producer.reset();
  expect_fresh_reader(reading.consumer);
}

TEST(null_while_downstream_prerolls) {
  Producer producer;
  producer.start().push(1);
  Pipeline reader("possumsrc name=src is-live=false channel=" + producer.channel() +
                  " ! fakesink name=end");
  reader.reach(GST_STATE_PAUSED);  // its sink has the frame and does not return
  expect_stop_at_once(reader);
  reader.reach(GST_STATE_PAUSED);
  reader.play();
  const Ref<GstElement> end = reader.element("end");
  const guint64 before = stat(end.get(), "rendered");
  producer.push(2);
  await([&] { return stat(end.get(), "rendered") > before; }, "the next frame");
}

TEST(null_while_downstream_waits_for_the_clock) {
  Producer producer;
  producer.start().push(1);
  Pipeline reader("possumsrc is-live=false channel=" + producer.channel() +
                  " ! fakesink sync=true name=end");
  const Ref<GstClock> clock{gst_test_clock_new()};
  gst_pipeline_use_clock(GST_PIPELINE(reader.get()), clock.get());
  reader.play();
  producer.push(200);
  GstClockID waiting = nullptr;
  gst_test_clock_wait_for_next_pending_id(GST_TEST_CLOCK(clock.get()), &waiting);
  gst_clock_id_unref(waiting);
  expect_stop_at_once(reader);
  producer.push(3);
  reader.play();
  expect_stop_at_once(reader);
}

// --- possumsrc: flushes and seeks ------------------------------------------------------

TEST(flushes_and_seeks_do_not_disturb_a_waiting_src) {
  Consumer consumer;
  consumer.start();
  await_connecting(consumer);
  for (int i = 0; i < 5; ++i) {
    expect_at_once("a flush", [&] { flush(consumer); });
    await_search();
    fail_if(gst_pad_push_event(consumer.pad(), flushing_seek()));
  }
  Producer producer(consumer.channel());
  producer.start().push(1);
  expect_equal(consumer.pull_value(), 1);
  for (int i = 0; i < 5; ++i) {
    await_sleeping_reader(consumer.channel());
    expect_at_once("a flush", [&] { flush(consumer); });
    fail_if(gst_pad_push_event(consumer.pad(), flushing_seek()));
    producer.push(static_cast<guint8>(2 + i));
    expect_equal(consumer.pull_value(), 2 + i);
  }
  consumer.pipeline().expect_no_error();
}

// --- both ------------------------------------------------------------------------------

class StopWatch {
 public:
  void stop(const std::function<void()>& action) {
    const auto start = std::chrono::steady_clock::now();
    action();
    sum_ += std::chrono::steady_clock::now() - start;
    ++stops_;
  }
  ~StopWatch() {
    require(
        sum_ < stops_ * std::chrono::milliseconds{patience()} / 250,
        std::to_string(sum_.count()) + " ns for " + std::to_string(stops_) + " stops");
  }

 private:
  std::chrono::nanoseconds sum_{0};
  int stops_ = 0;
};

// The housekeeping thread is asleep then, and its next tick 125 ms away on average.
TEST(stopping_a_sink_waits_for_no_tick) {
  Producer producer;
  StopWatch watch;
  for (int i = 0; i < 20; ++i) {
    producer.start().push(1);
    await_sleeping_housekeeper(producer.channel());
    watch.stop([&] { producer.stop(); });
  }
}

// It would look again 250 ms later.
TEST(stopping_a_searching_src_waits_for_no_tick) {
  Consumer consumer;
  StopWatch watch;
  for (int i = 0; i < 10; ++i) {
    consumer.start();
    expect_equal(consumer.pipeline().wait_progress().type, GST_PROGRESS_TYPE_START);
    await_search();
    watch.stop([&] { consumer.stop(); });
    expect_equal(consumer.pipeline().wait_progress().type, GST_PROGRESS_TYPE_CANCELED);
  }
}

TEST(who_asks_a_waiting_sink_is_answered_at_once) {
  NoReaders writing;
  expect_at_once("asking", [&] {
    for (int i = 0; i < 100; ++i) {
      expect_equal(num_readers(writing.producer.sink()), 0u);
      expect_equal(writing.producer.stat("frames"), 1);
    }
  });
}

[[maybe_unused]] static const auto needs = before_all = [] {
  return std::string(support::can_see_sleepers()
                         ? ""
                         : "/proc/PID/syscall does not say where threads sleep");
};
