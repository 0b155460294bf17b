// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "gstpossumdevice.h"

#include <gst/video/video.h>

#include "base/users.h"
#include "caps.h"
#include "gstpossumsrc.h"
#include "refs.h"

using possum::DeviceInfo;
using possum::ObjectLock;
using possum::Ref;

struct _GstPossumDevice {
  GstDevice parent;
  gchar* channel;  // constant
};

G_DEFINE_FINAL_TYPE(GstPossumDevice, gst_possum_device, GST_TYPE_DEVICE)

static GstElement* gst_possum_device_create_element(GstDevice* device,
                                                    const gchar* name) {
  GstElement* const element = gst_element_factory_make("possumsrc", name);
  if (element != nullptr) {
    g_object_set(element, "channel", GST_POSSUM_DEVICE(device)->channel, nullptr);
  }
  return element;
}

// A possumsrc that runs stays with its channel.
static gboolean gst_possum_device_reconfigure_element(GstDevice* device,
                                                      GstElement* element) {
  if (!GST_IS_POSSUM_SRC(element)) return FALSE;
  {
    const ObjectLock lock(element);
    if (GST_STATE(element) > GST_STATE_READY ||
        GST_STATE_PENDING(element) > GST_STATE_READY) {
      return FALSE;
    }
  }
  g_object_set(element, "channel", GST_POSSUM_DEVICE(device)->channel, nullptr);
  return TRUE;
}

static void gst_possum_device_finalize(GObject* object) {
  g_free(GST_POSSUM_DEVICE(object)->channel);
  G_OBJECT_CLASS(gst_possum_device_parent_class)->finalize(object);
}

static void gst_possum_device_class_init(GstPossumDeviceClass* klass) {
  G_OBJECT_CLASS(klass)->finalize = gst_possum_device_finalize;
  GST_DEVICE_CLASS(klass)->create_element = gst_possum_device_create_element;
  GST_DEVICE_CLASS(klass)->reconfigure_element = gst_possum_device_reconfigure_element;
}

static void gst_possum_device_init(GstPossumDevice*) {}

namespace possum {
namespace {

// Where none are known, or they make no sense, whatever possumsrc may give.
Ref<GstCaps> caps_of(const DeviceInfo& info) {
  Ref<GstCaps> caps = read_caps(info.caps).caps;
  return caps ? std::move(caps) : raw_video_caps();
}

Ref<GstStructure> properties_of(const DeviceInfo& info) {
  const std::string user = user_text(info.owner);
  const std::string uri =
      "possum://" + info.channel;  // no character of it needs an escape
  return Ref<GstStructure>{gst_structure_new(
      "possum-proplist", "device.api", G_TYPE_STRING, "possum", "channel", G_TYPE_STRING,
      info.channel.c_str(), "uri", G_TYPE_STRING, uri.c_str(), "pid", G_TYPE_UINT,
      static_cast<guint>(info.pid), "command", G_TYPE_STRING, info.command.c_str(),
      "user", G_TYPE_STRING, user.c_str(), "allow-blocking", G_TYPE_BOOLEAN,
      static_cast<gboolean>(info.allows_blocking), "is-live", G_TYPE_BOOLEAN, TRUE,
      nullptr)};
}

}  // namespace

// What other users write is not for GStreamer's parser, whose memory grows with it, nor
// may it make one device after the other.
DeviceInfo DeviceInfo::of(const inspect::ObservedChannel& seen) {
  const bool believed = seen.frame && seen.owner && trusted_owner(*seen.owner);
  return {seen.name,
          seen.incarnation,
          seen.pid,
          seen.writer,
          seen.owner.value_or(0),
          seen.allows_blocking,
          believed ? seen.frame->caps : std::string()};
}

GstDevice* new_device(const DeviceInfo& info) {
  const std::string display_name = info.channel + " (possum)";
  auto* const device = GST_POSSUM_DEVICE(
      g_object_new(GST_TYPE_POSSUM_DEVICE, "display-name", display_name.c_str(),
                   "device-class", "Video/Source", "caps", caps_of(info).get(),
                   "properties", properties_of(info).get(), nullptr));
  device->channel = g_strdup(info.channel.c_str());
  return GST_DEVICE(device);
}

}  // namespace possum
