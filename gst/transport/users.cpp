// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include <errno.h>
#include <grp.h>
#include <pwd.h>

#include <charconv>
#include <vector>

#include "names.h"

namespace possum {
namespace {

template <class Id>
std::optional<Id> number(const std::string& text) {
  Id id = 0;
  const char* const end = text.data() + text.size();
  const auto [last, problem] = std::from_chars(text.data(), end, id);
  if (text.empty() || problem != std::errc{} || last != end) return std::nullopt;
  return id;
}

// getpwnam_r(3), getgrnam_r(3): ERANGE asks for more room. The entry points into it.
template <class Entry, class Look>
bool look_up(Entry& entry, std::vector<char>& storage, Look look) {
  constexpr std::size_t kMostBytes = std::size_t{1} << 20;
  for (std::size_t bytes = 4096; bytes <= kMostBytes; bytes *= 4) {
    storage.resize(bytes);
    Entry* found = nullptr;
    const int problem = look(&entry, storage.data(), storage.size(), &found);
    if (problem != ERANGE) return found != nullptr;
  }
  return false;
}

}  // namespace

std::string user_text(uid_t uid) {
  passwd entry{};
  std::vector<char> storage;
  const bool found =
      look_up(entry, storage, [&](auto... room) { return getpwuid_r(uid, room...); });
  return std::to_string(uid) +
         (found ? " (" + std::string(entry.pw_name) + ")" : std::string());
}

std::optional<uid_t> find_user(const std::string& text) {
  if (const auto id = number<uid_t>(text)) return id;
  passwd entry{};
  std::vector<char> storage;
  const bool found = look_up(
      entry, storage, [&](auto... room) { return getpwnam_r(text.c_str(), room...); });
  return found ? std::optional(entry.pw_uid) : std::nullopt;
}

std::optional<gid_t> find_group(const std::string& text) {
  if (const auto id = number<gid_t>(text)) return id;
  group entry{};
  std::vector<char> storage;
  const bool found = look_up(
      entry, storage, [&](auto... room) { return getgrnam_r(text.c_str(), room...); });
  return found ? std::optional(entry.gr_gid) : std::nullopt;
}

}  // namespace possum
