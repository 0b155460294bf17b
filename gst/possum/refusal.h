// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Caps that do not fit, in words for whoever wrote the pipeline: what to put where, and
// which fields differ.
#pragma once

#include <gst/gst.h>

#include <string>

namespace possum {

// How a sentence about refused caps names things.
struct RefusalWords {
  std::string place;    // of an element to add: "behind possumsrc"
  std::string origin;   // where other caps could be made: "at the writer"
  std::string carried;  // "channel "x" carries"
  std::string taken;    // "downstream takes"
};

// One sentence without a full stop. `caps` are fixed, `accepted` what the other side
// takes. An element that is linked to `pad`, on its outer side and however far away, is
// not proposed again. Calls into the elements there: hold no lock.
std::string explain_refusal(GstCaps* caps, GstCaps* accepted, GstPad* pad,
                            const RefusalWords& words);

}  // namespace possum
