// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The C library does the same beyond a share of the cache that the processor reports; of
// a large cache that many share, or a virtual machine sees but does not have, no frame is
// ever beyond it.
#include "pixel_copy.h"

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace possum {

#if defined(__SSE2__)
namespace {

// Measured with three slots and a reader of every byte on another processor: 0.93, 0.99,
// 1.08 and 1.16 times the rate of memcpy() at 16, 20, 24 and 32 MiB.
constexpr std::size_t kLargeFrame = std::size_t{20} << 20;
constexpr std::size_t kLine = 64;  // bytes

}  // namespace

void copy_pixels(void* to, const void* from, std::size_t bytes, std::size_t frame_bytes) {
  auto* out = static_cast<std::byte*>(to);
  const auto* in = static_cast<const std::byte*>(from);
  const std::size_t head = -reinterpret_cast<std::uintptr_t>(out) % kLine;
  if (frame_bytes < kLargeFrame || bytes < head + kLine) {
    std::memcpy(to, from, bytes);
    return;
  }
  std::memcpy(out, in, head);
  out += head;
  in += head;
  bytes -= head;
  for (; bytes >= kLine; bytes -= kLine, in += kLine, out += kLine) {
    const auto* const source = reinterpret_cast<const __m128i*>(in);
    auto* const line = reinterpret_cast<__m128i*>(out);
    const __m128i a = _mm_loadu_si128(source);
    const __m128i b = _mm_loadu_si128(source + 1);
    const __m128i c = _mm_loadu_si128(source + 2);
    const __m128i d = _mm_loadu_si128(source + 3);
    _mm_stream_si128(line, a);
    _mm_stream_si128(line + 1, b);
    _mm_stream_si128(line + 2, c);
    _mm_stream_si128(line + 3, d);
  }
  // Streaming stores may pass others: Intel 64 and IA-32 Architectures Software
  // Developer's Manual, volume 1, section 10.4.6.2.
  _mm_sfence();
  std::memcpy(out, in, bytes);
}
#else
void copy_pixels(void* to, const void* from, std::size_t bytes, std::size_t) {
  std::memcpy(to, from, bytes);
}
#endif

}  // namespace possum
