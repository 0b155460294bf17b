// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What people call things: channels and users.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>

#include "error.h"

namespace possum {

// [A-Za-z0-9_][A-Za-z0-9._-]{0,119}
bool valid_channel_name(std::string_view name);
// A `settings` error that quotes the name and says what is allowed.
Error channel_name_error(std::string_view name);

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
