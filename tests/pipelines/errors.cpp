// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Each way to fail: the sentence a person reads first, and the exit status of the launch
// line: 255 when a pipeline cannot start, 1 when it fails while it runs.

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "support/check.h"
#include "support/players.h"
#include "support/shared_registry.h"
#include "transport/layout.h"

using namespace support;
using support::names_of;

namespace {

constexpr int kRunningError = 1;
constexpr int kCannotStart = 255;

// Frames flow.
Process start_writer(const std::string& channel, const std::string& properties = "",
                     const ProcessOptions& options = {}) {
  Process writer = play(
      "--report=1 stampsrc live=true caps=video/x-raw,format=GRAY8,width=64,height=16,"
      "framerate=60/1 ! possumsink name=check channel=CHANNEL " +
          properties,
      channel, options);
  writer.wait_line("frame 3 ");
  return writer;
}

// The first error says this; what follows it only has to be there.
void expect_error(Process& child, const std::string& sentence, int status) {
  const std::string line = child.wait_line("ERROR");
  if (line.find(sentence) == std::string::npos) child.fail("is not: " + sentence);
  child.expect_status(status);
}

Process start_reader(const std::string& channel, const std::string& properties = "",
                     const ProcessOptions& options = {}) {
  return launch("possumsrc channel=CHANNEL " + properties + " ! fakesink", channel,
                options);
}

// A second user, who can read what was built.
class Nobody {
 public:
  Nobody()
      : options_{.environment = registry_.environment(),
                 .user = SharedRegistry::kNobody} {}
  const ProcessOptions& options() const { return options_; }

 private:
  const SharedRegistry registry_;
  const ProcessOptions options_;
};

std::string control_path(const std::string& channel) {
  return "/dev/shm/possum-c." + channel;
}

// Of frames that are no longer there.
void withdraw_offers(std::string& control) {
  const std::size_t unit = control.size() / possum::transport::layout::kUnits;
  for (std::size_t r = 0; r < possum::transport::layout::kReaders; ++r) {
    control.replace((possum::transport::layout::kReaderUnit + r) * unit +
                        offsetof(possum::transport::layout::ReaderPage, word),
                    sizeof(std::uint64_t), sizeof(std::uint64_t), '\0');
  }
}

// A control object made of a live one's bytes by a program that is no possum: it holds
// the owner lock.
class ForgedChannel {
 public:
  explicit ForgedChannel(const std::string& name) : name_(name) {
    const std::string original = unique_channel();
    Process writer = start_writer(original);
    std::string bytes = support::contents(control_path(original));
    end(writer);
    withdraw_offers(bytes);
    const std::string unready = control_path(unique_channel());
    fd_ = open(unready.c_str(), O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(fd_ >= 0);
    struct flock lock {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = possum::transport::layout::kOwnerByte;
    lock.l_len = 1;
    CHECK(fcntl(fd_, F_OFD_SETLK, &lock) == 0);
    CHECK(write(fd_, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()));
    // Appears whole.
    CHECK(link(unready.c_str(), control_path(name_).c_str()) == 0);
    CHECK(unlink(unready.c_str()) == 0);
  }
  ~ForgedChannel() {
    unlink(control_path(name_).c_str());
    close(fd_);
  }
  ForgedChannel(const ForgedChannel&) = delete;
  ForgedChannel& operator=(const ForgedChannel&) = delete;
  const std::string& name() const { return name_; }
  void truncate(std::size_t bytes) const {
    CHECK(ftruncate(fd_, static_cast<off_t>(bytes)) == 0);
  }

 private:
  const std::string name_;
  int fd_ = -1;
};

std::string quoted(const std::string& channel) { return "channel \"" + channel + "\""; }

}  // namespace

// --- names -----------------------------------------------------------------------------

TEST(busy_channel_names_pid_and_program_of_its_writer) {
  const std::string channel = unique_channel();
  Process writer = start_writer(channel);
  Process second = launch("videotestsrc ! possumsink channel=CHANNEL", channel);
  expect_error(second,
               quoted(channel) + " is already written by pid " +
                   std::to_string(writer.pid()) +
                   " (possum-player): stop it or choose "
                   "another name with channel=",
               kCannotStart);
  end(writer);
}

// --- what both sides want --------------------------------------------------------------

TEST(gone_writer_is_an_error_or_eos_where_asked_for) {
  for (const bool killed : {true, false}) {
    const std::string channel = unique_channel();
    Process writer = start_writer(channel);
    Process error = play(
        "possumsrc channel=CHANNEL on-disconnect=error ! fakesink name=check", channel);
    Process eos = play(
        "possumsrc channel=CHANNEL on-disconnect=eos ! fakesink name=check", channel);
    error.wait_line("frame ");
    eos.wait_line("frame ");
    if (killed) {
      writer.kill();
    } else {
      end(writer);
    }
    const std::string line = error.wait_line("error ");
    CHECK(line.find("The writer of " + quoted(channel) +
                    " has gone: start it again, or set on-disconnect=wait") !=
          std::string::npos);
    error.expect_status(kRunningError);
    eos.expect_status(0);
    CHECK(eos.said("eos"));
    // What a killed writer leaves, the next one takes away.
    Process successor = start_writer(channel);
    end(successor);
    CHECK(names_of(channel).empty());
  }
}

// --- what is not a channel -------------------------------------------------------------

// The reader's own part and the writer's stay: nothing is touched that is gone.
TEST(channel_that_is_truncated_under_its_reader_is_damaged) {
  const std::string channel = unique_channel();
  Process reader = start_reader(channel);
  reader.wait_line("Waiting for channel");
  const ForgedChannel forged(channel);
  reader.wait_line("Attached to channel");
  forged.truncate(support::contents(control_path(forged.name())).size() / 2);
  expect_error(reader, quoted(forged.name()) + " is damaged or truncated", kRunningError);
}

TEST(frames_that_are_truncated_are_damaged) {
  const std::string channel = unique_channel();
  // Its stream has ended, but not its pipeline: one that draws on would find out for
  // itself, by SIGBUS.
  Process writer = play(
      "--report=1 stampsrc num-buffers=3 "
      "caps=video/x-raw,format=GRAY8,width=64,height=16,"
      "framerate=60/1 ! possumsink name=check channel=CHANNEL "
      "videotestsrc is-live=true ! fakesink",
      channel);
  do {
    writer.tell("stats check");
  } while (writer.wait_line("stats check").find(" frames=(guint64)3,") ==
           std::string::npos);
  for (const std::string& name : names_of(channel)) {
    if (!name.starts_with("possum-d.")) continue;
    CHECK(truncate(("/dev/shm/" + name).c_str(), 64) == 0);
  }
  Process reader = start_reader(channel);
  expect_error(reader, quoted(channel), kRunningError);
  CHECK(reader.said("damaged or truncated"));
  writer.kill();
  Process successor = start_writer(channel);
  end(successor);
}

// Not by chance: a reader that sleeps in the control object touches it when it wakes.
TEST(guard_turns_a_crash_into_an_error) {
  const std::string channel = unique_channel();
  Process writer = start_writer(channel, "sigbus-guard=true");
  Process guarded = start_reader(channel, "sigbus-guard=true");
  // Sanitizers would make an exit status of the signal.
  const char* const sanitizer = std::getenv("ASAN_OPTIONS");
  Process bare = start_reader(
      channel, "",
      {.environment = {"ASAN_OPTIONS=" + std::string(sanitizer ? sanitizer : "") +
                       ":handle_sigbus=0"}});
  for (int i = 0; i < 2; ++i) writer.wait_line("attached ");
  // One that is about to attach would look for the next channel.
  std::string stats;
  do {
    writer.tell("stats check");
    stats = writer.wait_line("stats check");
  } while (stats.find(R"(delivered\=\(guint64\)0\,)") != std::string::npos);
  for (const std::string& name : names_of(channel)) {
    CHECK(truncate(("/dev/shm/" + name).c_str(), 0) == 0);
  }
  expect_error(guarded, quoted(channel) + " is damaged or truncated: restart its writer",
               kRunningError);
  bare.expect_status(128 + SIGBUS);
  // The writer has made the channel anew by now, or does soon.
  Process next = start_reader(channel, "num-buffers=3");
  next.expect_status(0);
  end(writer);
  CHECK(names_of(channel).empty());
}

// --- other users -----------------------------------------------------------------------

TEST(channel_of_another_user_is_refused_unless_allowed) {
  const Nobody nobody;
  const std::string channel = unique_channel();
  Process writer = start_writer(channel, "", nobody.options());
  Process reader = start_reader(channel, "connection-timeout=1");
  expect_error(reader,
               quoted(channel) +
                   " belongs to user 65534 (nobody): accept it with "
                   "allowed-owner=65534 or choose another one with channel=",
               kRunningError);
  for (const char* owner : {"65534", "nobody", "any"}) {
    Process allowed =
        start_reader(channel, std::string("num-buffers=3 allowed-owner=") + owner);
    allowed.expect_status(0);
  }
  Process second = launch("videotestsrc ! possumsink channel=CHANNEL", channel);
  expect_error(second,
               quoted(channel) +
                   " belongs to user 65534 (nobody): choose another name "
                   "with channel=",
               kCannotStart);
  end(writer);
}

TEST(channel_that_may_not_be_opened_names_its_owner) {
  const Nobody nobody;
  const std::string channel = unique_channel();
  Process writer = start_writer(channel);
  Process reader = start_reader(channel, "connection-timeout=1", nobody.options());
  expect_error(reader,
               quoted(channel) +
                   " of user 0 (root) may not be opened by this user: let "
                   "its writer set perms=0660 and group=",
               kRunningError);
  Process second =
      launch("videotestsrc ! possumsink channel=CHANNEL", channel, nobody.options());
  expect_error(second, quoted(channel) + " belongs to user 0 (root)", kCannotStart);
  end(writer);
}

TEST(group_that_may_read_reads) {
  const Nobody nobody;
  const std::string channel = unique_channel();
  Process writer = start_writer(channel, "perms=0660 group=nogroup");
  Process reader = start_reader(channel, "num-buffers=3", nobody.options());
  reader.expect_status(0);
  for (const std::string& name : names_of(channel)) {
    struct stat info {};
    CHECK(stat(("/dev/shm/" + name).c_str(), &info) == 0);
    const mode_t expected = name.starts_with("possum-c.") ? 0660 : 0640;
    CHECK((info.st_mode & 0777) == expected);
  }
  end(writer);
}
