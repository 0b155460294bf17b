// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header.
#include "caps.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>
#include <span>
#include <string_view>

#include "base/caps_text.h"
#include "base/mutex.h"
#include "base/text.h"

namespace possum {
namespace {

// --- all caps that there are ---------------------------------------------------------

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

// --- the caps of a channel -----------------------------------------------------------

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
  static Mutex mutex;
  static std::set<std::string, std::less<>> learnt POSSUM_GUARDED_BY(mutex);
  const MutexLock lock(mutex);
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

// --- refused caps --------------------------------------------------------------------
//
// Caps may be accepted in several ways; the one that differs in the fewest fields is the
// one to talk about.

namespace {

// Characters of a value; lists of formats are long.
constexpr std::size_t kMaxShown = 100;
// A distance that is more than the fields that may differ.
constexpr std::size_t kOtherType = 1000;
// Elements on the way that are looked at.
constexpr int kMaxSteps = 64;

struct Difference {
  std::string field;
  std::string carried;  // empty: it is not there
  std::string accepted;
  std::string element;  // that changes it; empty: none is known
};

struct Converter {
  const char* field;
  const char* element;
};
constexpr Converter kConverters[] = {
    {"format", "videoconvert"},      {"colorimetry", "videoconvert"},
    {"chroma-site", "videoconvert"}, {"width", "videoscale"},
    {"height", "videoscale"},        {"pixel-aspect-ratio", "videoscale"},
    {"framerate", "videorate"},      {"max-framerate", "videorate"},
};

struct MemoryBridge {
  const char* feature;
  const char* into;    // from system memory
  const char* out_of;  // to system memory
};
constexpr MemoryBridge kMemoryBridges[] = {
    {"memory:GLMemory", "glupload", "gldownload"},
    {"memory:VAMemory", "vapostproc", "vapostproc"},
    {"memory:VASurface", "vaapipostproc", "vaapipostproc"},
    {"memory:DMABuf", "", "glupload ! gldownload"},
    {"memory:CUDAMemory", "cudaupload", "cudadownload"},
    {"memory:NVMM", "nvvideoconvert", "nvvideoconvert"},
    {"memory:VulkanImage", "vulkanupload", "vulkandownload"},
};

std::string shown(const GValue* value) {
  const Ref<gchar> serialized{gst_value_serialize(value)};
  std::string text = serialized ? serialized.get() : "?";
  for (const char* type : {"(string)", "(int)", "(fraction)"}) {
    for (std::size_t at = 0; (at = text.find(type, at)) != std::string::npos;) {
      text.erase(at, std::strlen(type));
    }
  }
  return plain_text(text, kMaxShown);
}

std::string shown(const GstCapsFeatures* features) {
  const Ref<gchar> text{gst_caps_features_to_string(features)};
  return plain_text(text.get(), kMaxShown);
}

bool takes_progressive(const GValue* modes) {
  GValue progressive = G_VALUE_INIT;
  g_value_init(&progressive, G_TYPE_STRING);
  g_value_set_static_string(&progressive, "progressive");
  const bool takes = gst_value_intersect(nullptr, modes, &progressive);
  g_value_unset(&progressive);
  return takes;
}

std::string converter_of(const char* field, const GValue* accepted) {
  if (std::strcmp(field, "interlace-mode") == 0) {
    return takes_progressive(accepted) ? "deinterlace" : "interlace";
  }
  for (const Converter& converter : kConverters) {
    if (std::strcmp(field, converter.field) == 0) return converter.element;
  }
  return {};
}

std::string converter_of(GstCapsFeatures* carried, GstCapsFeatures* accepted) {
  for (const MemoryBridge& bridge : kMemoryBridges) {
    if (gst_caps_features_contains(carried, bridge.feature)) return bridge.out_of;
    if (gst_caps_features_contains(accepted, bridge.feature)) return bridge.into;
  }
  constexpr char kFields[] = "format:Interlaced";
  if (gst_caps_features_contains(carried, kFields)) return "deinterlace";
  return gst_caps_features_contains(accepted, kFields) ? "interlace" : "";
}

std::string converter_of_type(const char* carried, const char* accepted) {
  if (std::strcmp(carried, "video/x-raw") == 0) {
    return std::string("an encoder of ") + accepted;
  }
  if (std::strcmp(carried, "video/x-bayer") == 0) return "bayer2rgb";
  const bool picture =
      g_str_has_prefix(carried, "video/") || g_str_has_prefix(carried, "image/");
  return picture ? "decodebin" : "";
}

// Most elements do without a field that is not there, so that counts only where nothing
// else differs.
struct Comparison {
  std::vector<Difference> other;
  std::vector<Difference> absent;
};

Comparison compare(GstCaps* caps, GstCaps* accepted, guint index) {
  Comparison result;
  GstStructure* const have = gst_caps_get_structure(caps, 0);
  GstStructure* const want = gst_caps_get_structure(accepted, index);
  const gchar* const type = gst_structure_get_name(have);
  const gchar* const other = gst_structure_get_name(want);
  if (std::strcmp(type, other) != 0) {
    result.other.push_back({"", plain_text(type, kMaxShown), plain_text(other, kMaxShown),
                            converter_of_type(type, other)});
    return result;
  }
  GstCapsFeatures* const here = gst_caps_get_features(caps, 0);
  GstCapsFeatures* const there = gst_caps_get_features(accepted, index);
  if (!gst_caps_features_is_any(there) && !gst_caps_features_is_equal(here, there)) {
    result.other.push_back({"", shown(here), shown(there), converter_of(here, there)});
  }
  for (gint i = 0; i < gst_structure_n_fields(want); ++i) {
    const gchar* const field = gst_structure_nth_field_name(want, static_cast<guint>(i));
    const GValue* const takes = gst_structure_get_value(want, field);
    const GValue* const has = gst_structure_get_value(have, field);
    if (has == nullptr) {
      result.absent.push_back({field, "", shown(takes), "capssetter"});
    } else if (!gst_value_intersect(nullptr, has, takes)) {
      result.other.push_back(
          {field, shown(has), shown(takes), converter_of(field, takes)});
    }
  }
  return result;
}

std::vector<Difference> differences(GstCaps* caps, GstCaps* accepted) {
  Comparison nearest;
  if (gst_caps_is_any(accepted)) return {};
  const gchar* const type = gst_structure_get_name(gst_caps_get_structure(caps, 0));
  std::size_t least = std::numeric_limits<std::size_t>::max();
  for (guint i = 0; i < gst_caps_get_size(accepted); ++i) {
    Comparison here = compare(caps, accepted, i);
    const bool same = gst_structure_has_name(gst_caps_get_structure(accepted, i), type);
    const std::size_t distance = same ? here.other.size() : kOtherType;
    if (distance >= least) continue;
    least = distance;
    nearest = std::move(here);
  }
  return nearest.other.empty() ? nearest.absent : nearest.other;
}

bool is_made_by(GstPad* pad, const std::string& factory) {
  const Ref<GstElement> element{gst_pad_get_parent_element(pad)};
  GstElementFactory* const made_by =
      element ? gst_element_get_factory(element.get()) : nullptr;
  if (made_by == nullptr) return false;
  const std::string name = GST_OBJECT_NAME(made_by);
  const bool both = name == "videoconvertscale" &&
                    (factory == "videoconvert" || factory == "videoscale");
  return name == factory || both;
}

// On the outer side of `pad`.
bool is_linked(GstPad* pad, const std::string& factory, int& steps) {
  const Ref<GstPad> peer{gst_pad_get_peer(pad)};
  if (!peer || ++steps > kMaxSteps) return false;
  if (is_made_by(peer.get(), factory)) return true;
  GstIterator* const links = gst_pad_iterate_internal_links(peer.get());
  if (links == nullptr) return false;
  bool found = false;
  GValue item = G_VALUE_INIT;
  while (!found && gst_iterator_next(links, &item) == GST_ITERATOR_OK) {
    found = is_linked(GST_PAD(g_value_get_object(&item)), factory, steps);
    g_value_reset(&item);
  }
  if (G_IS_VALUE(&item)) g_value_unset(&item);
  gst_iterator_free(links);
  return found;
}

void append(std::string& list, const std::string& separator, const std::string& item) {
  list += (list.empty() ? "" : separator) + item;
}

std::string named(const std::string& field, const std::string& value) {
  if (value.empty()) return "no " + field;
  return field.empty() ? value : field + "=" + value;
}

}  // namespace

std::string explain_refusal(GstCaps* caps, GstCaps* accepted, GstPad* pad,
                            const RefusalWords& words) {
  std::string missing;  // elements to add
  std::string there;    // elements that are no help
  std::string fixed;    // fields that nothing changes
  std::string carried;
  std::string taken;
  std::vector<std::string> seen;
  for (const Difference& difference : differences(caps, accepted)) {
    append(carried, ", ", named(difference.field, difference.carried));
    append(taken, ", ", named(difference.field, difference.accepted));
    const std::string& element = difference.element;
    if (element.empty()) {
      append(fixed, ", ",
             difference.field.empty() ? "other caps" : "another " + difference.field);
    }
    if (element.empty() || std::count(seen.begin(), seen.end(), element) > 0) continue;
    seen.push_back(element);
    int steps = 0;
    is_linked(pad, element, steps) ? append(there, " and ", element)
                                   : append(missing, " ! ", element);
  }
  if (carried.empty()) {
    const Ref<gchar> text{gst_caps_to_string(caps)};
    return "Choose other caps " + words.origin + ": " + words.carried + " " +
           plain_text(text.get()) + ", which is refused without a reason";
  }
  std::string advice;
  if (!missing.empty()) {
    advice = "Put " + missing + " " + words.place;
  } else if (!fixed.empty()) {
    advice = "Choose " + fixed + " " + words.origin;
  } else {
    advice = "Choose other caps " + words.origin + ", " + there + " cannot change them";
  }
  return advice + ": " + words.carried + " " + carried + "; " + words.taken + " " + taken;
}

}  // namespace possum
