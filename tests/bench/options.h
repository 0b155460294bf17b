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

#include "stamp.h"

namespace bench {

void register_bell_elements();  // bell.cpp

// Parses `entries`, of which texts must be given, and GStreamer's own options, and
// initialises GStreamer. False: said why not.
inline bool begin(int argc, char** argv, const GOptionEntry* entries) {
  // A stopped or waiting process would outlive a script that was killed.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  GOptionContext* context = g_option_context_new(nullptr);
  g_option_context_add_main_entries(context, entries, nullptr);
  g_option_context_add_group(context, gst_init_get_option_group());
  GError* problem = nullptr;
  bool fine = g_option_context_parse(context, &argc, &argv, &problem);
  if (!fine) std::fprintf(stderr, "%s\n", problem->message);
  g_clear_error(&problem);
  g_option_context_free(context);
  for (; fine && entries->long_name != nullptr; ++entries) {
    fine =
        entries->arg != G_OPTION_ARG_STRING || *static_cast<gchar**>(entries->arg_data);
    if (!fine) std::fprintf(stderr, "--%s is needed\n", entries->long_name);
  }
  if (fine) register_bell_elements();
  return fine;
}

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

// Plays a pipeline that ends the process at the first error or at EOS, whoever posts it.
// Says "playing", hands on each line of standard input, and then ends the process: at
// once, since with the peer gone some elements wait for ever. Returns if there is no such
// pipeline.
template <typename Command>
int play(const std::string& line, std::int64_t& starting_ns, Command command) {
  GError* problem = nullptr;
  GstElement* pipeline = gst_parse_launch(line.c_str(), &problem);
  if (problem) {
    std::fprintf(stderr, "%s\n", problem->message);
    return 2;
  }
  GstBus* bus = gst_element_get_bus(pipeline);
  gst_bus_set_sync_handler(bus, end_on_error, nullptr, nullptr);
  gst_object_unref(bus);
  gst_element_set_state(pipeline, GST_STATE_READY);
  starting_ns = now_ns();
  gst_element_set_state(pipeline, GST_STATE_PLAYING);
  std::printf("playing\n");
  std::fflush(stdout);
  for (std::string told; std::getline(std::cin, told);) command(told);
  _exit(0);
}

}  // namespace bench
