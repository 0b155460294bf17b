// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// When a property may be set, as its GST_PARAM_MUTABLE_ flag says: at any time, or in
// NULL and READY.
#pragma once

#include <gst/gst.h>

namespace possum {

// In NULL or READY, and not on the way up. The object lock is held.
bool is_stopped(GstElement* element);
// May the property be set as the element is? The object lock is held.
bool may_set(GstElement* element, const GParamSpec* spec);
// It may not: says so on the bus. From any thread; takes the object lock.
void warn_not_set(GstElement* element, const GParamSpec* spec);

}  // namespace possum
