// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The caps text of a channel, which another process wrote, on its way into GStreamer.
#pragma once

#include <gst/video/video.h>

#include <string>

#include "refs.h"

namespace possum {

// Fixed caps of raw video within `known`, and what they say; NULL for any other text.
Ref<GstCaps> parse_caps(const std::string& text, GstCaps* known, GstVideoInfo& info);

}  // namespace possum
