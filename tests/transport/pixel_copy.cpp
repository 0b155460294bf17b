// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Every byte arrives and none beside it changes, at all alignments and both ways.
#include "base/pixel_copy.h"

#include <array>
#include <cstddef>
#include <cstdint>

#include "support/check.h"

namespace {

constexpr std::size_t kSmallFrame = 1 << 20;
constexpr std::size_t kLargeFrame = std::size_t{32} << 20;
constexpr std::size_t kRoom = 512;
constexpr std::uint8_t kUntouched = 0xee;

using Bytes = std::array<std::uint8_t, kRoom>;

bool copies(std::size_t to, std::size_t from, std::size_t bytes,
            std::size_t frame_bytes) {
  alignas(64) Bytes source;
  alignas(64) Bytes target;
  for (std::size_t i = 0; i < kRoom; ++i) source[i] = static_cast<std::uint8_t>(i % 199);
  target.fill(kUntouched);
  possum::copy_pixels(target.data() + to, source.data() + from, bytes, frame_bytes);
  for (std::size_t i = 0; i < kRoom; ++i) {
    const bool inside = i >= to && i < to + bytes;
    if (target[i] != (inside ? source[from + i - to] : kUntouched)) return false;
  }
  return true;
}

}  // namespace

TEST(all_bytes_and_no_others_are_copied) {
  for (const std::size_t frame_bytes : {kSmallFrame, kLargeFrame}) {
    for (std::size_t to = 0; to < 64; to += 3) {
      for (std::size_t from = 0; from < 16; from += 5) {
        for (std::size_t bytes = 0; bytes < 400; ++bytes) {
          CHECK(copies(to, from, bytes, frame_bytes));
        }
      }
    }
  }
}
