// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <unistd.h>

#include <charconv>
#include <cstdio>
#include <vector>

#include "users.h"

namespace possum {
namespace {

template <class Id>
std::optional<Id> number(const std::string& text) {
  Id id = 0;
  const char* const end = text.data() + text.size();
  const auto [last, problem] = std::from_chars(text.data(), end, id);
  if (text.empty() || problem != std::errc{} || last != end) return std::nullopt;
  if (id == static_cast<Id>(-1)) return std::nullopt;  // chown(2): "leave it as it is"
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

constexpr unsigned kOwnerMayAttach = 0600;
constexpr unsigned kGroupMayAttach = 0060;
constexpr unsigned kOthersMayAttach = 0006;

// "0660"
std::string octal(unsigned number) {
  char text[16];
  std::snprintf(text, sizeof text, "0%o", number);
  return text;
}

// The least permissions that give everybody what `mode` gives, and let them attach.
unsigned completed(unsigned mode) {
  unsigned result = kOwnerMayAttach;
  for (const unsigned may_attach : {kGroupMayAttach, kOthersMayAttach}) {
    if ((mode & may_attach) != 0) result |= may_attach;
  }
  return result;
}

// The permissions of a file that nobody executes.
bool plausible(unsigned mode) {
  return (mode & ~0666u) == 0 && (mode & kOwnerMayAttach) != 0;
}

// The number whose octal digits are the decimal ones of this one: 0660 of 660.
std::optional<unsigned> digits_as_octal(unsigned number) {
  const std::string digits = std::to_string(number);
  unsigned result = 0;
  const auto [last, problem] =
      std::from_chars(digits.data(), digits.data() + digits.size(), result, 8);
  if (problem != std::errc{} || last != digits.data() + digits.size()) {
    return std::nullopt;
  }
  return result;
}

}  // namespace

Error check_perms(unsigned perms, bool group) {
  if (perms == completed(perms)) {
    if (!group || (perms & kGroupMayAttach) != 0) return {};
    return make_error(ErrorCode::settings,
                      "group= lets nobody in with perms=" + octal(perms) +
                          ": use perms=" + octal(perms | kGroupMayAttach) + " (octal)",
                      "the mode gives nothing to the group");
  }
  const auto digits = digits_as_octal(perms);
  const bool decimal = !plausible(perms) && digits && plausible(*digits);
  return make_error(
      ErrorCode::settings,
      "perms=" + octal(perms) + " cannot work" +
          (decimal ? " (" + std::to_string(perms) + " without a 0 in front is decimal)"
                   : "") +
          ": whoever attaches to a channel reads and writes it: use perms=" +
          octal(completed(decimal ? *digits : perms)) + " (octal)",
      "user, group and others each have read and write permission, or none");
}

bool trusted_owner(uid_t owner) { return owner == geteuid() || owner == 0; }

std::string user_text(uid_t uid) {
  passwd entry{};
  std::vector<char> storage;
  const bool found =
      look_up(entry, storage, [&](auto... room) { return getpwuid_r(uid, room...); });
  return std::to_string(uid) +
         (found ? " (" + std::string(entry.pw_name) + ")" : std::string());
}

std::string group_text(gid_t gid) {
  group entry{};
  std::vector<char> storage;
  const bool found =
      look_up(entry, storage, [&](auto... room) { return getgrgid_r(gid, room...); });
  return std::to_string(gid) +
         (found ? " (" + std::string(entry.gr_name) + ")" : std::string());
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
