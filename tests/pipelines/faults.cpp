// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What becomes of everybody else when a reader or a writer stops, is killed or comes
// back. Every picture proves itself, see support/framecheck.h; so do DISCONT and, with
// --timed, the time stamps.

#include <csignal>
#include <cstdint>
#include <string>

#include "support/check.h"
#include "support/players.h"

using namespace support;
using support::names_of;

namespace {

constexpr char kSmall[] = "format=I420,width=320,height=240";
constexpr char kLarge[] = "format=NV12,width=642,height=358";
constexpr std::int64_t kRate = 60;  // frames a second

// Live, drawing into the sink's pool; its element `check` is the sink.
Process start_writer(const std::string& channel, const std::string& format = kSmall,
                     const std::string& properties = "") {
  return play("stampsrc live=true caps=video/x-raw," + format +
                  ",framerate=" + std::to_string(kRate) +
                  "/1 ! possumsink name=check channel=CHANNEL " + properties,
              channel);
}

// What waits may be long: a busy machine is not a fault.
Process start_reader(const std::string& channel,
                     const std::string& properties = "max-buffers=16") {
  return play("--timed possumsrc name=src channel=CHANNEL " + properties +
                  " ! fakesink name=check",
              channel);
}

void await_frame_from(Process& reader, const Process& writer) {
  reader.wait_line(" from " + std::to_string(writer.pid()) + " ");
}

// Waits for so many frames and looks whether they came at the rate they should. Half the
// rate on a busy machine is no stall.
void check_full_rate(Process& player, std::int64_t frames) {
  player.catch_up();
  const std::string first = player.wait_line("frame ");
  std::string last;
  do {
    last = player.wait_line("frame ");
  } while (number_after(last, "frame ") < number_after(first, "frame ") + frames);
  const std::int64_t count = number_after(last, "frame ") - number_after(first, "frame ");
  const std::int64_t ns = number_after(last, "pts ") - number_after(first, "pts ");
  if (count * 1'000'000'000 < ns * kRate / 2) player.fail("is slow");
}

// Kills are noticed by the writer alone.
void await_nothing_held(Process& writer) {
  const std::string stats = stats_of(writer, "check");
  if (number_after(stats, " held") != 0) writer.fail("slots are held: " + stats);
}

}  // namespace

TEST(stopped_and_killed_reader_costs_the_others_nothing) {
  const std::string channel = unique_channel();
  Process writer = start_writer(channel);
  Process other = start_reader(channel);
  Process victim = start_reader(channel, "");
  next_frame(other);
  next_frame(victim);

  victim.stop();
  check_full_rate(writer, 120);
  check_full_rate(other, 120);

  victim.kill();
  writer.wait_line("died");
  check_full_rate(writer, 60);
  check_full_rate(other, 60);

  const std::string stats = stats_of(writer, "check");
  // Growing the pool may have cost a copy or two.
  CHECK(number_after(stats, "copied") * 20 < number_after(stats, "zero-copy"));
  CHECK(number_after(stats, "no-slot") == 0);
  end(other);
  writer.wait_line("detached");
  await_nothing_held(writer);
  end(writer);
  CHECK(names_of(channel).empty());
}

TEST(stopped_readers_that_hoard_cost_the_writer_nothing) {
  const std::string channel = unique_channel();
  Process writer = start_writer(channel, kSmall, "slots=6");
  // Each keeps frames in a queue that nobody empties.
  constexpr int kHoarders = 4;
  for (int i = 0; i < kHoarders; ++i) {
    Process hoarder = play(
        "possumsrc channel=CHANNEL max-buffers=16 ! identity name=check ! "
        "queue min-threshold-buffers=200 max-size-buffers=200 ! fakesink",
        channel);
    next_frame(hoarder);
    await_frames(hoarder, 30);
    hoarder.stop();
    check_full_rate(writer, 30);
    if (i == kHoarders - 1) {
      Process other = start_reader(channel);
      check_full_rate(other, 60);
      end(other);
    }
    hoarder.kill();
    writer.wait_line("died");
  }
  check_full_rate(writer, 30);
  await_nothing_held(writer);
  end(writer);
}

TEST(killed_readers_leave_the_channel_as_it_was) {
  const std::string channel = unique_channel();
  Process writer = start_writer(channel);
  for (int round = 0; round < 10; ++round) {
    Process reader = start_reader(channel);
    next_frame(reader);
    writer.wait_line("attached");  // it has its frame sooner than the writer knows of it
    reader.kill();
    writer.wait_line("died");
  }
  check_full_rate(writer, 30);
  await_nothing_held(writer);
  end(writer);
  CHECK(names_of(channel).empty());
}

TEST(readers_go_on_with_the_writer_that_follows_a_killed_one) {
  const std::string channel = unique_channel();
  Process first = start_writer(channel);
  Process dropping = start_reader(channel);
  Process newest = start_reader(channel, "max-buffers=1 leaky-type=upstream");
  for (Process* reader : {&dropping, &newest}) await_frame_from(*reader, first);
  newest.stop();
  first.kill();

  Process same_caps = start_writer(channel);
  // One of them comes when it no longer begins by itself.
  await_frames(same_caps, 30);
  newest.go_on();
  for (Process* reader : {&dropping, &newest}) await_frame_from(*reader, same_caps);
  same_caps.kill();

  Process other_caps = start_writer(channel, kLarge);
  for (Process* reader : {&dropping, &newest}) {
    reader->wait_line("width=(int)642");
    await_frame_from(*reader, other_caps);
    await_frames(*reader, 60);
    CHECK(number_after(stats_of(*reader, "src"), "reconnects") == 2);
    end(*reader);
  }
  end(other_caps);
  CHECK(names_of(channel).empty());
}

TEST(blocking_reader_goes_on_with_the_writer_that_follows_a_killed_one) {
  const std::string channel = unique_channel();
  const char* blocking = "allow-blocking=true";
  Process first = start_writer(channel, kSmall, blocking);
  Process reader = start_reader(channel, "leaky-type=none");
  await_frame_from(reader, first);
  first.kill();
  Process second = start_writer(channel, kSmall, blocking);
  await_frame_from(reader, second);
  await_frames(reader, 60);
  end(reader);
  end(second);
  CHECK(names_of(channel).empty());
}

TEST(writer_that_stops_without_eos_is_waited_for) {
  const std::string channel = unique_channel();
  Process reader = start_reader(channel);
  reader.wait_line("progress start");
  for (int round = 0; round < 5; ++round) {
    Process writer = start_writer(channel);
    reader.wait_line("progress complete");
    await_frame_from(reader, writer);
    end(writer);
    reader.wait_line("progress start");
  }
  end(reader);
  CHECK(reader.said("progress canceled"));
  CHECK(names_of(channel).empty());
}

TEST(stopped_writer_that_continues_is_no_disconnect) {
  const std::string channel = unique_channel();
  Process writer = start_writer(channel);
  Process reader = start_reader(channel);
  next_frame(reader);
  writer.stop();
  // Meanwhile another one cannot take the channel.
  Process second = start_writer(channel);
  second.wait_line("is already written by pid " + std::to_string(writer.pid()));
  second.expect_status(255);
  writer.go_on();
  await_frames(reader, 60);
  CHECK(number_after(stats_of(reader, "src"), "reconnects") == 0);
  end(reader);
  end(writer);
}

TEST(kept_buffer_outlives_its_element_and_its_writer) {
  const std::string channel = unique_channel();
  Process writer = start_writer(channel);
  Process reader = start_reader(channel);
  next_frame(reader);
  reader.tell("keep");
  reader.wait_line("kept ");
  // The writer has use for every slot but this one.
  await_frames(reader, 60);
  reader.tell("verify");
  reader.wait_line(" whole");

  writer.kill();
  reader.tell("destroy");
  reader.wait_line("destroyed");
  Process successor = start_writer(channel, kLarge);
  await_frames(successor, 30);
  reader.tell("verify");
  reader.wait_line(" whole");
  end(successor);
  CHECK(names_of(channel).empty());
  reader.tell("verify");
  reader.wait_line(" whole");
  reader.tell("release");
  reader.wait_line("released");
  reader.tell("quit");
  reader.expect_status(0);
}

// --timed: the reader's base time plus the time stamp is when the picture was drawn.
TEST(pipelines_started_five_seconds_apart_agree_on_the_time_of_capture) {
  const std::string channel = unique_channel();
  Process writer = start_writer(channel);
  std::string line;
  do {
    line = writer.wait_line("frame ");
  } while (number_after(line, "pts ") < 5'000'000'000);
  Process reader = start_reader(channel);
  const std::string first = reader.wait_line("frame ");
  CHECK(number_after(first, "pts ") < 4'000'000'000);
  await_frames(reader, 60);
  end(reader);
  end(writer);
}

// --- programs that start others --------------------------------------------------------

namespace {

// Lives on when its parent is killed.
pid_t start_child(Process& player, const std::string& how) {
  player.tell("child " + how);
  const std::int64_t pid = number_after(player.wait_line("child "), "child ");
  if (pid < 0) player.fail("starts no child");
  return static_cast<pid_t>(pid);
}

void end_child(pid_t pid) {
  if (pid > 0) CHECK(::kill(pid, SIGKILL) == 0);  // it was there all the while
}

}  // namespace

TEST(child_of_a_killed_writer_keeps_no_channel) {
  for (const std::string how : {"fork", "spawn", "system"}) {
    const std::string channel = unique_channel();
    Process writer = start_writer(channel);
    Process reader = start_reader(channel);
    await_frame_from(reader, writer);
    const pid_t child = start_child(writer, how);
    await_frames(reader, 30);
    writer.kill();
    reader.wait_line("progress start", 2);
    Process successor = start_writer(channel);
    await_frame_from(reader, successor);
    end_child(child);
    end(reader);
    end(successor);
    CHECK(names_of(channel).empty());
  }
}

TEST(child_of_a_killed_reader_keeps_no_slots) {
  for (const std::string how : {"fork", "spawn", "system"}) {
    const std::string channel = unique_channel();
    Process writer = start_writer(channel, kSmall, "allow-blocking=true");
    Process reader = start_reader(channel, "leaky-type=none");
    next_frame(reader);
    const pid_t child = start_child(reader, how);
    await_frames(reader, 30);
    reader.kill();
    writer.wait_line("died", 2);
    await_frames(writer, 60);
    await_nothing_held(writer);
    end_child(child);
    end(writer);
    CHECK(names_of(channel).empty());
  }
}
