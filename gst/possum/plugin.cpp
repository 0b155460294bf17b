// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Registration of the plugin's features, and nothing else. An application that links the
// plugin statically does it by GST_PLUGIN_STATIC_DECLARE() and
// GST_PLUGIN_STATIC_REGISTER(), or for one feature by GST_ELEMENT_REGISTER_DECLARE() and
// GST_ELEMENT_REGISTER().

/**
 * plugin-possum:
 *
 * Raw video between processes of one machine through shared memory: #possumsink writes to
 * a channel, any number of #possumsrc read from it, and #possumdeviceprovider lists the
 * channels that there are. Frames are not copied where the writer's upstream draws into
 * the buffers that #possumsink offers it. A writer is never held up by a reader unless it
 * allows that, and neither side's death harms the other.
 *
 * Since: 0.1
 */
#include <gst/gst.h>

#include "gstpossumdeviceprovider.h"
#include "gstpossumsink.h"
#include "gstpossumsrc.h"

static gboolean plugin_init(GstPlugin* plugin) {
  gboolean all = GST_ELEMENT_REGISTER(possumsink, plugin);
  all &= GST_ELEMENT_REGISTER(possumsrc, plugin);
  all &= GST_DEVICE_PROVIDER_REGISTER(possumdeviceprovider, plugin);
  return all;
}

GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, possum,
                  "Raw video between processes through shared memory", plugin_init,
                  PACKAGE_VERSION, "LGPL", PACKAGE, PACKAGE_ORIGIN)
