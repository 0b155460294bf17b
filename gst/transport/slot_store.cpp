// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "slot_store.h"

#include <errno.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/clock.h"
#include "base/crash_point.h"
#include "base/process.h"
#include "channel/errors.h"

namespace possum::transport {

SlotStore::SlotStore(std::string channel, std::uint64_t incarnation,
                     const ObjectMode& mode, layout::ControlHeader& header)
    : channel_(std::move(channel)),
      incarnation_(incarnation),
      // Group and others may look at pixels, never draw on them.
      mode_{mode.mode & ~0022u, mode.group},
      header_(header) {}

// --- making and removing ---------------------------------------------------------------

// Everybody sees the names that are there, and any user may make files in /dev/shm:
// numbers are random, so that nobody can take the next names beforehand. A name that is
// there already is passed over. To be in the way of all tries somebody would have to fill
// the directory with almost every name there is.
UniqueFd SlotStore::create(std::uint32_t& object, Error& error) const {
  constexpr int kTries = 100;
  bool taken = true;
  UniqueFd fd;
  for (int tries = 0; taken && tries < kTries; ++tries) {
    do {
      if (!random_bytes(&object, sizeof object)) {
        error = no_random_numbers(errno);
        return {};
      }
    } while (object == 0 || used_numbers_.contains(object));
    fd = create_object(name_of(object), taken, error);
  }
  return fd;
}

bool SlotStore::set_up(int fd, DataObject& made, Error& error) const {
  const std::size_t bytes = made.header.object_bytes;
  if (!reserve_bytes(fd, bytes, error)) return false;
  POSSUM_CRASH_POINT("object.fallocate");
  made.mapping = ShmObject::map(fd, bytes, Access::read_write, error);
  if (!made.mapping) return false;
  POSSUM_CRASH_POINT("object.map");
  if (!set_group(fd, mode_, error)) return false;
  POSSUM_CRASH_POINT("object.group");
  if (!set_mode(fd, mode_, error)) return false;
  POSSUM_CRASH_POINT("object.mode");
  std::memcpy(made.mapping->data(), &made.header, sizeof made.header);
  POSSUM_CRASH_POINT("object.header");
  return true;
}

std::uint32_t SlotStore::make(unsigned slot, SlotRequest& request) {
  const SlotNeed& earlier = objects_[slot].need;
  DataObject made;
  made.need = {request.need.pixels, std::max(request.need.caps, earlier.caps),
               std::max(request.need.metas, earlier.metas)};
  if (!plan_data_object(made.need, made.header)) {
    request.error =
        make_error(ErrorCode::settings, "The frame is too large for a channel.",
                   std::to_string(request.need.pixels) + " bytes");
    return 0;
  }
  made.header.slot = slot;
  made.header.incarnation = incarnation_;
  Error error;
  const UniqueFd fd = create(made.header.object, error);
  if (fd) POSSUM_CRASH_POINT("object.create");
  if (!fd || !set_up(fd.get(), made, error)) {
    made.mapping = nullptr;
    if (fd) shm_unlink(name_of(made.header.object).c_str());
    if (fd) POSSUM_CRASH_POINT("object.give-up");
    request.error = std::move(error);
    return 0;
  }
  const std::uint32_t object = made.header.object;
  used_numbers_.insert(object);
  header_.slot[slot].pages.store(
      static_cast<std::uint32_t>(made.header.object_bytes / 4096),
      std::memory_order_relaxed);
  POSSUM_CRASH_POINT("object.pages");
  objects_[slot] = std::move(made);
  request.made = true;
  return object;
}

void SlotStore::remove(unsigned slot) {
  shm_unlink(name_of(objects_[slot].header.object).c_str());
  POSSUM_CRASH_POINT("replace.unlink");
  const SlotNeed need = objects_[slot].need;
  objects_[slot] = {};
  objects_[slot].need = {0, need.caps, need.metas};
}

// --- finding ---------------------------------------------------------------------------

bool SlotStore::fits(unsigned slot, const SlotNeed& need) const {
  const layout::DataHeader& h = objects_[slot].header;
  return h.object != 0 && need.pixels <= h.pixels_capacity &&
         need.caps <= h.caps_capacity && need.metas <= h.metas_capacity;
}

bool SlotStore::any_fits(const SlotNeed& need) const {
  for (unsigned s = 0; s < layout::kSlots; ++s) {
    if (fits(s, need)) return true;
  }
  return false;
}

SlotRef SlotStore::ref(unsigned slot) const {
  const layout::DataHeader& h = objects_[slot].header;
  const std::shared_ptr<ShmObject>& mapping = objects_[slot].mapping;
  return {incarnation_,
          h.object,
          slot,
          mapping->data() + h.pixels_offset,
          static_cast<std::size_t>(h.pixels_capacity),
          mapping};
}

bool SlotStore::owns(const SlotRef& ref) const {
  return ref.incarnation == incarnation_ && ref.slot < layout::kSlots &&
         ref.object != 0 && objects_[ref.slot].header.object == ref.object;
}

std::size_t SlotStore::bytes() const {
  std::size_t sum = 0;
  for (const DataObject& o : objects_) sum += o.header.object_bytes;
  return sum;
}

bool SlotStore::announced() const {
  for (unsigned s = 0; s < layout::kSlots; ++s) {
    const std::uint32_t object = header_.slot[s].object.load(std::memory_order_relaxed);
    if (object != objects_[s].header.object) return false;
  }
  return true;
}

bool SlotStore::damaged() const {
  return std::any_of(objects_.begin(), objects_.end(), [](const DataObject& o) {
    return o.mapping && o.mapping->damaged();
  });
}

// --- filling ---------------------------------------------------------------------------

bool SlotStore::fill(unsigned slot, layout::FrameDescriptor& frame, std::string_view caps,
                     std::span<const std::byte> metas) {
  DataObject& o = objects_[slot];
  const bool new_caps = caps_id_ == 0 || caps != caps_;
  if (new_caps) {
    caps_ = caps;
    ++caps_id_;
  }
  std::byte* const base = o.mapping->data();
  if (o.caps_id != caps_id_) {
    std::memcpy(base + o.header.caps_offset, caps.data(), caps.size());
    POSSUM_CRASH_POINT("fill.caps");
    o.caps_id = caps_id_;
  }
  if (!metas.empty()) {
    std::memcpy(base + o.header.metas_offset, metas.data(), metas.size());
    POSSUM_CRASH_POINT("fill.metas");
  }
  frame.seq = ++last_seq_;
  frame.publish_ns = monotonic_ns();
  frame.caps_id = caps_id_;
  frame.caps_bytes = static_cast<std::uint32_t>(caps.size());
  frame.metas_bytes = static_cast<std::uint32_t>(metas.size());
  std::memcpy(base + sizeof(layout::DataHeader), &frame, sizeof frame);
  POSSUM_CRASH_POINT("fill.descriptor");
  return new_caps;
}

}  // namespace possum::transport
