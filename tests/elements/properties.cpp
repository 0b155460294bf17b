// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What an application sees of the elements before and while they run: their description,
// properties, signals and statistics.
#include <gst/base/gstbasesrc.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <span>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/properties.h"
#include "support/suite.h"

namespace {

struct Property {
  const char* name;
  const char* initial;  // as gst-inspect-1.0 shows it, NULL for a read-only one
  GParamFlags mutability;
};

constexpr auto kReady = static_cast<GParamFlags>(GST_PARAM_MUTABLE_READY);
constexpr auto kPlaying = static_cast<GParamFlags>(GST_PARAM_MUTABLE_PLAYING);
constexpr auto kNever = static_cast<GParamFlags>(0);

constexpr Property kSinkProperties[] = {
    {"channel", "default", kReady},
    {"slots", "16", kReady},
    {"perms", "384", kReady},
    {"group", "NULL", kReady},
    {"min-readers", "0", kPlaying},
    {"allow-blocking", "false", kReady},
    {"max-blocking-time", "18446744073709551615", kReady},
    {"sigbus-guard", "false", kReady},
    {"num-readers", nullptr, kNever},
    {"stats", nullptr, kNever},
};

constexpr Property kSrcProperties[] = {
    {"channel", "default", kReady},      {"leaky-type", "downstream", kReady},
    {"max-buffers", "3", kPlaying},      {"connection-timeout", "0", kPlaying},
    {"on-disconnect", "wait", kReady},   {"ignore-eos", "false", kReady},
    {"timestamp-mode", "clock", kReady}, {"is-live", "true", kReady},
    {"allowed-owner", "NULL", kReady},   {"copy-frames", "false", kPlaying},
    {"sigbus-guard", "false", kReady},   {"stats", nullptr, kNever},
};

// `settings` has a value for each property, other than the present one: "name=value ...".
// Those that may not change while the element runs stay what they are, with a warning;
// the others are what they were set to, without one.
void expect_mutability(const Pipeline& pipeline, GstElement* element,
                       std::span<const Property> properties,
                       const std::string& settings) {
  std::istringstream words(settings);
  int count = 0;
  for (std::string word; words >> word; ++count) {
    const std::string name = word.substr(0, word.find('='));
    const auto known =
        std::find_if(properties.begin(), properties.end(),
                     [&](const Property& property) { return name == property.name; });
    fail_unless(known != properties.end(), "%s is no property", name.c_str());
    const std::string before = serialized(element, name);
    set_properties(element, name + "=" + before);
    fail_if(pipeline.posted(GST_MESSAGE_WARNING), "%s is what it was", name.c_str());
    set_properties(element, word);
    const bool changed = serialized(element, name) != before;
    const bool mutable_now = known->mutability == kPlaying;
    fail_unless(changed == mutable_now, "%s: changed %d", name.c_str(), changed);
    if (mutable_now) continue;
    const Report report = pipeline.wait_warning();
    fail_unless(report.is(GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_SETTINGS));
    fail_unless(report.text.starts_with(name + " stays"), "%s", report.text.c_str());
    fail_if(pipeline.posted(GST_MESSAGE_WARNING), "%s: a second one", name.c_str());
  }
  expect_equal(count, std::ranges::count_if(properties, [](const Property& p) {
                 return p.initial != nullptr;
               }));
}

std::string default_of(GParamSpec* spec) {
  const GValue* value = g_param_spec_get_default_value(spec);
  Ref<gchar> text{gst_value_serialize(value)};
  return text ? text.get() : "NULL";
}

void expect_properties(const char* factory, std::span<const Property> properties) {
  const Ref<GstElement> element = make(factory);
  expect_equal(own_properties(element.get()).size(), properties.size());

  for (const Property& p : properties) {
    GParamSpec* spec = spec_of(element.get(), p.name);
    fail_unless(strlen(g_param_spec_get_blurb(spec)) > 10, "%s is not described", p.name);
    const bool writable = (spec->flags & G_PARAM_WRITABLE) != 0;
    fail_unless(writable == (p.initial != nullptr), "%s writable: %d", p.name, writable);
    if (!writable) continue;
    fail_unless(
        (spec->flags & (kReady | kPlaying | GST_PARAM_MUTABLE_PAUSED)) == p.mutability,
        "%s may change at other times", p.name);
    expect_equal(default_of(spec), p.initial);
    // And the object agrees with its class.
    expect_equal(serialized(element.get(), p.name), p.initial);
  }
}

void expect_uint_range(const char* factory, const char* name, guint low, guint high) {
  const Ref<GstElement> element = make(factory);
  const GParamSpecUInt* spec = G_PARAM_SPEC_UINT(spec_of(element.get(), name));
  expect_equal(spec->minimum, low);
  expect_equal(spec->maximum, high);
}

void expect_enum(const char* name, const std::vector<std::string>& nicks) {
  const Ref<GstElement> src = make("possumsrc");
  const GEnumClass* klass = G_PARAM_SPEC_ENUM(spec_of(src.get(), name))->enum_class;
  expect_equal(klass->n_values, nicks.size());
  for (guint i = 0; i < klass->n_values; ++i) {
    expect_equal(klass->values[i].value_nick, nicks[i]);
    fail_unless(strlen(klass->values[i].value_name) > 10, "%s is not described",
                nicks[i].c_str());
  }
}

Ref<GstCaps> template_caps(const char* factory, GstPadDirection direction) {
  const Ref<GstObject> found{GST_OBJECT_CAST(gst_element_factory_find(factory))};
  const GList* templates =
      gst_element_factory_get_static_pad_templates(GST_ELEMENT_FACTORY(found.get()));
  expect_equal(g_list_length(const_cast<GList*>(templates)), 1);
  auto* pad = static_cast<GstStaticPadTemplate*>(templates->data);
  fail_unless(pad->direction == direction);
  fail_unless(pad->presence == GST_PAD_ALWAYS);
  return Ref<GstCaps>{gst_static_caps_get(&pad->static_caps)};
}

void expect_every_format(GstCaps* caps) {
  guint count = 0;
  const GstVideoFormat* formats = gst_video_formats_raw(&count);
  for (guint i = 0; i < count; ++i) {
    const std::string name = gst_video_format_to_string(formats[i]);
    const std::string rest = "format=" + name + ",width=64,height=48,framerate=0/1";
    for (const std::string& text :
         {"video/x-raw," + rest,
          "video/x-raw(format:Interlaced),interlace-mode=alternate," + rest}) {
      fail_unless(gst_caps_is_subset(caps_of(text).get(), caps), "missing: %s",
                  text.c_str());
    }
  }
  for (const char* foreign : {"video/x-raw(memory:DMABuf),format=I420,width=64,height=48",
                              "video/x-h264", "audio/x-raw"}) {
    fail_if(gst_caps_can_intersect(caps_of(foreign).get(), caps), "%s", foreign);
  }
}

void expect_factory(const char* factory, const char* klass) {
  const Ref<GstObject> found{GST_OBJECT_CAST(gst_element_factory_find(factory))};
  fail_unless(found != nullptr);
  auto* feature = GST_PLUGIN_FEATURE(found.get());
  expect_equal(gst_plugin_feature_get_rank(feature), guint{GST_RANK_NONE});
  auto* info = GST_ELEMENT_FACTORY(found.get());
  expect_equal(gst_element_factory_get_metadata(info, GST_ELEMENT_METADATA_KLASS), klass);
  expect_equal(gst_plugin_feature_get_plugin_name(feature), "possum");
}

// In any order, and no others.
void expect_fields(const GstStructure* stats,
                   const std::vector<std::pair<const char*, GType>>& fields) {
  fail_unless(stats != nullptr);
  for (const auto& [name, type] : fields) {
    fail_unless(gst_structure_has_field_typed(stats, name, type), "%s of type %s", name,
                g_type_name(type));
  }
  expect_equal(gst_structure_n_fields(stats), fields.size());
}

void expect_sink_fields(const GstStructure* stats) {
  expect_fields(stats, {{"average-rate", G_TYPE_DOUBLE},
                        {"dropped", G_TYPE_UINT64},
                        {"rendered", G_TYPE_UINT64},
                        {"frames", G_TYPE_UINT64},
                        {"bytes", G_TYPE_UINT64},
                        {"zero-copy", G_TYPE_UINT64},
                        {"copied", G_TYPE_UINT64},
                        {"no-slot", G_TYPE_UINT64},
                        {"discarded", G_TYPE_UINT64},
                        {"slots", G_TYPE_UINT},
                        {"held", G_TYPE_UINT},
                        {"metas-not-carried", GST_TYPE_STRUCTURE},
                        {"readers", GST_TYPE_ARRAY}});
}

void expect_src_fields(const GstStructure* stats) {
  expect_fields(stats, {{"frames", G_TYPE_UINT64},
                        {"bytes", G_TYPE_UINT64},
                        {"missed", G_TYPE_UINT64},
                        {"copied", G_TYPE_UINT64},
                        {"reconnects", G_TYPE_UINT64},
                        {"age", G_TYPE_UINT64},
                        {"writer-pid", G_TYPE_UINT}});
}

// The readers that the sink's statistics list.
std::vector<Ref<GstStructure>> readers_of(GstElement* sink) {
  const Ref<GstStructure> stats = stats_of(sink);
  const GValue* list = gst_structure_get_value(stats.get(), "readers");
  std::vector<Ref<GstStructure>> readers;
  for (guint i = 0; i < gst_value_array_get_size(list); ++i) {
    const GValue* item = gst_value_array_get_value(list, i);
    readers.emplace_back(gst_structure_copy(gst_value_get_structure(item)));
  }
  return readers;
}

guint64 number(const GstStructure* from, const char* field) {
  guint64 wide = 0;
  guint narrow = 0;
  if (gst_structure_get_uint64(from, field, &wide)) return wide;
  require(gst_structure_get_uint(from, field, &narrow), field);
  return narrow;
}

// What the sink's signals said, in words.
class SignalLog {
 public:
  explicit SignalLog(GstElement* sink) : sink_(sink) {
    attached_ = g_signal_connect(
        sink, "reader-attached",
        G_CALLBACK(+[](GstElement*, guint index, guint pid, SignalLog* self) {
          self->add("attached " + std::to_string(index) + " " + std::to_string(pid));
        }),
        this);
    detached_ = g_signal_connect(
        sink, "reader-detached",
        G_CALLBACK(+[](GstElement*, guint index, const gchar* reason, SignalLog* self) {
          self->add("detached " + std::to_string(index) + " " + reason);
        }),
        this);
  }
  ~SignalLog() {
    g_signal_handler_disconnect(sink_, attached_);
    g_signal_handler_disconnect(sink_, detached_);
  }
  SignalLog(const SignalLog&) = delete;
  SignalLog& operator=(const SignalLog&) = delete;
  std::vector<std::string> lines() const {
    const std::scoped_lock lock(mutex_);
    return lines_;
  }

 private:
  void add(std::string line) {
    const std::scoped_lock lock(mutex_);
    lines_.push_back(std::move(line));
  }
  GstElement* sink_;
  gulong attached_ = 0;
  gulong detached_ = 0;
  mutable std::mutex mutex_;
  std::vector<std::string> lines_;
};

// Is there a comment in the plugin's sources that begins with `head` and has a "Since:"?
bool is_documented(const std::string& head) {
  const std::filesystem::path root = std::getenv("POSSUM_SOURCE_ROOT");
  for (const auto& entry : std::filesystem::directory_iterator(root / "gst" / "possum")) {
    std::ifstream file(entry.path());
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    const std::size_t begin = text.find("/**\n   * " + head);
    if (begin == std::string::npos) continue;
    return text.substr(begin, text.find("*/", begin) - begin).find("Since: ") !=
           std::string::npos;
  }
  return false;
}

}  // namespace

TEST(neither_element_is_plugged_automatically) {
  expect_factory("possumsink", "Sink/Video");
  expect_factory("possumsrc", "Source/Video");
}

TEST(templates_have_every_raw_format_and_alternate_fields) {
  expect_every_format(template_caps("possumsink", GST_PAD_SINK).get());
  expect_every_format(template_caps("possumsrc", GST_PAD_SRC).get());
}

TEST(sink_properties_start_as_documented) {
  expect_properties("possumsink", kSinkProperties);
  expect_uint_range("possumsink", "slots", 3, 32);
  expect_uint_range("possumsink", "perms", 0, G_MAXUINT);
  expect_uint_range("possumsink", "min-readers", 0, 32);
}

TEST(src_properties_start_as_documented) {
  expect_properties("possumsrc", kSrcProperties);
  expect_uint_range("possumsrc", "max-buffers", 1, 16);
  expect_enum("leaky-type", {"none", "upstream", "downstream"});
  expect_enum("on-disconnect", {"wait", "eos", "error"});
  expect_enum("timestamp-mode", {"clock", "running-time"});
}

TEST(base_class_defaults_suit_shared_memory) {
  const Ref<GstElement> sink = make("possumsink");
  fail_if(get<gboolean>(sink.get(), "enable-last-sample"));
  fail_unless(get<gboolean>(sink.get(), "sync"));
  expect_equal(get<guint64>(sink.get(), "processing-deadline"), 0);
  const Ref<GstElement> src = make("possumsrc");
  fail_unless(gst_base_src_is_live(GST_BASE_SRC(src.get())));
  fail_if(get<gboolean>(src.get(), "do-timestamp"));
}

TEST(properties_keep_what_they_are_set_to) {
  const Ref<GstElement> sink = make("possumsink");
  set_properties(sink.get(), std::string("channel=cam.1 ") + kEverySinkProperty);
  expect_equal(text_property(sink.get(), "channel"), "cam.1");
  expect_properties(sink.get(), kEverySinkProperty);
  expect_equal(get<guint>(sink.get(), "num-readers"), 0);

  const Ref<GstElement> src = make("possumsrc");
  set_properties(src.get(), std::string("channel=cam.1 ") + kEverySrcProperty);
  expect_equal(text_property(src.get(), "channel"), "cam.1");
  expect_properties(src.get(), kEverySrcProperty);
  fail_if(gst_base_src_is_live(GST_BASE_SRC(src.get())));
}

TEST(a_property_of_a_running_sink_changes_at_once_or_with_a_warning) {
  Producer producer;
  producer.start().push(1);
  expect_mutability(producer.pipeline(), producer.sink(), kSinkProperties,
                    std::string("channel=other ") + kEverySinkProperty);
  // PAUSED is running, too.
  producer.pipeline().set_state(GST_STATE_PAUSED);
  set_properties(producer.sink(), "slots=9");
  fail_unless(producer.pipeline().posted(GST_MESSAGE_WARNING));
  producer.stop();
  set_properties(producer.sink(), "slots=9");
  expect_equal(get<guint>(producer.sink(), "slots"), 9);
}

TEST(a_property_of_a_running_src_changes_at_once_or_with_a_warning) {
  Consumer consumer;
  consumer.start();
  expect_mutability(consumer.pipeline(), consumer.src(), kSrcProperties,
                    std::string("channel=other ") + kEverySrcProperty);
  fail_unless(gst_base_src_is_live(GST_BASE_SRC(consumer.src())));
  consumer.stop();
  set_properties(consumer.src(), kEverySrcProperty);
  expect_properties(consumer.src(), kEverySrcProperty);
}

TEST(perms_become_the_mode_of_the_objects) {
  Producer producer(unique_channel(), "perms=432");  // 0660
  producer.start();
  producer.push(1);
  unsigned data_objects = 0;
  for (const std::string& name : own_names()) {
    const auto mode =
        static_cast<unsigned>(std::filesystem::status("/dev/shm/" + name).permissions());
    const bool control = name == "possum-c." + producer.channel();
    data_objects += !control;
    expect_equal(mode, control ? 0660 : 0640);
  }
  fail_unless(data_objects >= 3);
}

TEST(readers_are_notified_and_signalled) {
  Producer producer;
  const SignalLog log(producer.sink());
  SignalCount notify(producer.sink(), "notify::num-readers");
  auto expect_readers = [&, changes = 0u](guint count) mutable {
    notify.wait_until([&] { return notify.count() == changes; });
    expect_equal(num_readers(producer.sink()), count);
    ++changes;
  };
  producer.start().push(1);
  expect_readers(0);
  Consumer first(producer.channel());
  first.start();
  expect_readers(1);
  Consumer second(producer.channel());
  second.start();
  expect_readers(2);
  first.stop();
  expect_readers(1);
  second.stop();
  expect_readers(0);
  const std::string pid = std::to_string(getpid());
  fail_unless(log.lines() ==
              std::vector<std::string>({"attached 0 " + pid, "attached 1 " + pid,
                                        "detached 0 left", "detached 1 left"}));
}

TEST(sink_stats_count_what_happened) {
  Ends pair("", "leaky-type=upstream");
  GstElement* const sink = pair.producer.sink();
  expect_sink_fields(stats_of(sink).get());
  pair.producer.start().push(1);
  pair.consumer.start();
  const Frame held = pair.consumer.pull();
  const Pool pool = pair.producer.pool();
  pair.producer.push(pool.acquire(2));
  expect_equal(pair.consumer.pull_value(), 2);

  expect_sink_fields(stats_of(sink).get());
  pair.producer.expect_stats({{"frames", 2},
                              {"bytes", 2 * kSmallBytes},
                              {"zero-copy", 1},
                              {"copied", 1},
                              {"rendered", 2},
                              {"dropped", 0},
                              {"no-slot", 0},
                              {"discarded", 0},
                              {"held", 1}});
  fail_unless(pair.producer.stat("slots") >= 3);

  const auto readers = readers_of(sink);
  expect_equal(readers.size(), 1);
  const GstStructure* const reader = readers[0].get();
  expect_fields(reader, {{"index", G_TYPE_UINT},
                         {"pid", G_TYPE_UINT},
                         {"policy", G_TYPE_STRING},
                         {"waiting", G_TYPE_UINT},
                         {"held", G_TYPE_UINT},
                         {"delivered", G_TYPE_UINT64},
                         {"dropped", G_TYPE_UINT64}});
  expect_equal(gst_structure_get_string(reader, "policy"), "upstream");
  const Stats numbers = {
      {"pid", getpid()}, {"held", 1}, {"delivered", 2}, {"waiting", 0}, {"dropped", 0}};
  for (const auto& [field, wanted] : numbers) expect_equal(number(reader, field), wanted);
}

TEST(src_stats_count_what_happened) {
  Ends pair;
  const Consumer& consumer = pair.consumer;
  fail_unless(stats_of(consumer.src()) == nullptr);
  pair.begin();
  expect_src_fields(stats_of(consumer.src()).get());
  pair.cross(2);
  consumer.expect_stats({{"frames", 2},
                         {"bytes", 2 * kSmallBytes},
                         {"missed", 0},
                         {"copied", 0},
                         {"reconnects", 0},
                         {"writer-pid", getpid()}});
  fail_unless(consumer.stat("age") < patience_ns());
  pair.consumer.stop();
  expect_src_fields(stats_of(consumer.src()).get());
  expect_equal(consumer.stat("frames"), 2);
}

// GstParentBufferMeta keeps memory alive and says nothing about the picture.
TEST(metas_that_do_not_cross_are_counted_by_name) {
  Producer producer;
  producer.start().push(1);
  Ref<GstBuffer> frame = new_frame(2);
  gst_buffer_add_video_region_of_interest_meta(frame.get(), "face", 1, 2, 3, 4);
  const Ref<GstBuffer> parent = new_frame(3);
  gst_buffer_add_parent_buffer_meta(frame.get(), parent.get());
  gst_buffer_add_video_meta(frame.get(), GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_FORMAT_I420,
                            16, 16);
  producer.push(std::move(frame));
  const Ref<GstStructure> stats = stats_of(producer.sink());
  const GstStructure* metas =
      gst_value_get_structure(gst_structure_get_value(stats.get(), "metas-not-carried"));
  expect_equal(gst_structure_n_fields(metas), 1);
  expect_equal(number(metas, g_type_name(GST_VIDEO_REGION_OF_INTEREST_META_API_TYPE)), 1);
}

// For the reference: a block of its own, which says since when.
TEST(every_property_and_signal_has_its_block_of_documentation) {
  for (const char* factory : {"possumsink", "possumsrc"}) {
    const Ref<GstElement> element = make(factory);
    const GType type = G_OBJECT_TYPE(element.get());
    std::vector<std::string> names;
    for (const GParamSpec* spec : own_properties(element.get())) {
      names.push_back(std::string(":") + spec->name);
    }
    guint count = 0;
    guint* const signals = g_signal_list_ids(type, &count);
    for (guint i = 0; i < count; ++i) {
      names.push_back(std::string("::") + g_signal_name(signals[i]));
    }
    g_free(signals);
    for (const std::string& name : names) {
      const std::string head = g_type_name(type) + name + ":\n";
      require(is_documented(head), "no block for " + head);
    }
  }
}
