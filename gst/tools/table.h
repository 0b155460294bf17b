// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Columns of text that line up, however wide the characters are.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tool {

// What the locale's terminal can show of a plain text: all, or ASCII alone.
std::string shown(std::string_view text);
// Cells that it takes.
std::size_t width_of(std::string_view text);
// As much of it as fits.
std::string cut(std::string_view text, std::size_t width);

enum class Align { left, right };

class Table {
 public:
  struct Column {
    std::string title;
    Align align = Align::left;
  };
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}
  // As many cells as there are columns; "" is shown as "-".
  void add(std::vector<std::string> cells);
  // A line of its own between rows.
  void note(std::string text);
  bool empty() const { return rows_.empty(); }
  // Title and rows, without newlines.
  std::vector<std::string> lines() const;

 private:
  struct Row {
    std::vector<std::string> cells;
    std::string note;
  };
  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

void print(const std::vector<std::string>& lines, std::string_view indent = "");

}  // namespace tool
