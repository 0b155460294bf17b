// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Caps as text, read without GStreamer: media type, features and fields of the first
// structure. What the values mean is not known here. Any text may come in; the work is
// linear in it and calls nothing recursively.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace possum {

// PROTOCOL.md, 4. Caps of raw video have some 300 bytes.
inline constexpr std::size_t kMaxCapsText = 16384;

struct CapsText {
  struct Field {
    std::string_view name;
    std::string_view type;  // between the brackets before the value, or empty
    std::string_view raw;   // the value as it stands
    std::string value;      // without type, quotes and escapes
    bool fixed = false;     // neither a list of choices nor a range
  };
  std::string_view media_type;
  std::string_view features;  // between the brackets, or empty
  std::vector<Field> fields;
  bool single = false;  // there is no second structure

  // Views into `text`. Nothing if it is no caps, not even nearly.
  static std::optional<CapsText> parse(std::string_view text);
  const Field* find(std::string_view name) const;
};

// Short enough, text, and with a media type at its beginning.
bool valid_caps(std::string_view text);

}  // namespace possum
