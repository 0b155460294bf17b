// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "control.h"

#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstring>

#include "base/crash_point.h"
#include "base/process.h"
#include "channel/names.h"

namespace possum::transport {
namespace {

// Of a sem_t, for people: two C libraries may agree on its size alone.
std::uint32_t checksum(const std::uint8_t (&image)[layout::kSemImageBytes]) {
  std::uint32_t sum = 2166136261;  // FNV-1a
  for (const std::uint8_t byte : image) sum = (sum ^ byte) * 16777619;
  return sum;
}

// How the writer's machine and C library differ from these.
std::string machine_text(const layout::ControlHeader& header) {
  std::uint8_t image[layout::kSemImageBytes];
  semaphore_image(image);
  char text[160];
  std::snprintf(text, sizeof text,
                "abi %06x with a %u byte sem_t, this is %06x with %zu; their contents "
                "%08x and %08x, their pages %u and %zu bytes",
                header.abi, header.sem_bytes, abi_word(), sizeof(sem_t),
                checksum(header.sem_image), checksum(image), header.unit_bytes,
                unit_bytes());
  return text;
}

}  // namespace

std::size_t unit_bytes() { return std::max(layout::kMinUnitBytes, page_bytes()); }
std::size_t control_bytes() { return layout::kUnits * unit_bytes(); }

bool is_whole(int fd) {
  const auto info = stat_fd(fd);
  return info && info->st_size == static_cast<off_t>(control_bytes());
}

std::uint32_t abi_word() {
#if defined(__GLIBC__)
  constexpr std::uint32_t kLibc = 1;
#else
  constexpr std::uint32_t kLibc = 2;
#endif
  constexpr std::uint32_t kLittle = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 1 : 2;
  return static_cast<std::uint32_t>(8 * sizeof(void*)) | kLittle << 8 | kLibc << 16;
}

void semaphore_image(std::uint8_t (&image)[layout::kSemImageBytes]) {
  const sem_t semaphore = fresh_semaphore(true, layout::kSemImageValue);
  std::memset(image, 0, sizeof image);
  std::memcpy(image, &semaphore, sizeof semaphore);
}

void write_header(layout::ControlHeader& header, std::uint64_t incarnation,
                  bool allow_blocking) {
  header.magic = layout::kControlMagic;
  POSSUM_CRASH_POINT("claim.magic");
  header.version = layout::kVersion;
  header.abi = abi_word();
  header.header_bytes = sizeof header;
  header.unit_bytes = static_cast<std::uint32_t>(unit_bytes());
  header.readers = layout::kReaders;
  header.slots = layout::kSlots;
  header.object_bytes = control_bytes();
  header.sem_bytes = sizeof(sem_t);
  semaphore_image(header.sem_image);
  header.incarnation = incarnation;
  header.writer_pid = static_cast<std::uint32_t>(getpid());
  header.writer_start = process_start_ticks("self");
  if (allow_blocking) header.flags |= layout::kAllowBlocking;
  const std::string name = process_name();
  std::memcpy(header.writer_name, name.data(),
              std::min(name.size(), layout::kNameBytes - 1));
  POSSUM_CRASH_POINT("claim.header");
}

bool read_header(int fd, layout::ControlHeader& header) {
  // Twice: a copy made while the writer fills the header may be torn, one made after the
  // state was seen is not.
  for (int look = 0; look < 2; ++look) {
    if (!copy_bytes(fd, 0, static_cast<void*>(&header), sizeof header) ||
        header.state.load(std::memory_order_acquire) ==
            static_cast<std::uint32_t>(layout::ChannelState::init)) {
      return false;
    }
    POSSUM_CRASH_POINT("look.header");
  }
  return true;
}

HeaderFault check_header(const layout::ControlHeader& header, std::uint64_t bytes) {
  constexpr std::uint32_t kMaxUnitBytes = 1 << 20;
  if (header.magic != layout::kControlMagic) return HeaderFault::no_channel;
  if (header.version != layout::kVersion) return HeaderFault::other_version;
  const std::uint64_t unit = header.unit_bytes;
  if (header.header_bytes != sizeof header || !std::has_single_bit(unit) ||
      unit < layout::kMinUnitBytes || unit > kMaxUnitBytes ||
      header.readers != layout::kReaders || header.slots != layout::kSlots ||
      header.object_bytes != layout::kUnits * unit || bytes != header.object_bytes) {
    return HeaderFault::damaged;
  }
  std::uint8_t image[layout::kSemImageBytes];
  semaphore_image(image);
  if (header.abi != abi_word() || header.sem_bytes != sizeof(sem_t) ||
      std::memcmp(image, header.sem_image, sizeof image) != 0 || unit != unit_bytes()) {
    return HeaderFault::other_machine;
  }
  return HeaderFault::none;
}

Error unusable_header(const std::string& channel, HeaderFault fault,
                      const layout::ControlHeader& header, std::uint64_t bytes) {
  switch (fault) {
    case HeaderFault::none:
      break;
    case HeaderFault::no_channel:
      return name_taken(channel, ErrorCode::not_found, "no channel");
    case HeaderFault::other_version:
      return incompatible(channel, "layout " + std::to_string(header.version) +
                                       ", this is layout " +
                                       std::to_string(layout::kVersion));
    case HeaderFault::other_machine:
      return incompatible(channel, machine_text(header));
    case HeaderFault::damaged:
      return damaged(channel, std::to_string(bytes) + " bytes, header says " +
                                  std::to_string(header.object_bytes));
  }
  return {};
}

std::optional<NameHolder> read_holder(int fd) {
  layout::ControlHeader header{};
  if (!read_header(fd, header) || header.magic != layout::kControlMagic) return {};
  return NameHolder{
      header.writer_pid,
      header.writer_start,
      {header.writer_name, strnlen(header.writer_name, layout::kNameBytes)}};
}

}  // namespace possum::transport
