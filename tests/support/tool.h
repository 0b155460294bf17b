// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The command possum as a shell starts it: arguments in, output and exit status out. Its
// path is in POSSUM_TOOL. Include it after check.h.
#pragma once

#include <nlohmann/json.hpp>

#include "support/peers.h"

namespace support {

using Json = nlohmann::json;

struct ToolResult {
  int status = -1;  // 128 + N when a signal ended it
  std::string out;
  std::string err;

  Json json() const {
    const Json document = Json::parse(out, nullptr, false);
    CHECK(!document.is_discarded());
    return document;
  }
};

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

class Tool : public Process {
 public:
  explicit Tool(const std::vector<std::string>& args,
                std::optional<User> user = std::nullopt)
      : Process(words(args), {.errors = ProcessOptions::Errors::apart, .user = user}) {}

  // Waits for its end, with a bound.
  ToolResult result() {
    const int status = join();
    return {status, output(), errors()};
  }

 private:
  static std::vector<std::string> words(const std::vector<std::string>& args) {
    const char* const path = std::getenv("POSSUM_TOOL");
    CHECK(path != nullptr);
    std::vector<std::string> all = {path};
    all.insert(all.end(), args.begin(), args.end());
    return all;
  }
};

inline ToolResult run_tool(const std::vector<std::string>& args,
                           std::optional<User> user = std::nullopt) {
  return Tool(args, user).result();
}

// The exit status is as wanted, or everything is shown.
inline ToolResult expect_tool(int status, const std::vector<std::string>& args,
                              std::optional<User> user = std::nullopt) {
  const ToolResult result = run_tool(args, user);
  if (result.status != status) {
    std::fprintf(stderr, "status %d\n%s%s", result.status, result.out.c_str(),
                 result.err.c_str());
  }
  CHECK(result.status == status);
  return result;
}

}  // namespace support
