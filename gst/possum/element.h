// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What both elements do alike: they tell the user what went wrong by one message on the
// bus, keep C++ exceptions out of GStreamer, and know when a property may be set.
#pragma once

#include <gst/gst.h>

#include <exception>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "refs.h"

namespace possum {

// --- messages ------------------------------------------------------------------------

enum class Side { sink, src };

// Posts exactly one GST_ELEMENT_ERROR: the sentence is its text, the failed call its
// debug detail. Call it from a state change or the streaming thread, with no lock of the
// element held.
void post_error(GstElement* element, Side side, const Error& error);
// The same as a warning: the stream goes on.
void post_warning(GstElement* element, Side side, const Error& error);
// The error of whoever asked for more memory than there is.
void post_out_of_memory(GstElement* element, Side side, const std::exception& problem);

// Runs what a virtual function of an element does; no exception may get into C. It stands
// around all that frames pass through: there a size from elsewhere may ask for more
// memory than there is. For the few bytes that other functions need, GLib ends the
// program anyway.
template <class Result, class Work>
Result guarded(gpointer element, Side side, Result on_failure, const Work& work) {
  try {
    return work();
  } catch (const std::exception& problem) {  // std::bad_alloc, std::length_error
    post_out_of_memory(GST_ELEMENT(element), side, problem);
    return on_failure;
  }
}

// Why frames were copied or dropped, for the log: each reason is said once at a level
// where people look, and with each frame deeper down. One thread.
class Reasons {
 public:
  // `reason` is a string constant.
  bool is_news(const char* reason) {
    return std::exchange(last_, reason) != reason && said_.insert(reason).second;
  }

 private:
  const char* last_ = nullptr;
  std::set<std::string_view> said_;
};

// --- properties ----------------------------------------------------------------------

inline constexpr auto kReadOnly =
    static_cast<GParamFlags>(G_PARAM_READABLE | G_PARAM_STATIC_STRINGS);
// May be set in NULL and READY.
inline constexpr auto kSetWhenStopped = static_cast<GParamFlags>(
    G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_READY);
inline constexpr auto kSetAnyTime = static_cast<GParamFlags>(
    G_PARAM_READWRITE | G_PARAM_STATIC_STRINGS | GST_PARAM_MUTABLE_PLAYING);

// The text of a string property; `fallback` where it is NULL.
std::string string_of(const GValue* value, const char* fallback);

// Is the element in NULL or READY, and not on the way up? The object lock is held.
bool is_stopped(GstElement* element);

// Posts the warning that a property stays what it is while the element runs. From any
// thread; takes the object lock.
void warn_not_set(GstElement* element, const GParamSpec* spec);

// Sets one of an element's settings, which the object lock guards, if it may be set as
// the element is; else posts a warning. Returns whether it was set. `follow` runs under
// the object lock, for the part of the element that works with the settings.
template <class Settings, class Follow>
bool change_setting(GObject* object, Settings& settings, guint id, const GValue* value,
                    GParamSpec* spec, const Follow& follow) {
  auto* const element = GST_ELEMENT_CAST(object);
  {
    const ObjectLock lock(object);
    Settings changed = settings;
    if (!changed.set(id, value)) G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, spec);
    if (changed == settings || (spec->flags & GST_PARAM_MUTABLE_PLAYING) != 0 ||
        is_stopped(element)) {
      settings = std::move(changed);
      follow();
      return true;
    }
  }
  warn_not_set(element, spec);
  return false;
}

}  // namespace possum
