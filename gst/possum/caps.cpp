// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "caps.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <set>
#include <span>
#include <string_view>

#include "base/caps_text.h"
#include "base/text.h"

namespace possum {
namespace {

constexpr GstVideoFormat kCheap[] = {
    GST_VIDEO_FORMAT_I420, GST_VIDEO_FORMAT_NV12,  GST_VIDEO_FORMAT_YUY2,
    GST_VIDEO_FORMAT_UYVY, GST_VIDEO_FORMAT_BGRx,  GST_VIDEO_FORMAT_RGBx,
    GST_VIDEO_FORMAT_BGRA, GST_VIDEO_FORMAT_RGBA,  GST_VIDEO_FORMAT_xRGB,
    GST_VIDEO_FORMAT_xBGR, GST_VIDEO_FORMAT_ARGB,  GST_VIDEO_FORMAT_ABGR,
    GST_VIDEO_FORMAT_BGR,  GST_VIDEO_FORMAT_RGB,   GST_VIDEO_FORMAT_YV12,
    GST_VIDEO_FORMAT_NV21, GST_VIDEO_FORMAT_YVYU,  GST_VIDEO_FORMAT_Y42B,
    GST_VIDEO_FORMAT_Y444, GST_VIDEO_FORMAT_GRAY8,
};

// GStreamer's own order starts with 16 bits per channel and alpha, which most readers
// would have to convert.
std::vector<GstVideoFormat> ordered_formats() {
  guint count = 0;
  const GstVideoFormat* known = gst_video_formats_raw(&count);
  std::vector<GstVideoFormat> formats(std::begin(kCheap), std::end(kCheap));
  for (GstVideoFormat format : std::span(known, count)) {
    if (std::find(formats.begin(), formats.end(), format) == formats.end()) {
      formats.push_back(format);
    }
  }
  return formats;
}

// --- the text of another process -----------------------------------------------------

// Fields that GStreamer gives raw video.
constexpr std::string_view kFields[] = {
    "format",
    "width",
    "height",
    "framerate",
    "max-framerate",
    "pixel-aspect-ratio",
    "interlace-mode",
    "field-order",
    "colorimetry",
    "chroma-site",
    "multiview-mode",
    "multiview-flags",
    "views",
    "mastering-display-info",
    "content-light-level",
};

// Types whose values hold no names: neither structures nor caps.
constexpr std::string_view kTypes[] = {
    "",
    "int",
    "i",
    "uint",
    "u",
    "gint",
    "guint",
    "gint64",
    "guint64",
    "float",
    "f",
    "gfloat",
    "double",
    "d",
    "gdouble",
    "boolean",
    "bool",
    "b",
    "string",
    "gboolean",
    "str",
    "s",
    "bitmask",
    "flagset",
    "gchararray",
    "fraction",
    "GstFraction",
    "GstBitmask",
    "GstVideoMultiviewFlagsSet",
};

// How many names of an application's own fields are learnt, and how long one may be.
constexpr std::size_t kMaxOwnFields = 64;
constexpr std::size_t kMaxOwnField = 64;

template <std::size_t N>
bool is_one_of(const std::string_view (&list)[N], std::string_view text) {
  return std::find(std::begin(list), std::end(list), text) != std::end(list);
}

bool learn_name(std::string_view name) {
  static std::mutex lock;
  static std::set<std::string, std::less<>> learnt;  // guarded by lock
  const std::scoped_lock guard(lock);
  if (learnt.find(name) != learnt.end()) return true;
  if (name.size() > kMaxOwnField || learnt.size() == kMaxOwnFields) return false;
  learnt.emplace(name);
  return true;
}

// One word or one string in quotes, about whose end all parsers agree; of text, since
// GStreamer takes anything else for a fault of this program and says so.
bool is_plain(const CapsText::Field& field) {
  if (!field.fixed || !is_one_of(kTypes, field.type) ||
      !g_utf8_validate(field.value.data(), static_cast<gssize>(field.value.size()),
                       nullptr)) {
    return false;
  }
  if (field.raw.front() == '"') return true;
  return std::all_of(field.raw.begin(), field.raw.end(), [](char c) {
    return g_ascii_isalnum(c) || (c != '\0' && std::strchr("_-+/:.", c) != nullptr);
  });
}

// GStreamer warns of any other mode.
bool is_multiview_mode(const std::string& text) {
  auto* const modes =
      static_cast<GEnumClass*>(g_type_class_ref(GST_TYPE_VIDEO_MULTIVIEW_MODE));
  const std::span known(modes->values, modes->n_values);
  const bool found = std::any_of(known.begin(), known.end(), [&](const GEnumValue& mode) {
    const gchar* const name = gst_video_multiview_mode_to_caps_string(
        static_cast<GstVideoMultiviewMode>(mode.value));
    return name != nullptr && text == name;
  });
  g_type_class_unref(modes);
  return found;
}

GstCaps* known_caps() {
  static GstCaps* const known = [] {
    GstCaps* caps = raw_video_caps().release();
    GST_MINI_OBJECT_FLAG_SET(caps, GST_MINI_OBJECT_FLAG_MAY_BE_LEAKED);
    return caps;
  }();
  return known;
}

// The part that GStreamer's parser may see; empty if there is none.
std::string harmless_part(const CapsText& read, std::vector<std::string>& left_out) {
  std::string text(read.media_type);
  if (read.features == GST_CAPS_FEATURE_FORMAT_INTERLACED) {
    text += "(" GST_CAPS_FEATURE_FORMAT_INTERLACED ")";
  } else if (!read.features.empty()) {
    return {};
  }
  for (const CapsText::Field& field : read.fields) {
    const bool known = is_one_of(kFields, field.name);
    if (field.name == "multiview-mode" && !is_multiview_mode(field.value)) return {};
    if (is_plain(field) && (known || learn_name(field.name))) {
      text.append(", ").append(field.name).append("=");
      if (!field.type.empty()) text.append("(").append(field.type).append(")");
      text.append(field.raw);
    } else if (known) {
      return {};
    } else {
      left_out.push_back(plain_text(field.name, kMaxOwnField));
    }
  }
  return text;
}

bool knows_format(const std::string& format) {
  guint count = 0;
  const GstVideoFormat* const formats = gst_video_formats_raw(&count);
  const std::span known(formats, count);
  return std::find(known.begin(), known.end(),
                   gst_video_format_from_string(format.c_str())) != known.end();
}

}  // namespace

Ref<GstCaps> raw_video_caps() {
  const std::vector<GstVideoFormat> formats = ordered_formats();
  const auto count = static_cast<guint>(formats.size());
  GstCaps* caps = gst_video_make_raw_caps(formats.data(), count);
  GstCaps* fields = gst_video_make_raw_caps_with_features(
      formats.data(), count,
      gst_caps_features_new_single(GST_CAPS_FEATURE_FORMAT_INTERLACED));
  gst_caps_set_simple(fields, "interlace-mode", G_TYPE_STRING, "alternate", nullptr);
  gst_caps_append(caps, fields);  // transfer full
  return Ref<GstCaps>{caps};
}

ChannelCaps read_caps(const std::string& text) {
  ChannelCaps result;
  const auto read = CapsText::parse(text);
  if (!read || !read->single) return result;
  if (read->media_type != "video/x-raw") {
    result.kind = CapsKind::other;
    result.name = plain_text(read->media_type, 80);
    return result;
  }
  const CapsText::Field* const format = read->find("format");
  if (format != nullptr && is_plain(*format) && !knows_format(format->value)) {
    result.kind = CapsKind::unknown_format;
    result.name = plain_text(format->value, 80);
    return result;
  }
  const std::string harmless = harmless_part(*read, result.left_out);
  if (harmless.empty()) return result;
  Ref<GstCaps> caps{gst_caps_from_string(harmless.c_str())};
  if (!caps || !gst_caps_is_fixed(caps.get()) ||
      !gst_caps_can_intersect(caps.get(), known_caps()) ||
      !gst_video_info_from_caps(&result.info, caps.get())) {
    return result;
  }
  result.kind = CapsKind::raw_video;
  result.caps = std::move(caps);
  return result;
}

}  // namespace possum
