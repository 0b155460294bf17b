// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Every failure that can be had within one process: one error of ours, the first on the
// bus, with a sentence that says what to do.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "base/text.h"
#include "support/elements.h"
#include "support/refusals.h"
#include "transport/layout.h"
#include "transport/writer.h"

// Last: it includes gstcheck.h.
#include "support/suite.h"

using namespace elements;

namespace {

struct Wanted {
  GQuark domain;
  int code;
  std::vector<std::string> words;
};

// The first error on the bus is the one that is wanted; nothing but what base classes add
// follows it.
void expect_error(const Pipeline& pipeline, const std::string& source,
                  const Wanted& wanted, Where where = Where::here()) {
  const Report error = pipeline.wait_error();
  require(error.is(wanted.domain, wanted.code),
          "code " + std::to_string(error.code) + ": " + error.text, where);
  expect_equal(error.source, source, where);
  for (const std::string& word : wanted.words) {
    require(error.says(word), "no \"" + word + "\" in: " + error.text, where);
  }
  require(!error.debug.empty(), "no detail", where);
  require(possum::is_plain_text(error.text), "not for a terminal: " + error.text, where);
  std::string detail = error.debug;  // below a line of GStreamer's own
  std::replace(detail.begin(), detail.end(), '\n', ' ');
  require(possum::is_plain_text(detail), "not for a terminal: " + detail, where);
  pipeline.stop();
  pipeline.expect_only_generic_errors();
}

void expect_start_failure(const Pipeline& pipeline, const std::string& source,
                          const Wanted& wanted, Where where = Where::here()) {
  require(pipeline.set_state(GST_STATE_PAUSED) == GST_STATE_CHANGE_FAILURE,
          "the pipeline starts", where);
  expect_error(pipeline, source, wanted, where);
}

// Of this process from now on, and of the writers in it.
void take_a_name_that_clears_the_screen() {
  require(prctl(PR_SET_NAME, "\x1b[2Jevil") == 0, "no name");
}

// A control object of the channel for a test to damage.
class ControlObject {
 public:
  explicit ControlObject(const std::string& channel)
      : name_("/possum-c." + channel), fd_(shm_open(name_.c_str(), O_RDWR, 0)) {
    struct stat info {};
    require(
        fd_ >= 0 && fstat(fd_, &info) == 0 && info.st_size >= static_cast<off_t>(kBytes),
        "no whole control object");
    void* map = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
    require(map != MAP_FAILED, "the control object cannot be mapped");
    header_ = static_cast<possum::transport::layout::ControlHeader*>(map);
  }
  ~ControlObject() {
    munmap(header_, kBytes);
    close(fd_);
  }
  ControlObject(const ControlObject&) = delete;
  ControlObject& operator=(const ControlObject&) = delete;
  possum::transport::layout::ControlHeader* operator->() const { return header_; }
  int fd() const { return fd_; }

 private:
  static constexpr std::size_t kBytes = 4096;
  const std::string name_;
  const int fd_;
  possum::transport::layout::ControlHeader* header_ = nullptr;
};

const Wanted kCorrupt{
    GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_READ, {"restart its writer"}};

}  // namespace

// --- settings ------------------------------------------------------------------------

GST_START_TEST(bad_channel_names_are_refused_never_mangled) {
  const std::string too_long(121, 'x');
  for (const std::string& name :
       {std::string(), std::string("-x"), std::string(".x"), std::string("a/b"),
        std::string("a b"), std::string("\xc3\xa4"), std::string("a:b"), too_long}) {
    for (const char* factory : {"possumsink", "possumsrc"}) {
      Pipeline pipeline;
      GstElement* element = gst_element_factory_make(factory, "it");
      g_object_set(element, "channel", name.c_str(), nullptr);
      gst_bin_add(pipeline.bin(), element);
      expect_start_failure(pipeline, "it",
                           {GST_RESOURCE_ERROR,
                            GST_RESOURCE_ERROR_SETTINGS,
                            {"\"" + name + "\" is no channel name", "120"}});
    }
  }
}
GST_END_TEST

GST_START_TEST(the_longest_and_the_oddest_channel_names_work) {
  const std::string own = unique_channel();
  for (const std::string& name :
       {own + std::string(120 - own.size(), 'x'), own + "_A.b-9", own + "..."}) {
    Producer producer(name);
    producer.start().push(1);
    Consumer consumer(name);
    consumer.start();
    expect_equal(consumer.pull_value(), 1);
  }
}
GST_END_TEST

// The largest number is none: to chown(2) it means any group.
GST_START_TEST(unknown_group_is_an_error) {
  for (const char* group : {"no-such-group", "4294967295"}) {
    Pipeline pipeline(std::string("fakesrc ! possumsink name=it perms=0660 group=") +
                      group + " channel=" + unique_channel());
    expect_start_failure(
        pipeline, "it",
        {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS, {group, "group="}});
  }
}
GST_END_TEST

GST_START_TEST(unknown_owner_is_an_error) {
  Pipeline pipeline("possumsrc name=it allowed-owner=no-such-user channel=" +
                    unique_channel() + " ! fakesink");
  expect_start_failure(pipeline, "it",
                       {GST_RESOURCE_ERROR,
                        GST_RESOURCE_ERROR_SETTINGS,
                        {"no-such-user", "allowed-owner"}});
}
GST_END_TEST

GST_START_TEST(owners_by_name_by_number_and_any_are_accepted) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  producer.start().push(1);
  for (const char* owner : {"root", "0", "any"}) {
    Consumer consumer(channel, std::string("allowed-owner=") + owner);
    consumer.start();
    expect_equal(consumer.pull_value(), 1);
  }
}
GST_END_TEST

GST_START_TEST(blocking_that_is_not_allowed_is_an_error) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  producer.start().push(1);
  Consumer consumer(channel, "leaky-type=none");
  consumer.start();
  expect_error(consumer.pipeline(), "src",
               {GST_RESOURCE_ERROR,
                GST_RESOURCE_ERROR_SETTINGS,
                {"allow-blocking=true", "leaky-type=downstream", channel}});
}
GST_END_TEST

GST_START_TEST(blocking_is_checked_at_each_attach) {
  const std::string channel = unique_channel();
  Producer producer(channel, "allow-blocking=true");
  Consumer consumer(channel, "leaky-type=none");
  producer.start().push(1);
  consumer.start();
  expect_equal(consumer.pull_value(), 1);
  producer.stop();
  set_properties(producer.sink(), "allow-blocking=false");
  producer.start().push(2);
  expect_error(
      consumer.pipeline(), "src",
      {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS, {"allow-blocking=true"}});
}
GST_END_TEST

// --- busy and gone -------------------------------------------------------------------

GST_START_TEST(a_held_name_is_one_error_after_two_seconds) {
  take_a_name_that_clears_the_screen();
  const std::string channel = unique_channel();
  Producer producer(channel);
  producer.start().push(1);
  Pipeline second("fakesrc ! possumsink name=it channel=" + channel);
  const gint64 before = g_get_monotonic_time();
  expect_start_failure(
      second, "it",
      {GST_RESOURCE_ERROR,
       GST_RESOURCE_ERROR_BUSY,
       {"channel \"" + channel + "\" is already written by this process (",
        "close its writer", "channel="}});
  fail_unless(g_get_monotonic_time() - before >= 2 * G_USEC_PER_SEC);
  producer.push(2);
}
GST_END_TEST

GST_START_TEST(a_name_that_becomes_free_in_time_is_claimed) {
  const std::string channel = unique_channel();
  Producer first(channel);
  first.start().push(1);
  Producer second(channel);
  GstStateChangeReturn result = GST_STATE_CHANGE_FAILURE;
  Task start([&] { result = second.pipeline().set_state(GST_STATE_PAUSED); });
  first.stop();
  start.join();
  expect_equal(result, GST_STATE_CHANGE_ASYNC);
  second.pipeline().expect_no_error();
}
GST_END_TEST

GST_START_TEST(going_back_to_null_ends_the_wait_for_a_name) {
  const std::string channel = unique_channel();
  Producer holder(channel);
  holder.start().push(1);
  Pipeline second("fakesrc ! possumsink name=it channel=" + channel);
  const Ref<GstElement> sink = second.element("it");
  gst_element_set_state(sink.get(), GST_STATE_READY);
  Task start([&] { gst_element_set_state(sink.get(), GST_STATE_PAUSED); });
  // Whether or not the wait has begun.
  while (!start.done()) {
    gst_element_set_state(sink.get(), GST_STATE_READY);
    g_thread_yield();
  }
  start.join();
  second.stop();
  second.expect_no_error();
}
GST_END_TEST

GST_START_TEST(a_vanished_writer_is_an_error_if_asked_for) {
  take_a_name_that_clears_the_screen();
  const std::string channel = unique_channel();
  Producer producer(channel);
  Consumer consumer(channel, "on-disconnect=error");
  producer.start().push(1);
  consumer.start();
  consumer.pull();
  producer.stop();
  expect_error(consumer.pipeline(), "src",
               {GST_RESOURCE_ERROR,
                GST_RESOURCE_ERROR_READ,
                {"writer of channel \"" + channel + "\" has gone", "on-disconnect"}});
}
GST_END_TEST

GST_START_TEST(no_channel_in_time_is_an_error) {
  const std::string channel = unique_channel();
  Consumer consumer(channel, "connection-timeout=1");
  consumer.start();
  expect_error(
      consumer.pipeline(), "src",
      {GST_RESOURCE_ERROR,
       GST_RESOURCE_ERROR_NOT_FOUND,
       {"no channel \"" + channel + "\"", "start its writer", "channel=" + channel}});
}
GST_END_TEST

GST_START_TEST(the_33rd_reader_waits_for_a_place) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  producer.start().push(1);
  std::vector<std::unique_ptr<Consumer>> readers;
  while (readers.size() < 32) {
    readers.push_back(std::make_unique<Consumer>(channel));
    readers.back()->start();
    expect_equal(readers.back()->pull_value(), 1);
  }
  Consumer impatient(channel, "connection-timeout=50000000");
  impatient.start();
  expect_error(impatient.pipeline(), "src",
               {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_BUSY, {"32 readers", channel}});
  Consumer patient(channel);
  patient.start();
  expect_equal(patient.pipeline().wait_progress().type, GST_PROGRESS_TYPE_START);
  readers.pop_back();
  expect_equal(patient.pull_value(), 1);
}
GST_END_TEST

// --- damage --------------------------------------------------------------------------

GST_START_TEST(another_layout_is_named) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  producer.start().push(1);
  const ControlObject control(channel);
  control->version += 7;
  Consumer consumer(channel);
  consumer.start();
  expect_error(
      consumer.pipeline(), "src",
      {GST_RESOURCE_ERROR,
       GST_RESOURCE_ERROR_OPEN_READ,
       {channel, "layout " + std::to_string(possum::transport::layout::kVersion + 7),
        "layout " + std::to_string(possum::transport::layout::kVersion),
        "same version"}});
}
GST_END_TEST

GST_START_TEST(another_c_library_is_named) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  producer.start().push(1);
  const ControlObject control(channel);
  control->sem_bytes += 8;
  Consumer consumer(channel);
  consumer.start();
  expect_error(
      consumer.pipeline(), "src",
      {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_READ, {channel, "C library"}});
}
GST_END_TEST

GST_START_TEST(a_channel_that_is_none_is_an_error) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  producer.start().push(1);
  const ControlObject control(channel);
  control->magic ^= 1;
  Consumer consumer(channel, "connection-timeout=1");
  consumer.start();
  expect_error(
      consumer.pipeline(), "src",
      {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND, {channel, "is no channel"}});
}
GST_END_TEST

GST_START_TEST(a_truncated_channel_is_an_error) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  producer.start().push(1);
  struct stat info {};
  const ControlObject control(channel);
  fail_unless(fstat(control.fd(), &info) == 0);
  // Longer, so that nobody here touches what is no longer there.
  fail_unless(ftruncate(control.fd(), info.st_size + 4096) == 0);
  Consumer consumer(channel);
  consumer.start();
  expect_error(consumer.pipeline(), "src", kCorrupt);
}
GST_END_TEST

// Garbage is an error of that run; the next run of the same element reads again.
GST_START_TEST(a_reader_that_met_garbage_reads_the_next_good_writer) {
  const std::string channel = unique_channel();
  Producer liar(channel);
  Consumer consumer(channel);
  liar.start().push(1);
  consumer.start();
  expect_equal(consumer.pull_value(), 1);
  {
    const ControlObject control(channel);
    // Of all slots: they hold other frames than that.
    consumer.hold_up();
    liar.push(2);
    consumer.wait_held_up();
    liar.push(3);
    for (auto& slot : control->slot) slot.seq += 1000;
    consumer.let_through();
    expect_equal(consumer.pull_value(), 2);
  }
  expect_error(consumer.pipeline(), "src", kCorrupt);
  consumer.stop();
  liar.stop();
  Producer producer(channel);
  producer.start().push(4);
  consumer.start();
  expect_equal(consumer.pull_value(), 4);
}
GST_END_TEST

GST_START_TEST(caps_that_nobody_should_parse_are_an_error) {
  const std::string brackets(16'000, '{');
  const std::string cut = "video/x-raw, format=\xe2\x82";
  const std::string distant(16'000, ' ');
  const std::string control = "video/x-raw, format=\x1b[2J";
  for (const std::string& text : {"video/x-raw, format=" + brackets, cut, control,
                                  "video/x-raw, format=" + distant + "GRAY8"}) {
    const std::string channel = unique_channel();
    possum::Error error;
    possum::transport::WriterOptions options;
    options.channel = channel;
    const auto writer = possum::transport::Writer::create(options, {}, error);
    fail_unless(writer->open(error) == possum::transport::WriteStatus::ok);
    possum::transport::SlotRef slot;
    fail_unless(writer->acquire(64, text.size(), 0, slot, error) ==
                possum::transport::WriteStatus::ok);
    possum::transport::layout::FrameDescriptor frame{};
    frame.data_bytes = 64;
    fail_unless(writer->publish(slot, frame, text, {}, false, error) ==
                possum::transport::WriteStatus::ok);
    Consumer consumer(channel);
    consumer.start();
    expect_error(consumer.pipeline(), "src", kCorrupt);
  }
}
GST_END_TEST

// Whoever put it there does not decide how long a reader waits.
GST_START_TEST(something_else_under_the_name_is_waited_out_and_said) {
  const std::string channel = unique_channel();
  const std::string path = "/dev/shm/possum-c." + channel;
  fail_unless(mkdir(path.c_str(), 0700) == 0);
  Consumer impatient(channel, "connection-timeout=1");
  impatient.start();
  expect_error(impatient.pipeline(), "src",
               {GST_RESOURCE_ERROR,
                GST_RESOURCE_ERROR_NOT_FOUND,
                {channel, "a directory", "remove it (" + path}});
  Consumer patient(channel);
  patient.start();
  const Progress start = patient.pipeline().wait_progress();
  expect_equal(start.type, GST_PROGRESS_TYPE_START);
  fail_unless(start.text.find("a directory") != std::string::npos, "%s",
              start.text.c_str());
  fail_unless(rmdir(path.c_str()) == 0);
  Producer producer(channel);
  producer.start().push(1);
  expect_equal(patient.pull_value(), 1);
}
GST_END_TEST

GST_START_TEST(something_else_under_the_name_is_an_error_of_the_sink) {
  const std::string channel = unique_channel();
  const std::string path = "/dev/shm/possum-c." + channel;
  fail_unless(mkdir(path.c_str(), 0700) == 0);
  Pipeline sink("fakesrc ! possumsink name=it channel=" + channel);
  expect_start_failure(sink, "it",
                       {GST_RESOURCE_ERROR,
                        GST_RESOURCE_ERROR_OPEN_WRITE,
                        {channel, "remove it (" + path}});
  rmdir(path.c_str());
}
GST_END_TEST

// --- what the system refuses ---------------------------------------------------------

// Null where there is no such filter.
static support::Refusals* refusals() {
  support::Refusals& all = support::Refusals::to_this_process();
  if (all.work()) {
    ++descriptors_before;  // it is there for good
    return &all;
  }
  g_print("SKIPPED: the kernel has no filter that asks back\n");
  return nullptr;
}

GST_START_TEST(a_sink_without_a_thread_says_so_and_starts_when_it_can) {
  support::Refusals* const system = refusals();
  if (system == nullptr) return;
  const std::string channel = unique_channel();
  Pipeline sink("possumsink name=it channel=" + channel);
  system->threads(EAGAIN);
  expect_start_failure(
      sink, "it",
      {GST_RESOURCE_ERROR,
       GST_RESOURCE_ERROR_OPEN_WRITE,
       {"No thread could be started", std::strerror(EAGAIN), "ulimit -u"}});
  system->threads(0);
  sink.stop();
  Producer producer(channel);
  producer.start().push(1);
  producer.pipeline().expect_no_error();
}
GST_END_TEST

GST_START_TEST(a_machine_without_open_files_is_told_by_both_elements) {
  support::Refusals* const system = refusals();
  if (system == nullptr) return;
  const std::string channel = unique_channel();
  const std::vector<std::string> words = {std::strerror(ENFILE), "fs.file-max"};
  Pipeline sink("possumsink name=it channel=" + channel);
  system->opens(ENFILE);
  expect_start_failure(sink, "it",
                       {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_WRITE, words});
  system->opens(0);
  sink.stop();
  Producer producer(channel);
  producer.start().push(1);
  system->opens(ENFILE);
  Consumer impatient(channel, "connection-timeout=1");
  impatient.start();
  expect_error(impatient.pipeline(), "src",
               {GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_OPEN_READ, words});
  // Others may close theirs: whoever may wait goes on.
  Consumer patient(channel);
  patient.start();
  const std::string said = patient.pipeline().wait_progress().text;
  fail_unless(said.find("fs.file-max") != std::string::npos, "%s", said.c_str());
  system->opens(0);
  expect_equal(patient.pull_value(), 1);
}
GST_END_TEST

static Suite* errors_suite() {
  Suite* suite = suite_create("errors");
  TCase* tcase = new_case(suite, "errors");
  tcase_add_test(tcase, bad_channel_names_are_refused_never_mangled);
  tcase_add_test(tcase, the_longest_and_the_oddest_channel_names_work);
  tcase_add_test(tcase, unknown_group_is_an_error);
  tcase_add_test(tcase, unknown_owner_is_an_error);
  tcase_add_test(tcase, owners_by_name_by_number_and_any_are_accepted);
  tcase_add_test(tcase, blocking_that_is_not_allowed_is_an_error);
  tcase_add_test(tcase, blocking_is_checked_at_each_attach);
  tcase_add_test(tcase, a_held_name_is_one_error_after_two_seconds);
  tcase_add_test(tcase, a_name_that_becomes_free_in_time_is_claimed);
  tcase_add_test(tcase, going_back_to_null_ends_the_wait_for_a_name);
  tcase_add_test(tcase, a_vanished_writer_is_an_error_if_asked_for);
  tcase_add_test(tcase, no_channel_in_time_is_an_error);
  tcase_add_test(tcase, the_33rd_reader_waits_for_a_place);
  tcase_add_test(tcase, another_layout_is_named);
  tcase_add_test(tcase, another_c_library_is_named);
  tcase_add_test(tcase, a_channel_that_is_none_is_an_error);
  tcase_add_test(tcase, a_truncated_channel_is_an_error);
  tcase_add_test(tcase, a_reader_that_met_garbage_reads_the_next_good_writer);
  tcase_add_test(tcase, caps_that_nobody_should_parse_are_an_error);
  tcase_add_test(tcase, something_else_under_the_name_is_waited_out_and_said);
  tcase_add_test(tcase, something_else_under_the_name_is_an_error_of_the_sink);
  tcase_add_test(tcase, a_sink_without_a_thread_says_so_and_starts_when_it_can);
  tcase_add_test(tcase, a_machine_without_open_files_is_told_by_both_elements);
  return suite;
}

GST_CHECK_MAIN(errors)
