// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What the example programs share as programs: options, Ctrl-C, pipeline errors.
#pragma once

#include <gst/gst.h>

#include <string>

// Ends at the first SIGINT, SIGTERM or SIGHUP; the second one kills, should anything
// hang.
void watch_for_interrupt();
bool interrupted();

// Parses `entries` and GStreamer's own options, initialises GStreamer, and throws
// std::runtime_error with a sentence for the user on anything it does not know.
void parse_options(int& argc, char**& argv, const GOptionEntry* entries,
                   const char* summary);

// The string GOption left in `value`, which is freed.
std::string take_string(gchar* value);

// Transfer floating. Throws when the plugin with this element is not found.
GstElement* make_element(const char* factory);

// Starts the pipeline; throws the first error on its bus if it does not start.
void start(GstElement* pipeline);

// Throws the element's own sentence.
[[noreturn]] void throw_error(GstMessage* message);

// A count or time in the `stats` property of possumsink or possumsrc.
guint64 statistic(const GstStructure* stats, const char* field);
