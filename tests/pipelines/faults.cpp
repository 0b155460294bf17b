// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What becomes of everybody else when a reader or a writer stops, is killed or comes
// back. Every picture proves itself, see support/player.cpp; so do DISCONT and, with
// --timed, the time stamps.

#include <cstdint>
#include <string>
#include <utility>

#include "support/check.h"
#include "support/players.h"

using namespace support;
using support::names_of;

namespace {

constexpr char kSmall[] = "format=I420,width=320,height=240";
constexpr char kLarge[] = "format=NV12,width=642,height=358";

// Its element `check` is the sink.
Process start_writer(const std::string& channel, const std::string& format = kSmall) {
  return play(
      live_pictures(format) + "possumsink name=check channel=CHANNEL allow-blocking=true",
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
  if (count * 1'000'000'000 < ns * 60 / 2) player.fail("is slow");
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

  std::string stats = stats_of(writer, "check");
  // Growing the pool may have cost a copy or two.
  CHECK(number_after(stats, "copied") * 20 < number_after(stats, "zero-copy"));
  CHECK(number_after(stats, "no-slot") == 0);
  end(other);
  writer.wait_line("detached");
  CHECK(number_after(stats_of(writer, "check"), " held") == 0);
  end(writer);
  CHECK(names_of(channel).empty());
}

TEST(readers_of_each_policy_go_on_with_the_writer_that_follows_a_killed_one) {
  const std::string channel = unique_channel();
  Process first = start_writer(channel);
  Process dropping = start_reader(channel);
  Process newest = start_reader(channel, "max-buffers=1 leaky-type=upstream");
  Process blocking = start_reader(channel, "leaky-type=none");
  for (Process* reader : {&dropping, &newest, &blocking}) {
    await_frame_from(*reader, first);
  }
  newest.stop();
  first.kill();

  Process same_caps = start_writer(channel);
  // One of them comes when it no longer begins by itself.
  await_frames(same_caps, 30);
  newest.go_on();
  for (Process* reader : {&dropping, &newest, &blocking}) {
    await_frame_from(*reader, same_caps);
  }
  same_caps.kill();

  Process other_caps = start_writer(channel, kLarge);
  for (Process* reader : {&dropping, &newest, &blocking}) {
    reader->wait_line("width=(int)642");
    await_frame_from(*reader, other_caps);
    await_frames(*reader, 60);
    CHECK(number_after(stats_of(*reader, "src"), "reconnects") == 2);
    end(*reader);
  }
  end(other_caps);
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

// --- another clock -------------------------------------------------------------------

namespace {

constexpr char kOurs[] = "";
constexpr char kAhead[] = "3600";
constexpr char kBehind[] = "-300";  // as far as a machine that has just started can go

// In a time namespace whose clock differs by so many seconds.
Process play_with_clock(const std::string& seconds, const std::string& pipeline,
                        const std::string& channel) {
  if (seconds.empty()) return play(pipeline, channel);
  const std::string unshare =
      "exec unshare --pid --mount-proc --time --monotonic " + seconds + " --kill-child ";
  Process probe = shell(unshare + "true 2>&1");
  if (probe.join() != 0) check::skip("no such container here: " + probe.output());
  return shell(unshare + env("POSSUM_PLAYER") + " " +
               replaced(pipeline, "CHANNEL", channel));
}

}  // namespace

// A synchronising reader has them all, and says what is the matter with their times.
TEST(frames_of_another_clock_count_with_their_arrival) {
  for (const auto& [writers, readers] :
       {std::pair(kAhead, kOurs), std::pair(kBehind, kOurs), std::pair(kOurs, kAhead),
        std::pair(kOurs, kBehind)}) {
    const std::string channel = unique_channel();
    Process reader = play_with_clock(
        readers,
        "possumsrc max-buffers=16 channel=CHANNEL ! fakesink name=check sync=true",
        channel);
    Process writer = play_with_clock(
        writers,
        std::string(kStamp) + "is-live=true num-buffers=120 ! video/x-raw," + kSmall +
            ",framerate=60/1 ! possumsink channel=CHANNEL min-readers=1",
        channel);
    writer.expect_status(0);
    reader.expect_status(0);
    if (!reader.said("time namespace")) reader.fail("believes the writer's clock");
    if (!reader.said("total 120 frames, 0 missed")) reader.fail("is incomplete");
    CHECK(names_of(channel).empty());
  }
}
