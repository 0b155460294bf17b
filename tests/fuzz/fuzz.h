// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What the fuzz targets share: the input as a stream of choices, edits of memory that a
// peer may write, and checks that end the program. An input that has run out gives
// zeros, so every input means something and the empty one means "no lie at all".
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <string>

#include "base/clock.h"
#include "base/shm_object.h"
#include "support/processor.h"
#include "transport/layout.h"

#define FUZZ_CHECK(condition)                                         \
  do {                                                                \
    if (!(condition)) ::fuzz::failed(__FILE__, __LINE__, #condition); \
  } while (false)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace fuzz {

using namespace possum;
using namespace possum::transport;

[[noreturn]] inline void failed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: failed: %s\n", file, line, condition);
  std::abort();
}

// How many mappings guard.cpp has guarded so far: not 0 if the linker did as it was told.
std::size_t guarded_mappings();

// The end of so many bytes, a whole number of pages, behind which nothing is readable.
inline std::byte* guarded_end(std::size_t bytes, int protection) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  void* const room =
      mmap(nullptr, bytes + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  FUZZ_CHECK(room != MAP_FAILED && mprotect(room, bytes, protection) == 0);
  return static_cast<std::byte*>(room) + bytes;
}

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), left_(size) {}
  bool empty() const { return left_ == 0; }

  template <class T>
  T take() {
    T value{};
    const std::size_t bytes = left_ < sizeof value ? left_ : sizeof value;
    if (bytes > 0) std::memcpy(&value, data_, bytes);
    data_ += bytes;
    left_ -= bytes;
    return value;
  }
  // 0 .. count - 1; count <= 256.
  unsigned below(unsigned count) { return take<std::uint8_t>() % count; }

  // Up to a NUL, which is swallowed.
  std::string text() {
    if (left_ == 0) return {};
    const auto* const end = static_cast<const std::uint8_t*>(memchr(data_, 0, left_));
    const std::size_t bytes =
        end == nullptr ? left_ : static_cast<std::size_t>(end - data_);
    std::string result(reinterpret_cast<const char*>(data_), bytes);
    data_ += bytes;
    left_ -= bytes;
    if (left_ > 0) take<std::uint8_t>();
    return result;
  }

 private:
  const std::uint8_t* data_;
  std::size_t left_;
};

// Bytes that a peer may write; at least 8 of them, and aligned like them.
struct Area {
  void* at;
  std::size_t bytes;
};

// One store of 1, 2, 4 or 8 bytes.
struct Edit {
  std::byte* at = nullptr;
  std::size_t width = 1;
  std::uint64_t value = 0;
  std::uint64_t before = 0;

  void apply(std::uint64_t more = 0) const { store(value + more); }
  void undo() const { store(before); }

 private:
  void store(std::uint64_t v) const {
    switch (width) {
      case 1:
        return put<std::uint8_t>(v);
      case 2:
        return put<std::uint16_t>(v);
      case 4:
        return put<std::uint32_t>(v);
      default:
        return put<std::uint64_t>(v);
    }
  }
  template <class T>
  void put(std::uint64_t v) const {
    __atomic_store_n(reinterpret_cast<T*>(at), static_cast<T>(v), __ATOMIC_RELAXED);
  }
};

// Raw values, values where arithmetic goes wrong, and values near the right one.
inline std::uint64_t read_value(Input& in, std::size_t width, std::uint64_t before) {
  const unsigned kind = in.below(8);
  switch (kind) {
    case 0:
      return 0;
    case 1:
      return ~std::uint64_t{0};
    case 2:
      return std::uint64_t{1} << (8 * width - 1);
    case 3:
      return std::uint64_t{1} << in.below(64);
    case 4:
      return before + static_cast<std::uint64_t>(
                          static_cast<std::int64_t>(in.take<std::int8_t>()));
    case 5:
      return before ^ (std::uint64_t{1} << in.below(64));
    case 6:
      return in.take<std::uint16_t>();
    default:
      break;
  }
  std::uint64_t value = 0;
  for (std::size_t byte = 0; byte < width; ++byte) {
    value |= std::uint64_t{in.take<std::uint8_t>()} << (8 * byte);
  }
  return value;
}

inline Edit read_edit(Input& in, std::span<const Area> areas) {
  const Area& area = areas[in.below(static_cast<unsigned>(areas.size()))];
  Edit edit;
  edit.width = std::size_t{1} << in.below(4);
  const std::size_t places = area.bytes / edit.width;
  edit.at =
      static_cast<std::byte*>(area.at) + in.take<std::uint16_t>() % places * edit.width;
  std::memcpy(&edit.before, edit.at, edit.width);
  edit.value = read_value(in, edit.width, edit.before);
  return edit;
}

// What stretches the bounds of time. Not the length of a run: CK_TIMEOUT_MULTIPLIER,
// which grows with that, counts only where nothing else is said.
inline std::int64_t slowness() {
  static const std::int64_t factor = [] {
    const char* text = std::getenv("POSSUM_FUZZ_SLOWNESS");
    if (text == nullptr) text = std::getenv("CK_TIMEOUT_MULTIPLIER");
    const int value = text == nullptr ? 1 : std::atoi(text);
    return std::int64_t{value < 1 ? 1 : value};
  }();
  return factor;
}

inline std::int64_t in_ms(std::int64_t ms) { return monotonic_ns() + ms * kMs; }

// Whatever is done while one of these lives must be over one tick after `allowed_ms`.
class Bounded {
 public:
  explicit Bounded(const char* what, std::int64_t allowed_ms = 0)
      : what_(what),
        limit_ns_(support::own_time_ns() + (allowed_ms + 250 * slowness()) * kMs) {}
  ~Bounded() {
    const std::int64_t over = support::own_time_ns() - limit_ns_;
    if (over <= 0) return;
    std::fprintf(stderr, "%s took %lld ms more than it may\n", what_,
                 static_cast<long long>(over / kMs));
    std::abort();
  }
  Bounded(const Bounded&) = delete;
  Bounded& operator=(const Bounded&) = delete;

 private:
  const char* what_;
  std::int64_t limit_ns_;
};

// Touches each byte, so that guard pages and sanitizers have their say.
inline void read_every_byte(const void* data, std::size_t bytes) {
  const auto* const at = static_cast<const unsigned char*>(data);
  unsigned sum = 0;
  for (std::size_t i = 0; i < bytes; ++i) sum += at[i];
  asm volatile("" : : "r"(sum));  // the loop is not for nothing
}

}  // namespace fuzz
