// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possumsrc: the reading end of a channel as a GStreamer source.
#pragma once

#include <gst/base/gstpushsrc.h>

G_BEGIN_DECLS

#define GST_TYPE_POSSUM_SRC (gst_possum_src_get_type())
G_DECLARE_FINAL_TYPE(GstPossumSrc, gst_possum_src, GST, POSSUM_SRC, GstPushSrc)

GST_ELEMENT_REGISTER_DECLARE(possumsrc)

G_END_DECLS
