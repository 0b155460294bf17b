// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Deaths, stops and forks of either side: the other one goes on, learns of it in time,
// and gets everything back.
#include <algorithm>
#include <atomic>

#include "support/peers.h"
#include "support/processor.h"

using namespace support;

namespace {

bool comes_back(const Writer& writer) {
  return eventually([&] { return nothing_is_held(writer); }, 2000);
}

// Publishes for so long and returns the longest that one frame took.
std::int64_t longest_publish(Writer& writer, std::uint64_t& key, int ms) {
  std::int64_t longest = 0;
  for (const std::int64_t end = in_ms(ms); monotonic_ns() < end;) {
    const std::int64_t before = own_time_ns();
    publish(writer, ++key);
    longest = std::max(longest, own_time_ns() - before);
  }
  return longest;
}

}  // namespace

// --- readers that die ----------------------------------------------------------------

TEST_F(WithWriter, killed_reader_gives_everything_back) {
  CHECK(writer->prepare(16, kSmall, error));
  for (int round = 0; round < 5; ++round) {
    FarReader reader = attached(channel, Policy::drop_oldest, 4);
    for (std::uint64_t key = 1; key <= 5; ++key) {
      publish(*writer, key);
      reader.frame();
    }
    publish_all(*writer, 6, 9);
    CHECK(writer->statistics().held == 5);
    reader.kill();
    CHECK(comes_back(*writer));  // an idle writer notices, too
  }
}

TEST_F(OnChannel, stopped_reader_never_makes_the_writer_wait) {
  const auto writer = open_writer(plain_writer(channel, 6));
  FarReader stopped = attached(channel, Policy::drop_oldest, 3);
  FarReader lively = attached(channel, Policy::drop_oldest, 3);
  std::uint64_t key = 0;
  for (int i = 0; i < 4; ++i) {
    publish(*writer, ++key);
    stopped.frame();
    lively.frame();
    lively.release();
  }
  stopped.stop();
  CHECK(longest_publish(*writer, key, 400) < 200 * kMs);
  CHECK(writer->statistics().no_slot == 0);
  // Whatever waits for it ends with the newest frame.
  std::uint64_t newest = 0;
  for (Taken t = lively.take(0); t.status == "frame"; t = lively.take(0)) newest = t.key;
  CHECK(newest == key);
  CHECK(writer->statistics().held > 0);
  lively.release(10);
  stopped.kill();
  CHECK(eventually([&] { return writer->statistics().held == 0; }, 2000));
  CHECK(writer->active_readers() == 1);
  publish(*writer, ++key);
  CHECK(lively.frame().key == key);
}

TEST_F(WithBlockingWriter, reader_killed_while_the_writer_waits_for_it_lets_it_go_on) {
  FarReader other = attached(channel, Policy::blocking, 16);
  FarReader reader = attached(channel, Policy::blocking, 2);
  std::atomic<std::uint64_t> published{0};
  std::thread publishing([&] {
    for (std::uint64_t key = 1; key <= 8; ++key) {
      publish(*writer, key);
      published = key;
    }
  });
  CHECK(eventually([&] { return published == 2; }));
  await_asleep([&] { return writer_sleeps(channel); });
  CHECK(published == 2);
  reader.kill();
  publishing.join();
  for (std::uint64_t seq = 1; seq <= 8; ++seq) CHECK(other.frame().seq == seq);
}

TEST_F(OnChannel, blocking_reader_that_leaves_lets_the_writer_go_on) {
  const auto writer = open_writer(blocking_writer(channel, 3));
  FarReader reader = attached(channel, Policy::blocking, 16);
  std::thread publishing([&] { publish_all(*writer, 1, 20); });
  CHECK(reader.frame().seq == 1);
  reader.order("detach", "detached");
  publishing.join();
  CHECK(reader.all_intact());
}

// --- a reader taken for dead ---------------------------------------------------------

TEST_F(WithPreparedWriter,
       reader_whose_descriptors_were_closed_gets_an_error_and_hurts_nobody) {
  publish(*writer, 1);
  FarReader careless = attached(channel);
  CHECK(careless.frame().key == 1);
  careless.order("closefrom", "closed");
  CHECK(eventually([&] { return writer->active_readers() == 0; }, 2000));
  FarReader next(channel);  // gets the same page and the same slot
  next.attach();
  CHECK(next.frame().key == 1);
  CHECK(writer->statistics().readers.at(0).index == 0);
  CHECK(writer->statistics().held == 1);
  careless.release();
  CHECK(writer->statistics().held == 1);  // not the other one's lease
  publish_all(*writer, 2, 60);
  CHECK(next.all_intact());
  careless.order("take 1000", "failed");
  CHECK(says(careless.ask("error"), "closefrom"));
  CHECK(next.frame().key > 1);
}

// --- writers that die ----------------------------------------------------------------

TEST_F(OnChannel, reader_takes_what_it_was_offered_then_finds_the_successor) {
  auto writer = std::make_unique<FarWriter>(channel);
  const auto reader = attach_reader(reader_of(channel, Policy::drop_oldest, 8));
  writer->publish(1, 5);
  CHECK(key_of(take(*reader)) == 1);
  const std::uint64_t first = reader->incarnation();
  writer->kill();
  for (std::uint64_t key = 2; key <= 5; ++key) CHECK(key_of(take(*reader)) == key);
  Frame frame;
  const std::int64_t before = monotonic_ns();
  CHECK(try_take(*reader, frame) == TakeStatus::disconnected);
  CHECK(monotonic_ns() - before < 1000 * kMs);
  CHECK(try_take(*reader, frame) == TakeStatus::disconnected);
  writer = std::make_unique<FarWriter>(channel);
  writer->publish(100, 100);
  CHECK(reader->attach(in_ms(kLimitMs), error) == AttachStatus::attached);
  CHECK(reader->incarnation() != first && reader->incarnation() != 0);
  const Frame next = take(*reader);
  CHECK(key_of(next) == 100 && next.descriptor().seq == 1 && next.missed() == 0);
  CHECK(reader->statistics().writer_pid == static_cast<std::uint32_t>(writer->pid()));
  writer->order("close", "closed");
}

TEST_F(WithFarWriter, sleeping_reader_learns_at_once_that_the_writer_closed) {
  FarReader reader = attached(channel);
  reader.tell("take 20000");
  writer.order("close", "closed");
  reader.expect("disconnected");
}

// --- forks ---------------------------------------------------------------------------

TEST(child_of_a_writer_does_not_keep_the_channel) {
  for (const std::string how : {"fork", "exec", "vfork", "spawn"}) {
    const std::string channel = unique_channel();
    FarWriter writer(channel);
    writer.publish(1, 3);
    FarReader reader = attached(channel);
    CHECK(reader.frame().key == 3);
    const pid_t child = std::stoi(writer.ask(how));
    reader.tell("take 20000");
    const std::int64_t before = monotonic_ns();
    writer.kill();
    reader.expect("disconnected");
    CHECK(monotonic_ns() - before < 1000 * kMs);
    const auto next = open_writer(plain_writer(channel));
    publish(*next, 9);
    reader.attach();
    CHECK(reader.frame().key == 9);
    CHECK(::kill(child, SIGKILL) == 0);  // it lived all the while
  }
}

TEST(child_of_a_reader_does_not_keep_its_slots) {
  for (const std::string how : {"fork", "exec", "vfork", "spawn"}) {
    const std::string channel = unique_channel();
    const auto writer = open_prepared(plain_writer(channel));
    FarReader reader = attached(channel);
    publish(*writer, 1);
    reader.frame();
    const pid_t child = std::stoi(reader.ask(how));
    CHECK(writer->statistics().held == 1);
    reader.kill();
    CHECK(comes_back(*writer));
    CHECK(::kill(child, SIGKILL) == 0);
  }
}

// --- a reader that lies --------------------------------------------------------------

// A page that its reader says nobody has, and has wiped, may be taken before the writer
// recycles it. The next reader must not pay for that.
TEST_F(OnChannel, reader_that_leaves_its_page_by_a_lie_harms_no_successor) {
  using namespace layout;
  const auto writer = open_prepared(plain_writer(channel));
  publish(*writer, 1);
  {
    BareReader liar;
    CHECK(liar.settle(channel));
    ReaderPage& page = liar.page();
    const std::uint64_t free = page.cfg;
    liar.enter(Policy::drop_oldest, 3);
    CHECK(eventually([&] { return (page.grant & kAdmitted) != 0; }));
    page.word = 0;
    page.grant = 0;
    page.cfg = free;
  }
  const auto next = attach_reader(reader_of(channel));
  CHECK(key_of(take(*next)) == 1);
  writer->set_eos();
  Frame none;
  CHECK(next->take(in_ms(kLimitMs), none, error) == TakeStatus::eos);
}

// Whoever writes in a page that nobody has is given nothing, and keeps nothing.
TEST_F(WithPreparedWriter, reader_that_takes_without_attaching_holds_nothing) {
  {
    BareReader thief;
    CHECK(thief.settle(channel));
    auto& word = thief.page().word;
    for (std::uint64_t key = 1; key <= 5; ++key) {
      publish(*writer, key);
      CHECK(layout::offered_of(word) == 0);
      word = ~std::uint64_t{0};
      CHECK(writer->statistics().held == 0);
      word = 0;
    }
  }
  const auto next = attach_reader(reader_of(channel));
  CHECK(key_of(take(*next)) == 5);
}
