// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Caps and layouts of libpossum against those of the GStreamer that is installed.

#include <gst/video/video.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "possum/refs.h"
#include "support/check.h"
#include "support/library.h"

using library::no_video;
using library::video_of;
using possum::Ref;

namespace {

// Of libpossum, but for those that GStreamer before 1.26 did not have, where this one has
// not.
std::vector<std::string> formats() {
  const std::string_view newer[] = {
      "RBGA",      "Y216_LE",     "Y216_BE",   "Y416_LE",   "Y416_BE",   "GBR_16LE",
      "GBR_16BE",  "GRAY10_LE16", "A422",      "A444",      "A420_12LE", "A420_12BE",
      "A420_16LE", "A420_16BE",   "A422_12LE", "A422_12BE", "A422_16LE", "A422_16BE",
      "A444_12LE", "A444_12BE",   "A444_16LE", "A444_16BE"};
  std::vector<std::string> names;
  for (unsigned i = 0; possum_video_format(i) != nullptr; ++i) {
    const char* const name = possum_video_format(i);
    if (gst_video_format_from_string(name) != GST_VIDEO_FORMAT_UNKNOWN ||
        std::find(std::begin(newer), std::end(newer), name) == std::end(newer)) {
      names.emplace_back(name);
    }
  }
  return names;
}

std::string text_of(const possum_video& video) {
  char text[512];
  const std::size_t length = possum_video_to_caps(&video, text, sizeof text);
  CHECK(length > 0 && length < sizeof text);
  return text;
}

bool gst_reads(const std::string& caps, GstVideoInfo& info) {
  const Ref<GstCaps> parsed{gst_caps_from_string(caps.c_str())};
  return parsed && gst_caps_is_fixed(parsed.get()) &&
         gst_video_info_from_caps(&info, parsed.get());
}

// The component whose samples are the plane's columns.
guint first_component(const GstVideoFormatInfo* format, guint plane) {
  gint components[GST_VIDEO_MAX_COMPONENTS];
  gst_video_format_info_component(format, plane, components);
  return static_cast<guint>(components[0]);
}

// Pixels that are packed together.
guint group_of(const GstVideoFormatInfo* format) {
  const std::string name = format->name;
  return name == "v210" ? 6 : name == "IYU1" ? 4 : 3;
}

// Formats that GStreamer has and libpossum has not: their planes are not rows of equal
// pixels, or groups of pixels.
bool has_no_rows(const GstVideoFormatInfo* format) {
  const std::string name = format->name;
  return GST_VIDEO_FORMAT_INFO_IS_TILED(format) || name == "RGB8P" || name == "UYVP" ||
         name == "NV12_10LE40" || name == "DMA_DRM";
}

void check_same(const possum_video& ours, const GstVideoInfo& theirs,
                const std::string& what) {
  bool same = ours.bytes == theirs.size &&
              ours.plane_count == GST_VIDEO_INFO_N_PLANES(&theirs) &&
              ours.width == theirs.width && ours.height == theirs.height;
  for (guint p = 0; same && p < ours.plane_count; ++p) {
    const possum_plane_layout& plane = ours.planes[p];
    const GstVideoFormatInfo* const format = theirs.finfo;
    const guint c = first_component(format, p);
    const gint columns = GST_VIDEO_FORMAT_INFO_SCALE_WIDTH(format, c, theirs.width);
    const gint rows = GST_VIDEO_FORMAT_INFO_SCALE_HEIGHT(
        format, c, GST_VIDEO_INFO_FIELD_HEIGHT(&theirs));
    // Packed 4:2:2 is counted in pixels of luma. Where samples are no whole number of
    // bytes GStreamer counts none, and ours come in groups, U and V one after the other.
    const auto pixel_bytes = static_cast<guint>(GST_VIDEO_FORMAT_INFO_PSTRIDE(format, c));
    const guint group = group_of(format);
    const guint groups = (static_cast<guint>(theirs.width) + group - 1) / group;
    const bool same_columns =
        pixel_bytes != 0 ? plane.width == static_cast<guint>(columns) &&
                               plane.pixel_bytes == pixel_bytes
                         : plane.width == groups && plane.width * plane.pixel_bytes <=
                                                        static_cast<guint>(plane.stride);
    same = plane.offset == theirs.offset[p] && plane.stride == theirs.stride[p] &&
           plane.height == static_cast<guint>(rows) && same_columns &&
           plane.offset + plane.bytes <= ours.bytes;
  }
  if (!same) {
    std::fprintf(stderr, "%s: %llu bytes against %zu; planes", what.c_str(),
                 static_cast<unsigned long long>(ours.bytes), theirs.size);
    for (guint p = 0; p < ours.plane_count; ++p) {
      std::fprintf(stderr, " [%llu+%d against %zu+%d]",
                   static_cast<unsigned long long>(ours.planes[p].offset),
                   ours.planes[p].stride, theirs.offset[p], theirs.stride[p]);
    }
    std::fprintf(stderr, "\n");
  }
  CHECK(same);
}

}  // namespace

TEST(default_layouts_are_those_of_gstreamer) {
  gst_init(nullptr, nullptr);
  const GstVideoInterlaceMode modes[] = {
      GST_VIDEO_INTERLACE_MODE_PROGRESSIVE, GST_VIDEO_INTERLACE_MODE_INTERLEAVED,
      GST_VIDEO_INTERLACE_MODE_MIXED, GST_VIDEO_INTERLACE_MODE_FIELDS,
      GST_VIDEO_INTERLACE_MODE_ALTERNATE};
  std::vector<int> sides = {63, 64, 65, 322, 641, 720, 1080, 1919, 4097};
  for (int side = 1; side <= 35; ++side) sides.push_back(side);
  CHECK(formats().size() >= 60);
  for (const std::string& name : formats()) {
    const GstVideoFormat format = gst_video_format_from_string(name.c_str());
    if (format == GST_VIDEO_FORMAT_UNKNOWN) {
      std::fprintf(stderr, "GStreamer does not know %s\n", name.c_str());
    }
    CHECK(format != GST_VIDEO_FORMAT_UNKNOWN);
    for (const GstVideoInterlaceMode mode : modes) {
      for (const int width : sides) {
        for (const int height : sides) {
          GstVideoInfo theirs;
          CHECK(gst_video_info_set_interlaced_format(&theirs, format, mode,
                                                     static_cast<guint>(width),
                                                     static_cast<guint>(height)));
          possum_video ours = no_video();
          ours.interlace = static_cast<int32_t>(mode);
          EXPECT(POSSUM_OK, possum_video_set_format(&ours, name.c_str(), width, height));
          check_same(ours, theirs,
                     name + " " + std::to_string(width) + "x" + std::to_string(height) +
                         " mode " + std::to_string(mode));
        }
      }
    }
  }
}

TEST(every_format_of_gstreamer_that_has_rows_is_known) {
  // The newest one that GStreamer 1.26 has. What came after it is said, no more.
  constexpr int kNewest = 138;
  const std::vector<std::string> names = formats();
  unsigned absent = 0;
  for (int f = GST_VIDEO_FORMAT_I420;; ++f) {
    const auto format = static_cast<GstVideoFormat>(f);
    const gchar* const name = gst_video_format_to_string(format);
    if (name == nullptr || std::string(name) == "UNKNOWN") break;
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    ++absent;
    if (!has_no_rows(gst_video_format_get_info(format))) {
      std::fprintf(stderr, "%s is missing\n", name);
    }
    CHECK(has_no_rows(gst_video_format_get_info(format)) || f > kNewest);
  }
  CHECK(absent >= 3);
}

TEST(caps_of_gstreamer_are_read) {
  for (const std::string& name : formats()) {
    for (const bool interlaced : {false, true}) {
      GstVideoInfo theirs;
      gst_video_info_set_interlaced_format(
          &theirs, gst_video_format_from_string(name.c_str()),
          interlaced ? GST_VIDEO_INTERLACE_MODE_ALTERNATE
                     : GST_VIDEO_INTERLACE_MODE_PROGRESSIVE,
          37, 23);
      theirs.fps_n = 30000;
      theirs.fps_d = 1001;
      theirs.par_n = 4;
      theirs.par_d = 3;
      const Ref<GstCaps> caps{gst_video_info_to_caps(&theirs)};
      const Ref<gchar> text{gst_caps_to_string(caps.get())};
      const possum_video ours = video_of(text.get());
      check_same(ours, theirs, text.get());
      CHECK(ours.format == name && ours.framerate_n == 30000);
      CHECK(ours.framerate_d == 1001 && ours.par_n == 4 && ours.par_d == 3);
      CHECK(ours.interlace == (interlaced ? POSSUM_ALTERNATE : POSSUM_PROGRESSIVE));
      const std::string colour = ours.colorimetry;
      const Ref<gchar> theirs_colour{
          gst_video_colorimetry_to_string(&theirs.colorimetry)};
      CHECK(colour == (theirs_colour ? theirs_colour.get() : ""));
    }
  }
}

TEST(caps_that_are_written_are_read_by_gstreamer) {
  for (const std::string& name : formats()) {
    for (int mode = POSSUM_PROGRESSIVE; mode <= POSSUM_ALTERNATE; ++mode) {
      possum_video ours = no_video();
      ours.interlace = mode;
      EXPECT(POSSUM_OK, possum_video_set_format(&ours, name.c_str(), 33, 21));
      ours.framerate_n = 25;
      ours.par_n = 16;
      ours.par_d = 15;
      std::strcpy(ours.colorimetry, "bt709");
      const std::string text = text_of(ours);
      GstVideoInfo theirs;
      if (!gst_reads(text, theirs)) std::fprintf(stderr, "%s\n", text.c_str());
      CHECK(gst_reads(text, theirs));
      check_same(ours, theirs, text);
      CHECK(theirs.fps_n == 25 && theirs.fps_d == 1 && theirs.par_n == 16);
      CHECK(static_cast<int>(theirs.interlace_mode) == mode);
      const possum_video again = video_of(text);
      CHECK(std::memcmp(&again, &ours, sizeof ours) == 0);
    }
  }
}

// Whatever we read, GStreamer reads likewise; what it refuses, we refuse.
TEST(odd_texts_are_judged_as_by_gstreamer) {
  const std::string size = ", width=(int)64, height=(int)48";
  const std::string start = "video/x-raw, format=BGR" + size;
  const std::string texts[] = {
      start,
      "video/x-raw,format=(string)\"BGR\",width=64,height=48;",
      "video/x-raw(memory:SystemMemory), format=BGR" + size,
      "video/x-raw , format = BGR , width = (int) 64 , height = (int) 48",
      start + ", framerate=(fraction)30/1, note=(string)\"a\\ \\\"b\\\", {c\"",
      start + ", framerate=30/1, x=(double)0.5, y=(boolean)true",
      start + ", interlace-mode=(string)interleaved",
      start + ", framerate=(fraction)30",
      start + ", framerate=(fraction)0/1",
      start + ", framerate=(fraction)-1/1",
      start + ", pixel-aspect-ratio=(fraction)0/1",
      start + ", framerate=[ 0/1, 30/1 ]",
      start + ", x={ a, \"b;\", c }",
      start + ", x=< a, \"b;>\", c >",
      "video/x-raw, format={ BGR, RGB }" + size,
      "video/x-raw, format=BGR, width=[ 1, 64 ], height=48",
      "video/x-raw, format=BGR, width=0, height=48",
      "video/x-raw, format=BGR, width=-4, height=48",
      "video/x-raw, format=BGR, width=x, height=48",
      "video/x-raw, format=BGR, height=48",
      "video/x-raw, width=64, height=48",
      "video/x-raw, format=NONE" + size,
      start + ", interlace-mode=sideways",
      start + ";" + start + ", x=1",
      start + ", x",
      start + ", x=",
      start + ", =3",
      start + ", x=\"open",
      start + " trailing",
      "video/x-raw(memory:SystemMemory",
      "video/x-h264" + size,
      "videox-raw",
      "",
      "ANY",
      "EMPTY",
  };
  int accepted = 0;
  for (const std::string& text : texts) {
    possum_video ours = no_video();
    const bool read = possum_video_from_caps(&ours, text.c_str()) == POSSUM_OK;
    GstVideoInfo theirs;
    const bool theirs_read = gst_reads(text, theirs);
    if (read != theirs_read) {
      std::fprintf(stderr, "%s: %s, GStreamer: %s\n", text.c_str(),
                   read ? "read" : possum_error_message(), theirs_read ? "read" : "not");
    }
    CHECK(!read || theirs_read);
    if (read) {
      ++accepted;
      check_same(ours, theirs, text);
      CHECK(ours.framerate_n == theirs.fps_n && ours.framerate_d == theirs.fps_d);
    }
  }
  CHECK(accepted >= 9);
}

TEST(nonsense_makes_no_caps_and_no_crash) {
  possum_video video = no_video();
  char text[16] = "unchanged";
  CHECK(possum_video_to_caps(&video, text, sizeof text) == 0 && text[0] == '\0');
  EXPECT(POSSUM_ERROR_FORMAT, possum_video_set_format(&video, "BGRX", 4, 4));
  CHECK(library::says("BGRX"));
  EXPECT(POSSUM_ERROR_SETTINGS, possum_video_set_format(&video, "BGR", 0, 4));
  EXPECT(POSSUM_ERROR_SETTINGS, possum_video_set_format(&video, "BGR", 4, 32768));
  EXPECT(POSSUM_ERROR_FORMAT, possum_video_set_format(&video, nullptr, 4, 4));
  EXPECT(POSSUM_OK, possum_video_set_format(&video, "BGR", 4, 4));
  const std::size_t whole = possum_video_to_caps(&video, text, sizeof text);
  CHECK(whole > sizeof text && std::strlen(text) == sizeof text - 1);
  CHECK(possum_video_to_caps(&video, nullptr, 0) == whole);
  std::memset(video.colorimetry, 'x', sizeof video.colorimetry);
  CHECK(possum_video_to_caps(&video, nullptr, 0) == 0);
  std::strcpy(video.colorimetry, "a, format=RGB");
  CHECK(possum_video_to_caps(&video, nullptr, 0) == 0);
  // GStreamer 1.22 refuses it too, and leaks.
  const char* const open_list = "video/x-raw, format=BGR, width=4, height=4, x={ open";
  EXPECT(POSSUM_ERROR_FORMAT, possum_video_from_caps(&video, open_list));
  video.size = 8;
  CHECK(possum_video_to_caps(&video, nullptr, 0) == 0);
  EXPECT(POSSUM_ERROR_SETTINGS, possum_video_from_caps(&video, "video/x-raw"));
  EXPECT(POSSUM_ERROR_SETTINGS, possum_video_from_caps(nullptr, "video/x-raw"));
}

TEST(fields_are_found_in_any_caps) {
  char value[64];
  const auto get = [&](const char* caps, const char* field) -> std::string {
    return possum_caps_get(caps, field, value, sizeof value) == SIZE_MAX ? "none" : value;
  };
  const char* const caps =
      "application/x-possum-array(meta:x), dtype=(string)float32, "
      "shape=(string)\"480\\054640\", list=(int){ 1, 2 }, n=(int)3; other/x, m=1";
  CHECK(get(caps, nullptr) == "application/x-possum-array");
  CHECK(get(caps, "dtype") == "float32" && get(caps, "n") == "3");
  CHECK(get(caps, "shape") == "480,640" && get(caps, "list") == "{ 1, 2 }");
  CHECK(get(caps, "m") == "none" && get("no caps", "m") == "none");
  CHECK(get(nullptr, nullptr) == "none");
  CHECK(possum_caps_get(caps, "dtype", value, 4) == 7 && std::string(value) == "flo");
}
