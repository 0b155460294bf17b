// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum-latency: how old a picture is at the far end of whatever lies between two
// channels. The writer draws the time into each picture as black and white blocks, big
// enough for any codec; the reader finds it there.
#include <gst/app/gstappsink.h>
#include <gst/video/video.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <exception>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "common/program.h"

namespace {

// Whole macroblocks of JPEG and H.264.
constexpr int kBlock = 16;
constexpr int kColumns = 16;
constexpr int kRows = 4;
constexpr guint8 kBlack = 16;
constexpr guint8 kWhite = 235;

// Decoders and jitter buffers settle first.
constexpr int kSettling = 30;
constexpr GstClockTime kLongestWait = 100 * GST_MSECOND;

struct Options {
  std::string command;
  std::string channel;
  clockid_t clock = CLOCK_MONOTONIC;
  int frames = 0;
};

Options read_options(int& argc, char**& argv) {
  Options options;
  gboolean realtime = FALSE;
  const GOptionEntry entries[] = {
      {"frames", 0, 0, G_OPTION_ARG_INT, &options.frames, "End after N frames", "N"},
      {"realtime", 0, 0, G_OPTION_ARG_NONE, &realtime,
       "The time of day: for two machines with synchronised clocks", nullptr},
      {}};
  // The two words come before the options.
  if (argc > 2 && argv[1][0] != '-' && argv[2][0] != '-') {
    options.command = argv[1];
    options.channel = argv[2];
    argv[2] = argv[0];
    argv += 2;
    argc -= 2;
  }
  parse_options(argc, argv, entries,
                "possum-latency write CHANNEL [OPTION...]: pictures that show the time\n"
                "possum-latency read CHANNEL [OPTION...]: how old they are when they "
                "arrive");
  if (options.command != "write" && options.command != "read") {
    throw std::runtime_error("wants \"write CHANNEL\" or \"read CHANNEL\" (try --help)");
  }
  if (options.frames < 0) throw std::runtime_error("--frames must be positive");
  if (realtime) options.clock = CLOCK_REALTIME;
  return options;
}

// Wraps after 49 days; only differences count.
std::uint32_t now_ms(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<std::uint32_t>(static_cast<std::uint64_t>(time.tv_sec) * 1000 +
                                    static_cast<std::uint64_t>(time.tv_nsec) / 1'000'000);
}

struct Stamp {
  std::uint32_t time_ms = 0;
  std::uint16_t number = 0;
};

// 32 bits of time, 16 of number, 16 that say whether the others can be true. Neither
// black nor white alone is any time.
std::uint64_t encode(const Stamp& stamp) {
  const std::uint64_t content = std::uint64_t{stamp.time_ms} << 16 | stamp.number;
  constexpr std::uint64_t kMix = 0x9e37'79b9'7f4a'7c15;
  return content << 16 | ((content + 1) * kMix) >> 48;
}

std::optional<Stamp> decode(std::uint64_t code) {
  const Stamp stamp{static_cast<std::uint32_t>(code >> 32),
                    static_cast<std::uint16_t>(code >> 16)};
  if (encode(stamp) != code) return {};
  return stamp;
}

// The first plane of a frame, 8 bits of brightness a pixel.
class Luma {
 public:
  Luma(GstBuffer* buffer, const GstCaps* caps, GstMapFlags flags) {
    GstVideoInfo info;
    if (!gst_video_info_from_caps(&info, caps) || info.width < kColumns * kBlock ||
        info.height < kRows * kBlock ||
        !gst_video_frame_map(&frame_, &info, buffer, flags)) {
      throw std::runtime_error("a frame that cannot carry a time");
    }
  }
  ~Luma() { gst_video_frame_unmap(&frame_); }
  Luma(const Luma&) = delete;
  Luma& operator=(const Luma&) = delete;

  void draw(std::uint64_t code) {
    for (int y = 0; y < kRows * kBlock; ++y) {
      for (int bit = 0; bit < kColumns; ++bit) {
        const int place = y / kBlock * kColumns + bit;
        std::fill_n(row(y) + bit * kBlock, kBlock, (code >> place & 1) ? kWhite : kBlack);
      }
    }
  }

  std::uint64_t read() {
    std::uint64_t code = 0;
    for (int place = 0; place < kRows * kColumns; ++place) {
      code |= std::uint64_t{is_white(place / kColumns, place % kColumns)} << place;
    }
    return code;
  }

 private:
  guint8* row(int y) {
    return static_cast<guint8*>(GST_VIDEO_FRAME_PLANE_DATA(&frame_, 0)) +
           y * GST_VIDEO_FRAME_PLANE_STRIDE(&frame_, 0);
  }
  // By the middle of the block: codecs blur its edges.
  bool is_white(int line, int column) {
    constexpr int kMiddle = kBlock / 2;
    int sum = 0;
    for (int y = kMiddle / 2; y < kMiddle / 2 + kMiddle; ++y) {
      const guint8* from = row(line * kBlock + y) + column * kBlock + kMiddle / 2;
      for (int x = 0; x < kMiddle; ++x) sum += from[x];
    }
    return sum > 128 * kMiddle * kMiddle;
  }

  GstVideoFrame frame_{};
};

// A pipeline from text, that ends with this object.
class Pipeline {
 public:
  explicit Pipeline(const char* description) {
    g_autoptr(GError) error = nullptr;
    pipeline_ =
        gst_parse_launch_full(description, nullptr, GST_PARSE_FLAG_FATAL_ERRORS, &error);
    if (!pipeline_) throw std::runtime_error(error->message);
  }
  ~Pipeline() {
    gst_element_set_state(pipeline_, GST_STATE_NULL);
    gst_object_unref(pipeline_);
  }
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  GstElement* get() const { return pipeline_; }
  // Borrowed.
  GstElement* element(const char* name) const {
    g_autoptr(GstElement) found = gst_bin_get_by_name(GST_BIN(pipeline_), name);
    return found;
  }
  // False at EOS; throws what went wrong.
  bool goes_on(GstClockTime wait) const {
    g_autoptr(GstBus) bus = gst_element_get_bus(pipeline_);
    g_autoptr(GstMessage) message = gst_bus_timed_pop_filtered(
        bus, wait, static_cast<GstMessageType>(GST_MESSAGE_ERROR | GST_MESSAGE_EOS));
    if (!message) return true;
    if (GST_MESSAGE_TYPE(message) == GST_MESSAGE_ERROR) throw_error(message);
    return false;
  }

 private:
  GstElement* pipeline_ = nullptr;
};

// --- the writer
// --------------------------------------------------------------------------

struct Stamper {
  clockid_t clock;
  std::uint16_t next = 0;
};

// Streaming thread. The picture is made now, so it is as old as the time it shows.
GstPadProbeReturn stamp_frame(GstPad* pad, GstPadProbeInfo* info, gpointer data) {
  auto* stamper = static_cast<Stamper*>(data);
  GstBuffer* buffer = gst_buffer_make_writable(GST_PAD_PROBE_INFO_BUFFER(info));
  GST_PAD_PROBE_INFO_DATA(info) = buffer;
  g_autoptr(GstCaps) caps = gst_pad_get_current_caps(pad);
  try {
    Luma(buffer, caps, GST_MAP_WRITE)
        .draw(encode({now_ms(stamper->clock), stamper->next++}));
  } catch (const std::exception&) {
    // Readers count it as one that shows no time.
  }
  return GST_PAD_PROBE_OK;
}

void write(const Options& options) {
  Stamper stamper{options.clock};
  Pipeline pipeline(
      "videotestsrc name=source is-live=true pattern=smpte ! "
      "video/x-raw, format=I420, width=640, height=360, framerate=30/1 ! "
      "possumsink name=sink");
  GstElement* source = pipeline.element("source");
  if (options.frames > 0) g_object_set(source, "num-buffers", options.frames, nullptr);
  g_object_set(pipeline.element("sink"), "channel", options.channel.c_str(), nullptr);
  g_autoptr(GstPad) pad = gst_element_get_static_pad(source, "src");
  gst_pad_add_probe(pad, GST_PAD_PROBE_TYPE_BUFFER, stamp_frame, &stamper, nullptr);
  start(pipeline.get());
  std::printf("writing times to the channel \"%s\"\n", options.channel.c_str());
  std::fflush(stdout);
  while (!interrupted() && pipeline.goes_on(kLongestWait)) {
  }
}

// --- the reader
// --------------------------------------------------------------------------

class Latencies {
 public:
  explicit Latencies(clockid_t clock) : clock_(clock) {}

  void add(const std::optional<Stamp>& stamp) {
    if (!stamp) {
      ++unreadable_;
      return;
    }
    ++seen_;
    count_lost(stamp->number);
    if (seen_ > kSettling) ages_ms_.push_back(now_ms(clock_) - stamp->time_ms);
  }

  int measured() const { return static_cast<int>(ages_ms_.size()); }

  void print() {
    if (ages_ms_.empty()) throw std::runtime_error("no picture with a time arrived");
    std::sort(ages_ms_.begin(), ages_ms_.end());
    std::printf(
        "latency: median %u ms, 95%% %u ms, worst %u ms; %zu frames, %d lost, "
        "%d unreadable\n",
        at(0.5), at(0.95), ages_ms_.back(), ages_ms_.size(), lost_, unreadable_);
  }

 private:
  // A number before the last one is that of a new writer.
  void count_lost(std::uint16_t number) {
    const auto between =
        static_cast<std::uint16_t>(number - last_.value_or(number - 1) - 1);
    if (between < 0x8000) lost_ += between;
    last_ = number;
  }
  std::uint32_t at(double part) const {
    return ages_ms_[static_cast<std::size_t>(part * double(ages_ms_.size() - 1))];
  }

  const clockid_t clock_;
  std::vector<std::uint32_t> ages_ms_;
  std::optional<std::uint16_t> last_;
  int seen_ = 0;
  int lost_ = 0;
  int unreadable_ = 0;
};

void read(const Options& options) {
  Pipeline pipeline(
      "possumsrc name=source ! videoconvert ! "
      "appsink name=frames caps=video/x-raw,format=GRAY8 sync=false "
      "enable-last-sample=false");
  g_object_set(pipeline.element("source"), "channel", options.channel.c_str(), nullptr);
  GstAppSink* frames = GST_APP_SINK(pipeline.element("frames"));
  start(pipeline.get());
  Latencies latencies(options.clock);
  while (!interrupted() && pipeline.goes_on(0) &&
         (options.frames == 0 || latencies.measured() < options.frames)) {
    g_autoptr(GstSample) sample = gst_app_sink_try_pull_sample(frames, kLongestWait);
    if (!sample) continue;
    Luma luma(gst_sample_get_buffer(sample), gst_sample_get_caps(sample), GST_MAP_READ);
    latencies.add(decode(luma.read()));
  }
  latencies.print();
}

}  // namespace

int main(int argc, char** argv) {
  watch_for_interrupt();
  try {
    const Options options = read_options(argc, argv);
    options.command == "write" ? write(options) : read(options);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "possum-latency: %s\n", error.what());
    return 1;
  }
}
