// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum-player: gst-launch-1.0 for tests, and in its place where the plugin is
// sanitized, which only a sanitized program can load. Sources whose names begin with
// `stamp` have pictures drawn into their frames that prove themselves, and the frames
// that reach the element named `check` are looked at. It is told what to do by lines on
// its standard input, and says what happens, a line each:
//
//   eos | ERROR TEXT | warning TEXT | progress start|complete|error|canceled
//   detached INDEX REASON                           of possumsink
//   caps CAPS                                       of `check`, as all below
//   frame NUMBER from PID pts NS                    every `report` frames, the first of
//                                                   each producer
//   sum OFFSET PTS BYTES CHECKSUM                   instead, of each frame of any source,
//                                                   with --sums
//   gap LAST NUMBER                                 frames are missing in between
//   bad WHY                                         and the program ends with status 3
//   total N frames, M missed
//   stats NAME STRUCTURE                            of each possum element, at the end
//
// Orders: stats NAME. Leaves as gst-launch-1.0 does.

#include <glib-unix.h>
#include <gst/video/video.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <utility>

#include "base/clock.h"
#include "pipeline.h"
#include "stamp.h"

namespace {

using possum::Ref;

enum ExitCode { kFine = 0, kError = 1, kBadFrame = 3, kCannotStart = 255 };

struct Options {
  gboolean sums = FALSE;      // pictures come from elsewhere
  gboolean lossless = FALSE;  // a gap is bad
  gboolean timed = FALSE;     // time stamps are those of capture, within a millisecond
  gint report = 30;
  gint sleep_us = 0;      // up to so long, at random, on each frame
  gchar* caps = nullptr;  // of stamped sources; they take turns
  gint change_every = 0;  // after so many frames
  gboolean eos_on_interrupt = FALSE;
  gboolean ignored = FALSE;
} options;

[[noreturn]] void bad(const char* why, std::uint64_t number) {
  std::printf("bad %s, frame %" PRIu64 "\n", why, number);
  std::fflush(stdout);
  _exit(kBadFrame);
}

struct MappedFrame : GstVideoFrame {
  MappedFrame(const GstVideoInfo& info, GstBuffer* buffer, GstMapFlags flags) {
    if (!gst_video_frame_map(this, &info, buffer, flags)) bad("memory", 0);
  }
  ~MappedFrame() { gst_video_frame_unmap(this); }
  MappedFrame(const MappedFrame&) = delete;
  MappedFrame& operator=(const MappedFrame&) = delete;
};

// What passes a pad.
class Probe {
 public:
  Probe(GstElement* element, const char* pad_name) : element_(element) {
    elements::add_probe(element, pad_name,
                        GST_PAD_PROBE_TYPE_BUFFER | GST_PAD_PROBE_TYPE_EVENT_DOWNSTREAM,
                        [this](GstPad* pad, GstPadProbeInfo* info) {
                          see(pad, info);
                          return GST_PAD_PROBE_OK;
                        });
  }
  virtual ~Probe() = default;

 protected:
  virtual void see_caps(GstCaps* caps) {
    if (!gst_video_info_from_caps(&info_, caps)) bad("caps", 0);
  }
  // May put another buffer there.
  virtual void see_frame(GstPad* pad, GstBuffer*& buffer) = 0;
  std::int64_t base_time() const {
    return static_cast<std::int64_t>(gst_element_get_base_time(element_));
  }

  GstElement* const element_;  // not owned
  GstVideoInfo info_{};

 private:
  void see(GstPad* pad, GstPadProbeInfo* info) {
    if ((info->type & GST_PAD_PROBE_TYPE_BUFFER) != 0) {
      auto* buffer = static_cast<GstBuffer*>(info->data);
      see_frame(pad, buffer);
      info->data = buffer;
    } else if (GST_EVENT_TYPE(info->data) == GST_EVENT_CAPS) {
      GstCaps* caps = nullptr;
      gst_event_parse_caps(static_cast<GstEvent*>(info->data), &caps);
      see_caps(caps);
    }
  }
};

// --- frames that prove themselves ------------------------------------------------------

// Draws over what a source has drawn. The time stamps of a live one are those of capture.
class Stamper final : public Probe {
 public:
  explicit Stamper(GstElement* source) : Probe(source, "src") {
    g_object_get(source, "is-live", &live_, nullptr);
    if (options.caps == nullptr) return;
    caps_.reset(gst_caps_from_string(options.caps));
    elements::add_probe(source, "src",
                        GST_PAD_PROBE_TYPE_QUERY_DOWNSTREAM | GST_PAD_PROBE_TYPE_PULL,
                        [this](GstPad*, GstPadProbeInfo* info) {
                          choose_caps(GST_PAD_PROBE_INFO_QUERY(info));
                          return GST_PAD_PROBE_OK;
                        });
  }

 private:
  // Of those that downstream answers, the one whose turn it is.
  void choose_caps(GstQuery* query) const {
    if (GST_QUERY_TYPE(query) != GST_QUERY_CAPS) return;
    const guint64 turn = options.change_every > 0 ? number_ / options.change_every : 0;
    const Ref<GstCaps> mine{gst_caps_copy_nth(
        caps_.get(), static_cast<guint>(turn % gst_caps_get_size(caps_.get())))};
    GstCaps* answer = nullptr;
    gst_query_parse_caps_result(query, &answer);
    gst_query_set_caps_result(query,
                              Ref<GstCaps>{gst_caps_intersect(answer, mine.get())}.get());
  }
  void see_frame(GstPad* pad, GstBuffer*& buffer) override {
    buffer = gst_buffer_make_writable(buffer);
    const std::int64_t now_ns = possum::monotonic_ns();
    support::draw_stamped(MappedFrame(info_, buffer, GST_MAP_WRITE), ++number_, now_ns);
    GST_BUFFER_OFFSET(buffer) = number_;
    if (live_) GST_BUFFER_PTS(buffer) = static_cast<GstClockTime>(now_ns - base_time());
    if (options.change_every > 0 && number_ % options.change_every == 0) {
      gst_pad_mark_reconfigure(pad);
    }
  }

  gboolean live_ = FALSE;
  Ref<GstCaps> caps_;
  guint64 number_ = 0;
};

// Looks at every frame that reaches an element, or leaves a source.
class FrameCheck final : public Probe {
 public:
  explicit FrameCheck(GstElement* element)
      : Probe(element, element->numsinkpads > 0 ? "sink" : "src") {}

  // When nothing flows any more.
  void print_totals() const {
    std::printf("total %" PRIu64 " frames, %" PRIu64 " missed\n", frames_, missed_);
  }

 private:
  void see_caps(GstCaps* caps) override {
    std::printf("caps %s\n", Ref<gchar>{gst_caps_to_string(caps)}.get());
    Probe::see_caps(caps);
  }
  void see_frame(GstPad* pad, GstBuffer*& buffer) override {
    if (options.sums) return print_sum(buffer);
    const auto found = support::read_stamped(MappedFrame(info_, buffer, GST_MAP_READ));
    if (!found) bad("picture", last_);
    const support::Stamp& stamp = *found;
    const bool first =
        std::exchange(producer_, stamp.producer) != stamp.producer || frames_ == 0;
    check_order(stamp.number, first,
                GST_BUFFER_FLAG_IS_SET(buffer, GST_BUFFER_FLAG_DISCONT));
    if (options.timed) check_time(stamp, absolute_time(pad, buffer));
    last_ = stamp.number;
    ++frames_;
    if (first || (options.report > 0 && frames_ % options.report == 0)) {
      std::printf("frame %" PRIu64 " from %" PRIu32 " pts %" PRIu64 "\n", stamp.number,
                  stamp.producer, GST_BUFFER_PTS(buffer));
    }
    if (options.sleep_us > 0) usleep(random_() % static_cast<unsigned>(options.sleep_us));
  }
  // FNV-1a over bytes: quick enough for an emulated machine.
  static void print_sum(GstBuffer* buffer) {
    GstMapInfo map;
    if (!gst_buffer_map(buffer, &map, GST_MAP_READ)) bad("memory", 0);
    std::uint64_t sum = 14695981039346656037u;
    for (gsize i = 0; i < map.size; ++i) sum = (sum ^ map.data[i]) * 1099511628211u;
    std::printf("sum %" PRIu64 " %" PRIu64 " %zu %016" PRIx64 "\n",
                GST_BUFFER_OFFSET(buffer), GST_BUFFER_PTS(buffer), map.size, sum);
    gst_buffer_unmap(buffer, &map);
  }
  // When the pipeline's clock, which is CLOCK_MONOTONIC here, shows the buffer's time.
  std::int64_t absolute_time(GstPad* pad, GstBuffer* buffer) const {
    const Ref<GstEvent> event{gst_pad_get_sticky_event(pad, GST_EVENT_SEGMENT, 0)};
    if (!event) return 0;
    const GstSegment* segment = nullptr;
    gst_event_parse_segment(event.get(), &segment);
    return base_time() + static_cast<std::int64_t>(gst_segment_to_running_time(
                             segment, GST_FORMAT_TIME, GST_BUFFER_PTS(buffer)));
  }
  void check_order(std::uint64_t number, bool first_of_producer, bool discont) {
    if (first_of_producer) {
      if (!discont) bad("no DISCONT on the first frame", number);
      return;
    }
    if (number <= last_) bad("order", number);
    const std::uint64_t gap = number - last_ - 1;
    if (gap == 0) return;
    if (options.lossless) bad("frames missing before", number);
    if (!discont) bad("no DISCONT after a gap", number);
    missed_ += gap;
    std::printf("gap %" PRIu64 " %" PRIu64 "\n", last_, number);
  }
  // What was captured before the pipeline began has time 0.
  void check_time(const support::Stamp& stamp, std::int64_t pts_ns) const {
    constexpr std::int64_t kMillisecond = 1'000'000;
    if (std::llabs(pts_ns - std::max(stamp.captured_ns, base_time())) >= kMillisecond) {
      std::printf("captured %" PRId64 ", stamped %" PRId64 "\n", stamp.captured_ns,
                  pts_ns);
      bad("time stamp", stamp.number);
    }
  }
  std::mt19937 random_{1};
  std::uint32_t producer_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t missed_ = 0;
  std::uint64_t last_ = 0;
};

// --- the player ------------------------------------------------------------------------

struct Player {
  GMainLoop* loop = nullptr;
  GstElement* pipeline = nullptr;
  std::list<Stamper> stampers;
  std::optional<FrameCheck> check;
  bool live = false;
  bool interrupted = false;
  int status = kFine;
};

void quit(Player* self, int status) {
  self->status = status;
  g_main_loop_quit(self->loop);
}

void print_problem(GstMessage* message, const char* kind) {
  const elements::Report report = elements::parse_report(message);
  std::printf("%s from %s: %s\n%s\n", kind, report.source.c_str(), report.text.c_str(),
              report.debug.c_str());
}

void print_progress(GstMessage* message) {
  const elements::Progress progress = elements::parse_progress(message);
  const char* kinds[] = {"start", "continue", "complete", "canceled", "error"};
  std::printf("progress %s %s: %s\n", kinds[progress.type], progress.code.c_str(),
              progress.text.c_str());
}

void print_stats(GstElement* element) {
  const Ref<GstStructure> stats = elements::stats_of(element);
  std::printf("stats %s %s\n", GST_OBJECT_NAME(element),
              Ref<gchar>{gst_structure_to_string(stats.get())}.get());
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

void watch_elements(Player* self) {
  each_element(self->pipeline, [self](GstElement* element) {
    const char* const name = GST_OBJECT_NAME(element);
    if (g_str_has_prefix(name, "stamp")) self->stampers.emplace_back(element);
    if (std::strcmp(name, "check") == 0) self->check.emplace(element);
    if (!is_made_by(element, "possumsink")) return;
    g_signal_connect(
        element, "reader-detached",
        G_CALLBACK(+[](GstElement*, guint index, const gchar* reason, gpointer) {
          std::printf("detached %u %s\n", index, reason);
        }),
        nullptr);
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
      print_problem(message, "ERROR");
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
      if (!self->live) gst_element_set_state(self->pipeline, GST_STATE_PLAYING);
      break;
    default:
      break;
  }
  return G_SOURCE_CONTINUE;
}

// --- what it is told -------------------------------------------------------------------

gboolean on_order(gint, GIOCondition, gpointer data) {
  auto* self = static_cast<Player*>(data);
  char line[512];
  if (std::fgets(line, sizeof line, stdin) == nullptr) return G_SOURCE_REMOVE;
  std::istringstream words(line);
  std::string order, name;
  words >> order >> name;
  const Ref<GstElement> element{
      gst_bin_get_by_name(GST_BIN(self->pipeline), name.c_str())};
  if (order == "stats" && element) print_stats(element.get());
  return G_SOURCE_CONTINUE;
}

gboolean on_interrupt(gpointer data) {
  auto* self = static_cast<Player*>(data);
  if (options.eos_on_interrupt && !std::exchange(self->interrupted, true)) {
    gst_element_send_event(self->pipeline, gst_event_new_eos());
  } else {
    quit(self, kFine);
  }
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

int play(Player* self) {
  self->loop = g_main_loop_new(nullptr, FALSE);
  const Ref<GstBus> bus{gst_element_get_bus(self->pipeline)};
  gst_bus_add_watch(bus.get(), on_message, self);
  g_unix_signal_add(SIGINT, on_interrupt, self);
  g_unix_fd_add(0, G_IO_IN, on_order, self);
  if (start(self)) {
    g_main_loop_run(self->loop);
  } else {
    while (const Ref<GstMessage> message{
        gst_bus_pop_filtered(bus.get(), GST_MESSAGE_ERROR)}) {
      print_problem(message.get(), "ERROR");
    }
    self->status = kCannotStart;
  }
  each_element(self->pipeline, [](GstElement* element) {
    if (is_made_by(element, "possumsink") || is_made_by(element, "possumsrc")) {
      print_stats(element);
    }
  });
  gst_element_set_state(self->pipeline, GST_STATE_NULL);
  if (self->check) self->check->print_totals();
  gst_bus_remove_watch(bus.get());
  gst_object_unref(self->pipeline);
  g_main_loop_unref(self->loop);
  return self->status;
}

}  // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF, 0);
  std::setvbuf(stdin, nullptr, _IONBF, 0);
  const GOptionEntry entries[] = {
      {"sums", 0, 0, G_OPTION_ARG_NONE, &options.sums, "", nullptr},
      {"lossless", 0, 0, G_OPTION_ARG_NONE, &options.lossless, "", nullptr},
      {"timed", 0, 0, G_OPTION_ARG_NONE, &options.timed, "", nullptr},
      {"report", 0, 0, G_OPTION_ARG_INT, &options.report, "", nullptr},
      {"sleep-us", 0, 0, G_OPTION_ARG_INT, &options.sleep_us, "", nullptr},
      {"caps", 0, 0, G_OPTION_ARG_STRING, &options.caps, "", nullptr},
      {"change-every", 0, 0, G_OPTION_ARG_INT, &options.change_every, "", nullptr},
      {"eos-on-shutdown", 'e', 0, G_OPTION_ARG_NONE, &options.eos_on_interrupt, "",
       nullptr},
      {"quiet", 'q', 0, G_OPTION_ARG_NONE, &options.ignored, "", nullptr},
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

  Player player;
  player.pipeline = gst_parse_launchv(const_cast<const gchar**>(argv + 1), &error);
  if (error != nullptr) {
    g_printerr("erroneous pipeline: %s\n", error->message);
    g_clear_error(&error);
    gst_clear_object(&player.pipeline);
    return kError;
  }
  watch_elements(&player);
  return play(&player);
}
