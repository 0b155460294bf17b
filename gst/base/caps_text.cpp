// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The grammar is that of gst_caps_to_string() and gst_caps_from_string():
//
//   media/type(feature, feature), name=(type)value, name=value; next structure
//
// where a value is a word, "a \"quoted\" string with \303\244 escapes", <an, array>, or
// not fixed: {a, list} or [ a, range ].
#include "caps_text.h"

#include <algorithm>

#include "text.h"

namespace possum {
namespace {

constexpr std::string_view kBlank = " \t";

bool is_alpha(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_name(char c) {
  return is_alpha(c) || (c >= '0' && c <= '9') ||
         std::string_view("/-_.:+").find(c) != std::string_view::npos;
}
bool is_octal(char c) { return c >= '0' && c <= '7'; }

class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  bool at_end() const { return rest_.empty(); }
  void skip_blanks() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(kBlank), rest_.size()));
  }
  bool take(char c) {
    skip_blanks();
    if (rest_.empty() || rest_.front() != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  // Empty if there is none.
  std::string_view name() {
    skip_blanks();
    if (rest_.empty() || !is_alpha(rest_.front())) return {};
    std::size_t length = 1;
    while (length < rest_.size() && is_name(rest_[length])) ++length;
    return prefix(length);
  }
  // What follows a '(' up to its ')'.
  std::optional<std::string_view> bracketed() {
    const std::size_t end = rest_.find(')');
    if (end == std::string_view::npos) return std::nullopt;
    const std::string_view inside = prefix(end);
    rest_.remove_prefix(1);
    return inside;
  }
  bool value(CapsText::Field& field) {
    skip_blanks();
    if (rest_.empty()) return false;
    const std::string_view before = rest_;
    const char first = rest_.front();
    field.fixed = first != '{' && first != '[';
    const bool read = !field.fixed || first == '<' ? nested(field.value)
                      : first == '"'               ? quoted(field.value)
                                                   : word(field.value);
    field.raw = before.substr(0, before.size() - rest_.size());
    field.raw = field.raw.substr(0, field.raw.find_last_not_of(kBlank) + 1);
    return read;
  }

 private:
  std::string_view prefix(std::size_t length) {
    const std::string_view taken = rest_.substr(0, length);
    rest_.remove_prefix(length);
    return taken;
  }

  // After a backslash: three octal digits are a byte, anything else is itself.
  bool escaped(std::string& to) {
    if (rest_.empty()) return false;
    if (rest_.size() >= 3 && rest_[0] <= '3' && is_octal(rest_[0]) &&
        is_octal(rest_[1]) && is_octal(rest_[2])) {
      to += static_cast<char>((rest_[0] - '0') * 64 + (rest_[1] - '0') * 8 +
                              (rest_[2] - '0'));
      rest_.remove_prefix(3);
      return true;
    }
    to += rest_.front();
    rest_.remove_prefix(1);
    return true;
  }

  bool quoted(std::string& to) {
    rest_.remove_prefix(1);
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return true;
      if (c != '\\') {
        to += c;
      } else if (!escaped(to)) {
        return false;
      }
    }
    return false;
  }

  bool word(std::string& to) {
    while (!rest_.empty() &&
           std::string_view(",;").find(rest_.front()) == std::string_view::npos) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c != '\\') {
        to += c;
      } else if (!escaped(to)) {
        return false;
      }
    }
    to.resize(to.find_last_not_of(kBlank) + 1);
    return !to.empty();
  }

  // As it stands, up to the bracket that ends it; quoted strings may hold others.
  bool nested(std::string& to) {
    int depth = 0;
    bool in_quotes = false;
    for (std::size_t i = 0; i < rest_.size(); ++i) {
      const char c = rest_[i];
      if (c == '\\') ++i;
      if (c == '"') in_quotes = !in_quotes;
      if (in_quotes) continue;
      if (c == '{' || c == '<' || c == '[') ++depth;
      if ((c == '}' || c == '>' || c == ']') && --depth == 0) {
        to = prefix(i + 1);
        return true;
      }
    }
    return false;
  }

  std::string_view rest_;
};

bool read_field(Scanner& scanner, CapsText& caps) {
  CapsText::Field field;
  field.name = scanner.name();
  if (field.name.empty() || !scanner.take('=')) return false;
  if (scanner.take('(')) {
    const auto type = scanner.bracketed();
    if (!type) return false;
    field.type = *type;
  }
  if (!scanner.value(field)) return false;
  caps.fields.push_back(std::move(field));
  return true;
}

}  // namespace

std::optional<CapsText> CapsText::parse(std::string_view text) {
  if (text.size() > kMaxCapsText || !is_text(text)) return std::nullopt;
  Scanner scanner(text);
  CapsText caps;
  caps.media_type = scanner.name();
  if (caps.media_type.find('/') == std::string_view::npos) return std::nullopt;
  if (scanner.take('(')) {
    const auto features = scanner.bracketed();
    if (!features) return std::nullopt;
    caps.features = *features;
  }
  while (scanner.take(',')) {
    if (!read_field(scanner, caps)) return std::nullopt;
  }
  const bool more = scanner.take(';');
  scanner.skip_blanks();
  caps.single = scanner.at_end();
  if (!more && !caps.single) return std::nullopt;
  return caps;
}

// A field that comes twice counts as it comes last, as in gst_structure_set_value().
const CapsText::Field* CapsText::find(std::string_view name) const {
  const auto found = std::find_if(fields.rbegin(), fields.rend(),
                                  [&](const Field& f) { return f.name == name; });
  return found == fields.rend() ? nullptr : &*found;
}

bool valid_caps(std::string_view text) { return CapsText::parse(text).has_value(); }

}  // namespace possum
