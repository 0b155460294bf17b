// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// sigbus-guard: what elements make of shared memory that somebody truncates under them,
// and that they leave the process's signals alone unless they are told otherwise.
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "support/suite.h"

namespace {

constexpr char kGuarded[] = "sigbus-guard=true";

void* bus_handler() {
  struct sigaction action {};
  require(sigaction(SIGBUS, nullptr, &action) == 0, "no SIGBUS");
  return reinterpret_cast<void*>(action.sa_sigaction);
}

// The objects of the channel whose names begin so.
void truncate_objects(const std::string& channel, const std::string& prefix) {
  unsigned count = 0;
  for (const std::string& name : own_names()) {
    if (!name.starts_with(prefix) || name.find(channel) == std::string::npos) continue;
    std::filesystem::resize_file("/dev/shm/" + name, 0);
    ++count;
  }
  require(count > 0, "nothing to truncate");
}

constexpr guint8 kAfter = 200;

ino_t control_inode(const std::string& channel) {
  struct stat info {};
  return stat(("/dev/shm/possum-c." + channel).c_str(), &info) == 0 ? info.st_ino : 0;
}

// A reader that comes before the writer has found out is told the same again.
void expect_new_channel(const std::string& channel, ino_t old, const Producer& producer) {
  producer.push(kAfter - 1);  // a writer finds out when it draws
  await(
      [&] {
        const ino_t now = control_inode(channel);
        return now != 0 && now != old;
      },
      "a new channel");
  Consumer consumer(channel, kGuarded);
  producer.push(kAfter);
  consumer.start();
  expect_equal(consumer.pull_value(), kAfter);
  producer.pipeline().expect_no_error();
}

void expect_one_read_error(const Consumer& consumer) {
  const Report error = consumer.pipeline().wait_error();
  require(error.is(GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_READ) &&
              error.says("damaged or truncated: restart its writer"),
          error.text);
  consumer.pipeline().stop();
  consumer.pipeline().expect_only_generic_errors();
}

void survive_truncation(const std::string& prefix) {
  Ends pair(kGuarded, kGuarded);
  for (int round = 0; round < 3; ++round) {
    pair.hold_up();
    const ino_t old = control_inode(pair.channel());
    {
      const Frame held = pair.consumer.pull();
      expect_equal(held.value(), 1);
      truncate_objects(pair.channel(), prefix);
      // Downstream sees zeros, if anything.
      const int now = held.value();
      require(now == 0 || now == 1, "another frame: " + std::to_string(now));
      pair.consumer.let_through();
      expect_one_read_error(pair.consumer);
    }
    expect_new_channel(pair.channel(), old, pair.producer);
    pair.producer.stop();
  }
}

}  // namespace

TEST(signals_are_left_alone_unless_asked) {
  void* const before = bus_handler();
  {
    const Pair bare;
    fail_unless(bus_handler() == before);
  }
  Ends pair(kGuarded, kGuarded);
  fail_unless(bus_handler() == before);  // not before it starts
  pair.producer.start().push(1);
  void* const guard = bus_handler();
  fail_unless(guard != before);
  expect_equal(pair.consumer.start().pull_value(), 1);
  pair.consumer.stop();
  pair.producer.stop();
  fail_unless(bus_handler() == guard);
}

TEST(src_alone_may_ask) {
  void* const before = bus_handler();
  const Pair pair("", kGuarded);
  fail_unless(bus_handler() != before);
}

TEST(truncated_frames_are_one_read_error) { survive_truncation("possum-d."); }

TEST(truncated_control_object_is_one_read_error) { survive_truncation("possum-c."); }

TEST(truncated_channel_is_one_read_error) { survive_truncation("possum-"); }

TEST(upstream_may_draw_into_what_is_truncated) {
  Producer producer(unique_channel(), kGuarded);
  producer.start();
  const Pool pool = producer.pool();
  producer.push(pool.acquire(1));
  Ref<GstBuffer> drawn = pool.acquire();
  const ino_t old = control_inode(producer.channel());
  truncate_objects(producer.channel(), "possum-d.");
  fill(drawn.get(), 2);
  producer.push(std::move(drawn));  // nobody shall see it
  expect_new_channel(producer.channel(), old, producer);
}
