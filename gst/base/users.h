// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Users and groups as people name them, and the permissions that they give each other.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "error.h"

namespace possum {

// May these be the permissions of a channel? Whoever attaches reads and writes the
// control object, so user, group and others have both or nothing, the user both. Else a
// `settings` error that says, in octal, what was meant.
// `group`: a group was named, which is for nothing without permission.
Error check_perms(unsigned perms, bool group);

// This user and root: what they say may be believed unasked.
bool trusted_owner(uid_t owner);
// "1000 (alice)"
std::string user_text(uid_t uid);
std::string group_text(gid_t gid);
std::optional<uid_t> find_user(const std::string& name_or_number);
std::optional<gid_t> find_group(const std::string& name_or_number);

}  // namespace possum
