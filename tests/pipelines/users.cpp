// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Pipelines of different users: members of the channel's group watch, everybody else is
// told why not, and may do to its names what the kernel lets them
// (transport/permissions.cpp) without being in anybody's way.

#include <fcntl.h>
#include <poll.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

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

// --- a user without any right to a channel, who does all that is left to do ------------

namespace {

constexpr int kSizes = 24;

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
  std::vector<std::string> words = check::program();
  words.insert(words.end(), {"--role", "mischief", channel});
  Process mischief(words, users.as(kStranger));
  mischief.wait_line("watching");
  // Each picture larger than the one before, so that new objects are made for it.
  std::string caps;
  for (int n = 1; n <= kSizes; ++n) {
    caps += (caps.empty() ? "" : ";") +
            ("video/x-raw,format=GRAY8,framerate=60/1,width=" + std::to_string(64 * n)) +
            ",height=64";
  }
  Process writer = play("--report=1 --change-every=6 --caps=\"" + caps + "\" " + kStamp +
                            "is-live=true ! possumsink name=check channel=CHANNEL "
                            "perms=0660 group=54321",
                        channel, users.as(kWriter));
  mischief.wait_line("at it");
  std::vector<Process> readers;
  for (const User& user : {kWriter, kMember, kMember}) {
    readers.push_back(
        play("--report=1 possumsrc channel=CHANNEL allowed-owner=12345 ! "
             "fakesink name=check",
             channel, users.as(user)));
  }
  // Two times through all sizes; and another writer of the same user is as well off.
  const std::string last = "width=(int)" + std::to_string(64 * kSizes);
  for (Process& reader : readers) {
    reader.wait_line(last);
    reader.wait_line("width=(int)64,");
    reader.wait_line(last);
    await_frames(reader, 10);
  }
  if (const char* tool = std::getenv("POSSUM_TOOL")) {  // among thousands of names
    Process list({tool, "list"}, users.as(kMember));
    list.wait_line(channel + "  ");
    list.expect_status(0);
  }
  const std::string another = unique_channel();
  Process second = start_writer(users.as(kWriter), another, "perms=0660 group=54321");
  expect_reader(users.as(kMember), another, "allowed-owner=12345");
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
  remove_names_of(channel, kStranger.uid);
}
