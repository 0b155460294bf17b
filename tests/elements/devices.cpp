// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possumdeviceprovider: which channels it lists, how it follows them, what a device says
// and makes, and what lies in /dev/shm that is none.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <list>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/mount_namespace.h"
#include "support/players.h"
#include "support/properties.h"
#include "support/refusals.h"
#include "support/suite.h"
#include "transport/layout.h"

namespace {

constexpr char kOther[] = "video/x-raw,format=GRAY8,width=8,height=4,framerate=0/1";

struct ListFree {
  void operator()(GList* list) const { g_list_free_full(list, gst_object_unref); }
};
using Devices = std::unique_ptr<GList, ListFree>;

Ref<GstObject> find_provider() {
  GstDeviceProvider* provider =
      gst_device_provider_factory_get_by_name("possumdeviceprovider");
  require(provider != nullptr, "no possumdeviceprovider");
  return Ref<GstObject>{GST_OBJECT(provider)};
}

// A device, held.
class Device {
 public:
  Device() = default;
  explicit Device(GstDevice* device) : device_(GST_OBJECT(device)) {}  // transfer full
  explicit operator bool() const { return device_ != nullptr; }
  GstDevice* get() const { return GST_DEVICE(device_.get()); }
  std::string name() const {
    return Ref<gchar>{gst_device_get_display_name(get())}.get();
  }
  Ref<GstCaps> caps() const { return Ref<GstCaps>{gst_device_get_caps(get())}; }
  bool has_caps(const std::string& text) const {
    return gst_caps_is_equal(caps().get(), caps_of(text).get());
  }
  // Of its properties.
  std::string text(const char* name) const {
    const Ref<GstStructure> all{gst_device_get_properties(get())};
    const gchar* found = gst_structure_get_string(all.get(), name);
    return found == nullptr ? "NULL" : found;
  }
  // A number or a boolean.
  guint number(const char* name) const {
    const Ref<GstStructure> all{gst_device_get_properties(get())};
    guint value = 0;
    gboolean flag = FALSE;
    if (gst_structure_get_boolean(all.get(), name, &flag)) return flag ? 1 : 0;
    require(gst_structure_get_uint(all.get(), name, &value), name);
    return value;
  }
  Ref<GstElement> element() const {
    GstElement* made = gst_device_create_element(get(), "made");
    require(made != nullptr, "the device makes no element");
    return Ref<GstElement>{static_cast<GstElement*>(gst_object_ref_sink(made))};
  }

 private:
  Ref<GstObject> device_;
};

Device find(const Devices& devices, const std::string& channel) {
  for (const GList* entry = devices.get(); entry != nullptr; entry = entry->next) {
    Device device{GST_DEVICE(gst_object_ref(entry->data))};
    if (device.text("channel") == channel) return device;
  }
  return {};
}

// Only while no Follower is there: what runs answers by what it knows.
Device probe(const std::string& channel) {
  const Ref<GstObject> provider = find_provider();
  const Devices devices{
      gst_device_provider_get_devices(GST_DEVICE_PROVIDER(provider.get()))};
  return find(devices, channel);
}

// A provider that runs; what it says of channels of other tests is passed over.
class Follower {
 public:
  Follower() : provider_(find_provider()), bus_(gst_device_provider_get_bus(get())) {
    require(gst_device_provider_start(get()), "the provider does not start");
  }
  ~Follower() { gst_device_provider_stop(get()); }
  Follower(const Follower&) = delete;
  Follower& operator=(const Follower&) = delete;
  GstDeviceProvider* get() const { return GST_DEVICE_PROVIDER(provider_.get()); }
  GstBus* bus() const { return bus_.get(); }

  Device wait_added(const std::string& channel) const {
    return wait(GST_MESSAGE_DEVICE_ADDED, channel);
  }
  Device wait_removed(const std::string& channel) const {
    return wait(GST_MESSAGE_DEVICE_REMOVED, channel);
  }
  // Until the device that is announced looks so.
  Device wait_changed(const std::string& channel, const std::string& caps) const {
    for (;;) {
      Device device = wait(GST_MESSAGE_DEVICE_CHANGED, channel);
      if (device.has_caps(caps)) return device;
    }
  }
  Device listed(const std::string& channel) const {
    return find(Devices{gst_device_provider_get_devices(get())}, channel);
  }

 private:
  static Device device_of(GstMessage* message) {
    GstDevice* device = nullptr;
    switch (GST_MESSAGE_TYPE(message)) {
      case GST_MESSAGE_DEVICE_ADDED:
        gst_message_parse_device_added(message, &device);
        break;
      case GST_MESSAGE_DEVICE_REMOVED:
        gst_message_parse_device_removed(message, &device);
        break;
      default:
        gst_message_parse_device_changed(message, &device, nullptr);
    }
    return Device{device};
  }
  // An appearance or an end that is not waited for ends the test.
  Device wait(GstMessageType type, const std::string& channel) const {
    for (;;) {
      const Ref<GstMessage> message{gst_bus_timed_pop_filtered(
          bus(), patience_ns(),
          GST_MESSAGE_DEVICE_ADDED | GST_MESSAGE_DEVICE_REMOVED |
              GST_MESSAGE_DEVICE_CHANGED)};
      require(message != nullptr, std::string("never came: ") +
                                      gst_message_type_get_name(type) + " of " + channel);
      Device device = device_of(message.get());
      if (device.text("channel") != channel ||
          (type == GST_MESSAGE_DEVICE_REMOVED &&
           GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_DEVICE_CHANGED)) {
        continue;
      }
      require(GST_MESSAGE_TYPE(message.get()) == type,
              std::string(GST_MESSAGE_TYPE_NAME(message.get())) + " instead of " +
                  gst_message_type_get_name(type));
      return device;
    }
  }
  const Ref<GstObject> provider_;
  const Ref<GstBus> bus_;
};

// What an event tells comes far sooner than the slow look that stands behind it.
class Promptly {
 public:
  ~Promptly() {
    const auto lasted = std::chrono::steady_clock::now() - start_;
    require(lasted < patience() / 5,
            std::to_string(std::chrono::duration<double>(lasted).count()) + " s");
  }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// The caps of a device whose channel has no frame yet.
Ref<GstCaps> any_raw_video() {
  const Ref<GstElement> src = make("possumsrc");
  const Ref<GstPad> pad{gst_element_get_static_pad(src.get(), "src")};
  return Ref<GstCaps>{gst_pad_get_pad_template_caps(pad.get())};
}

std::size_t threads() {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry :
       std::filesystem::directory_iterator("/proc/self/task")) {
    ++count;
  }
  return count;
}

// A control name that leads to anything else; goes with its owner.
class Decoy {
 public:
  explicit Decoy(std::string channel)
      : channel_(std::move(channel)), path_("/dev/shm/possum-c." + channel_) {}
  ~Decoy() {
    if (fd_ >= 0) unlock();
    std::filesystem::remove_all(path_);
  }
  Decoy(const Decoy&) = delete;
  Decoy& operator=(const Decoy&) = delete;
  const std::string& channel() const { return channel_; }
  const std::string& path() const { return path_; }
  void hold(std::string_view bytes) const {
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  // As a writer does.
  void lock() {
    fd_ = open(path_.c_str(), O_RDWR | O_CLOEXEC);
    struct flock owner {};
    owner.l_type = F_WRLCK;
    owner.l_whence = SEEK_SET;
    owner.l_start = possum::transport::layout::kOwnerByte;
    owner.l_len = 1;
    require(fd_ >= 0 && fcntl(fd_, F_OFD_SETLK, &owner) == 0, "no owner lock");
  }
  void unlock() { close(std::exchange(fd_, -1)); }

 private:
  const std::string channel_;
  const std::string path_;
  int fd_ = -1;
};

}  // namespace

TEST(the_provider_says_what_it_is) {
  const Ref<GstObject> found{
      GST_OBJECT_CAST(gst_device_provider_factory_find("possumdeviceprovider"))};
  fail_unless(found != nullptr);
  expect_equal(gst_plugin_feature_get_rank(GST_PLUGIN_FEATURE(found.get())),
               guint{GST_RANK_SECONDARY});
  auto* factory = GST_DEVICE_PROVIDER_FACTORY(found.get());
  fail_unless(gst_device_provider_factory_has_classes(factory, "Video/Source"));
  fail_if(gst_device_provider_factory_has_classes(factory, "Audio/Source"));
  for (const char* key : {GST_ELEMENT_METADATA_LONGNAME, GST_ELEMENT_METADATA_DESCRIPTION,
                          GST_ELEMENT_METADATA_AUTHOR}) {
    const gchar* text = gst_device_provider_factory_get_metadata(factory, key);
    fail_unless(text != nullptr && strlen(text) > 10, "no %s", key);
  }
  fail_unless(
      gst_device_provider_can_monitor(GST_DEVICE_PROVIDER(find_provider().get())));
}

TEST(a_probe_lists_channels_that_are_written_to) {
  const std::string channel = unique_channel();
  Producer producer(channel, "allow-blocking=true");
  fail_if(probe(channel));
  producer.start();
  const Device early = probe(channel);
  fail_unless(early);
  fail_unless(gst_caps_is_equal(early.caps().get(), any_raw_video().get()));
  producer.push(1);
  const Device device = probe(channel);
  fail_unless(device.has_caps(kSmall));
  fail_unless(gst_device_has_classes(device.get(), "Video/Source"));
  expect_equal(device.name(), channel + " (possum)");
  expect_equal(device.text("device.api"), "possum");
  expect_equal(device.text("uri"), "possum://" + channel);
  expect_equal(device.number("pid"), getpid());
  std::string command;
  std::getline(std::ifstream("/proc/self/comm"), command);
  expect_equal(device.text("command"), command);
  fail_unless(device.text("user").starts_with(std::to_string(geteuid())));
  expect_equal(device.number("allow-blocking"), 1);
  expect_equal(device.number("is-live"), 1);
  producer.eos();  // a state, not an end
  fail_unless(probe(channel));
  expect_equal(num_readers(producer.sink()), 0);
  producer.stop();
  fail_if(probe(channel));
}

TEST(channels_are_followed_as_they_come_and_go) {
  const std::string before = unique_channel();
  Producer first(before);
  first.start().push(1);
  const Follower follower;
  fail_unless(follower.listed(before));
  fail_unless(follower.wait_added(before).has_caps(kSmall));

  const std::string channel = unique_channel();
  Producer producer(channel);
  for (int round = 0; round < 3; ++round) {
    producer.start();
    follower.wait_added(channel);
    fail_unless(follower.listed(channel));
    producer.push(1);
    follower.wait_changed(channel, kSmall);
    producer.stop();
    follower.wait_removed(channel);
    fail_if(follower.listed(channel));
  }
  expect_equal(first.stat("frames"), 1);
  first.stop();
  follower.wait_removed(before);
}

TEST(caps_that_change_make_another_device) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  producer.start().push(1);
  const Follower follower;
  const Device old = follower.wait_added(channel);
  for (const char* caps : {kOther, kSmall, kOther}) {
    const Promptly promptly;
    producer.caps(caps);
    producer.push(new_frame(2, info_of(caps).size));
    const Device now = follower.wait_changed(channel, caps);
    fail_unless(follower.listed(channel).get() == now.get());
    expect_equal(now.text("channel"), channel);
  }
  fail_unless(old.has_caps(kSmall));  // as it was
  producer.push(new_frame(3, info_of(kOther).size));
  producer.stop();
  follower.wait_removed(channel);  // and no more changes
}

TEST(a_killed_writer_is_noticed) {
  const std::string channel = unique_channel();
  const Follower follower;
  support::Process writer = support::launch(
      "videotestsrc is-live=true ! video/x-raw,width=64,height=48 ! possumsink "
      "channel=CHANNEL",
      channel);
  const Device device = follower.wait_added(channel);
  expect_equal(device.number("pid"), writer.pid());
  {
    const Promptly promptly;
    writer.kill();
    follower.wait_removed(channel);
  }
  Producer successor(channel);  // which removes what is left
  successor.start();
  follower.wait_added(channel);
}

TEST(a_device_makes_a_reader_that_plays) {
  Producer producer;
  producer.start().push(1);
  const Device device = probe(producer.channel());
  const Ref<GstElement> element = device.element();
  expect_equal(GST_OBJECT_NAME(element.get()), "made");
  const Pipeline pipeline;
  GstElement* sink = gst_element_factory_make("fakesink", nullptr);
  g_object_set(sink, "num-buffers", 1, nullptr);
  gst_bin_add_many(pipeline.bin(), element.get(), sink, nullptr);
  fail_unless(gst_element_link(element.get(), sink));
  pipeline.set_state(GST_STATE_PLAYING);
  pipeline.wait_eos();
}

TEST(a_device_reconfigures_readers_that_are_not_running) {
  Producer producer;
  producer.start().push(1);
  const Device device = probe(producer.channel());
  Consumer consumer;
  fail_unless(gst_device_reconfigure_element(device.get(), consumer.src()));
  expect_equal(consumer.start().pull_value(), 1);
  fail_if(gst_device_reconfigure_element(device.get(), consumer.src()));
  const Producer idle;
  fail_if(gst_device_reconfigure_element(device.get(), idle.sink()));
}

TEST(a_device_monitor_shows_channels) {
  Producer producer;
  producer.start().push(1);
  const std::size_t before = open_descriptors().size();
  // Providers of other plugins keep descriptors for good once they were asked.
  {
    const Ref<GstObject> first{GST_OBJECT(gst_device_monitor_new())};
    auto* monitor = GST_DEVICE_MONITOR(first.get());
    gst_device_monitor_add_filter(monitor, "Video/Source", nullptr);
    gst_device_monitor_start(monitor);
    gst_device_monitor_stop(monitor);
  }
  descriptors_before += open_descriptors().size() - before;
  const Ref<GstObject> object{GST_OBJECT(gst_device_monitor_new())};
  auto* monitor = GST_DEVICE_MONITOR(object.get());
  fail_unless(
      gst_device_monitor_add_filter(monitor, "Video/Source", caps_of(kSmall).get()) != 0);
  fail_unless(find(Devices{gst_device_monitor_get_devices(monitor)}, producer.channel()));
  fail_unless(gst_device_monitor_start(monitor));
  fail_unless(find(Devices{gst_device_monitor_get_devices(monitor)}, producer.channel()));
  gst_device_monitor_stop(monitor);

  const Ref<GstObject> other{GST_OBJECT(gst_device_monitor_new())};
  monitor = GST_DEVICE_MONITOR(other.get());
  gst_device_monitor_add_filter(monitor, "Video/Source", caps_of(kOther).get());
  fail_if(find(Devices{gst_device_monitor_get_devices(monitor)}, producer.channel()));
}

// Names for which nothing may be waited and at which nothing may break.
TEST(what_is_no_channel_is_passed_over) {
  Producer producer;
  producer.start().push(1);
  const std::string link = "possum-c." + producer.channel();
  const std::function<bool(const char*)> kinds[] = {
      [](const char* path) { return mkfifo(path, 0600) == 0; },
      [&](const char* path) { return symlink(link.c_str(), path) == 0; },
      [](const char* path) { return mkdir(path, 0700) == 0; },
  };
  std::list<Decoy> decoys;
  for (const auto& make : kinds) {
    fail_unless(make(decoys.emplace_back(unique_channel()).path().c_str()));
  }
  for (const std::string& bytes : {std::string(), std::string(300000, 'x'),
                                   std::string("PSSMCTL1"), std::string("PSSMCTL1")}) {
    decoys.emplace_back(unique_channel()).hold(bytes);
    if (!bytes.empty()) decoys.back().lock();
  }
  std::filesystem::resize_file(decoys.back().path(), std::uintmax_t{1} << 40);
  for (const Decoy& decoy : decoys) {
    fail_if(probe(decoy.channel()), "%s", decoy.path().c_str());
  }
  fail_unless(probe(producer.channel()));
  const Follower follower;
  for (const Decoy& decoy : decoys) {
    fail_if(follower.listed(decoy.channel()), "%s", decoy.path().c_str());
  }
  fail_unless(follower.listed(producer.channel()));
}

// Whatever stands in the memory of a channel, for which a look has as long as it lasts.
TEST(damaged_channels_do_no_harm) {
  Producer producer;
  producer.start().push(1);
  const std::string genuine =
      support::contents("/dev/shm/possum-c." + producer.channel());
  Decoy decoy(unique_channel());
  decoy.hold(genuine);
  decoy.lock();
  std::mt19937 random(1);
  const auto damage = [&] {
    std::string bytes = genuine;
    for (unsigned n = 1 + random() % 40; n > 0; --n) {
      const std::size_t limit = random() % 2 == 0 ? 832 : bytes.size();
      bytes[random() % limit] = static_cast<char>(random());
    }
    decoy.hold(bytes);
  };
  for (int round = 0; round < 300; ++round) {
    damage();
    probe(decoy.channel());
  }
  {
    const Follower follower;
    for (int round = 0; round < 100; ++round) damage();
  }
  decoy.hold(genuine);
  const Follower follower;
  const Device device = follower.wait_added(decoy.channel());  // it seems to live
  fail_unless(gst_caps_is_equal(device.caps().get(), any_raw_video().get()));
  decoy.unlock();
  follower.wait_removed(decoy.channel());
}

// One object would be thousands of devices.
TEST(hard_links_are_no_devices) {
  const std::string channel = unique_channel();
  Producer producer(channel);
  producer.start().push(1);
  const Follower follower;
  follower.wait_added(channel);
  const std::string other = unique_channel();
  const auto path_of = [](const std::string& name) {
    return "/dev/shm/possum-c." + name;
  };
  fail_unless(link(path_of(channel).c_str(), path_of(other).c_str()) == 0);
  follower.wait_removed(channel);
  fail_if(static_cast<bool>(follower.listed(other)));
  fail_unless(unlink(path_of(other).c_str()) == 0);
  follower.wait_added(channel);
}

TEST(thousands_of_dead_names_cost_little) {
  constexpr int kMany = 6000;
  std::vector<std::unique_ptr<Decoy>> decoys;
  const std::string own = unique_channel();
  for (int i = 0; i < kMany; ++i) {
    decoys.push_back(std::make_unique<Decoy>(own + "-" + std::to_string(i)));
    decoys.back()->hold("x");
  }
  Producer producer;
  producer.start().push(1);
  {
    const Promptly promptly;
    fail_unless(probe(producer.channel()));
  }
  fail_if(probe(own + "-0"));
}

TEST(channels_of_others_are_shown_as_far_as_the_kernel_allows) {
  if (!may_become_others()) return;
  const std::string closed = unique_channel();
  const std::string open = unique_channel();
  Producer hidden(closed);
  Producer shown(open, "perms=438");  // 0666
  hidden.start().push(1);
  shown.start().push(1);
  fail_unless(seteuid(65534) == 0);
  const Device device = probe(open);
  const bool secret = !probe(closed);
  fail_unless(seteuid(0) == 0);
  fail_unless(secret);
  fail_unless(device && device.has_caps(kSmall));
  expect_equal(device.text("user"), "0 (root)");
}

TEST(caps_that_others_write_are_not_read) {
  if (!may_become_others()) return;
  Producer producer;
  producer.start().push(1);
  support::give_channel_to(producer.channel(), 54321);
  const Device device = probe(producer.channel());
  fail_unless(device && gst_caps_is_equal(device.caps().get(), any_raw_video().get()));
  fail_unless(device.text("user").starts_with("54321"));
}

TEST(start_and_stop_leave_nothing_behind) {
  Producer producer;
  producer.start().push(1);
  const std::size_t threads_before = threads();
  const Ref<GstObject> provider = find_provider();
  const Ref<GstBus> bus{gst_device_provider_get_bus(GST_DEVICE_PROVIDER(provider.get()))};
  for (int round = 0; round < 30; ++round) {
    const Follower follower;
    if (round % 2 == 0) follower.wait_added(producer.channel());
  }
  expect_equal(threads(), threads_before);
  const std::string later = unique_channel();
  Producer second(later);
  second.start().push(1);
  fail_unless(Ref<GstMessage>{gst_bus_pop(bus.get())} == nullptr);
  // Twice started, it goes on until the second stop.
  {
    const Follower outer;
    { const Follower inner; }
    fail_unless(outer.listed(later));
    second.stop();
    outer.wait_added(later);
    outer.wait_removed(later);
  }
  // A device outlives all.
  const Device device = probe(producer.channel());
  producer.stop();
  expect_equal(device.text("channel"), producer.channel());
  device.element();
}

// A storm of names must neither hang nor blind it.
TEST(a_provider_without_a_thread_does_not_start) {
  support::Refusals& system = support::Refusals::to_this_process();
  if (!system.work()) {
    g_print("SKIPPED %s: the kernel has no filter that asks back\n", __func__);
    return;
  }
  ++descriptors_before;  // it is there for good
  Producer producer;
  producer.start().push(1);
  {
    const Ref<GstObject> provider = find_provider();
    system.threads(EAGAIN);
    fail_if(gst_device_provider_start(GST_DEVICE_PROVIDER(provider.get())));
    system.threads(0);
  }
  const Follower follower;
  fail_unless(follower.listed(producer.channel()));
}

TEST(a_storm_of_names_hides_nobody) {
  const std::string channel = unique_channel();
  const Follower follower;
  std::atomic<bool> enough{false};
  Task storm([&] {
    Decoy decoy(channel + "-storm");
    while (!enough) {
      decoy.hold("x");
      std::filesystem::remove(decoy.path());
    }
  });
  for (int round = 0; round < 3; ++round) {
    Producer producer(channel);
    producer.start().push(1);
    follower.wait_added(channel);
    producer.stop();
    follower.wait_removed(channel);
  }
  enough = true;
}

// The only provider there is of a kind lives, and has a bus, from its first use on.
[[maybe_unused]] static const auto first_use = before_each = [] { find_provider(); };

// What other tests do to their channels would be events here, too.
[[maybe_unused]] static const auto needs = before_all = [] {
  const bool own = support::leave_mount_namespace() &&
                   mount("tmpfs", "/dev/shm", "tmpfs", 0, nullptr) == 0;
  return own ? "" : std::string("no /dev/shm of one's own: ") + std::strerror(errno);
};
