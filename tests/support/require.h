// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What helpers of gst-check tests use instead of its macros, so that they need not
// include gstcheck.h, which defines a macro named `fail` and must come last.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string>
#include <type_traits>
#include <utility>

namespace elements {

// Where a helper was called; std::source_location is not in every C++20 library yet.
struct Where {
  const char* file;
  unsigned line;
  static constexpr Where here(const char* file = __builtin_FILE(),
                              unsigned line = __builtin_LINE()) {
    return {file, line};
  }
};

// Ends the test, which gst-check runs in a process of its own, and says where the helper
// was called. From any thread.
inline void require(bool condition, const std::string& text,
                    Where where = Where::here()) {
  if (condition) return;
  std::fprintf(stderr, "%s:%u: %s\n", where.file, where.line, text.c_str());
  std::abort();
}

// For the message of expect_equal().
template <class T>
std::string shown(const T& value) {
  if constexpr (std::is_arithmetic_v<T>) return std::to_string(value);
  if constexpr (std::is_enum_v<T>) return std::to_string(static_cast<int>(value));
  if constexpr (std::is_convertible_v<T, std::string>) return value;
}

// Integers of any width and sign, or texts.
template <class A, class B>
void expect_equal(const A& is, const B& wanted, Where where = Where::here()) {
  bool equal = false;
  if constexpr (std::is_convertible_v<A, std::string>) {
    equal = std::string(is) == std::string(wanted);
  } else if constexpr (std::is_integral_v<A> && std::is_integral_v<B> &&
                       !std::is_same_v<A, bool>) {
    equal = std::cmp_equal(is, wanted);
  } else {
    equal = is == wanted;
  }
  require(equal, shown(is) + " instead of " + shown(wanted), where);
}

}  // namespace elements
