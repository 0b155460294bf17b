// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Where the capture program's pictures come from: a camera, a video file, or a moving
// test picture. Knows OpenCV and no GStreamer.
#pragma once

#include <memory>
#include <opencv2/core.hpp>
#include <string>

class PictureSource {
 public:
  virtual ~PictureSource() = default;

  // Fixed once opened; fps is 0 when nobody knows it.
  virtual cv::Size size() const = 0;
  virtual double fps() const = 0;
  // Live pictures are stamped when they arrive, recorded ones are counted from zero.
  virtual bool live() const = 0;
  // One line for the user: "camera /dev/video0".
  virtual std::string name() const = 0;

  // Blocks until the next picture is there; false when there are no more, which for a
  // camera is an error.
  virtual bool wait() = 0;
  // Draws that picture into `bgr`, which has size() and CV_8UC3; every pixel is written
  // and `bgr` is never given memory of its own.
  virtual void draw(cv::Mat& bgr) = 0;
};

// An empty size or an fps of 0 leaves the choice to the camera or file. All of them throw
// std::runtime_error with a sentence for the user.
std::unique_ptr<PictureSource> open_camera(int index, cv::Size size, double fps);
std::unique_ptr<PictureSource> open_first_camera(cv::Size size, double fps);
std::unique_ptr<PictureSource> open_file(const std::string& path, cv::Size size,
                                         double fps);
std::unique_ptr<PictureSource> open_test_picture(cv::Size size, double fps);
