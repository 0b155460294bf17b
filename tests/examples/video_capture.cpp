// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// cv::VideoCapture on a channel: by a URI and by a pipeline, as OpenCV's users write it.
#include <opencv2/videoio.hpp>
#include <string>

#include "support/check.h"
#include "support/players.h"

namespace {

// Blue, as cv::VideoCapture gives it: BGR.
bool is_blue(const cv::Mat& frame) {
  const cv::Vec3b pixel = frame.at<cv::Vec3b>(frame.rows / 2, frame.cols / 2);
  return pixel[0] > 200 && pixel[1] < 50 && pixel[2] < 50;
}

void expect_pictures(const std::string& source) {
  cv::VideoCapture capture(source, cv::CAP_GSTREAMER);
  CHECK(capture.isOpened());
  for (int i = 0; i < 10; ++i) {
    cv::Mat frame;
    CHECK(capture.read(frame));
    CHECK(frame.type() == CV_8UC3 && frame.cols == 322 && frame.rows == 240);
    CHECK(is_blue(frame));
  }
}

}  // namespace

TEST(opencv_opens_channels) {
  const std::string channel = support::unique_channel();
  support::Child writer = support::launch(
      "videotestsrc is-live=true pattern=blue ! "
      "video/x-raw,format=I420,width=322,height=240,framerate=60/1 ! "
      "possumsink channel=CHANNEL",
      channel);
  expect_pictures("possum://" + channel);
  expect_pictures("possum://" + channel + "?max-buffers=1&copy-frames=true");
  expect_pictures("possumsrc channel=" + channel +
                  " max-buffers=1 ! videoconvert ! video/x-raw,format=BGR ! appsink "
                  "drop=true max-buffers=1");
  cv::VideoCapture wrong("possum://" + channel + "?max-buffers=17", cv::CAP_GSTREAMER);
  CHECK(!wrong.isOpened());
  writer.signal(SIGINT);
  writer.expect_status(0);
}
