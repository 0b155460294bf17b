// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Pipelines of different users, made by setpriv(1): members of the channel's group watch,
// everybody else neither watches nor looks, and nobody but the writer takes a name away,
// whatever the writer's umask. Needs root.

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/check.h"
#include "support/players.h"
#include "support/shared_registry.h"

using namespace support;
using support::env;

namespace {

constexpr int kRunningError = 1;
constexpr int kCannotStart = 255;

// Numbers that nobody has; the group is a supplementary one of writer and member.
constexpr char kWriter[] = "--reuid 12345 --regid 12345 --groups 54321";
constexpr char kMember[] = "--reuid 12346 --regid 12346 --groups 54321";
constexpr char kStranger[] = "--reuid 12347 --regid 12347 --clear-groups";
constexpr char kNobody[] = "--reuid nobody --regid nogroup --clear-groups";

// Runs programs as other users.
class Users {
 public:
  Process shell(const std::string& user, const std::string& script,
                const std::string& umask = "0022") const {
    return support::shell(
        "umask " + umask + "; exec setpriv " + user + " sh -c '" + script + "'",
        {.environment = registry_.environment()});
  }
  Process launch(const std::string& user, const std::string& pipeline,
                 const std::string& channel, const std::string& umask = "0022") const {
    return shell(
        user,
        "exec " + env("POSSUM_LAUNCH") + " " + replaced(pipeline, "CHANNEL", channel),
        umask);
  }
  Process play(const std::string& user, const std::string& pipeline,
               const std::string& channel, const std::string& umask = "0022") const {
    return shell(
        user,
        "exec " + env("POSSUM_PLAYER") + " " + replaced(pipeline, "CHANNEL", channel),
        umask);
  }

 private:
  const support::SharedRegistry registry_;
};

// Writes until it is told to end.
Process start_writer(const Users& users, const std::string& channel,
                     const std::string& properties, const std::string& umask = "0022") {
  Process writer = users.play(
      kWriter,
      "--report=1 stampsrc live=true caps=video/x-raw,format=GRAY8,width=64,height=64,"
      "framerate=30/1 ! possumsink name=check channel=CHANNEL " +
          properties,
      channel, umask);
  writer.wait_line("frame 3 ");
  return writer;
}

Process start_reader(const Users& users, const std::string& user,
                     const std::string& channel,
                     const std::string& properties = "allowed-owner=12345") {
  return users.launch(user,
                      "possumsrc num-buffers=3 connection-timeout=1 channel=CHANNEL " +
                          properties + " ! fakesink",
                      channel);
}

void expect_watches(Process reader) { reader.expect_status(0); }
void expect_refused(Process reader, const std::string& advice) {
  reader.wait_line(advice);
  reader.expect_status(kRunningError);
}

// What the shell's own tools do to the channel's names.
void expect_hands_off(const Users& users, const std::string& user,
                      const std::string& channel, bool may_look) {
  const auto before = names_of(channel);
  Process child = users.shell(
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
  CHECK(names_of(channel).size() == before.size());
}

void expect_modes(const std::string& channel, unsigned control, unsigned data) {
  const auto names = names_of(channel);
  CHECK(names.size() > 1);
  for (const std::string& name : names) {
    struct stat info {};
    CHECK(stat(("/dev/shm/" + name).c_str(), &info) == 0);
    CHECK((info.st_mode & 07777) == (name.starts_with("possum-c.") ? control : data));
  }
}

}  // namespace

// --- a user without any right to a channel, who does all that is left to do ------------

namespace {

class Mischief {
 public:
  explicit Mischief(const std::string& channel)
      : control_("possum-c." + channel), data_("possum-d." + channel + ".") {
    CHECK(chdir("/dev/shm") == 0);
  }

  void round() {
    for (const auto& entry : std::filesystem::directory_iterator(".")) {
      const std::string name = entry.path().filename();
      const bool data = name.starts_with(data_);
      if ((data || name == control_) && !made_.contains(name)) {
        get_in(name);
        if (data) squat_after(name);
      }
    }
    for (int i = 0; i < 200 && filled_ < 3000; ++i) {  // like channels, living or dead
      filled_ += make(control_ + "-" + std::to_string(filled_)) ? 1 : 0;
    }
  }
  bool busy() const { return squatted_ >= 100 && filled_ >= 3000; }
  void tell() const {
    std::printf("done: opened %d locked %d linked %d taken %d squatted %d\n", opened_,
                locked_, linked_, taken_, squatted_);
  }

 private:
  bool make(const std::string& name) {
    const int fd = open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) return false;
    close(fd);
    made_.insert(name);
    return true;
  }

  void get_in(const std::string& name) {
    for (const int how : {O_RDONLY, O_WRONLY, O_RDWR}) {
      const int fd = open(name.c_str(), how | O_CLOEXEC);
      if (fd < 0) continue;
      ++opened_;
      struct flock all {};
      all.l_type = how == O_RDONLY ? F_RDLCK : F_WRLCK;
      all.l_whence = SEEK_SET;
      locked_ += fcntl(fd, F_OFD_SETLK, &all) == 0;  // and stay
    }
    const std::string other = data_ + "0123456789abcdef.00000001";
    linked_ += link(name.c_str(), other.c_str()) == 0;
    taken_ += rename(name.c_str(), other.c_str()) == 0;
    taken_ += unlink(name.c_str()) == 0;
  }

  // The numbers of the next objects, if the writer counts.
  void squat_after(const std::string& name) {
    const std::size_t digits = name.rfind('.') + 1;
    const auto number =
        static_cast<std::uint32_t>(std::stoul(name.substr(digits), nullptr, 16));
    for (std::uint32_t next = number + 1; next <= number + 8; ++next) {
      char text[9];
      std::snprintf(text, sizeof text, "%08x", next);
      squatted_ += make(name.substr(0, digits) + text);
    }
  }

  const std::string control_;
  const std::string data_;
  std::set<std::string> made_;
  int filled_ = 0, opened_ = 0, locked_ = 0, linked_ = 0, taken_ = 0, squatted_ = 0;
};

}  // namespace

// CHANNEL: until a line comes.
ROLE(mischief) {
  Mischief mischief(args.at(0));
  const int events = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  CHECK(events >= 0 && inotify_add_watch(events, "/dev/shm", IN_CREATE) >= 0);
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::puts("watching");
  bool told = false;
  pollfd fds[] = {{STDIN_FILENO, POLLIN, 0}, {events, POLLIN, 0}};
  while (poll(fds, 2, 20) >= 0 && fds[0].revents == 0) {
    char buffer[4096];
    while (read(events, buffer, sizeof buffer) > 0) {
    }
    mischief.round();
    if (mischief.busy() && !std::exchange(told, true)) std::puts("at it");
  }
  mischief.tell();
  return 0;
}

namespace {

// Each larger than the one before, so that new objects are made for it.
std::string growing_caps() {
  std::string caps;
  for (int n = 1; n <= 24; ++n) {
    caps += (caps.empty() ? "" : ";") +
            ("video/x-raw,format=GRAY8,framerate=60/1,width=" + std::to_string(64 * n)) +
            ",height=64";
  }
  return "caps=\"\\\"" + caps + "\\\"\"";
}

std::string width_of_the_last() { return "width=(int)" + std::to_string(64 * 24); }

void remove_names_of(const std::string& channel, uid_t owner) {
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    const std::string name = entry.path().filename();
    if (name.find(channel) == std::string::npos) continue;
    struct stat info {};
    CHECK(stat(entry.path().c_str(), &info) == 0);
    CHECK(info.st_uid == owner);  // nobody else has left anything
    CHECK(unlink(entry.path().c_str()) == 0);
  }
}

}  // namespace

TEST(user_without_access_is_in_nobodys_way) {
  const Users users;
  const std::string channel = unique_channel();
  Process mischief = users.shell(
      kStranger, "exec " + check::program().back() + " --role mischief " + channel);
  mischief.wait_line("watching");
  Process writer =
      users.play(kWriter,
                 "--report=1 stampsrc live=true change-every=6 " + growing_caps() +
                     " ! possumsink name=check channel=CHANNEL perms=0660 group=54321",
                 channel);
  mischief.wait_line("at it");
  std::vector<Process> readers;
  for (const char* user : {kWriter, kMember, kMember}) {
    readers.push_back(users.play(
        user,
        "--report=1 possumsrc channel=CHANNEL allowed-owner=12345 ! fakesink name=check",
        channel));
  }
  // Two times through all sizes; and another writer of the same user is as well off.
  for (Process& reader : readers) {
    reader.wait_line(width_of_the_last());
    reader.wait_line("width=(int)64,");
    reader.wait_line(width_of_the_last());
    await_frames(reader, 10);
  }
  if (const char* tool = std::getenv("POSSUM_TOOL")) {  // among thousands of names
    Process list = users.shell(kMember, std::string("exec ") + tool + " list");
    list.wait_line(channel + "  ");
    list.expect_status(0);
  }
  const std::string another = unique_channel();
  Process second = start_writer(users, another, "perms=0660 group=54321");
  expect_watches(start_reader(users, kMember, another));
  end(second);
  mischief.tell("stop");
  const std::string deeds = mischief.wait_line("done: ");
  mischief.expect_status(0);
  if (deeds.find("opened 0 locked 0 linked 0 taken 0 ") == std::string::npos) {
    mischief.fail("had its way");
  }
  for (Process& reader : readers) {
    await_frames(reader, 10);
    end(reader);
  }
  end(writer);
  remove_names_of(channel, 12347);
}

TEST(members_of_the_group_watch_and_strangers_do_not) {
  const Users users;
  const std::string channel = unique_channel();
  Process writer = start_writer(users, channel, "perms=0660 group=54321");
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
  CHECK(names_of(channel).empty());
}

TEST(perms_that_let_no_reader_in_are_refused_with_those_that_do) {
  const Users users;
  for (const std::string perms : {"0640", "660", "440"}) {
    const std::string channel = unique_channel();
    Process refused = users.launch(
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
    Process writer = start_writer(users, channel, property + " group=54321");
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
  Process writer = start_writer(users, channel, "");
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
    Process writer = start_writer(users, channel, "", umask);
    expect_watches(start_reader(users, kWriter, channel, ""));
    expect_modes(channel, 0600, 0600);
    end(writer);
    Process shared = start_writer(users, channel, "perms=0660 group=54321", umask);
    expect_watches(start_reader(users, kMember, channel));
    expect_modes(channel, 0660, 0640);
    end(shared);
  }
}

TEST(member_of_the_group_may_block_where_the_writer_lets_it) {
  const Users users;
  const std::string channel = unique_channel();
  Process reader = users.play(kMember,
                              "--lossless possumsrc channel=CHANNEL leaky-type=none "
                              "is-live=false allowed-owner=12345 ! fakesink name=check",
                              channel);
  Process writer = users.play(
      kWriter,
      "stampsrc num-buffers=300 caps=video/x-raw,format=I420,width=320,height=240,"
      "framerate=60/1 ! possumsink name=check channel=CHANNEL sync=false min-readers=1 "
      "allow-blocking=true perms=0660 group=54321",
      channel);
  reader.expect_status(0);
  CHECK(reader.said("total 300 frames, 0 missed"));
  writer.expect_status(0);
  CHECK(names_of(channel).empty());
}
