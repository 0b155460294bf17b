// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A small /dev/shm, as containers have it: fewer slots or a clear error, never SIGBUS.

#include <string>

#include "support/check.h"
#include "support/players.h"
#include "support/private_shm.h"

using namespace support;
using support::launch;

namespace {

constexpr std::size_t kMiB = 1024 * 1024;

Process start_writer(const std::string& channel, const std::string& caps,
                     const std::string& properties = "") {
  return play("stampsrc live=true caps=video/x-raw," + caps +
                  ",framerate=60/1 ! possumsink name=check channel=CHANNEL " + properties,
              channel);
}

Process start_hoarder(const std::string& channel) {
  return play(
      "possumsrc channel=CHANNEL max-buffers=16 ! identity name=check ! "
      "queue min-threshold-buffers=200 max-size-buffers=200 max-size-bytes=0 "
      "max-size-time=0 ! fakesink",
      channel);
}

}  // namespace

TEST(picture_that_does_not_fit_three_times_is_a_clear_error) {
  const PrivateShm shm(64 * kMiB);
  const std::string channel = unique_channel();
  Process writer = launch(
      "videotestsrc ! video/x-raw,format=BGRx,width=3840,height=2160 ! "
      "possumsink channel=CHANNEL",
      channel);
  const std::string line = writer.wait_line("ERROR");
  // 3 * 3840 * 2160 * 4 bytes are 94.9 MiB.
  CHECK(number_after(line, "needs at least ") >= 95);
  CHECK(number_after(line, "needs at least ") <= 97);
  CHECK(line.find(" MiB (3 slots of 3840x2160 BGRx), ") != std::string::npos);
  CHECK(number_after(line, "BGRx), ") <= 64);
  CHECK(line.find(" MiB free: use a smaller format or enlarge /dev/shm "
                  "(docker run --shm-size=512m)") != std::string::npos);
  writer.expect_status(1);
  CHECK(names_of(channel).empty());
}

TEST(pool_that_cannot_grow_has_fewer_slots_and_a_warning) {
  const PrivateShm shm(64 * kMiB);
  const std::string channel = unique_channel();
  // Just under 8 MiB each.
  Process writer = start_writer(channel, "format=BGRx,width=1920,height=1080");
  Process hoarder = start_hoarder(channel);
  writer.wait_line("warning ");
  await_frames(hoarder, 60);
  await_frames(writer, 60);
  const std::string stats = stats_of(writer, "check");
  const auto slots = number_after(stats, " slots");
  if (slots < 3 || slots > 8) writer.fail("has other slots than fit");
  // Another one still sees every frame or says which are missing.
  Process other = play("possumsrc channel=CHANNEL ! fakesink name=check", channel);
  await_frames(other, 60);
  end(other);
  end(hoarder);
  end(writer);
  CHECK(names_of(channel).empty());
}

TEST(larger_caps_that_do_not_fit_end_in_the_error_not_in_sigbus) {
  const PrivateShm shm(64 * kMiB);
  const std::string channel = unique_channel();
  Process writer = play(
      "stampsrc live=true 'caps=\"video/x-raw,format=BGRx,width=640,height=360,"
      "framerate=60/1;video/x-raw,format=BGRx,width=4096,height=2304,framerate=60/1\"' "
      "change-every=30 ! possumsink name=check channel=CHANNEL",
      channel);
  // A source whose push failed sends EOS before the pipeline stops, or does not get
  // there.
  Process reader =
      play("possumsrc channel=CHANNEL ignore-eos=true ! fakesink name=check", channel);
  reader.wait_line("frame ");
  writer.wait_line("(3 slots of 4096x2304 BGRx)");
  writer.expect_status(1);
  reader.wait_line("progress start");  // waits for the next one
  end(reader);
  CHECK(names_of(channel).empty());
}

TEST(not_even_room_for_a_channel_is_a_clear_error) {
  const PrivateShm shm(kMiB);
  PrivateShm::fill_up(64 * 1024);
  const std::string channel = unique_channel();
  Process writer = launch("videotestsrc ! possumsink channel=CHANNEL", channel);
  const std::string line = writer.wait_line("ERROR");
  CHECK(line.find("/dev/shm") != std::string::npos);
  writer.expect_status(255);
  CHECK(names_of(channel).empty());
}

TEST(room_that_others_take_while_frames_flow_hurts_nobody) {
  const PrivateShm shm(64 * kMiB);
  const std::string channel = unique_channel();
  Process writer = start_writer(channel, "format=I420,width=1280,height=720");
  Process reader = play("possumsrc channel=CHANNEL ! fakesink name=check", channel);
  await_frames(reader, 30);
  PrivateShm::fill_up(0);
  Process hoarder = start_hoarder(channel);
  await_frames(hoarder, 60);
  await_frames(reader, 60);
  end(hoarder);
  end(reader);
  end(writer);
}

TEST(downstream_that_keeps_forty_frames_back_does_not_deadlock_without_room) {
  const PrivateShm shm(64 * kMiB);
  const std::string channel = unique_channel();
  Process reader = play(
      "--lossless possumsrc channel=CHANNEL leaky-type=none is-live=false ! "
      "queue min-threshold-buffers=40 max-size-buffers=50 max-size-bytes=0 "
      "max-size-time=0 ! fakesink name=check",
      channel);
  Process writer = play(
      "stampsrc num-buffers=300 caps=video/x-raw,format=BGRx,width=1920,height=1080,"
      "framerate=60/1 ! possumsink name=check channel=CHANNEL sync=false min-readers=1 "
      "allow-blocking=true slots=16",
      channel);
  reader.expect_status(0, 120);
  CHECK(reader.said("total 300 frames, 0 missed"));
  writer.expect_status(0);
}
