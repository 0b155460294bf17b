// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum clean: what it removes, what it leaves alone, whose it is, and writers that
// start or lose their names meanwhile.
#include "support/check.h"

#include <sys/stat.h>

#include <atomic>

#include "support/private_shm.h"
#include "support/tool.h"

using namespace support;

namespace {

constexpr std::size_t kShmBytes = 32 << 20;
constexpr User kAlice{54301, 54321};
constexpr User kBob{54302, 54321};

void leave_names(const std::string& channel) {
  FarWriter writer(channel);
  writer.publish(1, 2);
  writer.kill();
  CHECK(names_of(channel).size() > 1);
}

// With something in it: one without is perhaps a writer's first step.
void make_used_name(const std::string& name) {
  make_name(name);
  CHECK(truncate((possum::kShmDirectory + name).c_str(), 4096) == 0);
}

// A control object and data objects without a writer, by hand: quicker than a death.
void forge_names(const std::string& channel, int data_objects = 3) {
  make_used_name(possum::control_name(channel));
  for (int i = 1; i <= data_objects; ++i) {
    make_name(possum::data_name(channel, 77, static_cast<std::uint32_t>(i)));
  }
}

// Frames go through, to a reader that comes now, and the names are the writer's.
void expect_works(Writer& writer, const std::string& channel) {
  publish(writer, 1);
  const auto reader = attach_reader(reader_of(channel));
  CHECK(key_of(take(*reader)) == 1);
}

// Are the names of the channel the control object and data objects of that writer alone?
bool names_are_of(const std::string& channel, std::uint64_t incarnation) {
  const std::string first = possum::data_name(channel, incarnation, 1).substr(1);
  const std::string start = first.substr(0, first.rfind('.'));
  int control = 0;
  for (const std::string& name : names_of(channel)) {
    if (name.starts_with("possum-c.")) {
      ++control;
    } else if (!name.starts_with(start)) {
      return false;
    }
  }
  return control == 1;
}

}  // namespace

TEST(names_of_the_dead_go_and_all_others_stay) {
  const PrivateShm shm(kShmBytes);
  FarWriter live("cam");
  live.publish(1, 1);
  const auto live_names = names_of("cam");
  leave_names("cam.b");  // whose names begin like those of the live one
  leave_names("zombie");
  const auto left = names_of("zombie");
  std::ofstream("/dev/shm/possum-x.zombie") << "somebody's";
  std::ofstream("/dev/shm/possum-d.zombie.1") << "somebody's";

  const ToolResult dry = expect_tool(0, {"clean", "--dry-run"});
  for (const std::string& name : left)
    CHECK(contains(dry.out, "would remove /dev/shm/" + name));
  CHECK(names_of("zombie").size() == left.size() + 1);

  const ToolResult result = expect_tool(0, {"clean"});
  for (const std::string& name : left) {
    CHECK(contains(result.out, "removed /dev/shm/" + name + "\n"));
  }
  CHECK(!contains(result.out, "possum-c.cam\n") && result.err.empty());
  CHECK(names_of("cam.b").empty());
  CHECK(names_of("zombie") == std::vector<std::string>{"possum-d.zombie.1"});
  CHECK(name_exists("/possum-x.zombie"));
  CHECK(names_of("cam") == live_names);
  live.publish(2, 2);
  live.order("close", "closed");
  CHECK(expect_tool(0, {"clean"}).out.empty());
}

TEST(json_tells_each_channel) {
  const PrivateShm shm(kShmBytes);
  FarWriter live("cam");
  leave_names("zombie");
  Json dry = expect_tool(0, {"clean", "-j", "--dry-run"}).json();
  CHECK(dry.size() == 1 && dry[0]["result"] == "would-remove");
  const Json named = expect_tool(1, {"clean", "-j", "cam", "zombie", "nobody"}).json();
  CHECK(named.size() == 2);
  CHECK(named[0]["channel"] == "cam" && named[0]["result"] == "in-use");
  CHECK(contains(named[0]["problem"], std::to_string(live.pid())));
  CHECK(named[1]["result"] == "removed" && named[1]["names"].size() > 1);
  CHECK(named[1]["names"].size() == dry[0]["names"].size());
}

TEST(living_writer_is_named_and_left_alone) {
  const std::string channel = unique_channel();
  const auto writer = open_prepared(plain_writer(channel));
  const auto names = names_of(channel);
  const ToolResult result = expect_tool(1, {"clean", channel});
  CHECK(contains(result.err, "live writer, pid " + std::to_string(getpid())));
  CHECK(result.out.empty() && names_of(channel) == names);
  expect_works(*writer, channel);
}

// Its data objects look like a dead one's until it makes the channel anew.
TEST(writer_that_lost_its_name_is_given_time_to_return) {
  const std::string channel = unique_channel();
  FarWriter writer(channel);
  writer.publish(1, 1);
  writer.stop();
  CHECK(shm_unlink(possum::control_name(channel).c_str()) == 0);
  Tool tool({"clean", channel});
  // Not before the tool waits: it watches /dev/shm.
  CHECK(eventually([&] {
    for (const auto& fd : std::filesystem::directory_iterator(
             "/proc/" + std::to_string(tool.pid()) + "/fd")) {
      std::error_code gone;
      if (std::filesystem::read_symlink(fd.path(), gone) == "anon_inode:inotify") {
        return true;
      }
    }
    return false;
  }));
  writer.go_on();
  const ToolResult result = tool.result();
  CHECK(result.out.empty());
  CHECK(eventually([&] { return name_exists(possum::control_name(channel)); }));
  const auto reader = attach_reader(reader_of(channel));
  writer.publish(2, 2);
  CHECK(key_of(take(*reader)) == 2);
  writer.order("close", "closed");
}

TEST(data_objects_without_a_control_object_go_after_a_second) {
  const std::string channel = unique_channel();
  forge_names(channel);
  CHECK(shm_unlink(possum::control_name(channel).c_str()) == 0);
  const std::int64_t begin = possum::monotonic_ns();
  expect_tool(0, {"clean", channel});
  CHECK(possum::monotonic_ns() - begin >= 900 * kMs);
  CHECK(names_of(channel).empty());
}

TEST(things_in_the_way_are_left_there) {
  const std::string channel = unique_channel();
  const std::string path = possum::kShmDirectory + possum::control_name(channel);
  CHECK(mkfifo(path.c_str(), 0600) == 0);
  make_name(possum::data_name(channel, 77, 1));
  const ToolResult result = expect_tool(1, {"clean", channel});
  CHECK(contains(result.err, "not a shared memory object"));
  CHECK(names_of(channel).size() == 2);
  for (const std::string& name : names_of(channel)) {
    CHECK(unlink((possum::kShmDirectory + ("/" + name)).c_str()) == 0);
  }
}

// What a umask left, of a writer that died before it could change that.
TEST(leftovers_that_their_owner_may_not_open_go_as_well) {
  need_root();
  const PrivateShm shm(kShmBytes);
  CHECK(chmod("/dev/shm", 01777) == 0);
  FarWriter dead(kAlice, "hidden");
  dead.expect("ok 0");
  FarWriter live(kAlice, "live");
  live.expect("ok 0");
  dead.kill();
  for (const char* channel : {"hidden", "live"}) {
    CHECK(chmod((possum::kShmDirectory + possum::control_name(channel)).c_str(), 0) == 0);
  }
  CHECK(contains(run_tool({"list"}, kAlice).err, "possum clean"));
  const ToolResult result = expect_tool(1, {"clean"}, kAlice);
  CHECK(contains(result.out, "possum-c.hidden") && names_of("hidden").empty());
  CHECK(contains(result.err, "already written by pid " + std::to_string(live.pid())));
  live.order("close", "closed");
}

TEST(others_leftovers_are_for_their_owner_and_root) {
  need_root();
  const PrivateShm shm(kShmBytes);
  CHECK(chmod("/dev/shm", 01777) == 0);
  FarWriter alice(kAlice, "zombie", "660");
  alice.expect("ok 0");
  alice.publish(1, 1);
  alice.kill();
  const auto left = names_of("zombie");
  for (const bool named : {false, true}) {
    std::vector<std::string> args = {"clean"};
    if (named) args.push_back("zombie");
    const ToolResult result = expect_tool(named ? 1 : 0, args, kBob);
    CHECK(contains(result.err, "belongs to user 54301") && result.out.empty());
    CHECK(names_of("zombie") == left);
  }
  CHECK(expect_tool(1, {"clean", "-j", "zombie"}, kBob).json()[0]["result"] == "refused");
  // Root does it in the owner's name: see the race below.
  CHECK(contains(expect_tool(0, {"clean"}).out, "possum-c.zombie"));
  CHECK(names_of("zombie").empty());

  // A name of somebody else's among one's own.
  const auto make_for = [](const User& user, const std::string& name) {
    make_used_name(name);
    const std::string path = possum::kShmDirectory + name;
    CHECK(chown(path.c_str(), user.uid, user.gid) == 0);
  };
  make_for(kAlice, possum::control_name("mixed"));
  make_for(kAlice, possum::data_name("mixed", 7, 1));
  make_for(kBob, possum::data_name("mixed", 7, 2));
  std::this_thread::sleep_for(
      std::chrono::milliseconds(1100));  // no first step of a claim
  const ToolResult mixed = expect_tool(1, {"clean", "mixed"}, kAlice);
  CHECK(contains(mixed.err, "other users"));
  CHECK(names_of("mixed").size() == 1);
}

// --- races -----------------------------------------------------------------------------

// A writer that starts while its channel is cleaned gets it, whole, every time.
TEST(writer_that_starts_meanwhile_is_never_hurt) {
  const std::string channel = unique_channel();
  std::atomic<int> round{0};
  std::atomic<int> cleaned{0};
  std::atomic<bool> stop{false};
  std::thread cleaner([&] {
    for (int last = 0; !stop;) {
      if (round == last) continue;
      last = round;
      Error error;
      std::vector<std::string> removed;
      possum::transport::clean_channel(channel, nullptr, removed, error);
      CHECK(error.code == ErrorCode::none || error.code == ErrorCode::busy);
      cleaned = last;
    }
  });
  std::minstd_rand random(1);
  int before = 0;
  for (int i = 1; i <= 60; ++i) {
    forge_names(channel);
    round = i;
    const std::int64_t start = possum::monotonic_ns() + random() % 2'000'000;
    while (possum::monotonic_ns() < start) {
    }
    before += cleaned == i;
    const auto writer = open_writer(plain_writer(channel));
    publish(*writer, 1);
    CHECK(eventually([&] { return cleaned == i; }));
    // All of its own, and nothing of the dead.
    CHECK(names_are_of(channel, writer->incarnation()));
    const auto reader = attach_reader(reader_of(channel));
    CHECK(key_of(take(*reader)) == 1);
  }
  stop = true;
  cleaner.join();
  std::printf("   %d of 60 were cleaned first\n", before);
}

TEST(command_that_runs_while_a_writer_starts_hurts_nobody) {
  const std::string channel = unique_channel();
  for (int i = 0; i < 25; ++i) {
    forge_names(channel);
    Tool tool({"clean", channel});
    std::this_thread::sleep_for(std::chrono::microseconds(i * 200));
    const auto writer = open_writer(plain_writer(channel));
    tool.result();
    expect_works(*writer, channel);
  }
}

// Done in its own name, root's clean would leave a name that its owner may not take.
TEST(root_never_stands_in_the_way_of_another_user) {
  need_root();
  const std::string channel = unique_channel();
  for (int i = 0; i < 15; ++i) {
    forge_names(channel);
    for (const std::string& name : names_of(channel)) {
      CHECK(chown((possum::kShmDirectory + ("/" + name)).c_str(), kAlice.uid,
                  kAlice.gid) == 0);
    }
    Tool tool({"clean", channel});
    FarWriter writer(kAlice, channel);
    writer.expect("ok 0");
    tool.result();
    writer.publish(1, 1);
    writer.order("close", "closed");
  }
}
