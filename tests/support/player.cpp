// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum-player: gst-launch-1.0 for tests. Knows `stampsrc`, looks at the frames that
// reach the element named `check`, is told what to do by lines on its standard input, and
// says what happens, a line each:
//
//   playing | eos | error TEXT | warning TEXT | progress start|complete|error|canceled
//   attached INDEX PID | detached INDEX REASON      of possumsink
//   stats NAME STRUCTURE                            of each possum element, at the end
//   and what framecheck.h says
//
// Orders: stats NAME, pause, play, eos, keep, verify, release, set NAME PROPERTY VALUE,
// destroy (the pipeline; the program stays), child HOW, quit. Leaves as gst-launch-1.0
// does, and with 3 after a bad frame.

#include <glib-unix.h>
#include <gst/gst.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>
#include <string>

#include "framecheck.h"
#include "stampsrc.h"

namespace {

enum ExitCode { kFine = 0, kError = 1, kCannotStart = 255 };

struct Player {
  GMainLoop* loop = nullptr;
  GstElement* pipeline = nullptr;  // NULL after `destroy`
  std::unique_ptr<support::FrameCheck> check;
  bool live = false;
  bool wants_to_play = true;
  int status = kFine;
};

void quit(Player* self, int status) {
  self->status = status;
  g_main_loop_quit(self->loop);
}

// --- what it says ----------------------------------------------------------------------

void print_problem(GstMessage* message, const char* kind) {
  GError* error = nullptr;
  gchar* debug = nullptr;
  if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) {
    gst_message_parse_error(message, &error, &debug);
  } else {
    gst_message_parse_warning(message, &error, &debug);
  }
  std::printf("%s %s %d: %s\n", kind, g_quark_to_string(error->domain), error->code,
              error->message);
  if (debug != nullptr) std::printf("%s\n", debug);
  g_free(debug);
  g_error_free(error);
}

void print_progress(GstMessage* message) {
  GstProgressType type{};
  gchar* code = nullptr;
  gchar* text = nullptr;
  gst_message_parse_progress(message, &type, &code, &text);
  const char* kinds[] = {"start", "continue", "complete", "canceled", "error"};
  std::printf("progress %s %s: %s\n", kinds[type], code, text);
  g_free(code);
  g_free(text);
}

bool print_stats(GstElement* pipeline, const char* name) {
  GstElement* element =
      pipeline != nullptr ? gst_bin_get_by_name(GST_BIN(pipeline), name) : nullptr;
  if (element == nullptr) return false;
  GstStructure* stats = nullptr;
  g_object_get(element, "stats", &stats, nullptr);
  gchar* text = gst_structure_to_string(stats);
  std::printf("stats %s %s\n", name, text);
  g_free(text);
  gst_structure_free(stats);
  gst_object_unref(element);
  return true;
}

bool is_made_by(GstElement* element, const char* factory) {
  GstElementFactory* made_by = gst_element_get_factory(element);
  return made_by != nullptr && std::strcmp(GST_OBJECT_NAME(made_by), factory) == 0;
}

template <class Handle>
void each_element(GstElement* pipeline, Handle&& handle) {
  GstIterator* all = gst_bin_iterate_recurse(GST_BIN(pipeline));
  GValue item = G_VALUE_INIT;
  while (gst_iterator_next(all, &item) == GST_ITERATOR_OK) {
    handle(GST_ELEMENT(g_value_get_object(&item)));
    g_value_reset(&item);
  }
  g_value_unset(&item);
  gst_iterator_free(all);
}

void print_all_stats(GstElement* pipeline) {
  each_element(pipeline, [pipeline](GstElement* element) {
    if (is_made_by(element, "possumsink") || is_made_by(element, "possumsrc")) {
      print_stats(pipeline, GST_OBJECT_NAME(element));
    }
  });
}

void on_attached(GstElement*, guint index, guint pid, gpointer) {
  std::printf("attached %u %u\n", index, pid);
}

void on_detached(GstElement*, guint index, const gchar* reason, gpointer) {
  std::printf("detached %u %s\n", index, reason);
}

void watch_sinks(GstElement* pipeline) {
  each_element(pipeline, [](GstElement* element) {
    if (!is_made_by(element, "possumsink")) return;
    g_signal_connect(element, "reader-attached", G_CALLBACK(on_attached), nullptr);
    g_signal_connect(element, "reader-detached", G_CALLBACK(on_detached), nullptr);
  });
}

gboolean on_message(GstBus*, GstMessage* message, gpointer data) {
  auto* self = static_cast<Player*>(data);
  switch (GST_MESSAGE_TYPE(message)) {
    case GST_MESSAGE_EOS:
      std::printf("eos\n");
      quit(self, kFine);
      break;
    case GST_MESSAGE_ERROR:
      print_problem(message, "error");
      quit(self, kError);
      break;
    case GST_MESSAGE_WARNING:
      print_problem(message, "warning");
      break;
    case GST_MESSAGE_PROGRESS:
      print_progress(message);
      break;
    case GST_MESSAGE_LATENCY:
      gst_bin_recalculate_latency(GST_BIN(self->pipeline));
      break;
    case GST_MESSAGE_ASYNC_DONE:
      if (self->wants_to_play && !self->live) {
        gst_element_set_state(self->pipeline, GST_STATE_PLAYING);
      }
      break;
    case GST_MESSAGE_STATE_CHANGED: {
      GstState now{};
      gst_message_parse_state_changed(message, nullptr, &now, nullptr);
      if (GST_MESSAGE_SRC(message) == GST_OBJECT_CAST(self->pipeline)) {
        std::printf("state %s\n", gst_element_state_get_name(now));
      }
      break;
    }
    default:
      break;
  }
  return G_SOURCE_CONTINUE;
}

// --- what it is told -------------------------------------------------------------------

void destroy_pipeline(Player* self) {
  if (self->pipeline == nullptr) return;
  gst_element_set_state(self->pipeline, GST_STATE_READY);
  GstBus* bus = gst_element_get_bus(self->pipeline);
  while (GstMessage* message = gst_bus_pop_filtered(bus, GST_MESSAGE_PROGRESS)) {
    print_progress(message);
    gst_message_unref(message);
  }
  gst_element_set_state(self->pipeline, GST_STATE_NULL);
  gst_bus_remove_watch(bus);
  gst_object_unref(bus);
  gst_clear_object(&self->pipeline);
}

void set_property(Player* self, const std::string& name, const std::string& property,
                  const std::string& value) {
  GstElement* element = gst_bin_get_by_name(GST_BIN(self->pipeline), name.c_str());
  gst_util_set_object_arg(G_OBJECT(element), property.c_str(), value.c_str());
  gst_object_unref(element);
  std::printf("set %s\n", property.c_str());
}

// One that lives on for a minute, outside of our process group. HOW: `fork` as this
// program, `spawn` as GLib starts another, `system` as a shell does.
pid_t start_child(const std::string& how) {
  char* sleep[] = {const_cast<char*>("setsid"), const_cast<char*>("sleep"),
                   const_cast<char*>("60"), nullptr};
  pid_t pid = -1;
  if (how == "spawn") {
    g_spawn_async(nullptr, sleep, nullptr, G_SPAWN_SEARCH_PATH, nullptr, nullptr, &pid,
                  nullptr);
  } else if (how == "system") {
    // Nobody knows its number.
    if (std::system("setsid sleep 60 >/dev/null 2>&1 &") == 0) pid = 0;
  } else {
    pid = fork();
    if (pid == 0) {
      setsid();
      alarm(60);
      for (;;) pause();
    }
  }
  return pid;
}

void obey(Player* self, const std::string& line) {
  std::istringstream words(line);
  std::string order, name, property, value;
  words >> order >> name >> property >> value;
  if (order == "stats") {
    if (!print_stats(self->pipeline, name.c_str())) std::printf("nothing is so named\n");
  } else if (order == "pause" || order == "play") {
    self->wants_to_play = order == "play";
    gst_element_set_state(self->pipeline,
                          self->wants_to_play ? GST_STATE_PLAYING : GST_STATE_PAUSED);
  } else if (order == "eos") {
    gst_element_send_event(self->pipeline, gst_event_new_eos());
  } else if (order == "keep") {
    self->check->keep_next();
  } else if (order == "verify") {
    self->check->verify_kept();
  } else if (order == "release") {
    self->check->release_kept();
  } else if (order == "set") {
    set_property(self, name, property, value);
  } else if (order == "destroy") {
    destroy_pipeline(self);
    std::printf("destroyed\n");
  } else if (order == "child") {
    std::printf("child %d\n", start_child(name));
  } else if (order == "quit") {
    quit(self, kFine);
  }
}

gboolean on_order(gint, GIOCondition, gpointer data) {
  char line[512];
  if (std::fgets(line, sizeof line, stdin) == nullptr) return G_SOURCE_REMOVE;
  line[std::strcspn(line, "\n")] = '\0';
  obey(static_cast<Player*>(data), line);
  return G_SOURCE_CONTINUE;
}

gboolean on_interrupt(gpointer data) {
  quit(static_cast<Player*>(data), kFine);
  return G_SOURCE_CONTINUE;
}

// --- running ---------------------------------------------------------------------------

bool start(Player* self) {
  const GstStateChangeReturn paused =
      gst_element_set_state(self->pipeline, GST_STATE_PAUSED);
  self->live = paused == GST_STATE_CHANGE_NO_PREROLL;
  if (paused == GST_STATE_CHANGE_FAILURE) return false;
  if (paused == GST_STATE_CHANGE_ASYNC) return true;  // goes on at ASYNC_DONE
  return gst_element_set_state(self->pipeline, GST_STATE_PLAYING) !=
         GST_STATE_CHANGE_FAILURE;
}

void print_errors(GstBus* bus) {
  while (GstMessage* message = gst_bus_pop_filtered(bus, GST_MESSAGE_ERROR)) {
    print_problem(message, "error");
    gst_message_unref(message);
  }
}

int play(Player* self) {
  self->loop = g_main_loop_new(nullptr, FALSE);
  GstBus* bus = gst_element_get_bus(self->pipeline);
  gst_bus_add_watch(bus, on_message, self);
  g_unix_signal_add(SIGINT, on_interrupt, self);
  g_unix_fd_add(0, G_IO_IN, on_order, self);
  if (start(self)) {
    g_main_loop_run(self->loop);
  } else {
    print_errors(bus);
    self->status = kCannotStart;
  }
  gst_object_unref(bus);
  if (self->pipeline != nullptr) print_all_stats(self->pipeline);
  if (self->check) self->check->print_totals();
  destroy_pipeline(self);
  g_main_loop_unref(self->loop);
  return self->status;
}

void make_check(Player* self, const support::FrameCheckOptions& options) {
  GstElement* element = gst_bin_get_by_name(GST_BIN(self->pipeline), "check");
  if (element == nullptr) return;
  self->check = std::make_unique<support::FrameCheck>(options);
  self->check->watch(element);
  gst_object_unref(element);
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::setvbuf(stdin, nullptr, _IONBF, 0);
  support::FrameCheckOptions options;
  gboolean unstamped = FALSE, lossless = FALSE, timed = FALSE;
  gint report = 30, sleep_us = 0;
  const GOptionEntry entries[] = {
      {"unstamped", 0, 0, G_OPTION_ARG_NONE, &unstamped, "only count frames", nullptr},
      {"lossless", 0, 0, G_OPTION_ARG_NONE, &lossless, "a gap is bad", nullptr},
      {"timed", 0, 0, G_OPTION_ARG_NONE, &timed, "check time stamps", nullptr},
      {"report", 0, 0, G_OPTION_ARG_INT, &report, "say every Nth frame", "N"},
      {"sleep-us", 0, 0, G_OPTION_ARG_INT, &sleep_us, "sleep up to N", "N"},
      {}};
  GOptionContext* context = g_option_context_new("PIPELINE");
  g_option_context_add_main_entries(context, entries, nullptr);
  g_option_context_add_group(context, gst_init_get_option_group());
  GError* error = nullptr;
  if (!g_option_context_parse(context, &argc, &argv, &error)) {
    g_printerr("%s\n", error->message);
    return 2;
  }
  g_option_context_free(context);
  options = {!unstamped, lossless != FALSE, timed != FALSE, static_cast<guint>(report),
             static_cast<guint>(sleep_us)};

  register_stampsrc();
  Player player;
  player.pipeline = gst_parse_launchv(const_cast<const gchar**>(argv + 1), &error);
  if (error != nullptr) {
    g_printerr("erroneous pipeline: %s\n", error->message);
    g_clear_error(&error);
    gst_clear_object(&player.pipeline);
    return kError;
  }
  make_check(&player, options);
  watch_sinks(player.pipeline);
  return play(&player);
}
