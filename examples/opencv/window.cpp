// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The picture with a line of text beneath it, and the window that shows both.
#include "window.h"

#include <algorithm>
#include <cstdlib>
#include <opencv2/highgui.hpp>
#include <opencv2/imgproc.hpp>
#include <stdexcept>

namespace {

constexpr int kBandHeight = 32;
// Room for the text beneath a small picture.
constexpr int kLeastWidth = 480;
// A bigger picture is shown smaller.
const cv::Size kLargestWindow{1280, 752};
constexpr int kEscape = 27;

bool set_in_environment(const char* variable) {
  const char* value = std::getenv(variable);
  return value && *value;
}

}  // namespace

Canvas::Canvas() { resize({640, 360}); }

cv::Mat Canvas::picture(cv::Size size) {
  if (picture_.empty() || picture_.size() != size) {
    resize(size);
    picture_ = image_(cv::Rect({0, 0}, size));
  }
  return picture_;
}

void Canvas::write(const std::string& text) {
  band_.setTo(cv::Scalar::all(32));
  cv::putText(band_, text, {10, 22}, cv::FONT_HERSHEY_SIMPLEX, 0.55, cv::Scalar::all(255),
              1, cv::LINE_AA);
}

void Canvas::resize(cv::Size size) {
  const int width = std::max(size.width, kLeastWidth);
  image_ = cv::Mat(size.height + kBandHeight, width, CV_8UC3, cv::Scalar::all(32));
  band_ = image_.rowRange(size.height, image_.rows);
}

Window::Window(const std::string& title) : title_(title) {
  // The toolkit beneath OpenCV would end the program without a word to its user.
  if (!set_in_environment("DISPLAY") && !set_in_environment("WAYLAND_DISPLAY")) {
    throw std::runtime_error(
        "no display to open a window on: set DISPLAY, or use --no-window");
  }
  cv::namedWindow(title_,
                  cv::WINDOW_NORMAL | cv::WINDOW_KEEPRATIO | cv::WINDOW_GUI_NORMAL);
}

Window::~Window() { cv::destroyAllWindows(); }

void Window::show(const cv::Mat& image) {
  if (image.size() != image_size_) {
    image_size_ = image.size();
    const double scale = std::min({1.0, double(kLargestWindow.width) / image.cols,
                                   double(kLargestWindow.height) / image.rows});
    cv::resizeWindow(title_, cvRound(image.cols * scale), cvRound(image.rows * scale));
  }
  cv::imshow(title_, image);
}

bool Window::handle_events() {
  const int key = cv::waitKey(1) & 0xff;
  if (key == 'q' || key == kEscape) return false;
  return cv::getWindowProperty(title_, cv::WND_PROP_VISIBLE) >= 1;
}
