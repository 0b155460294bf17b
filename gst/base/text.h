// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Text that other processes wrote, before a person sees it: no byte of it may move a
// cursor, end a line or turn the direction of reading.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace possum {

// The code point at `at` (< text.size()), and `at` moved behind it; kNoCharacter, and
// `at` moved by one byte, where the bytes are no UTF-8 (RFC 3629).
inline constexpr char32_t kNoCharacter = 0xffffffff;
char32_t next_character(std::string_view text, std::size_t& at);

// Is it UTF-8 without control characters? Enough for what only programs read.
bool is_text(std::string_view text);
// Is it UTF-8 without control characters, line separators and marks of direction?
bool is_plain_text(std::string_view text);
// The same text with U+FFFD in place of each such character and of each byte that is no
// UTF-8, cut with "..." after `limit` characters.
std::string plain_text(std::string_view text, std::size_t limit = 256);

}  // namespace possum
