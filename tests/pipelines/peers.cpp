// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Behind the elements that people put before possumsink: those that push one buffer
// twice, keep references to what they pushed, or pad their pictures.

#include <cstdint>
#include <string>

#include "support/check.h"
#include "support/players.h"

using namespace support;
using support::contents;

namespace {

constexpr std::int64_t kAny = -1;

// Runs `source` into a file, and over a channel into another: both must be the same.
// Widths are multiples of 8: nothing fixes the bytes between the end of a row and the
// next. Returns what the sink says of itself in the end.
std::string check_same_bytes(const std::string& source, const std::string& sink) {
  const TemporaryDirectory directory;
  const std::string channel = unique_channel();
  Process uncut =
      launch("-q " + source + " ! filesink location=" + directory.file("uncut"));
  Process reader = launch(
      "-q possumsrc channel=CHANNEL leaky-type=none is-live=false ! "
      "filesink location=" +
          directory.file("read"),
      channel);
  Process writer = play(source +
                            " ! possumsink name=sink channel=CHANNEL sync=false "
                            "allow-blocking=true min-readers=1 " +
                            sink,
                        channel);
  for (Process* each : {&uncut, &writer, &reader}) each->expect_status(0);
  const std::string expected = contents(directory.file("uncut"));
  CHECK(!expected.empty());
  if (contents(directory.file("read")) != expected) writer.fail("arrives changed");
  CHECK(names_of(channel).empty());
  return writer.wait_line("stats sink ");
}

void check_frames(const std::string& source, std::int64_t least_frames,
                  std::int64_t copied = kAny, const std::string& sink = "") {
  const std::string stats = check_same_bytes(source, sink);
  CHECK(number_after(stats, " frames") >= least_frames);
  CHECK(number_after(stats, "copied") + number_after(stats, "zero-copy") ==
        number_after(stats, " frames"));
  CHECK(copied == kAny || number_after(stats, "copied") == copied);
  CHECK(number_after(stats, "no-slot") == 0);
  CHECK(number_after(stats, "dropped") == 0);
}

std::string test_picture(int frames, const std::string& properties = "") {
  return "videotestsrc num-buffers=" + std::to_string(frames) + " " + properties +
         " ! video/x-raw,format=I420,width=328,height=242,framerate=10/1";
}

}  // namespace

TEST(imagefreeze_pushes_one_buffer_many_times) {
  check_frames(test_picture(1) + " ! imagefreeze num-buffers=40", 40);
}

TEST(videorate_pushes_buffers_twice) {
  check_frames(
      test_picture(30, "pattern=ball") + " ! videorate ! video/x-raw,framerate=30/1", 85);
}

TEST(tee_costs_one_copy) {
  check_frames(test_picture(50, "pattern=ball") +
                   " ! tee name=t ! queue ! fakesink async=false t. ! queue",
               50, 50);
}

TEST(videocrop_moves_the_planes) {
  check_frames(
      "videotestsrc num-buffers=20 pattern=ball ! "
      "video/x-raw,format=I420,width=664,height=370,framerate=25/1 ! "
      "videocrop left=14 top=6 right=10 bottom=4",
      20);
}

// With more threads its pictures differ from run to run (GStreamer 1.22).
TEST(compositor_draws_into_the_pool) {
  check_frames(
      test_picture(50) + " ! c. " + test_picture(50, "pattern=ball") +
          " ! c. compositor name=c max-threads=1 sink_1::xpos=100 sink_1::alpha=0.5 ! "
          "video/x-raw,format=I420,width=640,height=358,framerate=10/1",
      50);
}

// Its pictures have borders, and it refers to those it has pushed.
TEST(avdec_h264_costs_at_most_one_copy_and_drops_nothing) {
  const TemporaryDirectory directory;
  const std::string film = directory.file("film.h264");
  Process encoder = launch(
      "-q videotestsrc pattern=ball num-buffers=120 ! "
      "video/x-raw,format=I420,width=648,height=358,framerate=30/1 ! "
      "x264enc speed-preset=ultrafast bframes=3 ref=4 threads=1 ! filesink location=" +
      film);
  encoder.expect_status(0);
  for (const char* threads : {"1", "4", "16"}) {
    for (const char* slots : {"slots=3", "slots=16"}) {
      check_frames(
          "filesrc location=" + film + " ! h264parse ! avdec_h264 max-threads=" + threads,
          120, kAny, slots);
    }
  }
}
