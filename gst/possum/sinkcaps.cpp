// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// An order of formats. GStreamer's own starts with 16 bits per channel and alpha, which
// most readers would have to convert.
#include "sinkcaps.h"

#include <gst/video/video.h>

#include <algorithm>
#include <span>
#include <vector>

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

}  // namespace

Ref<GstCaps> sink_template_caps() {
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

}  // namespace possum
