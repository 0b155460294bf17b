// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Brings one GstBuffer after the other onto the channel: as it is when it lies in a slot
// that no reader can see, else by one copy into a slot. Also keeps what has been
// published from being written while a reader can see it.
#pragma once

#include <gst/video/video.h>

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "refs.h"
#include "transport/writer.h"

namespace possum {

enum class SendStatus {
  sent,
  interrupted,  // call again with the same buffer: nothing is lost
  no_slot,      // the writer counted and dropped the frame
  unreadable,   // the buffer is smaller than its caps say, or cannot be mapped
  failed,       // see the Error
};

// One streaming thread; only release_kept() may be called from any.
class FrameSender {
 public:
  void start(std::shared_ptr<Writer> writer);
  void stop();

  // Of the frames that follow. Touches no slot. `text` is the caps'.
  void set_format(std::string text, const GstVideoInfo& info);
  const GstVideoInfo& info() const { return info_; }

  // Was this buffer's frame begun and interrupted? Then `frame` of send() is not looked
  // at.
  bool began(const GstBuffer* buffer) const { return begun_.buffer == buffer; }
  // `frame`: everything but the layout.
  SendStatus send(GstBuffer* buffer, const layout::FrameDescriptor& frame, Error& error);
  // Forgets a frame that was interrupted.
  void abandon();

  // Lets go of published buffers that no reader can see any more.
  void release_unseen();
  // Lets go of all of them: upstream wants its buffers back.
  void release_kept();

 private:
  struct Kept {
    Ref<GstBuffer> buffer;
    SlotRef slot;
  };
  // A frame in a slot, on its way to the readers.
  struct Begun {
    const GstBuffer* buffer = nullptr;  // compared, never followed
    SlotRef slot;
    layout::FrameDescriptor frame;
    bool zero_copy = false;
  };

  bool begin_in_place(GstBuffer* buffer);
  SendStatus begin_copy(GstBuffer* buffer, Error& error);
  void keep_if_shared(GstBuffer* buffer);

  std::shared_ptr<Writer> writer_;
  GstVideoInfo info_{};
  std::string caps_;
  Begun begun_;
  std::mutex kept_lock_;
  std::vector<Kept> kept_;  // guarded by kept_lock_
};

}  // namespace possum
