// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The command line of possum(1).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace tool {

// What main() returns, and possum.1 promises.
enum Exit {
  kOk = 0,
  kNothing = 1,     // nothing of that kind is there, or it could not be done
  kUsage = 2,       // a wrong command line
  kUnreadable = 3,  // the channel is there but cannot be looked at
};

struct Options {
  std::string command;
  std::vector<std::string> channels;
  bool json = false;
  bool names_only = false;
  bool dry_run = false;
  std::int64_t interval_ns = 1'000'000'000;
  std::uint64_t count = 0;  // 0: no end
};

enum class Parsed { run, done, wrong };
// done: --help or --version was answered. wrong: standard error says what.
Parsed parse_options(int argc, char** argv, Options& options);

}  // namespace tool
