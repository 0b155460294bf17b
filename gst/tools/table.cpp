// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "table.h"

#include <langinfo.h>
#include <wchar.h>

#include <algorithm>
#include <cstdio>
#include <cstring>

#include "base/text.h"

namespace tool {
namespace {

constexpr char kGap[] = "  ";

bool utf8_locale() {
  static const bool utf8 = std::strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
  return utf8;
}

std::size_t cells_of(char32_t c) {
  const int width = wcwidth(static_cast<wchar_t>(c));
  return width < 0 ? 1 : static_cast<std::size_t>(width);
}

std::string aligned(const std::string& text, std::size_t width, Align align) {
  const std::string space(width - std::min(width, width_of(text)), ' ');
  return align == Align::left ? text + space : space + text;
}

std::string line(const std::vector<std::string>& cells,
                 const std::vector<Table::Column>& columns,
                 const std::vector<std::size_t>& widths) {
  std::string text;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (i > 0) text += kGap;
    text += aligned(cells[i], widths[i], columns[i].align);
  }
  text.erase(text.find_last_not_of(' ') + 1);
  return text;
}

}  // namespace

std::string shown(std::string_view text) {
  if (utf8_locale()) return std::string(text);
  std::string ascii;
  for (std::size_t at = 0; at < text.size();) {
    const char32_t c = possum::next_character(text, at);
    ascii += c < 0x80 ? static_cast<char>(c) : '?';
  }
  return ascii;
}

std::size_t width_of(std::string_view text) {
  std::size_t width = 0;
  for (std::size_t at = 0; at < text.size();) {
    width += cells_of(possum::next_character(text, at));
  }
  return width;
}

std::string cut(std::string_view text, std::size_t width) {
  std::size_t used = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t begin = at;
    used += cells_of(possum::next_character(text, at));
    if (used > width) return std::string(text.substr(0, begin));
  }
  return std::string(text);
}

void Table::add(std::vector<std::string> cells) {
  for (std::string& cell : cells) cell = cell.empty() ? "-" : shown(cell);
  rows_.push_back({std::move(cells), {}});
}

void Table::note(std::string text) { rows_.push_back({{}, shown(text)}); }

std::vector<std::string> Table::lines() const {
  std::vector<std::size_t> widths;
  std::vector<std::string> titles;
  for (const Column& column : columns_) {
    titles.push_back(column.title);
    widths.push_back(width_of(column.title));
  }
  for (const Row& row : rows_) {
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      widths[i] = std::max(widths[i], width_of(row.cells[i]));
    }
  }
  std::vector<std::string> lines = {line(titles, columns_, widths)};
  for (const Row& row : rows_) {
    lines.push_back(row.cells.empty() ? row.note : line(row.cells, columns_, widths));
  }
  return lines;
}

void print(const std::vector<std::string>& lines, std::string_view indent) {
  for (const std::string& text : lines) {
    std::printf("%.*s%s\n", static_cast<int>(indent.size()), indent.data(), text.c_str());
  }
}

}  // namespace tool
