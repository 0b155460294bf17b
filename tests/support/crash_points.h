// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What happens at the crash points of a transport built with POSSUM_CRASH_POINTS.
#pragma once

#include <string>
#include <vector>

#include "base/crash_point.h"

namespace possum::crash {

std::vector<const Point*> points();  // of this program, by name

// The signal at the n-th pass of the point. Before SIGSTOP the line "held NAME" appears
// on standard output; SIGCONT lets the process go on.
void raise_at(int signal, const std::string& point, unsigned nth);

}  // namespace possum::crash
