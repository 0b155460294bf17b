// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A pool of buffers without memory, for whoever has the memory: a slot to fill or a frame
// to show. When the last reference to a buffer goes, its memory goes at once; what stays
// for the next frame is the GstBuffer and its GstVideoMeta. Weak references and qdata end
// with the frame, as with a buffer that is freed.
#pragma once

#include <gst/video/video.h>

G_BEGIN_DECLS
#define GST_TYPE_POSSUM_SHELLS (gst_possum_shells_get_type())
G_DECLARE_DERIVABLE_TYPE(GstPossumShells, gst_possum_shells, GST, POSSUM_SHELLS,
                         GstBufferPool)
struct _GstPossumShellsClass {
  GstBufferPoolClass parent_class;
};
G_END_DECLS

// Active. Buffers may be let go of from any thread and keep the pool. transfer full
GstBufferPool* gst_possum_shells_new();

// The one GstVideoMeta of a buffer from such a pool, as new: nothing of an earlier frame
// is left in it. transfer none
GstVideoMeta* gst_possum_shells_video_meta(GstBuffer* shell, GstVideoFrameFlags flags,
                                           GstVideoFormat format, guint width,
                                           guint height, guint n_planes,
                                           const gsize* offsets, const gint* strides);
// Of a buffer whose frame has none.
void gst_possum_shells_no_video_meta(GstBuffer* shell);
