// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The transport has checked that each plane lies within the frame. What is checked here
// is that the picture which the caps promise lies within the planes, since programs go
// by width, height and stride.
#include "frame.h"

#include "base/caps_text.h"
#include "status.h"
#include "transport/frame_times.h"
#include "video_layout.h"

namespace possum {
namespace {

void describe_times(const transport::Frame& lease, std::int64_t now_ns,
                    possum_frame_info& info) {
  const transport::layout::FrameDescriptor& frame = lease.descriptor();
  const bool plausible =
      !lease.strange_clock() && transport::plausible_times(frame, now_ns);
  info.publish_ns = plausible ? frame.publish_ns : now_ns;
  info.capture_ns = plausible ? transport::capture_ns(frame) : now_ns;
  const bool timed = (frame.frame_flags & transport::layout::kFrameTimes) != 0;
  info.pts_ns = timed ? frame.running_pts_ns : POSSUM_NO_TIME;
  info.dts_ns = timed ? frame.running_dts_ns : POSSUM_NO_TIME;
  info.duration_ns = frame.duration_ns < 0 ? POSSUM_NO_TIME : frame.duration_ns;
  info.latency_ns = std::max<std::int64_t>(0, frame.latency_ns);
}

bool picture_fits(const VideoFormat& format, const possum_plane_layout& picture,
                  const transport::layout::PlaneLayout& plane) {
  const std::uint64_t row = row_bytes(format, picture);
  if (plane.stride <= 0 || static_cast<std::uint64_t>(plane.stride) < row) return false;
  const std::uint64_t rows = picture.height - 1;
  return rows * static_cast<std::uint64_t>(plane.stride) + row <= plane.bytes;
}

// Without a description of its own a frame has the default layout of its caps.
transport::layout::FrameDescriptor with_planes(
    const transport::layout::FrameDescriptor& frame, const possum_video& video) {
  transport::layout::FrameDescriptor full = frame;
  if ((frame.frame_flags & transport::layout::kFramePlanes) != 0) return full;
  full.width = static_cast<std::uint32_t>(video.width);
  full.height = static_cast<std::uint32_t>(video.height);
  full.plane_count = video.plane_count;
  for (unsigned p = 0; p < video.plane_count; ++p) {
    const possum_plane_layout& plane = video.planes[p];
    full.planes[p] = {plane.offset, plane.bytes, plane.stride, 0};
  }
  return full;
}

bool describe_video(const transport::layout::FrameDescriptor& given,
                    const possum_video& video, const VideoFormat& format,
                    possum_frame_info& info, std::string& why) {
  const transport::layout::FrameDescriptor frame = with_planes(given, video);
  if (frame.plane_count != video.plane_count ||
      frame.width < static_cast<std::uint32_t>(video.width) ||
      frame.height < static_cast<std::uint32_t>(video.height)) {
    why = "a picture of another size or format";
    return false;
  }
  info.is_video = 1;
  info.width = static_cast<std::uint32_t>(video.width);
  info.height = frame_lines(video);
  info.plane_count = frame.plane_count;
  for (unsigned p = 0; p < frame.plane_count; ++p) {
    const possum_plane_layout& picture = video.planes[p];
    const transport::layout::PlaneLayout& plane = frame.planes[p];
    const bool inside = plane.offset <= given.data_bytes &&
                        plane.bytes <= given.data_bytes - plane.offset;
    if (!inside || !picture_fits(format, picture, plane)) {
      why = "planes that do not fit their caps";
      return false;
    }
    info.planes[p].width = picture.width;
    info.planes[p].height = picture.height;
    info.planes[p].pixel_bytes = picture.pixel_bytes;
    info.planes[p].offset = plane.offset;
    info.planes[p].bytes = plane.bytes;
    info.planes[p].stride = plane.stride;
  }
  return true;
}

void describe_opaque(const transport::layout::FrameDescriptor& frame,
                     possum_frame_info& info) {
  if ((frame.frame_flags & transport::layout::kFramePlanes) == 0) return;
  info.width = frame.width;
  info.height = frame.height;
  info.plane_count = frame.plane_count;
  for (unsigned p = 0; p < frame.plane_count; ++p) {
    info.planes[p].offset = frame.planes[p].offset;
    info.planes[p].bytes = frame.planes[p].bytes;
    info.planes[p].stride = frame.planes[p].stride;
  }
}

}  // namespace

std::shared_ptr<const FrameFormat> read_format(std::shared_ptr<const std::string> caps) {
  if (!valid_caps(*caps)) return nullptr;
  auto format = std::make_shared<FrameFormat>();
  std::string why;
  format->video = read_video_caps(*caps, why);
  if (format->video) format->known = find_format(format->video->format);
  format->caps = std::move(caps);
  return format;
}

bool describe_frame(const transport::Frame& frame, const FrameFormat& format,
                    std::int64_t now_ns, possum_frame_info& info, std::string& why) {
  const transport::layout::FrameDescriptor& d = frame.descriptor();
  info.bytes = frame.size();
  info.caps = format.caps->c_str();
  info.seq = d.seq;
  info.missed = frame.missed();
  describe_times(frame, now_ns, info);
  info.offset = d.offset;
  info.offset_end = d.offset_end;
  info.flags = d.buffer_flags;
  info.flush_id = d.flush_id;
  if (format.video) return describe_video(d, *format.video, *format.known, info, why);
  describe_opaque(d, info);
  return true;
}

}  // namespace possum

// --- the C side ------------------------------------------------------------------------

void possum_frame_get_info(const possum_frame* frame, possum_frame_info* info,
                           size_t size) {
  if (info == nullptr) return;
  possum::hand_out(frame ? frame->info : possum_frame_info{}, info, size);
}

const char* possum_frame_caps(const possum_frame* frame) {
  return frame ? frame->info.caps : "";
}

possum_status possum_frame_get_video(const possum_frame* frame, possum_video* video) {
  return possum::at_border([&] {
    possum_video filled = possum::default_video();
    const possum_status status =
        possum::take_in(video, possum::kFirstVideo, filled, "possum_video_init");
    if (status != POSSUM_OK) return status;
    if (frame == nullptr || !frame->format->video) {
      return possum::answer(POSSUM_ERROR_FORMAT,
                            "The frame is no raw video of a format that libpossum knows: "
                            "look at its caps",
                            frame ? frame->info.caps : "no frame");
    }
    filled = *frame->format->video;
    for (unsigned p = 0; p < filled.plane_count; ++p) {
      filled.planes[p].offset = frame->info.planes[p].offset;
      filled.planes[p].bytes = frame->info.planes[p].bytes;
      filled.planes[p].stride = frame->info.planes[p].stride;
    }
    filled.bytes = frame->info.bytes;
    filled.size = video->size;
    possum::hand_out(filled, video, video->size);
    return POSSUM_OK;
  });
}

possum_frame* possum_frame_ref(possum_frame* frame) {
  if (frame != nullptr) frame->owners.fetch_add(1, std::memory_order_relaxed);
  return frame;
}

void possum_frame_release(possum_frame* frame) {
  // acq_rel: what any owner read happens before the slot goes home.
  if (frame != nullptr && frame->owners.fetch_sub(1, std::memory_order_acq_rel) == 1) {
    delete frame;
  }
}
