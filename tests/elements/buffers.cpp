// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Where frames lie: the pool that possumsink proposes, what of upstream's buffers is
// copied and when, and that nobody writes what a reader can see.
#include <cstring>
#include <filesystem>
#include <iterator>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "support/pictures.h"
#include "support/suite.h"

namespace {

constexpr gsize kPlane = 16 * 16;  // of kSmall, the first one

GstMemory* memory_of(GstBuffer* buffer) { return gst_buffer_peek_memory(buffer, 0); }

// What an ALLOCATION query's first pool says.
struct Proposal {
  explicit Proposal(GstQuery* query) {
    GstBufferPool* proposed = nullptr;
    gst_query_parse_nth_allocation_pool(query, 0, &proposed, &size, &min, &max);
    pool.reset(proposed);
  }
  Ref<GstBufferPool> pool;
  guint size = 0;
  guint min = 0;
  guint max = 0;
};

// A writer in PLAYING, its pool, and a reader that has its first frame.
struct Channel : Pair {
  explicit Channel(const std::string& sink = "", const std::string& src = "",
                   const Pool::Adjust& adjust = {})
      : Pair(sink, src), pool(producer.pool(adjust)) {}
  // Since the first frame, which is in ordinary memory.
  void expect_counts(guint64 zero_copy, guint64 copied,
                     Where where = Where::here()) const {
    producer.expect_stats({{"zero-copy", zero_copy}, {"copied", copied + 1}}, where);
  }
  const Pool pool;
};

std::string sink_of(const std::string& channel) {
  return "possumsink name=sink sync=false channel=" + channel;
}

// For a pool.
Pool::Adjust of_bytes(guint bytes) {
  return [bytes](GstStructure* config) {
    GstCaps* caps = nullptr;
    gst_buffer_pool_config_get_params(config, &caps, nullptr, nullptr, nullptr);
    gst_buffer_pool_config_set_params(config, caps, bytes, 2, 0);
  };
}

void expect_layout(const GstVideoMeta* meta, const GstVideoInfo& wanted) {
  fail_unless(meta != nullptr);
  for (guint p = 0; p < 3; ++p) {
    expect_equal(meta->offset[p], wanted.offset[p]);
    expect_equal(meta->stride[p], wanted.stride[p]);
  }
}

// --- what is proposed ----------------------------------------------------------------

TEST(allocation_proposes_a_pool_that_decoders_take) {
  Producer producer;
  producer.start();
  const Ref<GstQuery> query = producer.query_allocation();
  expect_equal(gst_query_get_n_allocation_pools(query.get()), 1);
  const Proposal proposal(query.get());
  fail_unless(proposal.pool != nullptr);
  fail_unless(proposal.size >= kSmallBytes);
  expect_equal(proposal.min, 2);
  expect_equal(proposal.max, 0);
  fail_unless(
      gst_buffer_pool_has_option(proposal.pool.get(), GST_BUFFER_POOL_OPTION_VIDEO_META));
  fail_unless(gst_buffer_pool_has_option(proposal.pool.get(),
                                         GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT));
  fail_unless(
      gst_query_find_allocation_meta(query.get(), GST_VIDEO_META_API_TYPE, nullptr));
  expect_equal(gst_query_get_n_allocation_metas(query.get()), 1);
}

TEST(allocation_without_need_of_a_pool_makes_none) {
  Producer producer;
  producer.start();
  const Proposal proposal(producer.query_allocation(false).get());
  fail_unless(proposal.pool == nullptr);
  fail_unless(proposal.size >= kSmallBytes);
  const Ref<GstQuery> without_caps{gst_query_new_allocation(nullptr, TRUE)};
  fail_if(gst_pad_peer_query(producer.pad(), without_caps.get()));
}

TEST(caps_query_names_cheap_formats_first) {
  Producer producer;
  const Ref<GstCaps> caps{gst_pad_peer_query_caps(producer.pad(), nullptr)};
  const GValue* formats =
      gst_structure_get_value(gst_caps_get_structure(caps.get(), 0), "format");
  const char* wanted[] = {"I420", "NV12", "YUY2", "UYVY", "BGRx"};
  for (guint i = 0; i < G_N_ELEMENTS(wanted); ++i) {
    expect_equal(g_value_get_string(gst_value_list_get_value(formats, i)), wanted[i]);
  }
  const Ref<GstCaps> filter = caps_of("video/x-raw,format={ARGB64,GRAY8,NV12,I420}");
  const Ref<GstCaps> chosen{gst_caps_fixate(
      Ref<GstCaps>{gst_pad_peer_query_caps(producer.pad(), filter.get())}.release())};
  expect_equal(
      gst_structure_get_string(gst_caps_get_structure(chosen.get(), 0), "format"),
      "I420");
}

TEST(sources_draw_into_slots) {
  for (const std::string& line :
       {"videotestsrc num-buffers=20 ! " + sink_of(unique_channel()),
        "compositor name=mix ! " + sink_of(unique_channel()) +
            " videotestsrc num-buffers=20 ! video/x-raw,width=64,height=48 ! mix. "
            "videotestsrc num-buffers=20 pattern=ball ! video/x-raw,width=32,height=32 "
            "! mix."}) {
    Pipeline pipeline(line);
    const Ref<GstElement> sink = pipeline.element("sink");
    pipeline.set_state(GST_STATE_PLAYING);
    pipeline.wait_eos();
    fail_unless(stat(sink.get(), "zero-copy") >= 20);
    expect_stats(sink.get(), {{"copied", 0}, {"dropped", 0}, {"no-slot", 0}});
  }
}

// --- the pool ------------------------------------------------------------------------

TEST(pool_buffers_have_the_default_layout) {
  Producer producer;
  producer.start(kOdd);
  const Pool pool = producer.pool();
  const Ref<GstBuffer> buffer = pool.acquire();
  const GstVideoInfo info = info_of(kOdd);
  expect_equal(gst_buffer_n_memory(buffer.get()), 1);
  expect_equal(gst_buffer_get_size(buffer.get()), info.size);
  fail_unless(in_slot(buffer.get()));
  expect_layout(gst_buffer_get_video_meta(buffer.get()), info);
  GstMapInfo map;
  fail_unless(gst_buffer_map(buffer.get(), &map, GST_MAP_READWRITE));
  expect_equal(reinterpret_cast<guintptr>(map.data) % 64, 0u);
  gst_buffer_unmap(buffer.get(), &map);
}

TEST(pool_honours_borders_and_alignment) {
  Producer producer;
  producer.start(kOdd);
  const GstVideoInfo info = info_of(kOdd);
  const Pool pool =
      producer.pool([&](GstStructure* config) { ask_for_borders(info, config); });
  const Ref<GstBuffer> buffer = pool.acquire();
  const GstVideoMeta* meta = gst_buffer_get_video_meta(buffer.get());
  GstVideoInfo wanted = info;
  GstVideoAlignment borders = wide_borders(info);
  fail_unless(gst_video_info_align(&wanted, &borders));
  expect_layout(meta, wanted);
  expect_equal(meta->alignment.padding_left, borders.padding_left);
  expect_equal(meta->alignment.padding_top, borders.padding_top);
  expect_equal(meta->alignment.padding_right, borders.padding_right);
  expect_equal(meta->alignment.padding_bottom, borders.padding_bottom);
  fail_unless(in_slot(buffer.get()));
}

TEST(pool_never_waits_and_falls_back_to_ordinary_memory) {
  Channel pair("slots=8");
  std::vector<Ref<GstBuffer>> lent;
  while (lent.size() < 64)
    lent.push_back(pair.pool.acquire(static_cast<int>(lent.size())));
  guint slots = 0;
  for (const auto& buffer : lent) {
    slots += in_slot(buffer.get());
    expect_equal(gst_buffer_get_size(buffer.get()), kSmallBytes);
    fail_unless(gst_buffer_get_video_meta(buffer.get()) != nullptr);
  }
  fail_unless(slots >= 1 && slots <= 8 - 3, "%u slots are lent", slots);
  for (auto& buffer : lent) {
    const int value = value_of(buffer.get());
    pair.producer.push(std::move(buffer));
    expect_equal(pair.consumer.pull_value(), value);
  }
  pair.expect_counts(slots, 64 - slots);
  expect_equal(pair.producer.stat("no-slot"), 0);
}

TEST(pool_keeps_upstream_going_while_a_reader_holds_frames) {
  Channel pair("slots=6", "max-buffers=8");
  std::vector<Frame> held;
  for (guint8 value = 2; value < 60; ++value) {
    pair.producer.push(pair.pool.acquire(value));
    held.push_back(pair.consumer.pull());
    if (held.size() > 5) held.erase(held.begin());
    for (std::size_t i = 0; i < held.size(); ++i) {
      expect_equal(held[i].value(), value + 1 - static_cast<int>(held.size() - i));
    }
  }
  expect_equal(pair.producer.stat("no-slot"), 0);
  expect_equal(pair.consumer.stat("missed"), 0);
}

TEST(lent_buffers_outlive_the_element) {
  std::vector<Ref<GstBuffer>> lent;
  std::optional<Pool> pool;
  {
    Producer producer;
    producer.start().push(1);
    pool.emplace(producer.pool());
    for (int value = 0; value < 4; ++value) lent.push_back(pool->acquire(value));
  }
  fail_unless(own_names().empty());
  fail_if(in_slot(pool->acquire(9).get()));
  for (guint8 value = 0; value < 4; ++value) {
    expect_equal(value_of(lent[value].get()), value);
    fill(lent[value].get(), 77);
  }
}

TEST(buffers_of_an_earlier_run_are_copied) {
  Producer producer;
  producer.start().push(1);
  Ref<GstBuffer> old;
  {
    const Pool pool = producer.pool();
    old = pool.acquire(2);
  }
  producer.stop();
  producer.start().push(3);
  Consumer consumer(producer.channel());
  expect_equal(consumer.start().pull_value(), 3);
  producer.push(std::move(old));
  expect_equal(consumer.pull_value(), 2);
  expect_equal(producer.stat("copied"), 2);
}

// --- new pools -----------------------------------------------------------------------

// Whoever upstream drew into slots of an earlier channel draws into those of this one,
// but for what was under way.
void expect_no_more_copies(GstElement* sink) {
  const auto frames = [sink](guint64 count) {
    await([=] { return stat(sink, "frames") >= count; }, "frames");
  };
  frames(stat(sink, "frames") + 5);
  const guint64 copied = stat(sink, "copied");
  const guint64 zero_copy = stat(sink, "zero-copy");
  frames(stat(sink, "frames") + 20);
  expect_equal(stat(sink, "copied"), copied);
  require(stat(sink, "zero-copy") >= zero_copy + 20, "no frames in slots");
}

// What may lie between the source and the sink.
const char* const kWays[] = {"identity", "queue", "videoconvert ! videoscale",
                             "identity ! queue ! capsfilter"};

std::string live_source(const char* way) {
  return std::string(
             "videotestsrc is-live=true name=source ! "
             "video/x-raw,format=I420,width=32,height=32,framerate=100/1 ! ") +
         way + " ! ";
}

// As when an application changes the channel while the camera runs.
TESTS(a_sink_that_is_restarted_alone_gets_frames_without_a_copy, std::size(kWays)) {
  Pipeline pipeline(live_source(kWays[i]) + sink_of(unique_channel()));
  const Ref<GstElement> sink = pipeline.element("sink");
  pipeline.play();
  expect_no_more_copies(sink.get());
  const Ref<GstPad> pad{gst_element_get_static_pad(sink.get(), "sink")};
  const Ref<GstPad> peer{gst_pad_get_peer(pad.get())};
  for (int round = 0; round < 2; ++round) {
    Event blocked;
    const gulong block = add_probe(peer.get(), GST_PAD_PROBE_TYPE_BLOCK_DOWNSTREAM,
                                   [&](GstPad*, GstPadProbeInfo*) {
                                     blocked.set();
                                     return GST_PAD_PROBE_OK;
                                   });
    blocked.wait("a frame before the sink");
    gst_element_set_state(sink.get(), GST_STATE_READY);
    g_object_set(sink.get(), "channel", unique_channel().c_str(), nullptr);
    fail_unless(gst_element_sync_state_with_parent(sink.get()));
    gst_pad_remove_probe(peer.get(), block);
    expect_no_more_copies(sink.get());
  }
}

TEST(a_channel_that_is_made_anew_gets_frames_without_a_copy) {
  const std::string channel = unique_channel();
  Pipeline pipeline(live_source("identity") + sink_of(channel));
  const Ref<GstElement> sink = pipeline.element("sink");
  pipeline.play();
  expect_no_more_copies(sink.get());
  const std::string name = "/dev/shm/possum-c." + channel;
  std::filesystem::remove(name);
  await([&] { return std::filesystem::exists(name); }, "the channel anew");
  expect_no_more_copies(sink.get());
}

// --- copies and who may write --------------------------------------------------------

TEST(buffer_pushed_twice_is_copied_the_second_time) {
  Channel pair;
  const Ref<GstBuffer> frame = pair.pool.acquire(2);
  pair.producer.push_kept(frame.get());
  expect_equal(pair.consumer.pull_value(), 2);
  pair.producer.push_kept(frame.get());  // still the newest
  expect_equal(pair.consumer.pull_value(), 2);
  pair.expect_counts(1, 1);
}

TEST(buffer_pushed_again_after_its_time_is_not_copied) {
  Channel pair;
  Ref<GstBuffer> frame = pair.pool.acquire(2);
  for (int i = 0; i < 5; ++i) {
    pair.producer.push_kept(frame.get());
    expect_equal(pair.consumer.pull_value(), 2);
    pair.cross(9);
  }
  pair.expect_counts(5, 5);
}

// What upstream, its application or GStreamer may do while a reader holds a frame.
struct Incident {
  const char* name;
  void (*happens)(const Channel& pair);
};

const Incident kIncidents[] = {
    {"nothing", [](const Channel&) {}},
    {"DRAIN",
     [](const Channel& pair) {
       gst_pad_peer_query(pair.producer.pad(),
                          Ref<GstQuery>{gst_query_new_drain()}.get());
     }},
    {"ALLOCATION", [](const Channel& pair) { pair.producer.query_allocation(); }},
    {"a flush", [](const Channel& pair) { pair.producer.flush(); }},
    {"RECONFIGURE",
     [](const Channel& pair) {
       gst_element_send_event(pair.producer.sink(), gst_event_new_reconfigure());
     }},
    {"EOS", [](const Channel& pair) { pair.producer.eos(); }},
    {"other caps",
     [](const Channel& pair) {
       pair.producer.caps(gray(8, 8));
       pair.producer.push(new_frame(9, 64));
     }},
    {"the end of the pool", [](const Channel& pair) { pair.pool.stop(); }},
    {"READY",
     [](const Channel& pair) { pair.producer.pipeline().set_state(GST_STATE_READY); }},
    {"more frames", [](const Channel& pair) { pair.push(3, 19); }},
};

// As an element does that draws the next frame over the last one.
void draw_over(Ref<GstBuffer> buffer) {
  buffer.reset(gst_buffer_make_writable(buffer.release()));
  fill(buffer.get(), 77);
  expect_equal(value_of(buffer.get()), 77);
}

// What upstream has of a frame, apart from the buffer that is pushed, and writes to.
struct Kept {
  Ref<GstBuffer> buffer;
  Ref<GstMemory> memory;
};
struct Writing {
  const char* name;
  Kept (*keep)(GstBuffer* pushed);
  void (*write)(Kept kept);
};

const Writing kWritings[] = {
    {"the buffer",
     [](GstBuffer* pushed) {
       return Kept{possum::share(pushed), {}};
     },
     [](Kept kept) { draw_over(std::move(kept.buffer)); }},
    {"a copy of the buffer",
     [](GstBuffer* pushed) {
       return Kept{Ref<GstBuffer>{gst_buffer_copy(pushed)}, {}};
     },
     [](Kept kept) { draw_over(std::move(kept.buffer)); }},
    {"a part of the buffer",
     [](GstBuffer* pushed) {
       return Kept{
           Ref<GstBuffer>{gst_buffer_copy_region(pushed, GST_BUFFER_COPY_MEMORY, 8, 32)},
           {}};
     },
     [](Kept kept) { draw_over(std::move(kept.buffer)); }},
    {"the memory",
     [](GstBuffer* pushed) {
       return Kept{{}, possum::share(memory_of(pushed))};
     },
     [](Kept kept) {
       GstMapInfo map;
       if (!gst_memory_map(kept.memory.get(), &map, GST_MAP_WRITE)) return;
       std::memset(map.data, 77, map.size);
       gst_memory_unmap(kept.memory.get(), &map);
     }},
    {"the memory in another buffer",
     [](GstBuffer* pushed) {
       return Kept{{}, possum::share(memory_of(pushed))};
     },
     [](Kept kept) {
       Ref<GstBuffer> other{gst_buffer_new()};
       gst_buffer_append_memory(other.get(), kept.memory.release());
       draw_over(std::move(other));
     }},
};

TESTS(what_a_reader_sees_is_not_written_whatever_happens,
      std::size(kIncidents) * std::size(kWritings)) {
  const Incident& incident = kIncidents[i / std::size(kWritings)];
  const Writing& writing = kWritings[i % std::size(kWritings)];
  g_print("%s after %s\n", writing.name, incident.name);
  Channel pair;
  Ref<GstBuffer> frame = pair.pool.acquire(2);
  Kept kept = writing.keep(frame.get());
  pair.producer.push(std::move(frame));
  const Frame seen = pair.consumer.pull();
  incident.happens(pair);
  writing.write(std::move(kept));
  expect_equal(seen.value(), 2);
  expect_equal(pair.producer.stat("zero-copy"), 1);
}

// Its pixels may change at any moment.
TEST(a_frame_that_upstream_is_writing_to_is_copied) {
  Channel pair;
  const Ref<GstBuffer> frame = pair.pool.acquire(2);
  const Ref<GstMemory> memory = possum::share(memory_of(frame.get()));
  GstMapInfo map;
  fail_unless(gst_memory_map(memory.get(), &map, GST_MAP_READWRITE));
  pair.producer.push_kept(frame.get());
  const Frame seen = pair.consumer.pull();
  std::memset(map.data, 77, map.size);
  gst_memory_unmap(memory.get(), &map);
  expect_equal(seen.value(), 2);
  pair.expect_counts(0, 1);
}

TEST(what_a_late_reader_will_see_is_not_written_either) {
  Producer producer;
  producer.start().push(1);
  const Pool pool = producer.pool();
  Ref<GstBuffer> frame = pool.acquire(2);
  producer.push_kept(frame.get());
  frame.reset(gst_buffer_make_writable(frame.release()));
  fill(frame.get(), 3);
  Consumer consumer(producer.channel());
  expect_equal(consumer.start().pull_value(), 2);
}

// GStreamer's own copy-on-write makes the copy in another slot, so that it is the only
// one.
TEST(copy_on_write_ends_in_a_slot) {
  Channel pair;
  Ref<GstBuffer> frame = pair.pool.acquire(2);
  pair.producer.push_kept(frame.get());
  pair.consumer.pull();
  for (guint8 value = 3; value < 10; ++value) {
    frame.reset(gst_buffer_make_writable(frame.release()));
    fill(frame.get(), value);
    pair.producer.push_kept(frame.get());
    expect_equal(pair.consumer.pull_value(), value);
  }
  pair.expect_counts(8, 0);
}

TEST(what_nobody_sees_any_more_goes_home) {
  Channel pair("slots=6");
  for (guint8 value = 2; value < 100; ++value) {
    const Ref<GstBuffer> frame = pair.pool.acquire(value);
    pair.producer.push_kept(frame.get());
    expect_equal(pair.consumer.pull_value(), value);
  }
  pair.expect_counts(98, 0);
}

TEST(shallow_copies_are_recognised_by_their_memory) {
  Channel pair;
  Ref<GstBuffer> frame = pair.pool.acquire(2);
  Ref<GstBuffer> shallow{gst_buffer_copy(frame.get())};
  frame.reset();
  pair.producer.push(std::move(shallow));
  expect_equal(pair.consumer.pull_value(), 2);
  pair.expect_counts(1, 0);
}

TEST(a_part_of_a_slot_is_not_copied) {
  Channel pair("", "", of_bytes(4096));
  const Ref<GstBuffer> whole = pair.pool.acquire(0);
  expect_equal(gst_buffer_get_size(whole.get()), 4096);
  fail_unless(in_slot(whole.get()));
  gst_buffer_memset(whole.get(), 1000, 5, kSmallBytes);
  Ref<GstBuffer> part{
      gst_buffer_copy_region(whole.get(), GST_BUFFER_COPY_MEMORY, 1000, kSmallBytes)};
  fail_unless(memory_of(part.get())->parent != nullptr);
  pair.producer.push(std::move(part));
  const Frame frame = pair.consumer.pull();
  expect_equal(frame.value(), 5);
  expect_equal(gst_buffer_get_size(frame.buffer.get()), kSmallBytes);
  pair.expect_counts(1, 0);
}

TEST(resized_buffers_begin_where_they_say) {
  Channel pair;
  Ref<GstBuffer> ordinary = new_frame(0, 3000);
  gst_buffer_memset(ordinary.get(), 100, 6, kSmallBytes);
  gst_buffer_resize(ordinary.get(), 100, kSmallBytes);
  pair.producer.push(std::move(ordinary));
  expect_equal(pair.consumer.pull_value(), 6);

  const Pool pool = pair.producer.pool(of_bytes(4096));
  Ref<GstBuffer> slot = pool.acquire(0);
  gst_buffer_memset(slot.get(), 512, 7, kSmallBytes);
  gst_buffer_resize(slot.get(), 512, kSmallBytes);
  pair.producer.push(std::move(slot));
  expect_equal(pair.consumer.pull_value(), 7);
  pair.expect_counts(1, 1);
}

TEST(one_memory_per_plane_is_gathered) {
  Channel pair;
  Ref<GstBuffer> planes{gst_buffer_new()};
  for (const gsize size : {kPlane, kPlane / 4, kPlane / 4}) {
    gst_buffer_append_memory(planes.get(), gst_allocator_alloc(nullptr, size, nullptr));
  }
  fill(planes.get(), 8);
  expect_equal(gst_buffer_n_memory(planes.get()), 3);
  pair.producer.push(std::move(planes));
  expect_equal(pair.consumer.pull_value(), 8);

  // Planes in memories with borders of their own.
  const GstVideoInfo info = info_of(kSmall);
  gsize offsets[GST_VIDEO_MAX_PLANES] = {};
  gint strides[GST_VIDEO_MAX_PLANES] = {};
  Ref<GstBuffer> wide{gst_buffer_new()};
  gsize at = 0;
  for (guint p = 0; p < 3; ++p) {
    offsets[p] = at;
    strides[p] = info.stride[p] + 24;
    const gsize bytes = static_cast<gsize>(strides[p]) * (p == 0 ? 16 : 8);
    gst_buffer_append_memory(wide.get(), gst_allocator_alloc(nullptr, bytes, nullptr));
    at += bytes;
  }
  gst_buffer_add_video_meta_full(wide.get(), GST_VIDEO_FRAME_FLAG_NONE,
                                 GST_VIDEO_FORMAT_I420, 16, 16, 3, offsets, strides);
  const Picture picture = draw_random(info, wide.get(), 5);
  pair.producer.push(std::move(wide));
  fail_unless(picture_of(info, pair.consumer.pull().buffer.get()) == picture);
  pair.expect_counts(0, 2);
}

TEST(a_slot_and_another_memory_are_gathered_too) {
  Channel pair;
  Ref<GstBuffer> mixed = pair.pool.acquire();
  gst_buffer_resize(mixed.get(), 0, kPlane);
  gst_buffer_append_memory(mixed.get(),
                           gst_allocator_alloc(nullptr, kSmallBytes - kPlane, nullptr));
  fill(mixed.get(), 4);
  pair.producer.push(std::move(mixed));
  expect_equal(pair.consumer.pull_value(), 4);
  pair.expect_counts(0, 1);
}

TEST(a_frame_larger_than_its_caps_crosses_as_what_they_say) {
  Pair pair;
  Ref<GstBuffer> large = new_frame(0, 5000);
  gst_buffer_memset(large.get(), 0, 3, kSmallBytes);
  pair.producer.push(std::move(large));
  const Frame frame = pair.consumer.pull();
  expect_equal(gst_buffer_get_size(frame.buffer.get()), kSmallBytes);
  expect_equal(frame.value(), 3);
}

TEST(a_frame_smaller_than_its_caps_is_left_out_with_a_warning) {
  Pair pair;
  pair.producer.push(new_frame(2, 100));
  pair.producer.push(new_frame(2, 100));
  const Report warning = pair.producer.pipeline().wait_warning();
  fail_unless(warning.is(GST_STREAM_ERROR, GST_STREAM_ERROR_FORMAT));
  fail_unless(warning.says("100") && warning.says("384"), "%s", warning.text.c_str());
  fail_if(pair.producer.pipeline().posted(GST_MESSAGE_WARNING));
  expect_equal(pair.producer.stat("dropped"), 2);
  pair.cross(3);
}

// A picture of 16 rows, each of its own grey, whose first one is said to lie there.
Ref<GstBuffer> upside_down(gsize first_row) {
  Ref<GstBuffer> frame{gst_buffer_new_allocate(nullptr, 256, nullptr)};
  for (guint row = 0; row < 16; ++row) {
    gst_buffer_memset(frame.get(), row * 16, static_cast<guint8>(row), 16);
  }
  gsize offsets[GST_VIDEO_MAX_PLANES] = {first_row * 16};
  gint strides[GST_VIDEO_MAX_PLANES] = {-16};
  gst_buffer_add_video_meta_full(frame.get(), GST_VIDEO_FRAME_FLAG_NONE,
                                 GST_VIDEO_FORMAT_GRAY8, 16, 16, 1, offsets, strides);
  return frame;
}

TEST(upside_down_frames_are_turned_by_the_copy) {
  Pair pair;
  pair.producer.caps(gray(16, 16));
  pair.producer.push(upside_down(14));
  fail_unless(pair.producer.pipeline().wait_warning().is(GST_STREAM_ERROR,
                                                         GST_STREAM_ERROR_FORMAT),
              "a row before the first byte");
  pair.producer.push(upside_down(15));
  const std::vector<guint8> bytes = bytes_of(pair.consumer.pull().buffer.get());
  for (std::size_t i = 0; i < bytes.size(); ++i) expect_equal(bytes[i], 15 - i / 16);
}

// --- real elements -------------------------------------------------------------------

TEST(two_sinks_of_one_tee_get_the_same) {
  const std::string one = unique_channel();
  const std::string two = unique_channel();
  Pipeline writer(
      "videotestsrc pattern=snow num-buffers=40 ! "
      "video/x-raw,width=64,height=48 ! tee name=t ! queue ! "
      "possumsink allow-blocking=true min-readers=1 sync=false channel=" +
      one +
      " t. ! queue ! "
      "possumsink allow-blocking=true min-readers=1 sync=false channel=" +
      two);
  const std::string blocking = "leaky-type=none timestamp-mode=running-time";
  Consumer of_one(one, blocking);
  Consumer of_two(two, blocking);
  of_one.start();
  of_two.start();
  writer.set_state(GST_STATE_PLAYING);
  // Not the preroll frame, which either may miss.
  const auto second = [](Consumer& consumer) {
    Frame frame = consumer.pull();
    while (frame.pts() == 0) frame = consumer.pull();
    return frame;
  };
  Frame a = second(of_one);
  Frame b = second(of_two);
  for (int i = 0; i < 30; ++i) {
    expect_equal(a.pts(), b.pts());
    fail_unless(bytes_of(a.buffer.get()) == bytes_of(b.buffer.get()));
    a = of_one.pull();
    b = of_two.pull();
  }
}

}  // namespace
