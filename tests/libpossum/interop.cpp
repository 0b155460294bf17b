// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// libpossum here, possumsink and possumsrc in other processes: pictures, layouts, times,
// flags, caps and ends in both directions.

#include <gst/app/app.h>
#include <gst/video/video.h>

#include <string>
#include <vector>

#include "possum/refs.h"
#include "support/check.h"
#include "support/library.h"
#include "support/players.h"

using namespace library;  // every test speaks its words
using possum::Ref;

namespace {

Ref<GstElement> launch(const std::string& description) {
  gst_init(nullptr, nullptr);
  GError* error = nullptr;
  GstElement* const pipeline = gst_parse_launch(description.c_str(), &error);
  if (error != nullptr) std::fprintf(stderr, "%s\n", error->message);
  CHECK(error == nullptr);
  return Ref<GstElement>{pipeline};
}

Ref<GstElement> element(const Ref<GstElement>& pipeline, const char* name) {
  return Ref<GstElement>{gst_bin_get_by_name(GST_BIN(pipeline.get()), name)};
}

// Calls use(data, stride, rows, bytes of a row, number) with each plane.
template <class Use>
void each_plane(GstBuffer* buffer, GstCaps* caps, GstMapFlags flags, Use use) {
  GstVideoInfo info;
  GstVideoFrame picture;
  CHECK(gst_video_info_from_caps(&info, caps));
  CHECK(gst_video_frame_map(&picture, &info, buffer, flags));
  for (guint p = 0; p < GST_VIDEO_FRAME_N_PLANES(&picture); ++p) {
    gint parts[GST_VIDEO_MAX_COMPONENTS];
    gst_video_format_info_component(info.finfo, p, parts);
    use(static_cast<unsigned char*>(GST_VIDEO_FRAME_PLANE_DATA(&picture, p)),
        static_cast<std::size_t>(GST_VIDEO_FRAME_PLANE_STRIDE(&picture, p)),
        static_cast<std::size_t>(GST_VIDEO_FRAME_COMP_HEIGHT(&picture, parts[0])),
        static_cast<std::size_t>(GST_VIDEO_FRAME_COMP_WIDTH(&picture, parts[0]) *
                                 GST_VIDEO_FRAME_COMP_PSTRIDE(&picture, parts[0])),
        p);
  }
  gst_video_frame_unmap(&picture);
}

// Is it the picture of its own offset?
bool intact(GstBuffer* buffer, GstCaps* caps) {
  bool same = true;
  each_plane(buffer, caps, GST_MAP_READ, [&](auto... plane) {
    same &= plane_shows(plane..., GST_BUFFER_OFFSET(buffer));
  });
  return same;
}

// `padded`: with borders, so that strides and offsets are not the default ones.
Ref<GstBuffer> new_picture(GstCaps* caps, bool padded, std::uint64_t key) {
  GstVideoInfo real;
  CHECK(gst_video_info_from_caps(&real, caps));
  if (padded) {
    GstVideoAlignment alignment;
    gst_video_alignment_reset(&alignment);
    alignment.padding_left = alignment.padding_right = 16;
    alignment.padding_top = alignment.padding_bottom = 2;
    CHECK(gst_video_info_align(&real, &alignment));
  }
  Ref<GstBuffer> buffer{gst_buffer_new_allocate(nullptr, real.size, nullptr)};
  gst_buffer_add_video_meta_full(
      buffer.get(), GST_VIDEO_FRAME_FLAG_NONE, GST_VIDEO_INFO_FORMAT(&real),
      static_cast<guint>(real.width), static_cast<guint>(real.height),
      GST_VIDEO_INFO_N_PLANES(&real), real.offset, real.stride);
  each_plane(buffer.get(), caps, GST_MAP_WRITE,
             [&](auto... plane) { draw_plane(plane..., key); });
  GST_BUFFER_OFFSET(buffer.get()) = key;
  return buffer;
}

std::string caps_for(const std::string& format, int width = 65, int height = 33) {
  return "video/x-raw, format=" + format + ", width=" + std::to_string(width) +
         ", height=" + std::to_string(height) + ", framerate=25/1";
}

const std::vector<std::string> kFormats = {
    "BGR",  "RGB",  "BGRx", "RGBA",      "ARGB",      "GRAY8", "GRAY16_LE", "GRAY16_BE",
    "I420", "YV12", "NV12", "NV21",      "Y42B",      "Y444",  "NV16",      "A420",
    "Y41B", "GBRA", "RGBP", "P010_10LE", "I420_10LE", "RGB16", "ARGB64"};

// CHANNEL TIMES: possumsrc to an appsink; a line for each frame, then the end.
ROLE(element_reader) {
  const auto pipeline =
      launch("possumsrc leaky-type=none is-live=false channel=" + args[0] +
             " ! appsink name=sink sync=false max-buffers=1");
  const auto sink = element(pipeline, "sink");
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  support::say("playing");
  while (GstSample* taken = gst_app_sink_pull_sample(GST_APP_SINK(sink.get()))) {
    GstBuffer* const buffer = gst_sample_get_buffer(taken);
    GstCaps* const caps = gst_sample_get_caps(taken);
    const char* const format =
        gst_structure_get_string(gst_caps_get_structure(caps, 0), "format");
    std::string line = std::string(format) + " " +
                       std::to_string(GST_BUFFER_OFFSET(buffer)) +
                       (intact(buffer, caps) ? " intact" : " torn");
    if (args[1] == "with times") {
      line += " pts " + std::to_string(GST_BUFFER_PTS(buffer)) + " duration " +
              std::to_string(GST_BUFFER_DURATION(buffer)) + " flags " +
              std::to_string(GST_BUFFER_FLAGS(buffer) & POSSUM_FLAG_CORRUPTED);
    }
    support::say(line);
    gst_sample_unref(taken);
  }
  const Ref<GstBus> bus{gst_element_get_bus(pipeline.get())};
  const Ref<GstMessage> error{gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ERROR)};
  support::say(error ? "error" : "eos");
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  return error ? 1 : 0;
}

// CHANNEL FRAMES PADDED CAPS...: FRAMES pictures of each caps through possumsink.
ROLE(element_writer) {
  const auto pipeline =
      launch("appsrc name=src format=time ! possumsink channel=" + args[0] +
             " sync=false allow-blocking=true min-readers=1");
  const auto source = element(pipeline, "src");
  gst_element_set_state(pipeline.get(), GST_STATE_PLAYING);
  support::say("playing");
  std::uint64_t key = 0;
  for (std::size_t i = 3; i < args.size(); ++i) {
    const Ref<GstCaps> caps{gst_caps_from_string(args[i].c_str())};
    gst_app_src_set_caps(GST_APP_SRC(source.get()), caps.get());
    for (int n = 0; n < std::stoi(args[1]); ++n, ++key) {
      Ref<GstBuffer> buffer = new_picture(caps.get(), args[2] == "padded", key);
      GST_BUFFER_PTS(buffer.get()) = key * 40 * GST_MSECOND;
      GST_BUFFER_DURATION(buffer.get()) = 40 * GST_MSECOND;
      GST_BUFFER_FLAG_SET(buffer.get(), GST_BUFFER_FLAG_CORRUPTED);
      CHECK(gst_app_src_push_buffer(GST_APP_SRC(source.get()), buffer.release()) ==
            GST_FLOW_OK);
    }
  }
  gst_app_src_end_of_stream(GST_APP_SRC(source.get()));
  const Ref<GstBus> bus{gst_element_get_bus(pipeline.get())};
  const Ref<GstMessage> end{gst_bus_timed_pop_filtered(
      bus.get(), GST_CLOCK_TIME_NONE,
      static_cast<GstMessageType>(GST_MESSAGE_EOS | GST_MESSAGE_ERROR))};
  const bool fine = GST_MESSAGE_TYPE(end.get()) == GST_MESSAGE_EOS;
  gst_element_set_state(pipeline.get(), GST_STATE_NULL);
  return fine ? 0 : 1;
}

// A C writer, and a possumsrc that has come to it.
struct ReadByPossumsrc {
  explicit ReadByPossumsrc(const std::string& caps, const std::string& times = "no times")
      : reader("element_reader", {channel, times}) {
    reader.expect("playing");
    writer = open_writer(channel, caps, allow_blocking);
    await_readers(writer);
  }
  void end() {
    end_stream(writer);
    reader.expect("eos");
    reader.expect_status(0);
  }
  const std::string channel = unique_channel();
  Peer reader;
  WriterHandle writer;
};

TEST(possumsrc_shows_each_format_of_a_c_writer) {
  ReadByPossumsrc to(caps_for("BGR"));
  std::vector<std::string> formats = kFormats;
  formats.push_back("YUY2");
  std::uint64_t key = 0;
  for (const std::string& format : formats) {
    const std::string caps = caps_for(format, format == "YUY2" ? 64 : 65);
    EXPECT(POSSUM_OK, possum_writer_set_caps(to.writer, caps.c_str(), 0));
    for (int n = 0; n < 2; ++n, ++key) {
      EXPECT(POSSUM_OK, publish_picture(to.writer, video_of(caps), key, in_ms(kLimitMs)));
      to.reader.expect(format + " " + std::to_string(key) + " intact");
    }
  }
  to.end();
}

TEST(possumsrc_understands_strides_of_a_c_writer) {
  const std::string caps = caps_for("NV12");
  ReadByPossumsrc to(caps);
  possum_video video = video_of(caps);
  possum_frame_params params = params_for(7);
  place_planes({{8192, 128, 0}, {256, 96, 0}}, video, params);
  SlotHandle slot = borrow(to.writer, 16384);
  draw_picture(video, possum_slot_data(slot), 7);
  EXPECT(POSSUM_OK, possum_writer_publish(to.writer, slot, &params, POSSUM_FOREVER));
  slot.reset();
  to.reader.expect("NV12 7 intact");
  to.end();
}

TEST(possumsrc_has_times_and_flags_of_a_c_writer) {
  const std::string caps = caps_for("GRAY8");
  ReadByPossumsrc to(caps, "with times");
  std::vector<unsigned char> picture(video_of(caps).bytes);
  for (std::uint64_t key = 0; key < 3; ++key) {
    draw_picture(video_of(caps), picture.data(), key);
    possum_frame_params params = params_for(key);
    params.pts_ns = static_cast<std::int64_t>(key) * 50'000'000;
    params.duration_ns = 50'000'000;
    params.flags = key == 1 ? POSSUM_FLAG_CORRUPTED : 0;
    EXPECT(POSSUM_OK, write(to.writer, picture, &params, POSSUM_FOREVER));
    to.reader.expect("GRAY8 " + std::to_string(key) + " intact pts " +
                     std::to_string(params.pts_ns) + " duration 50000000 flags " +
                     (key == 1 ? "256" : "0"));
  }
  to.end();
}

TEST_F(support::OnChannel, possumsrc_refuses_what_is_no_video_with_one_error) {
  const WriterHandle writer =
      open_writer(channel, "application/x-possum-array, dtype=float32, shape=4");
  EXPECT(POSSUM_OK, write(writer, std::vector<float>{1, 2, 3, 4}));
  auto player = support::launch("possumsrc channel=CHANNEL ! fakesink", channel);
  player.expect_status(1);
  const std::string sentence =
      "channel \"" + channel + "\" carries application/x-possum-array: read it with";
  const std::string& said = player.output();
  CHECK(support::says(said, sentence) && said.find(sentence) == said.rfind(sentence));
}

// Reads all that `element_writer` sends and checks it.
void check_sink(const std::vector<std::string>& formats, const std::string& padding,
                std::uint64_t frames) {
  const std::string channel = unique_channel();
  ReaderHandle reader = open_reader(channel, blocking);
  std::vector<std::string> args = {channel, std::to_string(frames), padding};
  for (const std::string& format : formats) args.push_back(caps_for(format));
  Peer writer("element_writer", args);
  std::uint64_t key = 0;
  for (const std::string& format : formats) {
    for (std::uint64_t n = 0; n < frames; ++n, ++key) {
      FrameHandle frame = next(reader);
      const possum_frame_info info = info_of(frame);
      possum_video video = no_video();
      EXPECT(POSSUM_OK, possum_frame_get_video(frame, &video));
      CHECK(video.format == format && video.framerate_n == 25);
      CHECK(info.offset == key && shows_its_key(frame) && info.missed == 0);
      CHECK(info.pts_ns == static_cast<std::int64_t>(key) * 40'000'000);
      CHECK(info.duration_ns == 40'000'000);
      CHECK((info.flags & POSSUM_FLAG_CORRUPTED) != 0);
    }
  }
  EXPECT(POSSUM_EOS, try_next(reader));
  reader.reset();
  writer.expect_status(0);
}

TEST(c_reader_shows_each_format_of_possumsink) { check_sink(kFormats, "packed", 2); }

TEST(c_reader_understands_bordered_pictures_of_possumsink) {
  check_sink({"I420", "NV12", "BGRx", "GRAY16_LE"}, "padded", 3);
}

TEST(c_reader_follows_possumsink_over_its_restart) {
  const std::string channel = unique_channel();
  const ReaderHandle reader = open_reader(channel, blocking);
  std::uint64_t first = 0;
  for (int life = 0; life < 2; ++life) {
    Peer writer("element_writer", {channel, "1", "packed", caps_for("BGR")});
    FrameHandle frame = next(reader);
    CHECK(shows_its_key(frame) && info_of(frame).writer_id != first);
    first = info_of(frame).writer_id;
    frame.reset();
    EXPECT(POSSUM_EOS, try_next(reader));
    writer.expect_status(0);
    possum_reader_detach(reader);  // this one has said that it was all
  }
}

}  // namespace
