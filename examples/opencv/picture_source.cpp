// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Where the capture program's pictures come from: a camera, a video file, or a moving
// test picture. Knows OpenCV and no GStreamer.
#include "picture_source.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <opencv2/imgproc.hpp>
#include <opencv2/videoio.hpp>
#include <set>
#include <stdexcept>
#include <thread>
#include <utility>

namespace {

std::string camera_name(int index) { return "camera /dev/video" + std::to_string(index); }

// The driver converts to BGR unless it cannot; a grey camera stays grey.
cv::Mat as_bgr(const cv::Mat& picture) {
  cv::Mat bgr;
  switch (picture.type()) {
    case CV_8UC3:
      return picture;
    case CV_8UC1:
      cv::cvtColor(picture, bgr, cv::COLOR_GRAY2BGR);
      return bgr;
    case CV_8UC4:
      cv::cvtColor(picture, bgr, cv::COLOR_BGRA2BGR);
      return bgr;
    default:
      throw std::runtime_error("pictures of the type " +
                               cv::typeToString(picture.type()) +
                               " cannot be converted to BGR");
  }
}

// A camera or a file, whatever cv::VideoCapture opened.
class Captured : public PictureSource {
 public:
  Captured(cv::VideoCapture capture, std::string name, bool live, cv::Size size,
           double fps)
      : capture_(std::move(capture)), name_(std::move(name)), live_(live) {
    // What the properties promise is not always what comes, so look at a picture.
    cv::Mat first;
    if (!capture_.grab() || !capture_.retrieve(first) || first.empty()) {
      throw std::runtime_error(name_ + " gives no picture");
    }
    // A recording's first picture is shown; a camera's is old by the time it is wanted.
    grabbed_ = !live_;
    size_ = size.empty() ? first.size() : size;
    fps_ = fps > 0 ? fps : std::max(0.0, capture_.get(cv::CAP_PROP_FPS));
  }

  cv::Size size() const override { return size_; }
  double fps() const override { return fps_; }
  bool live() const override { return live_; }
  std::string name() const override { return name_; }

  bool wait() override {
    if (std::exchange(grabbed_, false) || capture_.grab()) return true;
    if (live_) throw std::runtime_error(name_ + " has stopped giving pictures");
    return false;
  }

  void draw(cv::Mat& bgr) override {
    cv::Mat picture = bgr;
    if (!capture_.retrieve(picture) || picture.empty()) {
      throw std::runtime_error(name_ + " gave a picture that could not be decoded");
    }
    // OpenCV fills the pixels it is given when size and type are those of the picture,
    // and allocates its own otherwise.
    if (picture.data != bgr.data) cv::resize(as_bgr(picture), bgr, bgr.size());
  }

 private:
  cv::VideoCapture capture_;
  const std::string name_;
  const bool live_;
  cv::Size size_;
  double fps_ = 0;
  bool grabbed_ = false;
};

class TestPicture : public PictureSource {
 public:
  TestPicture(cv::Size size, double fps) : size_(size), fps_(fps) {}

  cv::Size size() const override { return size_; }
  double fps() const override { return fps_; }
  bool live() const override { return true; }
  std::string name() const override { return "a moving test picture"; }

  bool wait() override {
    std::this_thread::sleep_until(due_);
    // What is late is not made up for by a burst.
    due_ = std::max(due_ + interval_, Clock::now());
    ++number_;
    return true;
  }

  void draw(cv::Mat& bgr) override {
    draw_bars(bgr);
    draw_ball(bgr);
    cv::putText(bgr, std::to_string(number_), {bgr.cols / 20, bgr.rows * 9 / 10},
                cv::FONT_HERSHEY_SIMPLEX, bgr.rows / 240.0, {255, 255, 255},
                std::max(1, bgr.rows / 180), cv::LINE_AA);
  }

 private:
  using Clock = std::chrono::steady_clock;

  static void draw_bars(cv::Mat& bgr) {
    static const std::array<cv::Scalar, 8> kColours = {cv::Scalar(192, 192, 192),
                                                       {0, 192, 192},
                                                       {192, 192, 0},
                                                       {0, 192, 0},
                                                       {192, 0, 192},
                                                       {0, 0, 192},
                                                       {192, 0, 0},
                                                       {32, 32, 32}};
    const int bars = static_cast<int>(kColours.size());
    for (int i = 0; i < bars; ++i) {
      bgr.colRange(bgr.cols * i / bars, bgr.cols * (i + 1) / bars).setTo(kColours[i]);
    }
  }

  // Once around in four seconds.
  void draw_ball(cv::Mat& bgr) const {
    const double angle = number_ / fps_ * CV_PI / 2;
    const cv::Point centre(cvRound(bgr.cols * (0.5 + 0.3 * std::cos(angle))),
                           cvRound(bgr.rows * (0.5 + 0.3 * std::sin(angle))));
    cv::circle(bgr, centre, bgr.rows / 8, {255, 255, 255}, cv::FILLED, cv::LINE_AA);
    cv::circle(bgr, centre, bgr.rows / 12, {64, 64, 255}, cv::FILLED, cv::LINE_AA);
  }

  const cv::Size size_;
  const double fps_;
  const Clock::duration interval_ =
      std::chrono::round<Clock::duration>(std::chrono::duration<double>(1 / fps_));
  Clock::time_point due_ = Clock::now();
  std::int64_t number_ = 0;
};

std::set<int> camera_indices() {
  std::set<int> indices;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/dev", ignored)) {
    const std::string file = entry.path().filename();
    int index = 0;
    if (std::sscanf(file.c_str(), "video%d", &index) == 1) indices.insert(index);
  }
  return indices;
}

}  // namespace

std::unique_ptr<PictureSource> open_camera(int index, cv::Size size, double fps) {
  cv::VideoCapture capture(index, cv::CAP_V4L2);
  if (!capture.isOpened()) {
    throw std::runtime_error(camera_name(index) +
                             " cannot be opened: choose another with --camera, or use "
                             "--file or --test");
  }
  if (!size.empty()) {
    capture.set(cv::CAP_PROP_FRAME_WIDTH, size.width);
    capture.set(cv::CAP_PROP_FRAME_HEIGHT, size.height);
  }
  if (fps > 0) capture.set(cv::CAP_PROP_FPS, fps);
  return std::make_unique<Captured>(std::move(capture), camera_name(index), true, size,
                                    fps);
}

std::unique_ptr<PictureSource> open_first_camera(cv::Size size, double fps) {
  // A camera often has a second node that carries no picture, and a codec has nodes too.
  for (int index : camera_indices()) {
    try {
      return open_camera(index, size, fps);
    } catch (const std::runtime_error&) {
      continue;
    }
  }
  throw std::runtime_error(
      "no camera found (no /dev/video* that gives a picture): connect one, or use --file "
      "or --test");
}

std::unique_ptr<PictureSource> open_file(const std::string& path, cv::Size size,
                                         double fps) {
  cv::VideoCapture capture(path);
  if (!capture.isOpened()) {
    throw std::runtime_error("\"" + path + "\" cannot be opened as a video");
  }
  return std::make_unique<Captured>(std::move(capture), "the file " + path, false, size,
                                    fps);
}

std::unique_ptr<PictureSource> open_test_picture(cv::Size size, double fps) {
  return std::make_unique<TestPicture>(size.empty() ? cv::Size(1280, 720) : size,
                                       fps > 0 ? fps : 30);
}
