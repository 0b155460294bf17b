// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The properties of an element that stands alone: asking for one, and a value for each of
// those that can be set, none of them the default.
#pragma once

#include <gst/gst.h>

#include <sstream>
#include <string>
#include <vector>

#include "pipeline.h"
#include "require.h"

namespace elements {

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

// But what its base classes have.
inline std::vector<GParamSpec*> own_properties(GstElement* element) {
  guint count = 0;
  GParamSpec** const all =
      g_object_class_list_properties(G_OBJECT_GET_CLASS(element), &count);
  std::vector<GParamSpec*> own(all, all + count);
  g_free(all);
  std::erase_if(own, [&](const GParamSpec* spec) {
    return spec->owner_type != G_OBJECT_TYPE(element);
  });
  return own;
}

inline GParamSpec* spec_of(GstElement* element, const std::string& name) {
  GParamSpec* spec =
      g_object_class_find_property(G_OBJECT_GET_CLASS(element), name.c_str());
  require(spec != nullptr, "no property " + name);
  return spec;
}

inline std::string serialized(GstElement* element, const std::string& name) {
  GValue value = G_VALUE_INIT;
  g_value_init(&value, spec_of(element, name)->value_type);
  g_object_get_property(G_OBJECT(element), name.c_str(), &value);
  const Ref<gchar> text{gst_value_serialize(&value)};
  g_value_unset(&value);
  return text ? text.get() : "NULL";
}

// As set_properties() has it.
inline void expect_properties(GstElement* element, const std::string& text) {
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const std::string name = word.substr(0, word.find('='));
    expect_equal(name + "=" + serialized(element, name), word);
  }
}

}  // namespace elements
