// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header. The texts lie in the thread, in room that is always there: telling of
// a failed allocation must not allocate.
#include "status.h"

#include "base/text.h"

namespace possum {
namespace {

constexpr std::size_t kMessageBytes = 1024;
constexpr std::size_t kDetailBytes = 512;

thread_local char last_message[kMessageBytes];
thread_local char last_detail[kDetailBytes];

// Length of the UTF-8 sequence that `text` begins with; 0 if it is none, or a control
// character (C0, DEL, C1).
std::size_t sequence(std::string_view text) {
  std::size_t length = 0;
  const char32_t c = next_character(text, length);
  const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);
  return c == kNoCharacter || control ? 0 : length;
}

// What is no text becomes '?'; what has no room is left out.
void keep(std::string_view text, char* to, std::size_t room) noexcept {
  char* const end = to + room - 1;
  while (!text.empty()) {
    const std::size_t length = sequence(text);
    const std::size_t step = std::max<std::size_t>(length, 1);
    if (step > static_cast<std::size_t>(end - to)) break;
    if (length == 0) *to = '?';
    if (length != 0) std::memcpy(to, text.data(), length);
    to += step;
    text.remove_prefix(step);
  }
  *to = '\0';
}

possum_status status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::settings:
      return POSSUM_ERROR_SETTINGS;
    case ErrorCode::busy:
      return POSSUM_ERROR_BUSY;
    case ErrorCode::not_found:
      return POSSUM_ERROR_NOT_FOUND;
    case ErrorCode::not_owner:
      return POSSUM_ERROR_NOT_OWNER;
    case ErrorCode::no_permission:
      return POSSUM_ERROR_NO_PERMISSION;
    case ErrorCode::no_space:
      return POSSUM_ERROR_NO_SPACE;
    case ErrorCode::incompatible:
      return POSSUM_ERROR_INCOMPATIBLE;
    case ErrorCode::blocking:
      return POSSUM_ERROR_NO_BLOCKING;
    case ErrorCode::corrupt:
      return POSSUM_ERROR_CORRUPT;
    case ErrorCode::none:
    case ErrorCode::system:
      break;
  }
  return POSSUM_ERROR_SYSTEM;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string result(text.size() + 1, '\0');
  keep(text, result.data(), result.size());
  result.resize(text.size());
  return result;
}

possum_status answer(possum_status status, std::string_view message,
                     std::string_view detail) noexcept {
  keep(message, last_message, sizeof last_message);
  keep(detail, last_detail, sizeof last_detail);
  return status;
}

possum_status answer(const Error& error) noexcept {
  return answer(status_of(error.code), error.message, error.detail);
}

possum_status no_memory() noexcept {
  return answer(
      POSSUM_ERROR_NO_MEMORY,
      "There is not enough memory: close other programs or use a smaller format",
      "an allocation failed");
}

possum_status forked_away(const char* what) noexcept {
  return answer(POSSUM_ERROR_STATE,
                "Nothing of possum survives fork(): open it in the child", what);
}

}  // namespace possum

uint32_t possum_version(void) {
  return (uint32_t{POSSUM_VERSION_MAJOR} << 16) | POSSUM_VERSION_MINOR;
}

const char* possum_error_message(void) { return possum::last_message; }
const char* possum_error_detail(void) { return possum::last_detail; }

const char* possum_status_name(possum_status status) {
  switch (status) {
    case POSSUM_OK:
      return "ok";
    case POSSUM_TIMEOUT:
      return "timeout";
    case POSSUM_INTERRUPTED:
      return "interrupted";
    case POSSUM_EOS:
      return "eos";
    case POSSUM_DISCONNECTED:
      return "disconnected";
    case POSSUM_NO_SLOT:
      return "no-slot";
    case POSSUM_ERROR_SETTINGS:
      return "settings";
    case POSSUM_ERROR_BUSY:
      return "busy";
    case POSSUM_ERROR_NOT_FOUND:
      return "not-found";
    case POSSUM_ERROR_NOT_OWNER:
      return "not-owner";
    case POSSUM_ERROR_NO_PERMISSION:
      return "no-permission";
    case POSSUM_ERROR_NO_SPACE:
      return "no-space";
    case POSSUM_ERROR_INCOMPATIBLE:
      return "incompatible";
    case POSSUM_ERROR_NO_BLOCKING:
      return "no-blocking";
    case POSSUM_ERROR_CORRUPT:
      return "corrupt";
    case POSSUM_ERROR_FORMAT:
      return "format";
    case POSSUM_ERROR_STATE:
      return "state";
    case POSSUM_ERROR_NO_MEMORY:
      return "no-memory";
    case POSSUM_ERROR_SYSTEM:
      return "system";
  }
  return "unknown";
}
