// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possumdeviceprovider: the channels of this machine as GStreamer devices.
#pragma once

#include <gst/gst.h>

G_BEGIN_DECLS

#define GST_TYPE_POSSUM_DEVICE_PROVIDER (gst_possum_device_provider_get_type())
G_DECLARE_FINAL_TYPE(GstPossumDeviceProvider, gst_possum_device_provider, GST,
                     POSSUM_DEVICE_PROVIDER, GstDeviceProvider)

GST_DEVICE_PROVIDER_REGISTER_DECLARE(possumdeviceprovider)

G_END_DECLS
