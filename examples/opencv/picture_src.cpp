// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A GStreamer source element for a PictureSource. GstPushSrc asks the element after it
// for a buffer pool and hands out its buffers, so the pictures are drawn where they are
// wanted.
#include "picture_src.h"

#include <gst/base/gstpushsrc.h>
#include <gst/video/video.h>

#include <exception>

#include "mapped_frame.h"

namespace {

// A recording that does not know its rate has to be played at some rate.
constexpr double kRateOfRecordings = 30;

struct PictureSrc {
  GstPushSrc parent;
  // Constant after construction.
  PictureSource* source;
  GstVideoInfo info;
  // Streaming thread only.
  guint64 frames;
};

struct PictureSrcClass {
  GstPushSrcClass parent;
};

G_DEFINE_TYPE(PictureSrc, picture_src, GST_TYPE_PUSH_SRC)

PictureSrc* cast(gpointer instance) { return static_cast<PictureSrc*>(instance); }

GstVideoInfo video_info(const PictureSource& source) {
  GstVideoInfo info;
  gst_video_info_set_format(&info, GST_VIDEO_FORMAT_BGR,
                            static_cast<guint>(source.size().width),
                            static_cast<guint>(source.size().height));
  const double fps = source.fps() > 0 || source.live() ? source.fps() : kRateOfRecordings;
  gst_util_double_to_fraction(fps, &info.fps_n, &info.fps_d);
  return info;
}

// None when the rate varies.
GstClockTime time_of_frame(const GstVideoInfo& info, guint64 frame) {
  if (info.fps_n == 0) return GST_CLOCK_TIME_NONE;
  return gst_util_uint64_scale(frame, GST_SECOND * static_cast<guint64>(info.fps_d),
                               static_cast<guint64>(info.fps_n));
}

GstCaps* get_caps(GstBaseSrc* base, GstCaps* filter) {
  GstCaps* caps = gst_video_info_to_caps(&cast(base)->info);
  if (!filter) return caps;
  GstCaps* common = gst_caps_intersect_full(filter, caps, GST_CAPS_INTERSECT_FIRST);
  gst_caps_unref(caps);
  return common;
}

void draw(PictureSrc* self, GstBuffer* buffer) {
  MappedFrame frame(buffer, self->info, GST_MAP_WRITE);
  cv::Mat picture = frame.mat();
  self->source->draw(picture);
}

GstFlowReturn fill(GstPushSrc* base, GstBuffer* buffer) {
  PictureSrc* self = cast(base);
  try {
    if (!self->source->wait()) return GST_FLOW_EOS;
    // The capture time is now, before the picture is decoded or drawn.
    GST_BUFFER_PTS(buffer) = self->source->live()
                                 ? gst_element_get_current_running_time(GST_ELEMENT(base))
                                 : time_of_frame(self->info, self->frames);
    GST_BUFFER_DURATION(buffer) = time_of_frame(self->info, 1);
    draw(self, buffer);
    ++self->frames;
    return GST_FLOW_OK;
  } catch (const std::exception& error) {
    GST_ELEMENT_ERROR(base, RESOURCE, READ, ("%s", error.what()), (nullptr));
    return GST_FLOW_ERROR;
  }
}

void picture_src_class_init(PictureSrcClass* klass) {
  GstElementClass* element_class = GST_ELEMENT_CLASS(klass);
  gst_element_class_set_static_metadata(element_class, "OpenCV pictures", "Source/Video",
                                        "Pictures drawn by OpenCV", "the possum authors");
  g_autoptr(GstCaps) caps = gst_caps_from_string(GST_VIDEO_CAPS_MAKE("BGR"));
  gst_element_class_add_pad_template(
      element_class, gst_pad_template_new("src", GST_PAD_SRC, GST_PAD_ALWAYS, caps));
  GST_BASE_SRC_CLASS(klass)->get_caps = get_caps;
  GST_PUSH_SRC_CLASS(klass)->fill = fill;
}

void picture_src_init(PictureSrc* self) {
  gst_base_src_set_format(GST_BASE_SRC(self), GST_FORMAT_TIME);
}

}  // namespace

GstElement* make_picture_src(PictureSource& source) {
  auto* self = cast(g_object_new(picture_src_get_type(), nullptr));
  self->source = &source;
  self->info = video_info(source);
  gst_base_src_set_live(GST_BASE_SRC(self), source.live());
  return GST_ELEMENT(self);
}
