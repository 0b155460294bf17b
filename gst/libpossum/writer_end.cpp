// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Slots are found by acquire(), which waits for blocking readers if it must. While one
// such slot is out, others are lent: then the transport keeps enough in circulation.
#include "writer_end.h"

#include <chrono>

#include "base/clock.h"
#include "base/fork_guard.h"
#include "base/pixel_copy.h"
#include "base/users.h"
#include "channel/names.h"
#include "status.h"

namespace possum {
namespace {

// To be there before the first frame: the newest, the one being filled, one spare, and
// one for a reader.
constexpr unsigned kFirstSlots = 4;
constexpr unsigned kSpareSlots = 2;

possum_status bad_caps(const std::string& why) {
  return answer(POSSUM_ERROR_SETTINGS, why,
                "for example video/x-raw, format=BGR, width=640, height=480");
}

possum_status no_size(const std::string& why) {
  return answer(POSSUM_ERROR_FORMAT,
                "How large a frame of raw video is does not follow from the caps: " +
                    why + ". Use another format, or give frame_bytes",
                "possum_video_format() lists the formats");
}

possum_status bad_frame(const std::string& why) {
  return answer(POSSUM_ERROR_SETTINGS, "The frame cannot be published: " + why,
                "possum_frame_params");
}

}  // namespace

possum_status WriterEnd::open(const possum_writer_options& wanted,
                              std::shared_ptr<WriterEnd>& end) {
  transport::WriterOptions options;
  if (wanted.channel != nullptr) options.channel = wanted.channel;
  options.slots = wanted.slots;
  options.perms = wanted.perms;
  options.allow_blocking = wanted.allow_blocking != 0;
  options.max_blocking_ns = wanted.max_blocking_ns;
  options.claim_timeout_ns = wanted.claim_timeout_ns;
  options.bus_guard = wanted.sigbus_guard != 0;
  if (wanted.max_blocking_ns < 0 || wanted.claim_timeout_ns < 0) {
    return answer(POSSUM_ERROR_SETTINGS,
                  "max_blocking_ns and claim_timeout_ns are times: 0 or more",
                  "possum_writer_options");
  }
  if (wanted.group != nullptr) {
    options.group = find_group(wanted.group);
    if (!options.group) {
      return answer(POSSUM_ERROR_SETTINGS,
                    std::string("Group \"") + wanted.group +
                        "\" is unknown: use a name that getent group lists, or a number",
                    "getgrnam_r");
    }
  }
  Error error;
  const std::string channel = "channel \"" + options.channel + "\"";
  const unsigned slots = options.slots;
  std::unique_ptr<transport::Writer> writer =
      transport::Writer::create(std::move(options), {}, error);
  if (!writer) return answer(error);
  end.reset(new WriterEnd(std::move(writer), channel, slots));
  possum_status status = POSSUM_OK;
  if (wanted.caps != nullptr) status = end->set_caps(wanted.caps, wanted.frame_bytes);
  if (status != POSSUM_OK) return status;
  if (end->writer().open(error) != transport::WriteStatus::ok) return answer(error);
  const std::size_t bytes = wanted.caps ? end->format()->frame_bytes : wanted.frame_bytes;
  if (bytes > 0 && !end->writer().prepare(std::min(kFirstSlots, slots), bytes, error)) {
    return answer(error);
  }
  return POSSUM_OK;
}

WriterEnd::WriterEnd(std::unique_ptr<transport::Writer> writer, std::string channel,
                     unsigned slots)
    : writer_(std::move(writer)),
      channel_(std::move(channel)),
      most_borrowed_(slots - kSpareSlots),
      generation_(process_generation()),
      opened_ns_(monotonic_ns()),
      format_(std::make_shared<WriterFormat>()) {}

// In a forked child the transport's thread may for ever be in the middle of something.
WriterEnd::~WriterEnd() {
  if (forked()) static_cast<void>(writer_.release());
}

void WriterEnd::close() {
  if (!forked()) writer_->close();
}

bool WriterEnd::forked() const { return generation_ != process_generation(); }

std::shared_ptr<const WriterFormat> WriterEnd::format() const {
  const MutexLock lock(state_lock_);
  return format_;
}

possum_status WriterEnd::set_caps(std::string caps, std::size_t frame_bytes) {
  std::string why;
  auto made = make_format(std::move(caps), frame_bytes, why);
  if (!made) return bad_caps(why);
  if (!why.empty() && frame_bytes == 0) return no_size(why);
  auto shared = std::make_shared<const WriterFormat>(std::move(*made));
  const MutexLock lock(state_lock_);
  format_.swap(shared);
  return POSSUM_OK;
}

possum_status WriterEnd::outcome(transport::WriteStatus status, const Error& error,
                                 const char* waiting_for) {
  switch (status) {
    case transport::WriteStatus::ok:
      return POSSUM_OK;
    case transport::WriteStatus::interrupted:
      return answer(POSSUM_INTERRUPTED,
                    "The wait was interrupted; after possum_writer_interrupt(writer, 0) "
                    "call again to go on",
                    waiting_for);
    case transport::WriteStatus::timeout:
      return answer(POSSUM_TIMEOUT,
                    channel_ + " waited for " + waiting_for + " until the deadline",
                    "call again to go on");
    case transport::WriteStatus::no_slot:
      return answer(POSSUM_NO_SLOT,
                    channel_ +
                        " dropped a frame: readers hold every slot; let it have "
                        "more slots, or readers hold fewer frames",
                    waiting_for);
    case transport::WriteStatus::failed:
      break;
  }
  return answer(error);
}

// --- slots -----------------------------------------------------------------------------

bool WriterEnd::take_turn(Turn& turn, std::int64_t deadline_ns) {
  turn = Turn(turn_, std::try_to_lock);
  if (turn.owns_lock()) return true;
  if (deadline_ns == transport::kForever) {
    turn.lock();
    return true;
  }
  const std::chrono::steady_clock::time_point deadline{
      // CLOCK_MONOTONIC
      std::chrono::nanoseconds(std::max<std::int64_t>(deadline_ns, 0))};
  if (turn.try_lock_until(deadline)) return true;
  outcome(transport::WriteStatus::timeout, {}, "another thread that publishes");
  return false;
}

possum_status WriterEnd::obtain(const WriterFormat& format, std::size_t bytes,
                                std::int64_t deadline_ns,
                                std::unique_ptr<possum_slot>& slot) {
  if (borrowed_ >= most_borrowed_) {
    return answer(POSSUM_NO_SLOT,
                  "The program has borrowed as many slots as it may: publish or release "
                  "one, or open the channel with more",
                  std::to_string(most_borrowed_));
  }
  auto made = std::make_unique<possum_slot>();
  made->bytes = bytes;
  if (acquired_ != 0) {
    if (auto lent = writer_->lend(bytes, format.caps.size())) {
      made->ref = std::move(*lent);
      made->lent = true;
    }
  }
  if (!made->lent) {
    Error error;
    const transport::WriteStatus status =
        writer_->acquire(bytes, format.caps.size(), 0, made->ref, error, deadline_ns);
    if (status != transport::WriteStatus::ok)
      return outcome(status, error, "blocking readers");
    ++acquired_;
  }
  ++borrowed_;
  slot = std::move(made);
  return POSSUM_OK;
}

// The slot is the channel's again; its struct and mapping stay its borrower's.
void WriterEnd::end_borrowing(possum_slot& slot, SlotState state) {
  // A published slot that was acquired has gone over to the readers already.
  if (slot.lent || state == SlotState::dropped) writer_->give_back(slot.ref);
  slot.state = state;
  --borrowed_;
  if (!slot.lent) --acquired_;
}

// What was begun counts as published: readers that had no room miss it.
void WriterEnd::give_up(possum_slot& slot) {
  if (slot.state == SlotState::borrowed) end_borrowing(slot, SlotState::dropped);
  if (slot.state != SlotState::unfinished) return;
  writer_->abandon_publish();
  unfinished_ = nullptr;
  end_borrowing(slot, SlotState::given_up);
}

void WriterEnd::give_up_unfinished() {
  const MutexLock lock(state_lock_);
  if (unfinished_ != nullptr) give_up(*unfinished_);
}

possum_status WriterEnd::borrow(std::size_t bytes, std::int64_t deadline_ns,
                                possum_slot** slot) {
  const std::shared_ptr<const WriterFormat> format = this->format();
  if (bytes == 0) bytes = format->frame_bytes;
  if (bytes == 0) {
    return answer(POSSUM_ERROR_SETTINGS,
                  "How large a frame is follows from nothing: say it when borrowing, or "
                  "set caps of raw video",
                  "possum_writer_borrow");
  }
  Turn turn;
  if (!take_turn(turn, deadline_ns)) return POSSUM_TIMEOUT;
  give_up_unfinished();
  std::unique_ptr<possum_slot> made;
  const possum_status status = obtain(*format, bytes, deadline_ns, made);
  if (status != POSSUM_OK) return status;
  made->end = shared_from_this();
  *slot = made.release();
  return POSSUM_OK;
}

void WriterEnd::release(possum_slot* slot) {
  const std::unique_ptr<possum_slot> owned(slot);
  if (forked()) return;
  const std::shared_ptr<WriterEnd> self = slot->end;  // until the lock is released
  const MutexLock lock(state_lock_);
  give_up(*slot);
}

// --- publishing ------------------------------------------------------------------------

possum_status WriterEnd::offer(possum_slot& slot, bool zero_copy,
                               std::int64_t deadline_ns) {
  Error error;
  const transport::WriteStatus status = writer_->publish(
      slot.ref, slot.frame, slot.format->caps, {}, zero_copy, error, deadline_ns);
  const MutexLock lock(state_lock_);
  if (status == transport::WriteStatus::interrupted ||
      status == transport::WriteStatus::timeout) {
    slot.state = SlotState::unfinished;
    unfinished_ = &slot;
    return outcome(status, error, "blocking readers");
  }
  if (status == transport::WriteStatus::failed && error.code == ErrorCode::settings) {
    return bad_frame("its caps have become longer: borrow the slot after setting them");
  }
  if (unfinished_ == &slot) unfinished_ = nullptr;
  end_borrowing(slot, status == transport::WriteStatus::ok ? SlotState::published
                                                           : SlotState::dropped);
  return outcome(status, error, "");
}

possum_status WriterEnd::publish(possum_slot* slot, const possum_frame_params& params,
                                 std::int64_t deadline_ns) {
  Turn turn;
  if (!take_turn(turn, deadline_ns)) return POSSUM_TIMEOUT;
  SlotState state;
  {
    const MutexLock lock(state_lock_);
    state = slot->state;
  }
  switch (state) {
    case SlotState::published:
    case SlotState::dropped:
      return answer(
          POSSUM_ERROR_STATE,
          "The slot has carried its frame already: release it and borrow another one",
          "possum_writer_publish");
    case SlotState::given_up:
      return answer(POSSUM_ERROR_STATE,
                    "The frame was given up when something else was published or "
                    "borrowed: finish one frame before the next",
                    "possum_writer_publish");
    case SlotState::borrowed:
    case SlotState::unfinished:
      break;
  }
  if (state == SlotState::borrowed) {
    const std::shared_ptr<const WriterFormat> format = this->format();
    transport::layout::FrameDescriptor frame{};
    std::string why;
    if (format->caps.empty()) return bad_frame("set its caps first");
    if (!describe_times(params, opened_ns_, frame, why) ||
        !describe_planes(*format, params, slot->bytes, slot->ref.capacity, frame, why)) {
      return bad_frame(why);
    }
    give_up_unfinished();
    frame.flush_id = flush_id_;
    slot->format = format;
    slot->frame = frame;
  }
  return offer(*slot, true, deadline_ns);
}

possum_status WriterEnd::write(const void* data, std::size_t bytes,
                               const possum_frame_params& params,
                               std::int64_t deadline_ns) {
  Turn turn;
  if (!take_turn(turn, deadline_ns)) return POSSUM_TIMEOUT;
  const std::shared_ptr<const WriterFormat> format = this->format();
  if (format->caps.empty()) return bad_frame("set its caps first");
  transport::layout::FrameDescriptor frame{};
  transport::layout::FrameDescriptor source{};
  std::string why;
  if (!describe_times(params, opened_ns_, frame, why) ||
      !describe_planes(*format, params, bytes, bytes, source, why)) {
    return bad_frame(why);
  }
  const bool by_planes = params.plane_count != 0;
  if (by_planes && !format->video) {
    return bad_frame("planes can be copied of raw video of a known format only");
  }
  possum_frame_params packed = params;
  packed.plane_count = 0;
  if (by_planes) packed.bytes = 0;
  const std::size_t needed = by_planes ? static_cast<std::size_t>(format->video->bytes)
                                       : static_cast<std::size_t>(source.data_bytes);
  if (needed == 0) return bad_frame("it has no bytes");
  if (!describe_planes(*format, packed, needed, needed, frame, why)) {
    return bad_frame(why);
  }
  give_up_unfinished();
  std::unique_ptr<possum_slot> slot;
  const possum_status obtained = obtain(*format, needed, deadline_ns, slot);
  if (obtained != POSSUM_OK) return obtained;
  if (slot->ref.capacity < needed) {  // never: that is what was asked for
    const MutexLock lock(state_lock_);
    give_up(*slot);
    return bad_frame("its slot is smaller than it");
  }
  const auto* const from = static_cast<const std::byte*>(data);
  if (by_planes) {
    copy_planes(*format, from, source, slot->ref.data, frame);
  } else {
    copy_pixels(slot->ref.data, from, needed, needed);
  }
  frame.flush_id = flush_id_;
  slot->format = format;
  slot->frame = frame;
  const possum_status status = offer(*slot, false, deadline_ns);
  const MutexLock lock(state_lock_);
  give_up(*slot);
  return status;
}

void WriterEnd::flush() {
  ++flush_id_;
  writer_->flush();
}

}  // namespace possum
