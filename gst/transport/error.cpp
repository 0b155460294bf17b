// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "error.h"

#include <system_error>

namespace possum {

Error make_error(ErrorCode code, std::string message, std::string detail) {
  Error error;
  error.code = code;
  error.message = std::move(message);
  error.detail = std::move(detail);
  return error;
}

Error system_error(ErrorCode code, std::string message, const std::string& what,
                   int error_number) {
  return make_error(code, std::move(message),
                    what + ": " + std::generic_category().message(error_number) +
                        " (errno " + std::to_string(error_number) + ")");
}

}  // namespace possum
