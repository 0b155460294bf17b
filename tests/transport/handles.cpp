// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Readers and writers as handles: in a forked child, which they do not belong to, and
// with other threads that interrupt them or use them at the worst moment.

#include <functional>
#include <utility>

#include "support/check.h"
#include "support/meddling.h"
#include "support/transport.h"

using namespace support;  // every test speaks its words

namespace {

template <class Handle>
void interrupt_on_and_off_at_once(Handle& handle) {
  bool came = false;
  before_wake_up = [&] {
    handle.interrupt(false);
    came = true;
  };
  handle.interrupt(true);
  CHECK(came);
}

WriterOptions patient_writer(const std::string& channel) {
  WriterOptions options = blocking_writer(channel, 3);
  options.claim_timeout_ns = kSleepNs;
  return options;
}

}  // namespace

// --- interrupts ------------------------------------------------------------------------

TEST_F(OnChannel, no_wait_of_a_reader_spins_after_interrupts_on_and_off) {
  Frame frame;
  const auto reader = Reader::create(reader_of(channel), error);
  interrupt_on_and_off_at_once(*reader);
  check_sleeps([&](std::int64_t deadline_ns) {
    CHECK(reader->attach(deadline_ns, error) == AttachStatus::timeout);
  });
  const auto writer = open_writer(blocking_writer(channel));
  CHECK(reader->attach(in_ms(kLimitMs), error) == AttachStatus::attached);
  interrupt_on_and_off_at_once(*reader);
  check_sleeps([&](std::int64_t deadline_ns) {
    CHECK(reader->take(deadline_ns, frame, error) == TakeStatus::timeout);
  });
  interrupt_on_and_off_at_once(*reader);
  reader->interrupt(true);
  CHECK(reader->take(kForever, frame, error) == TakeStatus::interrupted);
  CHECK(reader->attach(kForever, error) == AttachStatus::interrupted);
}

TEST_F(OnChannel, no_wait_of_a_writer_spins_after_interrupts_on_and_off) {
  const auto writer = open_writer(patient_writer(channel));
  const auto second = Writer::create(patient_writer(channel), {}, error);
  interrupt_on_and_off_at_once(*second);
  check_sleeps([&](std::int64_t) { CHECK(second->open(error) == WriteStatus::failed); });

  const auto reader = attach_reader(reader_of(channel, layout::Policy::blocking, 2));
  const std::atomic<unsigned> two{2};
  SlotRef ref;
  for (std::uint64_t key = 0; key < 2; ++key) publish(*writer, key);
  CHECK(writer->acquire(kSmall, 64, 0, ref, error) == WriteStatus::ok);
  layout::FrameDescriptor frame = descriptor_for(2, kSmall);
  const auto publish_it = [&](std::int64_t deadline_ns) {
    return writer->publish(ref, frame, kCaps, {}, false, error, deadline_ns);
  };
  const std::function<WriteStatus(std::int64_t)> waits[] = {
      [&](std::int64_t ns) { return writer->wait_readers(two, error, ns); },
      [&](std::int64_t ns) { return writer->drain(error, ns); },
      [&](std::int64_t ns) {
        SlotRef none;
        return writer->acquire(kSmall, 64, 0, none, error, ns);
      },
      publish_it,
  };
  for (const auto& wait : waits) {
    interrupt_on_and_off_at_once(*writer);
    check_sleeps([&](std::int64_t ns) { CHECK(wait(ns) == WriteStatus::timeout); });
    expect_interrupted(channel, *writer, [&] { return wait(kForever); });
  }
  // They go on.
  take(*reader);
  CHECK(publish_it(0) == WriteStatus::ok);
  take(*reader);
  CHECK(writer->acquire(kSmall, 64, 0, ref, error, in_ms(kLimitMs)) == WriteStatus::ok);
}

// --- another thread that lends --------------------------------------------------------

// The pool of an upstream element borrows in its own thread, in sizes of its own.
TEST_F(OnChannel, slot_is_as_large_as_was_asked_for_whatever_others_borrow_meanwhile) {
  const auto writer = open_writer(blocking_writer(channel, 4));
  const auto reader = attach_reader(reader_of(channel, layout::Policy::blocking, 16));
  for (std::uint64_t key = 0; key < 4; ++key) publish(*writer, key);
  SlotRef ref;
  before_relock = [&] {  // after a look round in vain, before it looks once more
    CHECK(!writer->lend(kSmall));
    take(*reader);  // and gives it back
  };
  constexpr std::size_t kLarge = 1 << 20;
  CHECK(writer->acquire(kLarge, 64, 0, ref, error, in_ms(kLimitMs)) == WriteStatus::ok);
  CHECK(!before_relock && ref.capacity >= kLarge);
  draw(ref.data, kLarge, 5);
  writer->give_back(ref);
}

// --- fork() ----------------------------------------------------------------------------

namespace {

bool tells_of_fork(const Error& error) { return says(error, "fork()"); }

}  // namespace

// CHANNEL: the first thing of this process is a fork with handles that were never used.
ROLE(early_forker) {
  Error error;
  const auto reader = Reader::create(reader_of(args[0]), error);
  const auto writer = Writer::create(plain_writer(args[0]), {}, error);
  in_child([&] {
    Frame frame;
    for (const bool on : {true, false}) {
      reader->interrupt(on);
      writer->interrupt(on);
    }
    reader->interrupt(true);
    writer->interrupt(true);
    CHECK(reader->attach(0, error) == AttachStatus::failed && tells_of_fork(error));
    CHECK(reader->take(0, frame, error) == TakeStatus::failed && tells_of_fork(error));
    CHECK(writer->open(error) == WriteStatus::failed && tells_of_fork(error));
    CHECK(!reader->attached() && reader->incarnation() == 0 && !writer->is_open());
    CHECK(names_of(args[0]).empty());
    reader->detach();
    writer->close();
  });
  check_sleeps([&](std::int64_t deadline_ns) {
    CHECK(reader->attach(deadline_ns, error) == AttachStatus::timeout);
  });
  CHECK(writer->open(error) == WriteStatus::ok);
  CHECK(reader->attach(in_ms(kLimitMs), error) == AttachStatus::attached);
  publish(*writer, 7);
  CHECK(key_of(take(*reader)) == 7);
  return 0;
}

TEST(handles_of_before_a_fork_are_dead_in_the_child_though_nothing_was_opened) {
  CHECK(Peer("early_forker", {unique_channel()}).join() == 0);
}

TEST_F(OnChannel, handles_in_use_are_dead_in_a_child) {
  const auto writer = open_writer(plain_writer(channel));
  auto reader = attach_reader(reader_of(channel));
  publish(*writer, 1);
  Frame held = take(*reader);
  publish(*writer, 2);
  auto lent = writer->lend(kSmall);
  CHECK(lent);
  const std::uint64_t incarnation = writer->incarnation();
  in_child([&] {
    Frame frame;
    SlotRef ref;
    const std::atomic<unsigned> one{1};
    layout::FrameDescriptor descriptor = descriptor_for(3, kSmall);
    reader->interrupt(true);
    writer->interrupt(true);
    reader->skip_to_newest();
    reader->set_depth(1);
    CHECK(reader->take(0, frame, error) == TakeStatus::failed && tells_of_fork(error));
    CHECK(reader->attach(0, error) == AttachStatus::failed && tells_of_fork(error));
    CHECK(!reader->attached() && reader->incarnation() == 0);
    CHECK(reader->statistics().frames == 0);
    const auto refused = [&](WriteStatus status) {
      CHECK(status == WriteStatus::failed && tells_of_fork(std::exchange(error, {})));
    };
    refused(writer->open(error));
    refused(writer->acquire(kSmall, 64, 0, ref, error, 0));
    refused(writer->publish(*lent, descriptor, kCaps, {}, true, error, 0));
    refused(writer->wait_readers(one, error, 0));
    refused(writer->drain(error, 0));
    CHECK(!writer->prepare(3, kSmall, error) && tells_of_fork(error));
    CHECK(!writer->lend(kSmall) && !writer->publishable(*lent, 0, 0));
    CHECK(!writer->is_open() && writer->incarnation() == 0);
    CHECK(writer->active_readers() == 0 && writer->statistics().frames == 0);
    writer->give_back(*lent);
    writer->abandon_publish();
    writer->set_eos();
    writer->flush();
    CHECK(key_of(held) == 1 && intact(held));
    held = Frame();
    reader->detach();
    reader.reset();
    writer->close();
  });
  CHECK(writer->incarnation() == incarnation && writer->statistics().held == 1);
  CHECK(writer->statistics().lent == 1 && reader->attached());
  CHECK(key_of(take(*reader)) == 2 && nothing_waits(*reader));
  CHECK(key_of(held) == 1 && intact(held));
  writer->give_back(*lent);
}
