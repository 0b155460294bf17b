// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A channel that looks alive and is whatever the test makes of it: claimed as a writer
// does, with one frame in one data object, whose bytes lie open. Wants the macro CHECK.
#pragma once

#include <cstring>
#include <filesystem>
#include <memory>
#include <string>

#include "base/clock.h"
#include "channel/names.h"
#include "support/leftovers.h"
#include "transport/claim.h"
#include "transport/descriptor.h"

namespace support {

using namespace possum;
using namespace possum::transport;

// The data object of slot `index`, with an honest frame.
class ForgedObject {
 public:
  static constexpr std::size_t kBytes = 4096;  // of a frame

  ForgedObject(const std::string& channel, std::uint64_t incarnation, unsigned index,
               std::string caps)
      : name(data_name(channel, incarnation, index + 1)), caps_(std::move(caps)) {
    Error error;
    bool taken = false;
    CHECK(plan_data_object({kBytes, caps_.size(), 0}, honest));
    honest.incarnation = incarnation;
    honest.object = index + 1;
    honest.slot = index;
    fd = create_object(name, taken, error);
    CHECK(fd && reserve_bytes(fd.get(), honest.object_bytes, error));
    map_ = ShmObject::map(fd.get(), honest.object_bytes, Access::read_write, error);
    CHECK(map_);
    restore(frame(index + 1));
  }

  std::byte* data() const { return map_->data(); }
  layout::FrameDescriptor frame(std::uint64_t seq) const {
    layout::FrameDescriptor frame{};
    frame.seq = seq;
    frame.publish_ns = frame.pts_ns = monotonic_ns();
    frame.data_bytes = kBytes;
    frame.caps_id = static_cast<std::uint32_t>(seq);
    frame.caps_bytes = static_cast<std::uint32_t>(caps_.size());
    frame.plane_count = 1;
    frame.planes[0] = {0, kBytes, 64, 0};
    return frame;
  }
  // Honest in every byte but those of the descriptor.
  void restore(const layout::FrameDescriptor& descriptor) const {
    std::memcpy(data(), &honest, sizeof honest);
    std::memcpy(data() + sizeof honest, &descriptor, sizeof descriptor);
    std::memcpy(data() + honest.caps_offset, caps_.data(), caps_.size());
  }

  const std::string name;
  layout::DataHeader honest{};
  UniqueFd fd;

 private:
  const std::string caps_;
  std::shared_ptr<ShmObject> map_;
};

class ForgedChannel {
 public:
  explicit ForgedChannel(std::string channel = unique_channel(),
                         const std::string& caps = "video/x-raw, format=GRAY8")
      : channel_(std::move(channel)) {
    Error error;
    CHECK(claim_channel({channel_, {}, false}, claim, error) == ClaimStatus::ok);
    object = std::make_unique<ForgedObject>(channel_, claim.incarnation, 0, caps);
    header().slot[0].seq = header().slot[0].object = header().latest = header().have = 1;
    header().slot[0].pages =
        static_cast<std::uint32_t>(object->honest.object_bytes / 4096);
    header().statistics.frames = 1;
    header().statistics.last_publish_ns = monotonic_ns();
  }
  ~ForgedChannel() {
    for (const std::string& name : names_of(channel_)) {
      std::filesystem::remove_all(std::string(kShm) + "/" + name);
    }
  }
  ForgedChannel(const ForgedChannel&) = delete;
  ForgedChannel& operator=(const ForgedChannel&) = delete;

  const std::string& channel() const { return channel_; }
  int control() const { return claim.lock.get(); }
  layout::ControlHeader& header() const { return claim.control.header(); }
  void resize(std::size_t bytes) const {
    CHECK(ftruncate(control(), static_cast<off_t>(bytes)) == 0);
  }
  // Offers the slot to the first page as a writer would.
  void offer(std::uint64_t seq, std::uint32_t number = 1) {
    header().slot[0].seq = seq;
    header().slot[0].object = number;
    claim.control.page(0).word = 1;
    claim.control.page(0).grant = layout::kAdmitted;
    claim.bells[0].ring();
  }

  Claim claim;
  std::unique_ptr<ForgedObject> object;

 private:
  const std::string channel_;
};

}  // namespace support
