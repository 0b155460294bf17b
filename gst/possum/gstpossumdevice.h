// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A channel that somebody writes to, as a GstDevice of class Video/Source. It is a
// picture of one moment and never changes; the provider replaces it.
#pragma once

#include <gst/gst.h>

#include <cstdint>
#include <string>

#include "inspect/observer.h"

G_BEGIN_DECLS

#define GST_TYPE_POSSUM_DEVICE (gst_possum_device_get_type())
G_DECLARE_FINAL_TYPE(GstPossumDevice, gst_possum_device, GST, POSSUM_DEVICE, GstDevice)

G_END_DECLS

namespace possum {

// What a device says; another one, another device.
struct DeviceInfo {
  std::string channel;
  std::uint64_t incarnation = 0;
  std::uint32_t pid = 0;
  std::string command;
  uid_t owner = 0;
  bool allows_blocking = false;
  std::string caps;  // of the newest frame; empty: none seen yet, or of another user

  static DeviceInfo of(const inspect::ObservedChannel& seen);
  bool operator==(const DeviceInfo&) const = default;
};

// Transfer floating.
GstDevice* new_device(const DeviceInfo& info);

}  // namespace possum
