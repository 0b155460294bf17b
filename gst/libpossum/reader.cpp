// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The reading half of possum.h: options, the loop that follows writers, and frames made
// of leases.
#include <atomic>
#include <cstring>

#include "base/clock.h"
#include "base/fork_guard.h"
#include "base/users.h"
#include "channel/names.h"
#include "frame.h"
#include "status.h"

using possum::answer;
using possum::at_border;
using possum::Error;
using possum::ErrorCode;
using possum::forked_away;
using possum::transport::AttachStatus;
using possum::transport::TakeStatus;

struct possum_reader {
  std::unique_ptr<possum::transport::Reader> reader;
  std::string channel;  // as messages call it
  bool copy = false;
  const std::uint32_t generation = possum::process_generation();
  // Of the newest frame; the taking thread's.
  std::shared_ptr<const possum::FrameFormat> format;
  std::atomic<std::uint64_t> copied{0};  // because of `copy`

  bool forked() const { return generation != possum::process_generation(); }
};

namespace {

constexpr char kForked[] = "the reader was opened by another process";

possum_reader_options default_options() {
  const possum::transport::ReaderOptions defaults;
  possum_reader_options options{};
  options.depth = defaults.depth;
  return options;
}

possum_status missing(const char* what) {
  return answer(POSSUM_ERROR_SETTINGS, std::string(what) + " is NULL: pass one", what);
}

possum_status read_owner(const char* owner, possum::transport::ReaderOptions& options) {
  if (owner == nullptr) return POSSUM_OK;
  options.any_owner = std::strcmp(owner, "any") == 0;
  if (!options.any_owner) options.allowed_owner = possum::find_user(owner);
  if (options.any_owner || options.allowed_owner) return POSSUM_OK;
  return answer(POSSUM_ERROR_SETTINGS,
                std::string("allowed_owner \"") + owner +
                    "\" is no user of this machine: use a user name, a number or \"any\"",
                "getpwnam_r");
}

possum_status read_options(const possum_reader_options& wanted,
                           possum::transport::ReaderOptions& options) {
  if (wanted.channel != nullptr) options.channel = wanted.channel;
  if (wanted.policy < POSSUM_DROP_OLDEST || wanted.policy > POSSUM_BLOCKING) {
    return answer(POSSUM_ERROR_SETTINGS, "policy must be one of possum_policy",
                  std::to_string(wanted.policy));
  }
  if (wanted.depth < 1 || wanted.depth > possum::transport::layout::kMaxDepth) {
    return answer(POSSUM_ERROR_SETTINGS, "depth must be 1 to 16",
                  std::to_string(wanted.depth));
  }
  options.policy = static_cast<possum::transport::layout::Policy>(wanted.policy);
  options.depth = wanted.depth;
  options.ignore_eos = wanted.ignore_eos != 0;
  options.bus_guard = wanted.sigbus_guard != 0;
  options.copy_on_write = wanted.copy_on_write != 0;
  return read_owner(wanted.allowed_owner, options);
}

// Of a reader that is of this process.
template <class Body>
possum_status with(const possum_reader* reader, Body body) noexcept {
  return at_border([&] {
    if (reader == nullptr) return missing("reader");
    if (reader->forked()) return forked_away(kForked);
    return body();
  });
}

template <class Body>
void quietly(const possum_reader* reader, Body body) noexcept {
  try {
    if (reader != nullptr && !reader->forked()) body();
  } catch (const std::exception&) {
    // Statistics that there is no memory for stay as they were prepared.
  }
}

possum_status interrupted() {
  return answer(POSSUM_INTERRUPTED,
                "The wait was interrupted; after possum_reader_interrupt(reader, 0) call "
                "again to go on",
                "possum_reader_interrupt");
}

possum_status attach(const possum_reader& reader, std::int64_t deadline_ns) {
  Error error;
  switch (reader.reader->attach(deadline_ns, error)) {
    case AttachStatus::attached:
      return POSSUM_OK;
    case AttachStatus::interrupted:
      return interrupted();
    case AttachStatus::timeout:
    case AttachStatus::failed:
      break;
  }
  if (error.code == ErrorCode::blocking) {
    error.message = reader.channel +
                    " does not let readers hold up its writer: open it with "
                    "allow_blocking (possumsink: allow-blocking=true), or read with "
                    "another policy";
  }
  // What the transport's sentence calls as possumsrc does.
  if (const auto at = error.message.find("allowed-owner="); at != std::string::npos) {
    error.message.replace(at, std::strlen("allowed-owner"), "allowed_owner");
  }
  return answer(error);
}

// --- frames ----------------------------------------------------------------------------

possum_status damaged(const possum_reader& reader, const std::string& why) {
  reader.reader->detach();
  return answer(POSSUM_ERROR_CORRUPT,
                reader.channel + " carries " + why + ": restart its writer", why);
}

// Gives the slot back.
void make_private(possum_reader& reader, possum_frame& frame) {
  if (frame.lease.is_copy()) return;
  const std::size_t bytes = frame.lease.size();
  frame.copy.reset(new std::byte[bytes + 1]);
  std::memcpy(frame.copy.get(), frame.lease.data(), bytes);
  frame.lease = possum::transport::Frame();
  ++reader.copied;
}

void locate(possum_frame& frame) {
  const std::byte* const data = frame.copy ? frame.copy.get() : frame.lease.data();
  frame.info.data = data;
  frame.info.is_copy = frame.copy || frame.lease.is_copy() ? 1 : 0;
  for (unsigned p = 0; p < frame.info.plane_count; ++p) {
    frame.info.planes[p].data = data + frame.info.planes[p].offset;
  }
}

possum_status make_frame(possum_reader& reader, possum::transport::Frame lease,
                         possum_frame** frame) {
  auto made = std::make_unique<possum_frame>();
  made->lease = std::move(lease);
  if (!reader.format || reader.format->caps != made->lease.caps()) {
    reader.format = possum::read_format(made->lease.caps());
    if (!reader.format) return damaged(reader, "caps that are no text of caps");
  }
  made->format = reader.format;
  std::string why;
  if (!possum::describe_frame(made->lease, *made->format, possum::monotonic_ns(),
                              made->info, why)) {
    return damaged(reader, why);
  }
  made->info.writer_id = reader.reader->incarnation();
  if (reader.copy) make_private(reader, *made);
  locate(*made);
  *frame = made.release();
  return POSSUM_OK;
}

possum_status take(possum_reader& reader, std::int64_t deadline_ns,
                   possum_frame** frame) {
  if (!reader.reader->attached()) {
    return answer(POSSUM_DISCONNECTED, "The reader is not attached: attach it",
                  "possum_reader_attach");
  }
  const std::string& channel = reader.channel;
  possum::transport::Frame lease;
  Error error;
  switch (reader.reader->take(deadline_ns, lease, error)) {
    case TakeStatus::frame:
      return make_frame(reader, std::move(lease), frame);
    case TakeStatus::eos:
      return answer(POSSUM_EOS, "The writer of " + channel + " said that this was all",
                    "eos");
    case TakeStatus::disconnected:
      return answer(
          POSSUM_DISCONNECTED,
          "The writer of " + channel + " has gone: attach again to wait for the next one",
          "disconnected");
    case TakeStatus::interrupted:
      return interrupted();
    case TakeStatus::timeout:
      return answer(POSSUM_TIMEOUT, "No frame came on " + channel + " in time",
                    "call again to go on");
    case TakeStatus::failed:
      break;
  }
  reader.reader->detach();
  return answer(error);
}

possum_status next(possum_reader& reader, std::int64_t deadline_ns,
                   possum_frame** frame) {
  for (;;) {
    if (!reader.reader->attached()) {
      const possum_status status = attach(reader, deadline_ns);
      if (status != POSSUM_OK) return status;
    }
    const possum_status status = take(reader, deadline_ns, frame);
    if (status != POSSUM_DISCONNECTED) return status;
    reader.reader->detach();
  }
}

}  // namespace

void possum_reader_options_init(possum_reader_options* options, size_t size) {
  possum::hand_out_defaults(default_options(), options, size);
}

possum_status possum_reader_open(const possum_reader_options* options,
                                 possum_reader** reader) {
  return at_border([&] {
    if (reader == nullptr) return missing("reader");
    *reader = nullptr;
    possum_reader_options known = default_options();
    possum_status status = possum::take_in(options, possum::kFirstReaderOptions, known,
                                           "possum_reader_options_init");
    if (status != POSSUM_OK) return status;
    possum::transport::ReaderOptions wanted;
    status = read_options(known, wanted);
    if (status != POSSUM_OK) return status;
    auto made = std::make_unique<possum_reader>();
    made->channel = "channel \"" + wanted.channel + "\"";
    made->copy = known.copy != 0;
    Error error;
    made->reader = possum::transport::Reader::create(std::move(wanted), error);
    if (!made->reader) return answer(error);
    *reader = made.release();
    return POSSUM_OK;
  });
}

void possum_reader_close(possum_reader* reader) {
  if (reader == nullptr) return;
  // Another thread of the parent may have held its lock, for ever now.
  if (reader->forked()) static_cast<void>(reader->reader.release());
  delete reader;
}

possum_status possum_reader_attach(possum_reader* reader, int64_t deadline_ns) {
  return with(reader, [&] { return attach(*reader, deadline_ns); });
}

void possum_reader_detach(possum_reader* reader) {
  quietly(reader, [&] { reader->reader->detach(); });
}

int possum_reader_is_attached(const possum_reader* reader) {
  bool attached = false;
  quietly(reader, [&] { attached = reader->reader->attached(); });
  return attached ? 1 : 0;
}

possum_status possum_reader_take(possum_reader* reader, int64_t deadline_ns,
                                 possum_frame** frame) {
  if (frame != nullptr) *frame = nullptr;
  return with(reader, [&] {
    return frame ? take(*reader, deadline_ns, frame) : missing("frame");
  });
}

possum_status possum_reader_next(possum_reader* reader, int64_t deadline_ns,
                                 possum_frame** frame) {
  if (frame != nullptr) *frame = nullptr;
  return with(reader, [&] {
    return frame ? next(*reader, deadline_ns, frame) : missing("frame");
  });
}

void possum_reader_skip_to_newest(possum_reader* reader) {
  quietly(reader, [&] { reader->reader->skip_to_newest(); });
}

void possum_reader_interrupt(possum_reader* reader, int on) {
  quietly(reader, [&] { reader->reader->interrupt(on != 0); });
}

void possum_reader_get_statistics(const possum_reader* reader,
                                  possum_reader_statistics* statistics, size_t size) {
  if (statistics == nullptr) return;
  possum_reader_statistics filled{};
  quietly(reader, [&] {
    const possum::transport::ReaderStatistics known = reader->reader->statistics();
    filled.frames = known.frames;
    filled.bytes = known.bytes;
    filled.missed = known.missed;
    filled.copied = known.copied + reader->copied;
    filled.attachments = known.attachments;
    filled.writer_pid = known.writer_pid;
    const std::string name = possum::printable(known.writer_name);
    std::memcpy(filled.writer_name, name.data(),
                std::min(name.size(), sizeof filled.writer_name - 1));
  });
  possum::hand_out(filled, statistics, size);
}

int64_t possum_now_ns(void) { return possum::monotonic_ns(); }

int64_t possum_deadline(int64_t timeout_ns) {
  int64_t deadline = 0;
  if (timeout_ns <= 0) return POSSUM_AT_ONCE;
  const bool beyond =
      __builtin_add_overflow(possum::monotonic_ns(), timeout_ns, &deadline);
  return beyond ? POSSUM_FOREVER : deadline;
}
