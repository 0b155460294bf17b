// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "descriptor.h"

#include <algorithm>
#include <cstring>

#include "base/caps_text.h"
#include "base/clock.h"
#include "control.h"

namespace possum::transport {
namespace {

constexpr std::uint32_t kHeaderBytes =
    sizeof(layout::DataHeader) + sizeof(layout::FrameDescriptor);
constexpr std::size_t kTextAlign = 64;
constexpr std::size_t kMinCaps = 2048;
constexpr std::size_t kMinMetas = 4096;
// A reader copies them with each frame, so this is what a writer can make it allocate.
constexpr std::size_t kMaxMetas = 16 << 20;
// Keeps every sum in range.
constexpr std::size_t kMaxPixels = std::size_t{1} << (sizeof(std::size_t) > 4 ? 40 : 30);

constexpr std::size_t round_up(std::size_t value, std::size_t step) {
  return (value + step - 1) / step * step;
}

// offset + bytes <= limit, without overflow.
constexpr bool within(std::uint64_t offset, std::uint64_t bytes, std::uint64_t limit) {
  return offset <= limit && bytes <= limit - offset;
}

}  // namespace

bool plan_data_object(const SlotNeed& need, layout::DataHeader& header) {
  if (need.caps > kMaxCapsText || need.metas > kMaxMetas || need.pixels > kMaxPixels) {
    return false;
  }
  const std::size_t caps_offset = round_up(kHeaderBytes, kTextAlign);
  const std::size_t caps = round_up(std::max(kMinCaps, need.caps), kTextAlign);
  const std::size_t metas_offset = caps_offset + caps;
  const std::size_t metas = round_up(std::max(kMinMetas, need.metas), kTextAlign);
  const std::size_t pixels_offset = round_up(metas_offset + metas, unit_bytes());
  const std::size_t pixels =
      round_up(std::max<std::size_t>(need.pixels, 1), unit_bytes());
  header.magic = layout::kDataMagic;
  header.version = layout::kVersion;
  header.header_bytes = kHeaderBytes;
  header.object_bytes = pixels_offset + pixels;
  header.caps_offset = static_cast<std::uint32_t>(caps_offset);
  header.caps_capacity = static_cast<std::uint32_t>(caps);
  header.metas_offset = static_cast<std::uint32_t>(metas_offset);
  header.metas_capacity = static_cast<std::uint32_t>(metas);
  header.pixels_offset = pixels_offset;
  header.pixels_capacity = pixels;
  return true;
}

bool valid_data_header(const layout::DataHeader& header, std::size_t bytes,
                       std::uint64_t incarnation, std::uint32_t object, unsigned slot) {
  return header.magic == layout::kDataMagic && header.version == layout::kVersion &&
         header.header_bytes == kHeaderBytes && header.incarnation == incarnation &&
         header.object == object && header.slot == slot && header.object_bytes == bytes &&
         header.caps_capacity <= kMaxCapsText && header.metas_capacity <= kMaxMetas &&
         header.caps_offset >= kHeaderBytes &&
         within(header.caps_offset, header.caps_capacity, header.pixels_offset) &&
         header.metas_offset >= kHeaderBytes &&
         within(header.metas_offset, header.metas_capacity, header.pixels_offset) &&
         header.pixels_offset % layout::kMinUnitBytes == 0 &&
         within(header.pixels_offset, header.pixels_capacity, bytes);
}

layout::FrameDescriptor copy_descriptor(const std::byte* object) {
  layout::FrameDescriptor frame;
  std::memcpy(&frame, object + sizeof(layout::DataHeader), sizeof frame);
  return frame;
}

bool valid_descriptor(const layout::FrameDescriptor& frame,
                      const layout::DataHeader& header, std::string& why) {
  if (!within(frame.data_offset, frame.data_bytes, header.pixels_capacity)) {
    why = "the frame lies outside its slot";
    return false;
  }
  if (frame.caps_bytes > header.caps_capacity ||
      frame.metas_bytes > header.metas_capacity) {
    why = "caps or metas are larger than their room";
    return false;
  }
  if (frame.plane_count > layout::kPlanes) {
    why = "too many planes";
    return false;
  }
  for (unsigned p = 0; p < frame.plane_count; ++p) {
    if (!within(frame.planes[p].offset, frame.planes[p].bytes, frame.data_bytes)) {
      why = "plane " + std::to_string(p) + " lies outside the frame";
      return false;
    }
  }
  return true;
}

}  // namespace possum::transport
