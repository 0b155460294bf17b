// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum:// for both elements: what a URI sets, what is refused and how, what the
// elements say of themselves, and what players make of it.
#include <gst/base/gstbasesrc.h>

#include <algorithm>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/properties.h"
#include "support/suite.h"

namespace {

// What came of it: "" is success.
struct Answer {
  int code = 0;
  std::string text;
  bool good() const { return text.empty(); }
  bool says(std::string_view words) const {
    return text.find(words) != std::string::npos;
  }
};

Answer answer_of(bool good, GError* error) {
  require(good == (error == nullptr), "success and an error, or neither");
  if (good) return {};
  require(error->domain == GST_URI_ERROR, "an error of another domain");
  const Answer answer{error->code, error->message};
  g_error_free(error);
  require(!answer.text.empty(), "an error without a text");
  require(g_utf8_validate(answer.text.c_str(), -1, nullptr), "a text that is no UTF-8");
  return answer;
}

Answer set_uri(GstElement* element, const std::string& uri) {
  GError* error = nullptr;
  const bool good =
      gst_uri_handler_set_uri(GST_URI_HANDLER(element), uri.c_str(), &error);
  return answer_of(good, error);
}

std::string get_uri(GstElement* element) {
  return Ref<gchar>{gst_uri_handler_get_uri(GST_URI_HANDLER(element))}.get();
}

void accept(GstElement* element, const std::string& uri) {
  const Answer answer = set_uri(element, uri);
  require(answer.good(), uri + ": " + answer.text);
}

// BAD_URI with these words, and nothing changes.
void refuse(GstElement* element, const std::string& uri,
            const std::vector<std::string>& words) {
  const std::string before = get_uri(element);
  const Answer answer = set_uri(element, uri);
  require(!answer.good(), "accepted: " + uri);
  expect_equal(answer.code, GST_URI_ERROR_BAD_URI);
  for (const std::string& word : words) {
    require(answer.says(word),
            "\"" + word + "\" is not said of " + uri + ": " + answer.text);
  }
  expect_equal(get_uri(element), before);
}

std::string parameters(std::string properties) {
  std::replace(properties.begin(), properties.end(), ' ', '&');
  return properties;
}
const struct {
  const char* factory;
  std::string properties;
  std::string parameters;
} kEnds[] = {
    {"possumsrc", kEverySrcProperty, parameters(kEverySrcProperty)},
    {"possumsink", kEverySinkProperty, parameters(kEverySinkProperty)},
};

// A live test picture on a channel of its own.
class Picture {
 public:
  Picture()
      : channel_(unique_channel()),
        pipeline_(
            "videotestsrc is-live=true ! video/x-raw,width=64,height=48,"
            "framerate=60/1 ! possumsink channel=" +
            channel_) {}
  const std::string& channel() const { return channel_; }
  void play() const { pipeline_.play(); }

 private:
  const std::string channel_;
  const Pipeline pipeline_;
};

// What a player shows the picture with, until it has seen some frames.
constexpr char kScreen[] = "fakesink sync=true num-buffers=10";

std::string player(const std::string& name, const std::string& uri) {
  if (name.starts_with("playbin")) {
    return name + " uri=" + uri + " video-sink=\"" + kScreen + "\"";
  }
  return name + " uri=" + uri + " ! videoconvert ! " + kScreen;
}

constexpr const char* kPlayers[] = {"playbin", "playbin3", "uridecodebin",
                                    "uridecodebin3"};

}  // namespace

TEST(both_elements_are_found_by_the_scheme) {
  fail_unless(gst_uri_protocol_is_supported(GST_URI_SRC, "possum"));
  fail_unless(gst_uri_protocol_is_supported(GST_URI_SINK, "possum"));
  const struct {
    GstURIType type;
    const char* factory;
  } ends[] = {{GST_URI_SRC, "possumsrc"}, {GST_URI_SINK, "possumsink"}};
  for (const auto& end : ends) {
    GstElement* made = gst_element_make_from_uri(end.type, "possum://cam", "it", nullptr);
    fail_unless(made != nullptr);
    const Ref<GstElement> element{static_cast<GstElement*>(gst_object_ref_sink(made))};
    expect_equal(GST_OBJECT_NAME(gst_element_get_factory(element.get())), end.factory);
    expect_equal(text_property(element.get(), "channel"), "cam");
    expect_equal(gst_uri_handler_get_uri_type(GST_URI_HANDLER(element.get())), end.type);
  }
}

TEST(a_uri_sets_the_channel_and_every_parameter) {
  for (const auto& end : kEnds) {
    const Ref<GstElement> element = make(end.factory);
    accept(element.get(), "possum://cam.1?" + end.parameters);
    expect_equal(text_property(element.get(), "channel"), "cam.1");
    expect_properties(element.get(), end.properties);
  }
}

TEST(elements_say_what_is_not_as_by_default) {
  for (const auto& end : kEnds) {
    const Ref<GstElement> element = make(end.factory);
    expect_equal(get_uri(element.get()), "possum://default");
    const std::string whole = "possum://a?" + end.parameters;
    accept(element.get(), whole);
    expect_equal(get_uri(element.get()), whole);
  }
  const Ref<GstElement> src = make("possumsrc");
  set_properties(src.get(), "channel=cam max-buffers=1 leaky-type=upstream");
  expect_equal(get_uri(src.get()), "possum://cam?leaky-type=upstream&max-buffers=1");
}

// A parameter that GStreamer adds one day, or we do, is in the two lists above.
TEST(no_parameter_is_forgotten_here) {
  for (const auto& end : kEnds) {
    const Ref<GstElement> element = make(end.factory);
    for (const GParamSpec* spec : own_properties(element.get())) {
      const std::string name = spec->name;
      if (name == "channel" || (spec->flags & G_PARAM_WRITABLE) == 0) continue;
      fail_unless(("&" + end.parameters).find("&" + name + "=") != std::string::npos,
                  "%s", name.c_str());
    }
  }
}

TEST(what_a_uri_does_not_name_goes_back_to_its_default) {
  const Ref<GstElement> src = make("possumsrc");
  accept(src.get(), "possum://a?" + kEnds[0].parameters);
  g_object_set(src.get(), "do-timestamp", TRUE, nullptr);  // not a parameter
  accept(src.get(), "possum://b?max-buffers=2");
  expect_equal(get_uri(src.get()), "possum://b?max-buffers=2");
  fail_unless(get<gboolean>(src.get(), "do-timestamp"));
}

TEST(percent_encoding_goes_both_ways) {
  const Ref<GstElement> src = make("possumsrc");
  accept(src.get(), "POSSUM://%63am%2E1/?%6dax-buffers=%31%36&leaky-type=n%6Fne");
  expect_equal(get_uri(src.get()), "possum://cam.1?leaky-type=none&max-buffers=16");

  const std::string odd = "a b+c&d=%/\xc3\xa4#?";
  g_object_set(src.get(), "allowed-owner", odd.c_str(), nullptr);
  const std::string uri = get_uri(src.get());
  accept(src.get(), "possum://x");
  expect_equal(text_property(src.get(), "allowed-owner"), "NULL");
  accept(src.get(), uri);
  expect_equal(text_property(src.get(), "allowed-owner"), odd);
  expect_equal(text_property(src.get(), "channel"), "cam.1");

  // Whatever the property holds: the element refuses it when it starts.
  g_object_set(src.get(), "channel", "a b/\xff", nullptr);
  fail_unless(get_uri(src.get()).starts_with("possum://a%20b%2F%FF?"));
}

TEST(odd_but_clear_values_are_taken) {
  const Ref<GstElement> sink = make("possumsink");
  accept(sink.get(), "possum://x?perms=0660&allow-blocking=yes&group=");
  expect_equal(get<guint>(sink.get(), "perms"), 0660);
  fail_unless(get<gboolean>(sink.get(), "allow-blocking"));
  expect_equal(text_property(sink.get(), "group"), "NULL");
  accept(sink.get(), "possum://x?max-blocking-time=-1");
  expect_equal(get<guint64>(sink.get(), "max-blocking-time"), G_MAXUINT64);
  accept(sink.get(), "possum://x?slots=4&slots=7");  // the last one
  expect_equal(get<guint>(sink.get(), "slots"), 7);
  accept(sink.get(), "possum://x?perms=0");
  expect_equal(get<guint>(sink.get(), "perms"), 0);
  for (const char* plain : {"possum://x", "possum://x/", "possum://x?", "possum://x/?"}) {
    accept(sink.get(), plain);
    expect_equal(get_uri(sink.get()), "possum://x");
  }
}

TEST(what_is_no_possum_uri_is_refused_with_a_sentence) {
  for (const char* factory : {"possumsrc", "possumsink"}) {
    const Ref<GstElement> element = make(factory);
    for (const char* uri :
         {"possum://a:b", "possum://a:80", "possum://a:", "possum://a:0",
          "possum://a:4294967296", "possum://user@a", "possum://@a",
          "possum://user:secret@a", "possum://[a]", "possum://[a", "possum://a]",
          "possum:a", "possum:/a", "possum:", "possum:?max-buffers=1"}) {
      refuse(element.get(), uri, {uri, "possum://default"});
    }
    for (const char* uri : {"possum://", "possum:///x", "possum://?max-buffers=1",
                            "possum://#x", "possum:////"}) {
      refuse(element.get(), uri, {uri, "names no channel"});
    }
    for (const char* uri : {"possum://a/b", "possum://a//", "possum://a/b?slots=3",
                            "possum://a#", "possum://a#part", "possum://a?#part"}) {
      refuse(element.get(), uri, {uri, "only parameters"});
    }
    for (const char* uri :
         {"possum://%", "possum://a%zz", "possum://a?%zz=1", "possum://a?x=%4",
          "possum://a%00", "possum://a?allowed-owner=%ff", "possum://a\xff"}) {
      refuse(element.get(), uri, {"%25"});
    }
    for (const char* uri : {"possum://a%20b", "possum://-a", "possum://.a",
                            "possum://%C3%A4", "possum://a%2Fb", "possum://a%3Ab",
                            "possum://%20", "possum://a%0Ab", "possum://a%1B"}) {
      refuse(element.get(), uri, {"is no channel name", std::string(uri).substr(9)});
    }
    refuse(element.get(), "possum://" + std::string(121, 'x'), {"120"});
    refuse(element.get(), "possum://" + std::string(1 << 20, 'x'), {"120"});
    accept(element.get(), "possum://" + std::string(120, 'x'));
  }
}

TEST(another_scheme_is_not_ours) {
  const Ref<GstElement> src = make("possumsrc");
  for (const char* uri : {"file:///x", "possums://x", "http://x"}) {
    expect_equal(set_uri(src.get(), uri).code, GST_URI_ERROR_UNSUPPORTED_PROTOCOL);
  }
  expect_equal(set_uri(src.get(), "x").code, GST_URI_ERROR_BAD_URI);
  expect_equal(get_uri(src.get()), "possum://default");
}

TEST(unknown_parameters_are_refused_by_name) {
  const Ref<GstElement> src = make("possumsrc");
  for (const char* name :
       {"slots", "channel", "stats", "name", "do-timestamp", "Max-Buffers", "max_buffers",
        "num-buffers", "caf%C3%A9", "a%0Ab"}) {
    refuse(src.get(), std::string("possum://x?max-buffers=1&") + name + "=1",
           {"\"" + std::string(name) + "\"", "leaky-type, max-buffers, "});
  }
  refuse(src.get(), "possum://x?max-buffers=1&&", {"\"\""});
  refuse(src.get(), "possum://x?=1", {"\"\""});
  refuse(make("possumsink").get(), "possum://x?max-buffers=1", {"max-buffers", "slots"});
}

TEST(bad_values_are_refused_with_name_and_range) {
  const Ref<GstElement> src = make("possumsrc");
  for (const char* value : {"0", "17", "-1", "", "x", "1x", " 1", "1.5", "4294967297",
                            "99999999999999999999", "max", "08", "0x1", "%2B1"}) {
    refuse(src.get(), std::string("possum://x?max-buffers=") + value,
           {"max-buffers", "1 to 16"});
  }
  for (const char* value : {"-2", "18446744073709551616", "5s", ""}) {
    refuse(src.get(), std::string("possum://x?connection-timeout=") + value,
           {"connection-timeout", "0 to 18446744073709551615"});
  }
  for (const char* value : {"", "maybe", "2", "on", "tru"}) {
    refuse(src.get(), std::string("possum://x?is-live=") + value,
           {"is-live", "true or false"});
  }
  for (const char* value : {"", "0", "None", "sideways"}) {
    refuse(src.get(), std::string("possum://x?leaky-type=") + value,
           {"leaky-type", "none, upstream or downstream"});
  }
  for (const char* name : {"max-buffers", "is-live", "leaky-type", "allowed-owner"}) {
    refuse(src.get(), std::string("possum://x?") + name, {name});
  }
  const Ref<GstElement> sink = make("possumsink");
  refuse(sink.get(), "possum://x?perms=0x1b0", {"perms", "0 to 4294967295"});
  refuse(sink.get(), "possum://x?slots=2", {"slots=2", "3 to 32"});
}

// Each is tried on its own, so that all of them are.
TEST(a_running_element_keeps_its_uri) {
  Producer producer;
  Consumer consumer(producer.channel());
  consumer.start();  // waits for its producer.channel()
  const std::string before = get_uri(consumer.src());
  const auto refuses = [](GstElement* element) {
    const Answer answer = set_uri(element, "possum://other");
    expect_equal(answer.code, GST_URI_ERROR_BAD_STATE);
    fail_unless(answer.says(GST_OBJECT_NAME(element)), "%s", answer.text.c_str());
  };
  refuses(consumer.src());
  producer.start();  // prerolls
  refuses(producer.sink());
  producer.push(1);
  refuses(producer.sink());
  consumer.pull();
  refuses(consumer.src());
  expect_equal(get_uri(consumer.src()), before);
  consumer.stop();
  producer.stop();
  accept(consumer.src(), "possum://other");
  accept(producer.sink(), "possum://other");
  consumer.pipeline().reach(GST_STATE_READY);
  accept(consumer.src(), "possum://another");
}

// Bytes that mean something in URIs, in every order.
TEST(no_uri_does_harm) {
  const Ref<GstElement> src = make("possumsrc");
  static constexpr std::string_view kPieces[] = {
      "possum", ":", "/",  "?",           "#",   "@",  "[",  "]",  "%",      "%41",
      "%00",    "&", "=",  "max-buffers", "1",   "16", "is", "-",  "live",   "true",
      "\xff",   " ", "\n", "+",           "cam", "..", ";",  "\t", "%C3%A4", "//"};
  std::mt19937 random(1);
  unsigned accepted = 0;
  for (int i = 0; i < 20000; ++i) {
    std::string uri = i % 4 == 0 ? "possum:" : "possum://cam";
    if (i % 4 == 3) uri += "?max-buffers=";
    for (unsigned n = random() % 8; n > 0; --n) {
      uri += kPieces[random() % std::size(kPieces)];
    }
    if (!set_uri(src.get(), uri).good()) continue;
    ++accepted;
    const std::string own = get_uri(src.get());
    accept(src.get(), own);
    expect_equal(get_uri(src.get()), own);
  }
  fail_unless(accepted > 100, "%u accepted", accepted);
}

TEST(every_player_shows_a_channel_and_waits_for_it) {
  for (const char* name : kPlayers) {
    for (const bool there : {true, false}) {
      const Picture picture;
      if (there) picture.play();
      const Pipeline pipeline(
          player(name, "possum://" + picture.channel() + "?max-buffers=1"));
      pipeline.set_state(GST_STATE_PLAYING);
      if (!there) {
        expect_equal(pipeline.wait_progress().code, "connect");
        picture.play();
      }
      pipeline.wait_eos();
    }
  }
}

TEST(players_tell_what_is_wrong_with_a_uri) {
  for (const char* name : kPlayers) {
    const Pipeline pipeline(player(name, "possum://x?max-buffers=17"));
    pipeline.set_state(GST_STATE_PLAYING);
    const Report report = pipeline.wait_error();
    fail_unless(report.says("max-buffers") && report.says("1 to 16"), "%s: %s", name,
                report.text.c_str());
  }
}
