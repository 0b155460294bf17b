// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// How a gst-check suite of the element tests begins. Include it last: gstcheck.h defines
// a macro named `fail`.
#pragma once

#include "leftovers.h"

// Last, see above.
#include <gst/check/gstcheck.h>

namespace elements {

// A test case none of whose tests may leave anything behind.
inline TCase* new_case(Suite* suite, const char* name) {
  TCase* tcase = tcase_create(name);
  tcase_add_checked_fixture(tcase, count_leftovers, expect_no_leftovers);
  suite_add_tcase(suite, tcase);
  return tcase;
}

}  // namespace elements
