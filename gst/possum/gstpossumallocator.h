// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A slot lent upstream, as a GstMemory. The memory owns the right to the slot and a share
// in the writer, so it may outlive pool, element and channel; when its last reference
// goes, the slot goes home. The allocator is for the pool alone: nobody can ask it for
// memory of an arbitrary size.
#pragma once

#include <gst/gst.h>

#include <memory>

#include "transport/writer.h"

namespace possum {

// Lends a slot with `params.prefix` bytes before and `params.padding` bytes after `size`
// bytes. NULL if the writer has none to lend or cannot align so much. Never blocks.
// transfer full
GstMemory* lend_memory(const std::shared_ptr<transport::Writer>& writer, gsize size,
                       const GstAllocationParams& params);

// The slot that this memory, or the memory it is a part of, lies in; NULL if it is none
// lent by `writer`. transfer none: valid as long as the memory.
const transport::SlotRef* slot_of(GstMemory* memory, const transport::Writer* writer);

// From here on nobody writes to the slot that this memory of lend_memory() lies in:
// GStreamer copies for whoever wants to. Holds for the whole, of which it may be a part,
// until that is freed. False if somebody is writing. Of a slot's memory one thread alone.
bool make_immutable(GstMemory* memory);

}  // namespace possum
