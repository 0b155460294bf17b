// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum-capture: pictures from OpenCV into a possum channel. Each one is drawn straight
// into a slot of the shared memory that possumsink proposes, so nobody copies it.
#include <glib-unix.h>
#include <gst/gst.h>

#include <csignal>
#include <cstdio>
#include <exception>
#include <memory>
#include <opencv2/core.hpp>
#include <opencv2/core/utils/logger.hpp>
#include <stdexcept>
#include <string>

#include "common/program.h"
#include "picture_source.h"
#include "picture_src.h"

namespace {

struct Options {
  std::string channel = "default";
  std::string file;
  bool test = false;
  int camera = -1;
  cv::Size size;
  double fps = 0;
  int frames = 0;
};

cv::Size parse_size(const std::string& text) {
  if (text.empty()) return {};
  cv::Size size;
  char rest = 0;
  const int fields =
      std::sscanf(text.c_str(), "%dx%d%c", &size.width, &size.height, &rest);
  if (fields != 2 || size.width < 1 || size.height < 1 || size.width > 32767 ||
      size.height > 32767) {
    throw std::runtime_error("--size wants WIDTHxHEIGHT, such as 640x480, not \"" + text +
                             "\"");
  }
  return size;
}

Options read_options(int& argc, char**& argv) {
  Options options;
  gchar* channel = nullptr;
  gchar* file = nullptr;
  gchar* size = nullptr;
  gboolean test = FALSE;
  const GOptionEntry entries[] = {
      {"channel", 0, 0, G_OPTION_ARG_STRING, &channel, "Channel to write", "NAME"},
      {"camera", 0, 0, G_OPTION_ARG_INT, &options.camera,
       "Camera /dev/videoN (default: the first that works)", "N"},
      {"file", 0, 0, G_OPTION_ARG_FILENAME, &file, "A video file instead", "FILE"},
      {"test", 0, 0, G_OPTION_ARG_NONE, &test, "A moving test picture instead", nullptr},
      {"size", 0, 0, G_OPTION_ARG_STRING, &size, "Size of the picture", "WxH"},
      {"fps", 0, 0, G_OPTION_ARG_DOUBLE, &options.fps, "Frames per second", "N"},
      {"frames", 0, 0, G_OPTION_ARG_INT, &options.frames, "End after N frames", "N"},
      {}};
  parse_options(argc, argv, entries,
                "Writes a camera, a video file or a test picture into a possum channel.");
  if (channel) options.channel = take_string(channel);
  options.file = take_string(file);
  options.size = parse_size(take_string(size));
  options.test = test;
  if (options.fps < 0 || options.frames < 0) {
    throw std::runtime_error("--fps and --frames must be positive");
  }
  return options;
}

std::unique_ptr<PictureSource> open_source(const Options& options) {
  if (options.test) return open_test_picture(options.size, options.fps);
  if (!options.file.empty()) return open_file(options.file, options.size, options.fps);
  if (options.camera < 0) return open_first_camera(options.size, options.fps);
  return open_camera(options.camera, options.size, options.fps);
}

// Pictures ! possumsink, until they end, fail or the user has had enough.
class Capture {
 public:
  Capture(PictureSource& source, const Options& options)
      : loop_(g_main_loop_new(nullptr, FALSE)), pipeline_(gst_pipeline_new(nullptr)) {
    for (int signal : {SIGINT, SIGTERM, SIGHUP}) g_unix_signal_add(signal, quit, loop_);
    try {
      add_elements(source, options);
      start(pipeline_);
    } catch (...) {
      release();
      throw;
    }
  }
  ~Capture() { release(); }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  void run() {
    g_autoptr(GstBus) bus = gst_element_get_bus(pipeline_);
    gst_bus_add_watch(bus, on_message, this);
    g_main_loop_run(loop_);
    gst_bus_remove_watch(bus);
    if (error_) throw_error(error_);
  }

  void print_statistics() const {
    g_autoptr(GstStructure) stats = nullptr;
    g_object_get(sink_, "stats", &stats, nullptr);
    std::printf("written: %" G_GUINT64_FORMAT "\ncopied by the writer: %" G_GUINT64_FORMAT
                "\n",
                statistic(stats, "frames"), statistic(stats, "copied"));
  }

 private:
  void add_elements(PictureSource& source, const Options& options) {
    GstElement* pictures = make_picture_src(source);
    gst_bin_add(GST_BIN(pipeline_), pictures);
    sink_ = make_element("possumsink");
    gst_bin_add(GST_BIN(pipeline_), sink_);
    gst_element_link(pictures, sink_);
    g_object_set(sink_, "channel", options.channel.c_str(), nullptr);
    if (options.frames > 0) {
      g_object_set(pictures, "num-buffers", options.frames, nullptr);
    }
  }

  static gboolean quit(gpointer loop) {
    g_main_loop_quit(static_cast<GMainLoop*>(loop));
    return G_SOURCE_CONTINUE;
  }

  static gboolean on_message(GstBus*, GstMessage* message, gpointer instance) {
    auto* self = static_cast<Capture*>(instance);
    const GstMessageType type = GST_MESSAGE_TYPE(message);
    if (type == GST_MESSAGE_ERROR && !self->error_) {
      self->error_ = gst_message_ref(message);
    }
    if (type == GST_MESSAGE_ERROR || type == GST_MESSAGE_EOS) {
      g_main_loop_quit(self->loop_);
    }
    return G_SOURCE_CONTINUE;
  }

  void release() {
    gst_element_set_state(pipeline_, GST_STATE_NULL);
    gst_clear_message(&error_);
    gst_clear_object(&pipeline_);
    g_main_loop_unref(loop_);
  }

  GMainLoop* const loop_;
  GstElement* pipeline_;
  // Owned by the pipeline.
  GstElement* sink_ = nullptr;
  GstMessage* error_ = nullptr;
};

void run(int argc, char** argv) {
  const Options options = read_options(argc, argv);
  const std::unique_ptr<PictureSource> source = open_source(options);
  Capture capture(*source, options);
  std::printf("writing %s, %dx%d BGR, to the channel \"%s\"\n", source->name().c_str(),
              source->size().width, source->size().height, options.channel.c_str());
  std::fflush(stdout);
  capture.run();
  capture.print_statistics();
}

}  // namespace

int main(int argc, char** argv) {
  // What OpenCV has to say about a missing camera is said below, in one line.
  cv::utils::logging::setLogLevel(cv::utils::logging::LOG_LEVEL_SILENT);
  try {
    run(argc, argv);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "possum-capture: %s\n", error.what());
    return 1;
  }
}
