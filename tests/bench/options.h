// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Command lines of the benchmark's two GStreamer programs.
#pragma once

#include <gst/gst.h>

#include <cstdio>

namespace bench {

// Parses `entries` and GStreamer's own options, and initialises GStreamer. False: said
// why not.
inline bool parse_options(int argc, char** argv, const GOptionEntry* entries) {
  GOptionContext* context = g_option_context_new(nullptr);
  g_option_context_add_main_entries(context, entries, nullptr);
  g_option_context_add_group(context, gst_init_get_option_group());
  GError* problem = nullptr;
  const bool parsed = g_option_context_parse(context, &argc, &argv, &problem);
  if (!parsed) std::fprintf(stderr, "%s\n", problem->message);
  g_clear_error(&problem);
  g_option_context_free(context);
  return parsed;
}

// The next message of these types, and its text on standard error if it is an error.
// Transfer full.
inline GstMessage* await_message(GstBus* bus, int types) {
  GstMessage* message = gst_bus_timed_pop_filtered(bus, GST_CLOCK_TIME_NONE,
                                                   static_cast<GstMessageType>(types));
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
    GError* problem = nullptr;
    gst_message_parse_error(message, &problem, nullptr);
    std::fprintf(stderr, "%s\n", problem->message);
    g_clear_error(&problem);
  }
  return message;
}

}  // namespace bench
