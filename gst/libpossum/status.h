// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The border to C: what a call answers, what its thread can ask about it afterwards, and
// the net that no exception gets through. Also the structs that grow.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <string_view>

#include "base/error.h"
#include "possum.h"

namespace possum {

// Remember the texts for this thread and return the status. Never fail.
possum_status answer(possum_status status, std::string_view message,
                     std::string_view detail = {}) noexcept;
possum_status answer(const Error& error) noexcept;
possum_status no_memory() noexcept;
possum_status forked_away(const char* what) noexcept;

// With '?' for each byte that keeps it from being that.
std::string printable(std::string_view text);

// Runs the body of a function of possum.h.
template <class Body>
possum_status at_border(Body body) noexcept {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return no_memory();
  } catch (const std::exception& problem) {
    return answer(POSSUM_ERROR_SYSTEM, "A call of the C++ library failed",
                  problem.what());
  }
}

// --- structs whose size the caller says ------------------------------------------------

// The size of each struct in version 1.0: what a program that was built then passes.
// Later members go behind these, and the numbers stay.
#define POSSUM_END_OF(type, member) (offsetof(type, member) + sizeof(type::member))
inline constexpr std::size_t kFirstVideo = POSSUM_END_OF(possum_video, planes);
inline constexpr std::size_t kFirstWriterOptions =
    POSSUM_END_OF(possum_writer_options, sigbus_guard);
inline constexpr std::size_t kFirstFrameParams =
    POSSUM_END_OF(possum_frame_params, planes);
inline constexpr std::size_t kFirstReaderOptions =
    POSSUM_END_OF(possum_reader_options, copy_on_write);
#undef POSSUM_END_OF
#ifdef __LP64__
static_assert(kFirstVideo == 368);
static_assert(kFirstWriterOptions == 72);
static_assert(kFirstFrameParams == 144);
static_assert(kFirstReaderOptions == 48);
#endif

// No struct of any version is larger: memory that was not prepared says any size.
inline constexpr std::size_t kLargestStruct = 4096;

// Copies as much as the caller has room for and clears what it has beyond that.
template <class T>
void hand_out(const T& value, void* to, std::size_t size) {
  static_assert(sizeof value <= kLargestStruct);
  const std::size_t known = std::min(size, sizeof value);
  std::memcpy(to, &value, known);
  if (size > kLargestStruct) return;
  std::memset(static_cast<char*>(to) + known, 0, size - known);
}

// For the init functions: `defaults` with the caller's size in it.
template <class T>
void hand_out_defaults(T defaults, T* to, std::size_t size) {
  if (to == nullptr || size < sizeof defaults.size) return;
  defaults.size = size;
  hand_out(defaults, to, size);
}

// Reads what a caller prepared by an init function into `value`, which holds the
// defaults: the struct of an earlier version says nothing of later members. That of a
// later version may say nothing that this one does not know. The first version's size is
// the least.
template <class T>
possum_status take_in(const T* from, std::size_t first_version, T& value,
                      const char* init) {
  if (from == nullptr || from->size < first_version || from->size > kLargestStruct) {
    return answer(POSSUM_ERROR_SETTINGS,
                  std::string_view("A struct is missing or was not prepared by its init "
                                   "function: call that first"),
                  init);
  }
  const auto* const bytes = reinterpret_cast<const char*>(from);
  const std::size_t size = from->size;
  if (size > sizeof value && std::any_of(bytes + sizeof value, bytes + size,
                                         [](char byte) { return byte != 0; })) {
    return answer(
        POSSUM_ERROR_SETTINGS,
        "The program uses what this libpossum does not know: install a newer one", init);
  }
  std::memcpy(&value, from, std::min(size, sizeof value));
  value.size = sizeof value;
  return POSSUM_OK;
}

}  // namespace possum
