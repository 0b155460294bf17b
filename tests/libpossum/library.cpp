// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// libpossum from outside: what its header promises, between processes and threads, with
// peers that die, lie, hoard and fork.

#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "support/check.h"
#include "support/library.h"
#include "support/meddling.h"

using namespace library;  // every test speaks its words

namespace {

constexpr char kPicture[] = "video/x-raw, format=BGR, width=65, height=33";
constexpr char kOther[] =
    "video/x-raw, format=(string)NV12, width=(int)33, height=(int)17";
constexpr char kArray[] =
    "application/x-possum-array, dtype=(string)float32, shape=(string)\"4\\054\\ 8\"";
constexpr std::int64_t kSecondNs = 1000 * support::kMs;
constexpr std::int64_t kShortNs = 30 * support::kMs;

void publish(possum_writer* writer, std::uint64_t key, const std::string& caps = kPicture,
             int line = __builtin_LINE()) {
  expect(POSSUM_OK, publish_picture(writer, video_of(caps), key), __FILE__, line);
}

// Within a slot, from its beginning, as params_for() says.
possum_status publish_slot(possum_writer* writer, possum_slot* slot, std::uint64_t key,
                           std::int64_t deadline_ns = POSSUM_AT_ONCE) {
  const possum_frame_params params = params_for(key);
  return possum_writer_publish(writer, slot, &params, deadline_ns);
}

SlotHandle drawn_slot(possum_writer* writer, std::uint64_t key,
                      const std::string& caps = kPicture) {
  SlotHandle slot = borrow(writer);
  draw_picture(video_of(caps), possum_slot_data(slot), key);
  return slot;
}

// Takes the next frame.
bool shows_key(possum_reader* reader, std::uint64_t key) {
  const FrameHandle frame = take(reader);
  return info_of(frame).offset == key && shows_its_key(frame);
}

// --- what a TEST_F finds ---------------------------------------------------------------

struct WithWriter {
  NamedWriter writer = open_writer(unique_channel(), kPicture);
};
struct WithReader : WithWriter {
  ReaderHandle reader = attach_reader(writer.channel);
};
struct WithOther {
  NamedWriter writer = open_writer(unique_channel(), kOther);
  ReaderHandle reader = attach_reader(writer.channel);
};
struct WithBlockingWriter {
  NamedWriter writer = open_writer(unique_channel(), kPicture, allow_blocking);
};

// --- what writes to frames, in this process and others ---------------------------------

constexpr std::uint64_t kDrawnFrames = 40;  // more than there are slots
constexpr int kDrawn = 0xee;
constexpr int kOfAnEarlierHandler = 42;

void copy_on_write(possum_reader_options& options) {
  options.policy = POSSUM_BLOCKING;
  options.copy_on_write = 1;
}

unsigned char* pixels_of(const possum_frame* frame) {
  return static_cast<unsigned char*>(const_cast<void*>(info_of(frame).data));
}
void draw_on(const possum_frame* frame) {
  std::memset(pixels_of(frame), kDrawn, info_of(frame).bytes);
}
bool is_drawn(const possum_frame* frame) {
  const unsigned char* const pixels = pixels_of(frame);
  return std::all_of(pixels, pixels + info_of(frame).bytes,
                     [](unsigned char byte) { return byte == kDrawn; });
}

void draw_in_threads(const possum_frame* frame) {
  constexpr std::size_t kThreads = 4;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([frame, t] {
      unsigned char* const pixels = pixels_of(frame);
      for (std::size_t i = t; i < info_of(frame).bytes; i += kThreads) {
        pixels[i] = kDrawn;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// In a child, which its parent does not notice.
void draw_in_a_child(const possum_frame* frame) {
  CHECK(support::status_of_fork([&] {
          draw_on(frame);
          const bool right = is_drawn(frame);
          possum_frame_release(const_cast<possum_frame*>(frame));
          _exit(right ? 0 : 1);
        }) == 0);
  CHECK(shows_its_key(frame));
  draw_on(frame);
}

// As Python's faulthandler: says that it was fatal, and passes it on to what was before.
struct sigaction before_the_reporter;
void report(int number) {
  sigaction(number, &before_the_reporter, nullptr);
  raise(number);
}
void report_faults(int flags) {
  struct sigaction action {};
  action.sa_handler = report;
  action.sa_flags = flags;
  sigaction(SIGSEGV, &action, &before_the_reporter);
}

// CHANNEL: draws on every frame, a fork and all, and sees each as it was sent.
ROLE(drawer) {
  const std::string how = args[1];
  if (how == "locked") CHECK(mlockall(MCL_CURRENT | MCL_FUTURE) == 0);
  if (how == "reported before") report_faults(SA_NODEFER);
  const ReaderHandle reader = attach_reader(args[0], copy_on_write);
  for (std::uint64_t key = 0; key < kDrawnFrames; ++key) {
    if (how == "reported" && key % 4 == 0) report_faults(SA_NODEFER);
    const FrameHandle frame = take(reader);
    CHECK(info_of(frame).offset == key && shows_its_key(frame));
    if (how == "threads") {
      draw_in_threads(frame);
    } else if (how == "child") {
      draw_in_a_child(frame);
    } else if (key % 3 != 1) {
      draw_on(frame);
    }
    CHECK(how != "threads" || is_drawn(frame));
  }
  return 0;
}

// CHANNEL HOW: makes a fault that has to end it.
ROLE(faulty) {
  const std::string how = args[1];
  signal(SIGSEGV, SIG_DFL);  // a sanitizer's handler would make an exit of it
  if (how == "handled") {
    signal(SIGSEGV, [](int) { _exit(kOfAnEarlierHandler); });
  }
  const ReaderHandle reader = attach_reader(args[0], [&](auto& options) {
    copy_on_write(options);
    if (how == "not asked for") options.copy_on_write = 0;
  });
  const FrameHandle frame = take(reader);
  static volatile std::uintptr_t nowhere = 8;
  auto* place = reinterpret_cast<unsigned char*>(nowhere);
  if (how == "not asked for") place = pixels_of(frame);
  if (how == "before the pixels") place = pixels_of(frame) - 1;
  if (how == "other memory") {
    place = static_cast<unsigned char*>(
        mmap(nullptr, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  }
  if (how == "a jump into pixels") {
    reinterpret_cast<void (*)()>(pixels_of(frame))();
  } else if (how == "sent") {
    kill(getpid(), SIGSEGV);
  } else {
    *static_cast<volatile unsigned char*>(place) = 1;
  }
  return 0;
}

// --- arguments -------------------------------------------------------------------------

TEST(nonsense_is_refused_with_a_sentence) {
  possum_writer_options options;
  possum_writer_options_init(&options, sizeof options);
  possum_writer* writer = nullptr;
  const auto refused = [&](auto change, const char* words) {
    possum_writer_options wrong = options;
    change(wrong);
    EXPECT(POSSUM_ERROR_SETTINGS, possum_writer_open(&wrong, &writer));
    CHECK(writer == nullptr && says(words));
  };
  refused([](auto& o) { o.channel = "a/b"; }, "a/b");
  refused([](auto& o) { o.slots = 2; }, "3 to 32");
  refused([](auto& o) { o.perms = 0640; }, "use perms=0660 (octal)");
  refused([](auto& o) { o.group = "no-such-group-here"; }, "no-such-group-here");
  refused([](auto& o) { o.caps = "nonsense"; }, "no caps");
  refused([](auto& o) { o.caps = "video/x-raw, text=\001"; }, "no caps");
  const std::string long_caps = "application/x-test, a=" + std::string(16384, 'b');
  refused([&](auto& o) { o.caps = long_caps.c_str(); }, "16384");
  refused([](auto& o) { o.max_blocking_ns = -1; }, "max_blocking_ns");
  refused([](auto& o) { o.size = 4; }, "init function");
  EXPECT(POSSUM_ERROR_SETTINGS, possum_writer_open(nullptr, &writer));
  EXPECT(POSSUM_ERROR_SETTINGS, possum_writer_open(&options, nullptr));

  const auto reader_refused = [](auto change, const char* words) {
    possum_reader_options wrong;
    possum_reader_options_init(&wrong, sizeof wrong);
    change(wrong);
    possum_reader* reader = nullptr;
    EXPECT(POSSUM_ERROR_SETTINGS, possum_reader_open(&wrong, &reader));
    CHECK(reader == nullptr && says(words));
  };
  reader_refused([](auto& o) { o.depth = 17; }, "depth");
  reader_refused([](auto& o) { o.policy = 3; }, "policy");
  reader_refused([](auto& o) { o.allowed_owner = "no-such-user-here"; },
                 "no-such-user-here");
}

TEST(null_handles_do_no_harm) {
  possum_slot* slot = nullptr;
  EXPECT(POSSUM_ERROR_SETTINGS, try_next(nullptr));
  EXPECT(POSSUM_ERROR_SETTINGS, possum_writer_borrow(nullptr, 1, POSSUM_AT_ONCE, &slot));
  possum_writer_close(nullptr);
  possum_reader_close(nullptr);
  possum_slot_release(nullptr);
  possum_frame_release(nullptr);
  possum_writer_interrupt(nullptr, 1);
  possum_reader_skip_to_newest(nullptr);
  CHECK(possum_frame_ref(nullptr) == nullptr && possum_slot_data(nullptr) == nullptr);
  CHECK(possum_writer_reader_count(nullptr) == 0 && info_of(nullptr).data == nullptr);
}

TEST(structs_may_be_those_of_a_later_version) {
  struct Later {
    possum_reader_options options;
    std::uint64_t unknown;
  } later;
  std::memset(&later, 0xff, sizeof later);
  possum_reader_options_init(&later.options, sizeof later);
  CHECK(later.options.size == sizeof later && later.unknown == 0);
  possum_reader* reader = nullptr;
  EXPECT(POSSUM_OK, possum_reader_open(&later.options, &reader));
  possum_reader_close(reader);
  later.unknown = 1;
  EXPECT(POSSUM_ERROR_SETTINGS, possum_reader_open(&later.options, &reader));
  CHECK(says("newer"));

  struct LaterInfo {
    possum_frame_info info;
    std::uint64_t unknown = 1;
  } info;
  possum_frame_get_info(nullptr, &info.info, sizeof info);
  CHECK(info.unknown == 0);
  unsigned char earlier[24];
  std::memset(earlier, 1, sizeof earlier);
  possum_frame_get_info(nullptr, reinterpret_cast<possum_frame_info*>(earlier), 16);
  CHECK(earlier[15] == 0 && earlier[16] == 1);
}

// In 1.0, on machines with 64-bit pointers; elsewhere what the structs have today.
constexpr std::size_t first_size(std::size_t on_64_bits, std::size_t today) {
  return sizeof(void*) == 8 ? on_64_bits : today;
}
constexpr std::size_t kVideo10 = first_size(368, sizeof(possum_video));
constexpr std::size_t kWriterOptions10 = first_size(72, sizeof(possum_writer_options));
constexpr std::size_t kFrameParams10 = first_size(144, sizeof(possum_frame_params));
constexpr std::size_t kReaderOptions10 = first_size(48, sizeof(possum_reader_options));

// A struct at the end of what may be touched, as a program of that version has it.
template <class T>
struct OfSize {
  explicit OfSize(std::size_t bytes)
      : page(static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))),
        value(reinterpret_cast<T*>(page + 4096 - bytes)) {
    CHECK(mprotect(page + 4096, 4096, PROT_NONE) == 0);
  }
  ~OfSize() { munmap(page, 8192); }
  char* page;
  T* value;
};

TEST(programs_built_with_version_1_0_work) {
  const std::string channel = unique_channel();
  OfSize<possum_video> video(kVideo10);
  possum_video_init(video.value, kVideo10);
  EXPECT(POSSUM_OK, possum_video_from_caps(video.value, kPicture));
  EXPECT(POSSUM_OK, possum_video_set_format(video.value, "BGR", 65, 33));
  char caps[512];
  CHECK(possum_video_to_caps(video.value, caps, sizeof caps) > 0);

  OfSize<possum_writer_options> to(kWriterOptions10);
  possum_writer_options_init(to.value, kWriterOptions10);
  to.value->channel = channel.c_str();
  to.value->caps = caps;
  possum_writer* writer = nullptr;
  EXPECT(POSSUM_OK, possum_writer_open(to.value, &writer));

  OfSize<possum_reader_options> from(kReaderOptions10);
  possum_reader_options_init(from.value, kReaderOptions10);
  from.value->channel = channel.c_str();
  possum_reader* reader = nullptr;
  EXPECT(POSSUM_OK, possum_reader_open(from.value, &reader));
  EXPECT(POSSUM_OK, possum_reader_attach(reader, POSSUM_AT_ONCE));

  OfSize<possum_frame_params> params(kFrameParams10);
  possum_frame_params_init(params.value, kFrameParams10);
  std::vector<unsigned char> picture(video.value->bytes);
  EXPECT(POSSUM_OK, write(writer, picture, params.value));
  const FrameHandle frame = take(reader);
  EXPECT(POSSUM_OK, possum_frame_get_video(frame, video.value));
  possum_reader_close(reader);
  possum_writer_close(writer);
}

// As memory does that nobody prepared.
TEST(sizes_that_no_struct_has_are_not_believed) {
  for (const std::size_t wrong : {std::size_t{0}, kReaderOptions10 - 1, SIZE_MAX / 2,
                                  SIZE_MAX, std::size_t{1} << 20}) {
    OfSize<possum_reader_options> from(sizeof(possum_reader_options));
    possum_reader_options_init(from.value, sizeof(possum_reader_options));
    from.value->size = wrong;
    possum_reader* reader = nullptr;
    EXPECT(POSSUM_ERROR_SETTINGS, possum_reader_open(from.value, &reader));
    CHECK(says("init function"));
    if (wrong < sizeof(possum_reader_options)) continue;
    possum_reader_options_init(from.value, wrong);
    EXPECT(POSSUM_ERROR_SETTINGS, possum_reader_open(from.value, &reader));
    OfSize<possum_frame_info> info(sizeof(possum_frame_info));
    possum_frame_get_info(nullptr, info.value, wrong);
    OfSize<possum_video> video(sizeof(possum_video));
    possum_video_init(video.value, wrong);
    CHECK(possum_video_to_caps(video.value, nullptr, 0) == 0);
  }
  const auto writer = open_writer(unique_channel(), kPicture);
  const ReaderHandle one = attach_reader(writer.channel);
  const ReaderHandle two = attach_reader(writer.channel);
  possum_reader_info infos[2];
  CHECK(possum_writer_get_readers(writer, infos, SIZE_MAX / 2, 2) == 2);
}

TEST(each_status_has_a_name_and_deadlines_are_moments) {
  for (int status = POSSUM_ERROR_SYSTEM; status <= POSSUM_NO_SLOT; ++status) {
    CHECK(std::string(possum_status_name(static_cast<possum_status>(status))) !=
          "unknown");
  }
  CHECK(possum_version() >> 16 == POSSUM_VERSION_MAJOR);
  CHECK(possum_deadline(POSSUM_FOREVER) == POSSUM_FOREVER);
  CHECK(possum_deadline(-5) == POSSUM_AT_ONCE);
  const std::int64_t before = possum_now_ns();
  CHECK(possum_deadline(1000) >= before + 1000);
}

// --- frames ----------------------------------------------------------------------------

TEST(frame_arrives_with_all_that_is_known_of_it) {
  const std::int64_t opened = possum_now_ns();
  const auto writer = open_writer(unique_channel(), kPicture);
  const ReaderHandle reader = attach_reader(writer.channel);
  const possum_video video = video_of(kPicture);
  possum_frame_params params = params_for(9);
  params.capture_ns = possum_now_ns();
  params.duration_ns = 40'000'000;
  params.latency_ns = 7;
  params.offset_end = 10;
  params.flags = POSSUM_FLAG_DISCONT | POSSUM_FLAG_CORRUPTED | POSSUM_FLAG_INTERLACED;
  SlotHandle slot = drawn_slot(writer, 9);
  CHECK(possum_slot_bytes(slot) >= video.bytes);
  CHECK(statistics_of(writer).borrowed == 1);
  EXPECT(POSSUM_OK, possum_writer_publish(writer, slot, &params, POSSUM_AT_ONCE));

  const FrameHandle frame = take(reader);
  const possum_frame_info info = info_of(frame);
  CHECK(shows_its_key(frame));
  CHECK(info.seq == 1 && info.missed == 0 && info.writer_id != 0);
  CHECK(info.capture_ns == params.capture_ns && info.publish_ns >= params.capture_ns);
  CHECK(info.pts_ns >= 0 && info.pts_ns <= params.capture_ns - opened);
  CHECK(info.dts_ns == POSSUM_NO_TIME && info.duration_ns == 40'000'000);
  CHECK(info.latency_ns == 7 && info.offset == 9 && info.offset_end == 10);
  CHECK(info.flags == params.flags && info.is_copy == 0 && info.is_video == 1);
  CHECK(info.width == 65 && info.height == 33 && info.plane_count == 1);
  CHECK(info.planes[0].stride == 196 && info.planes[0].pixel_bytes == 3);
  CHECK(info.bytes == video.bytes && info.planes[0].data == info.data);
  CHECK(std::string(info.caps) == kPicture && info.caps == possum_frame_caps(frame));
  const possum_writer_statistics told = statistics_of(writer);
  CHECK(told.frames == 1 && told.zero_copy == 1 && told.held == 1 && told.borrowed == 0);
  CHECK(told.readers == 1 && possum_writer_reader_count(writer) == 1);
  slot.reset();
  possum_reader_info who;
  CHECK(possum_writer_get_readers(writer, &who, sizeof who, 1) == 1);
  CHECK(who.pid == static_cast<std::uint32_t>(getpid()) && who.held == 1);
  const possum_reader_statistics seen = statistics_of(reader);
  CHECK(seen.frames == 1 && seen.bytes == video.bytes && seen.attachments == 1);
  CHECK(seen.writer_pid == static_cast<std::uint32_t>(getpid()));
  CHECK(std::string(seen.writer_name).starts_with("libpossum-libra"));
}

TEST_F(WithReader, recorded_material_has_its_own_time_and_none_of_the_clock) {
  const std::vector<char> picture(video_of(kPicture).bytes);
  possum_frame_params params = params_for(0);
  params.pts_ns = 5'000;
  params.dts_ns = 4'000;
  EXPECT(POSSUM_OK, write(writer, picture, &params));
  FrameHandle frame = take(reader);
  possum_frame_info info = info_of(frame);
  CHECK(info.pts_ns == 5'000 && info.dts_ns == 4'000);
  CHECK(info.capture_ns == info.publish_ns);
  frame.reset();
  params.pts_ns = -1;
  EXPECT(POSSUM_ERROR_SETTINGS, write(writer, picture, &params));
  // A clock an hour ahead is another clock.
  params = params_for(0);
  params.capture_ns = possum_now_ns() + 7200 * kSecondNs;
  EXPECT(POSSUM_OK, write(writer, picture, &params));
  frame = take(reader);
  info = info_of(frame);
  CHECK(info.capture_ns <= possum_now_ns() && info.capture_ns >= info.publish_ns);
}

TEST_F(WithOther, planes_may_lie_anywhere_in_a_slot) {
  possum_video video = video_of(kOther);
  possum_frame_params params = params_for(3);
  place_planes({{4096, 64, 0}, {64, 80, 0}}, video, params);
  const SlotHandle slot = borrow(writer, 8000);
  draw_picture(video, possum_slot_data(slot), 3);
  EXPECT(POSSUM_OK, possum_writer_publish(writer, slot, &params, POSSUM_AT_ONCE));
  const FrameHandle frame = take(reader);
  CHECK(shows_its_key(frame));
  possum_video there = no_video();
  EXPECT(POSSUM_OK, possum_frame_get_video(frame, &there));
  CHECK(there.planes[0].offset == 4096 && there.planes[1].stride == 80);
  CHECK(there.bytes == 8000);
}

TEST_F(WithOther, planes_that_do_not_fit_are_refused_and_the_slot_stays_borrowed) {
  const SlotHandle slot = borrow(writer);
  const auto refused = [&](auto change) {
    possum_frame_params params = params_for(0);
    change(params);
    EXPECT(POSSUM_ERROR_SETTINGS,
           possum_writer_publish(writer, slot, &params, POSSUM_AT_ONCE));
  };
  refused([](auto& p) { p.plane_count = 1; });
  refused([](auto& p) { p.plane_count = 5; });
  refused([](auto& p) { p.plane_count = 2, p.planes[0].stride = 32; });
  refused([](auto& p) {
    p.plane_count = 2, p.planes[0].stride = p.planes[1].stride = 36;
    p.planes[1].offset = ~std::uint64_t{0};
  });
  refused([](auto& p) { p.bytes = std::uint64_t{1} << 40; });
  refused([](auto& p) { p.bytes = 100; });
  EXPECT(POSSUM_OK, possum_writer_publish(writer, slot, nullptr, POSSUM_AT_ONCE));
  CHECK(statistics_of(writer).frames == 1 && statistics_of(writer).borrowed == 0);
}

TEST_F(WithOther, write_copies_rows_from_any_layout) {
  possum_video video = video_of(kOther);
  std::vector<unsigned char> memory(6000, 0xee);
  possum_frame_params params = params_for(4);
  place_planes({{3000, 50, 0}, {11, 70, 0}}, video, params);
  draw_picture(video, memory.data(), 4);
  EXPECT(POSSUM_OK, write(writer, memory, &params));
  FrameHandle frame = take(reader);
  CHECK(shows_its_key(frame) && info_of(frame).planes[0].stride == 36);
  CHECK(info_of(frame).bytes == video_of(kOther).bytes);
  CHECK(statistics_of(writer).copied == 1);
  frame.reset();
  memory.resize(100);
  EXPECT(POSSUM_ERROR_SETTINGS, write(writer, memory));
}

TEST(anything_with_a_media_type_crosses) {
  const auto writer = open_writer(unique_channel(), kArray);
  const ReaderHandle reader = attach_reader(writer.channel);
  std::vector<float> values(32);
  std::iota(values.begin(), values.end(), 1 / 3.f);
  EXPECT(POSSUM_OK, write(writer, values));
  FrameHandle frame = take(reader);
  const possum_frame_info info = info_of(frame);
  CHECK(info.is_video == 0 && info.plane_count == 0 && info.bytes == 32 * sizeof(float));
  CHECK(std::memcmp(info.data, values.data(), info.bytes) == 0);
  char shape[8];
  CHECK(possum_caps_get(info.caps, "shape", shape, sizeof shape) == 4);
  CHECK(std::string(shape) == "4, 8");
  possum_video video = no_video();
  EXPECT(POSSUM_ERROR_FORMAT, possum_frame_get_video(frame, &video));
  frame.reset();
  possum_slot* slot = nullptr;
  EXPECT(POSSUM_ERROR_SETTINGS, possum_writer_borrow(writer, 0, POSSUM_AT_ONCE, &slot));
  CHECK(says("How large"));
}

TEST_F(WithBlockingWriter, caps_change_from_one_frame_to_the_next) {
  const ReaderHandle reader = attach_reader(writer.channel, blocking);
  std::vector<FrameHandle> kept;
  for (std::uint64_t key = 0; key < 12; ++key) {
    const char* const caps = key % 4 < 2 ? kPicture : kOther;
    EXPECT(POSSUM_OK, possum_writer_set_caps(writer, caps, 0));
    publish(writer, key, caps);
    FrameHandle frame = take(reader);
    CHECK(std::string(possum_frame_caps(frame)) == caps && shows_its_key(frame));
    kept.push_back(std::move(frame));
    if (kept.size() > 4) {
      CHECK(shows_its_key(kept.front()));
      kept.erase(kept.begin());
    }
  }
  CHECK(possum_frame_caps(kept[0]) == possum_frame_caps(kept[1]));
  EXPECT(POSSUM_ERROR_SETTINGS, possum_writer_set_caps(writer, "?", 0));
  SlotHandle slot = borrow(writer);
  const std::string longer = kPicture + std::string(", x=") + std::string(9000, 'x');
  EXPECT(POSSUM_OK, possum_writer_set_caps(writer, longer.c_str(), 0));
  EXPECT(POSSUM_ERROR_SETTINGS, publish_slot(writer, slot, 98));
  slot.reset();
  publish(writer, 99);
  CHECK(shows_key(reader, 99));
}

TEST_F(WithReader, frames_outlive_reader_writer_and_channel) {
  publish(writer, 5);
  FrameHandle frame = take(reader);
  const SlotHandle slot = borrow(writer);
  reader.reset();
  writer.reset();
  CHECK(support::names_of(writer.channel).empty());
  CHECK(possum_frame_ref(frame) == frame);
  possum_frame_release(frame);
  CHECK(shows_its_key(frame));
  frame.reset();
  std::memset(possum_slot_data(slot), 1, possum_slot_bytes(slot));
}

TEST_F(WithWriter, copy_option_gives_slots_back_at_once) {
  const ReaderHandle reader =
      attach_reader(writer.channel, [](auto& options) { options.copy = 1; });
  std::vector<FrameHandle> kept;
  for (std::uint64_t key = 0; key < 40; ++key) {
    publish(writer, key);
    kept.push_back(take(reader));
    CHECK(info_of(kept.back()).is_copy == 1);
  }
  CHECK(statistics_of(writer).held == 0 && statistics_of(reader).copied == 40);
  for (const FrameHandle& frame : kept) CHECK(shows_its_key(frame));
}

// --- slots -----------------------------------------------------------------------------

TEST(several_slots_may_be_borrowed) {
  const auto writer =
      open_writer(unique_channel(), kPicture, [](auto& options) { options.slots = 6; });
  const ReaderHandle reader = attach_reader(writer.channel);
  SlotHandle slots[4];
  for (SlotHandle& slot : slots) slot = borrow(writer);
  possum_slot* fifth = nullptr;
  EXPECT(POSSUM_NO_SLOT, possum_writer_borrow(writer, 0, POSSUM_AT_ONCE, &fifth));
  CHECK(fifth == nullptr && says("release"));
  for (SlotHandle& slot : slots) slot.reset();
  // Those that were lent come back as well.
  for (std::uint64_t key = 0; key < 40; key += 2) {
    for (const unsigned i : {0, 1}) slots[i] = drawn_slot(writer, key + i);
    for (const unsigned i : {0, 1}) {
      EXPECT(POSSUM_OK, publish_slot(writer, slots[i], key + i));
      slots[i].reset();
      CHECK(shows_key(reader, key + i));
    }
  }
  CHECK(statistics_of(writer).borrowed == 0);
  for (SlotHandle& slot : slots) slot = borrow(writer);
  for (SlotHandle& slot : slots) slot.reset();
  CHECK(statistics_of(writer).no_slot == 0);
}

// The natural code for errors is the right one, and a slot can be read while it is there.
TEST_F(WithReader, slot_is_released_once_whatever_publish_said) {
  SlotHandle slot = drawn_slot(writer, 1);
  const auto publish = [&](possum_status wanted) {
    EXPECT(wanted, publish_slot(writer, slot, 1));
    const auto* const first = static_cast<const unsigned char*>(possum_slot_data(slot));
    CHECK(*first == picture_byte(1, 0, 0, 0));
  };
  publish(POSSUM_OK);
  publish(POSSUM_ERROR_STATE);
  CHECK(says("borrow another") && statistics_of(writer).frames == 1);
  CHECK(shows_key(reader, 1));
  slot.reset();
  CHECK(statistics_of(writer).borrowed == 0);

  // A slot of a channel that is made anew carries nothing to its readers.
  slot = drawn_slot(writer, 1);
  CHECK(shm_unlink(("/possum-c." + writer.channel).c_str()) == 0);
  CHECK(support::eventually([&] { return possum_writer_reader_count(writer) == 0; }));
  publish(POSSUM_NO_SLOT);
  publish(POSSUM_ERROR_STATE);
  CHECK(statistics_of(writer).borrowed == 0 && statistics_of(writer).no_slot == 1);
  slot.reset();

  CHECK(support::eventually([&] {  // it is made anew by now
    possum_slot* anew = nullptr;
    if (possum_writer_borrow(writer, 0, POSSUM_AT_ONCE, &anew) != POSSUM_OK) return false;
    slot = SlotHandle(anew);
    return true;
  }));
  writer.reset();
  std::memset(possum_slot_data(slot), 0, possum_slot_bytes(slot));
}

// The frames are gone for their readers, but nobody may find other memory there.
TEST(published_slots_in_hand_keep_no_frame_from_being_written) {
  auto writer =
      open_writer(unique_channel(), kPicture, [](auto& options) { options.slots = 4; });
  std::vector<SlotHandle> slots;
  for (std::uint64_t key = 0; key < 40; ++key) {
    slots.push_back(drawn_slot(writer, key));
    EXPECT(POSSUM_OK, publish_slot(writer, slots.back(), key));
  }
  EXPECT(POSSUM_OK, possum_writer_set_caps(writer, kOther, 0));
  publish(writer, 1, kOther);
  writer.reset();
  for (const SlotHandle& slot : slots) {
    const auto* const bytes = static_cast<const volatile char*>(possum_slot_data(slot));
    static_cast<void>(bytes[possum_slot_bytes(slot) - 1]);
  }
}

TEST(another_writers_slot_is_refused) {
  const WriterHandle one = open_writer(unique_channel(), kPicture);
  const WriterHandle two = open_writer(unique_channel(), kPicture);
  const SlotHandle slot = borrow(one);
  EXPECT(POSSUM_ERROR_SETTINGS, publish_slot(two, slot, 1));
  EXPECT(POSSUM_OK, publish_slot(one, slot, 1));
}

// --- waits -----------------------------------------------------------------------------

void blocking_one(possum_reader_options& options) {
  options.policy = POSSUM_BLOCKING;
  options.depth = 1;
}

// A writer whose blocking reader, of depth 1, has one frame waiting.
struct HeldUp : WithBlockingWriter {
  const possum_video video = video_of(kPicture);
  const ReaderHandle reader = attach_reader(writer.channel, blocking_one);
  HeldUp() { publish(writer, 0); }
  SlotHandle unfinished(std::uint64_t key) {
    SlotHandle slot = drawn_slot(writer, key);
    EXPECT(POSSUM_TIMEOUT, publish_slot(writer, slot, key, possum_deadline(kShortNs)));
    return slot;
  }
};

TEST_F(HeldUp, publication_goes_on_after_a_deadline) {
  const ReaderHandle second = attach_reader(writer.channel);
  CHECK(shows_key(second, 0));
  const SlotHandle slot = unfinished(1);
  CHECK(shows_key(second, 1));  // had room
  EXPECT(POSSUM_TIMEOUT, publish_slot(writer, slot, 1, possum_deadline(kShortNs)));
  CHECK(shows_key(reader, 0));
  EXPECT(POSSUM_OK, publish_slot(writer, slot, 1));
  CHECK(shows_key(reader, 1));
  EXPECT(POSSUM_TIMEOUT, try_take(second, POSSUM_AT_ONCE));  // once
  CHECK(statistics_of(writer).borrowed == 0);
}

TEST_F(HeldUp, publication_can_be_given_up) {
  unfinished(1).reset();
  CHECK(shows_key(reader, 0));
  publish(writer, 2);
  FrameHandle frame = take(reader);
  CHECK(info_of(frame).offset == 2 && info_of(frame).missed == 1);
  frame.reset();

  publish(writer, 3);
  SlotHandle slot = unfinished(4);
  CHECK(shows_key(reader, 3));
  publish(writer, 5);  // instead
  EXPECT(POSSUM_ERROR_STATE, publish_slot(writer, slot, 4));
  CHECK(says("given up"));
  slot.reset();
  CHECK(shows_key(reader, 5) && statistics_of(writer).borrowed == 0);
}

// A program that writes each frame from the same buffer, with a deadline.
TEST_F(HeldUp, write_gives_its_frame_up_at_the_deadline) {
  const ReaderHandle other = attach_reader(writer.channel);
  CHECK(shows_key(other, 0));
  std::vector<unsigned char> picture(video.bytes);
  const auto send = [&](std::uint64_t key, std::int64_t deadline) {
    draw_picture(video, picture.data(), key);
    const possum_frame_params params = params_for(key);
    return write(writer, picture, &params, deadline);
  };
  EXPECT(POSSUM_TIMEOUT, send(1, possum_deadline(kShortNs)));
  CHECK(shows_key(other, 1));  // had room
  CHECK(statistics_of(writer).borrowed == 0);
  CHECK(shows_key(reader, 0));
  EXPECT(POSSUM_OK, send(2, POSSUM_AT_ONCE));
  CHECK(shows_key(other, 2));
  FrameHandle frame = take(reader);
  CHECK(info_of(frame).offset == 2 && info_of(frame).missed == 1 && shows_its_key(frame));
  frame.reset();

  EXPECT(POSSUM_OK, send(3, POSSUM_AT_ONCE));
  possum_writer_interrupt(writer, 1);
  EXPECT(POSSUM_INTERRUPTED, send(4, POSSUM_FOREVER));
  possum_writer_interrupt(writer, 0);
  CHECK(shows_key(reader, 3));
  EXPECT(POSSUM_OK, send(5, POSSUM_AT_ONCE));
  CHECK(shows_key(reader, 5));
}

// A call that waits.
struct Wait {
  possum_status in_vain;  // at its deadline
  std::function<bool()> asleep;
  std::function<void(int)> interrupt;
  std::function<possum_status(std::int64_t)> until;
};

// Each of them, while nothing comes that it waits for.
struct Waits : HeldUp {
  const ReaderHandle other = open_reader(unique_channel());
  SlotHandle slot = borrow(writer);

  void each(const std::function<void(const Wait&)>& use) {
    const auto of_writer = [&](auto until) {
      use({POSSUM_TIMEOUT, [&] { return support::writer_sleeps(writer.channel); },
           [&](int on) { possum_writer_interrupt(writer, on); }, until});
    };
    const auto of_other = [&](auto until) {
      use({POSSUM_ERROR_NOT_FOUND, support::somebody_searches,
           [&](int on) { possum_reader_interrupt(other, on); }, until});
    };
    of_writer([&](auto ns) { return possum_writer_publish(writer, slot, nullptr, ns); });
    of_writer([&](auto ns) { return possum_writer_drain(writer, ns); });
    of_writer([&](auto ns) { return possum_writer_wait_readers(writer, 2, ns); });
    of_other([&](auto ns) { return possum_reader_attach(other, ns); });
    of_other([&](auto ns) { return try_next(other, ns); });
    CHECK(shows_key(reader, 0));
    EXPECT(POSSUM_OK, possum_writer_publish(writer, slot, nullptr, POSSUM_AT_ONCE));
    slot.reset();
    take(reader);
    use({POSSUM_TIMEOUT, [&] { return support::reader_sleeps(writer.channel); },
         [&](int on) { possum_reader_interrupt(reader, on); },
         [&](auto ns) { return try_take(reader, ns); }});
  }
};

TEST(interrupt_ends_every_wait) {
  Waits().each([](const Wait& wait) {
    possum_status status = POSSUM_OK;
    std::thread waiting([&] { status = wait.until(POSSUM_FOREVER); });
    support::await_asleep(wait.asleep);
    wait.interrupt(1);
    waiting.join();
    wait.interrupt(0);
    EXPECT(POSSUM_INTERRUPTED, status);
  });
}

TEST(waits_sleep_after_interrupts_on_and_off_at_once) {
  Waits().each([](const Wait& wait) {
    support::before_wake_up = [&] { wait.interrupt(0); };
    wait.interrupt(1);
    CHECK(!support::before_wake_up);
    support::check_sleeps(
        [&](auto deadline) { EXPECT(wait.in_vain, wait.until(deadline)); });
  });
}

TEST(every_wait_ends_at_its_deadline) {
  Waits().each([](const Wait& wait) {
    const std::int64_t before = possum_now_ns();
    EXPECT(wait.in_vain, wait.until(possum_deadline(kShortNs)));
    CHECK(possum_now_ns() - before >= kShortNs);
  });
  const ReaderHandle other = open_reader("nobody-writes-here");
  EXPECT(POSSUM_ERROR_NOT_FOUND, possum_reader_attach(other, POSSUM_AT_ONCE));
  CHECK(says("nobody-writes-here"));
  EXPECT(POSSUM_DISCONNECTED, try_take(other, POSSUM_AT_ONCE));
}

// A reader that holds its frames holds the writer up only if it may; a thread that waits
// for its turn keeps its deadline too.
TEST_F(HeldUp, threads_take_turns_and_keep_their_deadlines) {
  std::thread first([&] { publish(writer, 1); });
  // Its frame is offered in vain.
  CHECK(support::eventually([&] { return statistics_of(writer).frames == 2; }));
  EXPECT(POSSUM_TIMEOUT, publish_picture(writer, video, 2, possum_deadline(kShortNs)));
  CHECK(shows_key(reader, 0));
  first.join();
  CHECK(shows_key(reader, 1));
}

// One of several threads that use one writer in all ways at once.
void use_writer(possum_writer* writer, const possum_video& video, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<unsigned char> picture(video.bytes);
  const auto soon = [&] { return possum_deadline(random() % 3 * support::kMs); };
  const auto expected = [](possum_status status) {
    CHECK(status >= 0 || status == POSSUM_ERROR_STATE);  // given up for another's frame
  };
  for (int turn = 0; turn < 200; ++turn) {
    const possum_frame_params params = params_for(random());
    possum_slot* slot = nullptr;
    switch (random() % 8) {
      case 0:
        draw_picture(video, picture.data(), params.offset);
        expected(write(writer, picture, &params, soon()));
        break;
      case 1:
        for (const std::size_t bytes : {1000 + random() % 1000, 1 + random() % 200'000}) {
          const possum_status status = possum_writer_borrow(writer, bytes, soon(), &slot);
          expected(status);
          if (status != POSSUM_OK) continue;
          CHECK(possum_slot_bytes(slot) >= bytes);
          std::memset(possum_slot_data(slot), 1, bytes);
          possum_slot_release(slot);
        }
        break;
      case 2:
        expected(possum_writer_drain(writer, soon()));
        expected(possum_writer_wait_readers(writer, random() % 3, soon()));
        break;
      case 3:
        possum_writer_interrupt(writer, 1);
        possum_writer_interrupt(writer, 0);
        break;
      case 4:
        possum_writer_flush(writer);
        CHECK(statistics_of(writer).slots >= 3);
        break;
      default: {
        if (possum_writer_borrow(writer, 0, soon(), &slot) != POSSUM_OK) break;
        draw_picture(video, possum_slot_data(slot), params.offset);
        const auto kept = [&](std::int64_t deadline) {
          const possum_status status =
              possum_writer_publish(writer, slot, &params, deadline);
          expected(status);
          return status == POSSUM_TIMEOUT || status == POSSUM_INTERRUPTED;
        };
        // By the second time it may have been given up for another thread's frame.
        if (kept(soon())) kept(soon());
        possum_slot_release(slot);
      }
    }
  }
}

TEST_F(WithBlockingWriter, any_thread_may_do_anything_with_a_writer) {
  const ReaderHandle reader = attach_reader(writer.channel, blocking_one);
  std::thread reading([&] {
    std::uint64_t last = 0;
    possum_frame* frame = nullptr;
    while (possum_reader_take(reader, in_ms(kLimitMs), &frame) == POSSUM_OK) {
      CHECK(info_of(frame).seq > last && shows_its_key(frame));
      last = info_of(frame).seq;
      possum_frame_release(frame);
      // Slow, so that frames are not finished in time.
      if (last % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    CHECK(last > 0);
  });
  const possum_video video = video_of(kPicture);
  std::vector<std::thread> threads;
  for (unsigned seed = 1; seed <= 4; ++seed) {
    threads.emplace_back([&, seed] { use_writer(writer, video, seed); });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(statistics_of(writer).borrowed == 0);
  possum_writer_eos(writer);
  reading.join();
}

// --- ends ------------------------------------------------------------------------------

// Frames go back in other threads than they come in, several at once.
TEST_F(WithBlockingWriter, blocking_reader_gets_every_frame_and_the_end) {
  const ReaderHandle reader = attach_reader(writer.channel, [](auto& options) {
    options.policy = POSSUM_BLOCKING;
    options.depth = 8;
  });
  constexpr std::uint64_t kFrames = 600;
  std::thread publisher([&] {
    for (std::uint64_t key = 0; key < kFrames; ++key) publish(writer, key);
    end_stream(writer);
  });
  std::thread looking[6];
  for (std::uint64_t key = 0; key < kFrames; ++key) {
    FrameHandle frame = take(reader);
    CHECK(info_of(frame).offset == key && info_of(frame).missed == 0);
    std::thread& next = looking[key % std::size(looking)];
    if (next.joinable()) next.join();
    next = std::thread([kept = std::move(frame)] { CHECK(shows_its_key(kept)); });
  }
  EXPECT(POSSUM_EOS, try_take(reader));
  publisher.join();
  for (std::thread& thread : looking) thread.join();
  CHECK(statistics_of(writer).held == 0 && statistics_of(writer).no_slot == 0);
}

// CHANNEL CAPS KEY: publishes one picture and stays.
ROLE(picture_writer) {
  const WriterHandle writer = open_writer(args[0], args[1]);
  EXPECT(POSSUM_OK, publish_picture(writer, video_of(args[1]), std::stoull(args[2])));
  pause();
  return 0;
}

TEST(reader_follows_a_killed_writer_to_the_next) {
  const std::string channel = unique_channel();
  ReaderHandle reader = open_reader(channel);
  std::uint64_t last_writer = 0;
  for (std::uint64_t life = 0; life < 3; ++life) {
    Peer writer("picture_writer",
                {channel, life == 1 ? kOther : kPicture, std::to_string(life)});
    FrameHandle frame = next(reader);
    const possum_frame_info info = info_of(frame);
    CHECK(info.offset == life && shows_its_key(frame) && info.seq == 1);
    CHECK(info.writer_id != last_writer);
    last_writer = info.writer_id;
    writer.kill();
    CHECK(shows_its_key(frame));
  }
  EXPECT(POSSUM_DISCONNECTED, try_take(reader));
  EXPECT(POSSUM_ERROR_NOT_FOUND, try_next(reader, POSSUM_AT_ONCE));
  CHECK(statistics_of(reader).attachments == 3);
  reader.reset();
  open_writer(channel, kPicture);  // clears up after the dead
}

TEST_F(WithReader, end_of_stream_is_a_state_or_a_pause) {
  const ReaderHandle patient =
      attach_reader(writer.channel, [](auto& options) { options.ignore_eos = 1; });
  possum_writer_eos(writer);
  EXPECT(POSSUM_EOS, try_take(reader));
  EXPECT(POSSUM_EOS, try_next(reader));
  EXPECT(POSSUM_TIMEOUT, try_take(patient, possum_deadline(kShortNs)));
  publish(writer, 1);
  CHECK(shows_key(reader, 1) && shows_key(patient, 1));
  writer.reset();
  EXPECT(POSSUM_DISCONNECTED, try_take(patient));
}

TEST_F(WithReader, flush_withdraws_and_shows_in_the_next_frame) {
  publish(writer, 0);
  FrameHandle frame = take(reader);
  const std::uint32_t before = info_of(frame).flush_id;
  frame.reset();
  publish(writer, 1);
  possum_writer_flush(writer);
  EXPECT(POSSUM_TIMEOUT, try_take(reader, POSSUM_AT_ONCE));
  publish(writer, 2);
  frame = take(reader);
  CHECK(info_of(frame).offset == 2 && info_of(frame).flush_id != before);
  CHECK(info_of(frame).missed == 1);
}

TEST_F(WithReader, who_skips_sees_the_newest) {
  for (std::uint64_t key = 0; key < 3; ++key) publish(writer, key);
  possum_reader_skip_to_newest(reader);
  CHECK(shows_key(reader, 2));
}

// --- peers that are in the way ---------------------------------------------------------

TEST_F(WithWriter, a_second_writer_and_unwanted_blocking_are_refused) {
  possum_writer_options options = writer_options(writer.channel);
  options.claim_timeout_ns = 0;
  possum_writer* second = nullptr;
  EXPECT(POSSUM_ERROR_BUSY, possum_writer_open(&options, &second));
  CHECK(says(std::to_string(getpid())) && second == nullptr);
  const ReaderHandle reader = open_reader(writer.channel, blocking);
  EXPECT(POSSUM_ERROR_NO_BLOCKING, possum_reader_attach(reader, POSSUM_AT_ONCE));
  CHECK(says("allow_blocking"));
}

// CHANNEL: waits for a name that another writer holds.
ROLE(claimer) {
  support::say("claims");
  open_writer(args[0], kPicture,
              [](auto& options) { options.claim_timeout_ns = POSSUM_FOREVER; });
  return 0;
}

TEST_F(WithWriter, a_signal_ends_a_program_that_waits_for_a_name) {
  Peer claimer("claimer", {writer.channel});
  claimer.expect("claims");
  claimer.signal(SIGTERM);
  claimer.expect_status(128 + SIGTERM);
}

// All that a process has, and what it maps later.
bool may_lock_memory() {
  constexpr std::size_t kPlenty = 64 << 20;
  return support::status_of_fork([] {
           const bool may = mlockall(MCL_CURRENT | MCL_FUTURE) == 0 &&
                            mmap(nullptr, kPlenty, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS,
                                 -1, 0) != MAP_FAILED;
           _exit(may ? 0 : 1);
         }) == 0;
}

// How it ends by what it does with frames.
void expect_outcome(int status, const char* role, const char* how) {
  const auto writer = open_writer(unique_channel(), kPicture, allow_blocking);
  Peer peer(role, {writer.channel, how});
  await_readers(writer);
  for (std::uint64_t key = 0; key < kDrawnFrames; ++key) publish(writer, key);
  peer.expect_status(status);
}

TEST_F(WithBlockingWriter, what_is_drawn_on_a_frame_is_in_this_frame_alone) {
  const ReaderHandle drawing = attach_reader(writer.channel, copy_on_write);
  const ReaderHandle looking = attach_reader(writer.channel, copy_on_write);
  for (std::uint64_t key = 0; key < kDrawnFrames; ++key) {
    publish(writer, key);
    const FrameHandle frame = take(drawing);
    CHECK(info_of(frame).offset == key && shows_its_key(frame));
    draw_on(frame);
    CHECK(is_drawn(frame) && shows_key(looking, key));
  }
  CHECK(statistics_of(drawing).copied == 0);
}

TEST(nothing_that_draws_on_frames_ends_the_process) {
  for (const char* how : {"plain", "threads", "child", "reported before", "reported"}) {
    expect_outcome(0, "drawer", how);
  }
}

TEST(drawing_with_locked_memory_is_taken_back_too) {
  if (!may_lock_memory()) {
    std::fprintf(stderr, "this user may not lock enough memory: nothing is tried\n");
    return;
  }
  expect_outcome(0, "drawer", "locked");
}

TEST(other_faults_end_the_process_as_before) {
  for (const char* how : {"nowhere", "not asked for", "before the pixels", "other memory",
                          "a jump into pixels", "sent"}) {
    expect_outcome(128 + SIGSEGV, "faulty", how);
  }
  expect_outcome(kOfAnEarlierHandler, "faulty", "handled");
}

TEST(raw_video_that_no_size_follows_from_is_refused_at_once) {
  const std::string channel = unique_channel();
  const std::string size = ", width=(int)64, height=(int)48";
  possum_writer_options options = writer_options(channel);
  possum_writer* writer = nullptr;
  const auto opens = [&](const std::string& caps, std::size_t bytes) {
    options.caps = caps.c_str();
    options.frame_bytes = bytes;
    return possum_writer_open(&options, &writer);
  };
  EXPECT(POSSUM_ERROR_FORMAT, opens("video/x-raw, format=NV12_4L4" + size, 0));
  CHECK(says("format NV12_4L4 is not known here") && writer == nullptr);
  EXPECT(POSSUM_ERROR_FORMAT, opens("video/x-raw, format=BGR, width=64", 0));
  CHECK(says("height is missing") && writer == nullptr);
  EXPECT(POSSUM_OK, opens("video/x-raw, format=NV12_4L4" + size, 4608));
  const std::string odd = "video/x-raw, format=UYVP" + size;
  EXPECT(POSSUM_ERROR_FORMAT, possum_writer_set_caps(writer, odd.c_str(), 0));
  CHECK(says("UYVP"));
  const std::string professional = "video/x-raw, format=v210" + size;
  EXPECT(POSSUM_OK, possum_writer_set_caps(writer, professional.c_str(), 0));
  const possum_video video = video_of(professional);
  CHECK(video.bytes == 48 * 256 && video.planes[0].width == 11);
  const ReaderHandle reader = attach_reader(channel);
  publish(writer, 7, professional);
  CHECK(shows_key(reader, 7));
  possum_writer_close(writer);
}

// Each function of possum.h that has a status and takes a reader, a writer or a slot.
void check_all_calls_are_refused(possum_reader* reader, possum_writer* writer,
                                 possum_slot* slot) {
  const char byte = 0;
  possum_slot* borrowed = nullptr;
  const std::function<possum_status()> calls[] = {
      [&] { return possum_reader_attach(reader, POSSUM_FOREVER); },
      [&] { return try_take(reader, POSSUM_FOREVER); },
      [&] { return try_next(reader, POSSUM_FOREVER); },
      [&] { return possum_writer_set_caps(writer, kPicture, 0); },
      [&] { return possum_writer_borrow(writer, 1, POSSUM_FOREVER, &borrowed); },
      [&] { return possum_writer_publish(writer, slot, nullptr, POSSUM_FOREVER); },
      [&] { return possum_writer_write(writer, &byte, 1, nullptr, POSSUM_FOREVER); },
      [&] { return possum_writer_wait_readers(writer, 9, POSSUM_FOREVER); },
      [&] { return possum_writer_drain(writer, POSSUM_FOREVER); },
  };
  for (const auto& call : calls) {
    EXPECT(POSSUM_ERROR_STATE, call());
    CHECK(says("fork()") && borrowed == nullptr);
  }
}

// And each that has none.
void check_all_others_do_nothing(possum_reader* reader, possum_writer* writer,
                                 possum_slot* slot) {
  possum_reader_info info;
  for (const int on : {0, 1}) {
    possum_reader_interrupt(reader, on);
    possum_writer_interrupt(writer, on);
  }
  possum_reader_detach(reader);
  possum_reader_skip_to_newest(reader);
  CHECK(possum_reader_is_attached(reader) == 0);
  CHECK(statistics_of(reader).attachments == 0);
  possum_writer_eos(writer);
  possum_writer_flush(writer);
  CHECK(possum_writer_reader_count(writer) == 0);
  CHECK(possum_writer_get_readers(writer, &info, sizeof info, 1) == 0);
  CHECK(statistics_of(writer).frames == 0 && statistics_of(writer).slots == 0);
  CHECK(possum_slot_data(slot) == nullptr && possum_slot_bytes(slot) == 0);
  possum_slot_release(slot);
  possum_reader_close(reader);
}

TEST_F(WithReader, handles_are_dead_in_a_forked_child) {
  publish(writer, 1);
  FrameHandle frame = take(reader);
  const SlotHandle slot = drawn_slot(writer, 2);
  support::in_child([&] {
    check_all_calls_are_refused(reader, writer, slot);
    check_all_others_do_nothing(reader, writer, slot);
    CHECK(shows_its_key(frame) && possum_frame_ref(frame) == frame);
    possum_video there = no_video();
    EXPECT(POSSUM_OK, possum_frame_get_video(frame, &there));
    possum_frame_release(frame);
    frame.reset();
    const ReaderHandle own = attach_reader(writer.channel);
  });
  CHECK(statistics_of(writer).held == 1 && shows_its_key(frame));
  CHECK(statistics_of(writer).borrowed == 1);
  EXPECT(POSSUM_OK, publish_slot(writer, slot, 2));
  CHECK(shows_key(reader, 2));
}

// CHANNEL: forks with a reader that has not attached yet, before anything else.
ROLE(early_forker) {
  ReaderHandle reader = open_reader(args[0]);
  support::in_child([&] {
    EXPECT(POSSUM_ERROR_STATE, try_next(reader, POSSUM_AT_ONCE));
    EXPECT(POSSUM_ERROR_STATE, possum_reader_attach(reader, POSSUM_AT_ONCE));
    possum_reader_interrupt(reader, 1);
    reader.reset();
  });
  support::check_sleeps([&](std::int64_t deadline_ns) {
    EXPECT(POSSUM_ERROR_NOT_FOUND, try_next(reader, deadline_ns));
  });
  return 0;
}

TEST(reader_that_never_attached_is_dead_in_a_forked_child) {
  CHECK(Peer("early_forker", {unique_channel()}).join() == 0);
}

// --- peers that lie --------------------------------------------------------------------

namespace transport = possum::transport;
using transport::layout::FrameDescriptor;

using Lie = std::function<void(FrameDescriptor&)>;

// Publishes through the transport, which passes on what libpossum and possumsink would
// not.
struct Liar {
  const std::string channel = unique_channel();
  const std::unique_ptr<transport::Writer> writer =
      support::open_writer(support::plain_writer(channel));

  // What kPicture promises, but for the lie.
  void publish(const std::string& caps, const Lie& lie = {},
               std::optional<std::int64_t> published_ns = std::nullopt) const {
    transport::SlotRef slot;
    possum::Error error;
    CHECK(writer->acquire(8192, caps.size(), 0, slot, error) ==
          transport::WriteStatus::ok);
    FrameDescriptor frame = support::descriptor_for(1, 8192);
    frame.frame_flags |= transport::layout::kFramePlanes;
    frame.width = 65;
    frame.height = 33;
    frame.plane_count = 1;
    frame.planes[0] = {0, 196 * 33, 196, 0};
    if (lie) lie(frame);
    CHECK(writer->publish(slot, frame, caps, {}, false, error) ==
          transport::WriteStatus::ok);
    if (published_ns) {
      std::memcpy(slot.mapping->data() + sizeof(transport::layout::DataHeader) +
                      offsetof(FrameDescriptor, publish_ns),
                  &*published_ns, sizeof *published_ns);
    }
  }
};

TEST_F(Liar, frames_that_contradict_their_caps_end_the_attachment) {
  const ReaderHandle reader = open_reader(channel);
  const auto refused = [&](const std::string& caps, const Lie& lie = {}) {
    publish(caps, lie);
    EXPECT(POSSUM_ERROR_CORRUPT, try_next(reader));
    CHECK(says(channel) && !possum_reader_is_attached(reader));
  };
  refused(kPicture, [](auto& f) { f.planes[0].stride = 194; });
  refused(kPicture, [](auto& f) { f.planes[0].stride = -196; });
  refused(kPicture, [](auto& f) { f.planes[0].stride = INT32_MAX; });
  refused(kPicture, [](auto& f) { f.planes[0].bytes = 196 * 32 + 194; });
  refused(kPicture, [](auto& f) { f.plane_count = 2; });
  refused(kPicture, [](auto& f) { f.width = 64; });
  refused(kPicture, [](auto& f) { f.height = 0; });
  refused(kPicture, [](auto& f) { f.frame_flags = 0, f.data_bytes = 1000; });
  refused("video/x-raw, format=BGR, width=32767, height=32767",
          [](auto& f) { f.frame_flags = 0; });
  refused("video/x-raw, format=BGR\n");
  refused("video/x-raw, format=\"\xff\"");
  refused("nothing");
  refused("");
  publish(kPicture);
  next(reader);
  // Formats and media that are not known here come without rows to rely on.
  publish("video/x-raw, format=UYVP, width=65, height=33");
  const FrameHandle frame = next(reader);
  const possum_frame_info info = info_of(frame);
  CHECK(info.is_video == 0 && info.plane_count == 1 && info.planes[0].height == 0);
  CHECK(info.width == 65 && info.planes[0].bytes == 196 * 33);
}

TEST_F(Liar, times_of_another_clock_stand_for_the_arrival) {
  const ReaderHandle reader = attach_reader(channel);
  for (const std::int64_t time : {INT64_MAX, INT64_MIN + 1, std::int64_t{-1}}) {
    publish(kPicture, [&](FrameDescriptor& frame) {
      frame.pts_ns = frame.duration_ns = frame.latency_ns = time;
    });
    const FrameHandle frame = take(reader);
    const possum_frame_info info = info_of(frame);
    CHECK(info.capture_ns > 0 && info.capture_ns <= possum_now_ns());
    CHECK(info.pts_ns == POSSUM_NO_TIME && info.latency_ns >= 0);
    CHECK(info.duration_ns == POSSUM_NO_TIME || info.duration_ns >= 0);
  }
}

TEST_F(Liar, frames_published_before_anybody_came_stand_for_their_arrival) {
  const std::int64_t before = possum_now_ns() - 30 * kSecondNs;
  publish(kPicture, {}, before);
  const ReaderHandle reader = attach_reader(channel);
  FrameHandle first = take(reader);
  CHECK(info_of(first).publish_ns == before);  // it may have waited
  first.reset();
  for (const auto published_ns : {std::optional(before), std::optional<std::int64_t>()}) {
    publish(kPicture, {}, published_ns);
    const std::int64_t asked = possum_now_ns();
    const FrameHandle frame = take(reader);
    const possum_frame_info info = info_of(frame);
    CHECK(info.publish_ns >= asked && info.capture_ns == info.publish_ns);
  }
}

TEST_F(Liar, frame_of_the_future_stands_for_its_arrival) {
  publish(kPicture, {}, possum_now_ns() + 86'400 * kSecondNs);
  const ReaderHandle reader = attach_reader(channel);
  const FrameHandle frame = take(reader);
  const possum_frame_info info = info_of(frame);
  CHECK(info.publish_ns <= possum_now_ns() && info.capture_ns == info.publish_ns);
}

}  // namespace
