// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The command in a /dev/shm that somebody has filled with names: what a look costs, in
// system calls and in memory, is so much for each name and no more.
#include "support/check.h"

#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "support/forged.h"
#include "support/tool.h"

using namespace support;

namespace {

// The program itself takes some 15 MiB of address space.
constexpr rlim_t kAddressSpace = 96 << 20;

// The measure of work that does not depend on how fast the machine is.
struct Work {
  long syscalls = 0;
  long peak_kib = 0;  // of resident memory
  int status = 0;     // as of exit
};

// Runs the command with nothing to say to anybody and with little address space. Skips
// the test where a process may not trace its child.
Work work_of_tool(const std::string& line) {
  constexpr int kNoTrace = 125;
  std::vector<std::string> words = tool_words(line);
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::fflush(nullptr);
  const pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    const rlimit limit = {kAddressSpace, kAddressSpace};
    if (std::freopen("/dev/null", "w", stdout) == nullptr) _exit(126);
    if (std::freopen("/dev/null", "w", stderr) == nullptr) _exit(126);
    setrlimit(RLIMIT_AS, &limit);
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(kNoTrace);
    execv(argv[0], argv.data());
    _exit(127);
  }
  int status = 0;
  rusage usage{};
  const auto wait = [&] { CHECK(wait4(pid, &status, 0, &usage) == pid); };
  wait();
  if (WIFEXITED(status) && WEXITSTATUS(status) == kNoTrace) check::skip("no ptrace here");
  CHECK(WIFSTOPPED(status));
  CHECK(ptrace(PTRACE_SETOPTIONS, pid, nullptr,
               PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0);
  long stops = 0;
  int signal = 0;
  for (;;) {
    CHECK(ptrace(PTRACE_SYSCALL, pid, nullptr, signal) == 0);
    wait();
    if (!WIFSTOPPED(status)) break;
    const bool at_syscall = WSTOPSIG(status) == (SIGTRAP | 0x80);
    stops += at_syscall;
    signal = at_syscall ? 0 : WSTOPSIG(status);
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) {
    std::fprintf(stderr, "possum %s: wait status %d\n", line.c_str(), status);
  }
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
  return {stops / 2, usage.ru_maxrss, WEXITSTATUS(status)};  // one before, one behind
}

std::size_t names_in_shm() {
  const std::filesystem::directory_iterator all(kShmDirectory);
  return static_cast<std::size_t>(std::distance(begin(all), end(all)));
}

void link_to(const std::string& channel, const std::string& name) {
  CHECK(link(path_of(channel).c_str(), path_of(name).c_str()) == 0);
}

// What one can make of a name, one after the other. The objects are what somebody leaves
// who wants to be looked at: of any size, with holes, hard links to a channel that lives.
void make_names(const ForgedChannel& model, int count, const std::string& prefix) {
  for (int i = 0; i < count; ++i) {
    const std::string channel = prefix + std::to_string(i);
    const std::string path = path_of(channel);
    const std::string data = data_path(channel, static_cast<unsigned>(i + 1));
    switch (i % 8) {
      case 0:  // a dead writer's
        make_file(path);
        make_file(data);
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
        link_to(model.channel(), channel);
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
void expect_bounded(const std::string& line) {
  for (const int count : {kFew, kMany}) {
    const OwnShm own;
    const ForgedChannel model("model");
    make_names(model, count, "crowd");
    const Work work = work_of_tool(line);
    std::printf("   %s of %d names: %ld system calls, %ld KiB\n", line.c_str(), count,
                work.syscalls, work.peak_kib);
    CHECK(work.syscalls <= kCallsInAll + kCallsForEach * count);
  }
}

}  // namespace

TEST(list_takes_so_much_for_each_name) { expect_bounded("list"); }
TEST(list_for_programs_takes_so_much_for_each_name) { expect_bounded("list --json"); }
TEST(watch_takes_so_much_for_each_name) { expect_bounded("watch -n 1 -i 0.1"); }
TEST(clean_takes_so_much_for_each_name) { expect_bounded("clean"); }

TEST_F(OwnShm, names_of_the_dead_are_removed_however_many_there_are) {
  constexpr int kDead = 3000;
  for (int i = 0; i < kDead; ++i) {
    const std::string channel = "dead" + std::to_string(i);
    make_file(path_of(channel));
    make_file(data_path(channel, 1));
  }
  const Work work = work_of_tool("clean");
  CHECK(work.status == 0 && names_in_shm() == 0);
  CHECK(work.syscalls <= kCallsInAll + kCallsForEach * kDead);
}

// The second is not waited for each: as many as these would take ten minutes.
TEST_F(OwnShm, objects_without_a_control_object_are_given_one_second_together) {
  constexpr int kLeft = 600;
  for (int i = 0; i < kLeft; ++i) {
    make_file(data_path("left" + std::to_string(i), 1));
  }
  expect_tool(0, "clean");
  CHECK(names_in_shm() == 0);
}

// One object is one channel, whatever it is called.
TEST_F(OwnShm, hard_links_are_no_channels) {
  const std::string caps = "video/x-raw, x=" + std::string(16'000, 'y');
  const ForgedChannel model("model", caps);
  for (int i = 0; i < 10; ++i) {
    link_to("model", "link" + std::to_string(i));
  }
  for (const Json& channel : expect_tool(0, "list --json").json()) {
    CHECK(channel["state"] == "damaged");
    CHECK(contains(channel["problem"], "other names"));
  }
  for (int i = 0; i < 10; ++i) {
    unlink_names("link" + std::to_string(i));
  }
  const Json whole = expect_tool(0, "list --json").json();
  CHECK(whole.size() == 1 && whole[0]["frame"]["caps"] == caps);
  // Nor do many channels show one object's frame.
  const std::string data = kShmDirectory + model.object->name;
  CHECK(link(data.c_str(), "/dev/shm/elsewhere") == 0);
  CHECK(expect_tool(0, "list --json").json()[0]["frame"] == nullptr);
}

TEST_F(OwnShm, hard_links_stay_as_long_as_their_writer_lives) {
  FarWriter writer("writer");
  link_to("writer", "link");
  link_to("writer", "other");
  const std::size_t names = names_in_shm();
  expect_tool(0, "clean");
  expect_tool(1, "clean link");
  CHECK(names_in_shm() == names);
  writer.publish(1, 1);
  writer.kill();
  expect_tool(0, "clean --dry-run");
  CHECK(names_in_shm() >= names);
  expect_tool(0, "clean");
  CHECK(names_in_shm() == 0);
}

// Somebody else's names do not push out one's own, and are counted.
TEST_F(ManyUsers, crowd_of_another_user_hides_nobody) {
  FarWriter writer("own");
  constexpr int kCrowd = 1500;
  for (int i = 0; i < kCrowd; ++i) {
    make_file(path_of("a" + std::to_string(i)), 0, kMallory.uid);
    make_file(path_of("z" + std::to_string(i)), 0, kMallory.uid);
  }
  const ToolResult list = expect_tool(0, "list -q");
  CHECK(contains("\n" + list.out, "\nown\n"));
  CHECK(std::count(list.out.begin(), list.out.end(), '\n') == 1024 + 1);
  CHECK(contains(list.err, "the rest is left out"));
  CHECK(contains(expect_tool(0, "watch -n 1 -i 0.1").out, "own"));
}
