// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What somebody sees who looks at a film or a camera with a sink that goes by the clock,
// for each kind of source, of possumsink and of pipeline latency: the frames, in order
// and each in its moment, or a warning that says what the pipeline lacks. All pairs of a
// source and a viewer play side by side.
#include <algorithm>
#include <deque>
#include <functional>
#include <string>
#include <vector>

#include "support/suite.h"

namespace {

constexpr guint64 kFrames = 100;
// Such a frame is not shown. The wait of a film for its viewer is longer, so that one
// that races through the time waited is seen; nothing else takes so long on a busy
// machine.
constexpr GstClockTime kTooLate = GST_SECOND;
constexpr GstClockTime kWaitForViewer = 1500 * GST_MSECOND;

struct Source {
  bool live;
  bool sync;
  bool async;
  bool min_readers;
  bool running_time;  // the viewer's timestamp-mode

  // Nobody waits for the moment of a frame: only a reader that may block gets them all.
  bool unpaced() const { return !live && !sync; }

  std::string text() const {
    return std::string(live ? "live" : "film") + (sync ? " sync" : "") +
           (async ? " async" : "") + (min_readers ? " min-readers" : "") +
           (running_time ? " running-time" : " clock");
  }
};

std::vector<Source> all_sources() {
  std::vector<Source> sources;
  for (unsigned bits = 0; bits < 32; ++bits) {
    sources.push_back({(bits & 1) != 0, (bits & 2) != 0, (bits & 4) != 0, (bits & 8) != 0,
                       (bits & 16) != 0});
  }
  return sources;
}

struct View {
  GstClockTime latency;
  unsigned max_buffers;
  bool queue;
  bool enough;  // do so many frames wait, that none is lost?
};

std::string on(bool value) { return value ? "true" : "false"; }

std::string writing(const Source& source, const std::string& channel) {
  return "videotestsrc num-buffers=" + std::to_string(kFrames) +
         " is-live=" + on(source.live) +
         " ! video/x-raw,format=GRAY8,width=16,height=16,framerate=20/1 ! possumsink "
         "name=sink sync=" +
         on(source.sync) + " async=" + on(source.async) +
         " allow-blocking=" + on(source.unpaced()) +
         " min-readers=" + (source.min_readers ? "1" : "0") + " channel=" + channel;
}

std::string viewing(const Source& source, const View& view, const std::string& channel) {
  return "possumsrc name=src max-buffers=" + std::to_string(view.max_buffers) +
         " leaky-type=" + (source.unpaced() ? "none" : "downstream") +
         " timestamp-mode=" + (source.running_time ? "running-time" : "clock") +
         " channel=" + channel +
         (view.queue ? " ! queue max-size-buffers=0 max-size-bytes=0 max-size-time=0"
                     : "") +
         " ! fakesink name=sink sync=true signal-handoffs=true max-lateness=" +
         std::to_string(kTooLate);
}

struct Seen {
  guint64 number;
  GstClockTime pts;
  GstClockTime due;    // by the clock, without the latency
  GstClockTime shown;  // by the clock
  GstClockTime latency;
};

// A source and a viewer, whose messages are looked at from the default main loop.
class Pair {
 public:
  Pair(const Source& source, const View& view)
      : source_(source),
        view_(view),
        writer_(writing(source, channel_)),
        viewer_(viewing(source, view, channel_)) {
    gst_pipeline_set_latency(GST_PIPELINE(viewer_.get()), view.latency);
    const Ref<GstElement> sink = viewer_.element("sink");
    g_signal_connect(sink.get(), "handoff", G_CALLBACK(on_frame), this);
    add_probe(writer_.element("sink").get(), "sink", GST_PAD_PROBE_TYPE_BUFFER,
              [this](GstPad*, GstPadProbeInfo* info) {
                sent_.push_back(GST_BUFFER_PTS(GST_PAD_PROBE_INFO_BUFFER(info)));
                return GST_PAD_PROBE_OK;
              });
    gst_bus_add_watch(viewer_.bus(), on_message, this);
    gst_bus_add_watch(writer_.bus(), on_message, this);
  }
  ~Pair() {
    gst_bus_remove_watch(viewer_.bus());
    gst_bus_remove_watch(writer_.bus());
  }

  // The viewer comes first, or when the source has waited for it.
  void start() { (source_.min_readers ? writer_ : viewer_).set_state(GST_STATE_PLAYING); }
  void start_other() {
    (source_.min_readers ? viewer_ : writer_).set_state(GST_STATE_PLAYING);
  }
  bool ended() const { return ended_; }
  void stop() {
    missed_ = stat(viewer_.element("src").get(), "missed");
    g_object_get(writer_.element("sink").get(), "ts-offset", &delay_, nullptr);
    base_ = gst_element_get_base_time(writer_.get());
    viewer_.stop();
    writer_.stop();
  }

  void check() const {
    if (!view_.enough && !source_.unpaced()) {
      expect(warned_, "no warning that something is missing");
      return;
    }
    check_number();
    for (std::size_t i = 0; i < seen_.size(); ++i) check_frame(i);
  }

 private:
  static void on_frame(GstElement* sink, GstBuffer* buffer, GstPad*, Pair* self) {
    GstBaseSink* base = GST_BASE_SINK(sink);
    const Ref<GstClock> clock{gst_element_get_clock(sink)};
    const GstClockTime pts = GST_BUFFER_PTS(buffer);
    self->seen_.push_back(
        {GST_BUFFER_OFFSET(buffer), pts,
         gst_element_get_base_time(sink) +
             gst_segment_to_running_time(&base->segment, GST_FORMAT_TIME, pts),
         gst_clock_get_time(clock.get()), gst_base_sink_get_latency(base)});
  }

  static gboolean on_message(GstBus*, GstMessage* message, gpointer data) {
    auto* self = static_cast<Pair*>(data);
    GstObject* from = GST_MESSAGE_SRC(message);
    switch (GST_MESSAGE_TYPE(message)) {
      case GST_MESSAGE_LATENCY:
        // As every application does.
        gst_bin_recalculate_latency(self->viewer_.bin());
        break;
      case GST_MESSAGE_WARNING: {
        const Report report = parse_report(message);
        self->warned_ |= (report.text + report.debug).find("queue") != std::string::npos;
        break;
      }
      case GST_MESSAGE_EOS:
        self->ended_ |= from == GST_OBJECT(self->viewer_.get());
        break;
      case GST_MESSAGE_ERROR:
        self->expect(false, "an error: " + parse_report(message).text);
        break;
      default:
        break;
    }
    return G_SOURCE_CONTINUE;
  }

  void expect(bool true_, const std::string& what) const {
    require(true_, source_.text() + ", latency " +
                       std::to_string(view_.latency / GST_MSECOND) + " ms: " + what);
  }

  // All but one frame in a hundred, from the one on that came when the viewer was there.
  void check_number() const {
    expect(!seen_.empty(), "no frame");
    const guint64 from = seen_.size() == 1 ? kFrames : seen_[1].number;
    expect(seen_.size() >= kFrames - from, "only " + std::to_string(seen_.size()) +
                                               " frames, the second of them number " +
                                               std::to_string(from) + ", " +
                                               std::to_string(missed_) + " missed");
    if (source_.min_readers && !source_.live) {
      expect(seen_.front().number == 0 && from <= 2,
             "the film did not begin with its viewer");
    }
  }

  void check_frame(std::size_t i) const {
    const Seen& frame = seen_[i];
    const std::string which = "frame " + std::to_string(frame.number);
    expect(frame.shown >= frame.due + frame.latency, which + " is early");
    // What stood there already has the time at which it was put there.
    if (i == 0) return;
    expect(frame.number > seen_[i - 1].number, which + " comes too late");
    expect(frame.number < sent_.size(), which + " was never sent");
    const GstClockTime time = sent_[frame.number];
    if (source_.running_time) {
      expect(frame.pts == time, which + " has another running time");
      expect(i == 1 || frame.due - seen_[1].due == time - sent_[seen_[1].number],
             which + " has another moment");
    } else if (source_.unpaced()) {
      expect(frame.due >= seen_[i - 1].due && frame.due <= frame.shown,
             which + " has another moment");
    } else {
      const GstClockTime moment = base_ + static_cast<GstClockTime>(delay_) + time;
      // What was captured before the viewer's own time began is shown at its beginning.
      expect(frame.due == moment || (frame.pts == 0 && frame.due > moment),
             which + " has another moment");
    }
  }

  const std::string channel_ = unique_channel();
  const Source source_;
  const View view_;
  std::vector<GstClockTime> sent_;  // running times, by the writer's streaming thread
  std::vector<Seen> seen_;          // by the viewer's streaming thread
  bool ended_ = false;
  bool warned_ = false;
  guint64 missed_ = 0;
  gint64 delay_ = 0;
  GstClockTime base_ = 0;
  Pipeline writer_;
  Pipeline viewer_;
};

void run_loop_until(const std::function<bool()>& condition, GstClockTime patience) {
  bool over = false;
  const guint timer = g_timeout_add(
      static_cast<guint>(patience / GST_MSECOND),
      [](gpointer over) -> gboolean {
        *static_cast<bool*>(over) = true;
        return G_SOURCE_CONTINUE;
      },
      &over);
  while (!condition() && !over) g_main_context_iteration(nullptr, TRUE);
  g_source_remove(timer);
}

void expect_all_see(const View& view) {
  std::deque<Pair> pairs;
  for (const Source& source : all_sources()) pairs.emplace_back(source, view);
  for (Pair& pair : pairs) pair.start();
  run_loop_until([] { return false; }, kWaitForViewer);
  for (Pair& pair : pairs) pair.start_other();
  const auto ended = [&] {
    return std::all_of(pairs.begin(), pairs.end(), [](Pair& p) { return p.ended(); });
  };
  run_loop_until(ended, 4 * patience_ns());
  for (Pair& pair : pairs) pair.stop();
  for (const Pair& pair : pairs) pair.check();
}

}  // namespace

TEST(viewer_without_latency_sees_every_frame_in_its_moment) {
  expect_all_see({0, 16, false, true});
}

TEST(viewer_with_a_little_latency_sees_every_frame_in_its_moment) {
  expect_all_see({50 * GST_MSECOND, 16, false, true});
}

TEST(viewer_sees_every_frame_while_as_many_as_its_latency_may_wait) {
  expect_all_see({300 * GST_MSECOND, 16, false, true});
}

TEST(viewer_is_told_when_fewer_frames_may_wait_than_its_latency) {
  expect_all_see({300 * GST_MSECOND, 3, false, false});
}

TEST(viewer_is_told_that_two_seconds_take_a_queue) {
  expect_all_see({2 * GST_SECOND, 16, false, false});
}

TEST(viewer_with_a_queue_sees_every_frame_two_seconds_later) {
  expect_all_see({2 * GST_SECOND, 16, true, true});
}

// It has a descriptor, which no test leaves behind then.
[[maybe_unused]] static const auto loop = before_each = [] { g_main_context_default(); };
