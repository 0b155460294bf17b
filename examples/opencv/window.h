// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The picture with a line of text beneath it, and the window that shows both.
#pragma once

#include <opencv2/core.hpp>
#include <string>

// Memory of our own: a frame belongs to its writer and is only read.
class Canvas {
 public:
  Canvas();

  // BGR pixels for a picture of this size, kept until another size is asked for.
  cv::Mat picture(cv::Size size);
  // The picture as it is, without the text; empty before the first one.
  cv::Mat picture() const { return picture_; }
  void write(const std::string& text);
  const cv::Mat& image() const { return image_; }

 private:
  void resize(cv::Size size);

  cv::Mat image_;
  // Parts of image_.
  cv::Mat picture_;
  cv::Mat band_;
};

class Window {
 public:
  // Throws std::runtime_error when there is no display.
  explicit Window(const std::string& title);
  ~Window();
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  void show(const cv::Mat& image);
  // Handles what the user did since the last call: false once the window was closed, or
  // q or Escape pressed.
  bool handle_events();

 private:
  const std::string title_;
  cv::Size image_size_;
};
