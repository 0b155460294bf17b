// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum://CHANNEL?PROPERTY=VALUE&... for both elements: players and decoder bins make
// them from it (gst_element_make_from_uri()).
#pragma once

#include <gst/gst.h>

namespace possum {

// For G_IMPLEMENT_INTERFACE(GST_TYPE_URI_HANDLER, ...) of an element with a "channel"
// property.
//
// A URI says everything: setting one sets the channel and the parameters in it, which are
// the properties that the element itself adds, and all others of these go back to their
// defaults. A URI that is refused changes nothing: BAD_URI with a sentence, BAD_STATE
// while the element runs. Of a parameter given twice the last counts.
// The URI that can be asked for at any time is of the same kind: the present channel and
// what is not as by default.
void init_uri_handler(gpointer interface, gpointer data);

}  // namespace possum
