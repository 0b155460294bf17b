// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What programs get to read. possum.1 names the members; a member may be added, none
// changes its meaning.
#pragma once

#include <string>
#include <vector>

#include "history.h"
#include "inspect/observer.h"

namespace tool {

// What came of one channel that was to be cleaned.
struct Cleaned {
  std::string channel;
  std::string result;  // "removed", "would-remove", "in-use", "refused" or "failed"
  std::vector<std::string> names;  // of files in the shm mount
  std::string problem;
};

// Prints one document and a newline, piece by piece: there may be thousands of channels.
class JsonArray {
 public:
  void add(const possum::inspect::ObservedChannel& channel);
  void end();

 private:
  bool empty_ = true;
};

// Each prints one document and a newline.
void print_json(const possum::inspect::ObservedChannel& channel);
void print_json(const std::vector<Cleaned>& results);
// As one line, with rates.
void print_json(const std::vector<possum::inspect::ObservedChannel>& channels,
                const History& history);

}  // namespace tool
