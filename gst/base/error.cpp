// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "error.h"

#include <errno.h>

#include <system_error>

namespace possum {
namespace {

const char* shm_remedy(int error_number) {
  switch (error_number) {
    case EACCES:
    case EPERM:
      return "let this user make files in /dev/shm (chmod 1777 /dev/shm)";
    case EFBIG:
      return "raise this process's limit (ulimit -f unlimited, LimitFSIZE=infinity)";
    case EMFILE:
      return "close files of this process or raise its limit (ulimit -n, LimitNOFILE=)";
    case ENFILE:
      return "close other programs or raise the system's limit (sysctl fs.file-max)";
    case ENOMEM:
      return "close other programs or raise this one's limits (ulimit -v, sysctl "
             "vm.max_map_count)";
    case ENOSPC:
      return "remove files from /dev/shm (possum clean) or let it have more (mount -o "
             "remount,nr_inodes=0 /dev/shm)";
    case ENOENT:
    case ENOTDIR:
      return "mount a tmpfs there (mount -t tmpfs -o mode=1777 tmpfs /dev/shm)";
    case EROFS:
      return "let /dev/shm be written (mount -o remount,rw /dev/shm)";
    default:
      return nullptr;
  }
}

ErrorCode shm_code(int error_number) {
  switch (error_number) {
    case EACCES:
    case EPERM:
      return ErrorCode::no_permission;
    case ENOSPC:
      return ErrorCode::no_space;
    default:
      return ErrorCode::system;
  }
}

}  // namespace

std::string error_words(int error_number) {
  return std::generic_category().message(error_number);
}

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
                    what + ": " + error_words(error_number) + " (errno " +
                        std::to_string(error_number) + ")");
}

Error shm_error(const std::string& what, const std::string& call, int error_number) {
  const char* const remedy = shm_remedy(error_number);
  return system_error(shm_code(error_number),
                      what + ": " + error_words(error_number) +
                          (remedy ? std::string(": ") + remedy : ""),
                      call, error_number);
}

}  // namespace possum
