// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "open.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crash_point.h"
#include "base/users.h"
#include "channel/errors.h"
#include "channel/names.h"
#include "reader.h"

namespace possum::transport {
namespace {

// Are faults in a channel of `owner` errors? With anybody else they mean that the name is
// taken, even where everybody's channels are accepted.
bool owner_trusted(const ReaderOptions& options, uid_t owner) {
  return trusted_owner(owner) || options.allowed_owner == owner;
}

bool acceptable(const ReaderOptions& options, const struct stat& info, Error& error) {
  if (!S_ISREG(info.st_mode)) {
    error = not_an_object(options.channel, ErrorCode::not_found);
    return false;
  }
  const bool asked = options.any_owner || options.allowed_owner == info.st_uid;
  const bool open_to_all = (info.st_mode & S_IWOTH) != 0 && info.st_uid != geteuid();
  if (owner_accepted(options, info.st_uid) && (asked || !open_to_all)) return true;
  error = foreign_owner(options.channel, info.st_uid, Wish::read);
  return false;
}

OpenStatus cannot_open(const ReaderOptions& options, int error_number, Error& error) {
  const auto info = stat_name(control_name(options.channel));
  struct stat mount {};
  switch (error_number) {
    case ENOENT:
      if (stat(kShmDirectory, &mount) == 0) return OpenStatus::absent;
      error =
          shm_error(named(options.channel) + " cannot be there without " + kShmDirectory,
                    "stat", errno);
      return OpenStatus::refused;
    case EACCES:
    case EPERM:
      if (!info) return OpenStatus::absent;
      if (!owner_accepted(options, info->st_uid)) {
        error = foreign_owner(options.channel, info->st_uid, Wish::read);
        return OpenStatus::refused;
      }
      // Perhaps its writer has not set the mode yet.
      error = no_permission(options.channel, info->st_uid, error_number);
      return OpenStatus::not_ready;
    case ELOOP:
    case EINVAL:
    case EISDIR:
    case ENXIO:
      error = not_an_object(options.channel, ErrorCode::not_found);
      return OpenStatus::refused;
  }
  error = shm_error(named(options.channel) + " could not be opened", "shm_open",
                    error_number);
  // EAGAIN: somebody's lease on the file has to be broken first, see open(2).
  if (error_number == EAGAIN) return OpenStatus::not_ready;
  // Others may have used up what the whole system has.
  return error_number == ENFILE || error_number == ENOMEM ? OpenStatus::refused
                                                          : OpenStatus::failed;
}

}  // namespace

bool owner_accepted(const ReaderOptions& options, uid_t owner) {
  return options.any_owner || owner_trusted(options, owner);
}

OpenStatus open_control(const ReaderOptions& options, OpenControl& open, Error& error) {
  error = no_channel(options.channel);
  const std::string name = control_name(options.channel);
  open.lock = LockFd::open(name, O_RDWR | O_NONBLOCK, 0);
  POSSUM_CRASH_POINT("look.open");
  if (!open.lock) return cannot_open(options, errno, error);
  open.map_fd = UniqueFd(shm_open(name.c_str(), O_RDWR | O_NONBLOCK, 0));
  POSSUM_CRASH_POINT("look.open-again");
  if (!open.map_fd) return cannot_open(options, errno, error);
  const auto info = stat_fd(open.lock.get()), mapped = stat_fd(open.map_fd.get());
  if (!info || !mapped || info->st_ino != mapped->st_ino || info->st_nlink == 0) {
    return OpenStatus::not_ready;
  }
  POSSUM_CRASH_POINT("look.stat");
  if (!acceptable(options, *info, error)) return OpenStatus::refused;
  const bool alive = open.lock.held_by_other(layout::kOwnerByte);
  POSSUM_CRASH_POINT("look.owner");
  if (!alive) return OpenStatus::absent;
  if (info->st_size == 0) return OpenStatus::not_ready;

  layout::ControlHeader header{};
  if (!read_header(open.map_fd.get(), header)) return OpenStatus::not_ready;
  const auto bytes = static_cast<std::uint64_t>(info->st_size);
  const HeaderFault fault = check_header(header, bytes);
  if (fault != HeaderFault::none) {
    error = unusable_header(options.channel, fault, header, bytes);
    return fault == HeaderFault::no_channel || !owner_trusted(options, info->st_uid)
               ? OpenStatus::refused
               : OpenStatus::failed;
  }
  auto object =
      ShmObject::map(open.map_fd.get(), control_bytes(), Access::read_only, error);
  if (!object) return OpenStatus::failed;
  POSSUM_CRASH_POINT("look.map");
  open.control = ControlMap(std::move(object));
  // What the kernel copied orders nothing for this thread: from here on the constant
  // fields and the semaphores may be looked at in the mapping.
  if (open.control.header().state.load(std::memory_order_acquire) ==
      static_cast<std::uint32_t>(layout::ChannelState::init)) {
    return OpenStatus::not_ready;
  }
  open.owner = info->st_uid;
  open.incarnation = header.incarnation;
  error = {};
  return OpenStatus::ok;
}

bool map_own_page(OpenControl& open, unsigned r, Error& error) {
  const int fd = open.map_fd.get();
  const auto unit = [&](std::size_t index) {
    const bool done = open.control.object().make_writable(fd, index * unit_bytes(),
                                                          unit_bytes(), error);
    POSSUM_CRASH_POINT("attach.map");
    return done;
  };
  layout::WriterBells& bells = open.control.bells();
  return unit(layout::kRoomUnit) && unit(layout::kReaderUnit + r) &&
         open.room.map(bells.room, fd, layout::kRoomUnit, error) &&
         open.attention.map(bells.attention, fd, layout::kAttentionUnit, error) &&
         open.bell.map(open.control.page(r).bell, fd, layout::kReaderUnit + r, error);
}

OpenStatus take_page(const ReaderOptions& options, OpenControl& open, Error& error) {
  const std::optional<Tenancy> tenancy = lock_free_page(open);
  if (!tenancy) {
    error = pages_taken(options.channel);
    return OpenStatus::full;
  }
  open.tenancy = *tenancy;
  if (!map_own_page(open, tenancy->page, error)) return OpenStatus::failed;
  open.map_fd.reset();
  return OpenStatus::ok;
}

}  // namespace possum::transport
