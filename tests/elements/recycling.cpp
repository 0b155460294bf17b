// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What a frame leaves behind: a buffer costs a known number of small allocations and
// nothing of it is left in the next one, and its slot goes home at once.
#include <sys/mount.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/mount_namespace.h"
#include "support/suite.h"

// --- every allocation of this process ------------------------------------------------

static thread_local unsigned allocations = 0;  // of this thread

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// The program's own come before glibc's, for all libraries. GLib's slices come here too
// when G_SLICE says so.
extern "C" {
void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* old, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);

void* malloc(std::size_t bytes) noexcept {
  ++allocations;
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) noexcept {
  ++allocations;
  return __libc_calloc(count, bytes);
}
void* realloc(void* old, std::size_t bytes) noexcept {
  ++allocations;
  return __libc_realloc(old, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  ++allocations;
  return __libc_memalign(alignment, bytes);
}
}
#endif

namespace {

// Not where a sanitizer or Valgrind has allocators of its own.
bool allocations_are_ours() {
  const unsigned before = allocations;
  void* volatile some = std::malloc(1);
  std::free(some);
  if (allocations == before) g_print("SKIPPED: allocations are somebody else's here\n");
  return allocations != before;
}

constexpr unsigned kWarmUp = 20;
constexpr unsigned kFrames = 100;
// A frame that comes late raises the latency, which is told by a message; at most once a
// second.
constexpr unsigned kLatencyMessages = 5;

// The allocations of one thread, frame by frame. The macros of Check allocate too.
class Tally {
 public:
  // `allowed`: for each frame.
  explicit Tally(unsigned allowed) : allowed_(allowed) {}
  // Between two frames.
  void begin() { mark_ = allocations; }
  // A frame is done.
  void note() {
    const unsigned seen = count_.load();
    if (seen >= kWarmUp && allocations - mark_ > allowed_) ++frames_;
    begin();
    count_.store(seen + 1);
    count_.notify_all();
  }
  void wait_for(unsigned count) const {
    for (unsigned seen = count_; seen < count; seen = count_) count_.wait(seen);
  }
  // Frames that needed more than is allowed, after the warm-up.
  unsigned frames() const { return frames_; }

 private:
  const unsigned allowed_;
  unsigned mark_ = 0;
  std::atomic<unsigned> count_{0};
  std::atomic<unsigned> frames_{0};
};

// Downstream of a reader: counts what the streaming thread allocates, lets go of frames.
GstFlowReturn count_and_let_go(GstPad* pad, GstObject*, GstBuffer* buffer) {
  gst_buffer_unref(buffer);
  static_cast<Tally*>(pad->chaindata)->note();
  return GST_FLOW_OK;
}

struct Holding : Ends {
  explicit Holding(const std::string& src_properties = "") : Ends("", src_properties) {
    producer.start().push(1);
    consumer.start();
    first = consumer.pull();
    expect_equal(first.value(), 1);
  }
  // The frame after it, once that is let go of.
  Frame next() {
    first.buffer.reset();
    producer.push(2);
    return consumer.pull();
  }
  Frame first;
};

unsigned count_metas(GstBuffer* buffer) {
  unsigned count = 0;
  gpointer state = nullptr;
  while (gst_buffer_iterate_meta(buffer, &state) != nullptr) ++count;
  return count;
}

void expect_no_times(const GstBuffer* buffer) {
  expect_equal(GST_BUFFER_DTS(buffer), GST_CLOCK_TIME_NONE);
  expect_equal(GST_BUFFER_OFFSET(buffer), GST_BUFFER_OFFSET_NONE);
  expect_equal(GST_BUFFER_OFFSET_END(buffer), GST_BUFFER_OFFSET_NONE);
}

void expect_default_meta(GstBuffer* buffer, const std::string& caps) {
  const GstVideoInfo info = info_of(caps);
  const GstVideoMeta* const meta = gst_buffer_get_video_meta(buffer);
  require(meta != nullptr, "no GstVideoMeta");
  fail_unless(meta->buffer == buffer);
  expect_equal(meta->format, GST_VIDEO_INFO_FORMAT(&info));
  expect_equal(meta->flags, GST_VIDEO_FRAME_FLAG_NONE);
  expect_equal(meta->id, 0);
  expect_equal(meta->width, GST_VIDEO_INFO_WIDTH(&info));
  expect_equal(meta->height, GST_VIDEO_INFO_HEIGHT(&info));
  expect_equal(meta->n_planes, GST_VIDEO_INFO_N_PLANES(&info));
  for (unsigned p = 0; p < GST_VIDEO_MAX_PLANES; ++p) {
    const bool exists = p < meta->n_planes;
    expect_equal(meta->offset[p], exists ? info.offset[p] : 0);
    expect_equal(meta->stride[p], exists ? info.stride[p] : 0);
    expect_equal(meta->alignment.stride_align[p], 0);
  }
  expect_equal(meta->alignment.padding_top, 0);
  expect_equal(meta->alignment.padding_bottom, 0);
  expect_equal(meta->alignment.padding_left, 0);
  expect_equal(meta->alignment.padding_right, 0);
  GstVideoFrame frame;
  fail_unless(gst_video_frame_map(&frame, &info, buffer, GST_MAP_READ));
  gst_video_frame_unmap(&frame);
}

// What an element downstream, or upstream, may leave on a buffer that is its own.
void scribble(GstBuffer* buffer) {
  GstVideoMeta* const meta = gst_buffer_get_video_meta(buffer);
  require(meta != nullptr, "no GstVideoMeta");
  GstVideoAlignment alignment;
  gst_video_alignment_reset(&alignment);
  alignment.padding_top = 3;
  meta->alignment = alignment;
  meta->flags = GST_VIDEO_FRAME_FLAG_INTERLACED;
  meta->id = 7;
  meta->n_planes = GST_VIDEO_MAX_PLANES;
  for (gsize& offset : meta->offset) offset += 64;
  for (gint& stride : meta->stride) stride += 64;
  meta->map = nullptr;
  meta->unmap = nullptr;
  meta->meta.flags =
      static_cast<GstMetaFlags>(GST_META_FLAG_LOCKED | GST_META_FLAG_POOLED);
  gst_buffer_add_video_crop_meta(buffer)->x = 1;
  GstMeta* const locked = &gst_buffer_add_video_crop_meta(buffer)->meta;
  locked->flags = GST_META_FLAG_LOCKED;
  GST_BUFFER_FLAGS(buffer) = GST_BUFFER_FLAG_CORRUPTED | GST_BUFFER_FLAG_GAP |
                             GST_BUFFER_FLAG_MARKER | GST_MINI_OBJECT_FLAG_MAY_BE_LEAKED;
  GST_BUFFER_PTS(buffer) = 1;
  GST_BUFFER_DTS(buffer) = 2;
  GST_BUFFER_DURATION(buffer) = 3;
  GST_BUFFER_OFFSET(buffer) = 4;
  GST_BUFFER_OFFSET_END(buffer) = 5;
}

GQuark test_quark() { return g_quark_from_static_string("possum-test"); }

void count_one(gpointer count) { ++*static_cast<int*>(count); }
void count_end(gpointer count, GstMiniObject*) { count_one(count); }

}  // namespace

// --- few allocations -----------------------------------------------------------------

// Of which GstBuffers are made, before GLib 2.76.
TEST(slices_are_counted) {
  if (!allocations_are_ours()) return;
  const unsigned before = allocations;
  const Ref<GstBuffer> buffer{gst_buffer_new()};
  require(allocations > before, "set G_SLICE=always-malloc");
}

TEST(a_frame_in_a_slot_costs_the_writer_a_buffer_a_memory_and_a_meta) {
  if (!allocations_are_ours()) return;
  Producer producer;
  producer.start().push(1);
  const Pool pool = producer.pool();
  Tally tally(3);
  tally.begin();
  for (unsigned i = 0; i < kWarmUp + kFrames; ++i) {
    Ref<GstBuffer> buffer = pool.acquire();
    GST_BUFFER_PTS(buffer.get()) = i * kFrameTime;
    require(in_slot(buffer.get()), "not in a slot");
    gst_pad_push(producer.pad(), buffer.release());
    tally.note();
  }
  expect_equal(tally.frames(), 0);
  expect_equal(producer.stat("zero-copy"), kWarmUp + kFrames);
}

TEST(writer_allocates_nothing_for_a_frame_elsewhere) {
  if (!allocations_are_ours()) return;
  Producer producer;
  producer.start();
  const Ref<GstBuffer> frame = new_frame(1);
  Tally tally(0);
  tally.begin();
  for (unsigned i = 0; i < kWarmUp + kFrames; ++i) {
    gst_pad_push(producer.pad(), gst_buffer_ref(frame.get()));
    tally.note();
  }
  expect_equal(tally.frames(), 0);
  expect_equal(producer.stat("copied"), kWarmUp + kFrames);
}

TEST(a_frame_costs_the_reader_a_buffer_a_memory_and_a_meta) {
  if (!allocations_are_ours()) return;
  Ends pair;
  Tally tally(3);
  gst_pad_set_chain_function_full(pair.consumer.pad(), count_and_let_go, &tally, nullptr);
  pair.producer.start();
  pair.consumer.start();
  for (unsigned i = 1; i <= kWarmUp + kFrames; ++i) {
    pair.producer.push(static_cast<guint8>(i));
    tally.wait_for(i);
  }
  fail_unless(tally.frames() <= kLatencyMessages, "%u of %u frames needed more memory",
              tally.frames(), kFrames);
}

// --- nothing is left over ------------------------------------------------------------

// Whatever downstream does to the first one's meta.
TEST(reader_leaves_nothing_of_a_frame_in_the_next) {
  for (const bool removed : {false, true}) {
    Holding pair("do-timestamp=false");
    GstBuffer* const first = pair.first.buffer.get();
    if (removed) {
      fail_unless(gst_buffer_remove_meta(first, &gst_buffer_get_video_meta(first)->meta));
    } else {
      scribble(first);
    }
    const Frame second = pair.next();
    GstBuffer* const buffer = second.buffer.get();
    expect_equal(second.value(), 2);
    expect_equal(count_metas(buffer), 1);
    expect_default_meta(buffer, kSmall);
    expect_equal(GST_BUFFER_FLAGS(buffer) & ~GST_BUFFER_FLAG_TAG_MEMORY, 0);
    fail_unless(GST_BUFFER_PTS(buffer) != 1);
    expect_equal(GST_BUFFER_DURATION(buffer), kFrameTime);
    expect_no_times(buffer);
  }
}

TEST(writer_leaves_nothing_of_a_frame_in_the_next) {
  Producer producer;
  producer.start().push(1);
  const Pool pool = producer.pool([](GstStructure* config) {
    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
  });
  Ref<GstBuffer> buffer = pool.acquire();
  scribble(buffer.get());
  gst_buffer_append_memory(buffer.get(), gst_allocator_alloc(nullptr, 100, nullptr));
  buffer.reset();
  buffer = pool.acquire();
  expect_equal(count_metas(buffer.get()), 1);
  expect_default_meta(buffer.get(), kSmall);
  expect_equal(gst_buffer_n_memory(buffer.get()), 1);
  expect_equal(gst_buffer_get_size(buffer.get()), kSmallBytes);
  expect_equal(GST_BUFFER_FLAGS(buffer.get()), 0);
  expect_equal(GST_BUFFER_PTS(buffer.get()), GST_CLOCK_TIME_NONE);
  expect_equal(GST_BUFFER_DURATION(buffer.get()), GST_CLOCK_TIME_NONE);
  expect_no_times(buffer.get());
  buffer.reset();
}

// The frame ends for whoever looks after it.
TEST(weak_references_and_qdata_end_with_the_frame) {
  Holding pair;
  int ends = 0;
  int weak_ends = 0;
  int memory_ends = 0;
  GstMiniObject* object = GST_MINI_OBJECT_CAST(pair.first.buffer.get());
  gst_mini_object_set_qdata(object, test_quark(), &ends, count_one);
  gst_mini_object_weak_ref(object, count_end, &weak_ends);
  gst_mini_object_weak_ref(
      GST_MINI_OBJECT_CAST(gst_buffer_peek_memory(pair.first.buffer.get(), 0)), count_end,
      &memory_ends);
  pair.first.buffer.reset();
  expect_equal(ends, 1);
  expect_equal(weak_ends, 1);
  expect_equal(memory_ends, 1);
  const Frame second = pair.next();
  object = GST_MINI_OBJECT_CAST(second.buffer.get());
  fail_unless(gst_mini_object_get_qdata(object, test_quark()) == nullptr);
  expect_equal(count_metas(second.buffer.get()), 1);
  expect_equal(ends + weak_ends + memory_ends, 3);
}

TEST(borders_go_with_the_frame_that_has_them) {
  Holding pair;
  const Pool pool = pair.producer.pool([](GstStructure* config) {
    GstVideoAlignment alignment;
    gst_video_alignment_reset(&alignment);
    alignment.padding_left = alignment.padding_top = 16;
    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_META);
    gst_buffer_pool_config_add_option(config, GST_BUFFER_POOL_OPTION_VIDEO_ALIGNMENT);
    gst_buffer_pool_config_set_video_alignment(config, &alignment);
  });
  pair.first.buffer.reset();
  for (int round = 0; round < 3; ++round) {
    pair.producer.push(pool.acquire(3));
    Frame padded = pair.consumer.pull();
    const GstVideoMeta* const meta = gst_buffer_get_video_meta(padded.buffer.get());
    expect_equal(meta->alignment.padding_top, 16);
    expect_equal(meta->alignment.padding_left, 16);
    expect_equal(padded.value(), 3);
    padded.buffer.reset();
    pair.producer.push(4);
    const Frame plain = pair.consumer.pull();
    expect_default_meta(plain.buffer.get(), kSmall);
    expect_equal(plain.value(), 4);
  }
}

TEST(new_caps_mean_a_new_meta) {
  const std::string large =
      "video/x-raw,format=BGRx,width=64,height=32,framerate=25/1,interlace-mode="
      "progressive,pixel-aspect-ratio=1/1,colorimetry=sRGB";
  Holding pair;
  pair.first.buffer.reset();
  pair.producer.caps(large);
  pair.producer.push(new_frame(2, 64 * 32 * 4));
  Frame frame = pair.consumer.pull();
  expect_default_meta(frame.buffer.get(), large);
  expect_equal(gst_buffer_get_size(frame.buffer.get()), 64 * 32 * 4);
  frame.buffer.reset();
  pair.producer.caps(kSmall);
  pair.producer.push(3);
  frame = pair.consumer.pull();
  expect_default_meta(frame.buffer.get(), kSmall);
  expect_equal(gst_buffer_get_size(frame.buffer.get()), kSmallBytes);
}

// --- slots go home -------------------------------------------------------------------

TEST(a_frame_that_is_let_go_of_gives_its_slot_back_at_once) {
  Holding pair;
  expect_equal(pair.producer.stat("held"), 1);
  std::thread([&] { pair.first.buffer.reset(); }).join();
  expect_equal(pair.producer.stat("held"), 0);
}

TEST(a_writable_copy_keeps_the_slot) {
  Holding pair;
  Ref<GstBuffer> copy{gst_buffer_copy(pair.first.buffer.get())};
  pair.first.buffer.reset();
  expect_equal(pair.producer.stat("held"), 1);
  const Frame second = pair.next();
  fail_unless(copy->pool == nullptr);
  expect_equal(value_of(copy.get()), 1);
  expect_default_meta(copy.get(), kSmall);
  expect_equal(pair.producer.stat("held"), 2);
  copy.reset();
  expect_equal(pair.producer.stat("held"), 1);
}

TEST(a_pool_lends_again_what_came_back) {
  Producer producer;
  producer.start().push(1);
  const Pool pool = producer.pool();
  for (int round = 0; round < 3; ++round) {
    std::vector<Ref<GstBuffer>> buffers;
    while (buffers.empty() || in_slot(buffers.back().get())) {
      buffers.push_back(pool.acquire());
    }
    require(buffers.size() > 2, "nothing is lent in round " + std::to_string(round));
    std::thread([&] { buffers.clear(); }).join();
  }
}

TEST(a_pool_that_found_no_room_lends_slots_when_there_is_some) {
  if (!support::leave_mount_namespace() ||
      mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=400k") != 0) {
    g_print("SKIPPED: no /dev/shm of one's own here\n");
    return;
  }
  {
    Producer producer;
    producer.start();
    const std::filesystem::path ballast = "/dev/shm/ballast";
    std::ofstream(ballast, std::ios::binary) << std::string(1 << 19, 'x');
    const Pool pool = producer.pool();
    fail_if(in_slot(pool.acquire().get()));
    std::filesystem::remove(ballast);
    producer.push(1);
    await([&] { return in_slot(pool.acquire().get()); }, "a slot");
    producer.push(pool.acquire(2));
    expect_equal(producer.stat("zero-copy"), 1);
  }
  umount2("/dev/shm", MNT_DETACH);
}

// Every thread lets go of what another one took.
TEST(buffers_come_back_from_many_threads) {
  Producer producer;
  producer.start().push(1);
  const Pool pool = producer.pool();
  std::array<std::atomic<GstBuffer*>, 4> places{};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < places.size(); ++t) {
    threads.emplace_back([&, t] {
      for (unsigned i = 0; i < 5000; ++i) {
        GstBuffer* const fresh = pool.acquire().release();
        require(GST_MINI_OBJECT_REFCOUNT_VALUE(fresh) == 1 &&
                    gst_buffer_n_memory(fresh) == 1 && count_metas(fresh) == 1,
                "a buffer that is not new");
        const Ref<GstBuffer> old{places[(t + i) % places.size()].exchange(fresh)};
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (auto& place : places) gst_buffer_unref(place.load());
}
