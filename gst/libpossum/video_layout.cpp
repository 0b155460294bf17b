// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The default layout of all formats here follows one rule (GStreamer 1.22,
// gst-libs/gst/video/video-info.c; tests/libpossum/video.cpp compares): a row takes a
// multiple of four bytes, planes follow each other without a gap, and where chroma has
// half the lines there is room for an even number of luma lines, for interlaced video
// for an even number of chroma lines. What differs says so in the table.
//
// Absent are formats in tiles, RGB8P, whose second plane is a palette, and UYVP and
// NV12_10LE40, whose rows may end within a group of pixels.
#include "video_layout.h"

#include <charconv>
#include <cstring>

#include "status.h"

namespace possum {
namespace {

constexpr PlaneKind kLuma8{1, 0, 0};
constexpr PlaneKind kLuma16{2, 0, 0};

constexpr VideoFormat packed(const char* name, std::uint8_t pixel_bytes) {
  return {name, 1, {{pixel_bytes, 0, 0}}};
}
constexpr VideoFormat pairs(const char* name, std::uint8_t pixel_bytes) {
  return {name, 1, {{pixel_bytes, 0, 0}}, true};
}
// `bytes` hold so many pixels.
constexpr VideoFormat grouped(VideoFormat format, std::uint8_t pixels,
                              std::uint8_t row_step = 4) {
  format.group = pixels;
  format.row_step = row_step;
  return format;
}
constexpr VideoFormat planar(const char* name, std::uint8_t bytes, std::uint8_t shift_x,
                             std::uint8_t shift_y) {
  const PlaneKind chroma{bytes, shift_x, shift_y};
  return {name, 3, {{bytes, 0, 0}, chroma, chroma}};
}
constexpr VideoFormat with_alpha(VideoFormat format) {
  format.plane[format.planes++] = format.plane[0];
  return format;
}
constexpr VideoFormat with_even_lines(VideoFormat format) {
  format.even_lines = true;
  return format;
}
constexpr VideoFormat without_fields(VideoFormat format) {
  format.no_fields = true;
  return format;
}
constexpr VideoFormat interleaved(const char* name, std::uint8_t bytes,
                                  std::uint8_t shift_x, std::uint8_t shift_y) {
  const auto both = static_cast<std::uint8_t>(2 * bytes);
  return {name, 2, {{bytes, 0, 0}, {both, shift_x, shift_y}}};
}

constexpr VideoFormat kFormats[] = {
    packed("BGR", 3),
    packed("RGB", 3),
    packed("BGRx", 4),
    packed("RGBx", 4),
    packed("xRGB", 4),
    packed("xBGR", 4),
    packed("BGRA", 4),
    packed("RGBA", 4),
    packed("ARGB", 4),
    packed("ABGR", 4),
    {"GRAY8", 1, {kLuma8}},
    {"GRAY16_LE", 1, {kLuma16}},
    {"GRAY16_BE", 1, {kLuma16}},
    planar("I420", 1, 1, 1),
    planar("YV12", 1, 1, 1),
    interleaved("NV12", 1, 1, 1),
    interleaved("NV21", 1, 1, 1),
    pairs("YUY2", 2),
    pairs("UYVY", 2),
    pairs("YVYU", 2),
    pairs("VYUY", 2),
    planar("Y42B", 1, 1, 0),
    planar("Y444", 1, 0, 0),
    planar("Y41B", 1, 2, 0),
    interleaved("NV16", 1, 1, 0),
    interleaved("NV61", 1, 1, 0),
    interleaved("NV24", 1, 0, 0),
    with_alpha(planar("A420", 1, 1, 1)),
    planar("GBR", 1, 0, 0),
    with_alpha(planar("GBRA", 1, 0, 0)),
    planar("RGBP", 1, 0, 0),
    planar("BGRP", 1, 0, 0),
    packed("RGB16", 2),
    packed("BGR16", 2),
    packed("RGB15", 2),
    packed("BGR15", 2),
    packed("v308", 3),
    packed("IYU2", 3),
    packed("AYUV", 4),
    packed("VUYA", 4),
    packed("BGR10A2_LE", 4),
    packed("RGB10A2_LE", 4),
    packed("ARGB64", 8),
    packed("AYUV64", 8),
    packed("RGBA64_LE", 8),
    packed("RGBA64_BE", 8),
    packed("BGRA64_LE", 8),
    packed("BGRA64_BE", 8),
    planar("I420_10LE", 2, 1, 1),
    planar("I420_10BE", 2, 1, 1),
    planar("I420_12LE", 2, 1, 1),
    planar("I420_12BE", 2, 1, 1),
    with_even_lines(planar("I422_10LE", 2, 1, 0)),
    with_even_lines(planar("I422_10BE", 2, 1, 0)),
    with_even_lines(planar("I422_12LE", 2, 1, 0)),
    with_even_lines(planar("I422_12BE", 2, 1, 0)),
    planar("Y444_10LE", 2, 0, 0),
    planar("Y444_10BE", 2, 0, 0),
    planar("Y444_12LE", 2, 0, 0),
    planar("Y444_12BE", 2, 0, 0),
    planar("Y444_16LE", 2, 0, 0),
    planar("Y444_16BE", 2, 0, 0),
    planar("GBR_10LE", 2, 0, 0),
    planar("GBR_10BE", 2, 0, 0),
    planar("GBR_12LE", 2, 0, 0),
    planar("GBR_12BE", 2, 0, 0),
    without_fields(interleaved("P010_10LE", 2, 1, 1)),
    without_fields(interleaved("P010_10BE", 2, 1, 1)),
    without_fields(interleaved("P012_LE", 2, 1, 1)),
    without_fields(interleaved("P012_BE", 2, 1, 1)),
    without_fields(interleaved("P016_LE", 2, 1, 1)),
    without_fields(interleaved("P016_BE", 2, 1, 1)),
    grouped(packed("v210", 16), 6, 128),
    pairs("v216", 4),
    pairs("Y210", 4),
    pairs("Y212_LE", 4),
    pairs("Y212_BE", 4),
    packed("r210", 4),
    packed("Y410", 4),
    packed("Y412_LE", 8),
    packed("Y412_BE", 8),
    packed("ARGB64_LE", 8),
    packed("ARGB64_BE", 8),
    packed("ABGR64_LE", 8),
    packed("ABGR64_BE", 8),
    without_fields(with_alpha(interleaved("AV12", 1, 1, 1))),
    with_alpha(planar("A420_10LE", 2, 1, 1)),
    with_alpha(planar("A420_10BE", 2, 1, 1)),
    with_even_lines(with_alpha(planar("A422_10LE", 2, 1, 0))),
    with_even_lines(with_alpha(planar("A422_10BE", 2, 1, 0))),
    with_alpha(planar("A444_10LE", 2, 0, 0)),
    with_alpha(planar("A444_10BE", 2, 0, 0)),
    with_alpha(planar("GBRA_10LE", 2, 0, 0)),
    with_alpha(planar("GBRA_10BE", 2, 0, 0)),
    with_alpha(planar("GBRA_12LE", 2, 0, 0)),
    with_alpha(planar("GBRA_12BE", 2, 0, 0)),
    planar("YUV9", 1, 2, 2),
    planar("YVU9", 1, 2, 2),
    grouped(packed("IYU1", 6), 4),
    with_even_lines(grouped(packed("GRAY10_LE32", 4), 3)),
    grouped({"NV12_10LE32", 2, {{4, 0, 0}, {4, 0, 1}}}, 3),
    grouped({"NV16_10LE32", 2, {{4, 0, 0}, {4, 0, 0}}}, 3),
    // Since GStreamer 1.24 and 1.26.
    packed("RBGA", 4),
    pairs("Y216_LE", 4),
    pairs("Y216_BE", 4),
    packed("Y416_LE", 8),
    packed("Y416_BE", 8),
    packed("GRAY10_LE16", 2),
    planar("GBR_16LE", 2, 0, 0),
    planar("GBR_16BE", 2, 0, 0),
    with_even_lines(with_alpha(planar("A422", 1, 1, 0))),
    with_even_lines(with_alpha(planar("A444", 1, 0, 0))),
    with_alpha(planar("A420_12LE", 2, 1, 1)),
    with_alpha(planar("A420_12BE", 2, 1, 1)),
    with_alpha(planar("A420_16LE", 2, 1, 1)),
    with_alpha(planar("A420_16BE", 2, 1, 1)),
    with_even_lines(with_alpha(planar("A422_12LE", 2, 1, 0))),
    with_even_lines(with_alpha(planar("A422_12BE", 2, 1, 0))),
    with_even_lines(with_alpha(planar("A422_16LE", 2, 1, 0))),
    with_even_lines(with_alpha(planar("A422_16BE", 2, 1, 0))),
    with_alpha(planar("A444_12LE", 2, 0, 0)),
    with_alpha(planar("A444_12BE", 2, 0, 0)),
    with_alpha(planar("A444_16LE", 2, 0, 0)),
    with_alpha(planar("A444_16BE", 2, 0, 0)),
};

// Index: possum_interlace. The values of "interlace-mode".
constexpr const char* kInterlaceModes[] = {"progressive", "interleaved", "mixed",
                                           "fields", "alternate"};

// Caps with other features lie in memory that does not cross.
constexpr std::string_view kSystemMemory = "memory:SystemMemory";
constexpr std::string_view kInterlacedFeature = "format:Interlaced";

constexpr std::uint32_t shifted_up(std::uint32_t value, unsigned shift) {
  return (value + (1u << shift) - 1) >> shift;
}
constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t step) {
  return (value + step - 1) / step * step;
}

// Lines that a plane gets room for.
std::uint64_t allocated_lines(const VideoFormat& format, const PlaneKind& plane,
                              const possum_video& video) {
  const std::uint32_t lines = frame_lines(video);
  const unsigned shift = format.planes > 1 ? format.plane[1].shift_y : 0;
  if (shift == 0) return format.even_lines ? round_up(lines, 2) : lines;
  // Where chroma has a quarter of the lines, luma has no more than it needs.
  if (plane.shift_y == 0) return shift == 1 ? round_up(lines, 2) : lines;
  const bool fields = video.interlace != POSSUM_PROGRESSIVE && !format.no_fields;
  const std::uint64_t chroma = shifted_up(lines, plane.shift_y);
  return fields ? round_up(chroma, 2) : chroma;
}

template <class Number>
bool read_number(std::string_view text, Number& number) {
  const char* const end = text.data() + text.size();
  const auto [last, problem] = std::from_chars(text.data(), end, number);
  return problem == std::errc{} && last == end;
}

// --- reading caps ----------------------------------------------------------------------

class CapsReader {
 public:
  CapsReader(const CapsText& caps, std::string& why) : caps_(caps), why_(why) {}

  bool side(const char* name, std::int32_t& value) {
    const auto text = value_of(name);
    if (!text) return wrong(name, "is missing");
    return (read_number(*text, value) && value >= 1 && value <= kMaxSide) ||
           wrong(name, "is not 1 to 32767");
  }
  // Left alone where there is none.
  bool fraction(const char* name, std::int32_t& n, std::int32_t& d) {
    const auto text = value_of(name);
    if (!text) return true;
    const std::size_t slash = std::min(text->find('/'), text->size());
    d = 1;
    return (read_number(text->substr(0, slash), n) && n >= 0 &&
            (slash == text->size() || read_number(text->substr(slash + 1), d)) &&
            d >= 1) ||
           wrong(name, "is no fraction");
  }
  template <std::size_t Room>
  bool text(const char* name, char (&to)[Room]) {
    const auto text = value_of(name);
    if (!text) return true;
    if (text->size() >= Room) return wrong(name, "is too long");
    std::memcpy(to, text->data(), text->size());
    to[text->size()] = '\0';
    return true;
  }
  bool interlace(std::int32_t& mode) {
    const auto text = value_of("interlace-mode");
    if (!text) return true;
    for (std::size_t i = 0; i < std::size(kInterlaceModes); ++i) {
      if (*text == kInterlaceModes[i]) {
        mode = static_cast<std::int32_t>(i);
        return true;
      }
    }
    return wrong("interlace-mode", "is unknown");
  }
  bool wrong(const std::string& name, const char* what) {
    if (why_.empty()) why_ = name + " " + what;
    return false;
  }

 private:
  std::optional<std::string_view> value_of(const char* name) {
    const CapsText::Field* const field = caps_.find(name);
    if (field == nullptr) return std::nullopt;
    return field->value;
  }
  const CapsText& caps_;
  std::string& why_;
};

bool known_features(std::string_view features) {
  while (!features.empty()) {
    const std::size_t comma = std::min(features.find(','), features.size());
    std::string_view feature = features.substr(0, comma);
    feature.remove_prefix(std::min(feature.find_first_not_of(' '), feature.size()));
    feature = feature.substr(0, feature.find_last_not_of(' ') + 1);
    if (feature != kSystemMemory && feature != kInterlacedFeature) return false;
    features.remove_prefix(std::min(comma + 1, features.size()));
  }
  return true;
}

// --- writing caps ----------------------------------------------------------------------

void add_fraction(std::string& to, const char* name, std::int32_t n, std::int32_t d) {
  to += std::string(", ") + name + "=(fraction)" + std::to_string(n) + "/" +
        std::to_string(d);
}

// Values that need quotes are none that GStreamer knows.
bool add_word(std::string& to, const char* name, const char* value, std::size_t room) {
  const std::string_view text(value, strnlen(value, room));
  if (text.empty()) return true;
  const bool plain =
      text.size() < room && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
               (c >= 'A' && c <= 'Z') ||
               std::string_view("-_.:+/").find(c) != std::string_view::npos;
      });
  to += std::string(", ") + name + "=(string)" + std::string(text);
  return plain;
}

}  // namespace

const VideoFormat* find_format(std::string_view name) {
  const auto found = std::find_if(std::begin(kFormats), std::end(kFormats),
                                  [&](const VideoFormat& f) { return name == f.name; });
  return found == std::end(kFormats) ? nullptr : found;
}

const char* format_name(unsigned index) {
  return index < std::size(kFormats) ? kFormats[index].name : nullptr;
}

std::uint32_t frame_lines(const possum_video& video) {
  const auto height = static_cast<std::uint32_t>(video.height);
  return video.interlace == POSSUM_ALTERNATE ? shifted_up(height, 1) : height;
}

std::uint64_t row_bytes(const VideoFormat& format, const possum_plane_layout& plane) {
  const std::uint64_t columns =
      format.pairs ? round_up(plane.width, 2) : std::uint64_t{plane.width};
  return columns * plane.pixel_bytes;
}

void set_default_layout(const VideoFormat& format, possum_video& video) {
  video.plane_count = format.planes;
  video.bytes = 0;
  for (unsigned p = 0; p < POSSUM_MAX_PLANES; ++p) {
    possum_plane_layout& plane = video.planes[p];
    plane = {};
    if (p >= format.planes) continue;
    const PlaneKind& kind = format.plane[p];
    const auto samples =
        shifted_up(static_cast<std::uint32_t>(video.width), kind.shift_x);
    plane.width = (samples + format.group - 1) / format.group;
    plane.height = shifted_up(frame_lines(video), kind.shift_y);
    plane.pixel_bytes = kind.pixel_bytes;
    plane.stride =
        static_cast<std::int32_t>(round_up(row_bytes(format, plane), format.row_step));
    plane.offset = video.bytes;
    plane.bytes =
        allocated_lines(format, kind, video) * static_cast<std::uint64_t>(plane.stride);
    video.bytes += plane.bytes;
  }
}

possum_video default_video() {
  possum_video video{};
  video.size = sizeof video;
  video.framerate_d = 1;
  video.par_n = 1;
  video.par_d = 1;
  return video;
}

std::optional<possum_video> read_video_caps(std::string_view text, std::string& why) {
  why.clear();
  const auto caps = CapsText::parse(text);
  if (!caps || caps->media_type != "video/x-raw" || !caps->single) {
    why = "they are not one structure video/x-raw";
    return std::nullopt;
  }
  if (!known_features(caps->features)) {
    why = "their memory is not system memory";
    return std::nullopt;
  }
  for (const CapsText::Field& field : caps->fields) {
    if (!field.fixed) why = std::string(field.name) + " is a list or range";
  }
  if (!why.empty()) return std::nullopt;
  possum_video video = default_video();
  CapsReader reader(*caps, why);
  if (!reader.text("format", video.format) || !reader.side("width", video.width) ||
      !reader.side("height", video.height) ||
      !reader.fraction("framerate", video.framerate_n, video.framerate_d) ||
      !reader.fraction("pixel-aspect-ratio", video.par_n, video.par_d) ||
      !reader.interlace(video.interlace) ||
      !reader.text("colorimetry", video.colorimetry) ||
      !reader.text("chroma-site", video.chroma_site)) {
    return std::nullopt;
  }
  const VideoFormat* const format = find_format(video.format);
  if (format == nullptr) {
    reader.wrong(
        video.format[0] == '\0' ? "format" : "format " + std::string(video.format),
        video.format[0] == '\0' ? "is missing" : "is not known here");
    return std::nullopt;
  }
  set_default_layout(*format, video);
  return video;
}

std::string write_video_caps(const possum_video& video) {
  const std::string_view name(video.format, strnlen(video.format, sizeof video.format));
  if (find_format(name) == nullptr || video.width < 1 || video.width > kMaxSide ||
      video.height < 1 || video.height > kMaxSide || video.framerate_n < 0 ||
      video.framerate_d < 1 || video.par_n < 1 || video.par_d < 1 ||
      video.interlace < POSSUM_PROGRESSIVE || video.interlace > POSSUM_ALTERNATE) {
    return {};
  }
  std::string text = "video/x-raw";
  if (video.interlace == POSSUM_ALTERNATE) {
    text += "(" + std::string(kInterlacedFeature) + ")";
  }
  text += ", format=(string)" + std::string(name);
  text += ", width=(int)" + std::to_string(video.width);
  text += ", height=(int)" + std::to_string(video.height);
  text += std::string(", interlace-mode=(string)") + kInterlaceModes[video.interlace];
  add_fraction(text, "pixel-aspect-ratio", video.par_n, video.par_d);
  add_fraction(text, "framerate", video.framerate_n, video.framerate_d);
  if (!add_word(text, "colorimetry", video.colorimetry, sizeof video.colorimetry) ||
      !add_word(text, "chroma-site", video.chroma_site, sizeof video.chroma_site)) {
    return {};
  }
  return text;
}

}  // namespace possum
