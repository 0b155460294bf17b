// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Looking at every channel there is.
#pragma once

#include <functional>
#include <string>

#include "inspect/observer.h"

namespace tool {

// Calls `see` for one after the other, but for those that went meanwhile, and says
// whether names were left out, see kMaxChannelsOfOthers. False: standard error says why.
using See = std::function<void(possum::inspect::ObservedChannel channel)>;
bool look_at_all(const See& see, bool& complete);
// For a person.
std::string left_out_text();

}  // namespace tool
