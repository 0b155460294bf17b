// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The structs that lie in shared memory, byte for byte, and nothing that acts on them.
// PROTOCOL.md describes the same bytes in words; the two change together, and
// kVersion is raised when the meaning of a byte moves. Little-endian, fixed widths, no
// pointers, no bool, explicit padding. Everything a peer can write is copied once,
// checked, then used.
#pragma once

#include <semaphore.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "base/shared_semaphore.h"

namespace possum::transport::layout {

inline constexpr std::uint64_t kControlMagic = 0x31'4c'54'43'4d'53'53'50;  // "PSSMCTL1"
inline constexpr std::uint64_t kDataMagic = 0x31'41'54'44'4d'53'53'50;     // "PSSMDTA1"
inline constexpr std::uint32_t kVersion = 3;

inline constexpr unsigned kSlots = 32;    // bits in one half of an offer word
inline constexpr unsigned kReaders = 32;  // reader pages in a control object
inline constexpr unsigned kPlanes = 4;    // GST_VIDEO_MAX_PLANES
inline constexpr unsigned kMaxLeases = 8;
// A reader that already holds kMaxLeases takes one frame more to copy it.
inline constexpr unsigned kMaxTaken = kMaxLeases + 1;
inline constexpr unsigned kMaxDepth = 16;
inline constexpr std::size_t kMinUnitBytes = 4096;
inline constexpr std::size_t kSemImageBytes = 64;

// Units of the control object.
inline constexpr unsigned kHeaderUnit = 0;
inline constexpr unsigned kRoomUnit = 1;  // with the flags of both bells of the writer
inline constexpr unsigned kAttentionUnit = 2;
inline constexpr unsigned kReaderUnit = 3;  // + reader index
inline constexpr unsigned kUnits = kReaderUnit + kReaders;

// How much of a sem_t lies in shared memory, as the last bytes of a unit (PROTOCOL.md,
// section 12).
using possum::kSemSharedBytes;
inline constexpr std::size_t kNameBytes = 16;  // as /proc/PID/comm, NUL-terminated
inline constexpr std::uint32_t kSemImageValue = 0x2d5;
// Of the control header: never changed once its state is READY.
inline constexpr std::size_t kConstantHeaderBytes = 192;

// Bytes of the control object that OFD locks are taken on (fcntl(2), "Open file
// description locks"); they lie beyond its end, which the kernel allows.
inline constexpr std::int64_t kOwnerByte = std::int64_t{1} << 30;
inline constexpr std::int64_t kReaderByte = kOwnerByte + 1;  // + reader index

inline constexpr std::int64_t kNoTime = INT64_MIN;
inline constexpr std::uint64_t kNoOffset = UINT64_MAX;

enum class ChannelState : std::uint32_t { init = 0, ready = 1, eos = 2 };
enum class PageState : std::uint8_t { free = 0, active = 1, left = 2 };
enum class Policy : std::uint8_t { drop_oldest = 0, drop_newest = 1, blocking = 2 };

enum ChannelFlags : std::uint32_t { kAllowBlocking = 1u << 0 };
enum GrantBits : std::uint32_t {
  kDemoted = 1u << 0,   // the writer no longer waits for this reader
  kAdmitted = 1u << 1,  // the writer has seen this reader and offered it the newest frame
};
enum FrameFlags : std::uint32_t {
  kFramePreroll = 1u << 0,  // shown while the writer was paused: no absolute time
  kFramePlanes = 1u << 1,   // width, height, planes and padding are meaningful
  kFrameTimes = 1u << 2,    // the running times are meaningful (a TIME segment)
};

// One entry of the slot table. `object` is 0 while the slot has no data object.
struct SlotEntry {
  std::atomic<std::uint64_t> seq;
  std::atomic<std::uint32_t> object;
  std::atomic<std::uint32_t> pages;  // size of the data object in units of 4096 bytes
};

// What a sleeper says of itself (BellState). A post happens only on an asleep -> nobody
// change of `waiting`. The semaphore is at the end of a unit: see kSemSharedBytes.
enum BellState : std::uint32_t {
  kNobody = 0,
  kAsleep = 1,   // on the semaphore, or about to be
  kLooking = 2,  // at the state, and then at this word for a while: it needs no post
};
struct DoorbellWords {
  std::atomic<std::uint32_t> waiting;
  std::uint32_t reserved;
};

// Written by the writer, for whoever looks; nothing decides by them.
struct ChannelStatistics {
  std::atomic<std::uint64_t> frames;
  std::atomic<std::uint64_t> bytes;
  std::atomic<std::uint64_t> zero_copy;
  std::atomic<std::uint64_t> copied;
  std::atomic<std::uint64_t> no_slot;
  std::atomic<std::int64_t> last_publish_ns;  // CLOCK_MONOTONIC
};

// Unit 0 of the control object. Writer: read-write, readers: read-only.
struct ControlHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t abi;  // see abi_word()
  std::uint32_t header_bytes;
  std::uint32_t unit_bytes;
  std::uint32_t readers;
  std::uint32_t slots;
  std::uint64_t object_bytes;
  std::uint32_t sem_bytes;
  std::uint32_t reserved0;
  std::uint8_t sem_image[kSemImageBytes];
  std::uint64_t incarnation;
  std::uint32_t writer_pid;
  std::uint32_t flags;           // ChannelFlags
  std::uint64_t writer_start;    // clock ticks since boot, /proc/PID/stat field 22
  char writer_name[kNameBytes];  // for messages
  alignas(64) std::atomic<std::uint32_t> state;
  std::atomic<std::uint32_t> reserve;
  std::atomic<std::uint32_t> admitted;  // pages that slots may be offered to, bit r
  std::atomic<std::uint32_t> latest;    // slot + 1 of the newest frame, 0: none; a hint
  std::atomic<std::uint32_t> have;      // slots with a data object, bit s
  alignas(64) SlotEntry slot[kSlots];
  alignas(64) ChannelStatistics statistics;
};

// Unit 1, which ends with the semaphore of `room`; unit 2 ends with that of `attention`
// and is zero before it. Everybody: read-write.
struct WriterBells {
  alignas(64) DoorbellWords room;       // the publishing thread waits for a slot
  alignas(64) DoorbellWords attention;  // the housekeeping thread: a reader came or left
};

// Units 3..34, one per reader, each ending with the semaphore of `bell`. Writer and that
// reader: read-write, others: read-only.
struct ReaderPage {
  // All that an offer touches, in one cache line.
  alignas(64) std::atomic<std::uint64_t> word;  // low half OFFERED, high half TAKEN
  std::atomic<std::uint64_t> cfg;  // epoch:32 | depth:8 | policy:8 | 0:8 | state:8
  DoorbellWords bell;
  std::atomic<std::uint32_t> grant;  // GrantBits, the writer's
  // Diagnostics, the reader's.
  alignas(64) std::atomic<std::uint32_t> pid;
  std::uint32_t reserved;
  std::atomic<std::uint64_t> frames;
  std::atomic<std::uint64_t> missed;
  std::atomic<std::uint64_t> copied;
  std::atomic<std::uint64_t> name[kNameBytes / 8];
};

// The first bytes of a data object: constant while the object lives.
struct DataHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t slot;
  std::uint64_t incarnation;
  std::uint32_t object;
  std::uint32_t header_bytes;  // sizeof(DataHeader) + sizeof(FrameDescriptor)
  std::uint64_t object_bytes;
  std::uint32_t caps_offset;
  std::uint32_t caps_capacity;
  std::uint32_t metas_offset;
  std::uint32_t metas_capacity;
  std::uint64_t pixels_offset;
  std::uint64_t pixels_capacity;
};

struct PlaneLayout {
  std::uint64_t offset;  // from the first byte of the frame
  std::uint64_t bytes;   // offset + bytes <= data_bytes
  std::int32_t stride;   // as in GstVideoMeta: no byte count for tiled formats
  std::uint32_t reserved;
};

// What travels with the pixels. Times are nanoseconds, kNoTime when absent.
struct FrameDescriptor {
  std::uint64_t seq;            // 1, 2, 3, ... within an incarnation
  std::int64_t publish_ns;      // CLOCK_MONOTONIC
  std::int64_t pts_ns;          // CLOCK_MONOTONIC
  std::int64_t dts_ns;          // CLOCK_MONOTONIC
  std::int64_t running_pts_ns;  // the writer's running time
  std::int64_t running_dts_ns;  // the writer's running time
  std::int64_t duration_ns;
  std::int64_t latency_ns;    // of what lies upstream of the writer, >= 0
  std::uint64_t offset;       // GST_BUFFER_OFFSET, kNoOffset when absent
  std::uint64_t offset_end;   // likewise
  std::uint64_t data_offset;  // first byte of the frame, from pixels_offset
  std::uint64_t data_bytes;
  std::uint32_t buffer_flags;  // GstBufferFlags and GstVideoBufferFlags of GStreamer 1.x
  std::uint32_t frame_flags;   // FrameFlags
  std::uint32_t flush_id;      // changes when the writer was flushed
  std::uint32_t caps_id;       // changes when the caps text does
  std::uint32_t caps_bytes;    // no NUL
  std::uint32_t metas_bytes;
  std::uint32_t width;  // of the video meta, pixels
  std::uint32_t height;
  std::uint32_t padding[4];   // GstVideoAlignment: top, bottom, left, right
  std::uint32_t video_flags;  // GstVideoFrameFlags
  std::uint32_t plane_count;  // <= kPlanes
  PlaneLayout planes[kPlanes];
  std::uint64_t reserved;
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
static_assert(sizeof(std::atomic<std::uint64_t>) == 8);
static_assert(sizeof(sem_t) <= kSemImageBytes - 16);
static_assert(sizeof(SlotEntry) == 16);
static_assert(std::is_standard_layout_v<ControlHeader>);
static_assert(offsetof(ControlHeader, sem_image) == 48);
static_assert(offsetof(ControlHeader, incarnation) == 112);
static_assert(offsetof(ControlHeader, state) == kConstantHeaderBytes);
static_assert(offsetof(ControlHeader, have) == 208);
static_assert(offsetof(ControlHeader, slot) == 256);
static_assert(offsetof(ControlHeader, statistics) == 768);
static_assert(sizeof(ControlHeader) == 832);
static_assert(sizeof(DoorbellWords) == 8);
static_assert(std::is_standard_layout_v<WriterBells> && sizeof(WriterBells) == 128);
static_assert(std::is_standard_layout_v<ReaderPage>);
static_assert(offsetof(ReaderPage, cfg) == 8 && offsetof(ReaderPage, bell) == 16);
static_assert(offsetof(ReaderPage, grant) == 24 && offsetof(ReaderPage, pid) == 64);
static_assert(sizeof(ReaderPage) == 128 &&
              sizeof(ReaderPage) <= kMinUnitBytes - kSemSharedBytes);
static_assert(sizeof(DataHeader) == 72 && std::is_trivially_copyable_v<DataHeader>);
static_assert(sizeof(PlaneLayout) == 24);
static_assert(sizeof(FrameDescriptor) == 256 &&
              std::is_trivially_copyable_v<FrameDescriptor>);

// --- reader configuration word ---------------------------------------------------------
struct Config {
  std::uint32_t epoch = 0;  // tenancy of the page
  std::uint8_t depth = 1;   // frames that may wait, 1..kMaxDepth
  Policy policy = Policy::drop_oldest;
  PageState state = PageState::free;
};

constexpr std::uint64_t pack(Config c) {
  return (std::uint64_t{c.epoch} << 32) | (std::uint64_t{c.depth} << 24) |
         (std::uint64_t{static_cast<std::uint8_t>(c.policy)} << 16) |
         std::uint64_t{static_cast<std::uint8_t>(c.state)};
}

// Any 64-bit value has a meaning: unknown states count as LEFT, unknown policies as
// drop-oldest, depth is clamped.
constexpr Config unpack(std::uint64_t v) {
  Config c;
  c.epoch = static_cast<std::uint32_t>(v >> 32);
  const auto depth = static_cast<std::uint8_t>(v >> 24);
  c.depth = depth < 1 ? 1 : depth > kMaxDepth ? kMaxDepth : depth;
  const auto policy = static_cast<std::uint8_t>(v >> 16);
  c.policy = policy <= 2 ? static_cast<Policy>(policy) : Policy::drop_oldest;
  const auto state = static_cast<std::uint8_t>(v);
  c.state = state <= 2 ? static_cast<PageState>(state) : PageState::left;
  return c;
}

// --- offer word ------------------------------------------------------------------------
constexpr std::uint32_t offered_of(std::uint64_t word) {
  return static_cast<std::uint32_t>(word);
}
constexpr std::uint32_t taken_of(std::uint64_t word) {
  return static_cast<std::uint32_t>(word >> 32);
}
constexpr std::uint64_t make_word(std::uint32_t offered, std::uint32_t taken) {
  return (std::uint64_t{taken} << 32) | offered;
}

}  // namespace possum::transport::layout
