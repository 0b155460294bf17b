// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The command possum as a shell starts it: arguments in, output and exit status out. Its
// path is in POSSUM_TOOL. Include it after check.h.
#pragma once

#include <nlohmann/json.hpp>

#include <sys/stat.h>

#include "support/peers.h"
#include "support/private_shm.h"

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

// Its path, and what is typed behind it, split at blanks.
inline std::vector<std::string> tool_words(const std::string& line) {
  const char* const path = std::getenv("POSSUM_TOOL");
  CHECK(path != nullptr);
  std::vector<std::string> words = {path};
  std::istringstream text(line);
  for (std::string word; text >> word;) words.push_back(word);
  return words;
}

class Tool : public Process {
 public:
  explicit Tool(const std::string& line, std::optional<User> user = std::nullopt)
      : Process(tool_words(line),
                {.errors = ProcessOptions::Errors::apart, .user = user}) {}

  // Waits for its end, with a bound.
  ToolResult result() {
    const int status = join();
    return {status, output(), errors()};
  }
};

// The exit status is as wanted, or everything is shown.
inline ToolResult expect_tool(int status, const std::string& line,
                              std::optional<User> user = std::nullopt) {
  const ToolResult result = Tool(line, user).result();
  if (result.status != status) {
    std::fprintf(stderr, "status %d\n%s%s", result.status, result.out.c_str(),
                 result.err.c_str());
  }
  CHECK(result.status == status);
  return result;
}

// --- what a TEST_F finds: a /dev/shm of its own, for whoever looks at all channels

struct OwnShm {
  const PrivateShm shm{256 << 20};
};

constexpr User kAlice{54301, 54321};
constexpr User kBob{54302, 54321};
constexpr User kMallory{54303, 54399};

struct ManyUsers {
  ManyUsers() {
    need_root();
    shm.emplace(256 << 20);
    CHECK(chmod(kShmDirectory, 01777) == 0);
  }
  std::optional<PrivateShm> shm;
};

// --- files that nobody holds, or that are in the way

inline std::string data_path(const std::string& channel, std::uint32_t object) {
  constexpr std::uint64_t kIncarnation = 77;
  return kShmDirectory + data_name(channel, kIncarnation, object);
}

// Without anything in it it is perhaps a writer's first step.
inline void make_file(const std::string& path, std::size_t bytes = 4096,
                      uid_t owner = geteuid()) {
  const UniqueFd fd(open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  CHECK(fd && ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0);
  if (owner != geteuid()) CHECK(fchown(fd.get(), owner, owner) == 0);
}

}  // namespace support
