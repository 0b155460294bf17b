// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// cv::VideoCapture on a channel, by the texts that examples/opencv/README.md gives.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <fstream>
#include <opencv2/videoio.hpp>
#include <string>
#include <thread>
#include <vector>

#include "support/check.h"
#include "support/growth.h"
#include "support/library.h"
#include "support/players.h"

namespace {

constexpr int kWidth = 322;
constexpr int kHeight = 240;
constexpr std::chrono::microseconds kLook(200);  // of a writer, whether all have taken

// The one text of the README that has these words, for the channel.
std::string text_with(const std::string& words, const std::string& channel) {
  std::ifstream readme(support::env("POSSUM_SOURCE_ROOT") + "/examples/opencv/README.md");
  bool inside = false;
  std::string found;
  for (std::string line; std::getline(readme, line);) {
    if (line.starts_with("## ")) inside = line == "## cv::VideoCapture";
    if (!inside || !line.starts_with("    possum")) continue;
    if (line.find(words) == std::string::npos) continue;
    CHECK(found.empty());
    found = line.substr(4);
  }
  CHECK(!found.empty());
  const std::string named =
      support::replaced(found, "channel=cam ", "channel=" + channel + " ");
  return support::replaced(named, "://cam", "://" + channel);
}
std::string newest(const std::string& channel) {
  return text_with("cam max-buffers=1 ! videoconvert", channel);
}
std::string ending(const std::string& channel) {
  return text_with("on-disconnect", channel);
}

cv::VideoCapture opened(const std::string& text) {
  cv::VideoCapture capture(text, cv::CAP_GSTREAMER);
  CHECK(capture.isOpened());
  return capture;
}

// Blue, as cv::VideoCapture gives it: BGR.
bool is_blue(const cv::Mat& frame) {
  const cv::Vec3b pixel = frame.at<cv::Vec3b>(frame.rows / 2, frame.cols / 2);
  return pixel[0] > 200 && pixel[1] < 50 && pixel[2] < 50;
}

void expect_blue_pictures(const std::string& text) {
  cv::VideoCapture capture = opened(text);
  for (int i = 0; i < 10; ++i) {
    cv::Mat frame;
    CHECK(capture.read(frame));
    CHECK(frame.type() == CV_8UC3 && frame.cols == kWidth && frame.rows == kHeight);
    CHECK(is_blue(frame));
  }
}

// Publishes pictures that have their number in each pixel, the next as soon as all
// readers have taken the one before.
class Camera {
 public:
  Camera(const std::string& channel, const std::string& format)
      : writer_(library::open_writer(channel,
                                     "video/x-raw, format=" + format +
                                         ", width=322, height=240, framerate=100/1")),
        pixel_bytes_(format == "BGR" ? 3 : 2),
        thread_([this] { film(); }) {}
  ~Camera() { stop(); }
  Camera(const Camera&) = delete;
  Camera& operator=(const Camera&) = delete;

  // Closes the channel.
  void stop() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    writer_.reset();
  }
  unsigned published() const { return number_; }
  void await(unsigned number) const {
    CHECK(support::eventually([&] { return number_ >= number; }));
  }

 private:
  void film() {
    while (!stopping_) {
      library::SlotHandle slot = library::borrow(writer_);
      draw(static_cast<unsigned char*>(possum_slot_data(slot)));
      EXPECT(POSSUM_OK, possum_writer_publish(writer_, slot, nullptr, POSSUM_AT_ONCE));
      slot.reset();
      while (!stopping_ && !taken()) std::this_thread::sleep_for(kLook);
      ++number_;
    }
  }
  void draw(unsigned char* pixels) const {
    std::vector<unsigned char> row((kWidth * pixel_bytes_ + 3) / 4 * 4);
    for (std::size_t i = 0; i < row.size(); ++i) {
      row[i] = static_cast<unsigned char>(number_ >> 8 * (i % pixel_bytes_));
    }
    for (int y = 0; y < kHeight; ++y) {
      pixels = std::copy(row.begin(), row.end(), pixels);
    }
  }
  bool taken() const {
    possum_reader_info readers[2];
    const unsigned count =
        possum_writer_get_readers(writer_, readers, sizeof *readers, 2);
    for (unsigned r = 0; r < count; ++r) {
      if (readers[r].waiting != 0) return false;
    }
    return count > 0;
  }

  library::WriterHandle writer_;
  const unsigned pixel_bytes_;
  std::atomic<unsigned> number_{0};  // of the picture that is being published
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

unsigned number_in(const cv::Mat& frame) {
  if (frame.type() == CV_16UC1) return frame.at<std::uint16_t>(7, 9);
  CHECK(frame.type() == CV_8UC3);
  const cv::Vec3b pixel = frame.at<cv::Vec3b>(7, 9);
  return pixel[0] | pixel[1] << 8u | pixel[2] << 16u;
}

}  // namespace

TEST(colours_are_right_whatever_the_writer_sends) {
  for (const char* format : {"I420", "NV12", "YUY2", "BGR", "RGBA", "P010_10LE"}) {
    const std::string channel = support::unique_channel();
    support::Process writer = support::launch(
        std::string("videotestsrc is-live=true pattern=blue ! video/x-raw,format=") +
            format + ",width=322,height=240,framerate=60/1 ! possumsink channel=CHANNEL",
        channel);
    expect_blue_pictures(newest(channel));
    expect_blue_pictures(text_with("://", channel));
    writer.signal(SIGINT);
    writer.expect_status(0);
  }
}

TEST(the_newest_picture_is_read_after_a_pause_and_none_pile_up) {
  constexpr unsigned kPause = 300;   // pictures of 232 kB
  constexpr unsigned kOnTheWay = 4;  // in each element, and in appsink
  constexpr std::size_t kNoise = 20'000;
  const std::string channel = support::unique_channel();
  Camera camera(channel, "BGR");
  cv::VideoCapture capture = opened(newest(channel));
  cv::Mat frame;
  CHECK(capture.read(frame));
  const std::size_t before_kb = support::private_kib();
  camera.await(number_in(frame) + kPause);
  CHECK(support::private_kib() < before_kb + kNoise);
  const unsigned published = camera.published();
  CHECK(capture.read(frame));
  CHECK(number_in(frame) + kOnTheWay >= published);
}

TEST_F(support::OnChannel, sixteen_bits_stay) {
  Camera camera(channel, "GRAY16_LE");
  cv::VideoCapture capture = opened(text_with("GRAY16_LE", channel));
  camera.await(0x102);
  cv::Mat frame;
  CHECK(capture.read(frame) && frame.type() == CV_16UC1);
  CHECK(frame.cols == kWidth && frame.rows == kHeight && number_in(frame) >= 0xf0);
}

TEST_F(support::OnChannel, a_writer_that_goes_ends_the_reading) {
  Camera camera(channel, "BGR");
  cv::VideoCapture capture = opened(ending(channel));
  cv::Mat frame;
  CHECK(capture.read(frame));
  camera.stop();
  int left = 0;
  while (capture.read(frame)) CHECK(++left < 10);
}

// TEXT: 0 if it opens, 1 if not. What OpenCV 4.6 could not open it does not take down
// again: in a process of its own.
ROLE(opener) { return cv::VideoCapture(args[0], cv::CAP_GSTREAMER).isOpened() ? 0 : 1; }

TEST(a_channel_without_a_writer_is_given_up) {
  const std::string text = ending(support::unique_channel());
  support::Peer opener("opener", {support::replaced(text, "=5000000000", "=1000000")});
  CHECK(opener.join() == 1);
}

TEST(a_uri_with_a_wrong_parameter_does_not_open) {
  support::Peer opener("opener", {"possum://cam?max-buffers=17"});
  CHECK(opener.join() == 1);
}
