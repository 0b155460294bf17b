// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum-display: a possum channel in an OpenCV window. A frame is looked at where the
// writer put it, as a cv::Mat with the frame's own stride, and never written to.
#include <gst/app/gstappsink.h>
#include <gst/video/video.h>

#include <cstdio>
#include <cstring>
#include <exception>
#include <opencv2/core.hpp>
#include <opencv2/imgcodecs.hpp>
#include <opencv2/imgproc.hpp>
#include <optional>
#include <stdexcept>
#include <string>

#include "common/program.h"
#include "mapped_frame.h"
#include "statistics.h"
#include "window.h"

namespace {

// What one cv::Mat can hold as it is. Anything else goes through videoconvert, which
// knows planes, odd sizes and colour spaces; the cheapest of its results comes first.
constexpr const char* kViewable =
    "video/x-raw, format={ BGRx, BGR, BGRA, RGBx, RGB, RGBA, GRAY8 }";

// OpenCV cannot wait for a frame and the window's events at once.
constexpr GstClockTime kLongestWait = 20 * GST_MSECOND;

struct Options {
  std::string channel = "default";
  std::string snapshot;
  int frames = 0;
  bool window = true;
};

Options read_options(int& argc, char**& argv) {
  Options options;
  gchar* channel = nullptr;
  gchar* snapshot = nullptr;
  gboolean no_window = FALSE;
  const GOptionEntry entries[] = {
      {"channel", 0, 0, G_OPTION_ARG_STRING, &channel, "Channel to show", "NAME"},
      {"frames", 0, 0, G_OPTION_ARG_INT, &options.frames, "End after N frames", "N"},
      {"snapshot", 0, 0, G_OPTION_ARG_FILENAME, &snapshot,
       "Save the last picture in this file", "FILE"},
      {"no-window", 0, 0, G_OPTION_ARG_NONE, &no_window, "Only print the statistics",
       nullptr},
      {}};
  parse_options(argc, argv, entries,
                "Shows a possum channel in a window; q or Escape ends it.");
  if (channel) options.channel = take_string(channel);
  options.snapshot = take_string(snapshot);
  options.window = !no_window;
  if (options.frames < 0) throw std::runtime_error("--frames must be positive");
  return options;
}

// Only this conversion reads the frame; what is shown and written on is the copy in
// `bgr`.
void convert_for_viewing(const cv::Mat& frame, GstVideoFormat format, cv::Mat bgr) {
  switch (format) {
    case GST_VIDEO_FORMAT_BGR:
      return frame.copyTo(bgr);
    case GST_VIDEO_FORMAT_BGRx:
    case GST_VIDEO_FORMAT_BGRA:
      return cv::cvtColor(frame, bgr, cv::COLOR_BGRA2BGR);
    case GST_VIDEO_FORMAT_RGB:
      return cv::cvtColor(frame, bgr, cv::COLOR_RGB2BGR);
    case GST_VIDEO_FORMAT_RGBx:
    case GST_VIDEO_FORMAT_RGBA:
      return cv::cvtColor(frame, bgr, cv::COLOR_RGBA2BGR);
    case GST_VIDEO_FORMAT_GRAY8:
      return cv::cvtColor(frame, bgr, cv::COLOR_GRAY2BGR);
    default:
      throw std::runtime_error(std::string("unexpected format ") +
                               gst_video_format_to_string(format));
  }
}

// appsink does not answer the ALLOCATION query by itself, and padded frames would then be
// copied into packed ones for it. We honour GstVideoMeta, so say so. (GStreamer 1.24 has
// the signal "propose-allocation" for this.)
GstPadProbeReturn accept_video_meta(GstPad*, GstPadProbeInfo* info, gpointer) {
  GstQuery* query = GST_PAD_PROBE_INFO_QUERY(info);
  if (GST_QUERY_TYPE(query) != GST_QUERY_ALLOCATION) return GST_PAD_PROBE_OK;
  gst_query_add_allocation_meta(query, GST_VIDEO_META_API_TYPE, nullptr);
  return GST_PAD_PROBE_HANDLED;
}

// possumsrc ! videoconvert ! appsink, of which the newest frame is wanted at once.
class ChannelReader {
 public:
  explicit ChannelReader(const std::string& channel)
      : pipeline_(gst_pipeline_new(nullptr)) {
    try {
      add_elements(channel);
      start(pipeline_);
    } catch (...) {
      release();
      throw;
    }
  }
  ~ChannelReader() { release(); }
  ChannelReader(const ChannelReader&) = delete;
  ChannelReader& operator=(const ChannelReader&) = delete;

  // Transfer full; null when there is nothing to tell or no frame yet.
  GstMessage* next_message() const {
    g_autoptr(GstBus) bus = gst_element_get_bus(pipeline_);
    return gst_bus_pop_filtered(bus, kMessages);
  }
  GstSample* next_frame() const {
    return gst_app_sink_try_pull_sample(GST_APP_SINK(sink_), kLongestWait);
  }

  // Time since the frame was captured, when it says when that was.
  std::optional<double> age_ms(GstSample* sample) const {
    const GstClockTime captured =
        gst_segment_to_running_time(gst_sample_get_segment(sample), GST_FORMAT_TIME,
                                    GST_BUFFER_PTS(gst_sample_get_buffer(sample)));
    const GstClockTime now = gst_element_get_current_running_time(pipeline_);
    if (!GST_CLOCK_TIME_IS_VALID(captured) || !GST_CLOCK_TIME_IS_VALID(now)) return {};
    return static_cast<double>(GST_CLOCK_DIFF(captured, now)) / GST_MSECOND;
  }

  void print_statistics() const {
    g_autoptr(GstStructure) stats = nullptr;
    g_object_get(source_, "stats", &stats, nullptr);
    std::printf("carried: %" G_GUINT64_FORMAT "\nmissed: %" G_GUINT64_FORMAT
                "\ncopied by the reader: %" G_GUINT64_FORMAT "\n",
                statistic(stats, "frames"), statistic(stats, "missed"),
                statistic(stats, "copied"));
  }

 private:
  static constexpr GstMessageType kMessages = static_cast<GstMessageType>(
      GST_MESSAGE_ERROR | GST_MESSAGE_EOS | GST_MESSAGE_PROGRESS);

  void add_elements(const std::string& channel) {
    source_ = add("possumsrc");
    GstElement* convert = add("videoconvert");
    sink_ = add("appsink");
    gst_element_link_many(source_, convert, sink_, nullptr);
    g_object_set(source_, "channel", channel.c_str(), nullptr);

    g_autoptr(GstCaps) caps = gst_caps_from_string(kViewable);
    // enable-last-sample would hold a slot of the writer's for nothing.
    g_object_set(sink_, "caps", caps, "sync", FALSE, "max-buffers", 1u, "drop", TRUE,
                 "enable-last-sample", FALSE, nullptr);
    g_autoptr(GstPad) pad = gst_element_get_static_pad(sink_, "sink");
    gst_pad_add_probe(pad,
                      static_cast<GstPadProbeType>(GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM |
                                                   GST_PAD_PROBE_TYPE_PUSH),
                      accept_video_meta, nullptr, nullptr);
  }

  GstElement* add(const char* factory) {
    GstElement* element = make_element(factory);
    gst_bin_add(GST_BIN(pipeline_), element);
    return element;
  }

  void release() {
    gst_element_set_state(pipeline_, GST_STATE_NULL);
    gst_clear_object(&pipeline_);
  }

  GstElement* pipeline_;
  // Owned by the pipeline.
  GstElement* source_ = nullptr;
  GstElement* sink_ = nullptr;
};

class Display {
 public:
  explicit Display(Options options)
      : options_(std::move(options)), reader_(options_.channel) {
    if (options_.window) window_.emplace("possum: " + options_.channel);
  }

  void run() {
    while (!interrupted() && handle_messages()) {
      g_autoptr(GstSample) sample = reader_.next_frame();
      if (sample) show(sample);
      if (options_.frames > 0 && statistics_.shown() == options_.frames) break;
      if (window_ && !window_->handle_events()) break;
    }
  }

  void print_statistics() const {
    std::printf("shown: %lld\n", static_cast<long long>(statistics_.shown()));
    reader_.print_statistics();
    std::printf("frames per second: %.2f\nmedian frame age: %.2f ms\n",
                statistics_.total_fps(), statistics_.median_age_ms());
  }

  void save_snapshot() const {
    if (options_.snapshot.empty()) return;
    if (canvas_.picture().empty()) throw std::runtime_error("no picture to save");
    if (!cv::imwrite(options_.snapshot, canvas_.picture())) {
      throw std::runtime_error("\"" + options_.snapshot + "\" cannot be written");
    }
  }

 private:
  // False at the end of the stream.
  bool handle_messages() {
    while (true) {
      g_autoptr(GstMessage) message = reader_.next_message();
      if (!message) return true;
      switch (GST_MESSAGE_TYPE(message)) {
        case GST_MESSAGE_ERROR:
          throw_error(message);
        case GST_MESSAGE_EOS:
          tell("end of the stream");
          return false;
        default:
          handle_progress(message);
      }
    }
  }

  void handle_progress(GstMessage* message) {
    GstProgressType type{};
    g_autofree gchar* code = nullptr;
    gst_message_parse_progress(message, &type, &code, nullptr);
    if (std::strcmp(code, "connect") != 0 || type != GST_PROGRESS_TYPE_START) return;
    statistics_.pause();
    told_format_.clear();
    tell("waiting for the channel \"" + options_.channel + "\"");
  }

  void show(GstSample* sample) {
    GstVideoInfo info;
    if (!gst_video_info_from_caps(&info, gst_sample_get_caps(sample))) {
      throw std::runtime_error("a frame without usable caps");
    }
    tell_format(info);
    if (window_ || !options_.snapshot.empty()) view(sample, info);
    const std::optional<double> age_ms = reader_.age_ms(sample);
    statistics_.add(age_ms);
    if (!window_) return;
    canvas_.write(cv::format("%5.1f fps   age %6.2f ms   ", statistics_.recent_fps(),
                             age_ms.value_or(0)) +
                  told_format_);
    window_->show(canvas_.image());
  }

  void view(GstSample* sample, const GstVideoInfo& info) {
    MappedFrame frame(gst_sample_get_buffer(sample), info, GST_MAP_READ);
    convert_for_viewing(frame.mat(), GST_VIDEO_INFO_FORMAT(&info),
                        canvas_.picture({info.width, info.height}));
  }

  void tell_format(const GstVideoInfo& info) {
    std::string format = cv::format("%dx%d %s", info.width, info.height,
                                    gst_video_format_to_string(info.finfo->format));
    if (format == told_format_) return;
    told_format_ = std::move(format);
    std::printf("showing %s\n", told_format_.c_str());
    std::fflush(stdout);
  }

  void tell(const std::string& text) {
    std::printf("%s\n", text.c_str());
    std::fflush(stdout);
    if (!window_) return;
    canvas_.write(text);
    window_->show(canvas_.image());
  }

  const Options options_;
  ChannelReader reader_;
  std::optional<Window> window_;
  Canvas canvas_;
  Statistics statistics_;
  std::string told_format_;
};

}  // namespace

int main(int argc, char** argv) {
  watch_for_interrupt();
  try {
    Display display(read_options(argc, argv));
    display.run();
    display.print_statistics();
    display.save_snapshot();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "possum-display: %s\n", error.what());
    return 1;
  }
}
