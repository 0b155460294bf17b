// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// One life of a writer on a channel: the claim, the data objects of its slots and the
// environment that WriterCore works in. Not thread safe: its owner holds one mutex
// around every call.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <unordered_set>

#include "base/clock.h"
#include "claim.h"
#include "descriptor.h"
#include "doorbell.h"
#include "writer.h"
#include "writer_core.h"

namespace possum::transport {

// A data object as its writer sees it.
struct SlotObject {
  std::uint32_t object = 0;  // 0: none
  layout::DataHeader header{};
  std::shared_ptr<ShmObject> mapping;
  ino_t inode = 0;
  std::uint32_t caps_id = 0;  // whose text lies in the caps area
};

// The numbers of one writer's data objects. Everybody sees the names that are there, and
// any user may make files in /dev/shm: numbers are random, so that nobody can take the
// next names beforehand. Any thread.
class ObjectNumbers {
 public:
  // Not 0 and not one that was kept; 0 when the system has no random numbers.
  std::uint32_t guess();
  void keep(std::uint32_t number);

 private:
  std::mutex mutex_;
  std::unordered_set<std::uint32_t> kept_;
};

// What somebody wants a slot for, and why there is none: several threads may want slots
// of different sizes at once.
struct SlotRequest {
  SlotNeed need;
  std::optional<Error> error;  // of the last object that could not be made for it
};

class WriterSession {
 public:
  WriterSession(Claim claim, const WriterOptions& options);
  ~WriterSession();  // end()
  // Takes the names away, frees the lock, wakes every reader. Mappings stay.
  void end();
  WriterSession(const WriterSession&) = delete;
  WriterSession& operator=(const WriterSession&) = delete;

  WriterCore<WriterSession>& core() { return core_; }
  std::uint64_t incarnation() const { return claim_.incarnation; }
  bool name_lost() const { return transport::name_lost(channel_, claim_); }
  // Did a mapping turn into zeros under us (bus_guard.h)? Costs next to nothing.
  bool faulted();
  // Are all objects there under their names, in full length and with our headers? Costs
  // a system call for each.
  bool whole() const;
  Doorbell& room() { return room_; }
  Doorbell& attention() { return attention_; }

  std::size_t object_bytes() const;  // of all slots

  SlotRef ref(unsigned slot) const;
  bool owns(const SlotRef& ref) const;
  bool fits_text(const SlotRef& ref, std::size_t caps_bytes,
                 std::size_t metas_bytes) const;
  // Is some slot, busy or not, large enough?
  bool any_fits(const SlotRequest& request) const;
  // Writes descriptor, caps and metas; the slot must be ours alone.
  void fill(const SlotRef& ref, layout::FrameDescriptor& frame, std::string_view caps,
            std::span<const std::byte> metas);
  // After a frame was published: if its caps are other ones, those who look at the
  // channel from outside see it by inotify(7). Costs a system call then, else nothing.
  void announce_caps();

  // Is it worth looking for dead readers again? Costs system calls, so not on every
  // frame.
  bool recycle_due();

  // --- environment of WriterCore
  // ---------------------------------------------------------
  layout::ReaderUnit& page(unsigned r) const { return claim_.control.page(r); }
  layout::ControlHeader& header() const { return claim_.control.header(); }
  void ring_reader(unsigned r) { claim_.bell(r).ring(); }
  bool lock_page(unsigned r) {
    return claim_.lock.try_lock(layout::kReaderByte + r) == LockFd::Result::ok;
  }
  void unlock_page(unsigned r) { claim_.lock.unlock(layout::kReaderByte + r); }
  void reset_bell(unsigned r) { claim_.bell(r).reset(); }
  bool fits(unsigned slot, const SlotRequest& request) const;
  void discard(unsigned slot);
  std::uint32_t create(unsigned slot, SlotRequest& request);

 private:
  bool make(unsigned slot, const SlotNeed& need, SlotObject& made, Error& error);
  UniqueFd create_numbered(std::uint32_t& object, Error& error);
  bool fill_object(int fd, SlotObject& made, Error& error) const;
  void install(unsigned slot, SlotObject made);
  bool object_whole(const SlotObject& o) const;

  const std::string channel_;
  ObjectMode data_mode_;
  Claim claim_;
  const std::uint32_t generation_;
  Doorbell room_;
  Doorbell attention_;
  WriterCore<WriterSession> core_;
  std::array<SlotObject, layout::kSlots> objects_;
  ObjectNumbers numbers_;
  std::string caps_;
  std::uint32_t caps_id_ = 0;
  std::uint32_t announced_caps_id_ = 0;
  std::uint64_t next_seq_ = 0;
  std::int64_t recycled_ns_ = 0;
  std::uint64_t faults_seen_ = 0;
  bool faulted_ = false;
  bool ended_ = false;
};

}  // namespace possum::transport
