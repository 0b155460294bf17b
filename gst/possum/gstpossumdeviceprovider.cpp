// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// From channels to what GStreamer calls devices; who watches the channels is
// ChannelMonitor.

/**
 * SECTION:provider-possumdeviceprovider
 * @title: possumdeviceprovider
 * @see_also: possumsrc, possumsink
 *
 * Lists the channels that a process on this machine writes to, and follows them as they
 * come and go. Each is a device of class "Video/Source" from which
 * gst_device_create_element() makes a #possumsrc. Channels are looked at from outside: no
 * writer notices, and no reader's place is taken.
 *
 * A device's caps are those of the newest frame, or all raw video before the first one
 * and where the channel is another user's than this one's or root's. When they change, or
 * another process takes the channel over between two looks, the device is replaced
 * (DEVICE_CHANGED). Its properties:
 *
 * * `device.api`: "possum"
 * * `channel`, `uri`: for possumsrc and for players
 * * `pid`, `command`: of the writer, as it says itself; the pid is that of its namespace
 * * `user`: who owns the channel, such as "1000 (alice)". Unless that is this user or
 * root, possumsrc wants it in its allowed-owner property, which a device does not set:
 * whoever owns a channel decides what is shown.
 * * `allow-blocking`: may a possumsrc have leaky-type=none?
 * * `is-live`: always true
 *
 * Channels that this user may not read, those of writers with another layout, and what
 * dead writers left are not listed. A writer that is killed is noticed at once, in
 * whatever container it was.
 *
 * Messages come from a thread of their own, with no lock held, so that whoever handles
 * them there may stop and start the provider or its monitor. Whoever stops it elsewhere
 * waits for such a handler, but half a second at most.
 *
 * ## Example launch lines
 * In one terminal:
 * |[
 * gst-launch-1.0 videotestsrc ! possumsink
 * ]|
 * In another:
 * |[
 * gst-device-monitor-1.0 Video/Source
 * ]|
 *
 * Since: 0.1
 */
#include "gstpossumdeviceprovider.h"

#include <atomic>
#include <exception>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/users.h"
#include "caps.h"
#include "channelmonitor.h"
#include "element.h"
#include "gstpossumsrc.h"
#include "refs.h"

GST_DEBUG_CATEGORY_STATIC(gst_possum_device_provider_debug);
#define GST_CAT_DEFAULT gst_possum_device_provider_debug

using possum::ChannelInfo;
using possum::ChannelMonitor;
using possum::ObjectLock;
using possum::Ref;

// --- a device ------------------------------------------------------------------------
//
// A channel that somebody writes to. It is a picture of one moment and never changes; the
// provider replaces it.

G_DECLARE_FINAL_TYPE(GstPossumDevice, gst_possum_device, GST, POSSUM_DEVICE, GstDevice)

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
    if (!possum::is_stopped(element)) return FALSE;
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

// Where none are known, or they make no sense, whatever possumsrc may give.
static Ref<GstCaps> caps_of(const ChannelInfo& info) {
  Ref<GstCaps> caps = possum::read_caps(info.caps).caps;
  return caps ? std::move(caps) : possum::raw_video_caps();
}

static Ref<GstStructure> properties_of(const ChannelInfo& info) {
  const std::string user = possum::user_text(info.owner);
  // No character of a channel's name needs an escape.
  const std::string uri = "possum://" + info.channel;
  return Ref<GstStructure>{gst_structure_new(
      "possum-proplist", "device.api", G_TYPE_STRING, "possum", "channel", G_TYPE_STRING,
      info.channel.c_str(), "uri", G_TYPE_STRING, uri.c_str(), "pid", G_TYPE_UINT,
      static_cast<guint>(info.pid), "command", G_TYPE_STRING, info.command.c_str(),
      "user", G_TYPE_STRING, user.c_str(), "allow-blocking", G_TYPE_BOOLEAN,
      static_cast<gboolean>(info.allows_blocking), "is-live", G_TYPE_BOOLEAN, TRUE,
      nullptr)};
}

// transfer floating
static GstDevice* new_device(const ChannelInfo& info) {
  const std::string display_name = info.channel + " (possum)";
  auto* const device = GST_POSSUM_DEVICE(
      g_object_new(gst_possum_device_get_type(), "display-name", display_name.c_str(),
                   "device-class", "Video/Source", "caps", caps_of(info).get(),
                   "properties", properties_of(info).get(), nullptr));
  device->channel = g_strdup(info.channel.c_str());
  return GST_DEVICE(device);
}

// --- the provider --------------------------------------------------------------------

namespace {

// What one start() has made known. The monitor's thread may still be in a handler when
// the provider has stopped, is gone, or has been started again.
struct Listing {
  explicit Listing(GstPossumDeviceProvider* owner) : provider(owner) {}
  possum::WeakRef<GstPossumDeviceProvider> provider;
  std::atomic<bool> over{false};
  std::map<std::string, Ref<GstObject>> devices;  // of the monitor's thread, and start()
};

// GstDeviceProvider lets in start() and stop() one at a time.
struct ProviderImpl {
  std::shared_ptr<Listing> listing;
  std::unique_ptr<ChannelMonitor> monitor;
};

}  // namespace

struct _GstPossumDeviceProvider {
  GstDeviceProvider parent;
  ProviderImpl* impl;
};

G_DEFINE_FINAL_TYPE(GstPossumDeviceProvider, gst_possum_device_provider,
                    GST_TYPE_DEVICE_PROVIDER)
GST_DEVICE_PROVIDER_REGISTER_DEFINE(possumdeviceprovider, "possumdeviceprovider",
                                    GST_RANK_SECONDARY, GST_TYPE_POSSUM_DEVICE_PROVIDER)

// No exception may get into C: std::bad_alloc, or std::system_error of a thread.
template <class Result, class Work>
static Result without_exceptions(gpointer self, Result on_failure, const Work& work) {
  try {
    return work();
  } catch (const std::exception& problem) {
    GST_ERROR_OBJECT(self, "channels cannot be watched: %s", problem.what());
    return on_failure;
  }
}

static GList* gst_possum_device_provider_probe(GstDeviceProvider* provider) {
  return without_exceptions(provider, static_cast<GList*>(nullptr), [] {
    GList* devices = nullptr;
    for (const auto& [name, info] : possum::look_at_channels()) {
      devices = g_list_prepend(devices, new_device(info));
    }
    return g_list_reverse(devices);
  });
}

// GStreamer holds a lock during start() which start() and stop() want: a handler of the
// message would wait for itself. So that comes from the monitor's thread.
static void add_without_message(GstDeviceProvider* provider, GstDevice* device) {
  gst_object_set_parent(GST_OBJECT(device), GST_OBJECT(provider));
  const ObjectLock lock(provider);
  provider->devices = g_list_prepend(provider->devices, device);
}

static void announce(GstDeviceProvider* provider, GstDevice* device) {
  const Ref<GstBus> bus{gst_device_provider_get_bus(provider)};
  gst_bus_post(bus.get(), gst_message_new_device_added(GST_OBJECT(provider), device));
}

static GstDevice* make_device(Listing& listing, const ChannelInfo& info) {
  GstDevice* const device = new_device(info);
  listing.devices[info.channel].reset(
      static_cast<GstObject*>(gst_object_ref_sink(device)));
  return device;
}

static bool is_listed(GstDeviceProvider* provider, GstDevice* device) {
  const ObjectLock lock(provider);
  return g_list_find(provider->devices, device) != nullptr;
}

static void add_device(GstDeviceProvider* provider, Listing& listing,
                       const ChannelInfo& info) {
  const auto known = listing.devices.find(info.channel);
  if (known != listing.devices.end()) {  // since start()
    announce(provider, GST_DEVICE(known->second.get()));
    return;
  }
  GstDevice* const device = make_device(listing, info);
  gst_device_provider_device_add(provider, device);
  // If stop() came in between, it did not see the device. One that came from a handler
  // did, and of a device without a provider nothing may be said.
  if (listing.over && is_listed(provider, device)) {
    gst_device_provider_device_remove(provider, device);
  }
}

// The old device stays whole until the new one is announced.
static void replace_device(GstDeviceProvider* provider, Listing& listing,
                           const ChannelInfo* before, const ChannelInfo* after) {
  const std::string channel = before != nullptr ? before->channel : after->channel;
  GST_INFO_OBJECT(provider, "channel %s: %s", channel.c_str(),
                  after != nullptr ? after->caps.c_str() : "gone");
  if (before == nullptr) {
    add_device(provider, listing, *after);
    return;
  }
  const auto entry = listing.devices.extract(channel);
  auto* const old = GST_DEVICE(entry.mapped().get());
  if (after == nullptr) {
    gst_device_provider_device_remove(provider, old);
  } else {
    gst_device_provider_device_changed(provider, make_device(listing, *after), old);
  }
}

static void start(GstPossumDeviceProvider* self) {
  ProviderImpl& impl = *self->impl;
  auto monitor = std::make_unique<ChannelMonitor>();
  const auto listing = std::make_shared<Listing>(self);
  for (const auto& [name, info] : monitor->channels()) {
    add_without_message(GST_DEVICE_PROVIDER(self), make_device(*listing, info));
  }
  monitor->start([listing](const ChannelInfo* before, const ChannelInfo* after) {
    const Ref<GstObject> provider = listing->provider.get();
    if (!provider) return;
    replace_device(GST_DEVICE_PROVIDER(provider.get()), *listing, before, after);
  });
  impl.listing = listing;
  impl.monitor = std::move(monitor);
}

static gboolean gst_possum_device_provider_start(GstDeviceProvider* provider) {
  auto* const self = GST_POSSUM_DEVICE_PROVIDER(provider);
  const gboolean started = without_exceptions(provider, FALSE, [self] {
    start(self);
    return TRUE;
  });
  if (!started) {
    const ObjectLock lock(provider);
    g_list_free_full(std::exchange(provider->devices, nullptr),
                     reinterpret_cast<GDestroyNotify>(gst_object_unparent));
  }
  return started;
}

static void gst_possum_device_provider_stop(GstDeviceProvider* provider) {
  ProviderImpl* const impl = GST_POSSUM_DEVICE_PROVIDER(provider)->impl;
  if (impl->listing) impl->listing->over = true;
  impl->monitor.reset();
  impl->listing.reset();
}

static void gst_possum_device_provider_dispose(GObject* object) {
  gst_possum_device_provider_stop(GST_DEVICE_PROVIDER(object));
  G_OBJECT_CLASS(gst_possum_device_provider_parent_class)->dispose(object);
}

static void gst_possum_device_provider_finalize(GObject* object) {
  delete GST_POSSUM_DEVICE_PROVIDER(object)->impl;
  G_OBJECT_CLASS(gst_possum_device_provider_parent_class)->finalize(object);
}

static void gst_possum_device_provider_class_init(GstPossumDeviceProviderClass* klass) {
  GST_DEBUG_CATEGORY_INIT(gst_possum_device_provider_debug, "possumdeviceprovider", 0,
                          "possum device provider");
  G_OBJECT_CLASS(klass)->dispose = gst_possum_device_provider_dispose;
  G_OBJECT_CLASS(klass)->finalize = gst_possum_device_provider_finalize;
  auto* const provider_class = GST_DEVICE_PROVIDER_CLASS(klass);
  provider_class->probe = gst_possum_device_provider_probe;
  provider_class->start = gst_possum_device_provider_start;
  provider_class->stop = gst_possum_device_provider_stop;
  gst_device_provider_class_set_static_metadata(
      provider_class, "Possum device provider", "Video/Source",
      "Lists the channels that possumsink writes to, and follows them",
      "the possum authors");
}

static void gst_possum_device_provider_init(GstPossumDeviceProvider* self) {
  self->impl = new ProviderImpl;
}
