// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The command in a /dev/shm that somebody has filled with names: what a look costs, in
// system calls and in memory, is so much for each name and no more.
#include "support/check.h"

#include <sys/stat.h>

#include "support/forged.h"
#include "support/private_shm.h"
#include "support/syscalls.h"
#include "support/tool.h"

using namespace support;

namespace {

constexpr std::size_t kShmBytes = 256 << 20;
// The program itself takes some 15 MiB of address space.
constexpr rlim_t kAddressSpace = 96 << 20;
constexpr uid_t kMallory = 54303;

std::string tool_path() {
  const char* const path = std::getenv("POSSUM_TOOL");
  CHECK(path != nullptr);
  return path;
}

Work work_of_tool(std::vector<std::string> args) {
  args.insert(args.begin(), tool_path());
  const Work work = work_of(args, kAddressSpace);
  if (work.status > 1) std::fprintf(stderr, "status %d\n", work.status);
  CHECK(work.status <= 1);
  return work;
}

std::string shm_path(const std::string& file) {
  return std::string(possum::kShmDirectory) + "/" + file;
}

void make_file(const std::string& path, std::size_t bytes, uid_t owner = geteuid()) {
  const possum::UniqueFd fd(
      open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  CHECK(fd && ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0);
  if (owner != geteuid()) CHECK(fchown(fd.get(), owner, owner) == 0);
}

// What one can make of a name, one after the other. The objects are what somebody leaves
// who wants to be looked at: of any size, with holes, hard links to a channel that lives.
void make_names(const ForgedChannel& model, int count, const std::string& prefix) {
  const std::string control =
      possum::kShmDirectory + possum::control_name(model.channel());
  for (int i = 0; i < count; ++i) {
    const std::string channel = prefix + std::to_string(i);
    const std::string path = possum::kShmDirectory + possum::control_name(channel);
    const std::string data = possum::kShmDirectory +
                             possum::data_name(channel, 77, static_cast<unsigned>(i + 1));
    switch (i % 8) {
      case 0:  // a dead writer's
        make_file(path, 4096);
        make_file(data, 4096);
        break;
      case 1:
        make_file(path, std::size_t{1} << 30);
        break;
      case 2:  // without a control object
        make_file(data, std::size_t{1} << 30);
        break;
      case 3:
        CHECK(mkfifo(path.c_str(), 0600) == 0);
        break;
      case 4:
        CHECK(mkdir(path.c_str(), 0700) == 0);
        break;
      case 5:
        CHECK(symlink("/dev/zero", path.c_str()) == 0);
        break;
      case 6:
        CHECK(link(control.c_str(), path.c_str()) == 0);
        break;
      default:  // the model's data objects, which all of these may have
        CHECK(symlink(path.c_str(), path.c_str()) == 0);
    }
  }
}

constexpr int kFew = 500;
constexpr int kMany = 4 * kFew;
constexpr long kCallsForEach = 40;  // for the name and what it leads to
constexpr long kCallsInAll = 3000;  // to start, to list, and for one live channel

// Of a command with few names and with four times as many.
void expect_bounded(const std::vector<std::string>& args) {
  for (const int count : {kFew, kMany}) {
    const PrivateShm shm(kShmBytes);
    const ForgedChannel model("model");
    make_names(model, count, "crowd");
    const Work work = work_of_tool(args);
    std::printf("   %s of %d names: %ld system calls, %ld KiB\n", args[0].c_str(), count,
                work.syscalls, work.peak_kib);
    CHECK(work.syscalls <= kCallsInAll + kCallsForEach * count);
  }
}

}  // namespace

TEST(list_takes_so_much_for_each_name) { expect_bounded({"list"}); }
TEST(list_for_programs_takes_so_much_for_each_name) {
  expect_bounded({"list", "--json"});
}
TEST(watch_takes_so_much_for_each_name) {
  expect_bounded({"watch", "-n", "1", "-i", "0.1"});
}
TEST(clean_takes_so_much_for_each_name) { expect_bounded({"clean"}); }

TEST(names_of_the_dead_are_removed_however_many_there_are) {
  const PrivateShm shm(kShmBytes);
  constexpr int kDead = 3000;
  for (int i = 0; i < kDead; ++i) {
    const std::string channel = "dead" + std::to_string(i);
    make_file(possum::kShmDirectory + possum::control_name(channel), 4096);
    make_file(possum::kShmDirectory + possum::data_name(channel, 77, 1), 4096);
  }
  const Work work = work_of_tool({"clean"});
  std::printf("   %ld system calls\n", work.syscalls);
  CHECK(work.status == 0);
  CHECK(std::filesystem::is_empty(possum::kShmDirectory));
  CHECK(work.syscalls <= kCallsInAll + kCallsForEach * kDead);
}

// The second is not waited for each: as many as these would take ten minutes.
TEST(objects_without_a_control_object_are_given_one_second_together) {
  const PrivateShm shm(kShmBytes);
  constexpr int kLeft = 600;
  for (int i = 0; i < kLeft; ++i) {
    make_file(
        possum::kShmDirectory + possum::data_name("left" + std::to_string(i), 77, 1),
        4096);
  }
  expect_tool(0, {"clean"});
  CHECK(std::filesystem::is_empty(possum::kShmDirectory));
}

// One object is one channel, whatever it is called.
TEST(hard_links_are_no_channels) {
  const PrivateShm shm(kShmBytes);
  const std::string caps = "video/x-raw, x=" + std::string(16'000, 'y');
  const ForgedChannel model("model", caps);
  const std::string control = possum::kShmDirectory + possum::control_name("model");
  for (int i = 0; i < 10; ++i) {
    CHECK(link(control.c_str(), shm_path("possum-c.link" + std::to_string(i)).c_str()) ==
          0);
  }
  for (const Json& channel : expect_tool(0, {"list", "--json"}).json()) {
    CHECK(channel["state"] == "damaged");
    CHECK(contains(channel["problem"], "other names"));
  }
  for (int i = 0; i < 10; ++i) {
    CHECK(unlink(shm_path("possum-c.link" + std::to_string(i)).c_str()) == 0);
  }
  const Json whole = expect_tool(0, {"list", "--json"}).json();
  CHECK(whole.size() == 1 && whole[0]["frame"]["caps"] == caps);
  // Nor do many channels show one object's frame.
  const std::string data = possum::kShmDirectory + model.object->name;
  CHECK(link(data.c_str(), shm_path("elsewhere").c_str()) == 0);
  CHECK(expect_tool(0, {"list", "--json"}).json()[0]["frame"] == nullptr);
}

namespace {

std::size_t names_in_shm() {
  const std::filesystem::directory_iterator all(possum::kShmDirectory);
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

}  // namespace

TEST(hard_links_stay_as_long_as_their_writer_lives) {
  const PrivateShm shm(kShmBytes);
  FarWriter writer("writer");
  const std::string control = possum::kShmDirectory + possum::control_name("writer");
  for (const char* name : {"possum-c.link", "possum-c.other"}) {
    CHECK(link(control.c_str(), shm_path(name).c_str()) == 0);
  }
  const std::size_t names = names_in_shm();
  expect_tool(0, {"clean"});
  expect_tool(1, {"clean", "link"});
  CHECK(names_in_shm() == names);
  writer.publish(1, 1);
  writer.kill();
  expect_tool(0, {"clean", "--dry-run"});
  CHECK(names_in_shm() >= names);
  expect_tool(0, {"clean"});
  CHECK(names_in_shm() == 0);
}

// Somebody else's names do not push out one's own, and are counted.
TEST(crowd_of_another_user_hides_nobody) {
  need_root();
  const PrivateShm shm(kShmBytes);
  FarWriter writer("own");
  constexpr int kCrowd = 1500;
  for (int i = 0; i < kCrowd; ++i) {
    make_file(shm_path("possum-c.a" + std::to_string(i)), 0, kMallory);
    make_file(shm_path("possum-c.z" + std::to_string(i)), 0, kMallory);
  }
  const ToolResult list = expect_tool(0, {"list", "-q"});
  CHECK(contains("\n" + list.out, "\nown\n"));
  CHECK(std::count(list.out.begin(), list.out.end(), '\n') == 1024 + 1);
  CHECK(contains(list.err, "the rest is left out"));
  CHECK(contains(expect_tool(0, {"watch", "-n", "1", "-i", "0.1"}).out, "own"));
  writer.order("close", "closed");
}
