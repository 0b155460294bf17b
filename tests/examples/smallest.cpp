// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The peers of examples/c that were written from PROTOCOL.md and know no library of ours,
// each against the real other end: libpossum here, the elements in other processes.
#include <cstdint>
#include <string>
#include <vector>

#include "support/check.h"
#include "support/library.h"
#include "support/players.h"

using namespace library;  // every test speaks its words
using support::OnChannel;
using support::Process;

namespace {

constexpr int kWidth = 320;
constexpr int kHeight = 240;
constexpr char kGray[] =
    "video/x-raw, format=GRAY8, width=320, height=240, framerate=30/1";

std::string program(const std::string& name) {
  return "exec " + support::env("POSSUM_BUILD_ROOT") + "/examples/c/possum-" + name + " ";
}
Process small_reader(const std::string& channel, const std::string& more = "") {
  return support::shell(program("smallest-reader") + channel + " " + more);
}
Process small_writer(const std::string& channel, const std::string& more = "") {
  return support::shell(program("smallest-writer") + channel + " " + more);
}

// As smallest.h computes and prints it.
std::string checksum(const unsigned char* bytes, std::size_t count) {
  std::uint32_t sum = 2166136261;
  for (std::size_t i = 0; i < count; ++i) sum = (sum ^ bytes[i]) * 16777619;
  char text[16];
  std::snprintf(text, sizeof text, "sum %08x", sum);
  return text;
}

// What smallest_writer.c draws.
bool is_drawn(const possum_frame_info& info) {
  if (info.bytes != kWidth * kHeight) return false;
  const auto* const pixels = static_cast<const unsigned char*>(info.data);
  for (std::size_t i = 0; i < info.bytes; ++i) {
    const std::size_t wanted = i % kWidth + i / kWidth + info.seq;
    if (pixels[i] != static_cast<unsigned char>(wanted)) return false;
  }
  return true;
}

// Publishes a picture of its own, and returns what the small reader has to say of it.
std::string publish(possum_writer* writer, unsigned key) {
  std::vector<unsigned char> picture(kWidth * kHeight);
  for (std::size_t i = 0; i < picture.size(); ++i) {
    picture[i] = static_cast<unsigned char>(i * (key + 3) + (i >> 8));
  }
  EXPECT(POSSUM_OK, write(writer, picture, nullptr, in_ms(kLimitMs)));
  return checksum(picture.data(), picture.size());
}

void expect_end(Process& reader) {
  reader.wait_line("the end");
  reader.expect_status(0);
}
void end(Process& writer, int signal) {
  writer.signal(signal);
  writer.expect_status(0);
}

struct WithSmallWriter : OnChannel {
  Process writer = small_writer(channel, "0 100");
};

}  // namespace

// --- the small reader ------------------------------------------------------------------

TEST_F(OnChannel, small_reader_has_each_frame_and_the_end) {
  constexpr unsigned kFrames = 300;
  const WriterHandle writer = open_writer(channel, kGray, allow_blocking);
  Process reader = small_reader(channel, "0 lossless");
  await_readers(writer);
  std::vector<std::string> sums;
  for (unsigned i = 0; i < kFrames; ++i) sums.push_back(publish(writer, i));
  end_stream(writer);
  for (unsigned i = 0; i < kFrames; ++i) {
    const std::string line = reader.wait_line("frame ");
    CHECK(line.starts_with("frame " + std::to_string(i + 1) + ": 76800 bytes of video/"));
    CHECK(line.ends_with(sums[i] + ", 0 missed"));
  }
  expect_end(reader);
}

TEST_F(OnChannel, small_reader_that_comes_late_begins_with_the_newest_frame) {
  const WriterHandle writer = open_writer(channel, kGray);
  publish(writer, 1);
  const std::string newest = publish(writer, 2);
  possum_writer_eos(writer);
  Process reader = small_reader(channel);
  CHECK(reader.wait_line("frame ").find(newest) != std::string::npos);
  expect_end(reader);
}

TEST_F(OnChannel, small_reader_follows_the_next_writer) {
  Process reader = small_reader(channel);
  for (int life = 0; life < 3; ++life) {
    Process writer = support::shell(program("c-writer") + channel);
    CHECK(reader.wait_line("frame ").find(
              ": 921600 bytes of video/x-raw, format=(string)BGR") != std::string::npos);
    reader.wait_line("frame ");
    writer.kill();
    reader.wait_line("the writer is gone");
  }
  const WriterHandle writer = open_writer(channel, kGray);
  await_readers(writer);
  const std::string sum = publish(writer, 1);
  CHECK(reader.wait_line("frame ").find(sum) != std::string::npos);
  possum_writer_eos(writer);
  reader.expect_status(0);
}

// Once while it holds the writer up.
TEST_F(OnChannel, small_reader_that_is_killed_leaves_nothing) {
  const WriterHandle writer = open_writer(channel, kGray, allow_blocking);
  for (int death = 0; death < 3; ++death) {
    Process reader = small_reader(channel, "0 lossless");
    await_readers(writer);
    reader.wait_line(publish(writer, 0));
    reader.stop();
    unsigned key = 0;
    const std::vector<unsigned char> picture(kWidth * kHeight);
    while (write(writer, picture, nullptr, in_ms(30)) == POSSUM_OK) {
      CHECK(++key <= 4);  // its depth, and one that it has in hand
    }
    reader.kill();
    publish(writer, 7);
    CHECK(support::eventually([&] { return statistics_of(writer).readers == 0; }));
    CHECK(statistics_of(writer).held == 0);
  }
}

TEST_F(OnChannel, small_reader_copies_where_others_hoard) {
  const WriterHandle writer = open_writer(
      channel, kGray, [](possum_writer_options& options) { options.slots = 3; });
  ReaderHandle hoarder = attach_reader(channel);
  Process reader = small_reader(channel);
  await_readers(writer, 2);
  std::vector<FrameHandle> held;
  for (unsigned i = 0; i < 20; ++i) {
    const std::string sum = publish(writer, i);
    held.push_back(take(hoarder));
    CHECK(reader.wait_line("frame ").find(sum) != std::string::npos);
  }
  CHECK(statistics_of(writer).no_slot == 0 && reader.said(" missed, copied"));
  held.clear();
  hoarder.reset();
  possum_writer_eos(writer);
  reader.expect_status(0);
}

TEST_F(OnChannel, small_reader_reads_what_possumsink_writes) {
  Process reader = small_reader(channel, "0 lossless");
  Process sink = support::launch(
      "videotestsrc num-buffers=50 ! video/x-raw,format=GRAY8,width=320,height=240 ! "
      "possumsink channel=CHANNEL sync=false allow-blocking=true min-readers=1",
      channel);
  for (unsigned i = 1; i <= 50; ++i) {
    const std::string line = reader.wait_line("frame ");
    CHECK(line.starts_with("frame " + std::to_string(i) + ": 76800 bytes"));
    CHECK(line.ends_with(", 0 missed"));
  }
  expect_end(reader);
  sink.expect_status(0);
}

// --- the small writer ------------------------------------------------------------------

TEST_F(OnChannel, small_writer_ends_in_order) {
  const ReaderHandle reader = open_reader(channel);
  Process writer = small_writer(channel, "60 100");
  FrameHandle frame = next(reader);
  std::uint64_t last = info_of(frame).seq - 1;
  possum_status status = POSSUM_OK;
  while (status == POSSUM_OK) {
    const possum_frame_info info = info_of(frame);
    CHECK(is_drawn(info) && info.is_video && info.width == kWidth &&
          info.height == kHeight);
    const std::string said = writer.wait_line("frame " + std::to_string(info.seq) + ": ");
    CHECK(said.ends_with(
        checksum(static_cast<const unsigned char*>(info.data), info.bytes)));
    CHECK(info.seq == last + 1 + info.missed);
    last = info.seq;
    possum_frame* taken = nullptr;
    status = possum_reader_take(reader, in_ms(kLimitMs), &taken);
    frame = FrameHandle(taken);
  }
  CHECK(status == POSSUM_EOS && last == 60);
  writer.expect_status(0);
  CHECK(support::names_of(channel).empty());
}

TEST_F(OnChannel, small_writer_that_is_killed_has_a_successor) {
  const ReaderHandle reader = open_reader(channel);
  std::uint64_t id = 0;
  for (int life = 0; life < 4; ++life) {
    Process writer = small_writer(channel, "0 100");
    for (int i = 0; i < 3; ++i) {
      const FrameHandle frame = next(reader);
      const possum_frame_info info = info_of(frame);
      CHECK(is_drawn(info) && (i == 0 || info.writer_id == id));
      CHECK(i > 0 || info.writer_id != id);
      id = info.writer_id;
    }
    // Its own, and nothing of those before it.
    CHECK(support::names_of(channel).size() == 1 + 6);
    writer.kill();
    possum_status status;
    while ((status = try_take(reader)) == POSSUM_OK) {
    }
    EXPECT(POSSUM_DISCONNECTED, status);
  }
  // The real one takes it over as well, and leaves nothing.
  open_writer(channel, kGray);
  CHECK(support::names_of(channel).empty());
}

TEST_F(WithSmallWriter, small_writer_is_the_only_one_of_its_name) {
  writer.wait_line("frame 1:");
  Process other = small_writer(channel);
  other.wait_line("already written");
  other.expect_status(1);
  possum_writer_options options = writer_options(channel);
  options.caps = kGray;
  options.claim_timeout_ns = 0;
  possum_writer* refused = nullptr;
  EXPECT(POSSUM_ERROR_BUSY, possum_writer_open(&options, &refused));
  CHECK(says("is already written by"));
  end(writer, SIGTERM);
  CHECK(support::names_of(channel).empty());
}

TEST_F(WithSmallWriter, small_writer_gets_back_what_dead_readers_held) {
  for (int death = 0; death < 3; ++death) {
    Process reader = support::shell(program("c-reader") + channel);
    reader.wait_line("frame ");
    writer.wait_line("reader 0 came");
    reader.stop();
    writer.wait_line("frame ");
    reader.kill();
    writer.wait_line("reader 0 is gone");
  }
  end(writer, SIGINT);
}

// It has six slots. Who holds all it can get copies in the end, others go on, and what is
// held is never drawn over.
TEST_F(WithSmallWriter, small_writer_goes_on_where_readers_hoard) {
  ReaderHandle hoarder = open_reader(channel);
  std::vector<FrameHandle> held;
  while (held.size() < 20) held.push_back(next(hoarder));
  ReaderHandle other = open_reader(channel);
  std::uint64_t last = 0;
  for (int i = 0; i < 20; ++i) {
    const FrameHandle frame = next(other);
    CHECK(is_drawn(info_of(frame)) && info_of(frame).seq > last);
    last = info_of(frame).seq;
  }
  bool copied = false;
  for (const FrameHandle& frame : held) {
    CHECK(is_drawn(info_of(frame)));
    copied |= info_of(frame).is_copy != 0;
  }
  CHECK(copied && !writer.said("dropped"));
  held.clear();
  hoarder.reset();
  other.reset();
  end(writer, SIGTERM);
}

TEST_F(WithSmallWriter, small_writer_is_shown_by_possumsrc) {
  support::launch("possumsrc channel=CHANNEL num-buffers=20 ! videoconvert ! fakesink",
                  channel)
      .expect_status(0);
  end(writer, SIGTERM);
}

// A stopped writer lets nobody in: who comes meanwhile waits, and has the newest frame
// and all that follow when it goes on.
TEST_F(WithSmallWriter, small_writer_that_is_stopped_goes_on) {
  writer.wait_line("frame 1:");
  writer.stop();
  ReaderHandle reader = attach_reader(channel);
  Process other = small_reader(channel);
  EXPECT(POSSUM_TIMEOUT, try_take(reader, in_ms(300)));
  CHECK(!other.said("frame "));
  writer.go_on();
  std::uint64_t last = 0;
  for (int i = 0; i < 5; ++i) {
    const FrameHandle shown = take(reader);
    const possum_frame_info info = info_of(shown);
    CHECK(is_drawn(info) && info.seq > last);
    last = info.seq;
  }
  other.wait_line("frame ");
  reader.reset();
  end(writer, SIGTERM);
  other.wait_line("the end");
}

// --- both ------------------------------------------------------------------------------

TEST_F(OnChannel, small_peers_know_each_other) {
  Process reader = small_reader(channel);
  Process writer = small_writer(channel, "50 100");
  for (bool all = false; !all;) {
    const std::string line = reader.wait_line("frame ");
    const auto number = std::to_string(support::number_after(line, "frame "));
    const std::string said = writer.wait_line("frame " + number + ": ");
    CHECK(line.find(said.substr(said.find("sum "))) != std::string::npos);
    all = number == "50";
  }
  expect_end(reader);
  writer.expect_status(0);
}
