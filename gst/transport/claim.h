// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The writer's way to a channel's name: who may have it, how it passes from a dead writer
// to the next one, and how it is given up. PROTOCOL.md, "Claiming", has the steps.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/byte_lock.h"
#include "base/error.h"
#include "base/shm_object.h"
#include "control.h"
#include "doorbell.h"
#include "layout.h"

namespace possum::transport {

// A claimed channel: while `lock` lives, its names are ours.
struct Claim {
  LockFd lock;
  ControlMap control;
  Doorbell room;                                 // one thread at a time sleeps here
  Doorbell attention;                            // the housekeeping thread sleeps here
  std::array<Doorbell, layout::kReaders> bells;  // of the readers
  std::uint64_t incarnation = 0;
  bool took_over = false;  // something that a dead writer had left
  std::array<std::byte, layout::kConstantHeaderBytes> constants{};  // as it was written
};

enum class ClaimStatus { ok, busy, failed };

struct ClaimOptions {
  std::string channel;
  ObjectMode mode;
  bool allow_blocking = false;
};

// One try to become the channel's writer: takes over what a dead writer left, publishes
// a fresh control object in state READY. busy: a live writer holds it; the Error says
// who.
ClaimStatus claim_channel(const ClaimOptions& options, Claim& claim, Error& error);

// Removes what a dead writer left of a channel of this user, as the next writer would: a
// claim that is given up at once. A writer that starts just now finds the name held for a
// moment and tries again. busy: a live writer; nothing was touched. `removed` gets the
// names, also of a claim that failed half-way. `data`: the data objects that whoever has
// read the mount saw there before, as file names; NULL: all there are.
ClaimStatus clean_channel(const std::string& channel,
                          const std::vector<std::string>* data,
                          std::vector<std::string>& removed, Error& error);

// Removes the names that this claim made and gives up its lock.
void remove_names(const std::string& channel, Claim& claim);
// Does the control name no longer lead to our object?
bool name_lost(const std::string& channel, const Claim& claim);
// Is the control object as long as it was made, and the constant part of its header the
// one we wrote?
bool control_intact(const Claim& claim);

}  // namespace possum::transport
