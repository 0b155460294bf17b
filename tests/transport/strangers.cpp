// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Real peers that cannot talk to each other: another word size, another C library. Each
// meets the other as writer and as reader, and is told what both sides are.
#include <algorithm>
#include <cstdlib>

#include "support/peers.h"

using namespace support;
using namespace possum;

namespace {

std::string stranger(const char* variable, const char* reason) {
  const char* path = std::getenv(variable);
  if (path == nullptr) check::skip(reason);
  return path;
}
std::string peer_32() {
  return stranger("POSSUM_PEER_32", "no compiler for 32-bit programs (g++-multilib)");
}
std::string peer_musl() {
  return stranger("POSSUM_PEER_MUSL", "no musl-gcc (musl-tools)");
}

// "010120" of a 32-bit glibc peer.
std::string abi(unsigned bits, unsigned c_library) {
  char text[16];
  std::snprintf(text, sizeof text, "%06x", bits | 1u << 8 | c_library << 16);
  return text;
}

void expect_both_sides(const std::string& why, const std::string& channel,
                       const std::string& writer_abi, const std::string& reader_abi) {
  std::printf("   %s\n", why.c_str());
  CHECK(why.starts_with("channel \"" + channel +
                        "\" was made by an incompatible possum (abi " + writer_abi));
  CHECK(says(why, "this is " + reader_abi));
  CHECK(says(why, "same version and C library"));
}

void expect_refusal(const std::string& channel, const std::string& writer_abi) {
  Error error;
  const auto reader = Reader::create(reader_of(channel), error);
  CHECK(reader->attach(in_ms(kLimitMs), error) == AttachStatus::failed);
  CHECK(error.code == ErrorCode::incompatible);
  expect_both_sides(error.message, channel, writer_abi, abi(64, 1));
}

std::string refused(ErrorCode code) {
  return "failed " + std::to_string(static_cast<int>(code));
}

}  // namespace

TEST_F(OnChannel, writer_of_another_word_size_is_refused) {
  const std::vector<std::string> program = {peer_32()};
  Peer writer("writer", {channel, "plain"}, program);
  writer.expect("ok 0");
  writer.order("publish 1 5 4096", "ok");
  expect_refusal(channel, abi(32, 1));
  // It goes on, among its own kind.
  Peer reader("reader", reader_words(channel), program);
  reader.order("attach 20000", "attached 0");
  CHECK(reader.ask("take 20000").starts_with("frame 5 5 4096 0 "));
  writer.order("publish 6 6 4096", "ok");
  CHECK(reader.ask("take 20000").starts_with("frame 6 6 4096 0 "));
  writer.order("close", "closed");
  CHECK(names_of(channel).empty());
}

TEST_F(OnChannel, reader_of_another_word_size_refuses) {
  const std::vector<std::string> program = {peer_32()};
  const auto writer = open_writer(plain_writer(channel));
  publish(*writer, 1);
  Peer reader("reader", reader_words(channel), program);
  reader.order("attach 20000", refused(ErrorCode::incompatible));
  expect_both_sides(reader.ask("error"), channel, abi(64, 1), abi(32, 1));
  publish(*writer, 2);
  CHECK(writer->active_readers() == 0);
}

// Names and lock bytes are the same for all.
TEST_F(OnChannel, writer_of_another_word_size_finds_the_channel_taken) {
  const std::vector<std::string> program = {peer_32()};
  FarWriter holder(channel);
  Peer second("writer", {channel, "plain"}, program);
  second.expect(refused(ErrorCode::busy));
  CHECK(says(second.ask("error"), "pid " + std::to_string(holder.pid())));
  second.finish();
  holder.kill();
  const std::size_t left = names_of(channel).size();
  CHECK(left > 1);
  Peer successor("writer", {channel, "plain"}, program);
  successor.expect("ok 0");
  successor.order("close", "closed");
  CHECK(names_of(channel).empty());
}

TEST_F(OnChannel, writer_with_another_c_library_is_refused) {
  const std::vector<std::string> program = {peer_musl()};
  Peer writer("writer", {channel}, program);
  writer.expect("ok 0");
  expect_refusal(channel, abi(64, 2));
  CHECK(writer.finish() == 0);
  CHECK(names_of(channel).empty());
}
