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

using library::in_ms;
using library::kLimitMs;
using library::next;
using library::take;
using library::unique_channel;
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
  EXPECT(POSSUM_OK, possum_writer_write(writer, picture.data(), picture.size(), nullptr,
                                        in_ms(kLimitMs)));
  return checksum(picture.data(), picture.size());
}

void expect_readers(possum_writer* writer, unsigned count) {
  CHECK(support::eventually(
      [&] { return library::statistics_of(writer).readers == count; }));
}

}  // namespace

// --- the small reader
// --------------------------------------------------------------------

TEST(small_reader_has_each_frame_and_the_end) {
  constexpr unsigned kFrames = 300;
  const std::string channel = unique_channel();
  const library::WriterHandle writer =
      library::open_writer(channel, kGray, library::allow_blocking);
  Process reader = small_reader(channel, "0 lossless");
  EXPECT(POSSUM_OK, possum_writer_wait_readers(writer, 1, in_ms(kLimitMs)));
  std::vector<std::string> sums;
  for (unsigned i = 0; i < kFrames; ++i) sums.push_back(publish(writer, i));
  possum_writer_eos(writer);
  EXPECT(POSSUM_OK, possum_writer_drain(writer, in_ms(kLimitMs)));
  for (unsigned i = 0; i < kFrames; ++i) {
    const std::string line = reader.wait_line("frame ");
    CHECK(line.starts_with("frame " + std::to_string(i + 1) + ": 76800 bytes of video/"));
    CHECK(line.ends_with(sums[i] + ", 0 missed"));
  }
  reader.wait_line("the end");
  reader.expect_status(0);
}

TEST(small_reader_that_comes_late_begins_with_the_newest_frame) {
  const std::string channel = unique_channel();
  const library::WriterHandle writer = library::open_writer(channel, kGray);
  publish(writer, 1);
  const std::string newest = publish(writer, 2);
  possum_writer_eos(writer);
  Process reader = small_reader(channel);
  CHECK(reader.wait_line("frame ").find(newest) != std::string::npos);
  reader.wait_line("the end");
  reader.expect_status(0);
}

TEST(small_reader_follows_the_next_writer) {
  const std::string channel = unique_channel();
  Process reader = small_reader(channel);
  for (int life = 0; life < 3; ++life) {
    Process writer = support::shell(program("c-writer") + channel);
    CHECK(reader.wait_line("frame ").find(
              ": 921600 bytes of video/x-raw, format=(string)BGR") != std::string::npos);
    reader.wait_line("frame ");
    writer.kill();
    reader.wait_line("the writer is gone");
  }
  const library::WriterHandle writer = library::open_writer(channel, kGray);
  EXPECT(POSSUM_OK, possum_writer_wait_readers(writer, 1, in_ms(kLimitMs)));
  const std::string sum = publish(writer, 1);
  CHECK(reader.wait_line("frame ").find(sum) != std::string::npos);
  possum_writer_eos(writer);
  reader.expect_status(0);
}

// Once while it holds the writer up.
TEST(small_reader_that_is_killed_leaves_nothing) {
  const std::string channel = unique_channel();
  const library::WriterHandle writer =
      library::open_writer(channel, kGray, library::allow_blocking);
  for (int death = 0; death < 3; ++death) {
    Process reader = small_reader(channel, "0 lossless");
    EXPECT(POSSUM_OK, possum_writer_wait_readers(writer, 1, in_ms(kLimitMs)));
    reader.wait_line(publish(writer, 0));
    reader.stop();
    unsigned key = 0;
    const std::vector<unsigned char> picture(kWidth * kHeight);
    while (possum_writer_write(writer, picture.data(), picture.size(), nullptr,
                               in_ms(30)) == POSSUM_OK) {
      CHECK(++key <= 4);  // its depth, and one that it has in hand
    }
    reader.kill();
    publish(writer, 7);
    expect_readers(writer, 0);
    CHECK(library::statistics_of(writer).held == 0);
  }
}

TEST(small_reader_copies_where_others_hoard) {
  const std::string channel = unique_channel();
  const library::WriterHandle writer = library::open_writer(
      channel, kGray, [](possum_writer_options& options) { options.slots = 3; });
  library::ReaderHandle hoarder = library::attach_reader(channel);
  Process reader = small_reader(channel);
  EXPECT(POSSUM_OK, possum_writer_wait_readers(writer, 2, in_ms(kLimitMs)));
  std::vector<library::FrameHandle> held;
  for (unsigned i = 0; i < 20; ++i) {
    const std::string sum = publish(writer, i);
    held.push_back(take(hoarder));
    CHECK(reader.wait_line("frame ").find(sum) != std::string::npos);
  }
  CHECK(library::statistics_of(writer).no_slot == 0 && reader.said(" missed, copied"));
  held.clear();
  hoarder.reset();
  possum_writer_eos(writer);
  reader.expect_status(0);
}

TEST(small_reader_reads_what_possumsink_writes) {
  const std::string channel = unique_channel();
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
  reader.wait_line("the end");
  reader.expect_status(0);
  sink.expect_status(0);
}

// --- the small writer
// --------------------------------------------------------------------

TEST(small_writer_ends_in_order) {
  const std::string channel = unique_channel();
  const library::ReaderHandle reader = library::open_reader(channel);
  Process writer = small_writer(channel, "60 100");
  library::FrameHandle frame = next(reader);
  std::uint64_t last = library::info_of(frame).seq - 1;
  possum_status status = POSSUM_OK;
  while (status == POSSUM_OK) {
    const possum_frame_info info = library::info_of(frame);
    CHECK(is_drawn(info) && info.is_video && info.width == kWidth &&
          info.height == kHeight);
    const std::string said = writer.wait_line("frame " + std::to_string(info.seq) + ": ");
    CHECK(said.ends_with(
        checksum(static_cast<const unsigned char*>(info.data), info.bytes)));
    CHECK(info.seq == last + 1 + info.missed);
    last = info.seq;
    possum_frame* taken = nullptr;
    status = possum_reader_take(reader, in_ms(kLimitMs), &taken);
    frame = library::FrameHandle(taken);
  }
  CHECK(status == POSSUM_EOS && last == 60);
  writer.expect_status(0);
  CHECK(support::names_of(channel).empty());
}

TEST(small_writer_that_is_killed_has_a_successor) {
  const std::string channel = unique_channel();
  const library::ReaderHandle reader = library::open_reader(channel);
  std::uint64_t id = 0;
  for (int life = 0; life < 4; ++life) {
    Process writer = small_writer(channel, "0 100");
    for (int i = 0; i < 3; ++i) {
      const library::FrameHandle frame = next(reader);
      const possum_frame_info info = library::info_of(frame);
      CHECK(is_drawn(info) && (i == 0 || info.writer_id == id));
      CHECK(i > 0 || info.writer_id != id);
      id = info.writer_id;
    }
    // Its own, and nothing of those before it.
    CHECK(support::names_of(channel).size() == 1 + 6);
    writer.kill();
    possum_frame* frame = nullptr;
    possum_status status;
    while ((status = possum_reader_take(reader, in_ms(kLimitMs), &frame)) == POSSUM_OK) {
      possum_frame_release(frame);
    }
    CHECK(status == POSSUM_DISCONNECTED);
  }
  // The real one takes it over as well, and leaves nothing.
  library::open_writer(channel, kGray);
  CHECK(support::names_of(channel).empty());
}

TEST(small_writer_is_the_only_one_of_its_name) {
  const std::string channel = unique_channel();
  Process writer = small_writer(channel, "0 100");
  writer.wait_line("frame 1:");
  Process other = small_writer(channel);
  other.wait_line("already written");
  other.expect_status(1);
  possum_writer_options options;
  possum_writer_options_init(&options, sizeof options);
  options.channel = channel.c_str();
  options.caps = kGray;
  options.claim_timeout_ns = 0;
  possum_writer* refused = nullptr;
  EXPECT(POSSUM_ERROR_BUSY, possum_writer_open(&options, &refused));
  CHECK(library::says("is already written by"));
  writer.signal(SIGTERM);
  writer.expect_status(0);
  CHECK(support::names_of(channel).empty());
}

TEST(small_writer_gets_back_what_dead_readers_held) {
  const std::string channel = unique_channel();
  Process writer = small_writer(channel, "0 100");
  for (int death = 0; death < 3; ++death) {
    Process reader = support::shell(program("c-reader") + channel);
    reader.wait_line("frame ");
    writer.wait_line("reader 0 came");
    reader.stop();
    writer.wait_line("frame ");
    reader.kill();
    writer.wait_line("reader 0 is gone");
  }
  writer.signal(SIGINT);
  writer.expect_status(0);
}

// It has six slots. Who holds all it can get copies in the end, others go on, and what is
// held is never drawn over.
TEST(small_writer_goes_on_where_readers_hoard) {
  const std::string channel = unique_channel();
  Process writer = small_writer(channel, "0 100");
  library::ReaderHandle hoarder = library::open_reader(channel);
  std::vector<library::FrameHandle> held;
  while (held.size() < 20) held.push_back(next(hoarder));
  library::ReaderHandle other = library::open_reader(channel);
  std::uint64_t last = 0;
  for (int i = 0; i < 20; ++i) {
    const library::FrameHandle frame = next(other);
    CHECK(is_drawn(library::info_of(frame)) && library::info_of(frame).seq > last);
    last = library::info_of(frame).seq;
  }
  bool copied = false;
  for (const library::FrameHandle& frame : held) {
    CHECK(is_drawn(library::info_of(frame)));
    copied |= library::info_of(frame).is_copy != 0;
  }
  CHECK(copied && !writer.said("dropped"));
  held.clear();
  hoarder.reset();
  other.reset();
  writer.signal(SIGTERM);
  writer.expect_status(0);
}

TEST(small_writer_is_shown_by_possumsrc) {
  const std::string channel = unique_channel();
  Process writer = small_writer(channel, "0 100");
  support::launch("possumsrc channel=CHANNEL num-buffers=20 ! videoconvert ! fakesink",
                  channel)
      .expect_status(0);
  writer.signal(SIGTERM);
  writer.expect_status(0);
}

// A stopped writer lets nobody in: who comes meanwhile waits, and has the newest frame
// and all that follow when it goes on.
TEST(small_writer_that_is_stopped_goes_on) {
  const std::string channel = unique_channel();
  Process writer = small_writer(channel, "0 100");
  writer.wait_line("frame 1:");
  writer.stop();
  library::ReaderHandle reader = library::attach_reader(channel);
  Process other = small_reader(channel);
  possum_frame* frame = nullptr;
  EXPECT(POSSUM_TIMEOUT, possum_reader_take(reader, in_ms(300), &frame));
  CHECK(!other.said("frame "));
  writer.go_on();
  std::uint64_t last = 0;
  for (int i = 0; i < 5; ++i) {
    const library::FrameHandle shown = take(reader);
    const possum_frame_info info = library::info_of(shown);
    CHECK(is_drawn(info) && info.seq > last);
    last = info.seq;
  }
  other.wait_line("frame ");
  reader.reset();
  writer.signal(SIGTERM);
  writer.expect_status(0);
  other.wait_line("the end");
}

// --- both ------------------------------------------------------------------------------

TEST(small_peers_know_each_other) {
  const std::string channel = unique_channel();
  Process reader = small_reader(channel);
  Process writer = small_writer(channel, "50 100");
  for (bool all = false; !all;) {
    const std::string line = reader.wait_line("frame ");
    const auto number = std::to_string(support::number_after(line, "frame "));
    const std::string said = writer.wait_line("frame " + number + ": ");
    CHECK(line.find(said.substr(said.find("sum "))) != std::string::npos);
    all = number == "50";
  }
  reader.wait_line("the end");
  reader.expect_status(0);
  writer.expect_status(0);
}
