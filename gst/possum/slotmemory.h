// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A slot as GstMemory: one that a writer lends upstream, to be filled, and one that a
// reader shows downstream, to be looked at. The memory owns the right to the slot and a
// share in what maps it, so it may outlive pool, element and channel; when its last
// reference goes, from whichever thread, the slot goes home. Nobody can ask the
// allocators behind it for memory of an arbitrary size.
#pragma once

#include <gst/gst.h>

#include <memory>

#include "refs.h"
#include "transport/reader.h"
#include "transport/writer.h"

namespace possum {

// --- the writer's side ---------------------------------------------------------------

// Lends a slot with `params.prefix` bytes before and `params.padding` bytes after `size`
// bytes. NULL if the writer has none to lend or cannot align so much. Never blocks.
Ref<GstMemory> lend_memory(const std::shared_ptr<transport::Writer>& writer, gsize size,
                           const GstAllocationParams& params);

// The slot that this memory, or the memory it is a part of, lies in; NULL if it is none
// lent by `writer`. transfer none: valid as long as the memory.
const transport::SlotRef* slot_of(GstMemory* memory, const transport::Writer* writer);

// From here on nobody writes to the slot that this memory of lend_memory() lies in:
// GStreamer copies for whoever wants to. Holds for the whole, of which it may be a part,
// until that is freed. False if somebody is writing. Of a slot's memory one thread alone.
bool make_immutable(GstMemory* memory);

// --- the reader's side ---------------------------------------------------------------

// Wraps `frame`, showing its first `size` bytes (<= frame.size()). Mapping it for writing
// fails, so a buffer that is written to gets a copy in system memory first.
Ref<GstMemory> frame_memory(transport::Frame&& frame, gsize size);

}  // namespace possum
