// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "channel_errors.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

#include "base/process.h"
#include "base/text.h"
#include "base/users.h"
#include "doorbell.h"
#include "names.h"

namespace possum::transport {
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
std::string holder_text(const layout::ControlHeader& header) {
  const std::string pid = std::to_string(header.writer_pid);
  const bool own = header.writer_pid == static_cast<std::uint32_t>(getpid()) &&
                   header.writer_start == process_start_ticks("self");
  // Or nobody can tell: without /proc.
  const bool here = header.writer_start == process_start_ticks(pid);
  const std::string name =
      plain_text({header.writer_name, strnlen(header.writer_name, layout::kNameBytes)});
  return (own    ? "this process"
          : here ? "pid " + pid
                 : "a process of another namespace, there pid " + pid) +
         (name.empty() ? "" : " (" + name + ")") +
         (own    ? ": close its writer"
          : here ? ": stop it"
                 : ": stop it there");
}

Error incompatible(std::string_view channel, const std::string& what) {
  return make_error(ErrorCode::incompatible,
                    named(channel) + " was made by an incompatible possum (" + what +
                        "): use the same version and C library on both sides",
                    "control header does not match");
}

// Of a sem_t, for people: two C libraries may agree on its size alone.
std::uint32_t checksum(const std::uint8_t (&image)[layout::kSemImageBytes]) {
  std::uint32_t sum = 2166136261;  // FNV-1a
  for (const std::uint8_t byte : image) sum = (sum ^ byte) * 16777619;
  return sum;
}

Error other_machine(std::string_view channel, const layout::ControlHeader& header) {
  std::uint8_t image[layout::kSemImageBytes];
  semaphore_image(image);
  char text[160];
  std::snprintf(text, sizeof text,
                "abi %06x with a %u byte sem_t, this is %06x with %zu; their contents "
                "%08x and %08x, their pages %u and %zu bytes",
                header.abi, header.sem_bytes, abi_word(), sizeof(sem_t),
                checksum(header.sem_image), checksum(image), header.unit_bytes,
                unit_bytes());
  return incompatible(channel, text);
}

}  // namespace

std::string named(std::string_view channel) {
  return "channel \"" + std::string(channel) + "\"";
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

Error name_held(std::string_view channel, int fd) {
  layout::ControlHeader header{};
  const bool known = read_header(fd, header) && header.magic == layout::kControlMagic;
  return make_error(ErrorCode::busy,
                    named(channel) + " is already written by " +
                        (known ? holder_text(header) : "another process: stop it") +
                        " or choose another name with channel=",
                    "the owner lock of " + control_name(channel) + " is held");
}

Error unusable_header(std::string_view channel, HeaderFault fault,
                      const layout::ControlHeader& header, std::uint64_t bytes) {
  switch (fault) {
    case HeaderFault::none:
      break;
    case HeaderFault::no_channel:
      return name_taken(channel, ErrorCode::not_found, "no channel");
    case HeaderFault::other_version:
      return incompatible(channel, "layout " + std::to_string(header.version) +
                                       ", this is layout " +
                                       std::to_string(layout::kVersion));
    case HeaderFault::other_machine:
      return other_machine(channel, header);
    case HeaderFault::damaged:
      return damaged(channel, std::to_string(bytes) + " bytes, header says " +
                                  std::to_string(header.object_bytes));
  }
  return {};
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

Error forked_reader() {
  return make_error(ErrorCode::system,
                    "A possum reader does not survive fork(): open it in the child",
                    "opened by another process");
}

}  // namespace possum::transport
