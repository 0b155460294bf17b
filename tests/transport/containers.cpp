// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Channels between containers, that is between PID, IPC, user and time namespaces that
// share only the mount at /dev/shm: frames arrive whole and in order, deaths are noticed,
// times are right, or known to be another clock's.
#include "support/containers.h"

#include "support/private_shm.h"

using namespace support;

namespace {

constexpr int kHour = 3600;
constexpr std::size_t kMiB = 1024 * 1024;

// A blocking reader gets every frame and the end.
void expect_lossless(FarWriter& writer, FarReader& reader, int count,
                     std::size_t bytes = kSmall) {
  writer.wait_readers(1);
  reader.tell("drain");
  writer.publish(1, static_cast<std::uint64_t>(count), bytes);
  writer.order("eos", "eos");
  reader.expect("eos " + std::to_string(count) + " 1");
}

// On the reader's clock: when the frame in hand was published and due, before now.
void expect_ages(FarReader& reader) {
  std::istringstream words(reader.ask("ages"));
  std::int64_t published_ns = 0;
  std::int64_t due_ns = 0;
  words >> published_ns >> due_ns;
  CHECK(published_ns >= 0 && published_ns < kLimitMs * kMs);
  CHECK(due_ns >= published_ns && due_ns < kLimitMs * kMs);
}

void expect_traffic(FarWriter& writer, FarReader& reader, bool one_clock = true) {
  reader.attach();
  expect_lossless(writer, reader, 300);
  writer.publish(301, 301);
  CHECK(reader.frame().key == 301);
  CHECK(reader.ask("clock") == (one_clock ? "known" : "strange"));
  if (one_clock) expect_ages(reader);
}

// Holds up the writer, then dies.
template <class Dying>
void expect_death_of_reader_noticed(FarWriter& writer, Dying& reader) {
  writer.tell("publish 302 340 4096");
  for (int i = 0; i < 3; ++i) CHECK(reader.take().status == "frame");
  reader.kill_inside();
  writer.expect("ok");
}

template <class Dying>
void expect_death_of_writer_noticed(Dying& writer, FarReader& reader) {
  while (reader.take(0).status == "frame") {
  }
  reader.tell("take 20000");
  const std::int64_t before = monotonic_ns();
  writer.kill_inside();
  reader.expect("disconnected");
  CHECK(monotonic_ns() - before < 1000 * kMs);
}

void expect_successor(FarReader& reader, FarWriter& writer) {
  reader.attach();
  writer.publish(1, 1);
  CHECK(reader.frame().key == 1);
  writer.order("close", "closed");
}

// All that two sides do, with the container on either side and on both.
void expect_channel_through(const Container& box, const Container& other) {
  {
    const std::string channel = unique_channel();
    BoxedWriter writer(box, channel);
    FarReader reader(channel, Policy::blocking);
    expect_traffic(writer, reader, box.clock_s == 0);
    expect_death_of_writer_noticed(writer, reader);
    FarWriter next(channel, "blocking");  // clears up after the one inside
    expect_successor(reader, next);
    CHECK(names_of(channel).empty());
  }
  {
    const std::string channel = unique_channel();
    FarWriter writer(channel, "blocking");
    BoxedReader reader(box, channel);
    expect_traffic(writer, reader, box.clock_s == 0);
    expect_death_of_reader_noticed(writer, reader);
    writer.order("close", "closed");
    CHECK(names_of(channel).empty());
  }
  const std::string channel = unique_channel();
  BoxedWriter writer(box, channel);
  BoxedReader first(other, channel);
  expect_traffic(writer, first, box.clock_s == other.clock_s);
  expect_death_of_reader_noticed(writer, first);
  BoxedReader second(other, channel);
  second.attach();
  expect_death_of_writer_noticed(writer, second);
  BoxedWriter next(other, channel);
  expect_successor(second, next);
  CHECK(names_of(channel).empty());
}

Container with_clock(int seconds) { return {CLONE_NEWTIME, seconds}; }
Container rootless(const User& user) {
  return {kWholeContainer | CLONE_NEWUSER, 0, user};
}

constexpr User kAlice{54301, 54321};
constexpr User kBob{54302, 54321};

}  // namespace

// --- one namespace at a time -----------------------------------------------------------

TEST(pid_namespaces) { expect_channel_through({CLONE_NEWPID}, {CLONE_NEWPID}); }
TEST(ipc_namespaces) { expect_channel_through({CLONE_NEWIPC}, {CLONE_NEWIPC}); }

TEST(user_namespaces) {
  need_root();
  expect_channel_through({CLONE_NEWUSER}, {CLONE_NEWUSER});
}

TEST(time_namespaces) {
  expect_channel_through(with_clock(kHour), with_clock(2 * kHour));
  expect_channel_through(with_clock(-100), with_clock(kHour));
  expect_channel_through(with_clock(-100), with_clock(-100));
}

// --- containers ------------------------------------------------------------------------

TEST(containers_of_root) {
  expect_channel_through({kWholeContainer}, {kWholeContainer | CLONE_NEWTIME, kHour});
}

TEST_F(OnChannel, rootless_containers_of_one_user) {
  need_root();
  BoxedWriter writer(rootless(kAlice), channel);
  BoxedReader inside(rootless(kAlice), channel);
  expect_traffic(writer, inside);
  inside.kill_inside();
  FarReader outside(kAlice, channel);
  outside.attach();
  CHECK(outside.frame().key == 301);
  expect_death_of_writer_noticed(writer, outside);
  FarWriter next = writing_as(kAlice, channel);
  expect_successor(outside, next);
}

// An owner without a number inside looks like the overflow uid, nobody's.
TEST_F(OnChannel, owner_that_the_container_does_not_know_needs_to_be_allowed_as_nobody) {
  need_root();
  // First what may be refused: a skipped test leaves no names.
  BoxedReader strict(rootless(kBob), channel, Policy::drop_oldest);
  FarWriter writer = writing_as(kAlice, channel, "660");
  writer.publish(1, 1);
  CHECK(strict.ask("attach 0") ==
        "timeout " + std::to_string(static_cast<int>(ErrorCode::not_owner)));
  const std::string why = strict.ask("error");
  CHECK(says(why, "65534"));
  CHECK(says(why, "allowed-owner=65534"));
  for (const std::string owner : {"65534", "any"}) {
    BoxedReader allowing(rootless(kBob), channel, Policy::drop_oldest, owner);
    allowing.attach();
    CHECK(allowing.frame().key == 1);
  }
  BoxedWriter thief(rootless(kBob), channel,
                    "failed " + std::to_string(static_cast<int>(ErrorCode::not_owner)));
  CHECK(says(thief.ask("error"), "65534"));
  writer.order("close", "closed");
  CHECK(names_of(channel).empty());
}

TEST_F(OnChannel, stranger_in_a_container_stays_outside_of_a_private_channel) {
  need_root();
  BoxedReader stranger(rootless(kBob), channel, Policy::drop_oldest, "any");
  FarWriter writer = writing_as(kAlice, channel, "600");
  CHECK(stranger.ask("attach 0") ==
        "timeout " + std::to_string(static_cast<int>(ErrorCode::no_permission)));
}

// --- 64 MiB ----------------------------------------------------------------------------

TEST_F(OnChannel, two_containers_on_one_small_mount) {
  const PrivateShm shm(64 * kMiB);
  BoxedWriter writer({kWholeContainer}, channel);
  BoxedReader reader({kWholeContainer}, channel);
  reader.attach();
  expect_lossless(writer, reader, 30, 12 * kMiB);
  writer.order("close", "closed");
  CHECK(names_of(channel).empty());
}
