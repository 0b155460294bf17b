// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What every GStreamer application needs and both programs here share: a main loop, a
// pipeline, an ear on its bus, the user's keys, and an end in order.
#include "application.h"

#include <glib-unix.h>
#include <gst/video/navigation.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <utility>

#include "common/program.h"

namespace {

// What EOS may take from the sources to the last sink.
constexpr guint kLongestEndMs = 2000;

bool has_display() {
  const auto is_set = [](const char* variable) {
    const char* value = std::getenv(variable);
    return value && *value;
  };
  return is_set("DISPLAY") || is_set("WAYLAND_DISPLAY");
}

}  // namespace

Application::Application()
    : loop_(g_main_loop_new(nullptr, FALSE)), pipeline_(gst_pipeline_new(nullptr)) {}

Application::~Application() {
  gst_object_unref(pipeline_);
  g_main_loop_unref(loop_);
}

GstElement* Application::add(const char* factory) {
  GstElement* element = make_element(factory);
  gst_bin_add(GST_BIN(pipeline_), element);
  return element;
}

GstElement* Application::add_display(bool wanted) {
  if (wanted && has_display()) return display_ = add("autovideosink");
  display_ = add("fakesink");
  // As a window does.
  g_object_set(display_, "sync", TRUE, nullptr);
  return display_;
}

void Application::run() {
  watch();
  try {
    start(pipeline_);
  } catch (...) {
    stop();
    throw;
  }
  g_main_loop_run(loop_);
  stop();
  if (!error_.empty()) throw std::runtime_error(error_);
}

void Application::tell(const std::string& text) {
  std::printf("%s\n", text.c_str());
  std::fflush(stdout);
}

void Application::end() {
  // Who asks twice does not want to wait.
  if (std::exchange(ending_, true)) return quit();
  gst_element_send_event(pipeline_, gst_event_new_eos());
  watches_.push_back(g_timeout_add(kLongestEndMs, too_late, this));
}

void Application::quit() { g_main_loop_quit(loop_); }

// --- what the main loop watches --------------------------------------------------------

void Application::watch() {
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) {
    watches_.push_back(g_unix_signal_add(signal, interrupted, this));
  }
  // A program in the background that reads from the terminal would be stopped.
  std::signal(SIGTTIN, SIG_IGN);
  watches_.push_back(g_unix_fd_add(
      STDIN_FILENO, static_cast<GIOCondition>(G_IO_IN | G_IO_HUP), typed, this));
  watches_.push_back(g_timeout_add_seconds(1, second_passed, this));
  g_autoptr(GstBus) bus = gst_element_get_bus(pipeline_);
  watches_.push_back(gst_bus_add_watch(bus, message_arrived, this));
}

// Waits for the streaming threads: afterwards no probe and no signal handler runs.
void Application::stop() {
  gst_element_set_state(pipeline_, GST_STATE_NULL);
  for (guint id : watches_) {
    // One that has ended by itself is not there any more.
    GSource* source = g_main_context_find_source_by_id(nullptr, id);
    if (source) g_source_destroy(source);
  }
  watches_.clear();
}

gboolean Application::interrupted(gpointer instance) {
  static_cast<Application*>(instance)->end();
  return G_SOURCE_CONTINUE;
}

gboolean Application::too_late(gpointer instance) {
  static_cast<Application*>(instance)->quit();
  return G_SOURCE_REMOVE;
}

gboolean Application::second_passed(gpointer instance) {
  static_cast<Application*>(instance)->on_second();
  return G_SOURCE_CONTINUE;
}

gboolean Application::typed(gint descriptor, GIOCondition, gpointer instance) {
  char keys[64];
  const ssize_t length = read(descriptor, keys, sizeof keys);
  if (length <= 0) return G_SOURCE_REMOVE;
  for (ssize_t i = 0; i < length; ++i) {
    static_cast<Application*>(instance)->handle_key(keys[i]);
  }
  return G_SOURCE_CONTINUE;
}

void Application::handle_key(char key) {
  if (key == 'q') return end();
  if (g_ascii_isalpha(key)) on_key(key);
}

// --- the bus
// -----------------------------------------------------------------------------

gboolean Application::message_arrived(GstBus*, GstMessage* message, gpointer instance) {
  auto* self = static_cast<Application*>(instance);
  if (!self->on_message(message)) self->handle(message);
  return G_SOURCE_CONTINUE;
}

void Application::handle(GstMessage* message) {
  switch (GST_MESSAGE_TYPE(message)) {
    case GST_MESSAGE_ERROR:
      return handle_error(message);
    case GST_MESSAGE_WARNING: {
      g_autoptr(GError) warning = nullptr;
      gst_message_parse_warning(message, &warning, nullptr);
      std::fprintf(stderr, "warning: %s\n", warning->message);
      return;
    }
    case GST_MESSAGE_EOS:
      return quit();
    case GST_MESSAGE_LATENCY:
      // An element takes longer than it said; the sinks must show frames that much later.
      gst_bin_recalculate_latency(GST_BIN(pipeline_));
      return;
    case GST_MESSAGE_STATE_CHANGED:
      return handle_state(message);
    case GST_MESSAGE_CLOCK_LOST:
      // The pipeline selects another clock on its way to PLAYING.
      gst_element_set_state(pipeline_, GST_STATE_PAUSED);
      gst_element_set_state(pipeline_, GST_STATE_PLAYING);
      return;
    case GST_MESSAGE_ELEMENT:
      return handle_navigation(message);
    default:
      return;
  }
}

void Application::handle_state(GstMessage* message) {
  if (GST_MESSAGE_SRC(message) != GST_OBJECT(pipeline_)) return;
  GstState state = GST_STATE_NULL;
  gst_message_parse_state_changed(message, nullptr, &state, nullptr);
  if (state == GST_STATE_PLAYING && !std::exchange(has_played_, true)) on_playing();
}

void Application::handle_error(GstMessage* message) {
  g_autoptr(GError) error = nullptr;
  gst_message_parse_error(message, &error, nullptr);
  // This is how a window says that the user closed it.
  const bool closed =
      gst_object_has_as_ancestor(GST_MESSAGE_SRC(message), GST_OBJECT(display_)) &&
      g_error_matches(error, GST_RESOURCE_ERROR, GST_RESOURCE_ERROR_NOT_FOUND);
  // The first one says why; the others follow from it.
  if (!closed && error_.empty()) error_ = error->message;
  quit();
}

void Application::handle_navigation(GstMessage* message) {
  if (gst_navigation_message_get_type(message) != GST_NAVIGATION_MESSAGE_EVENT) return;
  g_autoptr(GstEvent) event = nullptr;
  const gchar* key = nullptr;
  if (gst_navigation_message_parse_event(message, &event) &&
      gst_navigation_event_get_type(event) == GST_NAVIGATION_EVENT_KEY_PRESS &&
      gst_navigation_event_parse_key_event(event, &key)) {
    handle_key(g_str_equal(key, "Escape") ? 'q' : key[1] == '\0' ? key[0] : '\0');
  }
}
