// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum-embed-viewer: a channel in a window, with frame rate and frame age, across
// whatever happens to its writer.
#include <gst/video/video.h>

#include <cstdio>
#include <exception>
#include <mutex>
#include <string>
#include <utility>

#include "application.h"
#include "common/program.h"

namespace {

struct Options {
  std::string channel = "default";
  bool until_eos = false;
  bool window = true;
};

Options read_options(int& argc, char**& argv) {
  Options options;
  gchar* channel = nullptr;
  gboolean until_eos = FALSE;
  gboolean no_window = FALSE;
  const GOptionEntry entries[] = {
      {"channel", 0, 0, G_OPTION_ARG_STRING, &channel, "Channel to show", "NAME"},
      {"until-eos", 0, 0, G_OPTION_ARG_NONE, &until_eos,
       "End when a writer says that its stream ends", nullptr},
      {"no-window", 0, 0, G_OPTION_ARG_NONE, &no_window, "Only print", nullptr},
      {}};
  parse_options(argc, argv, entries,
                "Shows a possum channel in a window; q or Escape ends it.");
  if (channel) options.channel = take_string(channel);
  options.until_eos = until_eos;
  options.window = !no_window;
  return options;
}

// What came since the last look. From capture to window: the age of a frame.
struct Counts {
  int frames = 0;
  int gaps = 0;
  int aged = 0;
  GstClockTimeDiff age_sum = 0;
};

// possumsrc ! videoconvert ! textoverlay ! window
class Viewer : public Application {
 public:
  explicit Viewer(const Options& options)
      : source_(add("possumsrc")), text_(add("textoverlay")) {
    GstElement* convert = add("videoconvert");
    GstElement* display = add_display(options.window);
    gst_element_link_many(source_, convert, text_, display, nullptr);
    g_object_set(source_, "channel", options.channel.c_str(), "ignore-eos",
                 !options.until_eos, nullptr);
    g_object_set(text_, "font-desc", "Sans 20px", "shaded-background", TRUE, nullptr);
    gst_util_set_object_arg(G_OBJECT(text_), "halignment", "left");

    g_autoptr(GstPad) from_writer = gst_element_get_static_pad(source_, "src");
    gst_pad_add_probe(from_writer, GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM, caps_arrived,
                      this, nullptr);
    g_autoptr(GstPad) to_window = gst_element_get_static_pad(display, "sink");
    gst_pad_add_probe(to_window, GST_PAD_PROBE_TYPE_BUFFER, frame_arrived, this, nullptr);
  }

 private:
  // --- streaming thread ---

  // Of the channel's own format, which only possumsrc's pad shows.
  static GstPadProbeReturn caps_arrived(GstPad*, GstPadProbeInfo* info, gpointer self) {
    GstEvent* event = GST_PAD_PROBE_INFO_EVENT(info);
    if (GST_EVENT_TYPE(event) != GST_EVENT_CAPS) return GST_PAD_PROBE_OK;
    GstCaps* caps = nullptr;
    gst_event_parse_caps(event, &caps);
    GstElement* pipeline = static_cast<Viewer*>(self)->pipeline();
    gst_element_post_message(
        pipeline, gst_message_new_application(
                      GST_OBJECT(pipeline),
                      gst_structure_new("format", "caps", GST_TYPE_CAPS, caps, nullptr)));
    return GST_PAD_PROBE_OK;
  }

  static GstPadProbeReturn frame_arrived(GstPad* pad, GstPadProbeInfo* info,
                                         gpointer self) {
    static_cast<Viewer*>(self)->count(pad, GST_PAD_PROBE_INFO_BUFFER(info));
    return GST_PAD_PROBE_OK;
  }

  void count(GstPad* pad, GstBuffer* frame) {
    const GstClockTime captured = running_time(pad, frame);
    const GstClockTime now = gst_element_get_current_running_time(pipeline());
    const std::scoped_lock guard(lock_);
    ++counts_.frames;
    // The first of all frames, one after a gap, or a new writer's first.
    if (GST_BUFFER_FLAG_IS_SET(frame, GST_BUFFER_FLAG_DISCONT)) ++counts_.gaps;
    if (!GST_CLOCK_TIME_IS_VALID(captured) || !GST_CLOCK_TIME_IS_VALID(now)) return;
    ++counts_.aged;
    counts_.age_sum += GST_CLOCK_DIFF(captured, now);
  }

  static GstClockTime running_time(GstPad* pad, GstBuffer* frame) {
    g_autoptr(GstEvent) event = gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0);
    if (!event) return GST_CLOCK_TIME_NONE;
    const GstSegment* segment = nullptr;
    gst_event_parse_segment(event, &segment);
    return gst_segment_to_running_time(segment, GST_FORMAT_TIME, GST_BUFFER_PTS(frame));
  }

  // --- main loop ---

  void on_second() override {
    Counts counts;
    {
      const std::scoped_lock guard(lock_);
      counts = std::exchange(counts_, {});
    }
    // The first look comes late when the window takes long to open.
    const gint64 now_us = g_get_monotonic_time();
    const double passed =
        double(now_us - std::exchange(looked_us_, now_us)) / G_USEC_PER_SEC;
    if (counts.frames == 0) return;
    const double age_ms =
        counts.aged ? double(counts.age_sum) / counts.aged / GST_MSECOND : 0;
    char text[80];
    std::snprintf(text, sizeof text, "%.0f fps   age %.1f ms", counts.frames / passed,
                  age_ms);
    g_object_set(text_, "text", (text + ("   " + format_)).c_str(), nullptr);
    if (counts.gaps > 0) {
      tell(std::string(text) + "   gaps " + std::to_string(counts.gaps));
    } else {
      tell(text);
    }
  }

  bool on_message(GstMessage* message) override {
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_PROGRESS) {
      // The channel is awaited, was found, or not: a sentence each.
      g_autofree gchar* text = nullptr;
      gst_message_parse_progress(message, nullptr, nullptr, &text);
      tell(text);
      return true;
    }
    if (GST_MESSAGE_TYPE(message) != GST_MESSAGE_APPLICATION) return false;
    show_format(gst_message_get_structure(message));
    return true;
  }

  void show_format(const GstStructure* news) {
    const GValue* caps = gst_structure_get_value(news, "caps");
    GstVideoInfo info;
    if (!gst_video_info_from_caps(&info, gst_value_get_caps(caps))) return;
    format_ = std::to_string(info.width) + "x" + std::to_string(info.height) + " " +
              gst_video_format_to_string(GST_VIDEO_INFO_FORMAT(&info));
    tell("showing " + format_);
  }

  // Owned by the pipeline.
  GstElement* const source_;
  GstElement* const text_;

  // Main loop only.
  std::string format_;
  gint64 looked_us_ = g_get_monotonic_time();

  std::mutex lock_;
  Counts counts_;  // guarded by lock_
};

}  // namespace

int main(int argc, char** argv) {
  try {
    Viewer viewer(read_options(argc, argv));
    viewer.run();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "possum-embed-viewer: %s\n", error.what());
    return 1;
  }
}
