// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header. There is an allocator for each side because GstMemory asks its
// allocator what to do. Memory that was shared out of another one is a part: it keeps the
// whole, which has the right to the slot.
#include "slotmemory.h"

#include <cstring>
#include <optional>
#include <utility>

using possum::Ref;
using possum::transport::Frame;
using possum::transport::SlotRef;
using possum::transport::Writer;

namespace {

constexpr gsize kPageMask = 4095;  // SlotRef::data is page aligned

// The right to a slot that upstream fills.
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

// A lent slot, or a part of one. gst_memory_init() fills what is GstMemory's.
struct LentMemory : GstMemory {
  LentMemory() {}
  LentMemory(const std::shared_ptr<Writer>& writer, SlotRef&& slot)
      : loan(std::in_place, writer, std::move(slot)) {}
  std::optional<Loan> loan;  // of a whole
  bool immutable = false;    // of a whole
  std::byte* data() const { return loan->slot().data; }
};

// A frame of a reader, or a part of one.
struct FrameMemory : GstMemory {
  FrameMemory() {}
  explicit FrameMemory(Frame&& shown) : frame(std::move(shown)) {}
  Frame frame;  // of a whole
  // READONLY keeps everybody from writing; the kernel does for slots anyway.
  std::byte* data() const { return const_cast<std::byte*>(frame.data()); }
};

template <class Memory>
Memory* whole_of(GstMemory* memory) {
  return static_cast<Memory*>(memory->parent != nullptr ? memory->parent : memory);
}

// GStreamer adds the offset, and refuses to map read-only memory for writing.
template <class Memory>
gpointer map_memory(GstMemory* memory, gsize, GstMapFlags) {
  return whole_of<Memory>(memory)->data();
}

void unmap_memory(GstMemory*) {}

template <class Memory>
GstMemory* share_memory(GstMemory* memory, gssize offset, gssize size) {
  GstMemory* const whole = whole_of<Memory>(memory);
  const gsize skip = static_cast<gsize>(offset);
  const gsize bytes = size == -1 ? memory->size - skip : static_cast<gsize>(size);
  auto* const part = new Memory;
  gst_memory_init(part,
                  static_cast<GstMemoryFlags>(GST_MINI_OBJECT_FLAGS(whole) |
                                              GST_MEMORY_FLAG_READONLY),
                  memory->allocator, whole, memory->maxsize, memory->align,
                  memory->offset + skip, bytes);
  return part;
}

template <class Memory>
void free_memory(GstAllocator*, GstMemory* memory) {
  delete static_cast<Memory*>(memory);
}

GstMemory* refuse_alloc(GstAllocator*, gsize, GstAllocationParams*) { return nullptr; }

// GStreamer's copy-on-write. The copy is lent too, so that it need not be copied again.
GstMemory* copy_lent(GstMemory* memory, gssize offset, gssize size) {
  const Loan& loan = *whole_of<LentMemory>(memory)->loan;
  const auto skip = static_cast<gsize>(offset);
  gsize bytes = static_cast<gsize>(size);
  if (size == -1) bytes = memory->size > skip ? memory->size - skip : 0;
  GstAllocationParams params;
  gst_allocation_params_init(&params);
  params.align = memory->align;
  Ref<GstMemory> copy = possum::lend_memory(loan.writer(), bytes, params);
  if (!copy) copy.reset(gst_allocator_alloc(nullptr, bytes, &params));
  GstMapInfo map;
  if (!copy || !gst_memory_map(copy.get(), &map, GST_MAP_WRITE)) return nullptr;
  std::memcpy(map.data, loan.slot().data + memory->offset + skip, bytes);
  gst_memory_unmap(copy.get(), &map);
  return copy.release();
}

}  // namespace

// --- the allocators ------------------------------------------------------------------

struct GstPossumSlotAllocator {
  GstAllocator parent;
};
struct GstPossumSlotAllocatorClass {
  GstAllocatorClass parent_class;
};
static GType gst_possum_slot_allocator_get_type();
G_DEFINE_TYPE(GstPossumSlotAllocator, gst_possum_slot_allocator, GST_TYPE_ALLOCATOR)

static void gst_possum_slot_allocator_class_init(GstPossumSlotAllocatorClass* klass) {
  GST_ALLOCATOR_CLASS(klass)->alloc = refuse_alloc;
  GST_ALLOCATOR_CLASS(klass)->free = free_memory<LentMemory>;
}

static void gst_possum_slot_allocator_init(GstPossumSlotAllocator* self) {
  GstAllocator* const allocator = GST_ALLOCATOR_CAST(self);
  allocator->mem_type = "PossumSlot";
  allocator->mem_map = map_memory<LentMemory>;
  allocator->mem_unmap = unmap_memory;
  allocator->mem_share = share_memory<LentMemory>;
  allocator->mem_copy = copy_lent;
  GST_OBJECT_FLAG_SET(allocator, GST_ALLOCATOR_FLAG_CUSTOM_ALLOC);
}

struct GstPossumFrameAllocator {
  GstAllocator parent;
};
struct GstPossumFrameAllocatorClass {
  GstAllocatorClass parent_class;
};
static GType gst_possum_frame_allocator_get_type();
G_DEFINE_TYPE(GstPossumFrameAllocator, gst_possum_frame_allocator, GST_TYPE_ALLOCATOR)

static void gst_possum_frame_allocator_class_init(GstPossumFrameAllocatorClass* klass) {
  GST_ALLOCATOR_CLASS(klass)->alloc = refuse_alloc;
  GST_ALLOCATOR_CLASS(klass)->free = free_memory<FrameMemory>;
}

static void gst_possum_frame_allocator_init(GstPossumFrameAllocator* self) {
  GstAllocator* const allocator = GST_ALLOCATOR_CAST(self);
  allocator->mem_type = "PossumFrame";
  allocator->mem_map = map_memory<FrameMemory>;
  allocator->mem_unmap = unmap_memory;
  allocator->mem_share = share_memory<FrameMemory>;
  // This also makes GstMemory copy into system memory.
  GST_OBJECT_FLAG_SET(allocator, GST_ALLOCATOR_FLAG_CUSTOM_ALLOC);
}

// One for all memory of its kind, as long as the process lives.
static GstAllocator* new_allocator(GType type) {
  auto* const object =
      static_cast<GstAllocator*>(gst_object_ref_sink(g_object_new(type, nullptr)));
  GST_OBJECT_FLAG_SET(object, GST_OBJECT_FLAG_MAY_BE_LEAKED);
  return object;
}

static GstAllocator* slot_allocator() {
  static GstAllocator* const it = new_allocator(gst_possum_slot_allocator_get_type());
  return it;
}

static GstAllocator* frame_allocator() {
  static GstAllocator* const it = new_allocator(gst_possum_frame_allocator_get_type());
  return it;
}

namespace possum {

// --- the writer's side ---------------------------------------------------------------

Ref<GstMemory> lend_memory(const std::shared_ptr<Writer>& writer, gsize size,
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
  auto* const lent = new LentMemory(writer, *std::move(slot));
  gst_memory_init(lent, params.flags, slot_allocator(), nullptr, bytes, kPageMask,
                  params.prefix, size);
  return Ref<GstMemory>{lent};
}

const SlotRef* slot_of(GstMemory* memory, const Writer* writer) {
  if (memory->allocator != slot_allocator()) return nullptr;
  const Loan& loan = *whole_of<LentMemory>(memory)->loan;
  return loan.writer().get() == writer ? &loan.slot() : nullptr;
}

// GStreamer writes to a memory that has one holder at the most, and its buffer is one.
// Two more are enough for a memory that is in no buffer, too.
bool make_immutable(GstMemory* memory) {
  auto* const whole = whole_of<LentMemory>(memory);
  if (whole->immutable) return true;
  if (!gst_memory_lock(whole, GST_LOCK_FLAG_EXCLUSIVE)) return false;
  gst_memory_lock(whole, GST_LOCK_FLAG_EXCLUSIVE);
  whole->immutable = true;
  return true;
}

// --- the reader's side ---------------------------------------------------------------

Ref<GstMemory> frame_memory(Frame&& frame, gsize size) {
  auto* const shown = new FrameMemory(std::move(frame));
  gst_memory_init(shown, GST_MEMORY_FLAG_READONLY, frame_allocator(), nullptr,
                  shown->frame.size(), 0, 0, size);
  return Ref<GstMemory>{shown};
}

}  // namespace possum
