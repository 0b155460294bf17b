// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A frame of a channel as read-only GstMemory. The lease on its slot ends when the last
// reference to the memory goes, from whichever thread that is, and however long after
// the element and the writer.
#pragma once

#include <gst/gst.h>

#include "refs.h"
#include "transport/reader.h"

G_BEGIN_DECLS

#define GST_TYPE_POSSUM_LEASE_ALLOCATOR (gst_possum_lease_allocator_get_type())
G_DECLARE_FINAL_TYPE(GstPossumLeaseAllocator, gst_possum_lease_allocator, GST,
                     POSSUM_LEASE_ALLOCATOR, GstAllocator)

#define GST_POSSUM_LEASE_MEMORY_TYPE "PossumLease"

G_END_DECLS

namespace possum {

Ref<GstAllocator> new_lease_allocator();

// Wraps `frame`, showing its first `size` bytes (<= frame.size()). Mapping it for writing
// fails, so a buffer that is written to gets a copy in system memory first.
Ref<GstMemory> lease_memory(GstAllocator* allocator, transport::Frame&& frame,
                            gsize size);

}  // namespace possum
