// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The enumerations among possumsrc's properties, as C++ and as GTypes.
#pragma once

#include <gst/gst.h>

namespace possum {

enum class Leaky { none, upstream, downstream };
enum class OnDisconnect { wait, eos, error };
enum class TimestampMode { clock, running_time };

}  // namespace possum

G_BEGIN_DECLS

#define GST_TYPE_POSSUM_SRC_LEAKY_TYPE (gst_possum_src_leaky_type_get_type())
GType gst_possum_src_leaky_type_get_type(void);

#define GST_TYPE_POSSUM_SRC_ON_DISCONNECT (gst_possum_src_on_disconnect_get_type())
GType gst_possum_src_on_disconnect_get_type(void);

#define GST_TYPE_POSSUM_SRC_TIMESTAMP_MODE (gst_possum_src_timestamp_mode_get_type())
GType gst_possum_src_timestamp_mode_get_type(void);

G_END_DECLS
