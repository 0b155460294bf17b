// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// How a transport Error reaches the user: one message on the bus, with the sentence as
// its text and the failed call in its debug detail.
#pragma once

#include <gst/gst.h>

#include "transport/error.h"

namespace possum {

enum class Side { sink, src };

// Posts exactly one GST_ELEMENT_ERROR. Call it from a state change or the streaming
// thread, with no lock of the element held.
void post_error(GstElement* element, Side side, const Error& error);
// The same as a warning: the stream goes on.
void post_warning(GstElement* element, Side side, const Error& error);

}  // namespace possum
