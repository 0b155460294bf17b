// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// GstPossumShells: GstBufferPool without its queue, whose wake-up costs a system call.
#include "gstpossumshells.h"

#include <algorithm>

#include "refs.h"
#include "shelf.h"

using BufferShelf = possum::Shelf<GstBuffer>;

struct GstPossumShellsPrivate {
  BufferShelf* shelf;
};

G_DEFINE_TYPE_WITH_PRIVATE(GstPossumShells, gst_possum_shells, GST_TYPE_BUFFER_POOL)

static BufferShelf& shelf_of(gpointer pool) {
  auto* const self = static_cast<GstPossumShells*>(pool);
  return *static_cast<GstPossumShellsPrivate*>(
              gst_possum_shells_get_instance_private(self))
              ->shelf;
}

static gboolean gst_possum_shells_start(GstBufferPool*) { return TRUE; }

static gboolean gst_possum_shells_stop(GstBufferPool*) { return TRUE; }

static GstFlowReturn gst_possum_shells_acquire_buffer(GstBufferPool* pool,
                                                      GstBuffer** result,
                                                      GstBufferPoolAcquireParams*) {
  if (GST_BUFFER_POOL_IS_FLUSHING(pool)) return GST_FLOW_FLUSHING;
  *result = shelf_of(pool).take();
  if (*result == nullptr) *result = gst_buffer_new();
  return GST_FLOW_OK;
}

static gboolean keep_pooled(GstBuffer*, GstMeta** meta, gpointer) {
  if (GST_META_FLAG_IS_SET(*meta, GST_META_FLAG_POOLED)) return TRUE;
  (*meta)->flags = GST_META_FLAG_NONE;  // no longer locked
  *meta = nullptr;
  return TRUE;
}

// The memory first: perhaps somebody waits for its slot.
static void gst_possum_shells_reset_buffer(GstBufferPool*, GstBuffer* buffer) {
  gst_buffer_remove_all_memory(buffer);
  gst_buffer_foreach_meta(buffer, keep_pooled, nullptr);
  GST_BUFFER_FLAGS(buffer) = 0;
  GST_BUFFER_PTS(buffer) = GST_CLOCK_TIME_NONE;
  GST_BUFFER_DTS(buffer) = GST_CLOCK_TIME_NONE;
  GST_BUFFER_DURATION(buffer) = GST_CLOCK_TIME_NONE;
  GST_BUFFER_OFFSET(buffer) = GST_BUFFER_OFFSET_NONE;
  GST_BUFFER_OFFSET_END(buffer) = GST_BUFFER_OFFSET_NONE;
}

// GStreamer keeps weak references, qdata and parents behind this pointer, and only the
// end of the buffer ends them.
static bool has_attachments(const GstBuffer* buffer) {
  return buffer->mini_object.priv_pointer != nullptr;
}

static void gst_possum_shells_release_buffer(GstBufferPool* pool, GstBuffer* buffer) {
  if (has_attachments(buffer) || !shelf_of(pool).put(buffer)) gst_buffer_unref(buffer);
}

static void gst_possum_shells_finalize(GObject* object) {
  BufferShelf* const shelf = &shelf_of(object);
  while (GstBuffer* const shell = shelf->take()) gst_buffer_unref(shell);
  delete shelf;
  G_OBJECT_CLASS(gst_possum_shells_parent_class)->finalize(object);
}

static void gst_possum_shells_class_init(GstPossumShellsClass* klass) {
  G_OBJECT_CLASS(klass)->finalize = gst_possum_shells_finalize;
  auto* const pool_class = GST_BUFFER_POOL_CLASS(klass);
  pool_class->start = gst_possum_shells_start;
  pool_class->stop = gst_possum_shells_stop;
  pool_class->acquire_buffer = gst_possum_shells_acquire_buffer;
  pool_class->reset_buffer = gst_possum_shells_reset_buffer;
  pool_class->release_buffer = gst_possum_shells_release_buffer;
}

static void gst_possum_shells_init(GstPossumShells* self) {
  auto* const priv =
      static_cast<GstPossumShellsPrivate*>(gst_possum_shells_get_instance_private(self));
  priv->shelf = new BufferShelf;
}

GstBufferPool* gst_possum_shells_new() {
  auto* const pool = static_cast<GstBufferPool*>(
      gst_object_ref_sink(g_object_new(GST_TYPE_POSSUM_SHELLS, nullptr)));
  GstStructure* const config = gst_buffer_pool_get_config(pool);
  gst_buffer_pool_config_set_params(config, nullptr, 0, 0, 0);
  gst_buffer_pool_set_config(pool, config);
  gst_buffer_pool_set_active(pool, TRUE);
  return pool;
}

// What GStreamer makes: its own map functions, no alignment.
static GstVideoMeta make_fresh_meta() {
  const possum::Ref<GstBuffer> buffer{gst_buffer_new()};
  GstVideoMeta fresh = *gst_buffer_add_video_meta(buffer.get(), GST_VIDEO_FRAME_FLAG_NONE,
                                                  GST_VIDEO_FORMAT_GRAY8, 4, 4);
  std::fill(std::begin(fresh.offset), std::end(fresh.offset), 0);
  std::fill(std::begin(fresh.stride), std::end(fresh.stride), 0);
  return fresh;
}

GstVideoMeta* gst_possum_shells_video_meta(GstBuffer* shell, GstVideoFrameFlags flags,
                                           GstVideoFormat format, guint width,
                                           guint height, guint n_planes,
                                           const gsize* offsets, const gint* strides) {
  static const GstVideoMeta fresh = make_fresh_meta();
  GstVideoMeta* meta = gst_buffer_get_video_meta(shell);
  if (meta == nullptr) {
    meta =
        gst_buffer_add_video_meta(shell, flags, fresh.format, fresh.width, fresh.height);
  }
  *meta = fresh;
  meta->meta.flags = GST_META_FLAG_POOLED;
  meta->buffer = shell;
  meta->flags = flags;
  meta->format = format;
  meta->width = width;
  meta->height = height;
  meta->n_planes = n_planes;
  std::copy_n(offsets, n_planes, meta->offset);
  std::copy_n(strides, n_planes, meta->stride);
  return meta;
}

void gst_possum_shells_no_video_meta(GstBuffer* shell) {
  GstVideoMeta* const meta = gst_buffer_get_video_meta(shell);
  if (meta != nullptr) gst_buffer_remove_meta(shell, &meta->meta);
}
