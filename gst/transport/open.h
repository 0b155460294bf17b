// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The reader's look at a channel's control object, and its page of it. It trusts nothing
// that it finds: another user may have put anything under the name.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/byte_lock.h"
#include "base/error.h"
#include "control.h"
#include "doorbell.h"
#include "reader_core.h"

namespace possum::transport {

struct ReaderOptions;

// How a look ended; all but `ok` come with an Error that says why there is no channel.
enum class OpenStatus {
  ok,
  absent,     // no such channel, or its writer is dead
  not_ready,  // perhaps being set up right now
  refused,    // something else lies there: a writer may come in its place
  full,       // 32 readers are attached
  failed,     // waiting would not help
};

// What a reader holds of a channel.
struct OpenControl {
  LockFd lock;         // for its page's byte lock; nothing is mapped through it
  UniqueFd map_fd;     // for take_page() alone
  ControlMap control;  // PROT_READ, but for what map_own_page() maps again
  uid_t owner = 0;
  std::uint64_t incarnation = 0;

  Tenancy tenancy;  // with take_page()
  // With map_own_page().
  Doorbell room;
  Doorbell attention;
  Doorbell bell;  // of the page

  // Environment of lock_free_page().
  layout::ReaderPage& page(unsigned r) const { return control.page(r); }
  bool lock_page(unsigned r) {
    return lock.try_lock(layout::kReaderByte + r) == LockFd::Result::ok;
  }
  void unlock_page(unsigned r) { lock.unlock(layout::kReaderByte + r); }
};

// May this reader attach to channels of `owner`?
bool owner_accepted(const ReaderOptions& options, uid_t owner);

// One look at the channel; waits for nobody. Nothing is written.
OpenStatus open_control(const ReaderOptions& options, OpenControl& open, Error& error);
// Maps page `r` and the writer's bells read-write over the read-only mapping, and the
// semaphores that go with them.
bool map_own_page(OpenControl& open, unsigned r, Error& error);
// Locks a free page and maps it.
OpenStatus take_page(const ReaderOptions& options, OpenControl& open, Error& error);

}  // namespace possum::transport
