// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Places where a process may die. One follows each store to shared memory and each
// system call on names and locks, so that what is left of a process that was killed
// anywhere is what is left at the nearest place before. tests/transport/deaths.md says
// for each what the others make of it. They are nothing but in the build that
// tests/transport/crash.cpp links to; a run of plain stores to bytes that nobody may read
// yet (a new header, a descriptor) counts as one store.
#pragma once

#ifdef POSSUM_CRASH_POINTS

#include <algorithm>
#include <atomic>
#include <cstddef>

namespace possum::crash {

template <std::size_t N>
struct Name {
  char text[N];
  constexpr Name(const char (&name)[N]) { std::copy_n(name, N, text); }
};

// Defined in tests/support/crash_points.cpp.
class Point {
 public:
  explicit Point(const char* point_name);  // enters itself into the list of all
  void pass();                             // leaves errno alone

  const char* const name;
  Point* const next;
  std::atomic<unsigned> passed{0};
};

// One object for each name that the program contains.
template <Name name>
inline Point point{name.text};

}  // namespace possum::crash

#define POSSUM_CRASH_POINT(name) ::possum::crash::point<name>.pass()

#else
#define POSSUM_CRASH_POINT(name) static_cast<void>(0)
#endif
