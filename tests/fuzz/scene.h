// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A channel whose writer is the fuzzer: made as a real writer makes it, kept for the
// whole run, and put back to its honest state after each input.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "channel/names.h"
#include "fuzz.h"
#include "transport/claim.h"
#include "transport/descriptor.h"
#include "transport/doorbell.h"
#include "transport/open.h"
#include "transport/reader.h"
#include "transport/writer.h"

namespace fuzz {

inline constexpr unsigned kObjects = 4;
inline constexpr std::size_t kFrameBytes = 5000;  // ends within a page
inline constexpr char kCaps[] = "video/x-raw, format=GRAY8, width=50, height=100";
inline constexpr std::size_t kMetas = 40;

inline std::string own_channel(const char* what) {
  return "fuzz-" + std::string(what) + "." + std::to_string(getpid());
}

// A file's length, and a lie about it that comes true with cut(): before, nothing may
// touch what is not there.
class Length {
 public:
  void lie(std::size_t bytes) { wanted_ = bytes; }
  void cut(int fd) const {
    if (wanted_) FUZZ_CHECK(ftruncate(fd, static_cast<off_t>(*wanted_)) == 0);
  }
  void restore(int fd, std::size_t bytes) {
    if (!wanted_) return;
    Error error;
    FUZZ_CHECK(ftruncate(fd, static_cast<off_t>(bytes)) == 0);
    FUZZ_CHECK(reserve_bytes(fd, bytes, error));
    wanted_.reset();
  }

 private:
  std::optional<std::size_t> wanted_;
};

// A data object with honest content, as slot `index` of the channel.
class Object {
 public:
  Object(const std::string& channel, std::uint64_t incarnation, unsigned index)
      : name_(data_name(channel, incarnation, index + 1)), index_(index) {
    FUZZ_CHECK(plan_data_object({kFrameBytes, sizeof kCaps, kMetas}, header_));
    header_.incarnation = incarnation;
    header_.object = index + 1;
    header_.slot = index;
    Error error;
    bool taken = false;
    fd_ = create_object(name_, taken, error);
    FUZZ_CHECK(fd_ && reserve_bytes(fd_.get(), header_.object_bytes, error));
    map_ = ShmObject::map(fd_.get(), header_.object_bytes, Access::read_write, error);
    FUZZ_CHECK(map_);
    restore(index + 1);
  }
  ~Object() { shm_unlink((moved_ ? name_ + ".away" : name_).c_str()); }
  Object(const Object&) = delete;
  Object& operator=(const Object&) = delete;

  // Header, descriptor and text of an honest frame.
  void restore(std::uint64_t seq) {
    if (moved_) {
      FUZZ_CHECK(rename(path(name_ + ".away").c_str(), path(name_).c_str()) == 0);
      moved_ = false;
    }
    length_.restore(fd_.get(), header_.object_bytes);
    std::byte* const base = map_->data();
    std::memcpy(base, &header_, sizeof header_);
    const layout::FrameDescriptor frame = honest_frame(seq);
    std::memcpy(base + sizeof header_, &frame, sizeof frame);
    std::memcpy(base + header_.caps_offset, kCaps, sizeof kCaps - 1);
    std::memset(base + header_.metas_offset, 'm', kMetas);
    std::memset(base + header_.pixels_offset, static_cast<int>(seq & 0x7f), kFrameBytes);
  }

  void resize(std::size_t to) { length_.lie(to); }
  // A frame of so many bytes more, consistent in every number, with nothing behind it.
  void inflate(std::size_t by) {
    layout::DataHeader header = header_;
    layout::FrameDescriptor frame = copy_descriptor(map_->data());
    by = by / 4096 * 4096;
    header.object_bytes += by;
    header.pixels_capacity += by;
    frame.data_bytes = header.pixels_capacity;
    std::memcpy(map_->data(), &header, sizeof header);
    std::memcpy(map_->data() + sizeof header, &frame, sizeof frame);
    resize(header.object_bytes);
  }
  void cut() { length_.cut(fd_.get()); }
  void take_name_away() {
    if (moved_) return;
    FUZZ_CHECK(rename(path(name_).c_str(), path(name_ + ".away").c_str()) == 0);
    moved_ = true;
  }

  // Header, descriptor, caps and metas.
  std::array<Area, 4> areas() const {
    std::byte* const base = map_->data();
    return {{{base, sizeof header_},
             {base + sizeof header_, sizeof(layout::FrameDescriptor)},
             {base + header_.caps_offset, sizeof kCaps - 1},
             {base + header_.metas_offset, kMetas}}};
  }

 private:
  static std::string path(const std::string& name) { return kShmDirectory + name; }
  layout::FrameDescriptor honest_frame(std::uint64_t seq) const {
    layout::FrameDescriptor frame{};
    frame.seq = seq;
    frame.publish_ns = monotonic_ns();
    frame.data_bytes = kFrameBytes;
    frame.caps_id = 1 + index_;
    frame.caps_bytes = sizeof kCaps - 1;
    frame.metas_bytes = kMetas;
    frame.plane_count = 2;
    frame.planes[0] = {0, kFrameBytes - 1000, 50, 0};
    frame.planes[1] = {kFrameBytes - 1000, 1000, 50, 0};
    return frame;
  }

  const std::string name_;
  const unsigned index_;
  layout::DataHeader header_{};
  UniqueFd fd_;
  std::shared_ptr<ShmObject> map_;
  Length length_;
  bool moved_ = false;
};

class Scene {
 public:
  explicit Scene(std::string channel) : channel_(std::move(channel)) {
    claim();
    FUZZ_CHECK(guarded_mappings() > 0);
  }
  ~Scene() { remove_names(channel_, *claim_); }

  const std::string& channel() const { return channel_; }
  layout::ControlHeader& header() const { return claim_->control.header(); }
  layout::ReaderPage& page(unsigned r) const { return claim_->control.page(r); }
  Object& object(unsigned i) { return *objects_[i]; }

  // Honest in every byte, nothing offered, no reader known.
  void restore() {
    length_.restore(claim_->lock.get(), control_bytes());
    for (std::size_t unit = 0; unit < image_.size(); ++unit) {
      std::memcpy(unit_at(unit), image_[unit].data(), kSaved);
      std::memset(semaphore_at(unit), 0, layout::kSemSharedBytes);
    }
    for (unsigned i = 0; i < kObjects; ++i) {
      objects_[i]->restore(i + 1);
      header().slot[i].seq.store(i + 1);
      header().slot[i].object.store(i + 1);
    }
    next_seq_ = kObjects + 1;
  }

  // As a writer would: to every page, whoever has it.
  void offer(std::uint32_t slots) {
    for (unsigned r = 0; r < layout::kReaders; ++r) {
      page(r).word.fetch_or(slots);
      claim_->bells[r].ring();
    }
  }
  // A frame newer than all before.
  void offer_fresh(unsigned i) {
    objects_[i]->restore(next_seq_);
    header().slot[i].object.store(i + 1);
    header().slot[i].seq.store(next_seq_++);
    offer(1u << i);
  }

  // Of the control object.
  void resize(std::size_t to) { length_.lie(to); }
  void cut() {
    for (const auto& object : objects_) object->cut();
    length_.cut(claim_->lock.get());
  }

  // The fuzzer dies as a writer; a real one takes the name over and sends a frame, and
  // the reader gets it. Afterwards the channel is the fuzzer's again.
  void real_writer_takes_over(Reader& reader) {
    claim_->lock.reset();
    Error error;
    WriterOptions options;
    options.channel = channel_;
    const auto writer = Writer::create(options, {}, error);
    FUZZ_CHECK(writer && writer->open(error) == WriteStatus::ok);
    SlotRef ref;
    FUZZ_CHECK(writer->acquire(kFrameBytes, sizeof kCaps, 0, ref, error) ==
               WriteStatus::ok);
    std::memset(ref.data, 'g', kFrameBytes);
    layout::FrameDescriptor frame{};
    frame.data_bytes = kFrameBytes;
    FUZZ_CHECK(writer->publish(ref, frame, kCaps, {}, false, error) == WriteStatus::ok);
    expect_good_frame(reader, 'g');
    writer->close();
    claim();
  }

  // The same reader, whatever it has been through, on a channel that is in order.
  void expect_good_frame(Reader& reader, int content) {
    Error error;
    const Bounded bounded("coming back");
    const AttachStatus attached = reader.attach(in_ms(1000 * slowness()), error);
    if (attached != AttachStatus::attached) complain("attach", error);
    Frame frame;
    const TakeStatus taken = reader.take(in_ms(1000 * slowness()), frame, error);
    if (taken != TakeStatus::frame) complain("take", error);
    FUZZ_CHECK(frame.size() == kFrameBytes && *frame.caps() == kCaps);
    FUZZ_CHECK(frame.data()[0] == static_cast<std::byte>(content));
    FUZZ_CHECK(frame.data()[kFrameBytes - 1] == static_cast<std::byte>(content));
    frame = Frame();
    reader.detach();
  }
  void expect_recovery(Reader& reader) {
    restore();
    offer(1);
    expect_good_frame(reader, 1);
  }

  // All that a writer writes.
  std::vector<Area> areas() {
    std::vector<Area> result = {
        {&header(), sizeof(layout::ControlHeader)},
        {header().slot, sizeof header().slot},
        {unit_at(1), sizeof(layout::WriterBells)},
        {&page(0), sizeof(layout::ReaderPage)},
        {&page(0), 2 * sizeof(std::uint64_t)},  // the offer word, more often
        {&page(1), sizeof(layout::ReaderPage)},
        {semaphore_at(layout::kRoomUnit), layout::kSemSharedBytes},
        {semaphore_at(layout::kAttentionUnit), layout::kSemSharedBytes},
        {semaphore_at(layout::kReaderUnit), layout::kSemSharedBytes},
    };
    for (const auto& object : objects_) {
      for (const Area& area : object->areas()) result.push_back(area);
    }
    return result;
  }

 private:
  // Of each unit; then nothing is written before the semaphore.
  static constexpr std::size_t kSaved = 1024;
  static_assert(layout::kSemSharedBytes == 8);  // zeros, when nothing is posted

  [[noreturn]] static void complain(const char* what, const Error& error) {
    std::fprintf(stderr, "%s: %s (%s)\n", what, error.message.c_str(),
                 error.detail.c_str());
    failed(__FILE__, __LINE__, "a good channel is read");
  }
  std::byte* unit_at(std::size_t unit) const {
    return reinterpret_cast<std::byte*>(&header()) + unit * unit_bytes();
  }
  std::byte* semaphore_at(std::size_t unit) const {
    return unit_at(unit + 1) - layout::kSemSharedBytes;
  }

  void claim() {
    for (auto& object : objects_) object.reset();
    claim_.emplace();
    Error error;
    FUZZ_CHECK(claim_channel({channel_, {}, true}, *claim_, error) == ClaimStatus::ok);
    // Whoever comes is admitted already: no attach has to wait.
    for (unsigned r = 0; r < layout::kReaders; ++r) page(r).grant = layout::kAdmitted;
    header().admitted = ~0u;
    header().have = (1u << kObjects) - 1;
    for (std::size_t unit = 0; unit < image_.size(); ++unit) {
      std::memcpy(image_[unit].data(), unit_at(unit), kSaved);
    }
    for (unsigned i = 0; i < kObjects; ++i) {
      objects_[i] = std::make_unique<Object>(channel_, claim_->incarnation, i);
    }
    restore();
  }

  const std::string channel_;
  std::optional<Claim> claim_;
  std::array<std::array<std::byte, kSaved>, layout::kUnits> image_;
  std::array<std::unique_ptr<Object>, kObjects> objects_;
  std::uint64_t next_seq_ = 1;
  Length length_;
};

inline constexpr std::size_t kLargest = std::size_t{1} << 36;  // sparse: costs nothing
inline constexpr std::uint32_t kLargestFrame = 1 << 30;

// One damage, to be done with cut().
inline void lie(Scene& scene, Input& in) {
  switch (in.below(10)) {
    case 0:
      scene.resize(in.below(2) == 0 ? in.take<std::uint32_t>()
                                    : in.take<std::uint64_t>() % kLargest);
      return;
    case 1: {
      Object& object = scene.object(in.below(kObjects));
      object.resize(in.below(2) == 0 ? in.take<std::uint16_t>()
                                     : in.take<std::uint64_t>() % kLargest);
      return;
    }
    case 2:
      scene.object(in.below(kObjects)).take_name_away();
      return;
    case 3:
      scene.object(in.below(kObjects)).inflate(in.take<std::uint32_t>() % kLargestFrame);
      return;
    default: {
      const std::vector<Area> areas = scene.areas();
      read_edit(in, areas).apply();
      return;
    }
  }
}

// A writer's values may only lead to one of these, with a sentence for the user.
inline void expect_clear(const Error& error) {
  FUZZ_CHECK(error.code != ErrorCode::none && error.code != ErrorCode::settings);
  FUZZ_CHECK(!error.message.empty() && !error.detail.empty());
}

inline TakeStatus take(Reader& reader, int wait_ms, Frame& frame, Error& error) {
  const Bounded bounded("take", wait_ms);
  return reader.take(in_ms(wait_ms), frame, error);
}

// What a frame promises is there.
inline void use(const Frame& frame) {
  const layout::FrameDescriptor& d = frame.descriptor();
  read_every_byte(frame.data(), frame.size());
  FUZZ_CHECK(d.plane_count <= layout::kPlanes);
  for (unsigned p = 0; p < d.plane_count; ++p) {
    FUZZ_CHECK(d.planes[p].bytes <= frame.size());
    FUZZ_CHECK(d.planes[p].offset <= frame.size() - d.planes[p].bytes);
    read_every_byte(frame.data() + d.planes[p].offset, d.planes[p].bytes);
  }
  FUZZ_CHECK(frame.caps() && frame.caps()->find('\0') == std::string::npos);
  read_every_byte(frame.caps()->data(), frame.caps()->size());
  FUZZ_CHECK(frame.metas().size() == d.metas_bytes);
  read_every_byte(frame.metas().data(), frame.metas().size());
}

}  // namespace fuzz
