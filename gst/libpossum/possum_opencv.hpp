// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Frames and slots of possum.hpp as cv::Mat, with their stride and without a copy. Needs
// OpenCV's core module, 3 or newer.
//
//   format                                      plane 0    plane 1    planes 2, 3
//   GRAY8                                       CV_8UC1
//   GRAY16_LE                                   CV_16UC1
//   BGR, RGB, v308, IYU2                        CV_8UC3
//   BGRx, RGBA and the like, AYUV, VUYA         CV_8UC4
//   ARGB64, RGBA64_LE and the like              CV_16UC4
//   v216, Y210, Y212_LE, Y216_LE                CV_16UC2
//   YUY2, UYVY, YVYU, VYUY                      CV_8UC2
//   I420, YV12, Y42B, Y444, A420, GBR, RGBP ... CV_8UC1    CV_8UC1    CV_8UC1
//   NV12, NV21, NV16, NV61, NV24                CV_8UC1    CV_8UC2
//   I420_10LE, Y444_16LE, GBR_12LE ...          CV_16UC1   CV_16UC1   CV_16UC1
//   P010_10LE, P012_LE, P016_LE                 CV_16UC1   CV_16UC2
//
// Samples in big-endian order and pixels of packed bits (RGB16, RGB10A2_LE, v210) are no
// matrix elements, nor are 16-bit samples in rows an odd number of bytes apart:
// possum::Error with POSSUM_ERROR_FORMAT.
//
// A Mat here is a view: it owns nothing. It is good as long as the Frame or Slot that it
// was made of (or, for frames, a copy of that Frame). clone() it to keep the picture.
//
// A frame's view is read-only although cv::Mat cannot say so: the memory is mapped
// PROT_READ and belongs to all readers. Functions that only read take it as it is; one
// that writes into it ends the program by SIGSEGV, or with possum_reader_options'
// copy_on_write takes a copy of each page that it writes to. So draw on a clone, and give
// results a Mat of their own: cv::cvtColor(view, result, ...), not (view, view, ...).
#ifndef POSSUM_OPENCV_HPP
#define POSSUM_OPENCV_HPP

#include <opencv2/core.hpp>
#include <string>

#include "possum.hpp"

namespace possum {
inline namespace v1 {

// The Mat type of a plane of `format` whose columns are `pixel_bytes` apart, -1 if there
// is none.
inline int mat_type(const std::string& format, unsigned pixel_bytes) {
  const auto ends = [&](const char* with) {
    const std::string end(with);
    return format.size() >= end.size() &&
           format.compare(format.size() - end.size(), end.size(), end) == 0;
  };
  const auto begins = [&](const char* with) { return format.rfind(with, 0) == 0; };
  const bool bits = begins("RGB10A2") || begins("BGR10A2") || ends("RGB16") ||
                    ends("BGR16") || ends("RGB15") || ends("BGR15") || ends("LE32") ||
                    begins("r210") || begins("Y410");
  if (pixel_bytes == 0 || bits || ends("BE")) return -1;
  const bool wide =
      ends("LE") || ends("64") || ends("LE16") || begins("v216") || begins("Y210");
  const unsigned channels = wide ? pixel_bytes / 2 : pixel_bytes;
  if (channels < 1 || channels > 4) return -1;
  return CV_MAKETYPE(wide ? CV_16U : CV_8U, static_cast<int>(channels));
}

namespace detail {

inline cv::Mat mat_of(const possum_video& video, unsigned plane, void* first) {
  if (plane >= video.plane_count) {
    throw Error(POSSUM_ERROR_SETTINGS,
                std::string(video.format) + " has only " +
                    std::to_string(video.plane_count) + " planes: ask for one of them",
                "possum_opencv.hpp");
  }
  const possum_plane_layout& layout = video.planes[plane];
  const int type = mat_type(video.format, layout.pixel_bytes);
  if (type < 0) {
    throw Error(POSSUM_ERROR_FORMAT,
                std::string(video.format) +
                    " has no pixels that a cv::Mat could show: convert it before",
                "possum_opencv.hpp");
  }
  // cv::Mat has no such rows and would throw an exception of its own.
  if (static_cast<size_t>(layout.stride) % static_cast<size_t>(CV_ELEM_SIZE1(type)) !=
      0) {
    throw Error(POSSUM_ERROR_FORMAT,
                "The rows of the picture begin " + std::to_string(layout.stride) +
                    " bytes apart, which is no whole number of samples: copy them",
                "possum_opencv.hpp");
  }
  return cv::Mat(static_cast<int>(layout.height), static_cast<int>(layout.width), type,
                 static_cast<unsigned char*>(first) + layout.offset,
                 static_cast<size_t>(layout.stride));
}

}  // namespace detail

// A plane of a frame, to look at.
inline cv::Mat view(const Frame& frame, unsigned plane = 0) {
  const Video video = frame.video();
  return detail::mat_of(video, plane, const_cast<void*>(frame.info().data));
}

// A plane of a borrowed slot, to draw on. The frame has the layout that `video` says,
// the default one of its caps.
inline cv::Mat view(const Slot& slot, const Video& video, unsigned plane = 0) {
  if (slot.bytes() < video.bytes) {
    throw Error(POSSUM_ERROR_SETTINGS,
                "The slot is too small for the picture: borrow " +
                    std::to_string(video.bytes) + " bytes",
                "possum_opencv.hpp");
  }
  return detail::mat_of(video, plane, slot.data());
}

}  // namespace v1
}  // namespace possum

#endif  // POSSUM_OPENCV_HPP
