// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "text.h"

namespace possum {
namespace {

constexpr char32_t kSurrogates = 0xd800;
constexpr char32_t kAfterSurrogates = 0xe000;
constexpr char32_t kLast = 0x10ffff;

struct Lead {
  unsigned more;      // bytes that follow
  char32_t bits;      // of the first byte
  char32_t smallest;  // value that needs so many bytes
};

bool read_lead(unsigned char byte, Lead& lead) {
  if (byte < 0x80) {
    lead = {0, byte, 0};
  } else if ((byte & 0xe0) == 0xc0) {
    lead = {1, byte & 0x1fu, 0x80};
  } else if ((byte & 0xf0) == 0xe0) {
    lead = {2, byte & 0x0fu, 0x800};
  } else if ((byte & 0xf8) == 0xf0) {
    lead = {3, byte & 0x07u, 0x10000};
  } else {
    return false;
  }
  return true;
}

// C0, DEL and C1: the category Cc.
bool is_control(char32_t c) { return c < 0x20 || (c >= 0x7f && c < 0xa0); }

// Of the categories Cc, Zl, Zp, and of Cf what changes the order or is not seen at all
// (Unicode, annex 9).
bool harmful(char32_t c) {
  return c == kNoCharacter || is_control(c) || c == 0x00ad || c == 0x061c ||
         (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
         (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
         (c >= 0xe0000 && c <= 0xe0fff);
}

}  // namespace

char32_t next_character(std::string_view text, std::size_t& at) {
  Lead lead{};
  const std::size_t begin = at++;
  if (!read_lead(static_cast<unsigned char>(text[begin]), lead) ||
      text.size() - begin <= lead.more) {
    return kNoCharacter;
  }
  char32_t c = lead.bits;
  for (unsigned i = 1; i <= lead.more; ++i) {
    const auto byte = static_cast<unsigned char>(text[begin + i]);
    if ((byte & 0xc0) != 0x80) return kNoCharacter;
    c = c << 6 | (byte & 0x3fu);
  }
  if (c < lead.smallest || c > kLast || (c >= kSurrogates && c < kAfterSurrogates)) {
    return kNoCharacter;
  }
  at = begin + 1 + lead.more;
  return c;
}

bool is_text(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = next_character(text, at);
    if (c == kNoCharacter || is_control(c)) return false;
  }
  return true;
}

bool is_plain_text(std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    if (harmful(next_character(text, at))) return false;
  }
  return true;
}

std::string plain_text(std::string_view text, std::size_t limit) {
  std::string result;
  std::size_t characters = 0;
  for (std::size_t at = 0; at < text.size(); ++characters) {
    if (characters == limit) return result + "...";
    const std::size_t begin = at;
    if (harmful(next_character(text, at))) {
      result += "\xef\xbf\xbd";
    } else {
      result += text.substr(begin, at - begin);
    }
  }
  return result;
}

}  // namespace possum
