// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "writer_session.h"

#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/fork_guard.h"
#include "base/process.h"
#include "channel_errors.h"
#include "crash_point.h"
#include "names.h"

namespace possum::transport {

WriterSession::WriterSession(Claim claim, const WriterOptions& options)
    : channel_(options.channel),
      // Group and others may look at pixels, never draw on them.
      data_mode_{options.perms & ~0022u, options.group},
      claim_(std::move(claim)),
      generation_(process_generation()),
      room_(claim_.room()),
      attention_(claim_.attention()),
      core_(*this, options.slots, options.allow_blocking) {}

WriterSession::~WriterSession() { end(); }

void WriterSession::end() {
  // A forked child owns nothing.
  if (std::exchange(ended_, true) || generation_ != process_generation()) return;
  // Who has come until now still gets the newest frame.
  core_.admit();
  remove_names(channel_, claim_);
  // Readers that sleep would notice at their next look; tell them now.
  for (unsigned r = 0; r < layout::kReaders; ++r) ring_reader(r);
}

bool WriterSession::faulted() {
  const std::uint64_t faults = bus_faults();
  if (faults == faults_seen_) return faulted_;
  faults_seen_ = faults;
  faulted_ |= claim_.control.object().damaged();
  for (const SlotObject& o : objects_) faulted_ |= o.object != 0 && o.mapping->damaged();
  return faulted_;
}

bool WriterSession::object_whole(const SlotObject& o) const {
  const auto info = stat_name(data_name(channel_, incarnation(), o.object));
  return info && info->st_ino == o.inode &&
         info->st_size == static_cast<off_t>(o.header.object_bytes) &&
         // Whoever attaches finds it by this number.
         header().slot[o.header.slot].object.load(std::memory_order_relaxed) ==
             o.object &&
         // Made short and long again, it is full of zeros.
         std::memcmp(o.mapping->data(), &o.header, sizeof o.header) == 0;
}

bool WriterSession::whole() const {
  return control_intact(claim_) &&
         std::all_of(objects_.begin(), objects_.end(), [this](const SlotObject& o) {
           return o.object == 0 || object_whole(o);
         });
}

bool WriterSession::recycle_due() {
  constexpr std::int64_t kIntervalNs = 5'000'000;
  const std::int64_t now = monotonic_ns();
  if (now - recycled_ns_ < kIntervalNs) return false;
  recycled_ns_ = now;
  return true;
}

bool WriterSession::fits(unsigned slot, const SlotRequest& request) const {
  const SlotObject& o = objects_[slot];
  const SlotNeed& need = request.need;
  return o.object != 0 && need.pixels <= o.header.pixels_capacity &&
         need.caps <= o.header.caps_capacity && need.metas <= o.header.metas_capacity;
}

bool WriterSession::any_fits(const SlotRequest& request) const {
  for (unsigned s = 0; s < layout::kSlots; ++s) {
    if (fits(s, request)) return true;
  }
  return false;
}

std::size_t WriterSession::object_bytes() const {
  std::size_t sum = 0;
  for (const SlotObject& o : objects_) {
    if (o.object != 0) sum += o.header.object_bytes;
  }
  return sum;
}

void WriterSession::discard(unsigned slot) {
  SlotObject& old = objects_[slot];
  shm_unlink(data_name(channel_, incarnation(), old.object).c_str());
  POSSUM_CRASH_POINT("replace.unlink");
  old = {};  // frames that readers hold keep their mapping
}

std::uint32_t WriterSession::create(unsigned slot, SlotRequest& request) {
  SlotObject made;
  Error error;
  if (!make(slot, request.need, made, error)) {
    request.error = std::move(error);
    return 0;
  }
  install(slot, std::move(made));
  return objects_[slot].object;
}

std::uint32_t ObjectNumbers::guess() {
  const std::lock_guard lock(mutex_);
  std::uint32_t number = 0;
  do {
    if (!random_bytes(&number, sizeof number)) return 0;
  } while (number == 0 || kept_.contains(number));
  return number;
}

void ObjectNumbers::keep(std::uint32_t number) {
  const std::lock_guard lock(mutex_);
  kept_.insert(number);
}

// A name that is there already is passed over. To be in the way of all tries somebody
// would have to fill the directory with almost every name there is.
UniqueFd WriterSession::create_numbered(std::uint32_t& object, Error& error) {
  constexpr int kTries = 100;
  bool taken = true;
  UniqueFd fd;
  for (int tries = 0; taken && tries < kTries; ++tries) {
    object = numbers_.guess();
    if (object == 0) {
      error = no_random_numbers(errno);
      return {};
    }
    fd = create_object(data_name(channel_, incarnation(), object), taken, error);
  }
  return fd;
}

bool WriterSession::make(unsigned slot, const SlotNeed& need, SlotObject& made,
                         Error& error) {
  if (!plan_data_object(need, made.header)) {
    error = make_error(ErrorCode::settings, "The frame is too large for a channel.",
                       std::to_string(need.pixels) + " bytes");
    return false;
  }
  std::uint32_t object = 0;
  UniqueFd fd = create_numbered(object, error);
  if (!fd) return false;
  made.header.slot = slot;
  made.header.incarnation = incarnation();
  made.header.object = object;
  POSSUM_CRASH_POINT("object.create");
  struct stat info {};
  if (fstat(fd.get(), &info) == 0) made.inode = info.st_ino;
  if (!fill_object(fd.get(), made, error)) {
    made.mapping = nullptr;
    shm_unlink(data_name(channel_, incarnation(), object).c_str());
    POSSUM_CRASH_POINT("object.give-up");
    return false;
  }
  made.object = object;
  numbers_.keep(object);
  return true;
}

bool WriterSession::fill_object(int fd, SlotObject& made, Error& error) const {
  const std::size_t bytes = made.header.object_bytes;
  if (!reserve_bytes(fd, bytes, error)) return false;
  POSSUM_CRASH_POINT("object.fallocate");
  made.mapping = ShmObject::map(fd, bytes, Access::read_write, true, error);
  if (!made.mapping) return false;
  POSSUM_CRASH_POINT("object.map");
  if (!set_group(fd, data_mode_, error)) return false;
  POSSUM_CRASH_POINT("object.group");
  if (!set_mode(fd, data_mode_, error)) return false;
  POSSUM_CRASH_POINT("object.mode");
  std::memcpy(made.mapping->data(), &made.header, sizeof made.header);
  POSSUM_CRASH_POINT("object.header");
  return true;
}

void WriterSession::install(unsigned slot, SlotObject made) {
  header().slot[slot].pages.store(
      static_cast<std::uint32_t>(made.header.object_bytes / 4096),
      std::memory_order_relaxed);
  POSSUM_CRASH_POINT("object.pages");
  objects_[slot] = std::move(made);
}

SlotRef WriterSession::ref(unsigned slot) const {
  const SlotObject& o = objects_[slot];
  return {incarnation(),
          o.object,
          slot,
          o.mapping->data() + o.header.pixels_offset,
          static_cast<std::size_t>(o.header.pixels_capacity),
          o.mapping};
}

bool WriterSession::owns(const SlotRef& ref) const {
  return ref.incarnation == incarnation() && ref.slot < layout::kSlots &&
         ref.object != 0 && objects_[ref.slot].object == ref.object;
}

bool WriterSession::fits_text(const SlotRef& ref, std::size_t caps_bytes,
                              std::size_t metas_bytes) const {
  const layout::DataHeader& h = objects_[ref.slot].header;
  return caps_bytes <= h.caps_capacity && metas_bytes <= h.metas_capacity;
}

void WriterSession::fill(const SlotRef& ref, layout::FrameDescriptor& frame,
                         std::string_view caps, std::span<const std::byte> metas) {
  SlotObject& o = objects_[ref.slot];
  if (caps_id_ == 0 || caps != caps_) {
    caps_ = caps;
    ++caps_id_;
  }
  std::byte* const base = o.mapping->data();
  if (o.caps_id != caps_id_) {
    std::memcpy(base + o.header.caps_offset, caps.data(), caps.size());
    POSSUM_CRASH_POINT("fill.caps");
    o.caps_id = caps_id_;
  }
  if (!metas.empty()) {
    std::memcpy(base + o.header.metas_offset, metas.data(), metas.size());
    POSSUM_CRASH_POINT("fill.metas");
  }
  frame.seq = ++next_seq_;
  frame.publish_ns = monotonic_ns();
  frame.caps_id = caps_id_;
  frame.caps_bytes = static_cast<std::uint32_t>(caps.size());
  frame.metas_bytes = static_cast<std::uint32_t>(metas.size());
  std::memcpy(base + sizeof(layout::DataHeader), &frame, sizeof frame);
  POSSUM_CRASH_POINT("fill.descriptor");
}

void WriterSession::announce_caps() {
  if (std::exchange(announced_caps_id_, caps_id_) == caps_id_) return;
  futimens(claim_.lock.get(), nullptr);  // for the event alone: IN_ATTRIB
}

}  // namespace possum::transport
