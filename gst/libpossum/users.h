// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Users and groups by name or number, as options give them.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

namespace possum {

std::optional<uid_t> find_user(const std::string& name_or_number);
std::optional<gid_t> find_group(const std::string& name_or_number);

}  // namespace possum
