// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What a person reads when a channel cannot be written or read: what is wrong, and what
// to do about it. What other processes wrote is quoted as plain text (base/text.h).
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace possum {

// channel "NAME". Not quoted(): std::quoted() would be found, too.
std::string named(std::string_view channel);

// No channel can have such a name.
Error channel_name_error(std::string_view name);
// Nobody writes the channel.
Error no_channel(const std::string& channel);
// Its name belongs to a user whose channels are not for this process.
enum class Wish { read, write };
Error foreign_owner(std::string_view channel, uid_t owner, Wish wish);
// The control object of `owner` keeps this user out.
Error no_permission(std::string_view channel, uid_t owner, int error_number);
// Under its name lies something that is "no channel", say. not_an_object(): that
// shm_open(3) did not make.
Error name_taken(std::string_view channel, ErrorCode code, const std::string& what);
Error not_an_object(std::string_view channel, ErrorCode code);
// The name could be neither created nor opened by its next writer.
Error cannot_claim(const std::string& channel, int error_number);
// A live writer holds the name; this is what it says of itself.
struct NameHolder {
  std::uint32_t pid = 0;
  std::uint64_t start_ticks = 0;  // since boot
  std::string name;
};
Error name_held(std::string_view channel, const std::optional<NameHolder>& holder);
// Its writer speaks another protocol: `what` says how that differs.
Error incompatible(std::string_view channel, const std::string& what);
Error pages_taken(std::string_view channel);
Error blocking_refused(std::string_view channel);
// The data object `name` could not be opened.
Error frames_closed(std::string_view channel, const std::string& name, int error_number);
// The channel's bytes make no sense; `why` is for a developer.
Error damaged(std::string_view channel, const std::string& why);
// The writer gave this reader's page to another one.
Error taken_for_dead(std::string_view channel);
// There is no memory for three slots; `detail` says of which call.
Error too_small(std::string_view channel, std::size_t needed_bytes,
                std::size_t free_bytes, const std::string& detail);
Error no_locks(int error_number);
Error no_random_numbers(int error_number);
Error no_threads(const std::string& why);
// For a frame: `what` was to be allocated.
Error no_memory(const std::string& what);
// The "reader" or "writer" was opened before fork(), and this is the child.
Error made_before_fork(const std::string& what);

}  // namespace possum
