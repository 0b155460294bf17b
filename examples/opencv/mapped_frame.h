// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A GStreamer video frame as cv::Mat, without a copy. Only for formats that keep a whole
// pixel of 8-bit components in one plane (BGR, BGRx, RGB, GRAY8, ...).
#pragma once

#include <gst/video/video.h>

#include <opencv2/core.hpp>
#include <stdexcept>

class MappedFrame {
 public:
  // Borrows `buffer`, which must outlive the map. GST_MAP_READ or GST_MAP_WRITE.
  MappedFrame(GstBuffer* buffer, const GstVideoInfo& info, GstMapFlags flags) {
    if (!gst_video_frame_map(&frame_, &info, buffer, flags)) {
      throw std::runtime_error("a video frame could not be mapped");
    }
  }
  ~MappedFrame() { gst_video_frame_unmap(&frame_); }
  MappedFrame(const MappedFrame&) = delete;
  MappedFrame& operator=(const MappedFrame&) = delete;

  // Valid while this object lives. The stride is the frame's own, from its GstVideoMeta:
  // rows may be padded, and cv::Mat would take them for packed if it were not told. A
  // frame mapped with GST_MAP_READ must not be drawn on.
  cv::Mat mat() {
    return cv::Mat(GST_VIDEO_FRAME_HEIGHT(&frame_), GST_VIDEO_FRAME_WIDTH(&frame_),
                   CV_8UC(GST_VIDEO_FRAME_COMP_PSTRIDE(&frame_, 0)),
                   GST_VIDEO_FRAME_PLANE_DATA(&frame_, 0),
                   static_cast<std::size_t>(GST_VIDEO_FRAME_PLANE_STRIDE(&frame_, 0)));
  }

 private:
  GstVideoFrame frame_{};
};
