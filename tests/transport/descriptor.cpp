// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The bytes of the layout as PROTOCOL.md has them, and the checks that stand between a
// peer's bytes and their use: whatever is accepted lies inside the object.
#include "transport/descriptor.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "channel/names.h"
#include "support/check.h"
#include "transport/frame_times.h"
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
  static constexpr std::uint64_t kEdges[] = {
      0,          1,          71,  72,         327,       328,      4095,  4096, 4097,
      0x7fffffff, 0x80000000, ~0u, 1ull << 32, INT64_MAX, ~4096ull, ~1ull, ~0ull};
  switch (random() % 3) {
    case 0:
      return kEdges[random() % std::size(kEdges)];
    case 1:
      return random() >> (random() % 64);
    default:
      return 0 - (random() >> (random() % 64));
  }
}

// What PROTOCOL.md says of one field of a struct, and what the compiler says of it.
struct Field {
  std::string name;
  std::size_t offset = 0;
  std::size_t bytes = 0;
  std::size_t step = 0;  // from one element of an array to the next
  bool operator==(const Field&) const = default;
};
// Of Struct, whatever that is there.
#define FIELD(member) \
  Field { #member, offsetof(Struct, member), sizeof(Struct::member) }

// A member of a member of its array: "slot[s].seq".
Field inside_of(const Field& array, const std::string& index, const Field& field,
                std::size_t step) {
  return {array.name + index + field.name, array.offset + field.offset, field.bytes,
          step};
}

std::vector<std::size_t> numbers(const std::string& text) {
  std::vector<std::size_t> found;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (std::isdigit(word[0])) found.push_back(std::stoul(word));
  }
  return found;
}

// The rows "| offset | width | field |" under the heading that begins so. An offset is
// "256 + 16 s" for each s, a width "8", "4 a", or "2 x 8 a".
std::vector<Field> fields_of_page(const std::string& heading) {
  const char* const root = std::getenv("POSSUM_SOURCE_ROOT");
  if (!root) check::skip("POSSUM_SOURCE_ROOT is not set: run it by `meson test`");
  std::ifstream page(std::string(root) + "/gst/transport/PROTOCOL.md");
  std::vector<Field> fields;
  bool inside = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("#")) inside = line.starts_with(heading);
    if (!inside || !line.starts_with("| ") || !std::isdigit(line[2])) continue;
    std::istringstream row(line);
    std::string before, offset, width, field;
    for (std::string* cell : {&before, &offset, &width, &field}) {
      std::getline(row, *cell, '|');
    }
    const std::vector<std::size_t> at = numbers(offset), size = numbers(width);
    std::istringstream(field) >> field;
    fields.push_back({field, at.at(0), size.at(0) * (size.size() > 1 ? size[1] : 1),
                      at.size() > 1 ? at[1] : 0});
  }
  return fields;
}

void expect_on_page(const std::string& heading, const std::vector<Field>& fields) {
  const std::vector<Field> found = fields_of_page(heading);
  for (std::size_t i = 0; i < std::max(fields.size(), found.size()); ++i) {
    if (i < fields.size() && i < found.size() && fields[i] == found[i]) continue;
    const auto say = [&](const char* where, const std::vector<Field>& list) {
      if (i >= list.size()) return;
      std::fprintf(stderr, "%s: %s at %zu, %zu bytes\n", where, list[i].name.c_str(),
                   list[i].offset, list[i].bytes);
    };
    std::fprintf(stderr, "%s\n", heading.c_str());
    say("PROTOCOL.md", found);
    say("layout.h", fields);
    CHECK(!"page and structs agree");
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

// Peers in other languages and of other builds go by the page: its tables have each field
// of the structs, in their order, and nothing else.
TEST(protocol_page_says_where_each_field_lies) {
  std::vector<Field> header;
  std::vector<Field> descriptor;
  {
    using Struct = layout::ControlHeader;
    header = {
        FIELD(magic),      FIELD(version),      FIELD(abi),         FIELD(header_bytes),
        FIELD(unit_bytes), FIELD(readers),      FIELD(slots),       FIELD(object_bytes),
        FIELD(sem_bytes),  FIELD(sem_image),    FIELD(incarnation), FIELD(writer_pid),
        FIELD(flags),      FIELD(writer_start), FIELD(writer_name), FIELD(state),
        FIELD(reserve),    FIELD(admitted),     FIELD(latest),      FIELD(have)};
    const Field slot = FIELD(slot), statistics = FIELD(statistics);
    {
      using Struct = layout::SlotEntry;
      for (const Field& field : {FIELD(seq), FIELD(object), FIELD(pages)}) {
        header.push_back(inside_of(slot, "[s].", field, sizeof(Struct)));
      }
    }
    {
      using Struct = layout::ChannelStatistics;
      for (Field field : {FIELD(frames), FIELD(bytes), FIELD(zero_copy), FIELD(copied),
                          FIELD(no_slot), FIELD(last_publish_ns)}) {
        field.offset += statistics.offset;
        header.push_back(field);
      }
    }
  }
  expect_on_page("### Unit 0: header, 832 bytes", header);
  {
    using Struct = layout::ReaderPage;
    expect_on_page("### Unit 3 + r: reader page, 128 bytes",
                   {FIELD(word), FIELD(cfg), FIELD(bell), FIELD(grant), FIELD(pid),
                    FIELD(frames), FIELD(missed), FIELD(copied), FIELD(name)});
  }
  {
    using Struct = layout::DoorbellWords;
    expect_on_page("### Bell, 8 bytes", {FIELD(waiting)});
  }
  {
    using Struct = DataHeader;
    expect_on_page("### Data header, 72 bytes",
                   {FIELD(magic), FIELD(version), FIELD(slot), FIELD(incarnation),
                    FIELD(object), FIELD(header_bytes), FIELD(object_bytes),
                    FIELD(caps_offset), FIELD(caps_capacity), FIELD(metas_offset),
                    FIELD(metas_capacity), FIELD(pixels_offset), FIELD(pixels_capacity)});
  }
  {
    using Struct = FrameDescriptor;
    descriptor = {FIELD(seq),          FIELD(publish_ns),     FIELD(pts_ns),
                  FIELD(dts_ns),       FIELD(running_pts_ns), FIELD(running_dts_ns),
                  FIELD(duration_ns),  FIELD(latency_ns),     FIELD(offset),
                  FIELD(offset_end),   FIELD(data_offset),    FIELD(data_bytes),
                  FIELD(buffer_flags), FIELD(frame_flags),    FIELD(flush_id),
                  FIELD(caps_id),      FIELD(caps_bytes),     FIELD(metas_bytes),
                  FIELD(width),        FIELD(height),         FIELD(padding),
                  FIELD(video_flags),  FIELD(plane_count)};
    const Field planes = FIELD(planes);
    {
      using Struct = layout::PlaneLayout;
      for (const Field& field : {FIELD(offset), FIELD(bytes), FIELD(stride)}) {
        descriptor.push_back(inside_of(planes, "[p].", field, sizeof(Struct)));
      }
    }
  }
  expect_on_page("### Frame descriptor, 256 bytes", descriptor);
}

TEST(numbers_of_the_protocol_page) {
  using namespace layout;
  CHECK(kVersion == 3 && kSlots == 32 && kReaders == 32 && kPlanes == 4);
  CHECK(std::memcmp(&kControlMagic, "PSSMCTL1", 8) == 0);
  CHECK(std::memcmp(&kDataMagic, "PSSMDTA1", 8) == 0);
  CHECK(kOwnerByte == 1 << 30 && kReaderByte == (1 << 30) + 1);
  CHECK(kHeaderUnit == 0 && kRoomUnit == 1 && kAttentionUnit == 2);
  CHECK(kReaderUnit == 3 && kUnits == 35);
  CHECK(offsetof(WriterBells, room) == 0 && offsetof(WriterBells, attention) == 64);
  CHECK(sizeof(ControlHeader) == 832 && sizeof(ReaderPage) == 128);
  CHECK(sizeof(DataHeader) == 72 && sizeof(FrameDescriptor) == 256);
  CHECK(kDemoted == 1 && kAdmitted == 2 && kAllowBlocking == 1);
  CHECK(kNobody == 0 && kAsleep == 1 && kLooking == 2);
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

TEST(other_objects_headers_sizes_and_parts_outside_the_object_are_refused) {
  const DataHeader good = good_header();
  const auto refused = [&](auto change, bool as_long_as_it_says = true) {
    DataHeader header = good;
    change(header);
    return !valid(header, as_long_as_it_says ? header.object_bytes : good.object_bytes);
  };
  CHECK(!refused([](DataHeader&) {}));
  for (const std::size_t bytes : {good.object_bytes - 1, good.object_bytes + 1,
                                  good.object_bytes / 2, std::uint64_t{0}, UINT64_MAX}) {
    CHECK(!valid(good, bytes));
  }
  CHECK(refused([](DataHeader& h) { h.magic ^= 1; }));
  CHECK(refused([](DataHeader& h) { h.magic = layout::kControlMagic; }));
  CHECK(refused([](DataHeader& h) { h.version += 1; }));
  CHECK(refused([](DataHeader& h) { h.incarnation += 1; }));
  CHECK(refused([](DataHeader& h) { h.object += 1; }));
  CHECK(refused([](DataHeader& h) { h.slot += 1; }));
  CHECK(refused([](DataHeader& h) { h.header_bytes -= 8; }));
  CHECK(refused([](DataHeader& h) { h.object_bytes += 1; }, false));
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
  using H = DataHeader;
  constexpr std::uint32_t H::*kNarrow[] = {&H::caps_offset, &H::caps_capacity,
                                           &H::metas_offset, &H::metas_capacity};
  constexpr std::uint64_t H::*kWide[] = {&H::pixels_offset, &H::pixels_capacity,
                                         &H::object_bytes};
  std::mt19937_64 random(1);
  const DataHeader good = good_header();
  int accepted = 0;
  for (int round = 0; round < 400'000; ++round) {
    DataHeader h = good;
    for (std::uint64_t changes = 1 + random() % 3; changes > 0; --changes) {
      const std::uint64_t value = nasty(random);
      const unsigned field = random() % 7;
      if (field < 4) {
        h.*kNarrow[field] = static_cast<std::uint32_t>(value);
      } else {
        h.*kWide[field - 4] = value;
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
      auto& plane = f.planes[random() % layout::kPlanes];
      std::uint64_t* const wide[] = {&f.data_offset, &f.data_bytes, &plane.offset,
                                     &plane.bytes};
      std::uint32_t* const narrow[] = {&f.caps_bytes, &f.metas_bytes};
      const unsigned field = random() % 7;
      if (field < 4) {
        *wide[field] = value;
      } else if (field < 6) {
        *narrow[field - 4] = static_cast<std::uint32_t>(value);
      } else {
        f.plane_count = static_cast<std::uint32_t>(random() % 8);
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
