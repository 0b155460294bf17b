// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Several threads at once do to an element what applications do one after the other:
// states, properties, queries, events, buffers. Nothing may hang, crash or leak, and what
// is left when they have gone must work. POSSUM_SOAK_SECONDS makes each storm that long;
// POSSUM_SEED repeats one, as far as threads can be repeated.
#include <atomic>
#include <cstdlib>
#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "support/suite.h"

namespace {

int number_from(const char* variable, int otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::atoi(text) : otherwise;
}

std::chrono::milliseconds storm_time() {
  return std::chrono::milliseconds{1000} * number_from("POSSUM_SOAK_SECONDS", 2);
}

// Threads that repeat what they do until it is over. Each has a random generator.
class Storm {
 public:
  using Random = std::mt19937;
  Storm() {
    std::printf("seed %u\n", seed_);
    std::fflush(stdout);
  }
  void add(std::function<void(Random&)> step) {
    const unsigned seed = seed_ + static_cast<unsigned>(threads_.size());
    threads_.emplace_back([this, seed, step = std::move(step)] {
      for (Random random(seed); !over_;) {
        step(random);
        ++steps_;
      }
    });
  }
  // Lets it blow. `calm` frees the threads that wait for something; it is asked again
  // for each state that one of them was still setting.
  void blow(const std::function<void()>& calm) {
    std::this_thread::sleep_for(storm_time());
    over_ = true;
    for (Task& thread : threads_) {
      await(
          [&] {
            calm();
            return thread.done();
          },
          "the end of a thread of the storm");
    }
    threads_.clear();
    calm();
    std::printf("  %llu steps\n", static_cast<unsigned long long>(steps_));
    require(steps_ > 100, "hardly anything happened");
  }

 private:
  const unsigned seed_ = static_cast<unsigned>(
      number_from("POSSUM_SEED", static_cast<int>(std::random_device{}() >> 1)));
  std::atomic<bool> over_{false};
  std::atomic<unsigned long long> steps_{0};
  std::list<Task> threads_;
};

template <class T, std::size_t N>
const T& one_of(const T (&choices)[N], Storm::Random& random) {
  return choices[random() % N];
}

void pause_a_moment(Storm::Random& random) {
  std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
}

// Sets states without waiting for them. A state may be refused: two threads of this kind
// meet, or another one has broken the stream.
std::function<void(Storm::Random&)> states(GstElement* element) {
  return [element](Storm::Random& random) {
    constexpr GstState kStates[] = {GST_STATE_NULL, GST_STATE_READY, GST_STATE_PAUSED,
                                    GST_STATE_PLAYING, GST_STATE_PLAYING};
    gst_element_set_state(element, one_of(kStates, random));
    pause_a_moment(random);
  };
}

std::function<void(Storm::Random&)> sink_properties(GstElement* sink) {
  return [sink](Storm::Random& random) {
    const std::string settings[] = {"min-readers=" + std::to_string(random() % 3),
                                    "slots=8",
                                    "slots=16",
                                    "allow-blocking=true",
                                    "max-blocking-time=10000000",
                                    "perms=0660",
                                    "sync=false"};
    set_properties(sink, one_of(settings, random));
    static_cast<void>(num_readers(sink));
    static_cast<void>(stats_of(sink));
  };
}

std::function<void(Storm::Random&)> src_properties(GstElement* src) {
  return [src](Storm::Random& random) {
    const std::string settings[] = {
        "leaky-type=none",      "leaky-type=upstream",  "leaky-type=downstream",
        "max-buffers=1",        "max-buffers=8",        "copy-frames=true",
        "copy-frames=false",    "on-disconnect=wait",   "ignore-eos=true",
        "connection-timeout=0", "timestamp-mode=clock", "timestamp-mode=running-time",
        "allowed-owner=any",    "do-timestamp=true",    "do-timestamp=false"};
    set_properties(src, one_of(settings, random));
    static_cast<void>(stats_of(src));
  };
}

std::function<void(Storm::Random&)> questions(GstElement* element, const char* pad_name) {
  return [element, pad_name](Storm::Random& random) {
    const Ref<GstPad> pad{gst_element_get_static_pad(element, pad_name)};
    const Ref<GstCaps> caps{gst_pad_query_caps(pad.get(), nullptr)};
    const Ref<GstQuery> latency{gst_query_new_latency()};
    gst_element_query(element, latency.get());
    const Ref<GstQuery> allocation{gst_query_new_allocation(caps_of(kSmall).get(), TRUE)};
    if (GST_PAD_IS_SINK(pad.get())) gst_pad_query(pad.get(), allocation.get());
    pause_a_moment(random);
  };
}

// Errors are no news in a storm: a name was taken, blocking not allowed. They end a run
// of the element, not the element.
void forget_messages(const Pipeline& pipeline) {
  while (pipeline.posted(GST_MESSAGE_ANY)) {
  }
}

constexpr char kCalmSink[] =
    "min-readers=0 slots=16 allow-blocking=false perms=0600 sync=false";
constexpr char kCalmSrc[] =
    "leaky-type=downstream max-buffers=3 copy-frames=false on-disconnect=wait "
    "ignore-eos=false timestamp-mode=clock do-timestamp=false";

GstEvent* custom_event(GstEventType type) {
  return gst_event_new_custom(type, gst_structure_new_empty("storm"));
}

// What feeds the sink. As upstream elements do, it sends frames and serialised events one
// after the other.
class Source {
 public:
  explicit Source(const Producer& producer) : producer_(producer) {}
  // Frames for as long as nobody minds.
  void push_stream() {
    const std::scoped_lock lock(stream_);
    gst_pad_set_active(producer_.pad(), TRUE);
    producer_.event(gst_event_new_stream_start("storm"));
    producer_.event(gst_event_new_caps(caps_of(kSmall).get()));
    push_segment();
    for (guint8 value = 1; value < 50; ++value) {
      if (producer_.try_push(new_frame(value)) != GST_FLOW_OK) return;
    }
  }
  void flush() {
    producer_.event(gst_event_new_flush_start());
    const std::scoped_lock lock(stream_);
    producer_.event(gst_event_new_flush_stop(TRUE));
    push_segment();
  }
  void eos() {
    const std::scoped_lock lock(stream_);
    producer_.event(gst_event_new_eos());
  }

 private:
  void push_segment() {
    GstSegment whole;
    gst_segment_init(&whole, GST_FORMAT_TIME);
    producer_.event(gst_event_new_segment(&whole));
  }
  const Producer& producer_;
  std::mutex stream_;
};

// The reader plays, and its sink is named "end".
void expect_more_frames(const Pipeline& reader) {
  const Ref<GstElement> end = reader.element("end");
  const guint64 before = stat(end.get(), "rendered");
  await([&] { return stat(end.get(), "rendered") > before + 10; },
        "frames after the storm");
  reader.expect_no_error();
}

// A writer that is not in the storm.
class Weather {
 public:
  explicit Weather(const std::string& channel, const std::string& properties = "")
      : producer_(channel, "max-blocking-time=10000000 " + properties) {
    producer_.start();
    push_.emplace([this] {
      for (guint8 value = 0; !over_; ++value) producer_.push(value);
    });
  }
  ~Weather() {
    over_ = true;
    push_->join();
  }

 private:
  Producer producer_;
  std::atomic<bool> over_{false};
  std::optional<Task> push_;
};

// A sink that is stopped and started between two things that upstream sends has forgotten
// the stream, caps and segment that upstream still takes for known, as with any other
// sink (fakesink in the same harness gets more of them): GStreamer warns. Any other
// warning fails the test as ever.
class ForgottenStream {
 public:
  ForgottenStream()
      : handler_(g_log_set_handler("GStreamer", G_LOG_LEVEL_WARNING, forgive, nullptr)) {}
  ~ForgottenStream() { g_log_remove_handler("GStreamer", handler_); }
  ForgottenStream(const ForgottenStream&) = delete;
  ForgottenStream& operator=(const ForgottenStream&) = delete;

 private:
  static void forgive(const gchar*, GLogLevelFlags, const gchar* message, gpointer) {
    const std::string text = message;
    require(text.find("Sticky event misordering") != std::string::npos ||
                text.find("Got data flow before") != std::string::npos,
            text);
  }
  const guint handler_;
};

TEST(sink_in_a_storm) {
  const ForgottenStream forgiven;
  Producer producer(unique_channel(), "max-blocking-time=10000000");
  Pipeline readers("possumsrc channel=" + producer.channel() +
                   " ! fakesink sync=false possumsrc copy-frames=true channel=" +
                   producer.channel() + " ! fakesink sync=false");
  readers.set_state(GST_STATE_PLAYING);
  Source upstream(producer);
  Storm storm;
  storm.add(states(producer.pipeline().get()));
  storm.add(states(producer.pipeline().get()));
  storm.add(states(producer.sink()));
  storm.add(sink_properties(producer.sink()));
  storm.add(questions(producer.sink(), "sink"));
  storm.add([&](Storm::Random& random) {
    upstream.push_stream();
    pause_a_moment(random);
  });
  storm.add([&](Storm::Random& random) {
    if (random() % 4 == 0) upstream.flush();
    producer.event(custom_event(GST_EVENT_CUSTOM_DOWNSTREAM_OOB));
    if (random() % 8 == 0) upstream.eos();
    pause_a_moment(random);
  });
  storm.blow([&] { producer.stop(); });
  readers.stop();
  forget_messages(producer.pipeline());
  set_properties(producer.sink(), kCalmSink);
  producer.start().push(100);
  Consumer consumer(producer.channel());
  consumer.start();
  for (guint8 value = 101; value < 110; ++value) {
    producer.push(value);
    consumer.pull_until(value);
  }
  producer.pipeline().expect_no_error();
  consumer.pipeline().expect_no_error();
}

TEST(src_in_a_storm) {
  const std::string channel = unique_channel();
  Pipeline reader("possumsrc name=src channel=" + channel +
                  " ! fakesink name=end sync=false");
  const Ref<GstElement> src = reader.element("src");
  Weather weather(channel, "allow-blocking=true");
  Storm storm;
  storm.add(states(reader.get()));
  storm.add(states(reader.get()));
  // Never the source's alone: no source can stop while the sink behind it prerolls.
  storm.add(src_properties(src.get()));
  storm.add(questions(src.get(), "src"));
  storm.add([&](Storm::Random& random) {
    GstEvent* const events[] = {
        gst_event_new_reconfigure(), custom_event(GST_EVENT_CUSTOM_UPSTREAM),
        gst_event_new_seek(1.0, GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, GST_SEEK_TYPE_SET,
                           0, GST_SEEK_TYPE_NONE, -1)};
    const Ref<GstPad> pad{gst_element_get_static_pad(src.get(), "src")};
    for (GstEvent* event : events) gst_pad_send_event(pad.get(), event);
    pause_a_moment(random);
  });
  storm.blow([&] { reader.stop(); });
  forget_messages(reader);
  set_properties(src.get(), kCalmSrc);
  reader.play();
  expect_more_frames(reader);
}

// Without changes of state: an element that is told to flush keeps its state lock, and
// the sink's answer to it asks the pipeline for latency, which needs the pipeline's.
TEST(src_flushed_in_a_storm) {
  const std::string channel = unique_channel();
  Weather weather(channel);
  Pipeline reader("possumsrc name=src channel=" + channel +
                  " ! fakesink name=end sync=false async=false");
  const Ref<GstElement> src = reader.element("src");
  reader.play();
  Storm storm;
  storm.add([&](Storm::Random& random) {
    gst_element_send_event(src.get(), gst_event_new_flush_start());
    if (random() % 2) pause_a_moment(random);
    gst_element_send_event(src.get(), gst_event_new_flush_stop(TRUE));
    pause_a_moment(random);
  });
  storm.add(src_properties(src.get()));
  storm.add(questions(src.get(), "src"));
  storm.blow([] {});
  expect_more_frames(reader);
}

// Both sides at once, writer and reader of the same channel.
TEST(both_in_a_storm) {
  const std::string channel = unique_channel();
  Pipeline writer(
      "videotestsrc is-live=true ! possumsink name=sink allow-blocking=true "
      "max-blocking-time=10000000 channel=" +
      channel);
  Pipeline reader("possumsrc name=src leaky-type=none channel=" + channel +
                  " ! fakesink name=end sync=false");
  Storm storm;
  for (const Pipeline* pipeline : {&writer, &reader}) {
    storm.add(states(pipeline->get()));
    storm.add(states(pipeline->get()));
  }
  const Ref<GstElement> sink = writer.element("sink");
  storm.add([&](Storm::Random& random) {
    static_cast<void>(stats_of(sink.get()));
    pause_a_moment(random);
  });
  storm.blow([&] {
    reader.stop();
    writer.stop();
  });
  forget_messages(writer);
  forget_messages(reader);
  writer.play();
  reader.play();
  expect_more_frames(reader);
  writer.expect_no_error();
}

// Alone: with nothing behind it that prerolls, it stops and starts by itself.
TEST(src_alone_in_a_storm) {
  Consumer consumer;
  Weather weather(consumer.channel());
  std::atomic<unsigned> taken{0};
  gst_pad_set_chain_function_full(
      consumer.pad(),
      +[](GstPad* pad, GstObject*, GstBuffer* buffer) {
        gst_buffer_unref(buffer);
        ++*static_cast<std::atomic<unsigned>*>(pad->chaindata);
        return GST_FLOW_OK;
      },
      &taken, nullptr);
  consumer.start();
  Storm storm;
  storm.add(states(consumer.src()));
  storm.add(src_properties(consumer.src()));
  storm.add([&](Storm::Random& random) {
    for (GstEvent* event :
         {gst_event_new_reconfigure(), custom_event(GST_EVENT_CUSTOM_UPSTREAM)}) {
      gst_pad_push_event(consumer.pad(), event);
    }
    pause_a_moment(random);
  });
  storm.blow([&] { consumer.stop(); });
  forget_messages(consumer.pipeline());
  set_properties(consumer.src(), kCalmSrc);
  const unsigned before = taken;
  consumer.start();
  await([&] { return taken > before + 10; }, "frames after the storm");
  consumer.pipeline().expect_no_error();
}

}  // namespace
