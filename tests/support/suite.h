// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// All that tests of the elements need: start a producer, start a consumer, push one, pull
// one; and main(), so that exactly one source file of a program includes it.
//
//   TEST(name) { fail_unless(2 + 2 == 4); }
//   TESTS(name, count) { ... i ... }
//
// are test cases of gst-check, each in a process of its own, the second one for each i
// below the count. None may leave anything behind. `program name` runs some of them.
#pragma once

#include <gst/check/gstcheck.h>
#undef fail  // gstcheck.h's macro, which others have as a name

#include <string>
#include <vector>

#include "consumer.h"
#include "leftovers.h"
#include "producer.h"
#include "sleepers.h"
#include "users.h"
#include "waiting.h"

#define TEST(name)                                                         \
  static void test_##name();                                               \
  [[maybe_unused]] static const bool registered_##name = ::elements::add({ \
      #name,                                                               \
      [](int) {                                                            \
        tcase_fn_start(#name, __FILE__, __LINE__);                         \
        test_##name();                                                     \
        gst_task_cleanup_all();                                            \
      },                                                                   \
      1,                                                                   \
  });                                                                      \
  static void test_##name()

#define TESTS(name, count)                                                 \
  static void test_##name(std::size_t);                                    \
  [[maybe_unused]] static const bool registered_##name = ::elements::add({ \
      #name,                                                               \
      [](int i) {                                                          \
        tcase_fn_start(#name, __FILE__, __LINE__);                         \
        test_##name(static_cast<std::size_t>(i));                          \
        gst_task_cleanup_all();                                            \
      },                                                                   \
      static_cast<int>(count),                                             \
  });                                                                      \
  static void test_##name(const std::size_t i)

namespace elements {

using support::channel_mappings;
using support::channel_prefix;
using support::open_descriptors;
using support::own_names;
using support::unique_channel;

struct Test {
  const char* name;
  void (*run)(int);
  int count;
};
inline std::vector<Test>& tests() {
  static std::vector<Test> list;
  return list;
}
inline bool add(Test test) {
  tests().push_back(test);
  return true;
}

// What must be the same again after each test, or not there at all.
inline std::size_t descriptors_before = 0;

inline void count_leftovers() { descriptors_before = open_descriptors().size(); }

inline void expect_no_leftovers() {
  const auto names = own_names();
  const auto mappings = channel_mappings();
  const auto open = open_descriptors();
  require(names.empty(), "left in /dev/shm:" + support::joined(names));
  require(mappings.empty(), "a channel is still mapped:" + support::joined(mappings));
  require(open.size() == descriptors_before, std::to_string(descriptors_before) +
                                                 " descriptors before, now" +
                                                 support::joined(open));
}

// What comes before all tests, which are skipped if it returns a reason; and before each,
// in its process.
inline std::string (*before_all)() = [] { return std::string(); };
inline void (*before_each)() = [] {};

inline int run(int argc, char** argv) {
  if (const std::string reason = before_all(); !reason.empty()) {
    g_printerr("SKIPPED: %s\n", reason.c_str());
    return 77;
  }
  gst_check_init(&argc, &argv);
  std::string names;
  for (int n = 1; n < argc; ++n) names += (n > 1 ? "," : "") + std::string(argv[n]);
  if (!names.empty()) g_setenv("GST_CHECKS", names.c_str(), TRUE);
  Suite* const suite = suite_create(g_get_prgname());
  TCase* const tcase = tcase_create("elements");
  tcase_add_checked_fixture(tcase, before_each, nullptr);
  tcase_add_checked_fixture(tcase, count_leftovers, expect_no_leftovers);
  for (const Test& test : tests()) {
    _tcase_add_test(tcase, test.run, test.name, 0, 0, 0, test.count);
  }
  suite_add_tcase(suite, tcase);
  return gst_check_run_suite(suite, g_get_prgname(), argv[0]);
}

inline GstClockTime running_time(GstElement* element) {
  const Ref<GstClock> clock{gst_element_get_clock(element)};
  return gst_clock_get_time(clock.get()) - gst_element_get_base_time(element);
}

// Both ends of a channel, with properties of the elements and what stands beside them.
struct Ends {
  explicit Ends(const std::string& sink = "", const std::string& src = "",
                Upstream upstream = {}, Downstream downstream = {})
      : producer(unique_channel(), sink, upstream),
        consumer(producer.channel(), src, std::move(downstream)) {}
  const std::string& channel() const { return producer.channel(); }
  // Frame 1 crosses.
  void begin(Where where = Where::here()) {
    producer.start().push(1);
    consumer.start();
    expect_equal(consumer.pull_value(), 1, where);
  }
  // Downstream is busy with frame 1 from here on.
  void hold_up() {
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
  void cross(int value, Where where = Where::here()) {
    producer.push(static_cast<guint8>(value));
    expect_equal(consumer.pull_value(), value, where);
  }
  Producer producer;
  Consumer consumer;
};

struct Pair : Ends {
  template <class... Arguments>
  explicit Pair(Arguments&&... arguments) : Ends(std::forward<Arguments>(arguments)...) {
    begin();
  }
};

struct HeldUp : Ends {
  template <class... Arguments>
  explicit HeldUp(Arguments&&... arguments)
      : Ends(std::forward<Arguments>(arguments)...) {
    hold_up();
  }
};

inline bool may_become_others() {
  if (support::may_become_others()) return true;
  g_print("SKIPPED: acting as other users needs root\n");
  return false;
}

inline void await_sleeping_writer(const std::string& channel) {
  await([&] { return support::writer_sleeps(channel); }, "a writer that sleeps");
}
inline void await_sleeping_housekeeper(const std::string& channel) {
  await([&] { return support::housekeeper_sleeps(channel); }, "housekeeping that sleeps");
}
inline void await_sleeping_reader(const std::string& channel) {
  await([&] { return support::reader_sleeps(channel); }, "a reader that sleeps");
}
inline void await_search() {
  await(support::somebody_searches, "a thread that looks for a channel");
}

}  // namespace elements

using namespace elements;  // every test speaks its words

int main(int argc, char** argv) { return elements::run(argc, argv); }
