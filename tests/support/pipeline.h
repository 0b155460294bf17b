// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A pipeline within this process, and what it says on its bus.
#pragma once

#include <gst/gst.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "possum/refs.h"
#include "require.h"
#include "waiting.h"

namespace elements {

using possum::Ref;

// An error or a warning.
struct Report {
  GQuark domain = 0;
  int code = 0;
  std::string text;
  std::string debug;
  std::string source;  // name of the element
  bool is(GQuark wanted_domain, int wanted_code) const {
    return domain == wanted_domain && code == wanted_code;
  }
  bool says(const std::string& words) const {
    return text.find(words) != std::string::npos;
  }
  void expect_words(const std::vector<std::string>& words,
                    Where where = Where::here()) const {
    for (const std::string& each : words) {
      require(says(each), "no \"" + each + "\" in: " + text, where);
    }
  }
};

inline Report parse_report(GstMessage* message) {
  GError* error = nullptr;
  gchar* debug = nullptr;
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
    gst_message_parse_error(message, &error, &debug);
  } else {
    gst_message_parse_warning(message, &error, &debug);
  }
  Report report{error->domain, error->code, error->message, debug ? debug : "",
                GST_OBJECT_NAME(GST_MESSAGE_SRC(message))};
  g_error_free(error);
  g_free(debug);
  return report;
}

struct Progress {
  GstProgressType type{};
  std::string code;
  std::string text;
};

inline Progress parse_progress(GstMessage* message) {
  Progress progress;
  gchar* code = nullptr;
  gchar* text = nullptr;
  gst_message_parse_progress(message, &progress.type, &code, &text);
  progress.code = code;
  progress.text = text;
  g_free(code);
  g_free(text);
  return progress;
}

constexpr GstMessageType operator|(GstMessageType a, GstMessageType b) {
  return static_cast<GstMessageType>(static_cast<unsigned>(a) | static_cast<unsigned>(b));
}

// Goes to NULL at the end. Messages stay on the bus beyond that.
class Pipeline {
 public:
  Pipeline() : Pipeline(gst_pipeline_new(nullptr)) {}
  explicit Pipeline(const std::string& description) : Pipeline(parse(description)) {}
  ~Pipeline() {
    stop();
    // A message holds its element, and that the bus.
    gst_bus_set_flushing(bus(), TRUE);
  }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  GstElement* get() const { return pipeline_.get(); }
  GstBin* bin() const { return GST_BIN(pipeline_.get()); }
  GstBus* bus() const { return bus_.get(); }
  Ref<GstElement> element(const char* name) const {
    Ref<GstElement> found{gst_bin_get_by_name(bin(), name)};
    require(found != nullptr, std::string("no element ") + name);
    return found;
  }

  GstStateChangeReturn set_state(GstState state) const {
    return gst_element_set_state(get(), state);
  }
  // Waits until it is there.
  void reach(GstState state) const {
    set_state(state);
    const GstStateChangeReturn result =
        gst_element_get_state(get(), nullptr, nullptr, patience_ns());
    require(result == GST_STATE_CHANGE_SUCCESS || result == GST_STATE_CHANGE_NO_PREROLL,
            std::string(gst_element_state_get_name(state)) +
                " is not reached: " + gst_element_state_change_return_get_name(result));
  }
  void play() const { reach(GST_STATE_PLAYING); }
  void stop() const {
    require(set_state(GST_STATE_NULL) == GST_STATE_CHANGE_SUCCESS, "NULL is refused");
  }

  Ref<GstMessage> wait(GstMessageType types) const {
    GstMessage* message = gst_bus_timed_pop_filtered(bus(), patience_ns(), types);
    require(message != nullptr, "a message never came: " + std::to_string(types));
    return Ref<GstMessage>{message};
  }
  Report wait_error() const { return parse_report(wait(GST_MESSAGE_ERROR).get()); }
  Report wait_warning() const { return parse_report(wait(GST_MESSAGE_WARNING).get()); }
  Progress wait_progress() const {
    return parse_progress(wait(GST_MESSAGE_PROGRESS).get());
  }
  // An error instead of it ends the test.
  void wait_eos() const {
    const Ref<GstMessage> message = wait(GST_MESSAGE_EOS | GST_MESSAGE_ERROR);
    if (GST_MESSAGE_TYPE(message.get()) == GST_MESSAGE_EOS) return;
    const Report report = parse_report(message.get());
    require(false, "instead of EOS: " + report.text + " (" + report.debug + ")");
  }

  // Of what is on the bus now; takes it away.
  bool posted(GstMessageType types) const {
    return Ref<GstMessage>{gst_bus_pop_filtered(bus(), types)} != nullptr;
  }
  void expect_no_error() const {
    const Ref<GstMessage> message{gst_bus_pop_filtered(bus(), GST_MESSAGE_ERROR)};
    if (!message) return;
    const Report report = parse_report(message.get());
    require(false, "an error: " + report.text + " (" + report.debug + ")");
  }
  // Base classes add one when streaming ends by an error, or cannot begin.
  void expect_only_generic_errors() const {
    for (;;) {
      const Ref<GstMessage> message{gst_bus_pop_filtered(bus(), GST_MESSAGE_ERROR)};
      if (!message) return;
      const Report report = parse_report(message.get());
      require(report.is(GST_STREAM_ERROR, GST_STREAM_ERROR_FAILED) ||
                  report.is(GST_CORE_ERROR, GST_CORE_ERROR_STATE_CHANGE),
              "a second error: " + report.text + " (" + report.debug + ")");
    }
  }

 private:
  static GstElement* parse(const std::string& description) {
    GError* error = nullptr;
    GstElement* parsed = gst_parse_launch(description.c_str(), &error);
    require(error == nullptr, description + ": " + (error ? error->message : ""));
    if (GST_IS_PIPELINE(parsed)) return parsed;
    GstElement* pipeline = gst_pipeline_new(nullptr);  // for a single element
    gst_bin_add(GST_BIN(pipeline), parsed);
    return pipeline;
  }
  // Takes a floating reference.
  explicit Pipeline(GstElement* pipeline)
      : pipeline_(static_cast<GstElement*>(gst_object_ref_sink(pipeline))),
        bus_(gst_element_get_bus(pipeline)) {
    gst_pipeline_set_auto_flush_bus(GST_PIPELINE(pipeline), FALSE);
  }

  Ref<GstElement> pipeline_;
  Ref<GstBus> bus_;
};

inline Ref<GstElement> make(const char* factory, const char* name = nullptr) {
  GstElement* element = gst_element_factory_make(factory, name);
  require(element != nullptr, std::string("no ") + factory);
  return Ref<GstElement>{static_cast<GstElement*>(gst_object_ref_sink(element))};
}

// A pad of the test's own, linked to that of an element, which is in its bin already.
inline Ref<GstPad> new_peer(GstElement* element, const char* pad_name, gpointer owner) {
  const Ref<GstPad> theirs{gst_element_get_static_pad(element, pad_name)};
  const bool draws = GST_PAD_IS_SINK(theirs.get());
  GstPad* ours = gst_pad_new("peer", draws ? GST_PAD_SRC : GST_PAD_SINK);
  gst_pad_set_element_private(ours, owner);
  const GstPadLinkReturn linked =
      gst_pad_link_full(draws ? ours : theirs.get(), draws ? theirs.get() : ours,
                        GST_PAD_LINK_CHECK_NOTHING);
  require(linked == GST_PAD_LINK_OK, "cannot link");
  return Ref<GstPad>{static_cast<GstPad*>(gst_object_ref_sink(ours))};
}

// Calls `see` for all of these types that passes the pad.
using See = std::function<GstPadProbeReturn(GstPad*, GstPadProbeInfo*)>;
inline gulong add_probe(GstPad* pad, unsigned types, See see) {
  return gst_pad_add_probe(
      pad, static_cast<GstPadProbeType>(types),
      +[](GstPad* pad, GstPadProbeInfo* info, gpointer see) {
        return (*static_cast<See*>(see))(pad, info);
      },
      new See(std::move(see)), +[](gpointer see) { delete static_cast<See*>(see); });
}
inline void add_probe(GstElement* element, const char* pad_name, unsigned types,
                      See see) {
  const Ref<GstPad> pad{gst_element_get_static_pad(element, pad_name)};
  add_probe(pad.get(), types, std::move(see));
}

// "name=value name=value", as one types it for gst-launch-1.0.
inline void set_properties(GstElement* element, const std::string& text) {
  std::size_t start = 0;
  while ((start = text.find_first_not_of(' ', start)) != std::string::npos) {
    const std::size_t end = std::min(text.find(' ', start), text.size());
    const std::size_t equals = text.find('=', start);
    gst_util_set_object_arg(G_OBJECT(element), text.substr(start, equals - start).c_str(),
                            text.substr(equals + 1, end - equals - 1).c_str());
    start = end;
  }
}

inline Ref<GstStructure> stats_of(GstElement* element) {
  GstStructure* stats = nullptr;
  g_object_get(element, "stats", &stats, nullptr);
  return Ref<GstStructure>{stats};
}

// A counter in an element's "stats", of either width.
inline guint64 stat(GstElement* element, const char* field) {
  const Ref<GstStructure> stats = stats_of(element);
  require(stats != nullptr, "no stats");
  guint64 wide = 0;
  if (gst_structure_get_uint64(stats.get(), field, &wide)) return wide;
  guint narrow = 0;
  require(gst_structure_get_uint(stats.get(), field, &narrow),
          std::string("no field ") + field);
  return narrow;
}

using Stats = std::vector<std::pair<const char*, guint64>>;
inline void expect_stats(GstElement* element, const Stats& wanted,
                         Where where = Where::here()) {
  for (const auto& [field, value] : wanted) {
    const guint64 is = stat(element, field);
    require(is == value,
            field + (": " + std::to_string(is)) + " instead of " + std::to_string(value),
            where);
  }
}

}  // namespace elements
