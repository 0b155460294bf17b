// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The pool that possumsink offers upstream: each buffer it hands out lies in a slot of
// the channel, so that a frame drawn into it needs no copy. It keeps no idle slot: a
// slot goes home to the writer as soon as its buffer comes back. It never waits; when no
// slot can be lent it hands out ordinary memory of the same layout.
#pragma once

#include <gst/video/video.h>

#include <memory>

#include "transport/writer.h"

G_BEGIN_DECLS
#define GST_TYPE_POSSUM_POOL (gst_possum_pool_get_type())
G_DECLARE_FINAL_TYPE(GstPossumPool, gst_possum_pool, GST, POSSUM_POOL, GstBufferPool)
G_END_DECLS

// Keeps a share in the writer until the pool is gone. transfer full
GstBufferPool* gst_possum_pool_new(std::shared_ptr<possum::transport::Writer> writer);
