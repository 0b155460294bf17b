// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A GStreamer source element for a PictureSource. GstPushSrc asks the element after it
// for a buffer pool and hands out its buffers, so the pictures are drawn where they are
// wanted.
#pragma once

#include <gst/gst.h>

#include "picture_source.h"

// Transfer floating. `source` is borrowed and must outlive the element.
GstElement* make_picture_src(PictureSource& source);
