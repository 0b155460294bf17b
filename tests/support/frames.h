// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Small frames that can be told apart by a value that all their bytes have.
#pragma once

#include <gst/video/video.h>

#include <string>
#include <vector>

#include "possum/refs.h"
#include "require.h"

namespace elements {

using possum::Ref;

constexpr char kSmall[] =
    "video/x-raw,format=I420,width=16,height=16,framerate=25/1,"
    "interlace-mode=progressive,pixel-aspect-ratio=1/1,colorimetry=bt601,"
    "chroma-site=jpeg";
constexpr gsize kSmallBytes = 16 * 16 * 3 / 2;
constexpr GstClockTime kFrameTime = 40 * GST_MSECOND;

inline Ref<GstCaps> caps_of(const std::string& text) {
  GstCaps* caps = gst_caps_from_string(text.c_str());
  require(caps != nullptr, "no caps: " + text);
  return Ref<GstCaps>{caps};
}

inline std::string text_of(const GstCaps* caps) {
  const Ref<gchar> text{gst_caps_to_string(caps)};
  return text.get();
}

// No plane's rows are as long as its stride.
constexpr char kOdd[] = "video/x-raw,format=I420,width=641,height=359,framerate=25/1";

inline std::string gray(int width, int height, const std::string& rate = "25/1") {
  return "video/x-raw,format=GRAY8,width=" + std::to_string(width) +
         ",height=" + std::to_string(height) + ",framerate=" + rate;
}

inline GstVideoInfo info_of(const std::string& caps) {
  GstVideoInfo info;
  require(gst_video_info_from_caps(&info, caps_of(caps).get()), "no video: " + caps);
  return info;
}

inline void fill(GstBuffer* buffer, guint8 value) {
  gst_buffer_memset(buffer, 0, value, gst_buffer_get_size(buffer));
}

// The value's time at 25 Hz.
inline void stamp(GstBuffer* buffer, guint8 value) {
  GST_BUFFER_PTS(buffer) = value * kFrameTime;
  GST_BUFFER_DURATION(buffer) = kFrameTime;
}

// In ordinary memory.
inline Ref<GstBuffer> new_frame(guint8 value, gsize size = kSmallBytes) {
  Ref<GstBuffer> buffer{gst_buffer_new_allocate(nullptr, size, nullptr)};
  fill(buffer.get(), value);
  stamp(buffer.get(), value);
  return buffer;
}

inline Ref<GstBuffer> frame_at(guint8 value, GstClockTime pts,
                               GstClockTime dts = GST_CLOCK_TIME_NONE) {
  Ref<GstBuffer> frame = new_frame(value);
  GST_BUFFER_PTS(frame.get()) = pts;
  GST_BUFFER_DTS(frame.get()) = dts;
  return frame;
}

inline Ref<GstBuffer> acquire(GstBufferPool* pool) {
  GstBuffer* buffer = nullptr;
  const GstFlowReturn flow = gst_buffer_pool_acquire_buffer(pool, &buffer, nullptr);
  require(flow == GST_FLOW_OK, std::string("acquire: ") + gst_flow_get_name(flow));
  return Ref<GstBuffer>{buffer};
}

// Of a pool.
inline Ref<GstBuffer> acquire(GstBufferPool* pool, guint8 value) {
  Ref<GstBuffer> buffer = acquire(pool);
  fill(buffer.get(), value);
  stamp(buffer.get(), value);
  return buffer;
}

inline std::vector<guint8> bytes_of(GstBuffer* buffer) {
  std::vector<guint8> bytes(gst_buffer_get_size(buffer));
  require(gst_buffer_extract(buffer, 0, bytes.data(), bytes.size()) == bytes.size(),
          "a buffer cannot be read");
  return bytes;
}

// Does it lie in shared memory that a writer lends?
inline bool in_slot(GstBuffer* buffer) {
  return gst_memory_is_type(gst_buffer_peek_memory(buffer, 0), "PossumSlot");
}

// Of new_frame() and acquire(): every byte has it.
inline int value_of(GstBuffer* buffer) {
  const std::vector<guint8> bytes = bytes_of(buffer);
  require(!bytes.empty(), "an empty frame");
  for (const guint8 byte : bytes) require(byte == bytes.front(), "a torn frame");
  return bytes.front();
}

// A frame as it arrived, with what went before it.
struct Frame {
  Ref<GstBuffer> buffer;
  Ref<GstCaps> caps;
  GstSegment segment{};
  bool has(GstBufferFlags flag) const {
    return GST_BUFFER_FLAG_IS_SET(buffer.get(), flag);
  }
  GstClockTime pts() const { return GST_BUFFER_PTS(buffer.get()); }
  GstClockTime dts() const { return GST_BUFFER_DTS(buffer.get()); }
  int value() const { return value_of(buffer.get()); }
  GstClockTime running_time() const {
    return gst_segment_to_running_time(&segment, GST_FORMAT_TIME, pts());
  }
};

}  // namespace elements
