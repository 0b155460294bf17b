// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A writer without an element, which sends whatever texts and frames a test wants.
#pragma once

#include <algorithm>
#include <cstring>
#include <functional>
#include <memory>
#include <string>

#include "frames.h"
#include "leftovers.h"
#include "transport/layout.h"
#include "transport/writer.h"

namespace elements {

class StrangeWriter {
 public:
  using Descriptor = possum::transport::layout::FrameDescriptor;
  StrangeWriter() {
    possum::transport::WriterOptions options;
    options.channel = channel_;
    options.allow_blocking = true;
    writer_ = possum::transport::Writer::create(options, {}, error_);
    check(writer_->open(error_));
  }
  const std::string& channel() const { return channel_; }
  unsigned readers() const { return writer_->active_readers(); }
  // A frame of that many bytes, all of this value, in the slot that is returned.
  possum::transport::SlotRef send(
      const std::string& caps, guint8 value = 1, std::size_t bytes = kSmallBytes,
      const std::function<void(Descriptor&)>& describe = [](Descriptor&) {}) {
    possum::transport::SlotRef slot;
    check(
        writer_->acquire(std::max<std::size_t>(bytes, 1), caps.size(), 0, slot, error_));
    std::memset(slot.data, value, bytes);
    Descriptor frame{};
    frame.data_bytes = bytes;
    describe(frame);
    check(writer_->publish(slot, frame, caps, {}, false, error_));
    return slot;
  }

 private:
  void check(possum::transport::WriteStatus status) const {
    require(status == possum::transport::WriteStatus::ok, error_.message);
  }
  const std::string channel_ = support::unique_channel();
  possum::Error error_;
  std::unique_ptr<possum::transport::Writer> writer_;
};

}  // namespace elements
