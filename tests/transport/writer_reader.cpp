// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What a reader gets of what a writer publishes: which frames, in which order, with
// which gaps, for how long its bytes stay, and where the slots come from. The reader is
// another process wherever its answers suffice.
#include "transport/writer.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <utility>

#include "support/peers.h"
#include "transport/open.h"
#include "transport/reader.h"
#include "transport/reader_core.h"

using namespace support;
using layout::PageState;

namespace {

std::vector<std::byte> some_metas(std::size_t bytes) {
  std::vector<std::byte> metas(bytes);
  draw(metas.data(), bytes, bytes);
  return metas;
}

SlotRef acquired(Writer& writer, std::size_t bytes = kSmall) {
  SlotRef ref;
  Error error;
  CHECK(writer.acquire(bytes, sizeof kCaps, 0, ref, error) == WriteStatus::ok);
  return ref;
}

WriteStatus publish_ref(Writer& writer, const SlotRef& ref, std::uint64_t key,
                        bool zero_copy = false) {
  auto frame = descriptor_for(key, kSmall);
  Error error;
  return writer.publish(ref, frame, kCaps, {}, zero_copy, error);
}

// Publishes one frame, tried again and again.
std::function<WriteStatus()> publication(Writer& writer, std::uint64_t key) {
  const SlotRef ref = acquired(writer);
  draw(ref.data, kSmall, key);
  return [&writer, ref, frame = descriptor_for(key, kSmall)]() mutable {
    Error error;
    return writer.publish(ref, frame, kCaps, {}, false, error);
  };
}

}  // namespace

// --- which frames --------------------------------------------------------------------

// Elements that work in blocks do. Frames that fill whole pages end where their object
// does.
TEST_F(OnChannel, bytes_just_past_a_frame_are_there_and_nobody_elses) {
  constexpr std::size_t kPast = 4096;
  const auto writer = open_writer(plain_writer(channel));
  const auto reader = attach_reader(reader_of(channel));
  for (const std::size_t bytes : {kSmall, 3 * kSmall, kSmall + 1}) {
    Error error;
    SlotRef ref;
    CHECK(writer->acquire(bytes, 0, 0, ref, error) == WriteStatus::ok);
    std::memset(ref.data, 1, ref.capacity + kPast);
    auto frame = descriptor_for(bytes, bytes);
    CHECK(writer->publish(ref, frame, kCaps, {}, false, error) == WriteStatus::ok);
    Frame got;
    CHECK(reader->take(in_ms(kLimitMs), got, error) == TakeStatus::frame);
    CHECK(got.size() == bytes && !got.is_copy());
    for (std::size_t i = 0; i < bytes + kPast; ++i) {
      const bool inside = i < ref.capacity;
      CHECK(static_cast<const volatile std::byte&>(got.data()[i]) ==
            std::byte{inside ? std::uint8_t{1} : std::uint8_t{0}});
    }
  }
}

TEST_F(WithWriter, late_joiner_gets_the_newest_frame_and_no_gap) {
  publish_all(*writer, 1, 5);
  for (const Policy policy : {Policy::drop_oldest, Policy::drop_newest}) {
    FarReader reader = attached(channel, policy);
    const Taken first = reader.frame();
    CHECK(first.key == 5 && first.seq == 5 && first.missed == 0);
    CHECK(reader.take(0).status == "timeout");
  }
}

TEST_F(WithWriter, page_of_a_reader_that_left_offers_the_newest_frame_again) {
  publish_all(*writer, 1, 3);
  OpenControl open = opened(channel);
  const auto recycled = [&] {  // of which the writer's housekeeping says nothing
    const auto cfg = layout::unpack(open.control.page(0).cfg.load());
    return cfg.state == PageState::free;
  };
  for (std::uint64_t key = 4; key < 10; ++key) {
    CHECK(eventually(recycled));
    FarReader reader = attached(channel);
    CHECK(reader.frame().key == key - 1);
    publish(*writer, key);
    CHECK(reader.frame().key == key);
    CHECK(writer->statistics().readers.at(0).index == 0);  // the same page each time
    reader.release(2);
    reader.order("detach", "detached");
    CHECK(writer->active_readers() == 0);
  }
}

TEST(dropping_readers_keep_as_many_frames_as_they_want) {
  constexpr std::uint64_t kFrames = 40;
  for (const unsigned depth : {1u, 2u, 3u, 7u, 16u}) {
    for (const Policy policy : {Policy::drop_oldest, Policy::drop_newest}) {
      const std::string channel = unique_channel();
      const auto writer = open_writer(plain_writer(channel, 32));
      const auto reader = attach_reader(reader_of(channel, policy, depth));
      publish(*writer, 1);
      CHECK(key_of(take(*reader)) == 1);
      publish_all(*writer, 2, kFrames);
      CHECK(writer->statistics().readers.at(0).waiting == depth);
      const std::uint64_t first = policy == Policy::drop_oldest ? kFrames + 1 - depth : 2;
      for (std::uint64_t seq = first; seq < first + depth; ++seq) {
        const Frame frame = take(*reader);
        CHECK(frame.descriptor().seq == seq);
        CHECK(frame.missed() == (seq == first ? first - 2 : 0));
      }
      CHECK(nothing_waits(*reader));
      publish(*writer, kFrames + 1);
      CHECK(take(*reader).missed() == kFrames + 1 - (first + depth));
      const auto info = writer->statistics().readers.at(0);
      CHECK(info.dropped == kFrames - 1 - depth && info.delivered == depth + 2);
    }
  }
}

TEST_F(WithWriter, skip_to_newest_counts_what_it_skips) {
  const auto reader = attach_reader(reader_of(channel, Policy::drop_oldest, 8));
  publish(*writer, 1);
  CHECK(take(*reader).missed() == 0);
  publish_all(*writer, 2, 6);
  reader->skip_to_newest();
  const Frame newest = take(*reader);
  CHECK(newest.descriptor().seq == 6 && newest.missed() == 4);
  CHECK(nothing_waits(*reader));
  CHECK(reader->statistics().missed == 4 && reader->statistics().frames == 2);
}

TEST_F(WithReader, caps_metas_and_descriptor_arrive_as_given) {
  const auto metas = some_metas(333);
  const SlotRef ref = acquired(*writer);
  draw(ref.data + 64, 1000, 9);
  auto sent = descriptor_for(9, 1000);
  sent.data_offset = 64;
  sent.pts_ns = -5;
  sent.dts_ns = layout::kNoTime;
  sent.duration_ns = 40;
  sent.buffer_flags = 0xf0f0;
  sent.plane_count = 2;
  sent.planes[0] = {0, 500, -64, 0};
  sent.planes[1] = {500, 500, 32, 0};
  CHECK(writer->publish(ref, sent, kCaps, metas, false, error) == WriteStatus::ok);
  const Frame got = take(*reader);
  CHECK(std::memcmp(&got.descriptor(), &sent, sizeof sent) == 0);
  CHECK(*got.caps() == kCaps && got.metas() == metas && got.size() == 1000);
  CHECK(got.descriptor().seq == 1 && got.descriptor().publish_ns > 0);
}

// --- blocking readers ----------------------------------------------------------------

TEST_F(WithBlockingWriter,
       writer_waits_for_room_and_an_interrupted_publish_loses_nothing) {
  FarReader reader = attached(channel, Policy::blocking, 2);
  FarReader other = attached(channel, Policy::drop_oldest, 8);
  publish_all(*writer, 1, 2);
  const auto call = publication(*writer, 3);
  expect_interrupted(channel, *writer, call);
  // The reader that had room has the frame already.
  for (std::uint64_t seq = 1; seq <= 3; ++seq) CHECK(other.frame().seq == seq);
  CHECK(reader.frame().seq == 1);
  CHECK(call() == WriteStatus::ok);
  CHECK(reader.frame().seq == 2);
  CHECK(reader.frame().seq == 3);
  publish(*writer, 4);
  const Taken t = reader.frame();
  CHECK(t.seq == 4 && t.missed == 0);
  CHECK(other.frame().seq == 4);
}

TEST_F(WithBlockingWriter, abandoned_publish_is_missed_by_those_who_had_no_room) {
  const auto reader = attach_reader(reader_of(channel, Policy::blocking, 1));
  publish(*writer, 1);
  const auto call = publication(*writer, 2);
  expect_interrupted(channel, *writer, call);
  writer->abandon_publish();
  CHECK(take(*reader).descriptor().seq == 1);
  publish(*writer, 3);
  const Frame third = take(*reader);
  CHECK(third.descriptor().seq == 3 && third.missed() == 1);
}

TEST_F(WithWriter, wait_readers_ends_when_enough_are_there) {
  std::atomic<bool> ended{false};
  std::thread waiting([&] {
    Error error;
    CHECK(writer->wait_readers(2, error) == WriteStatus::ok);
    ended = true;
  });
  const auto one = attach_reader(reader_of(channel));
  CHECK(eventually([&] { return writer->active_readers() == 1; }));
  CHECK(!ended);
  const auto two = attach_reader(reader_of(channel));
  waiting.join();
  CHECK(writer->active_readers() == 2);
}

// All of them sleep at one doorbell. The publishing thread must not have to wait until it
// looks by itself, every 20 ms, because the others took its ring.
TEST_F(WithBlockingWriter, threads_that_wait_at_once_leave_each_other_their_rings) {
  const auto reader = attach_reader(reader_of(channel, Policy::blocking, 1));
  publish(*writer, 0);
  std::thread waiting([&] {
    Error error;
    CHECK(writer->wait_readers(2, error) == WriteStatus::interrupted);
  });
  std::thread draining([&] {
    Error error;
    while (writer->drain(error) == WriteStatus::ok) {
    }
  });
  constexpr std::uint64_t kFrames = 15;
  std::vector<std::int64_t> delays_ns;
  for (std::uint64_t key = 1; key <= kFrames; ++key) {
    std::atomic<std::int64_t> published_ns{0};
    std::thread publishing([&] {
      publish(*writer, key);
      published_ns = monotonic_ns();
    });
    // It has found no room.
    CHECK(eventually([&] { return writer->statistics().frames == key + 1; }));
    const std::int64_t before_ns = monotonic_ns();
    const Frame frame = take(*reader);  // rings once, and not again before it is released
    publishing.join();
    delays_ns.push_back(published_ns - before_ns);
  }
  std::sort(delays_ns.begin(), delays_ns.end());
  CHECK(delays_ns[kFrames / 2] < 10 * kMs);
  writer->interrupt(true);
  waiting.join();
  draining.join();
}

TEST_F(WithWriter, blocking_reader_needs_the_writers_consent) {
  const auto reader = Reader::create(reader_of(channel, Policy::blocking), error);
  CHECK(reader->attach(in_ms(kLimitMs), error) == AttachStatus::failed);
  CHECK(error.code == ErrorCode::blocking);
  CHECK(says(error, "allow-blocking"));
}

TEST_F(OnChannel, reader_that_blocks_too_long_is_demoted) {
  std::atomic<std::uint32_t> demoted_pid{0};
  WriterEvents events;
  events.reader_demoted = [&](unsigned, std::uint32_t pid) { demoted_pid = pid; };
  const auto writer = open_writer(blocking_writer(channel, 16, 60), events);
  FarReader stuck = attached(channel, Policy::blocking, 2);
  FarReader lively = attached(channel, Policy::blocking, 2);
  lively.tell("drain");
  publish_all(*writer, 1, 2);
  const std::int64_t before = monotonic_ns();
  publish(*writer, 3);
  const std::int64_t waited = monotonic_ns() - before;
  CHECK(waited >= 60 * kMs && waited < 2000 * kMs);
  CHECK(
      eventually([&] { return demoted_pid == static_cast<std::uint32_t>(stuck.pid()); }));
  const std::int64_t then = monotonic_ns();
  publish_all(*writer, 4, 100);
  CHECK(monotonic_ns() - then < 3000 * kMs);  // far from 60 ms each
  writer->set_eos();
  lively.expect("eos 100 1");  // the other one lost nothing
  for (const auto& info : writer->statistics().readers) {
    CHECK(info.demoted == (info.pid == static_cast<std::uint32_t>(stuck.pid())));
  }
  CHECK(stuck.frame().seq == 99);
  CHECK(stuck.frame().seq == 100);
}

// A blocking reader beside one that attached by the rules, and then keeps all that it is
// offered, where others copy. In the end it has all slots.
struct Hoarded : OnChannel {
  static constexpr int kSlots = 5;

  Hoarded() {
    writer = open_writer(blocking_writer(channel, kSlots, 60));
    lossless = attach_reader(reader_of(channel, Policy::blocking));
    CHECK(hoarder.emplace().settle(channel));
    hoarder->enter(Policy::drop_oldest, 16);
    // The other reader takes each frame and lets go of it.
    while (take_all(hoarder->page().word) < kSlots) send();
  }
  void send() {
    publish(*writer, ++key);
    CHECK(key_of(take(*lossless)) == key);
  }
  WriteStatus acquire() {
    SlotRef ref;
    return writer->acquire(kSmall, sizeof kCaps, 0, ref, error, in_ms(kLimitMs));
  }

  std::unique_ptr<Writer> writer;
  std::unique_ptr<Reader> lossless;
  std::optional<BareReader> hoarder;
  std::uint64_t key = 0;

 private:
  // Returns how many it has.
  static int take_all(std::atomic<std::uint64_t>& word) {
    std::uint64_t now = word.load();
    std::uint64_t next = 0;
    do {
      next = layout::make_word(0, layout::offered_of(now) | layout::taken_of(now));
    } while (!word.compare_exchange_weak(now, next));
    return std::popcount(layout::taken_of(next));
  }
};

// Nobody who may hold up the writer has anything left to take.
TEST_F(Hoarded, reader_that_hoards_holds_up_nobody_beyond_the_bound_of_blocking_readers) {
  for (std::uint64_t frames = 1; frames <= 3; ++frames) {
    CHECK(acquire() == WriteStatus::no_slot);
    CHECK(writer->statistics().no_slot == frames);
  }
  CHECK(!writer->statistics().readers.at(0).demoted);  // it is not to blame
  // With the liar gone nothing is missing.
  hoarder.reset();
  for (int frames = 0; frames < 20; ++frames) send();
}

// Each new tenant of a page may hold up the writer, but not a wait that has begun
// already.
TEST_F(Hoarded, blocking_readers_that_come_and_go_do_not_stretch_the_bound) {
  std::atomic<bool> over{false};
  std::thread crowd([&] {
    Error why;
    const auto reader = Reader::create(reader_of(channel, Policy::blocking), why);
    while (!over) {
      CHECK(reader->attach(in_ms(kLimitMs), why) == AttachStatus::attached);
      // About half of what the writer lets it stand still for.
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
    }
  });
  for (int frames = 0; frames < 3; ++frames) CHECK(acquire() == WriteStatus::no_slot);
  over = true;
  crowd.join();
}

// Flips a bit of a page's word all the time, as a peer may that has it mapped, or offers
// that slot as the writer does. Nobody was ever given it.
class Restless {
 public:
  enum class Does { flip, offer };

  Restless(const std::string& channel, unsigned page, Does what) {
    UniqueFd fd(shm_open(control_name(channel).c_str(), O_RDWR, 0));
    Error error;
    object_ = map_whole_control(fd.get(), Access::read_write);
    CHECK(object_);
    auto& unit = ControlMap(object_).page(page);
    CHECK(bell_.map(unit.bell, fd.get(), layout::kReaderUnit + page, error));
    thread_ = std::thread([this, &unit, what] {
      constexpr std::uint64_t kBit = layout::make_word(1u << 31, 0);
      while (!over_) {
        if (what == Does::flip) {
          unit.word.fetch_xor(kBit);
        } else {
          unit.word.fetch_or(kBit);
          bell_.ring();
        }
        std::this_thread::yield();  // ThreadSanitizer locks what is atomic, unfairly
      }
    });
  }
  ~Restless() {
    over_ = true;
    thread_.join();
  }

 private:
  std::shared_ptr<ShmObject> object_;
  Doorbell bell_;
  std::atomic<bool> over_{false};
  std::thread thread_;
};

TEST_F(OnChannel, reader_that_only_moves_is_demoted_too) {
  const auto writer = open_writer(blocking_writer(channel, 16, 60));
  const auto stuck = attach_reader(reader_of(channel, Policy::blocking));
  const Restless restless(channel, 0, Restless::Does::flip);
  publish_all(*writer, 1, 3);
  std::thread watchdog([&] {
    if (!eventually([&] { return writer->statistics().frames > 4; }, 5000)) {
      writer->interrupt(true);
    }
  });
  CHECK(publish_ref(*writer, acquired(*writer), 4) == WriteStatus::ok);
  CHECK(writer->statistics().readers.at(0).demoted);
  publish(*writer, 5);
  watchdog.join();
}

TEST_F(WithReader, offer_that_cannot_be_taken_ends_the_reader) {
  const Restless restless(channel, 0, Restless::Does::offer);
  std::atomic<bool> over{false};
  std::thread watchdog([&] {
    if (!eventually([&] { return over.load(); }, 5000)) reader->interrupt(true);
  });
  Frame frame;
  CHECK(reader->take(in_ms(kLimitMs), frame, error) == TakeStatus::failed);
  CHECK(error.code == ErrorCode::corrupt);
  over = true;
  watchdog.join();
}

TEST_F(OnChannel, slow_but_steady_blocking_reader_is_not_demoted) {
  const auto writer = open_writer(blocking_writer(channel, 16, 1000));
  const auto reader = attach_reader(reader_of(channel, Policy::blocking, 1));
  std::thread reading([&] {
    for (std::uint64_t seq = 1; seq <= 12; ++seq) {  // longer in all, each time far less
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      CHECK(take(*reader).descriptor().seq == seq);
    }
  });
  publish_all(*writer, 1, 12);
  reading.join();
  CHECK(!writer->statistics().readers.at(0).demoted);
}

TEST_F(WithBlockingWriter,
       reader_that_takes_its_place_during_an_interrupted_publish_gets_the_frame_once) {
  FarReader gone = attached(channel, Policy::blocking, 1);
  publish(*writer, 1);
  const auto call = publication(*writer, 2);
  expect_interrupted(channel, *writer, call);
  gone.kill();
  CHECK(eventually([&] { return writer->active_readers() == 0; }));
  const auto next = attach_reader(reader_of(channel, Policy::blocking, 4));
  const Frame held = take(*next);
  CHECK(key_of(held) == 2);
  CHECK(call() == WriteStatus::ok);
  CHECK(nothing_waits(*next));
  for (std::uint64_t key = 3; key < 40; ++key) {
    publish(*writer, key);
    CHECK(key_of(take(*next)) == key);
  }
  CHECK(intact(held));
}

TEST_F(WithWriter, frame_larger_than_its_slot_is_refused) {
  const SlotRef ref = acquired(*writer);
  const auto refused = [&](std::size_t offset, std::size_t bytes, std::size_t caps) {
    auto frame = descriptor_for(1, bytes);
    frame.data_offset = offset;
    return writer->publish(ref, frame, std::string(caps, 'x'), {}, false, error) ==
               WriteStatus::failed &&
           error.code == ErrorCode::settings;
  };
  CHECK(refused(0, ref.capacity + 1, 10) && refused(1, ref.capacity, 10));
  CHECK(refused(UINT64_MAX, ref.capacity, 10) && refused(0, 1, 100'000));
  writer->give_back(ref);
  publish(*writer, 2);
}

// --- changes of size and caps --------------------------------------------------------

TEST_F(WithWriter, caps_change_with_the_frame_that_has_them) {
  const auto reader = attach_reader(reader_of(channel, Policy::drop_oldest, 8));
  const std::string caps[] = {"video/x-raw, a", "video/x-raw, b", "video/x-raw, a"};
  for (int i = 0; i < 6; ++i) {
    publish(*writer, static_cast<std::uint64_t>(i), kSmall, caps[i / 2]);
  }
  std::shared_ptr<const std::string> last;
  for (int i = 0; i < 6; ++i) {
    const Frame frame = take(*reader);
    CHECK(*frame.caps() == caps[i / 2]);
    CHECK((frame.caps() == last) == (i % 2 == 1));  // shared while they stay the same
    last = frame.caps();
  }
}

TEST_F(OnChannel, caps_and_metas_larger_than_their_room_replace_the_object) {
  const auto writer = open_writer(plain_writer(channel, 4));
  FarReader reader = attached(channel, Policy::drop_oldest, 2);
  publish(*writer, 1);
  reader.frame();  // held over everything that follows
  std::uint64_t key = 1;
  for (const std::size_t caps : {100, 2048, 2049, 9000, 16'384, 50}) {
    for (const std::size_t metas : {0, 4096, 4097, 100'000, 1}) {
      publish(*writer, ++key, kSmall, std::string(caps, 'c'), some_metas(metas));
      const Taken t = reader.frame();
      CHECK(t.key == key && t.caps == caps && t.metas == metas && t.missed == 0);
      CHECK(reader.all_intact());
      while (key > 2 && writer->statistics().held > 1) reader.release();
    }
  }
}

TEST_F(OnChannel, held_frames_keep_their_bytes_through_everything) {
  std::vector<Frame> held;
  {
    FarWriter writer(channel);
    const auto reader = attach_reader(reader_of(channel, Policy::drop_oldest, 4));
    for (std::uint64_t key = 1; key <= 3; ++key) {
      writer.publish(key, key, 100'000);
      held.push_back(take(*reader));
      CHECK(!held.back().is_copy());
    }
    const auto all_intact = [&] {
      return std::all_of(held.begin(), held.end(),
                         [](const Frame& f) { return intact(f) && *f.caps() == kCaps; });
    };
    writer.publish(4, 60, 100'000);
    CHECK(all_intact());
    writer.publish(61, 100, 900'000, std::string(5000, 'x'));  // objects are replaced
    CHECK(all_intact());
    writer.publish(101, 140, 10);
    CHECK(all_intact());
    writer.kill();
    CHECK(all_intact());
  }
  // The reader is gone, and a successor has cleared the names away.
  open_writer(plain_writer(channel))->close();
  for (std::uint64_t key = 1; key <= 3; ++key) {
    CHECK(key_of(held[key - 1]) == key && intact(held[key - 1]));
  }
}

TEST_F(WithPreparedWriter, moved_frames_keep_their_lease) {
  const auto reader = attach_reader(reader_of(channel));
  publish(*writer, 1);
  Frame a = take(*reader);
  Frame b = std::move(a);
  CHECK(a.data() == nullptr && a.size() == 0 && a.descriptor().seq == 0);
  CHECK(intact(b) && writer->statistics().held == 1);
  publish(*writer, 2);
  b = take(*reader);
  CHECK(key_of(b) == 2 && writer->statistics().held == 1);
  a = std::move(b);
  a = Frame();
  CHECK(writer->statistics().held == 0);
}

TEST_F(WithPreparedWriter, frame_is_released_from_any_thread_and_after_its_reader) {
  auto reader = attach_reader(reader_of(channel));
  publish(*writer, 1);
  Frame first = take(*reader);
  publish(*writer, 2);
  Frame second = take(*reader);
  CHECK(writer->statistics().held == 2);
  std::thread([frame = std::move(first)]() mutable { frame = Frame(); }).join();
  CHECK(writer->statistics().held == 1);
  reader.reset();
  CHECK(intact(second));
  publish_all(*writer, 3, 50);
  CHECK(intact(second));
  CHECK(writer->statistics().held == 1);
  std::thread([frame = std::move(second)]() mutable { frame = Frame(); }).join();
  CHECK(eventually([&] { return nothing_is_held(*writer); }));
}

// --- where slots come from -----------------------------------------------------------

TEST_F(WithReader, frame_is_a_lease_while_slots_circulate) {
  for (std::uint64_t key = 1; key <= 100; ++key) {
    publish(*writer, key);
    take(*reader);
  }
  // The first one perhaps: the pool had yet to grow. And the pool stayed small.
  CHECK(reader->statistics().copied <= 1);
  CHECK(writer->statistics().slots <= 4);
}

TEST_F(WithWriter, writer_uses_the_lowest_free_slot) {
  CHECK(writer->prepare(8, kSmall, error));
  for (std::uint64_t key = 1; key <= 50; ++key) {
    const SlotRef ref = acquired(*writer);
    CHECK(ref.slot < 2);  // one is the newest frame, the other is free
    CHECK(publish_ref(*writer, ref, key) == WriteStatus::ok);
  }
}

TEST(prepared_slots_exist) {
  const auto writer = open_writer(plain_writer(unique_channel(), 12));
  Error error;
  CHECK(writer->prepare(7, 100'000, error));
  CHECK(writer->statistics().slots == 7);
  CHECK(writer->prepare(7, 1'000'000, error));  // too small ones are replaced
  CHECK(writer->statistics().slots == 7);
  CHECK(acquired(*writer, 1'000'000).capacity >= 1'000'000);
  CHECK(writer->prepare(40, kSmall, error));
  CHECK(writer->statistics().slots == 12);
  CHECK(writer->prepare(0, kSmall, error));
  for (int i = 0; i < 20; ++i) writer->give_back(acquired(*writer));
}

TEST(hoarding_reader_gets_private_copies_and_every_frame) {
  for (const unsigned slots : {4u, 16u, 32u}) {
    const std::string channel = unique_channel();
    const auto writer = open_writer(blocking_writer(channel, slots));
    const auto reader = attach_reader(reader_of(channel, Policy::blocking, 3));
    std::vector<Frame> held;
    std::thread reading([&] {
      for (std::uint64_t seq = 1; seq <= 40; ++seq) {
        held.push_back(take(*reader));
        CHECK(held.back().descriptor().seq == seq);
      }
    });
    publish_all(*writer, 1, 40);
    reading.join();
    const auto copies =
        std::count_if(held.begin(), held.end(), [](auto& f) { return f.is_copy(); });
    CHECK(copies >= 32 && copies < 40);
    CHECK(std::all_of(held.begin(), held.end(), intact));
    const auto s = writer->statistics();
    CHECK(s.held == 40 - copies && s.no_slot == 0);
    CHECK(std::cmp_equal(reader->statistics().copied, copies));
    held.clear();
    CHECK(writer->statistics().held == 0);
  }
}

TEST_F(OnChannel, hoarding_dropping_readers_never_stop_the_writer) {
  const auto writer = open_writer(plain_writer(channel, 4));
  std::vector<std::unique_ptr<Reader>> readers;
  for (int i = 0; i < 6; ++i) {
    readers.push_back(attach_reader(reader_of(channel, Policy::drop_oldest, 2)));
  }
  std::vector<Frame> held;
  for (std::uint64_t key = 1; key <= 60; ++key) {
    publish(*writer, key);  // checks that there is a slot
    for (auto& reader : readers) {
      held.push_back(take(*reader));
      CHECK(key_of(held.back()) == key);
    }
  }
  CHECK(std::all_of(held.begin(), held.end(), intact));
}

TEST_F(OnChannel, oldest_waiting_frames_are_stolen_from_dropping_readers) {
  const auto writer = open_writer(plain_writer(channel, 4));
  FarReader idle = attached(channel, Policy::drop_oldest, 16);
  publish_all(*writer, 1, 200);
  CHECK(writer->statistics().no_slot == 0 && writer->statistics().slots == 4);
  std::uint64_t expected = 197;
  std::uint64_t last = 0;
  for (Taken t = idle.take(0); t.status == "frame"; t = idle.take(0)) {
    CHECK(t.seq >= expected && t.seq > last);
    CHECK(last == 0 ? t.missed == 0 : t.missed == t.seq - last - 1);
    last = t.seq;
  }
  CHECK(last == 200);
}

TEST(all_but_three_slots_can_be_lent) {
  for (const unsigned slots : {3u, 4u, 8u, 32u}) {
    const auto writer = open_writer(plain_writer(unique_channel(), slots));
    Error error;
    CHECK(writer->prepare(slots, kSmall, error));
    std::vector<SlotRef> lent;
    for (unsigned i = 0; i + 3 < slots; ++i) {
      auto ref = writer->lend(kSmall);
      CHECK(ref && ref->capacity >= kSmall);
      for (const SlotRef& other : lent) CHECK(other.slot != ref->slot);
      lent.push_back(*ref);
    }
    CHECK(!writer->lend(kSmall));
    CHECK(writer->statistics().lent == slots - 3);
    for (std::uint64_t key = 1; key <= 30; ++key) publish(*writer, key);
    for (const SlotRef& ref : lent) writer->give_back(ref);
    CHECK(writer->statistics().lent == 0);
  }
}

TEST(pool_grows_for_lending_by_itself) {
  const auto writer = open_writer(plain_writer(unique_channel(), 8));
  std::vector<SlotRef> lent;
  CHECK(eventually([&] {
    if (const auto ref = writer->lend(kSmall)) lent.push_back(*ref);
    return lent.size() == 5;
  }));
  CHECK(!writer->lend(kSmall));
  for (std::uint64_t key = 1; key <= 30; ++key) publish(*writer, key);
  for (const SlotRef& ref : lent) writer->give_back(ref);
}

TEST(lent_slots_and_hoarding_readers_leave_the_writer_enough) {
  for (const unsigned lend : {1u, 3u, 5u}) {
    const std::string channel = unique_channel();
    const auto writer = open_writer(blocking_writer(channel, 8));
    FarReader hoarder = attached(channel, Policy::blocking, 2);
    FarReader dropper = attached(channel, Policy::drop_oldest, 2);
    Error error;
    CHECK(writer->prepare(8, kSmall, error));
    std::vector<SlotRef> lent;
    for (unsigned i = 0; i < lend; ++i) lent.push_back(*writer->lend(kSmall));
    for (const SlotRef& ref : lent) draw(ref.data, kSmall, 1000);
    std::thread publishing([&] { publish_all(*writer, 1, 40); });
    for (std::uint64_t seq = 1; seq <= 40; ++seq) {
      CHECK(hoarder.frame().seq == seq);
      dropper.take(0);
    }
    publishing.join();
    CHECK(hoarder.all_intact() && dropper.all_intact());
    for (const SlotRef& ref : lent) {
      CHECK(shows(ref.data, kSmall, 1000));  // nobody drew on them
      writer->give_back(ref);
    }
    CHECK(writer->statistics().no_slot == 0);
  }
}

TEST_F(OnChannel, lent_slot_is_published_without_a_copy_and_comes_back) {
  const auto writer = open_writer(plain_writer(channel, 8));
  const auto reader = attach_reader(reader_of(channel, Policy::drop_oldest, 4));
  CHECK(writer->prepare(4, kSmall, error));
  const SlotRef ref = *writer->lend(kSmall);
  draw(ref.data, kSmall, 1);
  CHECK(writer->publishable(ref, 10, 0));
  CHECK(publish_ref(*writer, ref, 1, true) == WriteStatus::ok);
  CHECK(!writer->publishable(ref, 10, 0));
  Frame held = take(*reader);
  CHECK(!held.is_copy());
  writer->give_back(ref);  // upstream lets go; the reader does not
  for (std::uint64_t key = 2; key <= 40; ++key) {
    publish(*writer, key);
    take(*reader);
    const auto other = writer->lend(kSmall);
    CHECK(!other || other->slot != ref.slot);
    if (other) writer->give_back(*other);
  }
  CHECK(intact(held));
  CHECK(!writer->publishable(ref, 10, 0));
  held = Frame();
  CHECK(writer->publishable(ref, 10, 0));
  CHECK(writer->statistics().zero_copy == 1 && writer->statistics().copied == 39);
}

TEST(lent_slot_stays_memory_after_close) {
  const auto writer = open_writer(plain_writer(unique_channel(), 8));
  Error error;
  CHECK(writer->prepare(4, kSmall, error));
  const SlotRef ref = *writer->lend(kSmall);
  writer->close();
  draw(ref.data, kSmall, 5);
  CHECK(shows(ref.data, kSmall, 5));
  writer->give_back(ref);
  CHECK(writer->open(error) == WriteStatus::ok);
  writer->give_back(ref);  // of an earlier life: means nothing now
  CHECK(!writer->publishable(ref, 0, 0));
}

// --- end of stream and flush ---------------------------------------------------------

TEST_F(WithWriter, eos_comes_after_the_last_frame_and_goes_with_a_new_one) {
  FarReader reader = attached(channel, Policy::drop_oldest, 8);
  publish_all(*writer, 1, 5);
  writer->set_eos();
  for (std::uint64_t seq = 1; seq <= 5; ++seq) CHECK(reader.frame().seq == seq);
  CHECK(reader.take().status == "eos");
  CHECK(reader.take().status == "eos");
  publish(*writer, 6);
  CHECK(reader.frame().seq == 6);
  CHECK(reader.take(0).status == "timeout");
}

TEST(eos_holds_after_its_writer_is_gone) {
  for (const bool killed : {false, true}) {
    const std::string channel = unique_channel();
    FarWriter writer(channel);
    const auto reader = attach_reader(reader_of(channel, Policy::drop_oldest, 8));
    writer.publish(1, 3);
    writer.order("eos", "eos");
    if (killed) {
      writer.kill();
    } else {
      writer.order("close", "closed");
    }
    Frame frame;
    // What was mapped before stays readable: slots made later are gone with their names.
    TakeStatus status = TakeStatus::frame;
    while (status == TakeStatus::frame) status = try_take(*reader, frame);
    CHECK(status == TakeStatus::eos);
    frame = Frame();
    open_writer(plain_writer(channel))->close();
  }
}

TEST_F(WithWriter, eos_can_be_ignored) {
  ReaderOptions options = reader_of(channel);
  options.ignore_eos = true;
  const auto reader = attach_reader(options);
  writer->set_eos();
  Frame frame;
  CHECK(try_take(*reader, frame, 30) == TakeStatus::timeout);
  publish(*writer, 1);
  CHECK(try_take(*reader, frame) == TakeStatus::frame);
}

TEST_F(WithBlockingWriter, flush_withdraws_waiting_frames_but_not_from_blocking_readers) {
  FarReader dropping = attached(channel, Policy::drop_oldest, 8);
  FarReader blocking = attached(channel, Policy::blocking, 8);
  publish_all(*writer, 1, 3);
  writer->set_eos();
  writer->flush();
  CHECK(dropping.take(0).status == "timeout");  // no frame, and no EOS
  for (std::uint64_t seq = 1; seq <= 3; ++seq) CHECK(blocking.frame().seq == seq);
  CHECK(blocking.take(0).status == "timeout");
  publish(*writer, 4);
  CHECK(dropping.frame().seq == 4);
  CHECK(blocking.frame().seq == 4);
}

TEST_F(WithBlockingWriter, drain_waits_for_blocking_readers_only) {
  const auto dropping = attach_reader(reader_of(channel));
  publish(*writer, 1);
  CHECK(writer->drain(error) == WriteStatus::ok);
  auto blocking = attach_reader(reader_of(channel, Policy::blocking, 4));
  take(*blocking);
  publish(*writer, 2);
  std::thread draining([&] { CHECK(writer->drain(error) == WriteStatus::ok); });
  blocking.reset();  // left without taking it: nothing to wait for
  draining.join();
}

// --- waiting and counting ------------------------------------------------------------

TEST_F(WithReader, take_waits_until_its_deadline_or_an_interrupt) {
  Frame frame;
  const std::int64_t before = monotonic_ns();
  CHECK(try_take(*reader, frame, 60) == TakeStatus::timeout);
  const std::int64_t waited = monotonic_ns() - before;
  CHECK(waited >= 60 * kMs && waited < 2000 * kMs);
  std::thread taking([&] { CHECK(try_take(*reader, frame) == TakeStatus::interrupted); });
  await_asleep([&] { return reader_sleeps(channel); });
  reader->interrupt(true);
  taking.join();
  CHECK(try_take(*reader, frame) == TakeStatus::interrupted);
  reader->interrupt(false);
  publish(*writer, 1);
  CHECK(try_take(*reader, frame) == TakeStatus::frame);
}

TEST_F(WithReader, detached_reader_takes_nothing_and_attaches_again) {
  publish(*writer, 1);
  take(*reader);
  reader->detach();
  CHECK(!reader->attached() && reader->incarnation() == 0);
  Frame frame;
  CHECK(try_take(*reader, frame) == TakeStatus::disconnected);
  CHECK(reader->attach(in_ms(kLimitMs), error) == AttachStatus::attached);
  CHECK(reader->incarnation() == writer->incarnation());
  CHECK(key_of(take(*reader)) == 1);
  CHECK(reader->statistics().attachments == 2 && reader->statistics().frames == 2);
}

TEST_F(WithWriter, thirty_two_readers_attach_and_the_next_one_waits_for_a_page) {
  publish(*writer, 1);
  std::vector<std::unique_ptr<Reader>> readers;
  for (int i = 0; i < 32; ++i) {
    readers.push_back(attach_reader(reader_of(channel)));
    CHECK(key_of(take(*readers.back())) == 1);
  }
  CHECK(writer->active_readers() == 32);
  FarReader next(channel);
  CHECK(next.ask("attach 50") ==
        "timeout " + std::to_string(static_cast<int>(ErrorCode::busy)));
  next.tell("attach 20000");
  readers[17].reset();
  next.expect("attached 0");
  CHECK(next.frame().key == 1);
  publish(*writer, 2);
  for (auto& reader : readers) {
    if (reader) CHECK(key_of(take(*reader)) == 2);
  }
  CHECK(next.frame().key == 2);
}

TEST_F(OnChannel, events_tell_who_came_and_who_went_and_why) {
  std::mutex lock;
  std::set<std::string> told;
  const auto tell = [&](const std::string& line) {
    const std::lock_guard guard(lock);
    told.insert(line);
  };
  const auto expect = [&](const std::string& line) {
    CHECK(eventually([&] {
      const std::lock_guard guard(lock);
      return told.contains(line);
    }));
  };
  WriterEvents events;
  events.reader_attached = [&](unsigned index, std::uint32_t pid) {
    tell("attached " + std::to_string(index) + " " + std::to_string(pid));
  };
  events.reader_detached = [&](unsigned index, const char* reason) {
    tell(std::string(reason) + " " + std::to_string(index));
  };
  const auto writer = open_writer(plain_writer(channel), events);
  FarReader one = attached(channel);
  expect("attached 0 " + std::to_string(one.pid()));
  FarReader two = attached(channel);
  expect("attached 1 " + std::to_string(two.pid()));
  one.order("detach", "detached");
  expect("left 0");
  two.kill();
  expect("died 1");
}

TEST_F(OnChannel, readers_that_come_are_noticed_at_once) {
  std::atomic<std::int64_t> noticed_ns{0};
  WriterEvents events;
  events.reader_attached = [&](unsigned, std::uint32_t) {
    noticed_ns.store(monotonic_ns());
  };
  const auto writer = open_writer(plain_writer(channel), events);
  std::vector<std::int64_t> delays_ns;
  for (int i = 0; i < 9; ++i) {
    noticed_ns.store(0);
    const std::int64_t before = monotonic_ns();
    const auto reader = attach_reader(reader_of(channel));
    CHECK(eventually([&] { return noticed_ns.load() != 0; }));
    delays_ns.push_back(noticed_ns.load() - before);
  }
  // With nothing but housekeeping's ticks it would be 125 ms.
  std::sort(delays_ns.begin(), delays_ns.end());
  CHECK(delays_ns[4] < 60 * kMs);
}

// A reader's own page and the bells are all that it needs.
TEST_F(OnChannel, reader_that_comes_and_goes_without_end_does_not_flood_the_application) {
  std::atomic<int> told{0};
  WriterEvents events;
  events.reader_attached = [&](unsigned, std::uint32_t) { ++told; };
  events.reader_detached = [&](unsigned, const char*) { ++told; };
  const auto writer = open_writer(plain_writer(channel), events);
  BareReader restless;
  CHECK(restless.settle(channel));
  const std::int64_t start = monotonic_ns();
  layout::Config cfg;
  for (int turn = 0; monotonic_ns() - start < 500 * kMs || told <= 20; ++turn) {
    cfg.state = turn % 2 ? PageState::left : PageState::active;
    restless.page().cfg.store(layout::pack(cfg));
    restless.attention.ring_self();
    if (turn % 65 == 0) std::this_thread::yield();
  }
  const std::int64_t passes = 34 + (monotonic_ns() - start) / (10 * kMs);
  CHECK(told.load() <= 2 * passes);
}

TEST_F(WithPreparedWriter, statistics_count_what_happened) {
  FarReader reader = attached(channel, Policy::drop_newest, 2);
  publish_all(*writer, 1, 5);
  reader.frame();
  const auto s = writer->statistics();
  CHECK(s.frames == 5 && s.bytes == 5 * kSmall && s.copied == 5 && s.zero_copy == 0);
  CHECK(s.held == 1 && s.lent == 0 && s.no_slot == 0 && s.readers.size() == 1);
  const auto& r = s.readers[0];
  CHECK(r.pid == static_cast<std::uint32_t>(reader.pid()));
  CHECK(r.policy == Policy::drop_newest && r.waiting == 1 && r.held == 1);
  CHECK(r.delivered == 1 && r.dropped == 3);
}
