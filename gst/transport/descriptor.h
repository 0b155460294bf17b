// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The inside of a data object: where its parts lie, and the checked way from a peer's
// bytes to values that may be used.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "layout.h"

namespace possum::transport {

// What a slot must have room for, in bytes.
struct SlotNeed {
  std::size_t pixels = 0;
  std::size_t caps = 0;
  std::size_t metas = 0;
};

// The header of a data object for such a frame; its object_bytes is the size to reserve.
// Caps and metas get room to spare. False when the sum makes no sense.
bool plan_data_object(const SlotNeed& need, layout::DataHeader& header);

// Are the parts inside the object and apart from each other? `bytes` is its real size.
bool valid_data_header(const layout::DataHeader& header, std::size_t bytes,
                       std::uint64_t incarnation, std::uint32_t object, unsigned slot);

// Copies the descriptor of a checked data object at `object`.
layout::FrameDescriptor copy_descriptor(const std::byte* object);
// Does a copied descriptor stay within the object? `why` names the first fault.
bool valid_descriptor(const layout::FrameDescriptor& frame,
                      const layout::DataHeader& header, std::string& why);

}  // namespace possum::transport
