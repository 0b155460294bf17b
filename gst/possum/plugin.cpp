// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Registration of the plugin's features, and nothing else.
#include <gst/gst.h>

GST_DEVICE_PROVIDER_REGISTER_DECLARE(possumdeviceprovider)
GST_ELEMENT_REGISTER_DECLARE(possumsink)
GST_ELEMENT_REGISTER_DECLARE(possumsrc)

static gboolean plugin_init(GstPlugin* plugin) {
  gboolean all = GST_ELEMENT_REGISTER(possumsink, plugin);
  all &= GST_ELEMENT_REGISTER(possumsrc, plugin);
  all &= GST_DEVICE_PROVIDER_REGISTER(possumdeviceprovider, plugin);
  return all;
}

GST_PLUGIN_DEFINE(GST_VERSION_MAJOR, GST_VERSION_MINOR, possum,
                  "Raw video between processes through shared memory", plugin_init,
                  PACKAGE_VERSION, "LGPL", PACKAGE, "the possum authors")
