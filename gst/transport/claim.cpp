// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "claim.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "base/crash_point.h"
#include "base/process.h"
#include "channel/errors.h"
#include "channel/names.h"

namespace possum::transport {
namespace {

// Makes a leftover control object of this user readable for us again. A umask of 0777
// hides even the owner's bits, and its writer may have died before chmod. Keeps errno.
bool unlock_own_name(const std::string& name) {
  const int reason = errno;
  const auto info = stat_name(name);
  const bool done =
      info && S_ISREG(info->st_mode) && info->st_uid == geteuid() &&
      (info->st_mode & 0600) != 0600 &&
      chmod((kShmDirectory + name).c_str(), (info->st_mode & 0777) | 0600) == 0;
  errno = reason;
  return done;
}

// Puts an empty object of ours, locked, in the place of a dead writer's. In one step:
// between unlinking and creating another user could take the name. Nothing: start over.
LockFd replace_dead(const std::string& channel, std::vector<std::string>& removed) {
  const std::string name = control_name(channel);
  std::uint32_t number = 0;
  if (random_bytes(&number, sizeof number)) {
    // The name of a data object: if we die meanwhile the next writer removes it.
    const std::string spare = data_name(channel, 0, number);
    LockFd lock = LockFd::open(spare, O_RDWR | O_CREAT | O_EXCL, 0600);
    POSSUM_CRASH_POINT("claim.spare");
    if (lock && lock.try_lock(layout::kOwnerByte) == LockFd::Result::ok) {
      POSSUM_CRASH_POINT("claim.spare-lock");
      if (rename((kShmDirectory + spare).c_str(), (kShmDirectory + name).c_str()) == 0) {
        POSSUM_CRASH_POINT("claim.replace");
        removed.push_back(name);
        return lock;
      }
    }
    if (lock) shm_unlink(spare.c_str());
  }
  // No room for two.
  if (shm_unlink(name.c_str()) == 0) removed.push_back(name);
  return {};
}

// Steps 1 to 5 of a claim: a name that leads to an object of ours, locked and empty. What
// was unlinked is added to `removed`.
ClaimStatus claim_name(const std::string& channel, LockFd& claimed,
                       std::vector<std::string>& removed, Error& error) {
  const std::string name = control_name(channel);
  for (;;) {
    LockFd lock = LockFd::open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    POSSUM_CRASH_POINT("claim.create");
    const bool fresh = static_cast<bool>(lock);
    if (!fresh && errno == EEXIST) {
      lock = LockFd::open(name, O_RDWR | O_NONBLOCK, 0);
      POSSUM_CRASH_POINT("claim.open");
      if (!lock && errno == ENOENT) continue;
      if (!lock && errno == EACCES && unlock_own_name(name)) continue;
    }
    if (!lock) {
      error = cannot_claim(channel, errno);
      return ClaimStatus::failed;
    }
    auto info = stat_fd(lock.get());
    if (!info || !S_ISREG(info->st_mode)) {
      error = not_an_object(channel, ErrorCode::system);
      return ClaimStatus::failed;
    }
    POSSUM_CRASH_POINT("claim.stat");
    if (info->st_uid != geteuid()) {
      error = foreign_owner(channel, info->st_uid, Wish::write);
      return ClaimStatus::failed;
    }
    switch (lock.try_lock(layout::kOwnerByte)) {
      case LockFd::Result::ok:
        break;
      case LockFd::Result::busy:
        error = name_held(channel, read_holder(lock.get()));
        return ClaimStatus::busy;
      case LockFd::Result::failed:
        error = no_locks(errno);
        return ClaimStatus::failed;
    }
    POSSUM_CRASH_POINT("claim.lock");
    // Only now: the name may have been removed between opening and locking.
    info = stat_fd(lock.get());
    if (!info || info->st_nlink == 0) continue;
    POSSUM_CRASH_POINT("claim.stat-again");
    // A dead writer's is replaced; nothing in it is read.
    if (!fresh && !(lock = replace_dead(channel, removed))) continue;
    claimed = std::move(lock);
    return ClaimStatus::ok;
  }
}

// Step 6, under that lock: nothing of the dead stays beside it.
void remove_left(const std::string& channel, const std::vector<std::string>* data,
                 std::vector<std::string>& removed) {
  const auto remove = [&](const std::string& name) {
    if (shm_unlink(name.c_str()) == 0) removed.push_back(name);
    POSSUM_CRASH_POINT("claim.unlink-data");
  };
  if (data == nullptr) {
    for_data_names(channel, std::nullopt, remove);
  } else {
    for (const std::string& file : *data) remove("/" + file);
  }
}

void give_up_name(const std::string& channel, const LockFd& claimed) {
  const std::string name = control_name(channel);
  if (leads_to(name, claimed.get())) shm_unlink(name.c_str());
  POSSUM_CRASH_POINT("claim.give-up");
}

// Opens the claimed object a second time, since nothing is mapped through a LockFd, and
// maps it with all its memory reserved. busy: somebody has replaced it.
bool map_control(const ClaimOptions& options, Claim& claim, Error& error) {
  const std::string what = named(options.channel) + " could not be set up";
  const std::string name = control_name(options.channel);
  // The umask may have taken the owner's own bits away.
  if (fchmod(claim.lock.get(), 0600) != 0) {
    error = shm_error(what, "fchmod", errno);
    return false;
  }
  POSSUM_CRASH_POINT("claim.own-mode");
  const UniqueFd fd(shm_open(name.c_str(), O_RDWR, 0));
  POSSUM_CRASH_POINT("claim.open-again");
  if (!fd && errno != ENOENT) {
    error = shm_error(what, "shm_open " + name, errno);
    return false;
  }
  if (!fd || !same_object(claim.lock.get(), fd.get())) {
    error = make_error(ErrorCode::busy, named(options.channel) + " was replaced",
                       "control object changed while being set up");
    return false;
  }
  POSSUM_CRASH_POINT("claim.stat-both");
  if (!reserve_bytes(fd.get(), control_bytes(), error)) return false;
  POSSUM_CRASH_POINT("claim.fallocate");
  auto object = ShmObject::map(fd.get(), control_bytes(), Access::read_write, error);
  if (!object) return false;
  POSSUM_CRASH_POINT("claim.map");
  claim.control = ControlMap(std::move(object));
  layout::WriterBells& bells = claim.control.bells();
  bool good =
      claim.room.map(bells.room, fd.get(), layout::kRoomUnit, error) &&
      claim.attention.map(bells.attention, fd.get(), layout::kAttentionUnit, error);
  for (unsigned r = 0; r < layout::kReaders && good; ++r) {
    good = claim.bells[r].map(claim.control.page(r).bell, fd.get(),
                              layout::kReaderUnit + r, error);
  }
  return good;
}

// Turns an object that only we can see into a channel.
bool set_up_control(const ClaimOptions& options, Claim& claim, Error& error) {
  if (!map_control(options, claim, error)) return false;
  if (!random_bytes(&claim.incarnation, sizeof claim.incarnation)) {
    error = no_random_numbers(errno);
    return false;
  }
  layout::ControlHeader& header = claim.control.header();
  write_header(header, claim.incarnation, options.allow_blocking);
  std::memcpy(claim.constants.data(), &header, claim.constants.size());
  header.reserve.store(1, std::memory_order_relaxed);
  claim.room.reset();
  claim.attention.reset();
  for (unsigned r = 0; r < layout::kReaders; ++r) {
    claim.bells[r].reset();
    claim.control.page(r).cfg.store(layout::pack({}), std::memory_order_relaxed);
    POSSUM_CRASH_POINT("claim.page");
  }
  header.state.store(static_cast<std::uint32_t>(layout::ChannelState::ready),
                     std::memory_order_release);
  POSSUM_CRASH_POINT("claim.ready");
  if (!set_group(claim.lock.get(), options.mode, error)) return false;
  POSSUM_CRASH_POINT("claim.group");
  // Last, for two reasons: nobody but this user gets in before the object is ready, and
  // the change of mode is the event that waiting readers see by inotify(7).
  if (!set_mode(claim.lock.get(), options.mode, error)) return false;
  POSSUM_CRASH_POINT("claim.mode");
  return true;
}

}  // namespace

ClaimStatus claim_channel(const ClaimOptions& options, Claim& claim, Error& error) {
  for (;;) {
    std::vector<std::string> removed;
    Claim made;
    const ClaimStatus status = claim_name(options.channel, made.lock, removed, error);
    if (status != ClaimStatus::ok) return status;
    remove_left(options.channel, nullptr, removed);
    if (set_up_control(options, made, error)) {
      made.took_over = !removed.empty();
      claim = std::move(made);
      return ClaimStatus::ok;
    }
    if (error.code == ErrorCode::busy) continue;
    give_up_name(options.channel, made.lock);
    return ClaimStatus::failed;
  }
}

ClaimStatus clean_channel(const std::string& channel,
                          const std::vector<std::string>* data,
                          std::vector<std::string>& removed, Error& error) {
  LockFd lock;
  const ClaimStatus status = claim_name(channel, lock, removed, error);
  if (status != ClaimStatus::ok) return status;
  remove_left(channel, data, removed);
  give_up_name(channel, lock);
  return status;
}

void remove_names(const std::string& channel, Claim& claim) {
  // First: a reader that misses a data name must see that its channel is being taken down
  // and not that somebody removed frames of a living one.
  if (!name_lost(channel, claim)) {
    POSSUM_CRASH_POINT("stop.stat");
    shm_unlink(control_name(channel).c_str());
    POSSUM_CRASH_POINT("stop.unlink-control");
  }
  // Then: nobody has to wait until the rest is done.
  claim.lock.reset();
  POSSUM_CRASH_POINT("stop.unlock");
  // Only this incarnation's: the channel may have a new owner by now.
  for_data_names(channel, claim.incarnation, [](const std::string& name) {
    shm_unlink(name.c_str());
    POSSUM_CRASH_POINT("stop.unlink-data");
  });
}

bool name_lost(const std::string& channel, const Claim& claim) {
  return !leads_to(control_name(channel), claim.lock.get());
}

bool control_intact(const Claim& claim) {
  return is_whole(claim.lock.get()) &&
         std::memcmp(&claim.control.header(), claim.constants.data(),
                     claim.constants.size()) == 0;
}

}  // namespace possum::transport
