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

void publish_all(Writer& writer, std::uint64_t from, std::uint64_t to) {
  for (std::uint64_t key = from; key <= to; ++key) publish(writer, key);
}

bool comes_back(const Writer& writer) {
  return eventually(
      [&] {
        const auto s = writer.statistics();
        return s.held == 0 && s.readers.empty();
      },
      2000);
}

// Publishes for so long and returns the longest that one frame took.
std::int64_t longest_publish(Writer& writer, std::uint64_t& key, int ms) {
  std::int64_t longest = 0;
  for (const std::int64_t end = in_ms(ms); possum::monotonic_ns() < end;) {
    const std::int64_t before = own_time_ns();
    publish(writer, ++key);
    longest = std::max(longest, own_time_ns() - before);
  }
  return longest;
}

}  // namespace

// --- readers that die ----------------------------------------------------------------

TEST(killed_reader_gives_everything_back) {
  const std::string channel = unique_channel();
  const auto writer = open_writer(plain_writer(channel));
  Error error;
  CHECK(writer->prepare(16, kSmall, error));
  for (int round = 0; round < 5; ++round) {
    FarReader reader(channel, Policy::drop_oldest, 4);
    reader.attach();
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

TEST(stopped_reader_never_makes_the_writer_wait) {
  const std::string channel = unique_channel();
  const auto writer = open_writer(plain_writer(channel, 6));
  FarReader stopped(channel, Policy::drop_oldest, 3);
  FarReader lively(channel, Policy::drop_oldest, 3);
  stopped.attach();
  lively.attach();
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

TEST(reader_killed_while_the_writer_waits_for_it_lets_it_go_on) {
  const std::string channel = unique_channel();
  const auto writer = open_writer(blocking_writer(channel));
  FarReader other(channel, Policy::blocking, 16);
  other.attach();
  FarReader reader(channel, Policy::blocking, 2);
  reader.attach();
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

TEST(blocking_reader_that_leaves_lets_the_writer_go_on) {
  const std::string channel = unique_channel();
  const auto writer = open_writer(blocking_writer(channel, 3));
  FarReader reader(channel, Policy::blocking, 16);
  reader.attach();
  std::thread publishing([&] { publish_all(*writer, 1, 20); });
  CHECK(reader.frame().seq == 1);
  reader.order("detach", "detached");
  publishing.join();
  CHECK(reader.all_intact());
}

TEST(frames_outlive_the_reader_that_left_and_count_until_released) {
  const std::string channel = unique_channel();
  const auto writer = open_writer(plain_writer(channel, 6));
  Error error;
  CHECK(writer->prepare(6, kSmall, error));
  FarReader reader(channel, Policy::drop_oldest, 4);
  reader.attach();
  publish_all(*writer, 1, 3);
  for (int i = 0; i < 3; ++i) CHECK(!reader.frame().copy);
  reader.order("destroy", "destroyed");
  publish_all(*writer, 4, 60);
  CHECK(reader.all_intact());
  CHECK(writer->statistics().held == 3);
  reader.release(3);
  CHECK(comes_back(*writer));
}

TEST(random_kills_of_readers_leak_nothing) {
  const std::string channel = unique_channel();
  const auto writer = open_writer(blocking_writer(channel, 8));
  std::mt19937 random(17);
  const auto policy = [&] { return static_cast<Policy>(random() % 3); };
  std::vector<FarReader> readers;
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> published{0};
  std::thread publishing([&] {
    while (!stop) publish(*writer, ++published);
  });
  const std::int64_t end = in_ms(std::max(3, soak_seconds()) * 1000);
  int kills = 0;
  while (possum::monotonic_ns() < end || kills <= 20) {  // an emulator is slow
    while (readers.size() < 5) {
      readers.emplace_back(channel, policy(), 1 + random() % 4);
      readers.back().attach();
      if (random() % 2) readers.back().tell("drain");
    }
    const std::size_t victim = random() % readers.size();
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 10'000));
    readers[victim].kill();
    if (victim + 1 != readers.size()) readers[victim] = std::move(readers.back());
    readers.pop_back();
    ++kills;
  }
  for (FarReader& reader : readers) reader.kill();
  stop = true;
  publishing.join();
  std::printf("   %d kills, %llu frames\n", kills,
              static_cast<unsigned long long>(published.load()));
  CHECK(comes_back(*writer));
  const auto fresh = attach_reader(reader_of(channel));
  CHECK(key_of(take(*fresh)) == published);
}

// --- a reader taken for dead ---------------------------------------------------------

TEST(reader_whose_descriptors_were_closed_gets_an_error_and_hurts_nobody) {
  const std::string channel = unique_channel();
  const auto writer = open_prepared(plain_writer(channel));
  publish(*writer, 1);
  FarReader careless(channel);
  careless.attach();
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
  CHECK(careless.ask("error").find("closefrom") != std::string::npos);
  CHECK(next.frame().key > 1);
}

// --- writers that die ----------------------------------------------------------------

TEST(reader_takes_what_it_was_offered_then_finds_the_successor) {
  const std::string channel = unique_channel();
  auto writer = std::make_unique<FarWriter>(channel);
  const auto reader = attach_reader(reader_of(channel, Policy::drop_oldest, 8));
  writer->publish(1, 5);
  CHECK(key_of(take(*reader)) == 1);
  const std::uint64_t first = reader->incarnation();
  writer->kill();
  for (std::uint64_t key = 2; key <= 5; ++key) CHECK(key_of(take(*reader)) == key);
  Frame frame;
  const std::int64_t before = possum::monotonic_ns();
  CHECK(try_take(*reader, frame) == TakeStatus::disconnected);
  CHECK(possum::monotonic_ns() - before < 1000 * kMs);
  CHECK(try_take(*reader, frame) == TakeStatus::disconnected);
  writer = std::make_unique<FarWriter>(channel);
  writer->publish(100, 100);
  Error error;
  CHECK(reader->attach(in_ms(kLimitMs), error) == AttachStatus::attached);
  CHECK(reader->incarnation() != first && reader->incarnation() != 0);
  const Frame next = take(*reader);
  CHECK(key_of(next) == 100 && next.descriptor().seq == 1 && next.missed() == 0);
  CHECK(reader->statistics().writer_pid == static_cast<std::uint32_t>(writer->pid()));
  writer->order("close", "closed");
}

TEST(sleeping_reader_learns_of_the_writers_death) {
  const std::string channel = unique_channel();
  FarWriter writer(channel);
  FarReader reader(channel);
  reader.attach();
  writer.publish(1, 1);
  reader.frame();
  reader.tell("take 20000");
  const std::int64_t before = possum::monotonic_ns();
  writer.kill();
  reader.expect("disconnected");
  CHECK(possum::monotonic_ns() - before < 1000 * kMs);
  open_writer(plain_writer(channel))->close();
}

TEST(sleeping_reader_learns_at_once_that_the_writer_closed) {
  const std::string channel = unique_channel();
  FarWriter writer(channel);
  FarReader reader(channel);
  reader.attach();
  reader.tell("take 20000");
  writer.order("close", "closed");
  reader.expect("disconnected");
}

TEST(killed_and_restarted_writers_are_followed_frame_by_frame) {
  const std::string channel = unique_channel();
  Error error;
  const auto reader = Reader::create(reader_of(channel, Policy::drop_oldest, 4), error);
  std::mt19937 random(23);
  std::uint64_t incarnation = 0;
  for (int life = 0; life < 12; ++life) {
    FarWriter writer(channel);
    CHECK(reader->attach(in_ms(kLimitMs), error) == AttachStatus::attached);
    CHECK(reader->incarnation() != incarnation);
    incarnation = reader->incarnation();
    writer.tell("publish 1 100000 2000 caps-of-life-" + std::to_string(life));
    Frame frame;
    for (int i = 0; i < 20; ++i) CHECK(try_take(*reader, frame) == TakeStatus::frame);
    CHECK(*frame.caps() == "caps-of-life-" + std::to_string(life));
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    writer.kill();  // in the middle of something
    TakeStatus status;
    do {
      status = try_take(*reader, frame);
    } while (status == TakeStatus::frame);
    CHECK(status == TakeStatus::disconnected);
    frame = Frame();
  }
  open_writer(plain_writer(channel))->close();
}

// --- forks ---------------------------------------------------------------------------

TEST(child_of_a_writer_does_not_keep_the_channel) {
  for (const std::string how : {"fork", "exec", "vfork", "spawn"}) {
    const std::string channel = unique_channel();
    FarWriter writer(channel);
    writer.publish(1, 3);
    FarReader reader(channel);
    reader.attach();
    CHECK(reader.frame().key == 3);
    const pid_t child = std::stoi(writer.ask(how));
    reader.tell("take 20000");
    writer.kill();
    reader.expect("disconnected");
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
    FarReader reader(channel);
    reader.attach();
    publish(*writer, 1);
    reader.frame();
    const pid_t child = std::stoi(reader.ask(how));
    CHECK(writer->statistics().held == 1);
    reader.kill();
    CHECK(comes_back(*writer));
    CHECK(::kill(child, SIGKILL) == 0);
  }
}

TEST(handles_are_dead_in_a_forked_child) {
  const std::string channel = unique_channel();
  FarWriter writer(channel);
  writer.publish(1, 2);
  writer.order("use-in-child", "refused");
  writer.publish(3, 3);
  FarReader reader(channel);
  reader.attach();
  CHECK(reader.frame().key == 3);
  reader.order("use-in-child", "refused");
  // The parents' sides are whole.
  writer.publish(4, 4);
  CHECK(reader.frame().key == 4);
  CHECK(reader.all_intact());
  CHECK(names_of(channel).size() > 1);
  writer.order("close", "closed");
  CHECK(names_of(channel).empty());
}

// --- a reader that lies --------------------------------------------------------------

TEST(reader_that_scribbles_over_its_pages_hurts_only_itself) {
  const std::string channel = unique_channel();
  const auto writer = open_writer(plain_writer(channel, 32));
  Error error;
  CHECK(writer->prepare(32, kSmall, error));  // more than it can claim to hold
  FarReader honest(channel, Policy::drop_oldest, 3);
  honest.attach();
  FarReader liar(channel);
  liar.attach();
  liar.order("scribble", "scribbling");
  std::uint64_t key = 0;
  std::uint64_t seen = 0;
  const std::int64_t end = in_ms(std::max(2, soak_seconds()) * 1000);
  while (possum::monotonic_ns() < end || seen <= 100) {
    const std::int64_t before = possum::monotonic_ns();
    publish(*writer, ++key);
    CHECK(possum::monotonic_ns() - before < 1000 * kMs);
    const Taken t = honest.take();
    CHECK(t.status == "frame" && t.key > seen);
    seen = t.key;
    honest.release();
  }
  liar.kill();
  CHECK(eventually([&] { return writer->active_readers() == 1; }, 2000));
  CHECK(eventually([&] { return writer->statistics().held == 0; }, 2000));
  for (int i = 0; i < 20; ++i) {
    publish(*writer, ++key);
    CHECK(honest.frame().key == key);
  }
}

// A page that its reader says nobody has, and has wiped, may be taken before the writer
// recycles it. The next reader must not pay for that.
TEST(reader_that_leaves_its_page_by_a_lie_harms_no_successor) {
  using namespace possum::transport::layout;
  const std::string channel = unique_channel();
  const auto writer = open_prepared(plain_writer(channel));
  publish(*writer, 1);
  {
    Error error;
    possum::transport::OpenControl open;
    CHECK(open_control({channel, {}, false}, open, error) ==
          possum::transport::OpenStatus::ok);
    CHECK(open.lock.try_lock(kReaderByte) == possum::LockFd::Result::ok);
    CHECK(map_own_page(open, 0, error));
    ReaderUnit& page = open.control.page(0);
    const std::uint64_t free = page.cfg;
    Config cfg = unpack(free);
    cfg.state = PageState::active;
    page.cfg = pack(cfg);
    open.attention().ring();
    CHECK(eventually([&] { return (page.grant & kAdmitted) != 0; }));
    page.word = 0;
    page.grant = 0;
    page.cfg = free;
  }
  const auto next = attach_reader(reader_of(channel));
  CHECK(key_of(take(*next)) == 1);
  writer->set_eos();
  Frame none;
  Error error;
  CHECK(next->take(in_ms(kLimitMs), none, error) == possum::transport::TakeStatus::eos);
}

// Whoever writes in a page that nobody has is given nothing, and keeps nothing.
TEST(reader_that_takes_without_attaching_holds_nothing) {
  const std::string channel = unique_channel();
  const auto writer = open_prepared(plain_writer(channel));
  {
    Error error;
    possum::transport::OpenControl open;
    CHECK(open_control({.channel = channel}, open, error) ==
          possum::transport::OpenStatus::ok);
    CHECK(open.lock.try_lock(possum::transport::layout::kReaderByte) ==
          possum::LockFd::Result::ok);
    CHECK(map_own_page(open, 0, error));
    auto& word = open.control.page(0).word;
    for (std::uint64_t key = 1; key <= 5; ++key) {
      publish(*writer, key);
      CHECK(possum::transport::layout::offered_of(word) == 0);
      word = ~std::uint64_t{0};
      CHECK(writer->statistics().held == 0);
      word = 0;
    }
  }
  const auto next = attach_reader(reader_of(channel));
  CHECK(key_of(take(*next)) == 5);
}
