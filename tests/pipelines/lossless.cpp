// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A writer that lets readers hold it up, and readers that do: every frame arrives, whole
// and in order. --lossless makes the player end with an error at the first gap.
// POSSUM_SOAK_SECONDS makes it longer.

#include <cstdio>
#include <cstdlib>
#include <string>

#include "support/check.h"
#include "support/players.h"

using namespace support;
using support::number_after;

namespace {

// At some 15,000 frames a second; a sleep on every other frame makes it a tenth of that.
constexpr int kFrames = 50'000;
constexpr int kFramesPerSoakSecond = 3'000;
constexpr int kLongSeconds = 150;

int frames_to_send() {
  const char* soak = std::getenv("POSSUM_SOAK_SECONDS");
  return soak != nullptr ? std::max(kFrames, kFramesPerSoakSecond * std::atoi(soak))
                         : kFrames;
}

// Sends all frames, small pictures of several sizes and formats, to readers that are
// already there or come later.
Process start_writer(const std::string& channel, int frames, const std::string& sink) {
  std::string caps;
  for (const char* each :
       {"format=GRAY8,width=64,height=16", "format=I420,width=64,height=32",
        "format=BGRx,width=32,height=24", "format=NV12,width=96,height=18",
        "format=GRAY8,width=64,height=16,interlace-mode=progressive"}) {
    caps += std::string(caps.empty() ? "" : ";") + "video/x-raw,framerate=1000/1," + each;
  }
  return play("'--caps=" + caps + "' --change-every=1000 " + kStamp +
                  "num-buffers=" + std::to_string(frames) +
                  " ! possumsink name=check channel=CHANNEL sync=false "
                  "allow-blocking=true " +
                  sink,
              channel);
}

Process start_reader(const std::string& channel, const std::string& options,
                     const std::string& source = "", const std::string& downstream = "") {
  return play("--lossless " + options +
                  " possumsrc channel=CHANNEL leaky-type=none is-live=false " + source +
                  " ! " + downstream + " fakesink name=check",
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
  if (!support::kSanitized && now.private_kib > before.private_kib + 2048) {
    child.fail("grows");
  }
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

// One of them keeps more than the writer has slots: it copies what it takes. Beside them
// are some that drop frames.
TEST(sleepy_readers_get_every_frame_across_caps_changes) {
  const std::string channel = unique_channel();
  const int frames = frames_to_send();
  Process reader = start_reader(channel, "--report=1000 --sleep-us=200");
  Process deep = start_reader(channel, "--sleep-us=100", "max-buffers=16", "queue !");
  Process shallow = start_reader(channel, "--sleep-us=100", "max-buffers=1", "queue !");
  Process hoarder =
      start_reader(channel, "", "",
                   "queue min-threshold-buffers=40 max-size-buffers=50 max-size-bytes=0 "
                   "max-size-time=0 !");
  Process oldest =
      play("--sleep-us=2000 possumsrc channel=CHANNEL ! fakesink name=check", channel);
  Process newest = play(
      "--sleep-us=2000 possumsrc leaky-type=upstream channel=CHANNEL ! "
      "fakesink name=check",
      channel);
  Process writer = start_writer(channel, frames, "min-readers=6 slots=4");
  for (Process* each : {&reader, &deep, &shallow, &hoarder}) {
    check_complete(*each, frames);
  }
  for (Process* each : {&oldest, &newest, &writer}) each->expect_status(0);
  CHECK(oldest.said("gap ") && newest.said("gap "));
  CHECK(names_of(channel).empty());
}

TEST(pipelines_do_not_grow) {
  const std::string channel = unique_channel();
  const int frames = frames_to_send();
  const auto frame = [](int number) { return "frame " + std::to_string(number) + " "; };
  Process reader = start_reader(channel, "--report=" + std::to_string(frames / 10));
  Process writer = start_writer(channel, frames, "min-readers=1");
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
