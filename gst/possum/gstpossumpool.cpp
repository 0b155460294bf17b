// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header. Options and layout are as in GstVideoBufferPool. A GstBuffer is made
// for each frame: that costs no more than a queue of idle ones does, and a buffer that
// ends with its frame has nothing to be cleaned of.
#include "gstpossumpool.h"

#include <algorithm>
#include <utility>

#include "refs.h"
#include "slotmemory.h"

GST_DEBUG_CATEGORY_STATIC(gst_possum_pool_debug);
#define GST_CAT_DEFAULT gst_possum_pool_debug

using possum::Ref;

namespace {

// One frame that a reader shows and one that waits for it.
constexpr guint kReaderSlots = 2;
// SIMD code upstream likes whole cache lines.
constexpr gsize kMemoryAlign = 63;

struct PoolImpl {
  std::shared_ptr<possum::transport::Writer> writer;  // constant
  // Set in set_config, while the pool is inactive; constant while it is active.
  GstVideoInfo info;
  GstVideoAlignment align;
  GstAllocationParams params;
  bool video_meta = false;
  bool aligned = false;
};

}  // namespace

struct _GstPossumPool {
  GstBufferPool parent;
  PoolImpl* impl;
};

G_DEFINE_FINAL_TYPE_WITH_CODE(GstPossumPool, gst_possum_pool, GST_TYPE_BUFFER_POOL,
                              GST_DEBUG_CATEGORY_INIT(gst_possum_pool_debug, "possumpool",
                                                      0, "slots lent to upstream"))

static PoolImpl& impl_of(gpointer pool) {
  return *static_cast<GstPossumPool*>(pool)->impl;
}

static const gchar** gst_possum_pool_get_options(GstBufferPool*) {
  static const gchar* options[] = {GST_BUFFER_POOL_OPTION_VIDEO_META,
                                   GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT, nullptr};
  return options;
}

// Applies the alignment that upstream asks for to the layout, and says in the config what
// came out.
static bool apply_alignment(PoolImpl& next, GstStructure* config,
                            GstAllocator* allocator) {
  gst_buffer_pool_config_get_video_alignment(config, &next.align);
  gsize mask = next.params.align;
  for (guint stride_align : next.align.stride_align) mask |= stride_align;
  for (guint& stride_align : next.align.stride_align) {
    stride_align = static_cast<guint>(mask);
  }
  if (!gst_video_info_align(&next.info, &next.align)) return false;
  next.params.align = mask;
  gst_buffer_pool_config_set_video_alignment(config, &next.align);
  gst_buffer_pool_config_set_allocator(config, allocator, &next.params);
  return true;
}

static gboolean gst_possum_pool_set_config(GstBufferPool* pool, GstStructure* config) {
  GstCaps* caps = nullptr;
  guint size = 0;
  guint min = 0;
  guint max = 0;
  GstAllocator* allocator = nullptr;
  PoolImpl next;
  next.writer = impl_of(pool).writer;
  if (!gst_buffer_pool_config_get_params(config, &caps, &size, &min, &max) ||
      caps == nullptr || !gst_video_info_from_caps(&next.info, caps) ||
      !gst_buffer_pool_config_get_allocator(config, &allocator, &next.params)) {
    GST_WARNING_OBJECT(pool, "unusable configuration %" GST_PTR_FORMAT,
                       static_cast<void*>(config));
    return FALSE;
  }
  next.video_meta =
      gst_buffer_pool_config_has_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  // Without a GstVideoMeta nobody could tell where the aligned planes are.
  next.aligned = next.video_meta && gst_buffer_pool_config_has_option(
                                        config, GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
  if (next.aligned && !apply_alignment(next, config, allocator)) {
    GST_WARNING_OBJECT(pool, "impossible alignment in %" GST_PTR_FORMAT,
                       static_cast<void*>(config));
    return FALSE;
  }
  next.info.size = std::max<gsize>(next.info.size, size);
  next.params.align |= kMemoryAlign;
  gst_buffer_pool_config_set_params(config, caps, static_cast<guint>(next.info.size), min,
                                    max);
  if (!GST_BUFFER_POOL_CLASS(gst_possum_pool_parent_class)->set_config(pool, config)) {
    return FALSE;
  }
  impl_of(pool) = std::move(next);
  return TRUE;
}

// Makes slots ready before the first frame, off the critical path. A failure is no error
// yet: the sink says so when it cannot find a slot to copy into either.
static gboolean gst_possum_pool_start(GstBufferPool* pool) {
  PoolImpl& impl = impl_of(pool);
  const Ref<GstStructure> config{gst_buffer_pool_get_config(pool)};
  guint min = 0;
  gst_buffer_pool_config_get_params(config.get(), nullptr, nullptr, &min, nullptr);
  possum::Error error;
  const gsize bytes = impl.params.prefix + impl.info.size + impl.params.padding;
  if (!impl.writer->prepare(min + kReaderSlots, bytes, error)) {
    GST_WARNING_OBJECT(pool, "no slots: %s (%s)", error.message.c_str(),
                       error.detail.c_str());
  }
  return TRUE;
}

static void add_video_meta(PoolImpl& impl, GstBuffer* buffer) {
  GstVideoInfo& info = impl.info;
  GstVideoMeta* const meta = gst_buffer_add_video_meta_full(
      buffer, GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_INFO_FORMAT(&info),
      static_cast<guint>(GST_VIDEO_INFO_WIDTH(&info)),
      static_cast<guint>(GST_VIDEO_INFO_HEIGHT(&info)), GST_VIDEO_INFO_N_PLANES(&info),
      info.offset, info.stride);
  if (impl.aligned) gst_video_meta_set_alignment(meta, impl.align);
  // As GstBufferPool marks the metas of its buffers.
  meta->meta.flags = static_cast<GstMetaFlags>(meta->meta.flags | GST_META_FLAG_POOLED |
                                               GST_META_FLAG_LOCKED);
}

static GstFlowReturn gst_possum_pool_acquire_buffer(GstBufferPool* pool,
                                                    GstBuffer** result,
                                                    GstBufferPoolAcquireParams*) {
  if (GST_BUFFER_POOL_IS_FLUSHING(pool)) return GST_FLOW_FLUSHING;
  PoolImpl& impl = impl_of(pool);
  Ref<GstMemory> memory = possum::lend_memory(impl.writer, impl.info.size, impl.params);
  if (!memory) {
    GST_LOG_OBJECT(pool, "no slot to lend: ordinary memory");
    memory.reset(gst_allocator_alloc(nullptr, impl.info.size, &impl.params));
  }
  if (!memory) return GST_FLOW_ERROR;
  GstBuffer* const buffer = gst_buffer_new();
  gst_buffer_append_memory(buffer, memory.release());
  GST_BUFFER_FLAG_UNSET(buffer, GST_BUFFER_FLAG_TAG_MEMORY);
  if (impl.video_meta) add_video_meta(impl, buffer);
  *result = buffer;
  return GST_FLOW_OK;
}

// The slot goes home with its memory: perhaps somebody waits for it.
static void gst_possum_pool_release_buffer(GstBufferPool*, GstBuffer* buffer) {
  gst_buffer_unref(buffer);
}

static void gst_possum_pool_finalize(GObject* object) {
  delete GST_POSSUM_POOL(object)->impl;
  G_OBJECT_CLASS(gst_possum_pool_parent_class)->finalize(object);
}

static void gst_possum_pool_class_init(GstPossumPoolClass* klass) {
  G_OBJECT_CLASS(klass)->finalize = gst_possum_pool_finalize;
  auto* pool_class = GST_BUFFER_POOL_CLASS(klass);
  pool_class->get_options = gst_possum_pool_get_options;
  pool_class->set_config = gst_possum_pool_set_config;
  pool_class->start = gst_possum_pool_start;
  pool_class->acquire_buffer = gst_possum_pool_acquire_buffer;
  pool_class->reset_buffer = nullptr;  // no buffer serves twice
  pool_class->release_buffer = gst_possum_pool_release_buffer;
}

static void gst_possum_pool_init(GstPossumPool* self) {
  self->impl = new PoolImpl;
  gst_video_info_init(&self->impl->info);
  gst_video_alignment_reset(&self->impl->align);
  gst_allocation_params_init(&self->impl->params);
}

GstBufferPool* gst_possum_pool_new(std::shared_ptr<possum::transport::Writer> writer) {
  auto* pool = static_cast<GstBufferPool*>(
      gst_object_ref_sink(g_object_new(GST_TYPE_POSSUM_POOL, nullptr)));
  impl_of(pool).writer = std::move(writer);
  return pool;
}
