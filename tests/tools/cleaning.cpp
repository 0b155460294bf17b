// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum clean: what it removes, what it leaves alone, whose it is, and writers that
// start or lose their names meanwhile.
#include "support/check.h"

#include <sys/stat.h>

#include <atomic>

#include "support/tool.h"

using namespace support;

namespace {

void leave_names(const std::string& channel) {
  FarWriter writer(channel);
  writer.publish(1, 2);
  writer.kill();
  CHECK(names_of(channel).size() > 1);
}

// A control object and data objects without a writer, by hand: quicker than a death.
void forge_names(const std::string& channel) {
  make_file(path_of(channel));
  for (const unsigned object : {1, 2, 3}) make_file(data_path(channel, object), 0);
}

// A reader that comes now has the newest frame.
void expect_works(const std::string& channel, std::uint64_t newest) {
  const auto reader = attach_reader(reader_of(channel));
  CHECK(key_of(take(*reader)) == newest);
}

// Are the names of the channel the control object and data objects of that writer alone?
bool names_are_of(const std::string& channel, std::uint64_t incarnation) {
  const std::string first = data_name(channel, incarnation, 1).substr(1);
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

TEST_F(OwnShm, names_of_the_dead_go_and_all_others_stay) {
  FarWriter live("cam");
  live.publish(1, 1);
  const auto live_names = names_of("cam");
  leave_names("cam.b");  // whose names begin like those of the live one
  leave_names("zombie");
  const auto left = names_of("zombie");
  std::ofstream("/dev/shm/possum-x.zombie") << "somebody's";
  std::ofstream("/dev/shm/possum-d.zombie.1") << "somebody's";

  const ToolResult dry = expect_tool(0, "clean --dry-run");
  for (const std::string& name : left) {
    CHECK(contains(dry.out, "would remove /dev/shm/" + name));
  }
  CHECK(names_of("zombie").size() == left.size() + 1);

  const ToolResult result = expect_tool(0, "clean");
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
  CHECK(expect_tool(0, "clean").out.empty());
}

TEST_F(OwnShm, json_tells_each_channel) {
  FarWriter live("cam");
  leave_names("zombie");
  Json dry = expect_tool(0, "clean -j --dry-run").json();
  CHECK(dry.size() == 1 && dry[0]["result"] == "would-remove");
  const Json named = expect_tool(1, "clean -j cam zombie nobody").json();
  CHECK(named.size() == 2);
  CHECK(named[0]["channel"] == "cam" && named[0]["result"] == "in-use");
  CHECK(contains(named[0]["problem"], std::to_string(live.pid())));
  CHECK(named[1]["result"] == "removed" && named[1]["names"].size() > 1);
  CHECK(named[1]["names"].size() == dry[0]["names"].size());
}

TEST_F(OnChannel, living_writer_is_named_and_left_alone) {
  const auto writer = open_prepared(plain_writer(channel));
  const auto names = names_of(channel);
  const ToolResult result = expect_tool(1, "clean " + channel);
  CHECK(contains(result.err, "live writer, pid " + std::to_string(getpid())));
  CHECK(result.out.empty() && names_of(channel) == names);
  publish(*writer, 1);
  expect_works(channel, 1);
}

// Its data objects look like a dead one's until it makes the channel anew.
TEST_F(OnChannel, writer_that_lost_its_name_is_given_time_to_return) {
  FarWriter writer(channel);
  writer.publish(1, 1);
  writer.stop();
  CHECK(shm_unlink(control_name(channel).c_str()) == 0);
  Tool tool("clean " + channel);
  // Not before the tool waits: it watches /dev/shm.
  CHECK(eventually([&] {
    return contains(joined(open_descriptors(std::to_string(tool.pid()))), "inotify");
  }));
  writer.go_on();
  const ToolResult result = tool.result();
  CHECK(result.out.empty());
  CHECK(eventually([&] { return name_exists(control_name(channel)); }));
  writer.publish(2, 2);
  expect_works(channel, 2);
}

TEST_F(OnChannel, data_objects_without_a_control_object_go_after_a_second) {
  forge_names(channel);
  CHECK(shm_unlink(control_name(channel).c_str()) == 0);
  const std::int64_t begin = monotonic_ns();
  expect_tool(0, "clean " + channel);
  CHECK(monotonic_ns() - begin >= 900 * kMs);
  CHECK(names_of(channel).empty());
}

TEST_F(OnChannel, things_in_the_way_are_left_there) {
  CHECK(mkfifo(path_of(channel).c_str(), 0600) == 0);
  make_file(data_path(channel, 1), 0);
  const ToolResult result = expect_tool(1, "clean " + channel);
  CHECK(contains(result.err, "not a shared memory object"));
  CHECK(names_of(channel).size() == 2);
  unlink_names(channel);
}

// What a umask left, of a writer that died before it could change that.
TEST_F(ManyUsers, leftovers_that_their_owner_may_not_open_go_as_well) {
  FarWriter dead = writing_as(kAlice, "hidden");
  FarWriter live = writing_as(kAlice, "live");
  dead.kill();
  for (const char* channel : {"hidden", "live"}) {
    CHECK(chmod(path_of(channel).c_str(), 0) == 0);
  }
  CHECK(contains(Tool("list", kAlice).result().err, "possum clean"));
  const ToolResult result = expect_tool(1, "clean", kAlice);
  CHECK(contains(result.out, "possum-c.hidden") && names_of("hidden").empty());
  CHECK(contains(result.err, "already written by pid " + std::to_string(live.pid())));
}

TEST_F(ManyUsers, others_leftovers_are_for_their_owner_and_root) {
  FarWriter alice = writing_as(kAlice, "zombie", "660");
  alice.publish(1, 1);
  alice.kill();
  const auto left = names_of("zombie");
  for (const bool named : {false, true}) {
    const ToolResult result =
        named ? expect_tool(1, "clean zombie", kBob) : expect_tool(0, "clean", kBob);
    CHECK(contains(result.err, "belongs to user 54301") && result.out.empty());
    CHECK(names_of("zombie") == left);
  }
  CHECK(expect_tool(1, "clean -j zombie", kBob).json()[0]["result"] == "refused");
  // Root does it in the owner's name: see the race below.
  CHECK(contains(expect_tool(0, "clean").out, "possum-c.zombie"));
  CHECK(names_of("zombie").empty());

  // A name of somebody else's among one's own.
  make_file(path_of("mixed"), 4096, kAlice.uid);
  make_file(data_path("mixed", 1), 4096, kAlice.uid);
  make_file(data_path("mixed", 2), 4096, kBob.uid);
  // No first step of a claim takes so long.
  std::this_thread::sleep_for(std::chrono::milliseconds(1100));
  const ToolResult mixed = expect_tool(1, "clean mixed", kAlice);
  CHECK(contains(mixed.err, "other users"));
  CHECK(names_of("mixed").size() == 1);
}

// --- races -----------------------------------------------------------------------------

// A writer that starts while its channel is cleaned gets it, whole, every time.
TEST_F(OnChannel, writer_that_starts_meanwhile_is_never_hurt) {
  std::minstd_rand random(1);
  int before = 0;
  for (int i = 0; i < 60; ++i) {
    forge_names(channel);
    std::atomic<bool> cleaned{false};
    std::thread cleaner([&] {
      Error error;
      std::vector<std::string> removed;
      clean_channel(channel, nullptr, removed, error);
      CHECK(error.code == ErrorCode::none || error.code == ErrorCode::busy);
      cleaned = true;
    });
    const std::int64_t start = monotonic_ns() + random() % 2'000'000;
    while (monotonic_ns() < start) {
    }
    before += cleaned;
    const auto writer = open_writer(plain_writer(channel));
    publish(*writer, 1);
    cleaner.join();
    // All of its own, and nothing of the dead.
    CHECK(names_are_of(channel, writer->incarnation()));
    expect_works(channel, 1);
  }
  std::printf("   %d of 60 were cleaned first\n", before);
}

// Done in its own name, root's clean would leave a name that its owner may not take.
TEST_F(OnChannel, root_never_stands_in_the_way_of_another_user) {
  need_root();
  for (int i = 0; i < 15; ++i) {
    forge_names(channel);
    give_channel_to(channel, kAlice.uid);
    Tool tool("clean " + channel);
    FarWriter writer = writing_as(kAlice, channel);
    tool.result();
    writer.publish(1, 1);
  }
}
