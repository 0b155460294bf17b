// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "attachment.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <new>

#include "base/bus_guard.h"
#include "base/clock.h"
#include "base/crash_point.h"
#include "base/process.h"
#include "channel/errors.h"
#include "channel/names.h"
#include "descriptor.h"
#include "frame_times.h"

namespace possum::transport {

Attachment::Attachment(OpenControl open, std::string channel, bool copy_on_write)
    : open_(std::move(open)),
      channel_(std::move(channel)),
      copy_on_write_(copy_on_write),
      generation_(process_generation()),
      entered_ns_(monotonic_ns()),
      core_(*this, open_.tenancy) {}

Attachment::~Attachment() {
  if (forked()) return;
  open_.lock.reset();
  POSSUM_CRASH_POINT("leave.unlock");
  ring_both();
}

void Attachment::enter(layout::Policy policy, unsigned depth) {
  // Before the writer sees us: one that stops right afterwards takes the names away.
  for (unsigned s = 0; s < layout::kSlots; ++s) {
    // A replaced object is simply not there any more.
    if (const auto object = core_.object_of(s)) map(s, object);
  }
  announce();
  core_.enter(policy, depth);
}

void Attachment::announce() {
  layout::ReaderPage& own = own_page();
  own.pid.store(static_cast<std::uint32_t>(getpid()), std::memory_order_relaxed);
  POSSUM_CRASH_POINT("announce.pid");
  std::array<char, layout::kNameBytes> name{};
  const std::string text = process_name();
  std::memcpy(name.data(), text.data(), std::min(text.size(), name.size() - 1));
  for (std::size_t i = 0; i < name.size() / 8; ++i) {
    std::uint64_t part;
    std::memcpy(&part, name.data() + 8 * i, sizeof part);
    own.name[i].store(part, std::memory_order_relaxed);
    POSSUM_CRASH_POINT("announce.name");
  }
  own.frames.store(0, std::memory_order_relaxed);
  own.missed.store(0, std::memory_order_relaxed);
  own.copied.store(0, std::memory_order_relaxed);
  POSSUM_CRASH_POINT("announce.counts");
}

void Attachment::leave() {
  {
    const MutexLock lock(mutex_);
    core_.leave();
  }
  mapped_ = {};
}

Attachment::Took Attachment::take(Frame& frame, Error& error) {
  // More frames than there are slots cannot have gone with a writer.
  for (unsigned lost = 0; lost <= layout::kSlots; ++lost) {
    if (fail_if_truncated(error)) return Took::failed;
    const std::uint32_t mapped = core_.map_offered();
    Core::Taken taken;
    bool copy = false;
    {
      const MutexLock lock(mutex_);
      if (page_lost(error)) return Took::failed;
      const auto found = core_.take(last_seq_, mapped);
      if (!found) return Took::nothing;
      taken = *found;
      copy = core_.must_copy(leases_);
      ++leases_;
    }
    frame.parts_.attachment = shared_from_this();  // the Frame releases it from here on
    frame.parts_.slot = taken.slot;
    const Opened filled = fill(frame, taken.seq, copy, error);
    if (filled == Opened::ok) {
      note_arrival(frame);
      return Took::frame;
    }
    frame = {};
    if (filled == Opened::failed) return Took::failed;
    count_lost();
  }
  error = damaged(channel_, "frames are offered that do not exist");
  return Took::failed;
}

void Attachment::skip_to_newest() {
  const MutexLock lock(mutex_);
  const auto waiting = [this] {
    return std::popcount(
        layout::offered_of(own_page().word.load(std::memory_order_acquire)));
  };
  // A writer that offers faster than this does not keep us here.
  for (unsigned skipped = 0; skipped < layout::kSlots; ++skipped) {
    if (!core_.owns_page() || waiting() <= 1) return;
    const auto taken = core_.take(last_seq_, ~0u);  // nobody will look at it
    if (!taken) return;
    core_.release(taken->slot);
  }
}

void Attachment::forget_replaced() {
  for (unsigned s = 0; s < layout::kSlots; ++s) {
    if (mapped_[s].object != core_.object_of(s)) mapped_[s] = {};
  }
}

void Attachment::set_depth(unsigned depth) {
  const MutexLock lock(mutex_);
  core_.set_depth(depth);
}

void Attachment::release(unsigned slot) {
  if (forked()) return;
  const MutexLock lock(mutex_);
  --leases_;
  if (core_.owns_page()) core_.release(slot);
}

DeliveryCounts Attachment::counts() const {
  const MutexLock lock(mutex_);
  return counts_;
}

void Attachment::ring_both() {
  open_.attention.ring();
  open_.room.ring();
}

bool Attachment::linked() const {
  const auto info = stat_fd(open_.lock.get());
  return info && info->st_nlink > 0;
}

Mapped Attachment::map(unsigned slot, std::uint32_t object) {
  MappedSlot& mapped = mapped_[slot];
  if (mapped.object == object && mapped.mapping && !mapped.mapping->spoiled()) {
    return Mapped::ok;
  }
  mapped = {};
  const std::string name = data_name(channel_, open_.incarnation, object);
  const UniqueFd fd(shm_open(name.c_str(), O_RDONLY | O_NONBLOCK, 0));
  POSSUM_CRASH_POINT("map.open");
  if (!fd && errno == ENOENT) return Mapped::gone;
  mapped.error = fd ? map_object(fd.get(), name, slot, object, mapped)
                    : frames_closed(channel_, name, errno);
  POSSUM_CRASH_POINT("map.map");
  if (mapped.error) {
    mapped.mapping = nullptr;
    return Mapped::failed;
  }
  mapped.object = object;
  return Mapped::ok;
}

Error Attachment::map_object(int fd, const std::string& name, unsigned slot,
                             std::uint32_t object, MappedSlot& mapped) const {
  const auto info = stat_fd(fd);
  layout::DataHeader& header = mapped.header;
  if (!info || !S_ISREG(info->st_mode) || info->st_uid != open_.owner ||
      info->st_size <= 0 || !copy_bytes(fd, 0, &header, sizeof header) ||
      !valid_data_header(header, static_cast<std::size_t>(info->st_size),
                         open_.incarnation, object, slot)) {
    return damaged(channel_, "data object " + name);
  }
  if (has_holes(*info)) {
    return damaged(channel_, "data object " + name + " is not reserved");
  }
  POSSUM_CRASH_POINT("map.header");
  Error error;
  mapped.mapping = ShmObject::map(fd, header.object_bytes, Access::read_only, error);
  // Where pages are larger than the writer thinks, frames are read-only as they were.
  if (mapped.mapping && copy_on_write_) {
    static_cast<void>(mapped.mapping->make_drawable(fd, header.pixels_offset));
  }
  return error;
}

// Is the page no longer ours?
bool Attachment::page_lost(Error& error) const {
  const layout::Config now =
      layout::unpack(own_page().cfg.load(std::memory_order_acquire));
  const std::uint32_t epoch = open_.tenancy.epoch;
  if (now.epoch == epoch && now.state == layout::PageState::active) return false;
  // Epochs only rise, and nobody but us ends a tenancy within one: these are zeros.
  error = now.epoch <= epoch ? damaged(channel_, "the reader page was wiped")
                             : taken_for_dead(channel_);
  return true;
}

// Did a mapping turn into zeros under us (bus_guard.h)? Remembered, since mappings go.
// Costs next to nothing.
bool Attachment::fail_if_truncated(Error& error) {
  const std::uint64_t faults = bus_faults();
  if (faults != faults_seen_) {
    faults_seen_ = faults;
    truncated_ |= open_.control.object().damaged() ||
                  std::any_of(mapped_.begin(), mapped_.end(), [](const MappedSlot& m) {
                    return m.mapping && m.mapping->damaged();
                  });
  }
  if (truncated_) error = damaged(channel_, "SIGBUS: an object was truncated");
  return truncated_;
}

Attachment::Opened Attachment::fill(Frame& frame, std::uint64_t seq, bool copy,
                                    Error& error) {
  const unsigned slot = frame.parts_.slot;
  const MappedSlot& mapped = mapped_[slot];
  switch (core_.open(slot)) {
    case Opened::ok:
      break;
    case Opened::lost:
      return Opened::lost;
    case Opened::removed:
      error =
          damaged(channel_, std::string("its frames were removed from ") + kShmDirectory);
      return Opened::failed;
    case Opened::failed:
      error = mapped.error;
      return Opened::failed;
  }
  const std::byte* const base = mapped.mapping->data();
  layout::FrameDescriptor& descriptor = frame.parts_.descriptor;
  descriptor = copy_descriptor(base);
  std::string why;
  if (descriptor.seq != seq) {
    why = "the slot holds another frame than the table says";
  } else if (valid_descriptor(descriptor, mapped.header, why)) {
    why = fill_text(frame, mapped);
  }
  if (!why.empty()) {
    error = damaged(channel_, why);
    return Opened::failed;
  }
  const std::byte* const pixels =
      base + mapped.header.pixels_offset + descriptor.data_offset;
  if (copy) {
    if (!fill_copy(frame, pixels, error)) return Opened::failed;
  } else {
    frame.parts_.data = pixels;
    frame.parts_.mapping = mapped.mapping;
  }
  return fail_if_truncated(error) ? Opened::failed : Opened::ok;
}

// Caps and metas, copied before they are looked at. Returns what is wrong, if anything.
std::string Attachment::fill_text(Frame& frame, const MappedSlot& mapped) {
  const layout::FrameDescriptor& descriptor = frame.parts_.descriptor;
  const std::byte* const base = mapped.mapping->data();
  if (!caps_ || caps_id_ != descriptor.caps_id) {
    const auto* text = reinterpret_cast<const char*>(base + mapped.header.caps_offset);
    auto caps = std::make_shared<const std::string>(text, descriptor.caps_bytes);
    if (caps->find('\0') != std::string::npos) return "caps text with a NUL byte";
    caps_ = std::move(caps);
    caps_id_ = descriptor.caps_id;
  }
  frame.parts_.caps = caps_;
  const std::byte* const metas = base + mapped.header.metas_offset;
  frame.parts_.metas.assign(metas, metas + descriptor.metas_bytes);
  return {};
}

// The pixels, and the slot goes back at once.
bool Attachment::fill_copy(Frame& frame, const std::byte* pixels, Error& error) {
  const std::size_t bytes = frame.size();
  auto& copy = frame.parts_.copy;
  copy.reset(new (std::nothrow) std::byte[bytes + page_bytes()]);
  if (!copy) {
    error = no_memory("a copy of a frame, " + std::to_string(bytes) + " bytes");
    return false;
  }
  std::memcpy(copy.get(), pixels, bytes);
  frame.parts_.data = copy.get();
  frame.release();
  return true;
}

// A dead or stopping writer's frame that cannot be had any more; perhaps no later
// sequence number tells.
void Attachment::count_lost() {
  if (writer_alive() && linked()) return;
  POSSUM_CRASH_POINT("take.lost");
  const MutexLock lock(mutex_);
  ++counts_.missed;
  ++lost_;
}

// Tells the frame what was missed before it, and counts it.
void Attachment::note_arrival(Frame& frame) {
  const layout::FrameDescriptor& descriptor = frame.descriptor();
  const MutexLock lock(mutex_);
  // The first frame has waited for whoever comes; all others were published for us.
  strange_clock_ |= last_seq_ != 0 && published_before(descriptor, entered_ns_);
  frame.parts_.strange_clock = strange_clock_;
  frame.parts_.missed = last_seq_ == 0 ? 0 : descriptor.seq - last_seq_ - 1;
  last_seq_ = descriptor.seq;
  ++counts_.frames;
  counts_.bytes += frame.size();
  counts_.missed += frame.missed() - std::min(lost_, frame.missed());
  lost_ = 0;
  if (frame.is_copy()) ++counts_.copied;
  own_page().frames.store(counts_.frames, std::memory_order_relaxed);
  own_page().missed.store(counts_.missed, std::memory_order_relaxed);
  own_page().copied.store(counts_.copied, std::memory_order_relaxed);
  POSSUM_CRASH_POINT("take.counts");
}

void Frame::release() noexcept {
  if (parts_.mapping)
    parts_.mapping->restore();  // before the slot can have another frame
  if (parts_.attachment) parts_.attachment->release(parts_.slot);
  parts_.attachment.reset();
}

}  // namespace possum::transport
