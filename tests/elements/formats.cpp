// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Every raw video format, byte-exact, in the default layout and with borders, on the
// path without a copy and on the one with it; and everything of a buffer besides its
// pixels.
#include <string>
#include <vector>

#include "support/pictures.h"
#include "support/suite.h"

namespace {

std::vector<GstVideoFormat> all_formats() {
  guint count = 0;
  const GstVideoFormat* formats = gst_video_formats_raw(&count);
  return {formats, formats + count};
}

std::string caps_for(GstVideoFormat format, const std::string& size) {
  return std::string("video/x-raw,format=") + gst_video_format_to_string(format) + "," +
         size + ",framerate=30/1";
}

// How the frames of a test lie in memory, and where.
using Draw = Ref<GstBuffer> (*)(const Producer& producer, const GstVideoInfo& info);

Ref<GstBuffer> in_ordinary_memory(const Producer&, const GstVideoInfo& info) {
  return Ref<GstBuffer>{gst_buffer_new_allocate(nullptr, info.size, nullptr)};
}

Ref<GstBuffer> in_ordinary_memory_with_borders(const Producer&,
                                               const GstVideoInfo& info) {
  return new_padded(info);
}

Ref<GstBuffer> in_a_slot(const Producer& producer, const GstVideoInfo&) {
  return producer.pool().acquire();
}

Ref<GstBuffer> in_a_slot_with_borders(const Producer& producer,
                                      const GstVideoInfo& info) {
  return producer.pool([&](GstStructure* config) { ask_for_borders(info, config); })
      .acquire();
}

constexpr Draw kDraws[] = {in_ordinary_memory, in_ordinary_memory_with_borders, in_a_slot,
                           in_a_slot_with_borders};

// A channel that changes its caps with every frame.
struct Sweep : Pair {
  explicit Sweep(Draw draw, Downstream downstream = {})
      : Pair("", "", Upstream{}, std::move(downstream)), draw_(draw) {}
  // Sends one random picture.
  void send(const std::string& caps) {
    const GstVideoInfo info = info_of(caps);
    producer.caps(caps);
    Ref<GstBuffer> sent = draw_(producer, info);
    const Picture picture = draw_random(info, sent.get(), ++sent_);
    const bool standard = gst_buffer_get_size(sent.get()) == info.size;
    const std::vector<guint8> bytes = bytes_of(sent.get());
    producer.push(std::move(sent));
    const Frame got = consumer.pull();
    fail_unless(gst_caps_is_equal(got.caps.get(), caps_of(caps).get()), "%s became %s",
                caps.c_str(), text_of(got.caps.get()).c_str());
    fail_unless(picture_of(info, got.buffer.get()) == picture, "another picture: %s",
                caps.c_str());
    if (standard) {
      fail_unless(bytes_of(got.buffer.get()) == bytes, "other bytes: %s", caps.c_str());
    }
    check_view(got.buffer.get(), info);
  }
  void send_every_format(const std::string& size) {
    for (const GstVideoFormat format : all_formats()) send(caps_for(format, size));
  }
  guint64 sent() const { return sent_; }

 private:
  // Whoever does not look at GstVideoMeta must not need it.
  void check_view(GstBuffer* buffer, const GstVideoInfo& info) const {
    const GstVideoMeta* meta = gst_buffer_get_video_meta(buffer);
    if (meta == nullptr) {
      expect_equal(gst_buffer_get_size(buffer), info.size);
      return;
    }
    expect_equal(meta->format, GST_VIDEO_INFO_FORMAT(&info));
    expect_equal(meta->n_planes, GST_VIDEO_INFO_N_PLANES(&info));
  }

  const Draw draw_;
  unsigned sent_ = 0;
};

}  // namespace

TEST(gstreamer_knows_the_formats_that_are_meant) {
  guint count = 0;
  gst_video_formats_raw(&count);
  expect_equal(all_formats().size(), count);
  fail_unless(count >= 111);
}

struct Crossing {
  Draw draw;
  bool knows_strides;
};
constexpr Crossing kCrossings[] = {{in_ordinary_memory, true},
                                   {in_ordinary_memory_with_borders, true},
                                   {in_a_slot, true},
                                   {in_a_slot_with_borders, true},
                                   {in_a_slot_with_borders, false}};

TESTS(every_format_crosses_with_no_copy_too_many, std::size(kCrossings)) {
  const auto& [draw, knows_strides] = kCrossings[i];
  const bool copied =
      draw == in_ordinary_memory || draw == in_ordinary_memory_with_borders;
  Sweep sweep(draw, {knows_strides, ""});
  sweep.send_every_format("width=641,height=359");
  // The first frame of all is in ordinary memory.
  sweep.producer.expect_stats({{"copied", copied ? sweep.sent() + 1 : 1},
                               {"zero-copy", copied ? 0 : sweep.sent()}});
  sweep.consumer.expect_stats(
      {{"copied", knows_strides ? 0 : sweep.sent()}, {"missed", 0}});
}

TEST(the_smallest_pictures_cross) {
  for (const Draw draw : kDraws) {
    Sweep sweep(draw);
    sweep.send_every_format("width=1,height=1");
    sweep.send_every_format("width=3,height=2");
  }
}

TEST(interlaced_pictures_cross) {
  for (const Draw draw : kDraws) {
    Sweep sweep(draw);
    for (const char* format : {"I420", "NV12", "YUY2", "v210", "BGRx", "P010_10LE"}) {
      const std::string rest = std::string("format=") + format +
                               ",width=641,height=358,framerate=25/1,interlace-mode=";
      sweep.send("video/x-raw," + rest + "interleaved,field-order=top-field-first");
      sweep.send("video/x-raw," + rest + "mixed");
      sweep.send("video/x-raw(format:Interlaced)," + rest + "alternate");
    }
  }
}

// --- besides the pixels --------------------------------------------------------------

TEST(caps_cross_to_the_last_field) {
  Sweep sweep(in_ordinary_memory);
  for (const char* caps :
       {"video/x-raw,format=NV12,width=64,height=48,framerate=30000/1001,"
        "pixel-aspect-ratio=12/11,colorimetry=bt2020,chroma-site=mpeg2,"
        "interlace-mode=interleaved,field-order=bottom-field-first",
        "video/x-raw,format=P010_10LE,width=64,height=48,framerate=0/1,"
        "max-framerate=60/1,colorimetry=2:4:16:3,views=1,multiview-mode=left",
        "video/x-raw,format=I420,width=64,height=48,framerate=50/1,"
        "mastering-display-info=35400:14600:8500:39850:6550:2300:15635:16450:10000000:1,"
        "content-light-level=(string)1000:300",
        "video/x-raw,format=BGRA,width=64,height=48,framerate=5/1,"
        "my-field=(string)\"a \\\"quoted\\\" text, with signs\""}) {
    sweep.send(caps);
  }
}

TEST(attributes_of_a_buffer_cross) {
  Pair pair("", "timestamp-mode=running-time");
  Ref<GstBuffer> sent = new_frame(2);
  GST_BUFFER_PTS(sent.get()) = 3 * GST_SECOND;
  GST_BUFFER_DTS(sent.get()) = 2 * GST_SECOND;
  GST_BUFFER_DURATION(sent.get()) = 33366667;
  GST_BUFFER_OFFSET(sent.get()) = 0x123456789abcdef0;
  GST_BUFFER_OFFSET_END(sent.get()) = 0x123456789abcdef1;
  pair.producer.push(std::move(sent));
  const Frame got = pair.consumer.pull();
  expect_equal(got.pts(), 3 * GST_SECOND);
  expect_equal(got.dts(), 2 * GST_SECOND);
  expect_equal(GST_BUFFER_DURATION(got.buffer.get()), 33366667);
  expect_equal(GST_BUFFER_OFFSET(got.buffer.get()), 0x123456789abcdef0);
  expect_equal(GST_BUFFER_OFFSET_END(got.buffer.get()), 0x123456789abcdef1);

  pair.producer.push(
      Ref<GstBuffer>{gst_buffer_new_allocate(nullptr, kSmallBytes, nullptr)});
  const Frame bare = pair.consumer.pull();
  expect_equal(bare.pts(), GST_CLOCK_TIME_NONE);
  expect_equal(bare.dts(), GST_CLOCK_TIME_NONE);
  expect_equal(GST_BUFFER_DURATION(bare.buffer.get()), GST_CLOCK_TIME_NONE);
  expect_equal(GST_BUFFER_OFFSET(bare.buffer.get()), GST_BUFFER_OFFSET_NONE);
  expect_equal(GST_BUFFER_OFFSET_END(bare.buffer.get()), GST_BUFFER_OFFSET_NONE);
}

TEST(flags_of_a_buffer_cross_and_none_is_added) {
  Pair pair;
  constexpr guint kFlags[] = {GST_BUFFER_FLAG_LIVE,
                              GST_BUFFER_FLAG_DECODE_ONLY,
                              GST_BUFFER_FLAG_DISCONT,
                              GST_BUFFER_FLAG_RESYNC,
                              GST_BUFFER_FLAG_CORRUPTED,
                              GST_BUFFER_FLAG_MARKER,
                              GST_BUFFER_FLAG_HEADER,
                              GST_BUFFER_FLAG_GAP,
                              GST_BUFFER_FLAG_DROPPABLE,
                              GST_BUFFER_FLAG_DELTA_UNIT,
                              GST_BUFFER_FLAG_NON_DROPPABLE,
                              GST_VIDEO_BUFFER_FLAG_INTERLACED,
                              GST_VIDEO_BUFFER_FLAG_TFF,
                              GST_VIDEO_BUFFER_FLAG_RFF,
                              GST_VIDEO_BUFFER_FLAG_ONEFIELD,
                              GST_VIDEO_BUFFER_FLAG_TOP_FIELD,
                              GST_VIDEO_BUFFER_FLAG_BOTTOM_FIELD,
                              GST_VIDEO_BUFFER_FLAG_MARKER};
  constexpr guint kAll = ~static_cast<guint>(GST_MINI_OBJECT_FLAG_LAST - 1) &
                         ~static_cast<guint>(GST_BUFFER_FLAG_TAG_MEMORY);
  for (const guint flag : kFlags) {
    Ref<GstBuffer> sent = new_frame(2);
    GST_BUFFER_FLAG_UNSET(sent.get(), kAll);
    GST_BUFFER_FLAG_SET(sent.get(), flag);
    pair.producer.push(std::move(sent));
    const Frame got = pair.consumer.pull();
    fail_unless((GST_BUFFER_FLAGS(got.buffer.get()) & kAll) == flag, "0x%x became 0x%x",
                flag, GST_BUFFER_FLAGS(got.buffer.get()) & kAll);
  }
}
