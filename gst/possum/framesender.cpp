// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// See the header. A frame stays where it lies if that is a slot that nobody else looks at
// or writes to.
#include "framesender.h"

#include <utility>

#include "frameinfo.h"
#include "planes.h"
#include "refs.h"
#include "slotmemory.h"

namespace possum {

void FrameSender::set_format(std::string text, const GstVideoInfo& info) {
  caps_ = std::move(text);
  info_ = info;
}

SendStatus FrameSender::send(GstBuffer* buffer, std::uint64_t number,
                             const FrameDescriptor& frame, Error& error) {
  if (!began(number)) {
    abandon();
    begun_.frame = frame;
    why_copied_ = begin_in_place(buffer);
    if (why_copied_ != nullptr) {
      begun_.frame = frame;  // without what may be described of the buffer's own layout
      const SendStatus status = begin_copy(buffer, error);
      if (status != SendStatus::sent) return status;
    }
    begun_.number = number;
  }
  const transport::WriteStatus status =
      writer_.publish(begun_.slot, begun_.frame, caps_, {}, begun_.zero_copy, error);
  if (status == transport::WriteStatus::interrupted) return SendStatus::interrupted;
  forget();
  if (status == transport::WriteStatus::no_slot) return SendStatus::no_slot;
  return status == transport::WriteStatus::ok ? SendStatus::sent : SendStatus::failed;
}

void FrameSender::abandon() {
  if (begun_.number == 0) return;
  writer_.abandon_publish();
  forget();
}

void FrameSender::forget() {
  begun_.number = 0;
  begun_.slot = {};
}

// A slot is known by its memory: decoders push shallow copies of the pool's buffers.
const char* FrameSender::begin_in_place(GstBuffer* buffer) {
  if (gst_buffer_n_memory(buffer) != 1) return "it lies in several memories";
  GstMemory* const memory = gst_buffer_peek_memory(buffer, 0);
  const transport::SlotRef* slot = slot_of(memory, &writer_);
  if (slot == nullptr) return "it lies in no slot of this channel";
  begun_.frame.data_offset = memory->offset;
  if (!describe_layout(info_, gst_buffer_get_video_meta(buffer), memory->size,
                       begun_.frame)) {
    return "its planes do not lie as its caps and metas say";
  }
  if (!writer_.publishable(*slot, caps_.size(), 0)) {
    return "a reader can see its slot, or that is one of before or has no room for the "
           "caps";
  }
  if (!make_immutable(memory)) {
    return "somebody may still write to it";
  }
  begun_.slot = *slot;
  begun_.zero_copy = true;
  return nullptr;
}

SendStatus FrameSender::begin_copy(GstBuffer* buffer, Error& error) {
  transport::SlotRef slot;
  switch (writer_.acquire(info_.size, caps_.size(), 0, slot, error)) {
    case transport::WriteStatus::ok:
      break;
    case transport::WriteStatus::interrupted:
    case transport::WriteStatus::timeout:  // not without a deadline
      return SendStatus::interrupted;
    case transport::WriteStatus::no_slot:
      return SendStatus::no_slot;
    case transport::WriteStatus::failed:
      return SendStatus::failed;
  }
  if (!copy_frame(buffer, info_, slot.data, slot.capacity) ||
      !describe_layout(info_, nullptr, info_.size, begun_.frame)) {
    writer_.give_back(slot);
    return SendStatus::unreadable;
  }
  // The copy has another layout, but shows the same fields and views.
  if (const GstVideoMeta* meta = gst_buffer_get_video_meta(buffer)) {
    begun_.frame.video_flags = meta->flags;
  }
  begun_.slot = std::move(slot);
  begun_.zero_copy = false;
  return SendStatus::sent;
}

}  // namespace possum
