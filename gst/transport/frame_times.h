// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// When a frame was captured, as far as its writer can be believed. All times are
// nanoseconds of CLOCK_MONOTONIC.
#pragma once

#include <cstdint>

#include "layout.h"

namespace possum::transport {

// False without a PTS, and for a preroll frame.
bool has_capture_time(const layout::FrameDescriptor& frame);

// The moment that the frame stands for: its capture, or its publication where the capture
// has no absolute time.
std::int64_t capture_ns(const layout::FrameDescriptor& frame);

// Can these be times of the clock that says `now_ns`? Not when they lie before its
// beginning, when the frame was published later than now, nor when it is due so late that
// a sink would seem to wait for ever.
bool plausible_times(const layout::FrameDescriptor& frame, std::int64_t now_ns);

// Was the frame published well before this moment, if its writer goes by this clock?
bool published_before(const layout::FrameDescriptor& frame, std::int64_t moment_ns);

// The frame stands for its arrival.
void stamp_arrival(layout::FrameDescriptor& frame, std::int64_t now_ns);

}  // namespace possum::transport
