// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The two checks that everything else rests on, on bytes as they come: whatever they let
// through lies inside of the object, which ends at an unreadable page.
#include "transport/descriptor.h"

#include "fuzz.h"

using namespace fuzz;

namespace {

constexpr std::uint64_t kIncarnation = 0x1122334455667788;
constexpr std::size_t kMostBytes = 4 * 4096;
constexpr std::size_t kHead =
    sizeof(layout::DataHeader) + sizeof(layout::FrameDescriptor);

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input in(data, size);
  const std::size_t bytes = kHead + in.take<std::uint16_t>() % (kMostBytes - kHead + 1);
  layout::DataHeader header{};
  FUZZ_CHECK(plan_data_object({in.take<std::uint16_t>(), 0, 0}, header));
  header.incarnation = kIncarnation;
  header.object = 1;
  header.slot = 2;
  layout::FrameDescriptor frame{};
  frame.data_bytes = header.pixels_capacity;
  const Area areas[] = {
      {&header, sizeof header},
      {&header.object_bytes, sizeof header - offsetof(layout::DataHeader, object_bytes)},
      {&frame, sizeof frame},
      {&frame.data_offset, 2 * sizeof frame.data_offset},
      {&frame.caps_bytes, 2 * sizeof frame.caps_bytes},
      {&frame.plane_count, sizeof frame - offsetof(layout::FrameDescriptor, plane_count) -
                               sizeof frame.reserved},
  };
  if (in.below(4) != 0) header.object_bytes = bytes;
  while (!in.empty()) read_edit(in, areas).apply();

  static std::byte* const end = guarded_end(kMostBytes, PROT_READ | PROT_WRITE);
  std::byte* const object = end - bytes;
  std::memcpy(object, &header, sizeof header);
  std::memcpy(object + sizeof header, &frame, sizeof frame);
  if (!valid_data_header(header, bytes, kIncarnation, 1, 2)) return 0;
  const layout::FrameDescriptor copy = copy_descriptor(object);
  std::string why;
  if (!valid_descriptor(copy, header, why)) {
    FUZZ_CHECK(!why.empty());
    return 0;
  }
  FUZZ_CHECK(header.pixels_offset % 4096 == 0);
  // Text may not lie over the head, nor reach the pixels.
  FUZZ_CHECK(header.caps_offset >= kHead && header.metas_offset >= kHead);
  FUZZ_CHECK(header.caps_offset + copy.caps_bytes <= header.pixels_offset);
  FUZZ_CHECK(header.metas_offset + copy.metas_bytes <= header.pixels_offset);
  read_every_byte(object + header.caps_offset, copy.caps_bytes);
  read_every_byte(object + header.metas_offset, copy.metas_bytes);
  const std::byte* const pixels = object + header.pixels_offset + copy.data_offset;
  read_every_byte(pixels, copy.data_bytes);
  FUZZ_CHECK(copy.plane_count <= layout::kPlanes);
  for (unsigned p = 0; p < copy.plane_count; ++p) {
    FUZZ_CHECK(copy.planes[p].bytes <= copy.data_bytes);
    FUZZ_CHECK(copy.planes[p].offset <= copy.data_bytes - copy.planes[p].bytes);
    read_every_byte(pixels + copy.planes[p].offset, copy.planes[p].bytes);
  }
  return 0;
}
