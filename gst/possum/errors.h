// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// How a transport Error reaches the user: one message on the bus, with the sentence as
// its text and the failed call in its debug detail.
#pragma once

#include <gst/gst.h>

#include <exception>

#include "base/error.h"

namespace possum {

enum class Side { sink, src };

void post_exhausted(GstElement* element, Side side, const std::exception& problem);

// Posts exactly one GST_ELEMENT_ERROR. Call it from a state change or the streaming
// thread, with no lock of the element held.
void post_error(GstElement* element, Side side, const Error& error);
// The same as a warning: the stream goes on.
void post_warning(GstElement* element, Side side, const Error& error);

// Runs what a virtual function of an element does; no exception may get into C. Around
// all that frames pass through: there a size from elsewhere may ask for more memory than
// there is. For the few bytes that other functions need, GLib ends the program anyway.
template <class Result, class Work>
Result guarded(gpointer element, Side side, Result on_failure, const Work& work) {
  try {
    return work();
  } catch (const std::exception& problem) {  // std::bad_alloc, std::length_error
    post_exhausted(GST_ELEMENT(element), side, problem);
    return on_failure;
  }
}

}  // namespace possum
