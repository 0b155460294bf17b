// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The least that two pipelines can do to hand over a frame: elements over a file in
// /dev/shm with room for some frames, and one semaphore per reader. No caps, no times, no
// policy, no check, and nothing is safe: what this takes longer than the bare semaphore
// is GStreamer's own, and what a contestant takes longer than this is the contestant's.
//
//   bellsink area=FILE size=BYTES    makes the file; proposes its memory; one frame
//                                    is at most so large
//   bellsrc area=FILE                opens it
#include <fcntl.h>
#include <gst/base/gstbasesink.h>
#include <gst/base/gstpushsrc.h>
#include <gst/gst.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <new>

#include "options.h"

namespace {

constexpr unsigned kReaders = 32;
constexpr unsigned kFrames = 16;
constexpr std::size_t kPage = 4096;

// Begins the file; the frames come after it.
struct Head {
  std::atomic<unsigned> readers;
  std::atomic<std::uint64_t> count;  // of frames so far
  std::atomic<std::uint64_t> frame;  // offset of the newest one in the file
  std::atomic<std::uint64_t> bytes;  // of it
  sem_t bells[kReaders];
};
static_assert(sizeof(Head) <= kPage);

struct Area {
  std::byte* base;
  std::size_t size;
};

Head& head_of(const Area& area) { return *reinterpret_cast<Head*>(area.base); }

// Maps all of a file, every page in place, which it makes if it is told how large a frame
// is. False: no.
bool map_area(const char* path, std::size_t frame_bytes, Area& area) {
  const bool make = frame_bytes != 0;
  const int fd = open(path, O_RDWR | O_CLOEXEC | (make ? O_CREAT | O_EXCL : 0), 0600);
  if (fd < 0) return false;
  const std::size_t piece = (frame_bytes + kPage - 1) / kPage * kPage;
  void* memory = MAP_FAILED;
  struct stat status {};
  if ((!make || ftruncate(fd, static_cast<off_t>(kPage + kFrames * piece)) == 0) &&
      fstat(fd, &status) == 0) {
    area.size = static_cast<std::size_t>(status.st_size);
    memory = mmap(nullptr, area.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                  fd, 0);
  }
  close(fd);
  if (memory == MAP_FAILED) return false;
  area.base = static_cast<std::byte*>(memory);
  if (!make) return true;
  auto* head = new (area.base) Head{};
  for (sem_t& bell : head->bells) sem_init(&bell, 1, 0);
  return true;
}

// --- allocator: the pieces of the area, in turn, never given back ----------------------

struct BellAllocator {
  GstAllocator parent;
  Area area;
  std::size_t piece;
  unsigned given;
};
struct BellAllocatorClass {
  GstAllocatorClass parent_class;
};
G_DEFINE_TYPE(BellAllocator, bell_allocator, GST_TYPE_ALLOCATOR)

GstMemory* allocate(GstAllocator* allocator, gsize size, GstAllocationParams*) {
  auto* self = reinterpret_cast<BellAllocator*>(allocator);
  if (self->given == kFrames || size > self->piece) return nullptr;
  std::byte* const at = self->area.base + kPage + self->given++ * self->piece;
  return gst_memory_new_wrapped(GST_MEMORY_FLAG_NO_SHARE, at, size, 0, size, nullptr,
                                nullptr);
}

void bell_allocator_class_init(BellAllocatorClass* klass) {
  GST_ALLOCATOR_CLASS(klass)->alloc = allocate;
}
void bell_allocator_init(BellAllocator* self) {
  GST_OBJECT_FLAG_SET(self, GST_ALLOCATOR_FLAG_CUSTOM_ALLOC);
}

// --- sink ------------------------------------------------------------------------------

enum { kPropArea = 1, kPropSize };

struct BellSink {
  GstBaseSink parent;
  gchar* path;
  guint64 frame_bytes;
  Area area;
};
struct BellSinkClass {
  GstBaseSinkClass parent_class;
};
G_DEFINE_TYPE(BellSink, bell_sink, GST_TYPE_BASE_SINK)

void sink_set_property(GObject* object, guint id, const GValue* value, GParamSpec*) {
  auto* self = reinterpret_cast<BellSink*>(object);
  if (id == kPropArea) {
    g_free(self->path);
    self->path = g_value_dup_string(value);
  } else {
    self->frame_bytes = g_value_get_uint64(value);
  }
}

gboolean sink_start(GstBaseSink* sink) {
  auto* self = reinterpret_cast<BellSink*>(sink);
  if (self->path != nullptr && map_area(self->path, self->frame_bytes, self->area)) {
    return TRUE;
  }
  GST_ELEMENT_ERROR(sink, RESOURCE, OPEN_WRITE, ("area= names no file to make."),
                    GST_ERROR_SYSTEM);
  return FALSE;
}

gboolean sink_propose(GstBaseSink* sink, GstQuery* query) {
  auto* self = reinterpret_cast<BellSink*>(sink);
  auto* allocator =
      reinterpret_cast<BellAllocator*>(g_object_new(bell_allocator_get_type(), nullptr));
  gst_object_ref_sink(allocator);
  allocator->area = self->area;
  allocator->piece = (self->area.size - kPage) / kFrames;
  gst_query_add_allocation_param(query, GST_ALLOCATOR_CAST(allocator), nullptr);
  gst_object_unref(allocator);
  return TRUE;
}

GstFlowReturn sink_render(GstBaseSink* sink, GstBuffer* buffer) {
  auto* self = reinterpret_cast<BellSink*>(sink);
  Head& head = head_of(self->area);
  GstMapInfo map;
  if (!gst_buffer_map(buffer, &map, GST_MAP_READ)) return GST_FLOW_ERROR;
  const auto* const frame = reinterpret_cast<const std::byte*>(map.data);
  const bool ours = frame >= self->area.base && frame < self->area.base + self->area.size;
  head.frame = static_cast<std::uint64_t>(frame - self->area.base);
  head.bytes = map.size;
  ++head.count;
  gst_buffer_unmap(buffer, &map);
  if (!ours) {
    GST_ELEMENT_ERROR(sink, STREAM, FAILED, ("Only the proposed memory is carried."),
                      (nullptr));
    return GST_FLOW_ERROR;
  }
  const unsigned readers = std::min(head.readers.load(), kReaders);
  for (unsigned i = 0; i < readers; ++i) sem_post(&head.bells[i]);
  return GST_FLOW_OK;
}

void bell_sink_class_init(BellSinkClass* klass) {
  static GstStaticPadTemplate pad =
      GST_STATIC_PAD_TEMPLATE("sink", GST_PAD_SINK, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
  gst_element_class_add_static_pad_template(GST_ELEMENT_CLASS(klass), &pad);
  gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(klass), "Bell sink",
                                        "Sink/Video", "Posts a semaphore", "possum");
  G_OBJECT_CLASS(klass)->set_property = sink_set_property;
  constexpr auto flags =
      static_cast<GParamFlags>(G_PARAM_WRITABLE | G_PARAM_STATIC_STRINGS);
  g_object_class_install_property(
      G_OBJECT_CLASS(klass), kPropArea,
      g_param_spec_string("area", "area", "File that it makes", nullptr, flags));
  g_object_class_install_property(
      G_OBJECT_CLASS(klass), kPropSize,
      g_param_spec_uint64("size", "size", "Bytes of a frame", 1, 1ull << 40, 1, flags));
  GST_BASE_SINK_CLASS(klass)->start = sink_start;
  GST_BASE_SINK_CLASS(klass)->propose_allocation = sink_propose;
  GST_BASE_SINK_CLASS(klass)->render = sink_render;
}
void bell_sink_init(BellSink* self) {
  gst_base_sink_set_sync(GST_BASE_SINK(self), FALSE);
}

// --- source ----------------------------------------------------------------------------

struct BellSrc {
  GstPushSrc parent;
  gchar* path;
  Area area;
  unsigned reader;
  std::uint64_t seen;
};
struct BellSrcClass {
  GstPushSrcClass parent_class;
};
G_DEFINE_TYPE(BellSrc, bell_src, GST_TYPE_PUSH_SRC)

void src_set_property(GObject* object, guint, const GValue* value, GParamSpec*) {
  auto* self = reinterpret_cast<BellSrc*>(object);
  g_free(self->path);
  self->path = g_value_dup_string(value);
}

gboolean src_start(GstBaseSrc* src) {
  auto* self = reinterpret_cast<BellSrc*>(src);
  if (self->path == nullptr || !map_area(self->path, 0, self->area)) {
    GST_ELEMENT_ERROR(src, RESOURCE, OPEN_READ, ("area= names no file of a bellsink."),
                      GST_ERROR_SYSTEM);
    return FALSE;
  }
  self->reader = head_of(self->area).readers++;
  if (self->reader < kReaders) return TRUE;
  GST_ELEMENT_ERROR(src, RESOURCE, BUSY, ("There are 32 readers already."), (nullptr));
  return FALSE;
}

GstFlowReturn src_create(GstPushSrc* src, GstBuffer** buffer) {
  auto* self = reinterpret_cast<BellSrc*>(src);
  Head& head = head_of(self->area);
  // A reader that came late finds one frame and several posts.
  while (sem_wait(&head.bells[self->reader]) != 0 || head.count == self->seen) {
  }
  self->seen = head.count;
  const std::size_t bytes = head.bytes;
  *buffer =
      gst_buffer_new_wrapped_full(GST_MEMORY_FLAG_READONLY, self->area.base + head.frame,
                                  bytes, 0, bytes, nullptr, nullptr);
  return GST_FLOW_OK;
}

void bell_src_class_init(BellSrcClass* klass) {
  static GstStaticPadTemplate pad =
      GST_STATIC_PAD_TEMPLATE("src", GST_PAD_SRC, GST_PAD_ALWAYS, GST_STATIC_CAPS_ANY);
  gst_element_class_add_static_pad_template(GST_ELEMENT_CLASS(klass), &pad);
  gst_element_class_set_static_metadata(GST_ELEMENT_CLASS(klass), "Bell source",
                                        "Source/Video", "Waits for a semaphore",
                                        "possum");
  G_OBJECT_CLASS(klass)->set_property = src_set_property;
  g_object_class_install_property(
      G_OBJECT_CLASS(klass), kPropArea,
      g_param_spec_string(
          "area", "area", "File of a bellsink", nullptr,
          static_cast<GParamFlags>(G_PARAM_WRITABLE | G_PARAM_STATIC_STRINGS)));
  GST_BASE_SRC_CLASS(klass)->start = src_start;
  GST_PUSH_SRC_CLASS(klass)->create = src_create;
}
void bell_src_init(BellSrc* self) {
  gst_base_src_set_live(GST_BASE_SRC(self), TRUE);
  gst_base_src_set_format(GST_BASE_SRC(self), GST_FORMAT_TIME);
}

}  // namespace

namespace bench {

void register_bell_elements() {
  gst_element_register(nullptr, "bellsink", GST_RANK_NONE, bell_sink_get_type());
  gst_element_register(nullptr, "bellsrc", GST_RANK_NONE, bell_src_get_type());
}

}  // namespace bench
