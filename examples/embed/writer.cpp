// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum-embed-writer: an application that shows its picture in a window of its own and,
// next to it, shares it with other processes by possumsink.
#include <array>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include "application.h"
#include "common/program.h"
#include "sharing.h"

namespace {

// What the key `c` goes through: size, format and rate may change with any frame.
constexpr std::array kPictures = {
    "video/x-raw, format=I420, width=640, height=360, framerate=30/1",
    "video/x-raw, format=NV12, width=1280, height=720, framerate=30/1",
    "video/x-raw, format=BGRx, width=320, height=240, framerate=15/1",
};

struct Options {
  std::string channel = "default";
  int frames = 0;
  int change_every = 0;
  bool window = true;
};

Options read_options(int& argc, char**& argv) {
  Options options;
  gchar* channel = nullptr;
  gboolean no_window = FALSE;
  const GOptionEntry entries[] = {
      {"channel", 0, 0, G_OPTION_ARG_STRING, &channel, "Channel to write", "NAME"},
      {"frames", 0, 0, G_OPTION_ARG_INT, &options.frames, "End after N frames", "N"},
      {"change-every", 0, 0, G_OPTION_ARG_INT, &options.change_every,
       "Another size and format every N seconds", "N"},
      {"no-window", 0, 0, G_OPTION_ARG_NONE, &no_window, "Only share the picture",
       nullptr},
      {}};
  parse_options(argc, argv, entries,
                "Shows a moving picture and shares it by a possum channel. Keys, in the "
                "window or (with Enter) in the terminal:\n"
                "  s  share or stop sharing\n  c  change size and format\n  q  quit");
  if (channel) options.channel = take_string(channel);
  options.window = !no_window;
  if (options.frames < 0 || options.change_every < 0) {
    throw std::runtime_error("--frames and --change-every must be positive");
  }
  return options;
}

std::string text_of(GstMessage* message) {
  g_autoptr(GError) error = nullptr;
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
    gst_message_parse_error(message, &error, nullptr);
  } else {
    gst_message_parse_warning(message, &error, nullptr);
  }
  return error->message;
}

// source ! capsfilter ! tee ! queue ! window, and possumsink beside the window.
class Writer : public Application {
 public:
  explicit Writer(const Options& options)
      : options_(options),
        filter_(make_source()),
        tee_(add("tee")),
        sharing_(pipeline(), tee_, options_.channel) {
    gst_element_link(filter_, tee_);
    GstElement* queue = add("queue");
    GstElement* convert = add("videoconvert");
    GstElement* display = add_display(options_.window);
    gst_element_link_many(tee_, queue, convert, display, nullptr);
    // A window that is not drawn holds up nobody.
    gst_util_set_object_arg(G_OBJECT(queue), "leaky", "downstream");
    change_picture();
  }

 private:
  GstElement* make_source() {
    GstElement* source = add("videotestsrc");
    GstElement* filter = add("capsfilter");
    gst_element_link(source, filter);
    gst_util_set_object_arg(G_OBJECT(source), "pattern", "ball");
    g_object_set(source, "is-live", TRUE, nullptr);
    if (options_.frames > 0)
      g_object_set(source, "num-buffers", options_.frames, nullptr);
    return filter;
  }

  void on_playing() override { share(); }

  void on_key(char key) override {
    if (key == 'c') change_picture();
    if (key == 's' && !sharing_.stop()) share();
  }

  void on_second() override {
    print_statistics();
    if (options_.change_every > 0 && ++seconds_ % options_.change_every == 0) {
      change_picture();
    }
  }

  bool on_message(GstMessage* message) override {
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_APPLICATION) {
      handle_news(gst_message_get_structure(message));
      return true;
    }
    if (!sharing_.owns(message)) return false;
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_WARNING) {
      tell("sharing: " + text_of(message));
      return true;
    }
    if (GST_MESSAGE_TYPE(message) != GST_MESSAGE_ERROR) return false;
    // Others see nothing, but our own window goes on.
    if (sharing_.stop()) tell("not shared: " + text_of(message));
    return true;
  }

  void handle_news(const GstStructure* news) {
    if (gst_structure_has_name(news, "sharing-unlinked")) {
      sharing_.finish();
      return tell("sharing has ended");
    }
    guint index = 0;
    gst_structure_get_uint(news, "index", &index);
    if (gst_structure_has_name(news, "reader-attached")) {
      guint pid = 0;
      gst_structure_get_uint(news, "pid", &pid);
      tell("reader " + std::to_string(index) + " has come, pid " + std::to_string(pid));
    } else if (gst_structure_has_name(news, "reader-detached")) {
      tell("reader " + std::to_string(index) +
           " has gone: " + gst_structure_get_string(news, "reason"));
    }
  }

  void share() {
    if (sharing_.active()) return;  // it is just ending
    tell("sharing as \"" + options_.channel + "\"");
    sharing_.start();
  }

  // The source draws the next frame so; the window and all readers follow.
  void change_picture() {
    const char* const picture = kPictures[next_picture_++ % kPictures.size()];
    g_autoptr(GstCaps) caps = gst_caps_from_string(picture);
    g_object_set(filter_, "caps", caps, nullptr);
    tell(std::string("picture: ") + picture);
  }

  void print_statistics() const {
    if (!sharing_.active()) return;
    g_autoptr(GstStructure) stats = sharing_.statistics();
    const GValue* readers = gst_structure_get_value(stats, "readers");
    std::string text = "written " + std::to_string(statistic(stats, "frames")) +
                       ", copied " + std::to_string(statistic(stats, "copied")) +
                       ", readers " + std::to_string(gst_value_array_get_size(readers));
    for (guint i = 0; i < gst_value_array_get_size(readers); ++i) {
      text += reader_text(gst_value_get_structure(gst_value_array_get_value(readers, i)));
    }
    tell(text);
  }

  static std::string reader_text(const GstStructure* reader) {
    guint pid = 0;
    gst_structure_get_uint(reader, "pid", &pid);
    return "; pid " + std::to_string(pid) + " took " +
           std::to_string(statistic(reader, "delivered")) + ", missed " +
           std::to_string(statistic(reader, "dropped"));
  }

  const Options options_;
  // Owned by the pipeline.
  GstElement* const filter_;
  GstElement* const tee_;
  Sharing sharing_;
  std::size_t next_picture_ = 0;
  int seconds_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  try {
    Writer writer(read_options(argc, argv));
    writer.run();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "possum-embed-writer: %s\n", error.what());
    return 1;
  }
}
