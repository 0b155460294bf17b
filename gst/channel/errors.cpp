// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "errors.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/process.h"
#include "base/shm_object.h"
#include "base/text.h"
#include "base/users.h"
#include "names.h"

namespace possum {
namespace {

const char* kind_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFLNK:
      return " (a symbolic link)";
    case S_IFDIR:
      return " (a directory)";
    case S_IFIFO:
      return " (a FIFO)";
    case S_IFSOCK:
      return " (a socket)";
    case S_IFREG:
      return "";
    default:
      return " (a device)";
  }
}

// Who holds a name, and what to do about it. A process id is one in its own namespace: it
// is told only where it leads to the process that began when the writer did.
std::string holder_text(const NameHolder& holder) {
  const std::string pid = std::to_string(holder.pid);
  const bool own = holder.pid == static_cast<std::uint32_t>(getpid()) &&
                   holder.start_ticks == process_start_ticks("self");
  // Or nobody can tell: without /proc.
  const bool here = holder.start_ticks == process_start_ticks(pid);
  const std::string name = plain_text(holder.name);
  return (own    ? "this process"
          : here ? "pid " + pid
                 : "a process of another namespace, there pid " + pid) +
         (name.empty() ? "" : " (" + name + ")") +
         (own    ? ": close its writer"
          : here ? ": stop it"
                 : ": stop it there");
}

}  // namespace

std::string named(std::string_view channel) {
  return "channel \"" + std::string(channel) + "\"";
}

Error channel_name_error(std::string_view name) {
  return make_error(ErrorCode::settings,
                    "\"" + std::string(name) +
                        "\" is no channel name: use 1 to 120 letters, digits, '_', '-' "
                        "and '.', not starting with '-' or '.'",
                    "channel");
}

Error no_channel(const std::string& channel) {
  return make_error(ErrorCode::not_found,
                    "no " + named(channel) +
                        " on this machine: start its writer (possumsink channel=" +
                        channel + ") or check the name",
                    "no live control object " + control_name(channel));
}

Error foreign_owner(std::string_view channel, uid_t owner, Wish wish) {
  return make_error(
      ErrorCode::not_owner,
      named(channel) + " belongs to user " + user_text(owner) + ": " +
          (wish == Wish::read ? "accept it with allowed-owner=" + std::to_string(owner) +
                                    " or choose another one with channel="
                              : "choose another name with channel="),
      "owner uid " + std::to_string(owner) + ", own uid " + std::to_string(geteuid()));
}

Error no_permission(std::string_view channel, uid_t owner, int error_number) {
  return system_error(ErrorCode::no_permission,
                      named(channel) + " of user " + user_text(owner) +
                          " may not be opened by this user: let its writer set "
                          "perms=0660 and group=",
                      "shm_open", error_number);
}

// Names of others are theirs to remove, or root's.
Error name_taken(std::string_view channel, ErrorCode code, const std::string& what) {
  const std::string path = kShmDirectory + control_name(channel);
  const auto info = stat_name(control_name(channel));
  const bool own = !info || info->st_uid == geteuid() || geteuid() == 0;
  return make_error(code,
                    "The name of " + named(channel) + " is taken by something that is " +
                        what + (info ? kind_of(info->st_mode) : "") + ": " +
                        (own ? "" : "let user " + user_text(info->st_uid) + " or root ") +
                        "remove it (" + path + ") or choose another name with channel=",
                    path);
}

Error not_an_object(std::string_view channel, ErrorCode code) {
  return name_taken(channel, code, "not a shared memory object");
}

Error cannot_claim(const std::string& channel, int error_number) {
  const auto info = stat_name(control_name(channel));
  switch (error_number) {
    case EACCES:
    case EPERM:
      if (!info || info->st_uid == geteuid()) break;
      return foreign_owner(channel, info->st_uid, Wish::write);
    case ELOOP:
    case EINVAL:
    case EISDIR:
    case ENXIO:
      return not_an_object(channel, ErrorCode::system);
  }
  return shm_error(named(channel) + " could not be created",
                   "shm_open " + control_name(channel), error_number);
}

Error name_held(std::string_view channel, const std::optional<NameHolder>& holder) {
  return make_error(ErrorCode::busy,
                    named(channel) + " is already written by " +
                        (holder ? holder_text(*holder) : "another process: stop it") +
                        " or choose another name with channel=",
                    "the owner lock of " + control_name(channel) + " is held");
}

Error incompatible(std::string_view channel, const std::string& what) {
  return make_error(ErrorCode::incompatible,
                    named(channel) + " was made by an incompatible possum (" + what +
                        "): use the same version and C library on both sides",
                    "control header does not match");
}

Error pages_taken(std::string_view channel) {
  return make_error(ErrorCode::busy,
                    named(channel) + " has 32 readers already: close one of them",
                    "no free reader page");
}

Error blocking_refused(std::string_view channel) {
  return make_error(ErrorCode::blocking,
                    named(channel) +
                        " does not let readers hold up its writer: set "
                        "allow-blocking=true there, or leaky-type=downstream here",
                    "blocking readers not allowed");
}

// Of this process or the system; all else is the writer's to put right.
Error frames_closed(std::string_view channel, const std::string& name, int error_number) {
  const std::string what = "The frames of " + named(channel) + " cannot be opened";
  const std::string call = "shm_open " + name;
  if (error_number == EMFILE || error_number == ENFILE || error_number == ENOMEM) {
    return shm_error(what, call, error_number);
  }
  return system_error(error_number == EACCES ? ErrorCode::corrupt : ErrorCode::system,
                      what + ": " + error_words(error_number) + ": restart its writer",
                      call, error_number);
}

Error damaged(std::string_view channel, const std::string& why) {
  return make_error(ErrorCode::corrupt,
                    named(channel) + " is damaged or truncated: restart its writer", why);
}

Error taken_for_dead(std::string_view channel) {
  return make_error(ErrorCode::system,
                    named(channel) +
                        " took this reader for dead: the program must not close "
                        "descriptors that it did not open (closefrom)",
                    "page epoch changed");
}

Error no_locks(int error_number) {
  return system_error(ErrorCode::system,
                      "This kernel refuses open file description locks (" +
                          error_words(error_number) +
                          "), which possum needs (Linux 3.15 or newer)",
                      "fcntl F_OFD_SETLK", error_number);
}

Error no_random_numbers(int error_number) {
  return system_error(ErrorCode::system,
                      "No random numbers are available: " + error_words(error_number),
                      "getrandom", error_number);
}

Error no_memory(const std::string& what) {
  return make_error(ErrorCode::system,
                    "There is not enough memory for a frame: close other programs or use "
                    "a smaller format",
                    "allocating " + what);
}

Error no_threads(const std::string& why) {
  return make_error(ErrorCode::system,
                    "No thread could be started: " + why +
                        ": close other programs or raise the limits of processes "
                        "(ulimit -u, TasksMax=)",
                    "std::thread");
}

Error made_before_fork(const std::string& what) {
  return make_error(ErrorCode::system,
                    "A possum " + what + " does not survive fork(): open it in the child",
                    "opened by another process");
}

Error too_small(std::string_view channel, std::size_t needed_bytes,
                std::size_t free_bytes, const std::string& detail) {
  const auto mib = [](std::size_t bytes) { return std::to_string(bytes >> 20); };
  Error error =
      make_error(ErrorCode::no_space,
                 std::string(kShmDirectory) + " is too small: " + named(channel) +
                     " needs at least " + mib(needed_bytes + (1 << 20) - 1) +
                     " MiB (3 slots), " + mib(free_bytes) +
                     " MiB free: use a smaller format or enlarge /dev/shm "
                     "(docker run --shm-size=512m)",
                 detail);
  error.needed_bytes = needed_bytes;
  error.free_bytes = free_bytes;
  return error;
}

}  // namespace possum
