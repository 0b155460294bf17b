// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The allocator exists because GstMemory asks it what to do, and keeps spare memories.
#include "gstpossumlease.h"

#include <utility>

#include "shelf.h"

namespace {

struct LeaseMemory : GstMemory {
  possum::transport::Frame frame;  // empty in a shared part, whose parent has it
  gpointer data;                   // first byte of the frame
};
using LeaseShelf = possum::Shelf<LeaseMemory>;

}  // namespace

struct _GstPossumLeaseAllocator {
  GstAllocator parent;
  LeaseShelf* spare;
};

G_DEFINE_TYPE(GstPossumLeaseAllocator, gst_possum_lease_allocator, GST_TYPE_ALLOCATOR)

namespace {

LeaseMemory* lease_of(GstMemory* memory) { return static_cast<LeaseMemory*>(memory); }

LeaseShelf& spare_of(gpointer allocator) {
  return *static_cast<GstPossumLeaseAllocator*>(allocator)->spare;
}

LeaseMemory* new_memory(GstAllocator* allocator, GstMemory* parent, gpointer data,
                        gsize maxsize, gsize offset, gsize size) {
  LeaseMemory* lease = spare_of(allocator).take();
  if (lease == nullptr) lease = new LeaseMemory{};
  gst_memory_init(lease, GST_MEMORY_FLAG_READONLY, allocator, parent, maxsize, 0, offset,
                  size);
  lease->data = data;
  return lease;
}

// GStreamer adds the offset, and refuses to map read-only memory for writing.
gpointer lease_map(GstMemory* memory, gsize, GstMapFlags) {
  return lease_of(memory)->data;
}

void lease_unmap(GstMemory*) {}

GstMemory* lease_share(GstMemory* memory, gssize offset, gssize size) {
  GstMemory* const parent = memory->parent != nullptr ? memory->parent : memory;
  const gsize skip = memory->offset + static_cast<gsize>(offset);
  const gsize length =
      size < 0 ? memory->size - static_cast<gsize>(offset) : static_cast<gsize>(size);
  return new_memory(memory->allocator, parent, lease_of(memory)->data, memory->maxsize,
                    skip, length);
}

}  // namespace

static void gst_possum_lease_allocator_free(GstAllocator* allocator, GstMemory* memory) {
  LeaseMemory* const lease = lease_of(memory);
  lease->frame = possum::transport::Frame();
  if (!spare_of(allocator).put(lease)) delete lease;
}

static void gst_possum_lease_allocator_finalize(GObject* object) {
  LeaseShelf* const spare = &spare_of(object);
  while (const LeaseMemory* const lease = spare->take()) delete lease;
  delete spare;
  G_OBJECT_CLASS(gst_possum_lease_allocator_parent_class)->finalize(object);
}

static void gst_possum_lease_allocator_class_init(GstPossumLeaseAllocatorClass* klass) {
  G_OBJECT_CLASS(klass)->finalize = gst_possum_lease_allocator_finalize;
  GST_ALLOCATOR_CLASS(klass)->free = gst_possum_lease_allocator_free;
}

static void gst_possum_lease_allocator_init(GstPossumLeaseAllocator* self) {
  self->spare = new LeaseShelf;
  GstAllocator* const allocator = GST_ALLOCATOR(self);
  allocator->mem_type = GST_POSSUM_LEASE_MEMORY_TYPE;
  allocator->mem_map = lease_map;
  allocator->mem_unmap = lease_unmap;
  allocator->mem_share = lease_share;
  // Has no alloc; this also makes GstMemory copy into system memory.
  GST_OBJECT_FLAG_SET(allocator, GST_ALLOCATOR_FLAG_CUSTOM_ALLOC);
}

namespace possum {

Ref<GstAllocator> new_lease_allocator() {
  gpointer const object = g_object_new(GST_TYPE_POSSUM_LEASE_ALLOCATOR, nullptr);
  return Ref<GstAllocator>{GST_ALLOCATOR(gst_object_ref_sink(object))};
}

Ref<GstMemory> lease_memory(GstAllocator* allocator, transport::Frame&& frame,
                            gsize size) {
  // READONLY keeps everybody from writing; the kernel does for leases anyway.
  gpointer const data = const_cast<std::byte*>(frame.data());
  LeaseMemory* const lease = new_memory(allocator, nullptr, data, frame.size(), 0, size);
  lease->frame = std::move(frame);
  return Ref<GstMemory>{lease};
}

}  // namespace possum
