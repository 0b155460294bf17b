// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum(1): looks at channels from a shell, and cleans up after dead writers.
#include <clocale>
#include <cstdio>
#include <new>

#include "commands.h"

namespace {

int run(const tool::Options& options) {
  if (options.command == "list") return tool::list(options);
  if (options.command == "info") return tool::info(options);
  if (options.command == "watch") return tool::watch(options);
  return tool::clean(options);
}

// Nobody reads what could not be written: a full disk, a closed pipe.
bool written() { return std::fflush(stdout) == 0 && std::ferror(stdout) == 0; }

}  // namespace

int main(int argc, char** argv) {
  // For the width of characters; numbers stay as programs read them.
  std::setlocale(LC_CTYPE, "");
  tool::Options options;
  int status = tool::kOk;
  try {
    switch (tool::parse_options(argc, argv, options)) {
      case tool::Parsed::wrong:
        return tool::kUsage;
      case tool::Parsed::done:
        break;
      case tool::Parsed::run:
        status = run(options);
    }
  } catch (const std::bad_alloc&) {
    std::fputs("possum: there is not enough memory\n", stderr);
    return tool::kNothing;
  }
  if (written()) return status;
  std::perror("possum: standard output");
  return tool::kNothing;
}
