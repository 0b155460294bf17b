// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Every failure that can be had within one process: one error of ours, the first on the
// bus, with a sentence that says what to do.
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <string>

#include "base/text.h"
#include "support/mount_namespace.h"
#include "support/refusals.h"
#include "support/strange_writer.h"
#include "support/suite.h"
#include "transport/layout.h"

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
  error.expect_words(wanted.words, where);
  require(!error.debug.empty(), "no detail", where);
  require(possum::is_plain_text(error.text), "not for a terminal: " + error.text, where);
  std::string detail = error.debug;  // below a line of GStreamer's own
  std::replace(detail.begin(), detail.end(), '\n', ' ');
  require(possum::is_plain_text(detail), "not for a terminal: " + detail, where);
  pipeline.stop();
  pipeline.expect_only_generic_errors();
}

// Of a reader.
void expect_error(const Consumer& consumer, const Wanted& wanted,
                  Where where = Where::here()) {
  expect_error(consumer.pipeline(), "src", wanted, where);
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
  possum::transport::layout::ControlHeader& operator*() const { return *header_; }
  int fd() const { return fd_; }

 private:
  static constexpr std::size_t kBytes = 4096;
  const std::string name_;
  const int fd_;
  possum::transport::layout::ControlHeader* header_ = nullptr;
};

Wanted resource(GstResourceError code, std::vector<std::string> words) {
  return {GST_RESOURCE_ERROR, code, std::move(words)};
}
const Wanted kCorrupt = resource(GST_RESOURCE_ERROR_READ, {"restart its writer"});

}  // namespace

// --- settings ------------------------------------------------------------------------

TEST(bad_channel_names_are_refused_never_mangled) {
  const std::string too_long(121, 'x');
  for (const std::string& name :
       {std::string(), std::string("-x"), std::string(".x"), std::string("a/b"),
        std::string("a b"), std::string("\xc3\xa4"), std::string("a:b"), too_long}) {
    for (const char* factory : {"possumsink", "possumsrc"}) {
      Pipeline pipeline;
      GstElement* element = gst_element_factory_make(factory, "it");
      g_object_set(element, "channel", name.c_str(), nullptr);
      gst_bin_add(pipeline.bin(), element);
      expect_start_failure(
          pipeline, "it",
          resource(GST_RESOURCE_ERROR_SETTINGS,
                   {"\"" + name +
                    "\" is no channel name: use 1 to 120 letters, digits, "
                    "'_', '-' and '.', not starting with '-' or '.'"}));
    }
  }
}

TEST(the_longest_and_the_oddest_channel_names_work) {
  const std::string own = unique_channel();
  for (const std::string& name :
       {own + std::string(120 - own.size(), 'x'), own + "_A.b-9", own + "..."}) {
    Producer producer(name);
    producer.start().push(1);
    expect_equal(Consumer(name).start().pull_value(), 1);
  }
}

// The largest number is none: to chown(2) it means any group.
TEST(unknown_groups_and_owners_are_errors) {
  const std::string channel = " channel=" + unique_channel();
  for (const std::string group : {"no-such-group", "4294967295"}) {
    expect_start_failure(
        Pipeline("fakesrc ! possumsink name=it perms=0660 group=" + group + channel),
        "it", resource(GST_RESOURCE_ERROR_SETTINGS, {group, "group="}));
  }
  expect_start_failure(
      Pipeline("possumsrc name=it allowed-owner=no-such-user" + channel + " ! fakesink"),
      "it",
      resource(GST_RESOURCE_ERROR_SETTINGS,
               {"allowed-owner \"no-such-user\" is no user of this machine: set it to a "
                "user name, a uid or \"any\""}));
}

TEST(owners_by_name_by_number_and_any_are_accepted) {
  Producer producer;
  producer.start().push(1);
  for (const char* owner : {"root", "0", "any"}) {
    Consumer consumer(producer.channel(), std::string("allowed-owner=") + owner);
    expect_equal(consumer.start().pull_value(), 1);
  }
}

TEST(blocking_that_is_not_allowed_is_an_error) {
  Producer producer;
  producer.start().push(1);
  Consumer consumer(producer.channel(), "leaky-type=none");
  consumer.start();
  expect_error(
      consumer,
      resource(GST_RESOURCE_ERROR_SETTINGS,
               {"channel \"" + producer.channel() +
                "\" does not let readers hold up its writer: set allow-blocking=true "
                "there, or leaky-type=downstream here"}));
}

TEST(blocking_is_checked_at_each_attach) {
  Pair pair("allow-blocking=true", "leaky-type=none");
  pair.producer.stop();
  set_properties(pair.producer.sink(), "allow-blocking=false");
  pair.producer.start().push(2);
  expect_error(pair.consumer,
               resource(GST_RESOURCE_ERROR_SETTINGS, {"allow-blocking=true"}));
}

// --- busy and gone -------------------------------------------------------------------

TEST(a_held_name_is_one_error_after_two_seconds) {
  take_a_name_that_clears_the_screen();
  Producer producer;
  producer.start().push(1);
  Pipeline second("fakesrc ! possumsink name=it channel=" + producer.channel());
  const gint64 before = g_get_monotonic_time();
  expect_start_failure(
      second, "it",
      resource(GST_RESOURCE_ERROR_BUSY, {"channel \"" + producer.channel() +
                                             "\" is already written by this process (",
                                         "close its writer", "channel="}));
  fail_unless(g_get_monotonic_time() - before >= 2 * G_USEC_PER_SEC);
  producer.push(2);
}

TEST(a_name_that_becomes_free_in_time_is_claimed) {
  Producer first;
  first.start().push(1);
  Producer second(first.channel());
  GstStateChangeReturn result = GST_STATE_CHANGE_FAILURE;
  Task start([&] { result = second.pipeline().set_state(GST_STATE_PAUSED); });
  first.stop();
  start.join();
  expect_equal(result, GST_STATE_CHANGE_ASYNC);
  second.pipeline().expect_no_error();
}

TEST(going_back_to_null_ends_the_wait_for_a_name) {
  Producer holder;
  holder.start().push(1);
  Pipeline second("fakesrc ! possumsink name=it channel=" + holder.channel());
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

TEST(a_vanished_writer_is_an_error_if_asked_for) {
  take_a_name_that_clears_the_screen();
  Pair pair("", "on-disconnect=error");
  pair.producer.stop();
  expect_error(pair.consumer,
               resource(GST_RESOURCE_ERROR_READ,
                        {"writer of channel \"" + pair.channel() +
                         "\" has gone: start it again, or set on-disconnect=wait"}));
}

TEST(no_channel_in_time_is_an_error) {
  Consumer consumer(unique_channel(), "connection-timeout=50000000");
  consumer.start();
  expect_equal(consumer.pipeline().wait_progress().type, GST_PROGRESS_TYPE_START);
  expect_equal(consumer.pipeline().wait_progress().type, GST_PROGRESS_TYPE_ERROR);
  consumer.wait_eos();  // sent after the error, and not any more by who is stopped
  expect_error(consumer,
               resource(GST_RESOURCE_ERROR_NOT_FOUND,
                        {"no channel \"" + consumer.channel() +
                         "\" on this machine: start its writer (possumsink channel=" +
                         consumer.channel() + ") or check the name"}));
}

TEST(the_33rd_reader_waits_for_a_place) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  producer.start().push(1);
  std::vector<std::unique_ptr<Consumer>> readers;
  while (readers.size() < 32) {
    readers.push_back(std::make_unique<Consumer>(channel));
    expect_equal(readers.back()->start().pull_value(), 1);
  }
  Consumer impatient(channel, "connection-timeout=50000000");
  impatient.start();
  expect_error(impatient,
               resource(GST_RESOURCE_ERROR_BUSY,
                        {"channel \"" + channel + "\" has 32 readers already"}));
  Consumer patient(channel);
  patient.start();
  expect_equal(patient.pipeline().wait_progress().type, GST_PROGRESS_TYPE_START);
  readers.pop_back();
  expect_equal(patient.pull_value(), 1);
}

// --- damage --------------------------------------------------------------------------

TEST(what_is_no_channel_of_this_version_is_named) {
  const std::string version = std::to_string(possum::transport::layout::kVersion);
  const std::string is = "\" was made by an incompatible possum (";
  const std::string same = "): use the same version and C library on both sides";
  const struct {
    void (*damage)(possum::transport::layout::ControlHeader&);
    GstResourceError code;
    std::vector<std::string> words;
  } rows[] = {
      {[](auto& header) { header.version = 7; },
       GST_RESOURCE_ERROR_OPEN_READ,
       {is + "layout 7, this is layout " + version + same}},
      {[](auto& header) { header.sem_bytes = 16; },
       GST_RESOURCE_ERROR_OPEN_READ,
       {is, "with a 16 byte sem_t, this is ", same}},
      {[](auto& header) { header.sem_image[0] ^= 0x55; },
       GST_RESOURCE_ERROR_OPEN_READ,
       {is, same}},
      {[](auto& header) { header.magic ^= 1; },
       GST_RESOURCE_ERROR_NOT_FOUND,
       {"The name of channel ",
        "\" is taken by something that is no channel: remove it (" +
            std::string("/dev/shm/possum-c.")}},
  };
  for (const auto& row : rows) {
    Producer producer;
    producer.start().push(1);
    const ControlObject control(producer.channel());
    row.damage(*control);
    Consumer consumer(producer.channel(), "connection-timeout=1");
    consumer.start();
    std::vector<std::string> words = row.words;
    words.push_back("channel \"" + producer.channel());
    expect_error(consumer, resource(row.code, words));
  }
}

// Whether the reader comes before or after that.
TEST(a_truncated_channel_is_an_error) {
  for (const bool attached : {false, true}) {
    Ends pair;
    pair.producer.start().push(1);
    if (attached) expect_equal(pair.consumer.start().pull_value(), 1);
    const ControlObject control(pair.channel());
    struct stat info {};
    fail_unless(fstat(control.fd(), &info) == 0);
    // Longer, so that nobody here touches what is no longer there.
    fail_unless(ftruncate(control.fd(), info.st_size + 4096) == 0);
    if (!attached) pair.consumer.start();
    expect_error(pair.consumer, kCorrupt);
  }
}

// The writer lives on for its guard; the reader has none, and opens nothing so short.
TEST(truncated_frames_are_an_error) {
  Ends pair("sigbus-guard=true");
  pair.producer.start().push(1);
  for (const std::string& name : own_names()) {
    if (name.starts_with("possum-d.")) {
      std::filesystem::resize_file("/dev/shm/" + name, 4096);
    }
  }
  pair.consumer.start();
  expect_error(pair.consumer, kCorrupt);
}

// Garbage is an error of that run; the next run of the same element reads again.
TEST(a_reader_that_met_garbage_reads_the_next_good_writer) {
  HeldUp pair;
  {
    // Of all slots: they hold other frames than that.
    const ControlObject control(pair.channel());
    pair.producer.push(2);
    for (auto& slot : (*control).slot) slot.seq += 1000;
    pair.consumer.let_through();
    expect_equal(pair.consumer.pull_value(), 1);
  }
  expect_error(pair.consumer, kCorrupt);
  pair.consumer.stop();
  pair.producer.stop();
  pair.producer.start().push(4);
  expect_equal(pair.consumer.start().pull_value(), 4);
}

TEST(caps_that_nobody_should_parse_are_an_error) {
  const std::string brackets(16'000, '{');
  const std::string cut = "video/x-raw, format=\xe2\x82";
  const std::string distant(16'000, ' ');
  const std::string control = "video/x-raw, format=\x1b[2J";
  for (const std::string& text : {"video/x-raw, format=" + brackets, cut, control,
                                  "video/x-raw, format=" + distant + "GRAY8"}) {
    StrangeWriter writer;
    writer.send(text, 0, 64);
    Consumer consumer(writer.channel());
    consumer.start();
    expect_error(consumer, kCorrupt);
  }
}

// Whoever put it there does not decide how long a reader waits.
TEST(something_else_under_the_name_is_waited_out_and_said) {
  const std::string channel = unique_channel();
  const std::string path = "/dev/shm/possum-c." + channel;
  fail_unless(mkdir(path.c_str(), 0700) == 0);
  Consumer impatient(channel, "connection-timeout=1");
  impatient.start();
  expect_error(impatient, resource(GST_RESOURCE_ERROR_NOT_FOUND,
                                   {channel, "a directory", "remove it (" + path}));
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

TEST(something_else_under_the_name_is_an_error_of_the_sink) {
  const std::string channel = unique_channel();
  const std::string path = "/dev/shm/possum-c." + channel;
  fail_unless(mkdir(path.c_str(), 0700) == 0);
  Pipeline sink("fakesrc ! possumsink name=it channel=" + channel);
  expect_start_failure(
      sink, "it",
      resource(GST_RESOURCE_ERROR_OPEN_WRITE,
               {channel, "is taken by something that is not a shared memory object",
                "remove it (" + path}));
  rmdir(path.c_str());
}

// --- what the system refuses ---------------------------------------------------------

TEST(a_picture_that_does_not_fit_three_times_names_format_and_remedy) {
  if (!support::leave_mount_namespace() ||
      mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=64m") != 0) {
    g_print("SKIPPED: no /dev/shm of one's own here\n");
    return;
  }
  {
    const Pipeline writer(
        "videotestsrc ! video/x-raw,format=BGRx,width=3840,height=2160 ! "
        "possumsink name=it channel=" +
        unique_channel());
    writer.set_state(GST_STATE_PLAYING);
    // 3 * 3840 * 2160 * 4 bytes are 94.9 MiB.
    expect_error(writer, "it",
                 resource(GST_RESOURCE_ERROR_NO_SPACE_LEFT,
                          {"needs at least 95", " MiB (3 slots of 3840x2160 BGRx), 6",
                           " MiB free: use a smaller format or enlarge /dev/shm "
                           "(docker run --shm-size=512m)"}));
  }
  umount2("/dev/shm", MNT_DETACH);
}

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

TEST(a_sink_without_a_thread_says_so_and_starts_when_it_can) {
  support::Refusals* const system = refusals();
  if (system == nullptr) return;
  const std::string channel = unique_channel();
  Pipeline sink("possumsink name=it channel=" + channel);
  system->threads(EAGAIN);
  expect_start_failure(
      sink, "it",
      resource(GST_RESOURCE_ERROR_OPEN_WRITE,
               {"No thread could be started", std::strerror(EAGAIN), "ulimit -u"}));
  system->threads(0);
  sink.stop();
  Producer producer(channel);
  producer.start().push(1);
  producer.pipeline().expect_no_error();
}

TEST(a_machine_without_open_files_is_told_by_both_elements) {
  support::Refusals* const system = refusals();
  if (system == nullptr) return;
  const std::string channel = unique_channel();
  const std::vector<std::string> words = {std::strerror(ENFILE), "fs.file-max"};
  Pipeline sink("possumsink name=it channel=" + channel);
  system->opens(ENFILE);
  expect_start_failure(sink, "it", resource(GST_RESOURCE_ERROR_OPEN_WRITE, words));
  system->opens(0);
  sink.stop();
  Producer producer(channel);
  producer.start().push(1);
  system->opens(ENFILE);
  Consumer impatient(channel, "connection-timeout=1");
  impatient.start();
  expect_error(impatient, resource(GST_RESOURCE_ERROR_OPEN_READ, words));
  // Others may close theirs: whoever may wait goes on.
  Consumer patient(channel);
  patient.start();
  const std::string said = patient.pipeline().wait_progress().text;
  fail_unless(said.find("fs.file-max") != std::string::npos, "%s", said.c_str());
  system->opens(0);
  expect_equal(patient.pull_value(), 1);
}
