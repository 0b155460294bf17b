// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What possumsrc makes of a channel's caps text and of a frame's layout: any text is
// caps of raw video or none, and a frame that is accepted can be mapped by GStreamer and
// read to the last byte of each plane, where the frame ends at an unreadable page.
#include <gst/video/video.h>
#include <pthread.h>

#include "../../gst/possum/caps.h"
#include "../../gst/possum/frameinfo.h"
#include "../../gst/possum/planes.h"
#include "fuzz.h"
#include "transport/descriptor.h"

using namespace fuzz;
using possum::FrameFit;
using possum::Ref;

namespace {

constexpr std::size_t kLargest = 1 << 20;  // larger frames are not looked at

Ref<GstCaps> read(const std::string& text, GstVideoInfo& info) {
  possum::ChannelCaps caps = possum::read_caps(text);
  FUZZ_CHECK((caps.caps != nullptr) == (caps.kind == possum::CapsKind::raw_video));
  info = caps.info;
  return std::move(caps.caps);
}

// Long texts with as little stack as a thread has where the C library is musl.
Ref<GstCaps> parse(const std::string& text, GstVideoInfo& info) {
  constexpr std::size_t kLong = 256;
  if (text.size() < kLong) return read(text, info);
  struct Job {
    const std::string& text;
    GstVideoInfo& info;
    Ref<GstCaps> caps;
  } job{text, info, nullptr};
  pthread_attr_t attributes;
  pthread_t thread;
  FUZZ_CHECK(pthread_attr_init(&attributes) == 0 &&
             pthread_attr_setstacksize(&attributes, 128 << 10) == 0);
  const auto work = [](void* data) -> void* {
    const Bounded bounded("parsing caps");
    auto& mine = *static_cast<Job*>(data);
    mine.caps = read(mine.text, mine.info);
    return nullptr;
  };
  FUZZ_CHECK(pthread_create(&thread, &attributes, work, &job) == 0);
  FUZZ_CHECK(pthread_join(thread, nullptr) == 0);
  pthread_attr_destroy(&attributes);
  return std::move(job.caps);
}

void read_tiles(const GstVideoFrame& frame, unsigned plane) {
  const gint stride = GST_VIDEO_FRAME_PLANE_STRIDE(&frame, plane);
  const auto tiles = static_cast<std::size_t>(GST_VIDEO_TILE_X_TILES(stride)) *
                     static_cast<std::size_t>(GST_VIDEO_TILE_Y_TILES(stride));
  read_every_byte(GST_VIDEO_FRAME_PLANE_DATA(&frame, plane),
                  tiles * frame.info.finfo->tile_info[plane].size);
}

// What GStreamer itself would make of a frame of this size.
bool default_layout(const GstVideoFrame& frame, GstVideoInfo& fresh) {
  return gst_video_info_set_interlaced_format(
      &fresh, GST_VIDEO_FRAME_FORMAT(&frame), GST_VIDEO_INFO_INTERLACE_MODE(&frame.info),
      static_cast<guint>(frame.info.width), static_cast<guint>(frame.info.height));
}

// Of formats without bytes per pixel a row is as long as in the default layout, like in
// gst_video_frame_copy_plane(); what a larger stride leaves behind it is nobody's.
gint default_stride(const GstVideoFrame& frame, guint plane) {
  GstVideoInfo fresh;
  FUZZ_CHECK(default_layout(frame, fresh));
  return fresh.stride[plane];
}

// Row by row, as an element does that goes by the pixel stride.
void read_component(const GstVideoFrame& frame, guint c) {
  const auto* const plane = static_cast<const guint8*>(
      GST_VIDEO_FRAME_PLANE_DATA(&frame, GST_VIDEO_FRAME_COMP_PLANE(&frame, c)));
  const gint step = GST_VIDEO_FRAME_COMP_STRIDE(&frame, c);
  const gint pixel = GST_VIDEO_FRAME_COMP_PSTRIDE(&frame, c);
  const gint row = pixel > 0
                       ? GST_VIDEO_FRAME_COMP_WIDTH(&frame, c) * pixel
                       : default_stride(frame, GST_VIDEO_FRAME_COMP_PLANE(&frame, c));
  for (gint y = 0; y < GST_VIDEO_FRAME_COMP_HEIGHT(&frame, c); ++y) {
    read_every_byte(plane + static_cast<std::ptrdiff_t>(y) * step,
                    static_cast<std::size_t>(row));
  }
}

void read_planes(const GstVideoFrame& frame) {
  const GstVideoFormatInfo* const format = frame.info.finfo;
  if (GST_VIDEO_FORMAT_INFO_IS_TILED(format)) {
    for (unsigned p = 0; p < GST_VIDEO_FRAME_N_PLANES(&frame); ++p) read_tiles(frame, p);
    return;
  }
  for (guint c = 0; c < GST_VIDEO_FRAME_N_COMPONENTS(&frame); ++c) {
    const bool palette = GST_VIDEO_FORMAT_INFO_HAS_PALETTE(format) &&
                         GST_VIDEO_FRAME_COMP_PLANE(&frame, c) == 1;
    if (!palette) read_component(frame, c);
  }
  if (GST_VIDEO_FORMAT_INFO_HAS_PALETTE(format)) {
    read_every_byte(GST_VIDEO_FRAME_PLANE_DATA(&frame, 1), 256 * 4);
  }
}

// GStreamer's own copy, into a frame of its own.
void copy_as_gstreamer_does(const GstVideoFrame& frame) {
  GstVideoInfo fresh;
  if (!default_layout(frame, fresh)) return;
  const Ref<GstBuffer> to{gst_buffer_new_allocate(nullptr, fresh.size, nullptr)};
  GstVideoFrame target;
  FUZZ_CHECK(gst_video_frame_map(&target, &fresh, to.get(), GST_MAP_WRITE));
  gst_video_frame_copy(&target, &frame);
  gst_video_frame_unmap(&target);
}

void use(GstBuffer* buffer, GstVideoInfo& info) {
  GstVideoFrame frame;
  FUZZ_CHECK(gst_video_frame_map(&frame, &info, buffer, GST_MAP_READ));
  read_planes(frame);
  copy_as_gstreamer_does(frame);
  gst_video_frame_unmap(&frame);
}

void lie(Input& in, layout::FrameDescriptor& frame) {
  const Area areas[] = {
      {&frame, sizeof frame},
      {&frame.data_bytes, sizeof frame.data_bytes},
      {&frame.width, 2 * sizeof frame.width},
      {&frame.padding, sizeof frame.padding},
      {&frame.plane_count, sizeof frame - offsetof(layout::FrameDescriptor, plane_count) -
                               sizeof frame.reserved},
  };
  for (int edits = 0; edits < 16 && !in.empty(); ++edits) read_edit(in, areas).apply();
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // What GLib takes for a fault of this program must not come from another one's words.
  static const bool ready =
      (gst_init(nullptr, nullptr),
       g_log_set_always_fatal(static_cast<GLogLevelFlags>(
           G_LOG_FATAL_MASK | G_LOG_LEVEL_CRITICAL | G_LOG_LEVEL_WARNING)),
       true);
  FUZZ_CHECK(ready);
  Input in(data, size);
  const std::string text = in.text();
  GstVideoInfo info;
  const Ref<GstCaps> caps = parse(text, info);
  if (!caps || info.size > kLargest) return 0;

  layout::FrameDescriptor frame{};
  FUZZ_CHECK(possum::describe_layout(info, nullptr, info.size, frame));
  lie(in, frame);
  // What the transport lets through.
  layout::DataHeader header{};
  header.pixels_capacity = kLargest;
  std::string why;
  frame.data_offset = 0;
  if (!valid_descriptor(frame, header, why)) return 0;

  const FrameFit fit = possum::fit_frame(info, frame);
  if (fit == FrameFit::corrupt) return 0;
  const gsize bytes = fit == FrameFit::standard ? info.size : frame.data_bytes;
  static std::byte* const end = guarded_end(kLargest, PROT_READ);
  std::byte* const pixels = end - frame.data_bytes;
  const Ref<GstBuffer> buffer{gst_buffer_new()};
  gst_buffer_append_memory(
      buffer.get(), gst_memory_new_wrapped(GST_MEMORY_FLAG_READONLY, pixels,
                                           frame.data_bytes, 0, bytes, nullptr, nullptr));
  possum::add_video_meta(buffer.get(), info, frame);
  FUZZ_CHECK((gst_buffer_get_video_meta(buffer.get()) != nullptr) ==
             ((frame.frame_flags & layout::kFramePlanes) != 0));
  possum::apply_attributes(buffer.get(), frame);
  use(buffer.get(), info);
  const Ref<GstBuffer> packed = possum::packed_copy(buffer.get(), info);
  FUZZ_CHECK(packed && gst_buffer_get_size(packed.get()) == info.size);
  use(packed.get(), info);
  return 0;
}
