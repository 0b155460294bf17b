// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What can go wrong in the transport, as a value. The transport never prints and never
// throws across its border; whoever calls it turns an Error into a message.
#pragma once

#include <cstdint>
#include <string>

namespace possum {

enum class ErrorCode {
  none,
  settings,       // a bad channel name or option
  busy,           // another live writer, or no free reader page
  not_found,      // no channel of that name in time
  not_owner,      // the name belongs to another user
  no_permission,  // the kernel refused access
  no_space,       // the shm mount is full
  incompatible,   // other layout version, word size or C library
  blocking,       // a blocking reader is not allowed by this writer
  corrupt,        // the channel's content or size makes no sense
  system,         // any other failed call
};

struct Error {
  ErrorCode code = ErrorCode::none;
  std::string message;  // one sentence for a person: what is wrong and what to do
  std::string detail;   // for a developer: call, object, errno text
  std::uint64_t needed_bytes = 0;  // no_space: for the smallest useful pool
  std::uint64_t free_bytes = 0;    // no_space

  explicit operator bool() const { return code != ErrorCode::none; }
};

Error make_error(ErrorCode code, std::string message, std::string detail = {});
// `detail` becomes "WHAT: strerror(ERRNO)".
Error system_error(ErrorCode code, std::string message, const std::string& what,
                   int error_number);

// "No such file or directory"
std::string error_words(int error_number);
// A call on shared memory that the system refused: the sentence is "WHAT: REASON:
// REMEDY", with the reason in the system's words and a remedy where one is known. `what`
// ends with no full stop. no_permission and no_space by the reason, else system.
Error shm_error(const std::string& what, const std::string& call, int error_number);

}  // namespace possum
