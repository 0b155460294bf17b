// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Pipelines in containers: programs started by unshare(1) in namespaces of their own,
// which share the mount at /dev/shm. With --timed each frame's time stamp must be the
// moment at which its picture was drawn. Of a writer in another time namespace nobody can
// tell that moment: its frames count with their arrival, and a warning says so.

#include <string>

#include "support/check.h"
#include "support/players.h"

using namespace support;
using support::env;

namespace {

constexpr char kApart[] = "--pid --ipc --net --uts --mount-proc";
constexpr char kHourAhead[] = "--pid --mount-proc --time --monotonic 3600";
// As far as a machine that has just started can go.
constexpr char kMinutesBehind[] = "--pid --mount-proc --time --monotonic -300";
constexpr char kRootless[] = "--user --map-root-user --pid --ipc --mount-proc";

// possum-player in namespaces as unshare(1) has them; "" for none.
Process play_in(const std::string& box, const std::string& pipeline,
                const std::string& channel) {
  if (box.empty()) return play(pipeline, channel);
  const std::string unshare = "exec unshare " + box + " --kill-child ";
  Process probe = support::shell(unshare + "true 2>&1");
  if (probe.join() != 0) check::skip("no such container here: " + probe.output());
  return support::shell(unshare + env("POSSUM_PLAYER") + " " +
                        replaced(pipeline, "CHANNEL", channel));
}

Process start_writer(const std::string& box, const std::string& channel) {
  return play_in(box,
                 "stampsrc live=true caps=video/x-raw,format=I420,width=320,height=240,"
                 "framerate=60/1 ! possumsink name=check channel=CHANNEL",
                 channel);
}

Process start_reader(const std::string& box, const std::string& channel,
                     const std::string& checks = "--timed ") {
  return play_in(box,
                 checks +
                     "possumsrc name=src max-buffers=16 channel=CHANNEL ! "
                     "fakesink name=check sync=true",
                 channel);
}

// SIGINT would stop at unshare.
void quit(Process& player) {
  player.tell("quit");
  player.expect_status(0);
}

// Frames with right times; each death is noticed by the other.
void expect_channel_through(const std::string& box, const std::string& other) {
  const std::string channel = unique_channel();
  Process writer = start_writer(box, channel);
  Process reader = start_reader(other, channel);
  await_frames(reader, 30);
  writer.kill();
  reader.wait_line("progress start", 2);
  // Outside: inside, every writer is process 1, and looks like the first one come back.
  Process second = start_writer("", channel);
  reader.wait_line("progress complete");
  await_frames(reader, 30);
  if (reader.said("warning")) reader.fail("doubts the writer's clock");
  reader.kill();
  second.wait_line("died", 2);
  Process last = start_reader(box, channel);
  await_frames(last, 1);
  quit(last);
  quit(second);
  CHECK(names_of(channel).empty());
}

// A synchronising reader shows all frames, and says what is the matter with their times.
void expect_another_clock(const std::string& box, const std::string& other) {
  const std::string channel = unique_channel();
  Process writer = start_writer(box, channel);
  Process reader = start_reader(other, channel, "");
  await_frames(reader, 60);
  if (!reader.said("time namespace")) reader.fail("believes the writer's clock");
  quit(reader);
  quit(writer);
  CHECK(names_of(channel).empty());
}

void expect_lossless(const std::string& box, const std::string& other) {
  const std::string channel = unique_channel();
  Process reader = play_in(other,
                           "--lossless possumsrc channel=CHANNEL leaky-type=none "
                           "is-live=false ! fakesink name=check",
                           channel);
  Process writer = play_in(box,
                           "stampsrc num-buffers=500 caps=video/x-raw,format=I420,"
                           "width=320,height=240,framerate=60/1 ! possumsink name=check "
                           "channel=CHANNEL sync=false min-readers=1 allow-blocking=true",
                           channel);
  reader.expect_status(0);
  CHECK(reader.said("total 500 frames, 0 missed"));
  writer.expect_status(0);
  CHECK(names_of(channel).empty());
}

}  // namespace

TEST(containers_exchange_frames) {
  expect_channel_through(kApart, kApart);
  expect_lossless(kApart, kApart);
}

TEST(frames_of_another_clock_count_with_their_arrival) {
  expect_another_clock(kHourAhead, "");
  expect_another_clock(kMinutesBehind, "");
  expect_another_clock("", kHourAhead);
  expect_another_clock("", kMinutesBehind);
  expect_lossless(kHourAhead, kMinutesBehind);
}

TEST(rootless_containers_exchange_frames) {
  expect_channel_through(kRootless, kRootless);
  expect_lossless(kRootless, kRootless);
}
