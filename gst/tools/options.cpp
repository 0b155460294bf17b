// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "options.h"

#include <getopt.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "base/text.h"
#include "channel/errors.h"
#include "channel/names.h"

namespace tool {
namespace {

constexpr char kHelp[] =
    "usage: possum list [-q] [--json]\n"
    "       possum info [--json] CHANNEL\n"
    "       possum watch [-i SECONDS] [-n COUNT] [--json] [CHANNEL]\n"
    "       possum clean [--dry-run] [--json] [CHANNEL...]\n"
    "\n"
    "Looks at the channels of possumsink and possumsrc without attaching to them.\n"
    "\n"
    "  list    all channels, a line each\n"
    "  info    everything about one\n"
    "  watch   a table that is renewed every second; q ends it\n"
    "  clean   removes what dead writers left in /dev/shm\n"
    "\n"
    "  -j, --json              for programs\n"
    "  -q, --quiet             list: names alone\n"
    "  -i, --interval SECONDS  watch: 0.1 to 3600, default 1\n"
    "  -n, --count COUNT       watch: so many reports, as plain lines\n"
    "      --dry-run           clean: only say what would be removed\n"
    "  -h, --help\n"
    "  -V, --version\n"
    "\n"
    "Exit status: 0 done, 1 nothing found or failed, 2 wrong usage, 3 the channel may\n"
    "not be looked at. See possum(1).\n";

constexpr double kMinInterval = 0.1;
constexpr double kMaxInterval = 3600;
constexpr int kDryRun = 1000;

struct Command {
  const char* name;
  const char* options;  // their letters; d: --dry-run
  std::size_t min_channels;
  std::size_t max_channels;
};
constexpr Command kCommands[] = {
    {"list", "jq", 0, 0},
    {"info", "j", 1, 1},
    {"watch", "jin", 0, 1},
    {"clean", "jd", 0, SIZE_MAX},
};

constexpr option kLong[] = {
    {"json", no_argument, nullptr, 'j'},
    {"quiet", no_argument, nullptr, 'q'},
    {"interval", required_argument, nullptr, 'i'},
    {"count", required_argument, nullptr, 'n'},
    {"dry-run", no_argument, nullptr, kDryRun},
    {"help", no_argument, nullptr, 'h'},
    {"version", no_argument, nullptr, 'V'},
    {nullptr, 0, nullptr, 0},
};

Parsed wrong(const std::string& text) {
  std::fprintf(stderr, "possum: %s\nTry \"possum --help\".\n", text.c_str());
  return Parsed::wrong;
}

template <class T>
bool read_number(const char* text, T& number) {
  const char* const end = text + std::strlen(text);
  const auto [stop, error] = std::from_chars(text, end, number);
  return error == std::errc() && stop == end && stop != text;
}

bool read_interval(const char* text, std::int64_t& interval_ns) {
  double seconds = 0;
  // Not below: NaN is neither.
  if (!read_number(text, seconds) ||
      !(seconds >= kMinInterval && seconds <= kMaxInterval)) {
    return false;
  }
  interval_ns = std::llround(seconds * 1e9);
  return true;
}

Parsed check(const Options& options, const std::string& used) {
  const auto* const command =
      std::find_if(std::begin(kCommands), std::end(kCommands),
                   [&](const Command& c) { return options.command == c.name; });
  if (command == std::end(kCommands)) {
    return wrong("there is no command \"" + possum::plain_text(options.command) +
                 "\": use list, info, watch or clean");
  }
  for (const char flag : used) {
    if (std::strchr(command->options, flag) != nullptr) continue;
    const std::string name = flag == 'd' ? "--dry-run" : std::string("-") + flag;
    return wrong(options.command + " has no option " + name);
  }
  if (options.channels.size() < command->min_channels) {
    return wrong(options.command + " needs the name of a channel");
  }
  if (options.channels.size() > command->max_channels) {
    return wrong(options.command + " takes " +
                 (command->max_channels == 0 ? "no channel" : "one channel"));
  }
  for (const std::string& channel : options.channels) {
    if (!possum::valid_channel_name(channel)) {
      return wrong(possum::channel_name_error(possum::plain_text(channel)).message);
    }
  }
  return Parsed::run;
}

}  // namespace

Parsed parse_options(int argc, char** argv, Options& options) {
  std::string used;
  for (;;) {
    const int flag = getopt_long(argc, argv, "jqi:n:hV", kLong, nullptr);
    if (flag < 0) break;
    switch (flag) {
      case 'j':
        options.json = true;
        break;
      case 'q':
        options.names_only = true;
        break;
      case 'i':
        if (!read_interval(optarg, options.interval_ns)) {
          return wrong("--interval takes 0.1 to 3600 seconds");
        }
        break;
      case 'n':
        if (!read_number(optarg, options.count) || options.count == 0) {
          return wrong("--count takes a number from 1 on");
        }
        break;
      case kDryRun:
        options.dry_run = true;
        break;
      case 'h':
        std::fputs(kHelp, stdout);
        return Parsed::done;
      case 'V':
        std::puts("possum " POSSUM_VERSION);
        return Parsed::done;
      default:
        std::fputs("Try \"possum --help\".\n", stderr);
        return Parsed::wrong;
    }
    used += flag == kDryRun ? 'd' : static_cast<char>(flag);
  }
  if (optind == argc) {
    std::fputs(kHelp, stderr);
    return Parsed::wrong;
  }
  options.command = argv[optind];
  options.channels.assign(argv + optind + 1, argv + argc);
  return check(options, used);
}

}  // namespace tool
