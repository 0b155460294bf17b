// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The writing half of possum.h: checks what comes in, hands over, catches.
#include <atomic>
#include <memory>

#include "base/clock.h"
#include "status.h"
#include "writer_end.h"

using possum::answer;
using possum::at_border;
using possum::Error;
using possum::forked_away;
using possum::WriterEnd;

struct possum_writer {
  std::shared_ptr<WriterEnd> end;
};

namespace {

constexpr char kForked[] = "the writer was opened by another process";

possum_writer_options default_options() {
  const possum::transport::WriterOptions defaults;
  possum_writer_options options{};
  options.slots = defaults.slots;
  options.perms = defaults.perms;
  options.max_blocking_ns = POSSUM_FOREVER;
  options.claim_timeout_ns = defaults.claim_timeout_ns;
  return options;
}

possum_status missing(const char* what) {
  return answer(POSSUM_ERROR_SETTINGS, std::string(what) + " is NULL: pass one", what);
}

possum_status read_params(const possum_frame_params* given, possum_frame_params& params) {
  params = possum::default_params();
  if (given == nullptr) return POSSUM_OK;
  return possum::take_in(given, possum::kFirstFrameParams, params,
                         "possum_frame_params_init");
}

// Of a writer that is of this process.
template <class Body>
possum_status with(const possum_writer* writer, Body body) noexcept {
  return at_border([&] {
    if (writer == nullptr) return missing("writer");
    if (writer->end->forked()) return forked_away(kForked);
    return body(*writer->end);
  });
}

// For functions without a status.
template <class Body>
void quietly(const possum_writer* writer, Body body) noexcept {
  try {
    if (writer != nullptr && !writer->end->forked()) body(*writer->end);
  } catch (const std::exception&) {
    // Statistics that there is no memory for stay as they were prepared.
  }
}

}  // namespace

void possum_writer_options_init(possum_writer_options* options, size_t size) {
  possum::hand_out_defaults(default_options(), options, size);
}

void possum_frame_params_init(possum_frame_params* params, size_t size) {
  possum::hand_out_defaults(possum::default_params(), params, size);
}

possum_status possum_writer_open(const possum_writer_options* options,
                                 possum_writer** writer) {
  return at_border([&] {
    if (writer == nullptr) return missing("writer");
    *writer = nullptr;
    possum_writer_options known = default_options();
    possum_status status = possum::take_in(options, possum::kFirstWriterOptions, known,
                                           "possum_writer_options_init");
    if (status != POSSUM_OK) return status;
    auto made = std::make_unique<possum_writer>();
    status = WriterEnd::open(known, made->end);
    if (status == POSSUM_OK) *writer = made.release();
    return status;
  });
}

void possum_writer_close(possum_writer* writer) {
  if (writer == nullptr) return;
  writer->end->close();
  delete writer;
}

possum_status possum_writer_set_caps(possum_writer* writer, const char* caps,
                                     size_t frame_bytes) {
  return with(writer, [&](WriterEnd& end) {
    return caps ? end.set_caps(caps, frame_bytes) : missing("caps");
  });
}

possum_status possum_writer_borrow(possum_writer* writer, size_t bytes,
                                   int64_t deadline_ns, possum_slot** slot) {
  if (slot != nullptr) *slot = nullptr;
  return with(writer, [&](WriterEnd& end) {
    return slot ? end.borrow(bytes, deadline_ns, slot) : missing("slot");
  });
}

void* possum_slot_data(const possum_slot* slot) {
  return slot && !slot->end->forked() ? slot->ref.data : nullptr;
}
size_t possum_slot_bytes(const possum_slot* slot) {
  return slot && !slot->end->forked() ? slot->ref.capacity : 0;
}
void possum_slot_release(possum_slot* slot) {
  if (slot != nullptr) slot->end->release(slot);
}

possum_status possum_writer_publish(possum_writer* writer, possum_slot* slot,
                                    const possum_frame_params* params,
                                    int64_t deadline_ns) {
  if (slot != nullptr && slot->end->forked()) return forked_away(kForked);
  return with(writer, [&](WriterEnd& end) {
    if (slot == nullptr) return missing("slot");
    if (slot->end.get() != &end) {
      return answer(POSSUM_ERROR_SETTINGS,
                    "The slot is another writer's: publish it there",
                    "possum_writer_publish");
    }
    possum_frame_params known;
    const possum_status status = read_params(params, known);
    return status == POSSUM_OK ? end.publish(slot, known, deadline_ns) : status;
  });
}

possum_status possum_writer_write(possum_writer* writer, const void* data, size_t bytes,
                                  const possum_frame_params* params,
                                  int64_t deadline_ns) {
  return with(writer, [&](WriterEnd& end) {
    if (data == nullptr) return missing("data");
    possum_frame_params known;
    const possum_status status = read_params(params, known);
    return status == POSSUM_OK ? end.write(data, bytes, known, deadline_ns) : status;
  });
}

possum_status possum_writer_wait_readers(possum_writer* writer, unsigned count,
                                         int64_t deadline_ns) {
  return with(writer, [&](WriterEnd& end) {
    const std::atomic<unsigned> wanted{count};
    Error error;
    const auto status = end.writer().wait_readers(wanted, error, deadline_ns);
    return end.outcome(status, error, "readers");
  });
}

unsigned possum_writer_reader_count(const possum_writer* writer) {
  unsigned count = 0;
  quietly(writer, [&](WriterEnd& end) { count = end.writer().active_readers(); });
  return count;
}

void possum_writer_eos(possum_writer* writer) {
  quietly(writer, [](WriterEnd& end) { end.writer().set_eos(); });
}

possum_status possum_writer_drain(possum_writer* writer, int64_t deadline_ns) {
  return with(writer, [&](WriterEnd& end) {
    Error error;
    const auto status = end.writer().drain(error, deadline_ns);
    return end.outcome(status, error, "blocking readers");
  });
}

void possum_writer_flush(possum_writer* writer) {
  quietly(writer, [](WriterEnd& end) { end.flush(); });
}

void possum_writer_interrupt(possum_writer* writer, int on) {
  quietly(writer, [&](WriterEnd& end) { end.writer().interrupt(on != 0); });
}

void possum_writer_get_statistics(const possum_writer* writer,
                                  possum_writer_statistics* statistics, size_t size) {
  if (statistics == nullptr) return;
  possum_writer_statistics filled{};
  quietly(writer, [&](WriterEnd& end) {
    const possum::transport::WriterStatistics known = end.writer().statistics();
    filled.frames = known.frames;
    filled.bytes = known.bytes;
    filled.zero_copy = known.zero_copy;
    filled.copied = known.copied;
    filled.no_slot = known.no_slot;
    filled.slots = known.slots;
    filled.held = known.held;
    filled.borrowed = end.borrowed();
    filled.readers = static_cast<uint32_t>(known.readers.size());
  });
  possum::hand_out(filled, statistics, size);
}

unsigned possum_writer_get_readers(const possum_writer* writer,
                                   possum_reader_info* readers, size_t size,
                                   unsigned max) {
  if (size > possum::kLargestStruct) readers = nullptr;
  unsigned count = 0;
  quietly(writer, [&](WriterEnd& end) {
    for (const possum::transport::ReaderInfo& known : end.writer().statistics().readers) {
      const unsigned place = count++;
      if (readers == nullptr || place >= max) continue;
      possum_reader_info filled{};
      filled.index = known.index;
      filled.pid = known.pid;
      filled.policy = static_cast<int32_t>(known.policy);
      filled.demoted = known.demoted ? 1 : 0;
      filled.waiting = known.waiting;
      filled.held = known.held;
      filled.delivered = known.delivered;
      filled.dropped = known.dropped;
      possum::hand_out(filled, reinterpret_cast<char*>(readers) + place * size, size);
    }
  });
  return count;
}
