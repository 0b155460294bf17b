// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What the example programs share as programs: options, Ctrl-C, pipeline errors.
#include "program.h"

#include <csignal>
#include <stdexcept>

namespace {

volatile std::sig_atomic_t g_interrupted = 0;

}  // namespace

void watch_for_interrupt() {
  struct sigaction action {};
  action.sa_handler = [](int) { g_interrupted = 1; };
  for (int signal : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal, &action, nullptr);
}

bool interrupted() { return g_interrupted != 0; }

void parse_options(int& argc, char**& argv, const GOptionEntry* entries,
                   const char* summary) {
  g_autoptr(GOptionContext) context = g_option_context_new(nullptr);
  g_option_context_set_summary(context, summary);
  g_option_context_add_main_entries(context, entries, nullptr);
  g_option_context_add_group(context, gst_init_get_option_group());
  g_autoptr(GError) error = nullptr;
  if (!g_option_context_parse(context, &argc, &argv, &error)) {
    throw std::runtime_error(std::string(error->message) + " (try --help)");
  }
  if (argc > 1) {
    throw std::runtime_error(std::string("unknown argument ") + argv[1] +
                             " (try --help)");
  }
}

std::string take_string(gchar* value) {
  std::string text = value ? value : "";
  g_free(value);
  return text;
}

GstElement* make_element(const char* factory) {
  GstElement* element = gst_element_factory_make(factory, nullptr);
  if (!element) {
    throw std::runtime_error(std::string("GStreamer does not find ") + factory +
                             ": install it, or run this inside \"meson devenv\"");
  }
  return element;
}

void start(GstElement* pipeline) {
  if (gst_element_set_state(pipeline, GST_STATE_PLAYING) != GST_STATE_CHANGE_FAILURE) {
    return;
  }
  g_autoptr(GstBus) bus = gst_element_get_bus(pipeline);
  g_autoptr(GstMessage) message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR);
  if (message) throw_error(message);
  throw std::runtime_error("the pipeline does not start");
}

void throw_error(GstMessage* message) {
  g_autoptr(GError) error = nullptr;
  gst_message_parse_error(message, &error, nullptr);
  throw std::runtime_error(error->message);
}

guint64 statistic(const GstStructure* stats, const char* field) {
  guint64 value = 0;
  gst_structure_get_uint64(stats, field, &value);
  return value;
}
