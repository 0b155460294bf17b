// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Whatever tells the application something, and in each such call everything that an
// application may do there: it returns, nothing hangs, nothing is used that is gone.
#include <sys/mount.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/mount_namespace.h"
#include "support/suite.h"

namespace {

constexpr char kSource[] =
    "videotestsrc is-live=true ! video/x-raw,format=I420,width=64,height=64,framerate="
    "100/1 ! possumsink name=e channel=";

// Which thread calls.
enum class Thread {
  own,        // the element's, which carries no frames
  streaming,  // GStreamer has no thread shut down what it runs in
  caller,     // the one that changes the state
};

// A call to the application, the first of its kind, and what is done in it. GObject calls
// again after it if the property changed in it.
class Call {
 public:
  explicit Call(std::function<void()> act) : act_(std::move(act)) {}
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  void on_signal(gpointer object, const char* name) {
    g_signal_connect_swapped(
        object, name, G_CALLBACK(+[](Call* self) { self->called(nullptr); }), this);
  }
  // Of this type, from the element that is named so, if any is.
  void on_message(GstBus* bus, GstMessageType type, const char* source = nullptr) {
    type_ = type;
    source_ = source;
    gst_bus_set_sync_handler(
        bus,
        +[](GstBus*, GstMessage* message, gpointer call) {
          static_cast<Call*>(call)->called(message);
          gst_message_unref(message);
          return GST_BUS_DROP;
        },
        this, nullptr);
  }
  void may_act() { ready_.set(); }
  // Nothing else in this test uses what calls from here on.
  void let_act() {
    ready_.set();
    acted_.wait("the end of the call");
  }

 private:
  void called(GstMessage* message) {
    if (message != nullptr &&
        (GST_MESSAGE_TYPE(message) != type_ ||
         (source_ != nullptr &&
          std::string_view(GST_MESSAGE_SRC_NAME(message)) != source_))) {
      return;
    }
    if (called_.exchange(true)) return;
    ready_.wait("the end of what brings the call about");
    act_();
    acted_.set();
  }

  const std::function<void()> act_;
  GstMessageType type_ = GST_MESSAGE_UNKNOWN;
  const char* source_ = nullptr;
  std::atomic<bool> called_{false};
  Event ready_;
  Event acted_;
};

// A pipeline with an element of ours, named "e", which will call.
struct Scene {
  explicit Scene(void (*act)(Scene&)) : call([this, act] { act(*this); }) {}

  void launch(const std::string& description) {
    pipeline_.emplace(description);
    element_ = pipeline_->element("e");
  }
  // Until it plays: GStreamer's EOS waits for a pipeline that prerolls, which waits for
  // it.
  void play() const {
    pipeline_->set_state(GST_STATE_PLAYING);
    gst_element_get_state(pipeline(), nullptr, nullptr, patience_ns());
  }
  GstElement* pipeline() const { return pipeline_->get(); }
  GstElement* element() const { return element_.get(); }
  void stop() const { pipeline_->stop(); }
  void drop() {
    element_.reset();
    pipeline_.reset();
  }
  void on_signal(const char* name) { call.on_signal(element(), name); }
  void on_message(GstMessageType type) { call.on_message(pipeline_->bus(), type, "e"); }
  void add_other(const std::string& description) {
    others.push_back(std::make_unique<Pipeline>(description));
    others.back()->set_state(GST_STATE_PLAYING);
  }
  void add_reader() { add_other("possumsrc channel=" + channel + " ! fakesink"); }
  void add_writer() { add_other(kSource + channel); }

  const std::string channel = unique_channel();
  Call call;
  std::vector<std::unique_ptr<Pipeline>> others;
  std::function<void()> clean_up = [] {};

 private:
  std::optional<Pipeline> pipeline_;
  Ref<GstElement> element_;
};

// --- what calls ----------------------------------------------------------------------

struct Occasion {
  const char* name;
  Thread thread;
  void (*bring_about)(Scene&);
};

void attach(Scene& scene, const char* signal) {
  scene.launch(kSource + scene.channel);
  scene.on_signal(signal);
  scene.play();
  scene.add_reader();
}

void reader_attached(Scene& scene) { attach(scene, "reader-attached"); }
void readers_notified(Scene& scene) { attach(scene, "notify::num-readers"); }

void reader_detached(Scene& scene) {
  scene.launch(kSource + scene.channel);
  scene.on_signal("reader-detached");
  scene.play();
  const SignalCount notices(scene.element(), "reader-attached");
  scene.add_reader();
  await([&] { return notices.count() > 0; }, "the reader");
  scene.others.back()->stop();
}

void readers_notified_at_the_end(Scene& scene) {
  scene.launch(kSource + scene.channel);
  scene.play();
  scene.add_reader();
  wait_readers(scene.element(), 1);
  scene.on_signal("notify::num-readers");
  scene.call.may_act();
  gst_element_set_state(scene.pipeline(), GST_STATE_READY);
}

void reader_demoted(Scene& scene) {
  scene.launch(kSource + scene.channel +
               " allow-blocking=true max-blocking-time=10000000");
  scene.on_message(GST_MESSAGE_WARNING);
  scene.play();
  // Downstream never takes the first frame.
  scene.others.push_back(std::make_unique<Pipeline>(
      "possumsrc leaky-type=none max-buffers=1 channel=" + scene.channel +
      " ! fakesink name=sink"));
  add_probe(scene.others.back()->element("sink").get(), "sink",
            GST_PAD_PROBE_TYPE_BLOCK | GST_PAD_PROBE_TYPE_BUFFER,
            [](GstPad*, GstPadProbeInfo*) { return GST_PAD_PROBE_OK; });
  scene.others.back()->set_state(GST_STATE_PLAYING);
}

// A /dev/shm of one's own, with room for the first slots and not for many more.
bool small_shm() {
  return support::leave_mount_namespace() &&
         mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=900k") == 0;
}

// While a reader holds what it gets.
void pool_limited(Scene& scene) {
  scene.clean_up = [] { umount2("/dev/shm", MNT_DETACH); };
  scene.launch(
      "videotestsrc is-live=true ! "
      "video/x-raw,format=GRAY8,width=320,height=320,framerate=100/1 ! "
      "possumsink name=e channel=" +
      scene.channel);
  scene.on_message(GST_MESSAGE_WARNING);
  scene.play();
  scene.add_other(
      "possumsrc max-buffers=16 channel=" + scene.channel +
      " ! queue min-threshold-buffers=16 max-size-buffers=32 ! fakesink sync=false");
}

// Something that is no channel lies in the place of its name.
void channel_lost(Scene& scene) {
  // So slow that the streaming thread does not find out.
  scene.launch(
      "videotestsrc is-live=true ! "
      "video/x-raw,format=I420,width=64,height=64,framerate=1/100 ! "
      "possumsink name=e channel=" +
      scene.channel);
  scene.on_message(GST_MESSAGE_ERROR);
  scene.play();
  const std::string name = "/dev/shm/possum-c." + scene.channel;
  const std::string aside = "/dev/shm/aside-" + scene.channel;
  std::filesystem::create_directory(aside);
  std::filesystem::remove(name);
  std::filesystem::rename(aside, name);
  scene.clean_up = [name] { std::filesystem::remove(name); };
}

void no_channel_yet(Scene& scene) {
  scene.launch("possumsrc name=e channel=" + scene.channel + " ! fakesink async=false");
  scene.on_message(GST_MESSAGE_PROGRESS);
  scene.play();
}

void writer_gone(Scene& scene) {
  scene.add_writer();
  scene.launch("possumsrc name=e on-disconnect=error channel=" + scene.channel +
               " ! fakesink async=false");
  scene.on_message(GST_MESSAGE_ERROR);
  scene.play();
  // Before it has a frame, it may take the channel for one that it never attached to.
  await([&] { return elements::stat(scene.element(), "frames") > 0; }, "a frame");
  scene.others.back()->stop();
}

void latency_told(Scene& scene) {
  scene.add_writer();
  scene.launch("possumsrc name=e channel=" + scene.channel + " ! fakesink async=false");
  scene.on_message(GST_MESSAGE_LATENCY);
  scene.play();
}

constexpr Occasion kOccasions[] = {
    {"reader-attached", Thread::own, reader_attached},
    {"reader-detached", Thread::own, reader_detached},
    {"notify::num-readers", Thread::own, readers_notified},
    {"notify::num-readers at the end", Thread::caller, readers_notified_at_the_end},
    {"a reader is demoted", Thread::own, reader_demoted},
    {"the pool is limited", Thread::own, pool_limited},
    {"the channel is lost", Thread::own, channel_lost},
    {"no channel yet", Thread::streaming, no_channel_yet},
    {"the writer is gone", Thread::streaming, writer_gone},
    {"the latency", Thread::streaming, latency_told},
};

// --- what is done --------------------------------------------------------------------

// GStreamer lets no streaming thread stop what it runs in, and nothing be started from
// within the change of state that stops it.
enum class Does {
  nothing,
  stops,
  starts,
  stops_starts,
  stops_for_all,  // another thread, or for ever
};
struct Act {
  const char* name;
  Does does;
  void (*act)(Scene&);
};

template <GstState state>
void element_to(Scene& scene) {
  gst_element_set_state(scene.element(), state);
}
template <GstState state>
void pipeline_to(Scene& scene) {
  gst_element_set_state(scene.pipeline(), state);
}

void restart(Scene& scene) {
  scene.stop();
  gst_element_set_state(scene.pipeline(), GST_STATE_PLAYING);
}

void restart_element(Scene& scene) {
  gst_element_set_state(scene.element(), GST_STATE_READY);
  gst_element_sync_state_with_parent(scene.element());
}

void drop_everything(Scene& scene) { scene.drop(); }

// While another thread stops the pipeline, and needs the caller for that.
void wait_for_one_who_stops(Scene& scene) {
  Task other([&] { scene.stop(); });
  other.join();
}

void flush(Scene& scene) {
  gst_element_seek_simple(scene.pipeline(), GST_FORMAT_TIME, GST_SEEK_FLAG_FLUSH, 0);
}

void end_of_stream(Scene& scene) {
  gst_element_send_event(scene.pipeline(), gst_event_new_eos());
}

void properties_read_and_written(Scene& scene) {
  guint count = 0;
  auto* const klass = G_OBJECT_GET_CLASS(scene.element());
  const std::unique_ptr<GParamSpec*, void (*)(gpointer)> specs{
      g_object_class_list_properties(klass, &count), g_free};
  for (guint i = 0; i < count; ++i) {
    const GParamSpec* const spec = specs.get()[i];
    GValue value = G_VALUE_INIT;
    g_object_get_property(G_OBJECT(scene.element()), spec->name, &value);
    if ((spec->flags & G_PARAM_WRITABLE) != 0 && spec->owner_type != GST_TYPE_OBJECT) {
      g_object_set_property(G_OBJECT(scene.element()), spec->name, &value);
    }
    g_value_unset(&value);
  }
}

void queries(Scene& scene) {
  const Ref<GstQuery> latency{gst_query_new_latency()};
  gst_element_query(scene.pipeline(), latency.get());
  gint64 position = 0;
  gst_element_query_position(scene.element(), GST_FORMAT_TIME, &position);
  gst_bin_recalculate_latency(GST_BIN(scene.pipeline()));
}

constexpr Act kActs[] = {
    {"element to NULL", Does::stops, element_to<GST_STATE_NULL>},
    {"element to READY", Does::stops, element_to<GST_STATE_READY>},
    {"element to PAUSED", Does::starts, element_to<GST_STATE_PAUSED>},
    {"element to PLAYING", Does::starts, element_to<GST_STATE_PLAYING>},
    {"element restarted", Does::stops_starts, restart_element},
    {"pipeline to NULL", Does::stops, pipeline_to<GST_STATE_NULL>},
    {"pipeline to READY", Does::stops, pipeline_to<GST_STATE_READY>},
    {"pipeline to PAUSED", Does::starts, pipeline_to<GST_STATE_PAUSED>},
    {"pipeline to PLAYING", Does::starts, pipeline_to<GST_STATE_PLAYING>},
    {"pipeline restarted", Does::stops_starts, restart},
    {"pipeline freed", Does::stops_for_all, drop_everything},
    {"waits for one who stops", Does::stops_for_all, wait_for_one_who_stops},
    {"flushed", Does::nothing, flush},
    {"EOS", Does::nothing, end_of_stream},
    {"properties", Does::nothing, properties_read_and_written},
    {"queries", Does::nothing, queries},
};

bool permitted(Does does, Thread thread) {
  switch (thread) {
    case Thread::streaming:
      return does == Does::nothing || does == Does::starts;
    case Thread::caller:
      return does == Does::nothing || does == Does::stops;
    case Thread::own:
      break;
  }
  return true;
}

TESTS(anything_may_be_called_in_any_call_to_the_application,
      std::size(kOccasions) * std::size(kActs)) {
  const Occasion& occasion = kOccasions[i / std::size(kActs)];
  const Act& act = kActs[i % std::size(kActs)];
  if (!permitted(act.does, occasion.thread)) return;
  g_print("%s: %s\n", occasion.name, act.name);
  if (occasion.bring_about == pool_limited && !small_shm()) {
    g_print("SKIPPED pool_limited: no mounts of one's own here\n");
    return;
  }
  const std::size_t descriptors = open_descriptors().size();
  std::function<void()> clean_up;
  {
    Scene scene(act.act);
    occasion.bring_about(scene);
    scene.call.let_act();
    scene.others.clear();
    scene.drop();
    clean_up = scene.clean_up;
  }
  // A thread that has freed its owner may take a moment more.
  await(
      [&] {
        return channel_mappings().empty() && open_descriptors().size() == descriptors;
      },
      "the end of a thread");
  clean_up();
}

// --- devices -------------------------------------------------------------------------

bool watches_names() {
  const auto open = open_descriptors();
  return std::any_of(open.begin(), open.end(),
                     [](const std::string& each) { return each.ends_with("inotify"); });
}

// Device providers live, with what they have open, from their first use on. A thread that
// was stopped by what it called ends by itself, and its watch, last of all, with it.
struct ProvidersStay {
  ~ProvidersStay() {
    await([] { return !watches_names(); }, "the end of a provider's thread");
    count_leftovers();
  }
};

Ref<GstObject> new_monitor() {
  Ref<GstObject> monitor{GST_OBJECT_CAST(gst_device_monitor_new())};
  gst_device_monitor_add_filter(GST_DEVICE_MONITOR(monitor.get()), "Video/Source",
                                nullptr);
  return monitor;
}

// A provider and a monitor, and a channel that makes one of them call.
struct DeviceScene {
  explicit DeviceScene(void (*act)(DeviceScene&)) : call([this, act] { act(*this); }) {
    require(provider_ != nullptr, "no possumdeviceprovider");
  }
  ~DeviceScene() {
    while (gst_device_provider_is_started(provider())) {
      gst_device_provider_stop(provider());
    }
  }
  GstDeviceProvider* provider() const { return GST_DEVICE_PROVIDER(provider_.get()); }
  GstDeviceMonitor* monitor() const { return GST_DEVICE_MONITOR(monitor_.get()); }
  void on_message(GstMessageType type) {
    call.on_message(Ref<GstBus>{gst_device_provider_get_bus(provider())}.get(), type);
  }
  // Of the own channel: tests beside this one have some as well.
  Ref<GstObject> device() const {
    GList* const devices = gst_device_provider_get_devices(provider());
    Ref<GstObject> own;
    for (const GList* each = devices; each != nullptr; each = each->next) {
      auto* const device = GST_DEVICE(each->data);
      const Ref<gchar> name{gst_device_get_display_name(device)};
      if (!g_str_has_prefix(name.get(), channel_prefix().c_str())) continue;
      own.reset(GST_OBJECT(gst_object_ref(device)));
    }
    g_list_free_full(devices, gst_object_unref);
    require(own != nullptr, "no device of the own channel");
    return own;
  }

  Call call;

 private:
  const Ref<GstObject> provider_{
      GST_OBJECT(gst_device_provider_factory_get_by_name("possumdeviceprovider"))};
  const Ref<GstObject> monitor_ = new_monitor();

 public:
  Producer producer;
};

struct DeviceOccasion {
  const char* name;
  void (*bring_about)(DeviceScene&);
};

void start_provider(const DeviceScene& scene) {
  require(gst_device_provider_start(scene.provider()), "the provider does not start");
}

constexpr DeviceOccasion kDeviceOccasions[] = {
    {"a device that was there",
     [](DeviceScene& scene) {
       scene.producer.start().push(1);
       scene.on_message(GST_MESSAGE_DEVICE_ADDED);
       start_provider(scene);
     }},
    {"a device that comes",
     [](DeviceScene& scene) {
       scene.on_message(GST_MESSAGE_DEVICE_ADDED);
       start_provider(scene);
       scene.producer.start().push(1);
     }},
    {"a device that changes",
     [](DeviceScene& scene) {
       scene.producer.start();
       scene.on_message(GST_MESSAGE_DEVICE_CHANGED);
       start_provider(scene);
       scene.producer.push(1);
     }},
    {"a device that goes",
     [](DeviceScene& scene) {
       scene.producer.start().push(1);
       scene.on_message(GST_MESSAGE_DEVICE_REMOVED);
       start_provider(scene);
       scene.producer.stop();
     }},
    {"removed",
     [](DeviceScene& scene) {
       scene.producer.start().push(1);
       start_provider(scene);
       scene.call.on_signal(scene.device().get(), "removed");
       scene.producer.stop();
     }},
};

struct DeviceAct {
  const char* name;
  void (*act)(DeviceScene&);
};

void stop_provider(DeviceScene& scene) { gst_device_provider_stop(scene.provider()); }

constexpr DeviceAct kDeviceActs[] = {
    {"stop", stop_provider},
    {"start and stop",
     [](DeviceScene& scene) {
       start_provider(scene);
       stop_provider(scene);
     }},
    {"stop and start",
     [](DeviceScene& scene) {
       stop_provider(scene);
       start_provider(scene);
     }},
    {"a monitor's start and stop",
     [](DeviceScene& scene) {
       gst_device_monitor_start(scene.monitor());
       gst_device_monitor_stop(scene.monitor());
     }},
    {"wait for one who stops",
     [](DeviceScene& scene) { Task([&] { stop_provider(scene); }).join(); }},
    {"list",
     [](DeviceScene& scene) {
       g_list_free_full(gst_device_provider_get_devices(scene.provider()),
                        gst_object_unref);
     }},
    {"end of the channel", [](DeviceScene& scene) { scene.producer.stop(); }},
};

TESTS(anything_may_be_called_when_devices_come_and_go,
      std::size(kDeviceOccasions) * std::size(kDeviceActs)) {
  const DeviceOccasion& occasion = kDeviceOccasions[i / std::size(kDeviceActs)];
  const DeviceAct& act = kDeviceActs[i % std::size(kDeviceActs)];
  g_print("%s: %s\n", occasion.name, act.name);
  const ProvidersStay stay;
  DeviceScene scene(act.act);
  occasion.bring_about(scene);
  scene.call.let_act();
}

// By a monitor, as most applications have it. What the provider's thread still uses when
// it has stopped its monitor stays.
TESTS(a_monitor_may_be_stopped_and_started_by_what_it_says, 2) {
  const ProvidersStay stay;
  Producer producer;
  static const Ref<GstObject> object = new_monitor();
  static auto* const monitor = GST_DEVICE_MONITOR(object.get());
  const bool again = i == 1;
  static Call* const call = new Call([again] {
    gst_device_monitor_stop(monitor);
    if (again) gst_device_monitor_start(monitor);
  });
  const Ref<GstBus> bus{gst_device_monitor_get_bus(monitor)};
  call->on_message(bus.get(), GST_MESSAGE_DEVICE_ADDED);
  fail_unless(gst_device_monitor_start(monitor));
  producer.start().push(1);
  call->let_act();
  Call removed([] {});
  removed.on_message(bus.get(), GST_MESSAGE_DEVICE_REMOVED);
  producer.stop();
  if (again) {
    removed.let_act();
    gst_device_monitor_stop(monitor);
  }
  await([] { return channel_mappings().empty(); }, "the end of the provider's thread");
}

}  // namespace
