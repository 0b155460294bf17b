// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// How a gst-check suite of the element tests begins. Include it last: gstcheck.h defines
// a macro named `fail`.
#pragma once

#include <string>

#include "leftovers.h"
#include "require.h"

// Last, see above.
#include <gst/check/gstcheck.h>

namespace elements {

// What must be the same again after each test, or not there at all.
inline std::size_t descriptors_before = 0;

inline void count_leftovers() { descriptors_before = support::open_descriptors().size(); }

inline void expect_no_leftovers() {
  const auto names = support::own_names();
  const auto mappings = support::channel_mappings();
  const auto open = support::open_descriptors();
  require(names.empty(), "left in /dev/shm:" + support::joined(names));
  require(mappings.empty(), "a channel is still mapped:" + support::joined(mappings));
  require(open.size() == descriptors_before, std::to_string(descriptors_before) +
                                                 " descriptors before, now" +
                                                 support::joined(open));
}

// A test case none of whose tests may leave anything behind.
inline TCase* new_case(Suite* suite, const char* name) {
  TCase* tcase = tcase_create(name);
  tcase_add_checked_fixture(tcase, count_leftovers, expect_no_leftovers);
  suite_add_tcase(suite, tcase);
  return tcase;
}

}  // namespace elements
