// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possumsink: a GstBaseSink whose frames any number of other processes may look at.
#pragma once

#include <gst/base/gstbasesink.h>
#include <gst/gst.h>

G_BEGIN_DECLS
#define GST_TYPE_POSSUM_SINK (gst_possum_sink_get_type())
G_DECLARE_FINAL_TYPE(GstPossumSink, gst_possum_sink, GST, POSSUM_SINK, GstBaseSink)
GST_ELEMENT_REGISTER_DECLARE(possumsink)
G_END_DECLS
