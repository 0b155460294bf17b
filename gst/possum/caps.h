// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The caps of both elements: which there are, how those of a channel, which another
// process wrote, get into GStreamer, and why caps do not fit, in words for whoever wrote
// the pipeline.
#pragma once

#include <gst/video/video.h>

#include <string>
#include <vector>

#include "refs.h"

namespace possum {

// --- all caps that there are ---------------------------------------------------------

// Every raw video format that the GStreamer knows that runs, which need not be the one
// that this was built with. The formats that most viewers take without effort come first:
// upstream picks the first that it can make.
Ref<GstCaps> raw_video_caps();

// --- the caps of a channel -----------------------------------------------------------

enum class CapsKind {
  raw_video,       // `caps` and `info` are set
  unknown_format,  // raw video, in the format `name`, of another GStreamer
  other,           // of the media type `name`
  corrupt,         // no fixed caps at all
};

struct ChannelCaps {
  CapsKind kind = CapsKind::corrupt;
  Ref<GstCaps> caps;
  GstVideoInfo info{};
  std::string name;                   // fit for a terminal
  std::vector<std::string> left_out;  // fields that did not get into `caps`
};

// Reads the caps text of a channel whose owner is one to trust. GStreamer's parser keeps
// each name of a field that it ever saw for as long as the process lives, and calls
// itself for each bracket; so it gets plain values only, and a bounded number of names
// that it would not know anyway. Any thread.
ChannelCaps read_caps(const std::string& text);

// --- refused caps --------------------------------------------------------------------

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
