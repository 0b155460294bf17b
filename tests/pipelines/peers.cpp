// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Beside the elements that people put before and after: those that push one buffer twice,
// keep references to what they pushed, pad their pictures or know nothing of strides.

#include <string>
#include <vector>

#include "support/check.h"
#include "support/players.h"

using namespace support;
using support::contents;

namespace {

constexpr char kLossless[] =
    " ! possumsink name=sink channel=CHANNEL sync=false allow-blocking=true "
    "min-readers=1 ";

// Widths are multiples of 8: nothing fixes the bytes between the end of a row and the
// next.

// Runs `source` into a file, and over a channel into another: both must be the same.
// Returns what the sink says of itself in the end.
std::string check_same_bytes(const std::string& source, const std::string& sink = "") {
  const TemporaryDirectory directory;
  const std::string channel = unique_channel();
  Process uncut =
      launch("-q " + source + " ! filesink location=" + directory.file("uncut"));
  Process reader = launch(
      "-q possumsrc channel=CHANNEL leaky-type=none is-live=false ! "
      "filesink location=" +
          directory.file("read"),
      channel);
  Process writer = play(source + kLossless + sink, channel);
  uncut.expect_status(0);
  writer.expect_status(0);
  reader.expect_status(0);
  const std::string expected = contents(directory.file("uncut"));
  CHECK(!expected.empty());
  if (contents(directory.file("read")) != expected) writer.fail("arrives changed");
  CHECK(names_of(channel).empty());
  return writer.wait_line("stats sink ");
}

std::string test_picture(int frames, const std::string& properties = "") {
  return "videotestsrc num-buffers=" + std::to_string(frames) + " " + properties +
         " ! video/x-raw,format=I420,width=328,height=242,framerate=10/1";
}

Process start_live_writer(const std::string& channel, const std::string& more = "") {
  return play(
      "stampsrc live=true 'caps=\"video/x-raw,format=I420,width=320,height=240,"
      "framerate=60/1" +
          more +
          "\"' change-every=60 ! possumsink name=check "
          "channel=CHANNEL",
      channel);
}

Process start_reader(const std::string& channel, const std::string& properties = "",
                     const std::string& options = "") {
  return play(options + " possumsrc name=src channel=CHANNEL " + properties +
                  " ! fakesink name=check",
              channel);
}

}  // namespace

// --- upstream --------------------------------------------------------------------------

TEST(imagefreeze_pushes_one_buffer_many_times) {
  const std::string stats =
      check_same_bytes(test_picture(1) + " ! imagefreeze num-buffers=40");
  CHECK(number_after(stats, " frames") == 40);
  CHECK(number_after(stats, "no-slot") == 0);
}

TEST(videorate_pushes_buffers_twice) {
  const std::string stats = check_same_bytes(test_picture(30, "pattern=ball") +
                                             " ! videorate ! video/x-raw,framerate=30/1");
  CHECK(number_after(stats, " frames") >= 85);
  CHECK(number_after(stats, "no-slot") == 0);
}

TEST(tee_costs_one_copy) {
  const std::string stats =
      check_same_bytes(test_picture(50, "pattern=ball") +
                       " ! tee name=t ! queue ! fakesink async=false t. ! queue");
  CHECK(number_after(stats, " frames") == 50);
  CHECK(number_after(stats, "copied") == 50);
}

TEST(videocrop_moves_the_planes) {
  check_same_bytes(
      "videotestsrc num-buffers=20 pattern=ball ! "
      "video/x-raw,format=I420,width=664,height=370,framerate=25/1 ! "
      "videocrop left=14 top=6 right=10 bottom=4");
}

// With more threads its pictures differ from run to run (GStreamer 1.22).
TEST(compositor_draws_into_the_pool) {
  const std::string stats = check_same_bytes(
      test_picture(50) + " ! c. " + test_picture(50, "pattern=ball") +
      " ! c. compositor name=c max-threads=1 sink_1::xpos=100 sink_1::alpha=0.5 ! "
      "video/x-raw,format=I420,width=640,height=358,framerate=10/1");
  CHECK(number_after(stats, " frames") == 50);
  CHECK(number_after(stats, "no-slot") == 0);
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
      const std::string stats = check_same_bytes(
          "filesrc location=" + film + " ! h264parse ! avdec_h264 max-threads=" + threads,
          slots);
      CHECK(number_after(stats, " frames") == 120);
      CHECK(number_after(stats, "copied") + number_after(stats, "zero-copy") == 120);
      CHECK(number_after(stats, "no-slot") == 0);
      CHECK(number_after(stats, "dropped") == 0);
    }
  }
}

// Sends padded pictures to a filesink, which knows nothing of strides. Returns what the
// sink says of itself in the end.
std::string check_packed(const std::string& source, const std::string& caps,
                         const std::string& parser_format) {
  const TemporaryDirectory directory;
  const std::string channel = unique_channel();
  Process reader = launch(
      "-q possumsrc channel=CHANNEL leaky-type=none ! "
      "filesink location=" +
          directory.file("read"),
      channel);
  Process writer =
      play("stampsrc num-buffers=20 padding=6 " + source +
               " caps=video/x-raw,width=322,height=242,framerate=30/1,format=" + caps +
               kLossless,
           channel);
  writer.expect_status(0);
  reader.expect_status(0);
  Process check = play("--lossless filesrc location=" + directory.file("read") +
                       " ! rawvideoparse width=322 height=242 framerate=30/1 format=" +
                       parser_format + " ! fakesink name=check");
  check.expect_status(0);
  CHECK(check.said("total 20 frames"));
  return writer.wait_line("stats sink ");
}

TEST(padded_pictures_reach_a_file_packed) {
  const struct {
    const char* caps;
    const char* parser;  // what rawvideoparse calls it
  } formats[] = {{"GRAY8", "gray8"}, {"I420", "i420"}, {"NV12", "nv12"},
                 {"YUY2", "yuy2"},   {"RGB", "rgb"},   {"BGRx", "bgrx"}};
  for (const auto& format : formats) {
    const std::string slots = check_packed("", format.caps, format.parser);
    CHECK(number_after(slots, "zero-copy") >= 18);
    const std::string own = check_packed("own-memory=true", format.caps, format.parser);
    CHECK(number_after(own, "copied") == 20);
  }
}

TEST(source_that_draws_over_what_it_pushed_changes_no_published_picture) {
  const std::string channel = unique_channel();
  Process reader = start_reader(channel, "leaky-type=none is-live=false max-buffers=16",
                                "--lossless --sleep-us=2000");
  Process writer = play(
      "stampsrc num-buffers=500 redraw=true caps=video/x-raw,format=I420,"
      "width=322,height=242,framerate=30/1" +
          std::string(kLossless),
      channel);
  reader.expect_status(0);
  writer.expect_status(0);
  CHECK(reader.said("total 500 frames, 0 missed"));
}

// --- downstream ------------------------------------------------------------------------

TEST(slow_readers_of_each_policy_see_whole_frames_in_order) {
  const std::string channel = unique_channel();
  Process writer = start_live_writer(channel);
  Process oldest = start_reader(channel, "leaky-type=downstream", "--sleep-us=100000");
  Process newest = start_reader(channel, "leaky-type=upstream", "--sleep-us=100000");
  Process latest = start_reader(channel, "max-buffers=1", "--sleep-us=100000");
  Process quick = start_reader(channel, "max-buffers=16");
  await_frames(quick, 180);
  for (Process* slow : {&oldest, &newest, &latest}) {
    slow->output();
    CHECK(slow->said("gap "));
    end(*slow);
  }
  end(quick);
  end(writer);
}

TEST(relay_hands_over_every_frame) {
  const std::string first = unique_channel();
  const std::string second = unique_channel();
  Process reader = start_reader(second, "leaky-type=none is-live=false", "--lossless");
  Process relay = play("possumsrc leaky-type=none is-live=false channel=" + first +
                       " ! possumsink sync=false allow-blocking=true min-readers=1 "
                       "channel=" +
                       second);
  Process writer = play(
      "stampsrc num-buffers=2000 'caps=\"video/x-raw,format=I420,width=64,height=48,"
      "framerate=60/1;video/x-raw,format=BGRx,width=80,height=30,framerate=60/1\"' "
      "change-every=300" +
          std::string(kLossless),
      first);
  for (Process* each : {&writer, &relay, &reader}) each->expect_status(0);
  CHECK(reader.said("total 2000 frames, 0 missed"));
  CHECK(names_of(first).empty() && names_of(second).empty());
}

TEST(two_sinks_and_their_readers_live_in_one_process) {
  const std::string first = unique_channel();
  const std::string second = unique_channel();
  const std::string source =
      "stampsrc live=true num-buffers=90 caps=video/x-raw,format=I420,width=320,"
      "height=240,framerate=60/1 ! possumsink ";
  Process both =
      play("--timed " + source + "channel=" + first + " " + source + "channel=" + second +
           " possumsrc channel=" + first +
           " ! fakesink name=check possumsrc channel=" + second + " ! fakesink");
  both.expect_status(0);
  CHECK(names_of(first).empty() && names_of(second).empty());
}

// --- changes ---------------------------------------------------------------------------

TEST(stalled_reader_finds_the_new_caps_when_it_continues) {
  const std::string channel = unique_channel();
  Process writer =
      start_live_writer(channel,
                        ";video/x-raw,format=NV12,width=642,height=358,framerate=60/1"
                        ";video/x-raw,format=BGRx,width=160,height=120,framerate=60/1");
  Process other = start_reader(channel);
  Process stalled = start_reader(channel);
  next_frame(other);
  next_frame(stalled);
  stalled.stop();
  other.wait_line("width=(int)642");
  other.wait_line("width=(int)160");
  stalled.go_on();
  stalled.wait_line("caps ");
  await_frames(stalled, 120);
  await_frames(other, 60);
  for (Process* reader : {&stalled, &other}) end(*reader);
  end(writer);
}

// The reader cannot count frames that were never offered: the sink has to say DISCONT.
TEST(frames_left_out_for_want_of_readers_are_a_discontinuity) {
  const std::string channel = unique_channel();
  Process first = start_reader(channel);
  Process writer = play(
      "stampsrc live=true caps=video/x-raw,format=I420,width=320,height=240,"
      "framerate=60/1 ! tee name=t ! fakesink async=false name=check t. ! "
      "possumsink channel=CHANNEL min-readers=2",
      channel);
  first.wait_line("frame 1 ");  // shown while the writer prerolled
  await_frames(writer, 30);
  Process second = start_reader(channel);
  first.wait_line("gap 1 ");
  next_frame(second);
  for (Process* each : {&first, &second, &writer}) end(*each);
}

TEST(readers_come_and_go_twenty_times) {
  const std::string channel = unique_channel();
  Process writer = start_live_writer(channel);
  next_frame(writer);
  for (int round = 0; round < 20; ++round) {
    Process reader = start_reader(channel, "num-buffers=3");
    reader.expect_status(0);
    CHECK(reader.said("total 3 frames"));
    writer.wait_line("left");
  }
  CHECK(number_after(stats_of(writer, "check"), " held") == 0);
  end(writer);
  CHECK(names_of(channel).empty());
}

TEST(paused_writer_and_paused_reader_go_on_with_right_times) {
  const std::string channel = unique_channel();
  Process writer = start_live_writer(channel);
  Process reader = start_reader(channel, "max-buffers=16", "--timed");
  next_frame(reader);
  for (Process* each : {&writer, &reader}) {
    each->tell("pause");
    each->wait_line("state PAUSED");
    each->tell("play");
    each->wait_line("state PLAYING");
    await_frames(reader, 60);
  }
  end(reader);
  end(writer);
}
