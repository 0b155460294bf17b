// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The properties of an element that stands alone: asking for one, and a value for each of
// those that can be set, none of them the default.
#pragma once

#include <gst/base/gstbasesrc.h>

#include <string>

#include "pipeline.h"
#include "require.h"

namespace elements {

inline Ref<GstElement> make(const char* factory) {
  GstElement* element = gst_element_factory_make(factory, nullptr);
  require(element != nullptr, std::string("no ") + factory);
  return Ref<GstElement>{static_cast<GstElement*>(gst_object_ref_sink(element))};
}

template <class T>
T get(GstElement* element, const char* property) {
  T value{};
  g_object_get(element, property, &value, nullptr);
  return value;
}

inline std::string text_property(GstElement* element, const char* property) {
  const Ref<gchar> text{get<gchar*>(element, property)};
  return text ? text.get() : "NULL";
}

// But the channel's. For set_properties().
inline constexpr char kEverySrcProperty[] =
    "leaky-type=none max-buffers=16 connection-timeout=9 on-disconnect=error "
    "ignore-eos=true timestamp-mode=running-time is-live=false allowed-owner=any "
    "copy-frames=true sigbus-guard=true";
inline constexpr char kEverySinkProperty[] =
    "slots=5 perms=432 group=root min-readers=2 allow-blocking=true "
    "max-blocking-time=7 sigbus-guard=true";

inline void expect_every_src_property(GstElement* src) {
  expect_equal(get<gint>(src, "leaky-type"), 0);
  expect_equal(get<guint>(src, "max-buffers"), 16);
  expect_equal(get<guint64>(src, "connection-timeout"), 9);
  expect_equal(get<gint>(src, "on-disconnect"), 2);
  require(get<gboolean>(src, "ignore-eos"), "ignore-eos");
  expect_equal(get<gint>(src, "timestamp-mode"), 1);
  require(!get<gboolean>(src, "is-live"), "is-live");
  require(!gst_base_src_is_live(GST_BASE_SRC(src)), "still live");
  expect_equal(text_property(src, "allowed-owner"), "any");
  require(get<gboolean>(src, "copy-frames"), "copy-frames");
  require(get<gboolean>(src, "sigbus-guard"), "sigbus-guard");
}

inline void expect_every_sink_property(GstElement* sink) {
  expect_equal(get<guint>(sink, "slots"), 5);
  expect_equal(get<guint>(sink, "perms"), 0660);
  expect_equal(text_property(sink, "group"), "root");
  expect_equal(get<guint>(sink, "min-readers"), 2);
  require(get<gboolean>(sink, "allow-blocking"), "allow-blocking");
  expect_equal(get<guint64>(sink, "max-blocking-time"), 7);
  require(get<gboolean>(sink, "sigbus-guard"), "sigbus-guard");
}

}  // namespace elements
