// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Pipelines of different users, made by setpriv(1): members of the channel's group watch,
// everybody else neither watches nor looks, and nobody but the writer takes a name away,
// whatever the writer's umask. Needs root.

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <sstream>
#include <string>

#include "support/check.h"
#include "support/players.h"
#include "support/users.h"

using support::await_frames;
using support::Child;
using support::env;
using support::play;
using support::replaced;
using support::shm_names;
using support::unique_channel;

namespace {

constexpr int kRunningError = 1;
constexpr int kCannotStart = 255;

// Numbers that nobody has; the group is a supplementary one of writer and member.
constexpr char kWriter[] = "--reuid 12345 --regid 12345 --groups 54321";
constexpr char kMember[] = "--reuid 12346 --regid 12346 --groups 54321";
constexpr char kStranger[] = "--reuid 12347 --regid 12347 --clear-groups";
constexpr char kNobody[] = "--reuid nobody --regid nogroup --clear-groups";

// Runs programs as other users. GStreamer keeps its registry for the one who made it, so
// there is a copy that all may read.
class Users {
 public:
  Users() {
    namespace fs = std::filesystem;
    if (!support::may_become_others()) check::skip("acting as other users needs root");
    fs::copy_file(env("GST_REGISTRY"), registry_);
    fs::permissions(registry_, fs::perms{0644});
    fs::permissions(fs::path(registry_).parent_path(), fs::perms{0777});
    Child probe =
        shell(kStranger, "test -r " + env("GST_PLUGIN_PATH") + "/libgstpossum.so");
    if (probe.wait() != 0) check::skip("other users cannot read the build directory");
  }
  Child shell(const std::string& user, const std::string& script,
              const std::string& umask = "0022") const {
    return Child("umask " + umask + "; exec setpriv " + user + " sh -c '" + script + "'",
                 {{"GST_REGISTRY=" + registry_}, {}});
  }
  Child launch(const std::string& user, const std::string& pipeline,
               const std::string& channel, const std::string& umask = "0022") const {
    return shell(
        user,
        "exec " + env("POSSUM_LAUNCH") + " " + replaced(pipeline, "CHANNEL", channel),
        umask);
  }
  Child play(const std::string& user, const std::string& pipeline,
             const std::string& channel, const std::string& umask = "0022") const {
    return shell(
        user,
        "exec " + env("POSSUM_PLAYER") + " " + replaced(pipeline, "CHANNEL", channel),
        umask);
  }

 private:
  support::TemporaryDirectory directory_;
  const std::string registry_ = directory_.file("registry.bin");
};

// Writes until it is told to end.
Child start_writer(const Users& users, const std::string& channel,
                   const std::string& properties, const std::string& umask = "0022") {
  Child writer = users.play(
      kWriter,
      "--report=1 stampsrc live=true caps=video/x-raw,format=GRAY8,width=64,height=64,"
      "framerate=30/1 ! possumsink name=check channel=CHANNEL " +
          properties,
      channel, umask);
  writer.wait_line("frame 3 ");
  return writer;
}

Child start_reader(const Users& users, const std::string& user,
                   const std::string& channel,
                   const std::string& properties = "allowed-owner=12345") {
  return users.launch(user,
                      "possumsrc num-buffers=3 connection-timeout=1 channel=CHANNEL " +
                          properties + " ! fakesink",
                      channel);
}

void expect_watches(Child reader) { reader.expect_status(0); }
void expect_refused(Child reader, const std::string& advice) {
  reader.wait_line(advice);
  reader.expect_status(kRunningError);
}

// What the shell's own tools do to the channel's names.
void expect_hands_off(const Users& users, const std::string& user,
                      const std::string& channel, bool may_look) {
  const auto before = shm_names(channel);
  Child child = users.shell(
      user,
      replaced("cd /dev/shm; for f in possum-?.CHANNEL*; do "
               "cat $f >/dev/null 2>&1 && echo looked at $f; "
               "rm -f $f 2>/dev/null && echo removed $f; "
               "mv $f $f.moved 2>/dev/null && echo moved $f; "
               "chmod 666 $f 2>/dev/null && echo opened $f; "
               "case $f in possum-d.*) echo dirt 2>/dev/null >>$f && echo drew on $f; "
               "ln $f $f.link 2>/dev/null && echo linked $f;; esac; done; echo done",
               "CHANNEL", channel));
  child.wait_line("done");
  child.expect_status(0);
  for (const char* deed : {"removed", "moved", "opened", "drew", "linked"}) {
    if (child.said(deed)) child.fail("had its way");
  }
  if (child.said("looked at possum-c") != may_look ||
      child.said("looked at possum-d") != may_look) {
    child.fail(may_look ? "could not look" : "looked");
  }
  CHECK(shm_names(channel).size() == before.size());
}

void expect_modes(const std::string& channel, unsigned control, unsigned data) {
  const auto names = shm_names(channel);
  CHECK(names.size() > 1);
  for (const std::string& name : names) {
    struct stat info {};
    CHECK(stat(("/dev/shm/" + name).c_str(), &info) == 0);
    CHECK((info.st_mode & 07777) == (name.starts_with("possum-c.") ? control : data));
  }
}

void end(Child& writer) {
  writer.signal(SIGINT);
  writer.expect_status(0);
}

}  // namespace

TEST(members_of_the_group_watch_and_strangers_do_not) {
  const Users users;
  const std::string channel = unique_channel();
  Child writer = start_writer(users, channel, "perms=0660 group=54321");
  expect_watches(start_reader(users, kMember, channel));
  expect_watches(start_reader(users, kMember, channel, "allowed-owner=any"));
  expect_refused(start_reader(users, kMember, channel, ""),
                 "belongs to user 12345: accept it with allowed-owner=12345");
  for (const char* user : {kStranger, kNobody}) {
    expect_refused(
        start_reader(users, user, channel, "allowed-owner=any"),
        "may not be opened by this user: let its writer set perms=0660 and group=");
    expect_hands_off(users, user, channel, false);
  }
  expect_hands_off(users, kMember, channel, true);
  expect_watches(start_reader(users, kMember, channel));
  end(writer);
  CHECK(shm_names(channel).empty());
}

TEST(perms_that_let_no_reader_in_are_refused_with_those_that_do) {
  const Users users;
  for (const std::string perms : {"0640", "640", "660", "0440", "440"}) {
    const std::string channel = unique_channel();
    Child refused = users.launch(
        kWriter, "videotestsrc ! possumsink channel=CHANNEL group=54321 perms=" + perms,
        channel);
    const std::string said = refused.wait_line("ERROR");
    refused.expect_status(kCannotStart);
    if (refused.said("GLib-GObject-WARNING")) refused.fail("was warned as well");
    constexpr char kUse[] = ": use ";
    const auto at = said.find(kUse);
    if (at == std::string::npos) refused.fail("says no remedy");
    std::istringstream remedy(said.substr(at + sizeof kUse - 1));
    std::string property;
    remedy >> property;
    Child writer = start_writer(users, channel, property + " group=54321");
    expect_modes(channel, 0660, 0640);
    expect_watches(start_reader(users, kMember, channel));
    expect_refused(start_reader(users, kStranger, channel),
                   "may not be opened by this user");
    end(writer);
  }
}

TEST(by_default_nobody_else_watches) {
  const Users users;
  const std::string channel = unique_channel();
  Child writer = start_writer(users, channel, "");
  expect_watches(start_reader(users, kWriter, channel, ""));
  for (const char* user : {kMember, kStranger, kNobody}) {
    expect_refused(start_reader(users, user, channel), "may not be opened by this user");
    expect_hands_off(users, user, channel, false);
  }
  end(writer);
}

TEST(umask_of_the_writer_does_not_matter) {
  const Users users;
  for (const char* umask : {"0000", "0077", "0777"}) {
    const std::string channel = unique_channel();
    Child writer = start_writer(users, channel, "", umask);
    expect_watches(start_reader(users, kWriter, channel, ""));
    expect_modes(channel, 0600, 0600);
    end(writer);
    Child shared = start_writer(users, channel, "perms=0660 group=54321", umask);
    expect_watches(start_reader(users, kMember, channel));
    expect_modes(channel, 0660, 0640);
    end(shared);
  }
}

TEST(member_of_the_group_may_block_where_the_writer_lets_it) {
  const Users users;
  const std::string channel = unique_channel();
  Child reader = users.play(kMember,
                            "--lossless possumsrc channel=CHANNEL leaky-type=none "
                            "is-live=false allowed-owner=12345 ! fakesink name=check",
                            channel);
  Child writer = users.play(
      kWriter,
      "stampsrc num-buffers=300 caps=video/x-raw,format=I420,width=320,height=240,"
      "framerate=60/1 ! possumsink name=check channel=CHANNEL sync=false min-readers=1 "
      "allow-blocking=true perms=0660 group=54321",
      channel);
  reader.expect_status(0);
  CHECK(reader.said("total 300 frames, 0 missed"));
  writer.expect_status(0);
  CHECK(shm_names(channel).empty());
}
