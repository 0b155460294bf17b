// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The data objects of one writer, one for each slot: makes, finds, fills and removes
// them. Which slot is whose and who sees it is decided elsewhere (writer_core.h). Not
// thread safe: its owner holds the writer's mutex around every call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>

#include "base/error.h"
#include "base/shm_object.h"
#include "channel/names.h"
#include "descriptor.h"
#include "layout.h"

namespace possum::transport {

// One slot, for whoever may write it now. Plain data: it is given back once, however many
// copies there are.
struct SlotRef {
  std::uint64_t incarnation = 0;
  std::uint32_t object = 0;
  unsigned slot = 0;
  std::byte* data = nullptr;           // first byte of the pixel area, page aligned
  std::size_t capacity = 0;            // bytes from data
  std::shared_ptr<ShmObject> mapping;  // keeps data readable and writable
};

// What a frame needs a slot for, and what came of making objects for it.
struct SlotRequest {
  explicit SlotRequest(const SlotNeed& wanted) : need(wanted) {}
  const SlotNeed need;
  bool made = false;           // at least one object
  std::optional<Error> error;  // of the last object that could not be made
};

class SlotStore {
 public:
  // `header` outlives this.
  SlotStore(std::string channel, std::uint64_t incarnation, const ObjectMode& mode,
            layout::ControlHeader& header);

  // Makes the slot's object, which is not yet announced, reserved and prefaulted.
  // Returns its number, or 0: the request says why.
  std::uint32_t make(unsigned slot, SlotRequest& request);
  // Takes the object's name away. Frames that readers hold keep their mapping.
  void remove(unsigned slot);

  bool fits(unsigned slot, const SlotNeed& need) const;
  // Is some slot, busy or not, large enough?
  bool any_fits(const SlotNeed& need) const;
  SlotRef ref(unsigned slot) const;
  bool owns(const SlotRef& ref) const;
  std::size_t bytes() const;  // of all objects
  // Does the control object still say which object is whose?
  bool announced() const;
  // Did a mapping turn into zeros under us (bus_guard.h)?
  bool damaged() const;

  // Writes caps, metas and descriptor, of which it sets seq, publish_ns and what says
  // where the texts lie. The slot is ours alone and has room. True: the caps are other
  // ones than those of the frame before.
  bool fill(unsigned slot, layout::FrameDescriptor& frame, std::string_view caps,
            std::span<const std::byte> metas);

 private:
  struct DataObject {
    layout::DataHeader header{};  // object 0: there is none
    std::shared_ptr<ShmObject> mapping;
    std::uint32_t caps_id = 0;  // whose text lies in the caps area
    // What it was planned for. Caps and metas stay when it is removed: the next object of
    // the slot has as much room for them, or frames whose pixels and metas vary would
    // have it replaced again and again.
    SlotNeed need;
  };
  std::string name_of(std::uint32_t object) const {
    return data_name(channel_, incarnation_, object);
  }
  UniqueFd create(std::uint32_t& object, Error& error) const;
  bool set_up(int fd, DataObject& made, Error& error) const;

  const std::string channel_;
  const std::uint64_t incarnation_;
  const ObjectMode mode_;
  layout::ControlHeader& header_;
  std::array<DataObject, layout::kSlots> objects_;
  std::unordered_set<std::uint32_t> used_numbers_;
  std::string caps_;  // of the newest frame
  std::uint32_t caps_id_ = 0;
  std::uint64_t last_seq_ = 0;
};

}  // namespace possum::transport
