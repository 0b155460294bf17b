// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What the benchmark's two GStreamer programs have in common: command lines, and an end
// with the script that started them or with the first error.
#pragma once

#include <gst/gst.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <string>

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

// A stopped or waiting process would outlive a script that was killed.
inline void die_with_parent() { prctl(PR_SET_PDEATHSIG, SIGKILL); }

inline GstBusSyncReply end_on_error(GstBus*, GstMessage* message, gpointer) {
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_EOS) {
    std::fprintf(stderr, "the stream ended\n");
    _exit(1);
  }
  if (GST_MESSAGE_TYPE(message) != GST_MESSAGE_ERROR) return GST_BUS_DROP;
  GError* problem = nullptr;
  gst_message_parse_error(message, &problem, nullptr);
  std::fprintf(stderr, "%s\n", problem->message);
  _exit(1);
}

// A pipeline that ends the process at the first error or at EOS, whoever posts it; in
// READY. Null: said why not.
inline GstElement* make_pipeline(const char* line) {
  GError* problem = nullptr;
  GstElement* pipeline = gst_parse_launch(line, &problem);
  if (problem) {
    std::fprintf(stderr, "%s\n", problem->message);
    return nullptr;
  }
  GstBus* bus = gst_element_get_bus(pipeline);
  gst_bus_set_sync_handler(bus, end_on_error, nullptr, nullptr);
  gst_object_unref(bus);
  gst_element_set_state(pipeline, GST_STATE_READY);
  return pipeline;
}

// Hands on each line of standard input, and then ends the process: at once, since with
// the peer gone some elements wait for ever.
template <typename Command>
[[noreturn]] void obey(Command command) {
  for (std::string line; std::getline(std::cin, line);) command(line);
  _exit(0);
}

// For the script, which waits for such lines.
inline void say(const char* line) {
  std::printf("%s\n", line);
  std::fflush(stdout);
}

}  // namespace bench
