// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What a benchmark frame carries: its number and the time it was sent, at its first
// bytes and once more at its last, over a background that each buffer has of its own. So
// a consumer that looks can tell a whole frame from a torn one, and one that reads every
// byte proves that it did, and that all of the frame has been brought.
#pragma once

#include <time.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace bench {

// A producer measures the frames between two moments, and its consumers the same ones.
enum class Phase : std::uint64_t { warming, measured, over };

struct Stamp {
  std::uint64_t magic;
  std::uint64_t seq;         // 0, 1, 2, ...
  std::int64_t sent_ns;      // CLOCK_MONOTONIC, just before the push
  std::uint64_t producer;    // which life of a producer
  std::int64_t starting_ns;  // when that producer was told to start
  Phase phase;
  std::uint64_t background;  // each eight bytes between the two stamps
  std::uint64_t reserved;
};
static_assert(sizeof(Stamp) == 64);  // what the look reads

inline constexpr std::uint64_t kMagic = 0x7374616d702e3276;

inline std::int64_t now_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1'000'000'000 + t.tv_nsec;
}

// All eight bytes of `background` are the same.
inline void draw_background(std::byte* frame, std::size_t bytes,
                            std::uint64_t background) {
  std::memset(frame, static_cast<int>(background & 0xff), bytes);
}

inline void write_stamp(std::byte* frame, std::size_t bytes, const Stamp& stamp) {
  std::memcpy(frame, &stamp, sizeof stamp);
  std::memcpy(frame + bytes - 8, &stamp.seq, 8);
}

// False: no frame of a producer, or parts of two.
inline bool read_stamp(const std::byte* frame, std::size_t bytes, Stamp& stamp) {
  std::memcpy(&stamp, frame, sizeof stamp);
  std::uint64_t last;
  std::memcpy(&last, frame + bytes - 8, 8);
  return stamp.magic == kMagic && last == stamp.seq;
}

// Reads every byte; true if the background is whole.
inline bool read_all(const std::byte* frame, std::size_t bytes,
                     std::uint64_t background) {
  // Four sums, so that the processor waits for memory and not for an addition.
  std::uint64_t sum[4] = {};
  const std::size_t begin = sizeof(Stamp);
  const std::size_t end = (bytes - 8) & ~std::size_t{31};
  for (std::size_t at = begin; at + 32 <= end; at += 32) {
    std::uint64_t words[4];
    std::memcpy(words, frame + at, sizeof words);
    for (int i = 0; i < 4; ++i) sum[i] |= words[i] ^ background;
  }
  return (sum[0] | sum[1] | sum[2] | sum[3]) == 0;
}

}  // namespace bench
