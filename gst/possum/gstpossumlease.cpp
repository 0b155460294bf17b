// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The allocator exists because GstMemory asks it what to do; it allocates nothing.
#include "gstpossumlease.h"

#include <type_traits>

namespace {

struct LeaseMemory {
  GstMemory memory;
  gpointer data;         // first byte of the frame
  possum::Frame* frame;  // owned; NULL in a shared part, whose parent has it
};
static_assert(std::is_standard_layout_v<LeaseMemory>);

LeaseMemory* lease_of(GstMemory* memory) {
  return reinterpret_cast<LeaseMemory*>(memory);
}

GstMemory* new_memory(GstAllocator* allocator, GstMemory* parent, gpointer data,
                      possum::Frame* frame, gsize maxsize, gsize offset, gsize size) {
  auto* lease = new LeaseMemory{};
  gst_memory_init(&lease->memory, GST_MEMORY_FLAG_READONLY, allocator, parent, maxsize, 0,
                  offset, size);
  lease->data = data;
  lease->frame = frame;
  return &lease->memory;
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
  return new_memory(memory->allocator, parent, lease_of(memory)->data, nullptr,
                    memory->maxsize, skip, length);
}

}  // namespace

struct _GstPossumLeaseAllocator {
  GstAllocator parent;
};

G_DEFINE_TYPE(GstPossumLeaseAllocator, gst_possum_lease_allocator, GST_TYPE_ALLOCATOR)

static void gst_possum_lease_allocator_free(GstAllocator*, GstMemory* memory) {
  LeaseMemory* const lease = lease_of(memory);
  delete lease->frame;
  delete lease;
}

static void gst_possum_lease_allocator_class_init(GstPossumLeaseAllocatorClass* klass) {
  GST_ALLOCATOR_CLASS(klass)->free = gst_possum_lease_allocator_free;
}

static void gst_possum_lease_allocator_init(GstPossumLeaseAllocator* self) {
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

Ref<GstMemory> lease_memory(GstAllocator* allocator, Frame frame, gsize size) {
  const gsize maxsize = frame.size();
  // READONLY keeps everybody from writing; the kernel does for leases anyway.
  gpointer const data = const_cast<std::byte*>(frame.data());
  return Ref<GstMemory>{new_memory(allocator, nullptr, data, new Frame(std::move(frame)),
                                   maxsize, 0, size)};
}

}  // namespace possum
