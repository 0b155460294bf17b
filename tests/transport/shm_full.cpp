// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A /dev/shm that is too small: fewer slots or an error that says how much is missing,
// never SIGBUS and never a deadlock.
#include <atomic>

#include "support/peers.h"
#include "support/private_shm.h"

using namespace support;

namespace {

constexpr std::size_t kMiB = 1 << 20;

struct Limits {
  std::atomic<int> events{0};
  std::atomic<unsigned> slots{0};
  WriterEvents events_of() {
    WriterEvents result;
    result.pool_limited = [this](unsigned count, const Error& error) {
      CHECK(error.code == ErrorCode::no_space);
      slots = count;
      ++events;
    };
    return result;
  }
};

}  // namespace

TEST_F(OnChannel, fewer_slots_when_not_all_fit) {
  const PrivateShm shm(32 * kMiB);
  Limits limits;
  const auto writer = open_writer(plain_writer(channel), limits.events_of());
  CHECK(writer->prepare(16, 6 * kMiB, error));
  const unsigned slots = writer->statistics().slots;
  CHECK(slots == 5);  // 5 x 6 of 32 MiB
  CHECK(eventually([&] { return limits.events == 1; }));
  CHECK(limits.slots == slots);
  FarReader reader = attached(channel, Policy::drop_oldest, 3);
  for (std::uint64_t key = 1; key <= 30; ++key) {
    publish(*writer, key, 6 * kMiB);
    CHECK(reader.frame().key == key);
    reader.release();
  }
  CHECK(limits.events == 1);  // once per shortage
}

TEST_F(OnChannel, shortage_while_growing_on_demand_is_told_too) {
  const PrivateShm shm(16 * kMiB);
  Limits limits;
  const auto writer = open_writer(plain_writer(channel), limits.events_of());
  const auto reader = attach_reader(reader_of(channel));
  std::vector<Frame> held;
  for (std::uint64_t key = 1; key <= 20; ++key) {
    publish(*writer, key, 3 * kMiB);
    held.push_back(take(*reader));
    CHECK(key_of(held.back()) == key);
  }
  CHECK(eventually([&] { return limits.events == 1; }));
  CHECK(limits.slots >= 3 && limits.slots <= 5);
  // It is tried again twice a second or more, and told once.
  for (const std::int64_t end = in_ms(700); monotonic_ns() < end;) {
    publish(*writer, 50, 3 * kMiB);
    take(*reader);
  }
  CHECK(limits.events == 1);
  for (const Frame& frame : held) CHECK(intact(frame));
}

TEST_F(OnChannel, no_room_for_three_slots_is_an_error_with_numbers) {
  const PrivateShm shm(16 * kMiB);
  const auto writer = open_writer(plain_writer(channel));
  CHECK(!writer->prepare(3, 8 * kMiB, error));
  CHECK(error.code == ErrorCode::no_space);
  CHECK(error.needed_bytes >= 24 * kMiB && error.needed_bytes < 25 * kMiB);
  CHECK(error.free_bytes >= 15 * kMiB && error.free_bytes <= 16 * kMiB);
  CHECK(says(error, "needs at least 25 MiB (3 slots)"));
  for (const char* part :
       {"/dev/shm is too small", "15 MiB free", "enlarge /dev/shm", "--shm-size"}) {
    CHECK(says(error, part));
  }
  SlotRef ref;
  error = {};
  CHECK(writer->acquire(8 * kMiB, 10, 0, ref, error) == WriteStatus::failed);
  CHECK(error.code == ErrorCode::no_space && error.needed_bytes >= 24 * kMiB);
  // More room, and the same writer works.
  PrivateShm::change("size=64m");
  for (std::uint64_t key = 1; key <= 5; ++key) publish(*writer, key, 8 * kMiB);
}

TEST_F(OnChannel, no_room_for_the_control_object_is_an_error_that_leaves_nothing) {
  const PrivateShm shm(64 << 10);
  const auto writer = Writer::create(plain_writer(channel), {}, error);
  CHECK(writer->open(error) == WriteStatus::failed);
  CHECK(error.code == ErrorCode::no_space);
  CHECK(names_of(channel).empty());
}

namespace {

void expect_limit_named(const Error& error) {
  CHECK(error.code == ErrorCode::system);
  CHECK(says(error, "ulimit -f unlimited"));
  CHECK(says(error.detail, "RLIMIT_FSIZE"));
}

}  // namespace

// The kernel would end the process by SIGXFSZ.
TEST_F(OnChannel, limit_on_the_size_of_files_is_an_error_that_names_it) {
  const PrivateShm shm(64 * kMiB);
  {
    const SoftLimit limit(RLIMIT_FSIZE, 64 << 10);
    const auto writer = Writer::create(plain_writer(channel), {}, error);
    CHECK(writer->open(error) == WriteStatus::failed);
    expect_limit_named(error);
    CHECK(names_of(channel).empty());
  }
  const auto writer = open_writer(plain_writer(channel));
  {
    const SoftLimit limit(RLIMIT_FSIZE, kMiB);
    CHECK(!writer->prepare(4, 2 * kMiB, error));
    expect_limit_named(error);
    SlotRef ref;
    CHECK(writer->acquire(2 * kMiB, 0, 0, ref, error) == WriteStatus::failed);
    expect_limit_named(error);
    publish(*writer, 1, kMiB / 2);
  }
  publish(*writer, 2, 2 * kMiB);
}

TEST_F(OnChannel, two_hoarding_lossless_readers_get_forty_frames_without_room) {
  const PrivateShm shm(4 * kMiB);
  const auto writer = open_writer(blocking_writer(channel, 16));
  FarReader one = attached(channel, Policy::blocking, 3);
  FarReader two = attached(channel, Policy::blocking, 16);
  std::thread publishing([&] {
    for (std::uint64_t key = 1; key <= 40; ++key) publish(*writer, key, kMiB);
  });
  for (std::uint64_t seq = 1; seq <= 40; ++seq) {
    CHECK(one.frame().seq == seq);
    CHECK(two.frame().seq == seq);
  }
  publishing.join();
  CHECK(one.all_intact() && two.all_intact());
  CHECK(writer->statistics().slots == 3);
}

TEST_F(OnChannel, larger_frames_take_the_place_of_smaller_ones) {
  const PrivateShm shm(32 * kMiB);
  const auto writer = open_writer(plain_writer(channel));
  CHECK(writer->prepare(16, 2 * kMiB, error));
  const auto reader = attach_reader(reader_of(channel));
  std::uint64_t key = 0;
  for (const std::size_t mib : {2, 5, 9, 1, 9}) {
    // The reader lets go of what was replaced when it looks next: so it keeps looking.
    std::uint64_t got = 0;
    CHECK(eventually([&] {
      ++key;
      const WriteStatus status = try_publish(*writer, key, mib * kMiB);
      Frame frame;
      if (try_take(*reader, frame, 30) == TakeStatus::frame) got = frame.size();
      return status == WriteStatus::ok && got == mib * kMiB;
    }));
  }
}

TEST_F(OnChannel, frames_for_which_there_is_no_room_at_all_are_an_error) {
  const PrivateShm shm(32 * kMiB);
  const auto writer = open_writer(plain_writer(channel));
  const auto reader = attach_reader(reader_of(channel));
  std::vector<Frame> held;
  for (std::uint64_t key = 1; key <= 10; ++key) {
    publish(*writer, key, 4 * kMiB);
    held.push_back(take(*reader));
  }
  SlotRef ref;
  CHECK(eventually([&] {
    const WriteStatus status = writer->acquire(31 * kMiB, 10, 0, ref, error);
    CHECK(status == WriteStatus::no_slot || status == WriteStatus::failed);
    return status == WriteStatus::failed;
  }));
  CHECK(error.code == ErrorCode::no_space);
  CHECK(error.needed_bytes >= 93 * kMiB && error.free_bytes <= 32 * kMiB);
  for (const Frame& frame : held) CHECK(intact(frame));
  held.clear();
  // And back to what fits.
  CHECK(eventually([&] {
    Frame frame;
    return try_publish(*writer, 100, 4 * kMiB) == WriteStatus::ok &&
           try_take(*reader, frame, 30) == TakeStatus::frame && key_of(frame) == 100;
  }));
}

TEST_F(OnChannel, longer_caps_and_metas_without_room_end_in_frames_or_an_error) {
  const PrivateShm shm(8 * kMiB);
  const auto writer = open_writer(plain_writer(channel));
  CHECK(writer->prepare(16, kMiB, error));
  const auto reader = attach_reader(reader_of(channel));
  std::uint64_t key = 0;
  for (const std::size_t caps : {5'000, 10'000, 16'384}) {
    CHECK(eventually([&] {
      const WriteStatus status =
          try_publish(*writer, ++key, kMiB, std::string(caps, 'x'));
      Frame frame;
      return try_take(*reader, frame, 30) == TakeStatus::frame &&
             status == WriteStatus::ok && frame.caps()->size() == caps;
    }));
  }
}

TEST_F(OnChannel, pool_grows_again_when_there_is_room_again) {
  const PrivateShm shm(64 * kMiB);
  Limits limits;
  const auto writer = open_writer(plain_writer(channel, 12), limits.events_of());
  CHECK(writer->prepare(3, 2 * kMiB, error));
  const auto reader = attach_reader(reader_of(channel));
  std::vector<Frame> held;
  std::uint64_t key = 0;
  const auto step = [&] {
    publish(*writer, ++key, 2 * kMiB);
    held.push_back(take(*reader));
  };
  const UniqueFd ballast(open("/dev/shm/ballast", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const std::size_t most = shm_free_bytes() - kMiB;
  CHECK(posix_fallocate(ballast.get(), 0, static_cast<off_t>(most)) == 0);
  for (int i = 0; i < 12; ++i) step();
  CHECK(writer->statistics().slots == 3);
  CHECK(eventually([&] { return limits.events == 1; }));
  PrivateShm::change("size=128m");
  CHECK(eventually([&] {
    step();
    return writer->statistics().slots > 3;
  }));
  for (const Frame& frame : held) CHECK(intact(frame));
}
