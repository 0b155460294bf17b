// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header. The table from the transport's error codes to GStreamer's is here.
#include "element.h"

#include "base/text.h"

namespace possum {
namespace {

GstResourceError resource_code(ErrorCode code, Side side) {
  switch (code) {
    case ErrorCode::settings:
    case ErrorCode::blocking:
      return GST_RESOURCE_ERROR_SETTINGS;
    case ErrorCode::busy:
      return GST_RESOURCE_ERROR_BUSY;
    case ErrorCode::not_found:
      return GST_RESOURCE_ERROR_NOT_FOUND;
    case ErrorCode::not_owner:
    case ErrorCode::no_permission:
      return GST_RESOURCE_ERROR_NOT_AUTHORIZED;
    case ErrorCode::no_space:
      return GST_RESOURCE_ERROR_NO_SPACE_LEFT;
    case ErrorCode::incompatible:
      return GST_RESOURCE_ERROR_OPEN_READ;
    case ErrorCode::corrupt:
      return GST_RESOURCE_ERROR_READ;
    case ErrorCode::none:
    case ErrorCode::system:
      break;
  }
  return side == Side::sink ? GST_RESOURCE_ERROR_OPEN_WRITE
                            : GST_RESOURCE_ERROR_OPEN_READ;
}

// There may be words of other processes in it, and it is for a terminal.
gchar* shown_text(const std::string& text) {
  return g_strdup(plain_text(text, std::string::npos).c_str());
}

void post(GstElement* element, Side side, const Error& error, GstMessageType type) {
  // Both strings change owner (transfer full).
  gst_element_message_full(element, type, GST_RESOURCE_ERROR,
                           resource_code(error.code, side), shown_text(error.message),
                           error.detail.empty() ? nullptr : shown_text(error.detail),
                           __FILE__, GST_FUNCTION, __LINE__);
}

}  // namespace

void post_error(GstElement* element, Side side, const Error& error) {
  post(element, side, error, GST_MESSAGE_ERROR);
}

void post_out_of_memory(GstElement* element, Side side, const std::exception& problem) {
  post_error(element, side,
             make_error(ErrorCode::system,
                        "There is not enough memory for a frame: close other programs or "
                        "use a smaller format",
                        problem.what()));
}

void post_warning(GstElement* element, Side side, const Error& error) {
  post(element, side, error, GST_MESSAGE_WARNING);
}

std::string string_of(const GValue* value, const char* fallback) {
  const gchar* const text = g_value_get_string(value);
  return text != nullptr ? text : fallback;
}

bool is_stopped(GstElement* element) {
  return GST_STATE(element) <= GST_STATE_READY &&
         GST_STATE_PENDING(element) <= GST_STATE_READY;
}

void warn_not_set(GstElement* element, const GParamSpec* spec) {
  const Ref<gchar> name{gst_object_get_name(GST_OBJECT_CAST(element))};
  GST_ELEMENT_WARNING(
      element, RESOURCE, SETTINGS,
      ("%s stays as it is: it cannot be changed while %s runs. Set %s to READY or NULL "
       "first.",
       spec->name, name.get(), name.get()),
      (nullptr));
}

}  // namespace possum
