// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The bytes of layout version 2 as golden numbers, and the checks that stand between a
// peer's bytes and their use: whatever is accepted lies inside the object.
#include "transport/descriptor.h"

#include <array>
#include <cstring>
#include <random>
#include <vector>

#include "support/check.h"
#include "transport/frame_times.h"
#include "transport/names.h"
#include "transport/open.h"

using namespace possum;
using namespace possum::transport;
using layout::DataHeader;
using layout::FrameDescriptor;

namespace {

constexpr std::uint64_t kIncarnation = 0x1122334455667788;
constexpr std::uint32_t kObject = 7;
constexpr unsigned kSlot = 3;

DataHeader good_header(const SlotNeed& need = {640 * 480, 100, 0}) {
  DataHeader header{};
  CHECK(plan_data_object(need, header));
  header.incarnation = kIncarnation;
  header.object = kObject;
  header.slot = kSlot;
  return header;
}

bool valid(const DataHeader& header, std::size_t bytes) {
  return valid_data_header(header, bytes, kIncarnation, kObject, kSlot);
}
bool valid(const DataHeader& header) { return valid(header, header.object_bytes); }

FrameDescriptor good_frame(const DataHeader& header) {
  FrameDescriptor frame{};
  frame.seq = 1;
  frame.data_bytes = header.pixels_capacity;
  frame.caps_bytes = 100;
  frame.plane_count = 2;
  frame.planes[0] = {0, 1000, 640, 0};
  frame.planes[1] = {1000, header.pixels_capacity - 1000, 640, 0};
  return frame;
}

bool valid(const FrameDescriptor& frame, const DataHeader& header) {
  std::string why;
  const bool result = valid_descriptor(frame, header, why);
  CHECK(result == why.empty());
  return result;
}

bool inside(std::uint64_t offset, std::uint64_t bytes, std::uint64_t limit) {
  std::uint64_t end;
  return !__builtin_add_overflow(offset, bytes, &end) && end <= limit;
}

// Values that break naive sums.
std::uint64_t nasty(std::mt19937_64& random) {
  static constexpr std::uint64_t kEdges[] = {0,
                                             1,
                                             71,
                                             72,
                                             327,
                                             328,
                                             4095,
                                             4096,
                                             4097,
                                             0x7fffffff,
                                             0x80000000,
                                             0xffffffff,
                                             0x100000000,
                                             INT64_MAX,
                                             UINT64_MAX - 4096,
                                             UINT64_MAX - 1,
                                             UINT64_MAX};
  switch (random() % 3) {
    case 0:
      return kEdges[random() % std::size(kEdges)];
    case 1:
      return random() >> (random() % 64);
    default:
      return 0 - (random() >> (random() % 64));
  }
}

}  // namespace

// A reader copies them with each frame.
TEST(caps_and_metas_are_bounded) {
  DataHeader header{};
  CHECK(plan_data_object({1, 16384, 16 << 20}, header));
  CHECK(!plan_data_object({1, 16385, 0}, header));
  CHECK(!plan_data_object({1, 0, (16 << 20) + 1}, header));
  header = good_header();
  CHECK(valid(header));
  header = good_header({1 << 20, 16384, 16 << 20});
  CHECK(valid(header));
  header.caps_capacity += 64;
  CHECK(!valid(header));
}

// Peers in other languages and of other builds rely on these numbers: whoever changes
// one raises layout::kVersion and PROTOCOL.md.
TEST(layout_version_3_is_what_it_was) {
  using namespace layout;
  CHECK(kVersion == 3 && kSlots == 32 && kReaders == 32 && kPlanes == 4);
  CHECK(std::memcmp(&kControlMagic, "PSSMCTL1", 8) == 0);
  CHECK(std::memcmp(&kDataMagic, "PSSMDTA1", 8) == 0);
  CHECK(kOwnerByte == 1 << 30 && kReaderByte == (1 << 30) + 1);
  CHECK(sizeof(ControlHeader) == 832);
  CHECK(offsetof(ControlHeader, magic) == 0 && offsetof(ControlHeader, version) == 8);
  CHECK(offsetof(ControlHeader, abi) == 12 &&
        offsetof(ControlHeader, header_bytes) == 16);
  CHECK(offsetof(ControlHeader, unit_bytes) == 20 &&
        offsetof(ControlHeader, readers) == 24);
  CHECK(offsetof(ControlHeader, slots) == 28 &&
        offsetof(ControlHeader, object_bytes) == 32);
  CHECK(offsetof(ControlHeader, sem_bytes) == 40 &&
        offsetof(ControlHeader, sem_image) == 48);
  CHECK(offsetof(ControlHeader, incarnation) == 112 &&
        offsetof(ControlHeader, writer_pid) == 120);
  CHECK(offsetof(ControlHeader, flags) == 124 &&
        offsetof(ControlHeader, writer_start) == 128);
  CHECK(offsetof(ControlHeader, writer_name) == 136);
  CHECK(offsetof(ControlHeader, state) == 192 && offsetof(ControlHeader, reserve) == 196);
  CHECK(offsetof(ControlHeader, admitted) == 200 &&
        offsetof(ControlHeader, latest) == 204);
  CHECK(offsetof(ControlHeader, have) == 208);
  CHECK(offsetof(ControlHeader, slot) == 256 && sizeof(SlotEntry) == 16);
  CHECK(offsetof(ControlHeader, statistics) == 768);
  CHECK(offsetof(SlotEntry, seq) == 0 && offsetof(SlotEntry, object) == 8 &&
        offsetof(SlotEntry, pages) == 12);
  CHECK(sizeof(WriterBells) == 128 && offsetof(WriterBells, attention) == 64);
  CHECK(kHeaderUnit == 0 && kRoomUnit == 1 && kAttentionUnit == 2);
  CHECK(kReaderUnit == 3 && kUnits == 35);
  CHECK(offsetof(DoorbellWords, waiting) == 0 && sizeof(DoorbellWords) == 8);
  CHECK(kNobody == 0 && kAsleep == 1 && kLooking == 2);
  CHECK(kDemoted == 1 && kAdmitted == 2);
  CHECK(sizeof(ReaderUnit) == 128 && offsetof(ReaderUnit, word) == 0);
  CHECK(offsetof(ReaderUnit, cfg) == 8 && offsetof(ReaderUnit, bell) == 16);
  CHECK(offsetof(ReaderUnit, grant) == 24 && offsetof(ReaderUnit, pid) == 64);
  CHECK(sizeof(DataHeader) == 72 && offsetof(DataHeader, incarnation) == 16);
  CHECK(offsetof(DataHeader, object) == 24 && offsetof(DataHeader, object_bytes) == 32);
  CHECK(offsetof(DataHeader, caps_offset) == 40 &&
        offsetof(DataHeader, metas_offset) == 48);
  CHECK(offsetof(DataHeader, pixels_offset) == 56 &&
        offsetof(DataHeader, pixels_capacity) == 64);
  CHECK(sizeof(FrameDescriptor) == 256 && offsetof(FrameDescriptor, pts_ns) == 16);
  CHECK(offsetof(FrameDescriptor, latency_ns) == 56 &&
        offsetof(FrameDescriptor, data_offset) == 80);
  CHECK(offsetof(FrameDescriptor, buffer_flags) == 96 &&
        offsetof(FrameDescriptor, caps_bytes) == 112);
  CHECK(offsetof(FrameDescriptor, width) == 120 &&
        offsetof(FrameDescriptor, padding) == 128);
  CHECK(offsetof(FrameDescriptor, plane_count) == 148 &&
        offsetof(FrameDescriptor, planes) == 152);
  CHECK(sizeof(PlaneLayout) == 24 && offsetof(PlaneLayout, stride) == 16);
}

TEST(planned_object_is_valid_and_has_room_for_the_frame) {
  for (const SlotNeed& need :
       {SlotNeed{0, 0, 0}, SlotNeed{1, 1, 1}, SlotNeed{4096, 2048, 4096},
        SlotNeed{4097, 2049, 4097}, SlotNeed{33'177'600, 9000, 100'000}}) {
    const DataHeader header = good_header(need);
    CHECK(valid(header));
    CHECK(header.pixels_capacity >= need.pixels && header.caps_capacity >= need.caps &&
          header.metas_capacity >= need.metas);
    CHECK(header.pixels_offset % unit_bytes() == 0);
    CHECK(header.caps_offset + header.caps_capacity <= header.metas_offset);
    CHECK(header.metas_offset + header.metas_capacity <= header.pixels_offset);
    CHECK(header.pixels_offset + header.pixels_capacity <= header.object_bytes);
  }
}

TEST(senseless_need_is_refused) {
  DataHeader header{};
  CHECK(!plan_data_object({SIZE_MAX, 0, 0}, header));
  CHECK(!plan_data_object({SIZE_MAX - 4096, 0, 0}, header));
  CHECK(!plan_data_object({1, SIZE_MAX, 0}, header));
  CHECK(!plan_data_object({1, 0, SIZE_MAX}, header));
  CHECK(!plan_data_object({std::size_t{1} << 63, 0, 0}, header));
}

TEST(data_header_of_another_object_is_refused) {
  const DataHeader good = good_header();
  const auto differs = [&](auto change) {
    DataHeader header = good;
    change(header);
    return !valid(header, good.object_bytes);
  };
  CHECK(valid(good));
  CHECK(differs([](DataHeader& h) { h.magic ^= 1; }));
  CHECK(differs([](DataHeader& h) { h.magic = layout::kControlMagic; }));
  CHECK(differs([](DataHeader& h) { h.version += 1; }));
  CHECK(differs([](DataHeader& h) { h.incarnation += 1; }));
  CHECK(differs([](DataHeader& h) { h.object += 1; }));
  CHECK(differs([](DataHeader& h) { h.slot += 1; }));
  CHECK(differs([](DataHeader& h) { h.header_bytes -= 8; }));
  CHECK(differs([](DataHeader& h) { h.object_bytes += 1; }));
}

TEST(truncated_or_enlarged_object_is_refused) {
  const DataHeader header = good_header();
  CHECK(!valid(header, header.object_bytes - 1));
  CHECK(!valid(header, header.object_bytes + 1));
  CHECK(!valid(header, header.object_bytes / 2));
  CHECK(!valid(header, 0));
  CHECK(!valid(header, SIZE_MAX));
}

TEST(parts_outside_the_object_are_refused) {
  const DataHeader good = good_header();
  const auto refused = [&](auto change) {
    DataHeader header = good;
    change(header);
    return !valid(header);
  };
  CHECK(refused([](DataHeader& h) { h.caps_offset = 0; }));
  CHECK(refused([](DataHeader& h) { h.caps_offset = UINT32_MAX; }));
  CHECK(refused([](DataHeader& h) { h.caps_capacity = UINT32_MAX; }));
  CHECK(refused([](DataHeader& h) { h.metas_offset = 8; }));
  CHECK(refused([](DataHeader& h) { h.metas_capacity = UINT32_MAX; }));
  CHECK(refused([](DataHeader& h) { h.pixels_offset += 1; }));
  CHECK(refused([](DataHeader& h) { h.pixels_offset = h.object_bytes + 4096; }));
  CHECK(refused([](DataHeader& h) { h.pixels_capacity += 1; }));
  CHECK(refused([](DataHeader& h) { h.pixels_capacity = UINT64_MAX; }));
  CHECK(refused([](DataHeader& h) { h.pixels_capacity = 0 - h.pixels_offset; }));
}

TEST(random_data_headers_are_never_accepted_out_of_range) {
  std::mt19937_64 random(1);
  const DataHeader good = good_header();
  int accepted = 0;
  for (int round = 0; round < 400'000; ++round) {
    DataHeader h = good;
    for (std::uint64_t changes = 1 + random() % 3; changes > 0; --changes) {
      const std::uint64_t value = nasty(random);
      switch (random() % 7) {
        case 0:
          h.caps_offset = static_cast<std::uint32_t>(value);
          break;
        case 1:
          h.caps_capacity = static_cast<std::uint32_t>(value);
          break;
        case 2:
          h.metas_offset = static_cast<std::uint32_t>(value);
          break;
        case 3:
          h.metas_capacity = static_cast<std::uint32_t>(value);
          break;
        case 4:
          h.pixels_offset = value;
          break;
        case 5:
          h.pixels_capacity = value;
          break;
        case 6:
          h.object_bytes = value;
          break;
      }
    }
    const std::size_t bytes = random() % 4 ? good.object_bytes : h.object_bytes;
    if (!valid(h, bytes)) continue;
    ++accepted;
    CHECK(h.object_bytes == bytes);
    CHECK(h.caps_offset >= sizeof(DataHeader) + sizeof(FrameDescriptor));
    CHECK(h.metas_offset >= sizeof(DataHeader) + sizeof(FrameDescriptor));
    CHECK(inside(h.caps_offset, h.caps_capacity, bytes));
    CHECK(inside(h.metas_offset, h.metas_capacity, bytes));
    CHECK(inside(h.pixels_offset, h.pixels_capacity, bytes));
    CHECK(h.pixels_offset >= h.caps_offset && h.pixels_offset >= h.metas_offset);
  }
  CHECK(accepted > 1000);  // or the loop shows nothing
}

TEST(frame_must_lie_in_its_slot) {
  const DataHeader header = good_header();
  const auto refused = [&](auto change) {
    FrameDescriptor frame = good_frame(header);
    change(frame);
    return !valid(frame, header);
  };
  CHECK(valid(good_frame(header), header));
  CHECK(refused([](FrameDescriptor& f) { f.data_offset = 1; }));
  CHECK(refused([](FrameDescriptor& f) { f.data_bytes += 1; }));
  CHECK(refused([](FrameDescriptor& f) { f.data_bytes = UINT64_MAX; }));
  CHECK(refused([](FrameDescriptor& f) { f.data_offset = 0 - f.data_bytes; }));
  CHECK(refused([](FrameDescriptor& f) { f.data_offset = UINT64_MAX; }));
  CHECK(refused([&](FrameDescriptor& f) { f.caps_bytes = header.caps_capacity + 1; }));
  CHECK(refused([](FrameDescriptor& f) { f.caps_bytes = UINT32_MAX; }));
  CHECK(refused([&](FrameDescriptor& f) { f.metas_bytes = header.metas_capacity + 1; }));
  CHECK(refused([](FrameDescriptor& f) { f.plane_count = layout::kPlanes + 1; }));
  CHECK(refused([](FrameDescriptor& f) { f.plane_count = UINT32_MAX; }));
  CHECK(refused([](FrameDescriptor& f) { f.planes[1].bytes += 1; }));
  CHECK(refused([](FrameDescriptor& f) { f.planes[1].offset = UINT64_MAX; }));
  CHECK(refused([](FrameDescriptor& f) { f.planes[1].offset = 0 - f.planes[1].bytes; }));
}

TEST(planes_beyond_the_count_and_strides_mean_nothing) {
  const DataHeader header = good_header();
  FrameDescriptor frame = good_frame(header);
  frame.planes[2] = {UINT64_MAX, UINT64_MAX, INT32_MIN, 0};
  frame.planes[0].stride = INT32_MIN;  // a tiled format's is no byte count
  CHECK(valid(frame, header));
}

TEST(random_descriptors_are_never_accepted_out_of_range) {
  std::mt19937_64 random(2);
  const DataHeader header = good_header();
  int accepted = 0;
  for (int round = 0; round < 400'000; ++round) {
    FrameDescriptor f = good_frame(header);
    for (std::uint64_t changes = 1 + random() % 3; changes > 0; --changes) {
      const std::uint64_t value = nasty(random);
      switch (random() % 7) {
        case 0:
          f.data_offset = value;
          break;
        case 1:
          f.data_bytes = value;
          break;
        case 2:
          f.caps_bytes = static_cast<std::uint32_t>(value);
          break;
        case 3:
          f.metas_bytes = static_cast<std::uint32_t>(value);
          break;
        case 4:
          f.plane_count = static_cast<std::uint32_t>(random() % 8);
          break;
        case 5:
          f.planes[random() % 4].offset = value;
          break;
        case 6:
          f.planes[random() % 4].bytes = value;
          break;
      }
    }
    if (!valid(f, header)) continue;
    ++accepted;
    CHECK(inside(f.data_offset, f.data_bytes, header.pixels_capacity));
    CHECK(f.caps_bytes <= header.caps_capacity && f.metas_bytes <= header.metas_capacity);
    CHECK(f.plane_count <= layout::kPlanes);
    for (unsigned p = 0; p < f.plane_count; ++p) {
      CHECK(inside(f.planes[p].offset, f.planes[p].bytes, f.data_bytes));
    }
  }
  CHECK(accepted > 1000);
}

TEST(wholly_random_bytes_are_refused) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 100'000; ++round) {
    std::array<std::uint64_t, sizeof(DataHeader) / 8> bytes;
    for (std::uint64_t& word : bytes) word = random();
    DataHeader header;
    std::memcpy(&header, bytes.data(), sizeof header);
    CHECK(!valid(header));
  }
}

TEST(descriptor_is_copied_from_behind_the_header) {
  std::vector<std::byte> object(sizeof(DataHeader) + sizeof(FrameDescriptor));
  FrameDescriptor frame{};
  frame.seq = 42;
  frame.planes[3].bytes = 99;
  std::memcpy(object.data() + sizeof(DataHeader), &frame, sizeof frame);
  const FrameDescriptor copy = copy_descriptor(object.data());
  CHECK(std::memcmp(&copy, &frame, sizeof frame) == 0);
}

TEST(times_that_cannot_be_are_told_apart) {
  constexpr std::int64_t kNow = 10'000'000'000;
  constexpr std::int64_t kHour = 3'600'000'000'000;
  constexpr std::int64_t kSlack = 1'000'000;
  const auto plausible = [](std::int64_t published, std::int64_t pts,
                            std::uint32_t flags = 0) {
    FrameDescriptor frame{};
    frame.publish_ns = published;
    frame.pts_ns = pts;
    frame.frame_flags = flags;
    return plausible_times(frame, kNow);
  };
  CHECK(plausible(kNow, kNow) && plausible(0, 0) && plausible(1, layout::kNoTime));
  CHECK(plausible(kNow + kSlack, kNow + kHour));
  CHECK(!plausible(kNow + kSlack + 1, kNow));
  CHECK(!plausible(kNow, kNow + kHour + 1));
  CHECK(!plausible(-1, kNow) && !plausible(layout::kNoTime, kNow));
  CHECK(!plausible(kNow, -1) && !plausible(kNow, INT64_MIN + 1));
  CHECK(!plausible(kNow, INT64_MAX) && !plausible(INT64_MAX, kNow));
  CHECK(plausible(kNow, INT64_MAX, layout::kFramePreroll));  // has no such time
  // An offer follows its time of publication closely, but not at once.
  FrameDescriptor frame{};
  frame.publish_ns = kNow;
  CHECK(!published_before(frame, kNow + 1'000'000'000));
  CHECK(published_before(frame, kNow + 1'000'000'001));
  frame.publish_ns = INT64_MIN;
  CHECK(published_before(frame, 0));
}
