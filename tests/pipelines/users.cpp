// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Pipelines of different users: members of the channel's group watch, everybody else is
// told why not. What the kernel lets them do to its names is transport/permissions.cpp.

#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "support/check.h"
#include "support/players.h"
#include "support/users.h"

using namespace support;
using support::env;

namespace {

constexpr int kRunningError = 1;
constexpr int kCannotStart = 255;

constexpr User kWriter{12345, 54321};
constexpr User kMember{12346, 54321};
constexpr User kStranger{12347, 12347};
constexpr User kNobody{65534, 65534};

// GStreamer keeps its registry for the one who made it: there is a copy that all may
// read.
class Users {
 public:
  Users() {
    namespace fs = std::filesystem;
    if (!may_become_others()) check::skip("acting as other users needs root");
    fs::copy_file(env("GST_REGISTRY"), registry_);
    fs::permissions(registry_, fs::perms{0644});
    fs::permissions(fs::path(registry_).parent_path(), fs::perms{0777});
    Process probe =
        shell("exec test -r " + env("GST_PLUGIN_PATH") + "/libgstpossum.so", as(kNobody));
    if (probe.join() != 0) check::skip("other users cannot read the build directory");
  }
  ProcessOptions as(const User& user) const {
    return {.environment = {"GST_REGISTRY=" + registry_}, .user = user};
  }

 private:
  const TemporaryDirectory directory_;
  const std::string registry_ = directory_.file("registry.bin");
};

// The reader of a user sees frames, or, with an advice, this error.
void expect_reader(const ProcessOptions& user, const std::string& channel,
                   const std::string& properties, const std::string& advice = "") {
  Process reader =
      launch("possumsrc num-buffers=3 connection-timeout=1 channel=CHANNEL " +
                 properties + " ! fakesink",
             channel, user);
  if (!advice.empty()) reader.wait_line(advice);
  reader.expect_status(advice.empty() ? 0 : kRunningError);
}

void expect_second_writer_refused(const ProcessOptions& user,
                                  const std::string& channel) {
  Process second = launch("videotestsrc ! possumsink channel=CHANNEL", channel, user);
  second.wait_line("belongs to user 12345: choose another name with channel=");
  second.expect_status(kCannotStart);
}

Process start_writer(const ProcessOptions& user, const std::string& channel,
                     const std::string& properties) {
  Process writer = play("--report=1 " + live_pictures() +
                            "possumsink name=check channel=CHANNEL " + properties,
                        channel, user);
  writer.wait_line("frame 3 ");
  return writer;
}

}  // namespace

TEST(members_of_the_group_watch_and_strangers_do_not) {
  const Users users;
  const std::string channel = unique_channel();
  Process writer = start_writer(users.as(kWriter), channel, "perms=0660 group=54321");
  for (const std::string& name : names_of(channel)) {
    struct stat info {};
    CHECK(stat(("/dev/shm/" + name).c_str(), &info) == 0 && info.st_gid == 54321);
    CHECK((info.st_mode & 07777) == (name.starts_with("possum-c.") ? 0660 : 0640));
  }
  for (const char* owner : {"12345", "any"}) {
    expect_reader(users.as(kMember), channel, std::string("allowed-owner=") + owner);
  }
  expect_reader(users.as(kMember), channel, "",
                "belongs to user 12345: accept it with allowed-owner=12345");
  for (const User& user : {kStranger, kNobody}) {
    expect_reader(
        users.as(user), channel, "allowed-owner=any",
        "may not be opened by this user: let its writer set perms=0660 and group=");
    expect_second_writer_refused(users.as(user), channel);
  }
  end(writer);
  CHECK(names_of(channel).empty());
}

TEST(by_default_nobody_else_watches) {
  const Users users;
  const std::string channel = unique_channel();
  Process writer = start_writer(users.as(kWriter), channel, "");
  expect_reader(users.as(kWriter), channel, "");
  for (const User& user : {kMember, kStranger, kNobody}) {
    expect_reader(users.as(user), channel, "allowed-owner=12345",
                  "may not be opened by this user");
  }
  end(writer);
}

// Without the 0 in front, a number is none of octal digits.
TEST(perms_that_let_no_reader_in_are_refused_with_those_that_do) {
  const Users users;
  for (const std::string perms : {"0640", "660", "440"}) {
    const std::string channel = unique_channel();
    Process refused =
        launch("videotestsrc ! possumsink channel=CHANNEL group=54321 perms=" + perms,
               channel, users.as(kWriter));
    refused.wait_line(": use perms=0660");
    refused.expect_status(kCannotStart);
    if (refused.said("GLib-GObject-WARNING")) refused.fail("was warned as well");
  }
}
