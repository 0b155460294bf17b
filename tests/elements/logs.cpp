// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// GST_DEBUG=possum*:7: what happened to the channel, and why a frame was copied or
// dropped.
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "support/suite.h"

namespace {

// What the elements log from here on, as far as `threshold` says: "possum*:7".
class Log {
 public:
  explicit Log(const char* threshold) {
    (gst_debug_remove_log_function)(gst_debug_log_default);  // no macro
    (gst_debug_add_log_function)(note, this, nullptr);
    gst_debug_set_threshold_from_string(threshold, TRUE);
  }
  ~Log() {
    gst_debug_set_threshold_from_string("", TRUE);
    gst_debug_remove_log_function_by_data(this);
  }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  // Until it has been said: "LEVEL CATEGORY: beginning of the message".
  void await(std::string_view line) {
    std::unique_lock lock(mutex_);
    const bool came = said_.wait_for(lock, patience(), [&] { return find(line); });
    if (came) return;
    for (const std::string& each : lines_) std::fprintf(stderr, "%s\n", each.c_str());
    require(false, "not said: " + std::string(line));
  }
  bool has(std::string_view line) const {
    const std::scoped_lock lock(mutex_);
    return find(line);
  }
  std::size_t count() const {
    const std::scoped_lock lock(mutex_);
    return lines_.size();
  }

 private:
  bool find(std::string_view start) const {
    for (const std::string& line : lines_) {
      if (line.starts_with(start)) return true;
    }
    return false;
  }
  static void note(GstDebugCategory* category, GstDebugLevel level, const gchar*,
                   const gchar*, gint, GObject*, GstDebugMessage* message,
                   gpointer self) {
    const std::string name = gst_debug_category_get_name(category);
    if (!name.starts_with("possum")) return;
    std::string text = gst_debug_level_get_name(level);
    text.resize(text.find_last_not_of(' ') + 1);
    static_cast<Log*>(self)->add(text + " " + name + ": " +
                                 gst_debug_message_get(message));
  }
  void add(std::string line) {
    const std::scoped_lock lock(mutex_);
    lines_.push_back(std::move(line));
    said_.notify_all();
  }

  mutable std::mutex mutex_;
  std::condition_variable said_;
  std::vector<std::string> lines_;
};

std::string control_path(const std::string& channel) {
  return "/dev/shm/possum-c." + channel;
}

}  // namespace

TEST(a_sink_says_what_becomes_of_its_channel) {
  Producer producer;
  Log log("possum*:7");
  producer.start().push(1);
  log.await("INFO possumsink: the channel is made");
  fail_if(log.has("INFO possumsink: the channel is made,"));
  log.await("INFO possumsink: the pool has 3 slots, ");
  Consumer consumer(producer.channel());
  consumer.start();
  std::vector<Frame> held;
  held.push_back(consumer.pull());
  log.await("INFO possumsink: reader 0 attached, pid " + std::to_string(getpid()));
  for (guint8 value = 2; value < 5; ++value) {
    producer.push(value);
    held.push_back(consumer.pull());
  }
  log.await("INFO possumsink: the pool has 5 slots, ");
  fail_unless(std::remove(control_path(producer.channel()).c_str()) == 0);
  log.await("INFO possumsink: the channel is made anew");
  producer.stop();
  log.await("INFO possumsink: the channel is closed, after 4 frames");
}

TEST(a_sink_says_that_it_takes_over_from_a_dead_writer) {
  const std::string channel = unique_channel();
  std::ofstream(control_path(channel)) << std::string(4096, '\0');
  Producer producer(channel);
  Log log("possum*:7");
  producer.start().push(1);
  log.await("INFO possumsink: the channel is made, over what a dead writer left");
}

TEST(a_sink_says_why_a_frame_was_copied_or_dropped) {
  Producer producer(unique_channel(), "", {true, 0});
  Log log("possum*:7");
  producer.start().push(1);
  log.await("INFO possumsink: a frame is copied, more may follow: it lies in no slot");
  log.await("DEBUG possumsink: copied: it lies in no slot of this channel: ");
  const Pool pool = producer.pool();
  const Ref<GstBuffer> frame = pool.acquire(2);
  producer.push_kept(frame.get());
  log.await("LOG possumsink: published where it lies: ");
  producer.push_kept(frame.get());
  log.await("DEBUG possumsink: copied: a reader can see its slot");
  g_object_set(producer.sink(), "min-readers", 1, nullptr);
  producer.push(4);
  log.await("INFO possumsink: a frame is dropped, more may follow: fewer readers than ");
  log.await("DEBUG possumsink: dropped: fewer readers than min-readers: ");
}

TEST(a_src_says_whom_it_reads_and_what_it_missed_and_copied) {
  Consumer consumer(unique_channel(), "max-buffers=1 copy-frames=true");
  Log log("possum*:7");
  consumer.start();
  log.await("INFO possumsrc: waiting: ");
  Producer producer(consumer.channel());
  consumer.hold_up();
  producer.start().push(1);
  log.await("INFO possumsrc: Attached to channel \"" + consumer.channel() + "\" of pid ");
  log.await("INFO possumsrc: new caps ");
  log.await("INFO possumsrc: a frame is copied, more may follow: copy-frames");
  log.await("DEBUG possumsrc: copied: copy-frames");
  log.await("LOG possumsrc: frame 1, ");
  consumer.wait_held_up();
  for (guint8 value = 2; value < 5; ++value) producer.push(value);
  consumer.let_through();
  log.await("DEBUG possumsrc: 2 frames were missed");
  producer.stop();
  log.await("INFO possumsrc: the writer, pid ");
  consumer.stop();
  log.await("INFO possumsrc: has left the channel");
}

TEST(channel_events_are_all_that_info_says) {
  Ends pair;
  Log log("possum*:4");
  pair.begin();
  log.await("INFO possumsink: reader 0 attached");
  log.await("INFO possumsink: the pool has ");
  const std::size_t before = log.count();
  for (int value = 2; value < 30; ++value) pair.cross(value);
  expect_equal(log.count(), before);
}
