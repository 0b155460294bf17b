// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Looking at every channel there is.
#pragma once

#include <vector>

#include "transport/observer.h"

namespace tool {

// Without those that went meanwhile. False: standard error says why.
bool look_at_all(std::vector<possum::ObservedChannel>& channels);

}  // namespace tool
