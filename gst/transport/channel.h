// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Names and ownership: how a channel name maps to shared memory objects, who may claim
// and remove them, and the mapped control object of either side.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/users.h"
#include "byte_lock.h"
#include "doorbell.h"
#include "layout.h"
#include "names.h"
#include "shm_object.h"

namespace possum::transport {

std::string control_name(std::string_view channel);
std::string data_name(std::string_view channel, std::uint64_t incarnation,
                      std::uint32_t object);
// What the name of a file in the shm mount says: whose it is, and of which kind. Empty
// for all others.
struct FileName {
  std::string channel;
  bool control = false;  // else a data object
};
std::optional<FileName> parse_file_name(std::string_view file);

std::size_t control_bytes();  // of a whole control object
std::uint32_t abi_word();     // pointer bits, byte order, C library

// Nobody can guess them. False, with errno, when the system has none.
bool random_bytes(void* to, std::size_t bytes);

// "gst-launch-1.0", or "" when it cannot be read.
std::string process_name();

// The parts of a mapped control object.
class ControlMap {
 public:
  ControlMap() = default;
  explicit ControlMap(std::shared_ptr<ShmObject> object)
      : object_(std::move(object)), base_(object_->data()), unit_(unit_bytes()) {}
  explicit operator bool() const { return object_ != nullptr; }
  ShmObject& object() const { return *object_; }
  layout::ControlHeader& header() const {
    return *reinterpret_cast<layout::ControlHeader*>(base_);
  }
  layout::WriterBells& bells() const {
    return *reinterpret_cast<layout::WriterBells*>(base_ + layout::kRoomUnit * unit_);
  }
  layout::ReaderUnit& page(unsigned r) const {
    return *reinterpret_cast<layout::ReaderUnit*>(base_ +
                                                  (layout::kReaderUnit + r) * unit_);
  }

 private:
  std::shared_ptr<ShmObject> object_;
  std::byte* base_ = nullptr;
  std::size_t unit_ = 0;  // bytes
};

// A claimed channel: while `lock` lives, its names are ours.
struct Claim {
  LockFd lock;
  ControlMap control;
  std::unique_ptr<SemaphoreMapping> room_semaphore;
  std::unique_ptr<SemaphoreMapping> attention_semaphore;
  std::array<std::unique_ptr<SemaphoreMapping>, layout::kReaders> reader_semaphores;
  std::uint64_t incarnation = 0;
  bool took_over = false;  // something that a dead writer had left
  std::array<std::byte, layout::kConstantHeaderBytes> constants{};  // as it was written

  Doorbell room() const { return {control.bells().room, *room_semaphore}; }
  Doorbell attention() const { return {control.bells().attention, *attention_semaphore}; }
  Doorbell bell(unsigned r) const {
    return {control.page(r).bell, *reader_semaphores[r]};
  }
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
// names, also of a claim that failed half-way.
ClaimStatus clean_channel(const std::string& channel, std::vector<std::string>& removed,
                          Error& error);
// The same for whoever has read the mount: `data` are the data names that there were
// before, without a slash.
ClaimStatus clean_channel(const std::string& channel,
                          const std::vector<std::string>& data,
                          std::vector<std::string>& removed, Error& error);
// Removes the names that this claim made and gives up its lock.
void remove_names(std::string_view channel, Claim& claim);
// Does the control name no longer lead to our object?
bool name_lost(std::string_view channel, const Claim& claim);
// Is the control object as long as it was made, and the constant part of its header the
// one we wrote?
bool control_whole(const Claim& claim);

// --- the reader's look at a control object
// ------------------------------------------------

struct OpenOptions {
  std::string channel;
  std::optional<uid_t> allowed_owner;
  bool any_owner = false;
};

// Of a channel that this reader may attach to.
bool owner_accepted(const OpenOptions& options, uid_t owner);

enum class OpenStatus {
  ok,
  absent,     // no such channel, or its writer is dead
  not_ready,  // perhaps being set up right now; the Error, if any, says what else it may
              // be
  refused,    // something else lies there, see the Error: a writer may come in its place
  failed,     // waiting would not help, see the Error
};

// What a reader holds of a control object.
struct OpenControl {
  LockFd lock;  // for its page's byte lock; nothing is mapped through it
  UniqueFd map_fd;
  ControlMap control;  // PROT_READ
  uid_t owner = 0;
  std::uint64_t incarnation = 0;

  // With map_own_page().
  std::unique_ptr<SemaphoreMapping> room_semaphore;
  std::unique_ptr<SemaphoreMapping> attention_semaphore;
  std::unique_ptr<SemaphoreMapping> own_semaphore;
  Doorbell room() const { return {control.bells().room, *room_semaphore}; }
  Doorbell attention() const { return {control.bells().attention, *attention_semaphore}; }
  Doorbell bell(unsigned own) const { return {control.page(own).bell, *own_semaphore}; }
};

OpenStatus open_control(const OpenOptions& options, OpenControl& open, Error& error);
// Maps the doorbells and page `r` read-write over the read-only mapping, and the
// semaphores that go with them.
bool map_own_page(OpenControl& open, unsigned r, Error& error);

}  // namespace possum::transport
