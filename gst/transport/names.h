// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What people call channels.
#pragma once

#include <string_view>

#include "base/error.h"

namespace possum::transport {

// [A-Za-z0-9_][A-Za-z0-9._-]{0,119}
bool valid_channel_name(std::string_view name);
// A `settings` error that quotes the name and says what is allowed.
Error channel_name_error(std::string_view name);

}  // namespace possum::transport
