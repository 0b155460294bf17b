// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A writer that lets readers hold it up, and readers that do: every frame arrives, whole
// and in order. --lossless makes the player end with an error at the first gap.
// POSSUM_SOAK_SECONDS makes the long test longer.

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <string>

#include "support/check.h"
#include "support/players.h"

using namespace support;
using support::number_after;

namespace {

// At some 15,000 frames a second; a sleep on every other frame makes it a tenth of that.
constexpr int kFrames = 50'000;
constexpr int kFramesPerSoakSecond = 3'000;
constexpr int kCapsChanges = 10;
constexpr int kLongSeconds = 150;

int frames_to_send() {
  const char* soak = std::getenv("POSSUM_SOAK_SECONDS");
  return soak != nullptr ? std::max(kFrames, kFramesPerSoakSecond * std::atoi(soak))
                         : kFrames;
}

// Small pictures of several sizes and formats, which take turns.
std::string many_caps() {
  std::string list;
  for (const char* caps :
       {"format=GRAY8,width=64,height=16", "format=I420,width=64,height=32",
        "format=BGRx,width=32,height=24", "format=NV12,width=96,height=18",
        "format=GRAY8,width=64,height=16,interlace-mode=progressive"}) {
    if (!list.empty()) list += ';';
    list += std::string("video/x-raw,") + caps + ",framerate=1000/1";
  }
  return "'caps=\"" + list + "\"'";
}

// Sends all frames to a reader that is already there or comes later.
Process start_writer(const std::string& channel, int frames, const std::string& source,
                     const std::string& sink = "") {
  return play("stampsrc num-buffers=" + std::to_string(frames) + " " + source +
                  " ! possumsink name=check channel=CHANNEL sync=false min-readers=1 "
                  "allow-blocking=true " +
                  sink,
              channel);
}

Process start_reader(const std::string& channel, const std::string& options,
                     const std::string& downstream = "", const std::string& source = "") {
  return play("--lossless " + options +
                  " possumsrc name=src channel=CHANNEL leaky-type=none is-live=false " +
                  source + " ! " + downstream + " fakesink name=check",
              channel);
}

// What a process has for itself.
struct Footprint {
  std::size_t private_kib;
  std::size_t descriptors;
};
Footprint footprint_of(const Process& process) {
  const std::string pid = std::to_string(process.pid());
  return {support::private_kib(pid), support::open_descriptors(pid).size()};
}
void check_growth(Process& child, const Footprint& before) {
  const Footprint now = footprint_of(child);
  std::printf("   %zu KiB and %zu descriptors, then %zu and %zu\n", before.private_kib,
              before.descriptors, now.private_kib, now.descriptors);
#ifndef __SANITIZE_ADDRESS__  // which keeps freed memory
  if (now.private_kib > before.private_kib + 2048) child.fail("grows");
#endif
  // One object each may be just being made by two threads; a leak adds one per change.
  constexpr int kInPassing = 2;
  if (now.descriptors > before.descriptors + kInPassing) child.fail("leaks descriptors");
}

void check_complete(Process& reader, int frames) {
  reader.expect_status(0, kLongSeconds);
  if (!reader.said("total " + std::to_string(frames) + " frames, 0 missed")) {
    reader.fail("is incomplete");
  }
}

}  // namespace

TEST(sleepy_reader_gets_every_frame_across_caps_changes) {
  const std::string channel = unique_channel();
  const int frames = frames_to_send();
  Process reader = start_reader(channel, "--report=10000 --sleep-us=200");
  Process writer = start_writer(
      channel, frames,
      many_caps() + " change-every=" + std::to_string(frames / (kCapsChanges + 1) + 1));
  check_complete(reader, frames);
  writer.expect_status(0);
  CHECK(names_of(channel).empty());
}

TEST(pipelines_do_not_grow) {
  const std::string channel = unique_channel();
  const int frames = frames_to_send();
  const auto frame = [](int number) { return "frame " + std::to_string(number) + " "; };
  Process reader = start_reader(channel, "--report=" + std::to_string(frames / 10));
  Process writer = start_writer(channel, frames, many_caps() + " change-every=1000");
  reader.wait_line(frame(frames / 5), kLongSeconds);
  const Footprint writer_before = footprint_of(writer);
  const Footprint reader_before = footprint_of(reader);
  for (int tenth = 3; tenth < 10; ++tenth) {
    reader.wait_line(frame(frames / 10 * tenth), kLongSeconds);
    check_growth(writer, writer_before);
    check_growth(reader, reader_before);
  }
  check_complete(reader, frames);
  writer.expect_status(0);
}

TEST(sleepy_readers_of_one_writer_get_every_frame_each) {
  const std::string channel = unique_channel();
  constexpr int kFew = 10'000;
  Process reader = start_reader(channel, "--sleep-us=300");
  Process deep = start_reader(channel, "--sleep-us=100", "queue !", "max-buffers=16");
  Process shallow = start_reader(channel, "--sleep-us=100", "queue !", "max-buffers=1");
  Process dropping =
      play("--sleep-us=2000 possumsrc channel=CHANNEL ! fakesink name=check", channel);
  Process writer =
      start_writer(channel, kFew, many_caps() + " change-every=1000", "min-readers=4");
  for (Process* each : {&reader, &deep, &shallow}) check_complete(*each, kFew);
  dropping.expect_status(0);
  writer.expect_status(0);
}

TEST(killed_blocking_reader_lets_the_writer_and_the_other_go_on) {
  const std::string channel = unique_channel();
  constexpr int kFew = 20'000;
  Process reader = start_reader(channel, "--sleep-us=100");
  Process victim = start_reader(channel, "");
  Process writer =
      start_writer(channel, kFew, many_caps() + " change-every=500", "min-readers=2");
  // Not before both are there: the first frame, of the preroll, waits for nobody.
  for (int attached = 0; attached < 2; ++attached) writer.wait_line("attached ");
  victim.wait_line("frame ");
  victim.stop();
  writer.tell("set check min-readers 1");
  writer.wait_line("set min-readers");
  victim.kill();
  check_complete(reader, kFew);
  writer.expect_status(0);
  CHECK(writer.said("died"));
}

// What is kept is more than the writer has slots: the reader copies what it takes.
TEST(downstream_that_keeps_forty_frames_back_does_not_deadlock) {
  constexpr int kFew = 500;
  for (const char* slots : {"slots=3", "slots=4", "slots=16", "slots=32"}) {
    const std::string channel = unique_channel();
    Process reader = start_reader(
        channel, "",
        "queue min-threshold-buffers=40 max-size-buffers=50 max-size-bytes=0 "
        "max-size-time=0 !");
    Process writer =
        start_writer(channel, kFew, many_caps() + " change-every=100", slots);
    check_complete(reader, kFew);
    writer.expect_status(0);
    CHECK(names_of(channel).empty());
  }
}

// Every frame has caps, and so objects, that the reader does not know yet: it could not
// have them from a writer that is gone.
TEST(eos_waits_for_a_reader_that_is_behind) {
  const std::string channel = unique_channel();
  constexpr int kFew = 12;
  Process reader = start_reader(channel, "", "", "max-buffers=16");
  Process writer =
      start_writer(channel, kFew, many_caps() + " change-every=1", "min-readers=2");
  reader.wait_line("frame 1 ");
  reader.stop();
  Process other = play("possumsrc channel=CHANNEL ! fakesink", channel);
  other.expect_status(0);
  // While somebody else comes and goes, a writer that does not wait would be gone.
  Process late = play(
      "possumsrc channel=CHANNEL num-buffers=1 connection-timeout=1 ! fakesink", channel);
  late.join();
  reader.go_on();
  check_complete(reader, kFew);
  writer.expect_status(0);
}

TEST(stalled_reader_is_demoted_after_max_blocking_time) {
  const std::string channel = unique_channel();
  Process reader = start_reader(channel, "");
  Process victim = start_reader(channel, "");
  Process writer = start_writer(channel, 50'000, many_caps(),
                                "min-readers=2 max-blocking-time=500000000");
  victim.wait_line("frame ");
  victim.stop();
  writer.wait_line("held this sink up");
  check_complete(reader, 50'000);
  writer.expect_status(0);
  CHECK(!writer.said("detached 0 died") && !writer.said("detached 1 died"));
}
