// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum.hpp and possum_opencv.hpp: owners that give back what they hold, and Mats of the
// right type, size and stride on the very memory of frames and slots.

#include <opencv2/core.hpp>
#include <opencv2/imgproc.hpp>
#include <string>
#include <vector>

#include "possum_opencv.hpp"
#include "support/check.h"

TEST(every_format_has_the_type_that_the_table_says) {
  const struct {
    std::vector<int> types;  // of the planes
    std::vector<const char*> formats;
  } expected[] = {
      {{CV_8UC1}, {"GRAY8"}},
      {{CV_16UC1}, {"GRAY16_LE", "GRAY10_LE16"}},
      {{CV_8UC2}, {"YUY2"}},
      {{CV_16UC2}, {"v216", "Y210", "Y212_LE"}},
      {{CV_8UC3}, {"BGR", "RGB"}},
      {{CV_8UC4}, {"BGRx", "RGBA"}},
      {{CV_16UC4}, {"ARGB64", "RGBA64_LE"}},
      {{CV_8UC1, CV_8UC2}, {"NV12", "NV24"}},
      {{CV_16UC1, CV_16UC2}, {"P010_10LE"}},
      {{CV_8UC1, CV_8UC1, CV_8UC1}, {"I420"}},
      {{CV_16UC1, CV_16UC1, CV_16UC1}, {"I420_10LE"}},
      {{CV_8UC1, CV_8UC2, CV_8UC1}, {"AV12"}},
      {{CV_8UC1, CV_8UC1, CV_8UC1, CV_8UC1}, {"A420"}},
      {{CV_16UC1, CV_16UC1, CV_16UC1, CV_16UC1}, {"GBRA_12LE"}},
      {{-1},
       {"GRAY16_BE", "RGB16", "BGR15", "RGB10A2_LE", "v210", "r210", "Y410", "IYU1"}},
      {{-1, -1}, {"NV12_10LE32"}},
      {{-1, -1, -1}, {"I422_12BE"}},
  };
  for (const auto& e : expected) {
    for (const char* format : e.formats) {
      const possum::Video video(format, 65, 33);
      CHECK(video.plane_count == e.types.size());
      for (unsigned p = 0; p < video.plane_count; ++p) {
        CHECK(possum::mat_type(format, video.planes[p].pixel_bytes) == e.types[p]);
      }
    }
  }
}

TEST(what_is_drawn_on_a_slot_is_seen_in_a_frame) {
  const std::string channel = support::unique_channel();
  const possum::Video video = possum::Video("NV12", 65, 33).rate(25);
  possum::Writer writer(channel.c_str(), video);
  possum::Reader reader(channel.c_str());
  CHECK(reader.attach() == POSSUM_OK && reader.attached());
  possum::Slot slot;
  CHECK(writer.borrow(slot) == POSSUM_OK);
  cv::Mat luma = possum::view(slot, video, 0);
  cv::Mat chroma = possum::view(slot, video, 1);
  CHECK(luma.rows == 33 && luma.cols == 65 && luma.step == 68);
  CHECK(chroma.rows == 17 && chroma.cols == 33 && chroma.step == 68);
  luma.setTo(60);
  luma.at<unsigned char>(32, 64) = 200;
  chroma.setTo(cv::Scalar(90, 170));
  possum::FrameParams params;
  params.offset = 3;
  CHECK(writer.publish(slot, &params) == POSSUM_OK);
  CHECK(writer.statistics().borrowed == 0 && luma.at<unsigned char>(0, 0) == 60);

  possum::Frame frame;
  CHECK(reader.take(frame) == POSSUM_OK);
  const cv::Mat seen = possum::view(frame);
  CHECK(seen.data == frame.info().data && seen.step == 68 && seen.type() == CV_8UC1);
  CHECK(seen.at<unsigned char>(32, 64) == 200 && seen.at<unsigned char>(0, 0) == 60);
  CHECK(possum::view(frame, 1).at<cv::Vec2b>(16, 32) == cv::Vec2b(90, 170));
  cv::Mat small;
  cv::resize(seen, small, cv::Size(16, 16));
  CHECK(small.at<unsigned char>(3, 3) == 60);
  CHECK(frame.video().framerate_n == 25 && frame.info().offset == 3);

  const possum::Frame copy = frame;  // another owner
  frame = possum::Frame();
  CHECK(writer.statistics().held == 1 && possum::view(copy).data == seen.data);
}

TEST(strides_of_the_frame_count_and_not_those_of_its_caps) {
  const std::string channel = support::unique_channel();
  const possum::Video video("BGR", 10, 4);
  possum::Writer writer(channel.c_str(), video);
  possum::Reader reader(channel.c_str());
  reader.attach();
  possum::Slot slot;
  writer.borrow(slot, 4096);
  cv::Mat wide(4, 10, CV_8UC3, static_cast<unsigned char*>(slot.data()) + 128, 256);
  wide.setTo(cv::Scalar(1, 2, 3));
  possum::FrameParams params;
  params.plane_count = 1;
  params.planes[0] = {128, 256, 0};
  writer.publish(slot, &params);
  possum::Frame frame;
  reader.take(frame);
  const cv::Mat seen = possum::view(frame);
  CHECK(seen.step == 256 && seen.size() == cv::Size(10, 4));
  CHECK(seen.at<cv::Vec3b>(3, 9) == cv::Vec3b(1, 2, 3));
}

TEST(failures_are_exceptions_and_expected_outcomes_are_not) {
  const auto status_of = [](auto call) {
    try {
      call();
    } catch (const possum::Error& error) {
      CHECK(std::string(error.what()).size() > 10 && !error.detail().empty());
      return error.status();
    }
    return POSSUM_OK;
  };
  CHECK(status_of([] { possum::Reader("a/b"); }) == POSSUM_ERROR_SETTINGS);
  CHECK(status_of([] { possum::Video("nonsense", 1, 1); }) == POSSUM_ERROR_FORMAT);
  const std::string channel = support::unique_channel();
  possum::Reader reader(channel.c_str());
  possum::Frame frame;
  CHECK(status_of([&] { reader.next(frame, POSSUM_AT_ONCE); }) == POSSUM_ERROR_NOT_FOUND);
  CHECK(reader.take(frame, POSSUM_AT_ONCE) == POSSUM_DISCONNECTED && !frame);

  const possum::Video packed("RGB16", 8, 8);
  possum::Writer writer(channel.c_str(), packed);
  CHECK(reader.attach() == POSSUM_OK);
  CHECK(reader.take(frame, POSSUM_AT_ONCE) == POSSUM_TIMEOUT);
  {
    possum::Slot slot;
    CHECK(writer.borrow(slot) == POSSUM_OK && writer.statistics().borrowed == 1);
    CHECK(status_of([&] { possum::view(slot, packed); }) == POSSUM_ERROR_FORMAT);
    CHECK(status_of([&] { possum::view(slot, possum::Video("BGR", 4000, 4000)); }) ==
          POSSUM_ERROR_SETTINGS);
    CHECK(status_of([&] { possum::view(slot, possum::Video("BGR", 8, 8), 1); }) ==
          POSSUM_ERROR_SETTINGS);
    possum::FrameParams wrong;
    wrong.bytes = 1;
    CHECK(status_of([&] { writer.publish(slot, &wrong); }) == POSSUM_ERROR_SETTINGS);
    CHECK(writer.statistics().borrowed == 1);  // still
  }
  CHECK(writer.statistics().borrowed == 0);  // gave itself back
  // A stride that a 16-bit Mat cannot have.
  writer.set_caps(possum::Video("GRAY16_LE", 3, 2).caps());
  possum::FrameParams odd;
  odd.plane_count = 1;
  odd.planes[0] = {0, 7, 0};
  const unsigned char rows[14] = {};
  CHECK(writer.write(rows, sizeof rows, &odd) == POSSUM_OK);  // copied: default strides
  CHECK(reader.take(frame) == POSSUM_OK && possum::view(frame).type() == CV_16UC1);
  possum::Slot narrow;
  CHECK(writer.borrow(narrow, sizeof rows) == POSSUM_OK);
  CHECK(writer.publish(narrow, &odd) == POSSUM_OK && reader.take(frame) == POSSUM_OK);
  CHECK(status_of([&] { possum::view(frame); }) == POSSUM_ERROR_FORMAT);

  writer.interrupt();
  CHECK(writer.wait_readers(9) == POSSUM_INTERRUPTED);
  writer.interrupt(false);
}
