// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// gst-launch-1.0 in small, for sanitized builds: a plugin built with AddressSanitizer can
// only be loaded by a program that was. Takes a pipeline and the options -e, -q, -v and
// -m (the last three change nothing) and leaves with gst-launch-1.0's exit codes.

#include <glib-unix.h>
#include <gst/gst.h>

#include <csignal>
#include <cstring>
#include <memory>

namespace {

enum ExitCode { kFine = 0, kError = 1, kCannotStart = 255 };

struct Unref {
  void operator()(gpointer object) const noexcept { gst_object_unref(object); }
};

struct Launch {
  GMainLoop* loop;
  GstElement* pipeline;
  bool eos_on_interrupt;
  bool interrupted;
  bool live;
  int status;
};

void quit(Launch* self, int status) {
  self->status = status;
  g_main_loop_quit(self->loop);
}

gboolean on_interrupt(gpointer data) {
  auto* self = static_cast<Launch*>(data);
  g_printerr("handling interrupt.\n");
  const bool first = !self->interrupted;
  self->interrupted = true;
  if (self->eos_on_interrupt && first) {
    gst_element_send_event(self->pipeline, gst_event_new_eos());
  } else {
    quit(self, kFine);
  }
  return G_SOURCE_CONTINUE;
}

void print_error(GstMessage* message) {
  GError* error = nullptr;
  gchar* debug = nullptr;
  gst_message_parse_error(message, &error, &debug);
  gchar* path = gst_object_get_path_string(GST_MESSAGE_SRC(message));
  g_printerr("ERROR: from element %s: %s\n", path, error->message);
  if (debug) g_printerr("Additional debug info:\n%s\n", debug);
  g_free(path);
  g_free(debug);
  g_error_free(error);
}

void print_progress(GstMessage* message) {
  gchar* code = nullptr;
  gchar* text = nullptr;
  gst_message_parse_progress(message, nullptr, &code, &text);
  g_print("Progress: (%s) %s\n", code, text);
  g_free(code);
  g_free(text);
}

gboolean on_message(GstBus*, GstMessage* message, gpointer data) {
  auto* self = static_cast<Launch*>(data);
  switch (GST_MESSAGE_TYPE(message)) {
    case GST_MESSAGE_EOS:
      g_print("Got EOS from element \"%s\".\n", GST_MESSAGE_SRC_NAME(message));
      quit(self, kFine);
      break;
    case GST_MESSAGE_ERROR:
      print_error(message);
      quit(self, kError);
      break;
    case GST_MESSAGE_PROGRESS:
      print_progress(message);
      break;
    case GST_MESSAGE_LATENCY:
      gst_bin_recalculate_latency(GST_BIN(self->pipeline));
      break;
    case GST_MESSAGE_CLOCK_LOST:
      gst_element_set_state(self->pipeline, GST_STATE_PAUSED);
      gst_element_set_state(self->pipeline, GST_STATE_PLAYING);
      break;
    case GST_MESSAGE_ASYNC_DONE:
      if (!self->live) gst_element_set_state(self->pipeline, GST_STATE_PLAYING);
      break;
    default:
      break;
  }
  return G_SOURCE_CONTINUE;
}

bool start(Launch* self) {
  switch (gst_element_set_state(self->pipeline, GST_STATE_PAUSED)) {
    case GST_STATE_CHANGE_FAILURE:
      return false;
    case GST_STATE_CHANGE_ASYNC:
      return true;  // goes on at ASYNC_DONE
    case GST_STATE_CHANGE_NO_PREROLL:
      self->live = true;
      break;
    case GST_STATE_CHANGE_SUCCESS:
      break;
  }
  return gst_element_set_state(self->pipeline, GST_STATE_PLAYING) !=
         GST_STATE_CHANGE_FAILURE;
}

int run(GstElement* pipeline, bool eos_on_interrupt) {
  std::unique_ptr<GMainLoop, decltype(&g_main_loop_unref)> loop(
      g_main_loop_new(nullptr, FALSE), g_main_loop_unref);
  Launch self{loop.get(), pipeline, eos_on_interrupt, false, false, kFine};
  const std::unique_ptr<GstBus, Unref> bus(gst_element_get_bus(pipeline));
  gst_bus_add_watch(bus.get(), on_message, &self);
  const guint interrupt = g_unix_signal_add(SIGINT, on_interrupt, &self);

  if (start(&self)) {
    g_main_loop_run(loop.get());
  } else {
    while (GstMessage* message = gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ERROR)) {
      print_error(message);
      gst_message_unref(message);
    }
    self.status = kCannotStart;
  }

  gst_element_set_state(pipeline, GST_STATE_NULL);
  g_source_remove(interrupt);
  gst_bus_remove_watch(bus.get());
  return self.status;
}

}  // namespace

int main(int argc, char** argv) {
  gst_init(&argc, &argv);
  bool eos_on_interrupt = false;
  int first = 1;
  for (; first < argc && argv[first][0] == '-'; ++first) {
    if (std::strcmp(argv[first], "-e") == 0) eos_on_interrupt = true;
  }

  GError* error = nullptr;
  const std::unique_ptr<GstElement, Unref> pipeline(
      gst_parse_launchv(const_cast<const gchar**>(argv + first), &error));
  int status = kError;
  if (error) {
    g_printerr("WARNING: erroneous pipeline: %s\n", error->message);
    g_error_free(error);
  } else {
    status = run(pipeline.get(), eos_on_interrupt);
  }
  return status;
}
