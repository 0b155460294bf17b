// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Caps may be accepted in several ways; the one that differs in the fewest fields is the
// one to talk about.
#include "refusal.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "base/text.h"
#include "refs.h"

namespace possum {
namespace {

constexpr std::size_t kMaxShown =
    100;  // characters of a value; lists of formats are long
constexpr std::size_t kOtherType = 1000;  // more than fields that differ
constexpr int kMaxSteps = 64;             // elements on the way that are looked at

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

// --- what differs --------------------------------------------------------------------

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

// --- what is there already -----------------------------------------------------------

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

// --- words ---------------------------------------------------------------------------

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
      append(fixed, ", ", difference.field.empty() ? "caps" : difference.field);
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
    advice = "Choose another " + fixed + " " + words.origin;
  } else {
    advice = "Choose other caps " + words.origin + ", " + there + " cannot change them";
  }
  return advice + ": " + words.carried + " " + carried + "; " + words.taken + " " + taken;
}

}  // namespace possum
