// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// GstPossumAllocator: mapping, sharing and copying of lent slots.
#include "gstpossumallocator.h"

#include <cstring>
#include <optional>
#include <utility>

#include "refs.h"
#include "shelf.h"

using possum::transport::SlotRef;
using possum::transport::Writer;

namespace {

constexpr gsize kPageMask = 4095;  // SlotRef::data is page aligned

// The right to one lent slot.
class Loan {
 public:
  Loan(std::shared_ptr<Writer> writer, SlotRef slot)
      : writer_(std::move(writer)), slot_(std::move(slot)) {}
  ~Loan() { writer_->give_back(slot_); }
  Loan(const Loan&) = delete;
  Loan& operator=(const Loan&) = delete;
  const std::shared_ptr<Writer>& writer() const { return writer_; }
  const SlotRef& slot() const { return slot_; }

 private:
  std::shared_ptr<Writer> writer_;
  SlotRef slot_;
};

struct SlotMemory : GstMemory {
  std::optional<Loan> loan;  // of a whole; empty in a part
  const Loan* place;         // the whole's loan, which lives as long as its parts
  bool immutable = false;    // of a whole
};

// For the next loans, as long as the process lives.
possum::Shelf<SlotMemory> spare;

SlotMemory* slot_memory(GstMemory* memory) { return static_cast<SlotMemory*>(memory); }

SlotMemory* new_memory() {
  SlotMemory* const kept = spare.take();
  return kept != nullptr ? kept : new SlotMemory{};
}

}  // namespace

struct GstPossumAllocator {
  GstAllocator parent;
};
struct GstPossumAllocatorClass {
  GstAllocatorClass parent_class;
};

static GType gst_possum_allocator_get_type();
G_DEFINE_TYPE(GstPossumAllocator, gst_possum_allocator, GST_TYPE_ALLOCATOR)

static GstAllocator* the_allocator() {
  static GstAllocator* const allocator = [] {
    auto* object = static_cast<GstAllocator*>(
        gst_object_ref_sink(g_object_new(gst_possum_allocator_get_type(), nullptr)));
    GST_OBJECT_FLAG_SET(object, GST_OBJECT_FLAG_MAY_BE_LEAKED);
    return object;
  }();
  return allocator;
}

static GstMemory* gst_possum_allocator_alloc(GstAllocator*, gsize, GstAllocationParams*) {
  return nullptr;
}

static void gst_possum_allocator_free(GstAllocator*, GstMemory* memory) {
  SlotMemory* const mine = slot_memory(memory);
  mine->loan.reset();
  mine->immutable = false;
  if (!spare.put(mine)) delete mine;
}

static gpointer gst_possum_memory_map(GstMemory* memory, gsize, GstMapFlags) {
  return slot_memory(memory)->place->slot().data;
}

static void gst_possum_memory_unmap(GstMemory*) {}

static GstMemory* gst_possum_memory_share(GstMemory* memory, gssize offset, gssize size) {
  GstMemory* const whole = memory->parent != nullptr ? memory->parent : memory;
  const gsize first = memory->offset + static_cast<gsize>(offset);
  const gsize bytes =
      size == -1 ? memory->size - static_cast<gsize>(offset) : static_cast<gsize>(size);
  SlotMemory* const part = new_memory();
  part->place = slot_memory(memory)->place;
  const auto flags = static_cast<GstMemoryFlags>(GST_MINI_OBJECT_FLAGS(whole) |
                                                 GST_MINI_OBJECT_FLAG_LOCK_READONLY);
  gst_memory_init(part, flags, the_allocator(), whole, memory->maxsize, memory->align,
                  first, bytes);
  return part;
}

// GStreamer's copy-on-write. The copy is lent too, so that it need not be copied again.
static GstMemory* gst_possum_memory_copy(GstMemory* memory, gssize offset, gssize size) {
  const Loan* place = slot_memory(memory)->place;
  const auto skip = static_cast<gsize>(offset);
  gsize bytes = static_cast<gsize>(size);
  if (size == -1) bytes = memory->size > skip ? memory->size - skip : 0;
  GstAllocationParams params;
  gst_allocation_params_init(&params);
  params.align = memory->align;
  GstMemory* copy = possum::lend_memory(place->writer(), bytes, params);
  if (copy == nullptr) copy = gst_allocator_alloc(nullptr, bytes, &params);
  GstMapInfo map;
  if (copy == nullptr) return nullptr;
  if (!gst_memory_map(copy, &map, GST_MAP_WRITE)) {
    gst_memory_unref(copy);
    return nullptr;
  }
  std::memcpy(map.data, place->slot().data + memory->offset + skip, bytes);
  gst_memory_unmap(copy, &map);
  return copy;
}

static void gst_possum_allocator_class_init(GstPossumAllocatorClass* klass) {
  auto* allocator_class = GST_ALLOCATOR_CLASS(klass);
  allocator_class->alloc = gst_possum_allocator_alloc;
  allocator_class->free = gst_possum_allocator_free;
}

static void gst_possum_allocator_init(GstPossumAllocator* self) {
  GstAllocator* allocator = GST_ALLOCATOR_CAST(self);
  allocator->mem_type = "PossumSlot";
  allocator->mem_map = gst_possum_memory_map;
  allocator->mem_unmap = gst_possum_memory_unmap;
  allocator->mem_share = gst_possum_memory_share;
  allocator->mem_copy = gst_possum_memory_copy;
  GST_OBJECT_FLAG_SET(allocator, GST_ALLOCATOR_FLAG_CUSTOM_ALLOC);
}

namespace possum {

GstMemory* lend_memory(const std::shared_ptr<Writer>& writer, gsize size,
                       const GstAllocationParams& params) {
  if (params.align > kPageMask) return nullptr;
  const gsize bytes = params.prefix + size + params.padding;
  std::optional<SlotRef> slot = writer->lend(bytes);
  if (!slot) return nullptr;
  std::byte* const data = slot->data;
  if ((params.flags & GST_MEMORY_FLAG_ZERO_PREFIXED) != 0) {
    std::memset(data, 0, params.prefix);
  }
  if ((params.flags & GST_MEMORY_FLAG_ZERO_PADDED) != 0) {
    std::memset(data + params.prefix + size, 0, params.padding);
  }
  SlotMemory* const lent = new_memory();
  lent->place = &lent->loan.emplace(writer, *std::move(slot));
  gst_memory_init(lent, params.flags, the_allocator(), nullptr, bytes, kPageMask,
                  params.prefix, size);
  return lent;
}

const SlotRef* slot_of(GstMemory* memory, const Writer* writer) {
  if (memory->allocator != the_allocator()) return nullptr;
  const Loan* place = slot_memory(memory)->place;
  return place->writer().get() == writer ? &place->slot() : nullptr;
}

// GStreamer writes to a memory that has one holder at the most, and its buffer is one.
// Two more are enough for a memory that is in no buffer, too.
bool make_immutable(GstMemory* memory) {
  SlotMemory* const whole =
      slot_memory(memory->parent != nullptr ? memory->parent : memory);
  if (whole->immutable) return true;
  if (!gst_memory_lock(whole, GST_LOCK_FLAG_EXCLUSIVE)) return false;
  gst_memory_lock(whole, GST_LOCK_FLAG_EXCLUSIVE);
  whole->immutable = true;
  return true;
}

}  // namespace possum
