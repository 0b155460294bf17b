// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What every GStreamer application needs and both programs here share: a main loop, a
// pipeline, an ear on its bus, the user's keys, and an end in order.
#pragma once

#include <gst/gst.h>

#include <string>
#include <vector>

// All handlers run in the thread that called run(), so they may change states. Nothing
// else may: a streaming thread that stops its own pipeline waits for itself.
class Application {
 public:
  Application();
  virtual ~Application();
  Application(const Application&) = delete;
  Application& operator=(const Application&) = delete;

  // Plays until the stream or the user ends it; the pipeline is stopped afterwards.
  // Throws std::runtime_error with the first error on the bus.
  void run();

 protected:
  // Borrowed, both: the pipeline owns its elements.
  GstElement* pipeline() const { return pipeline_; }
  GstElement* add(const char* factory);
  // A window where there is a display, otherwise a sink that shows nothing.
  GstElement* add_display(bool wanted);

  // A line for the user.
  static void tell(const std::string& text);
  // EOS from the sources on, so that all who read get it; at once if that takes too long.
  void end();
  // At once: what is still on its way is dropped.
  void quit();

  // Once, when the pipeline has got to PLAYING.
  virtual void on_playing() {}
  // Each second while it plays.
  virtual void on_second() {}
  // A key pressed in the window, or a letter typed (and Enter) in the terminal.
  virtual void on_key(char) {}
  // Any message; `true` if nothing else is to be done about it.
  virtual bool on_message(GstMessage*) { return false; }

 private:
  static gboolean message_arrived(GstBus*, GstMessage* message, gpointer instance);
  static gboolean interrupted(gpointer instance);
  static gboolean typed(gint descriptor, GIOCondition, gpointer instance);
  static gboolean second_passed(gpointer instance);
  static gboolean too_late(gpointer instance);
  void handle(GstMessage* message);
  void handle_state(GstMessage* message);
  void handle_error(GstMessage* message);
  void handle_navigation(GstMessage* message);
  void handle_key(char key);
  void watch();
  void stop();

  GMainLoop* const loop_;
  GstElement* const pipeline_;
  GstElement* display_ = nullptr;  // owned by the pipeline
  std::vector<guint> watches_;     // in the default main context
  bool has_played_ = false;
  bool ending_ = false;
  std::string error_;
};
