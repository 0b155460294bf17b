// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Brings one GstBuffer after the other onto the channel: as it is when it lies in a slot
// that no reader can see, else by one copy into a slot. What has been published is
// never written: GStreamer makes a copy for whoever upstream still wants to.
#pragma once

#include <gst/video/video.h>

#include <cstdint>
#include <string>

#include "frameinfo.h"
#include "transport/writer.h"

namespace possum {

enum class SendStatus {
  sent,
  interrupted,  // call again with the same frame: nothing is lost
  no_slot,      // the writer counted and dropped the frame
  unreadable,   // the buffer is smaller than its caps say, or cannot be mapped
  failed,       // see the Error
};

// One streaming thread.
class FrameSender {
 public:
  // `writer` (not owned) outlives the sender.
  explicit FrameSender(transport::Writer& writer) : writer_(writer) {}

  // Of the frames that follow. Touches no slot. `text` is the caps'.
  void set_format(std::string text, const GstVideoInfo& info);
  const GstVideoInfo& info() const { return info_; }

  // A frame is known by the number that the caller gives it, which no other one has and
  // which is not 0: a buffer, and its address, may serve for the next one.

  // Was this frame begun and interrupted? Then `frame` of send() is not looked at.
  bool began(std::uint64_t number) const { return begun_.number == number; }
  // `frame`: everything but the layout.
  SendStatus send(GstBuffer* buffer, std::uint64_t number, const FrameDescriptor& frame,
                  Error& error);
  // Why the last frame that was sent had to be copied; NULL: it was not.
  const char* why_copied() const { return why_copied_; }
  // Forgets a frame that was interrupted.
  void abandon();

 private:
  // A frame in a slot, on its way to the readers.
  struct Begun {
    std::uint64_t number = 0;  // 0: there is none
    transport::SlotRef slot;
    FrameDescriptor frame;
    bool zero_copy = false;
  };

  // Returns why it cannot be, or NULL.
  const char* begin_in_place(GstBuffer* buffer);
  SendStatus begin_copy(GstBuffer* buffer, Error& error);
  void forget();

  transport::Writer& writer_;
  GstVideoInfo info_{};
  std::string caps_;
  Begun begun_;
  const char* why_copied_ = nullptr;
};

}  // namespace possum
