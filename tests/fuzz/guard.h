// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See guard.cpp.
#pragma once

#include <cstddef>

namespace fuzz {

// How many were made so far: not 0 if the linker did as it was told.
std::size_t guarded_mappings();

}  // namespace fuzz
