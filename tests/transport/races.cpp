// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A writer and readers of every kind as threads of one process, doing all that they can
// do as fast as they can. Pixels, caps, metas and descriptors are plain memory: that no
// two threads touch the same byte at the same time is what the offer words promise. Built
// with -Db_sanitize=thread, where both ends share one mapping (support/one_mapping.cpp),
// ThreadSanitizer holds them to it; built without, a torn frame still shows.
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>

#include "channel/names.h"
#include "support/transport.h"
#include "transport/doorbell.h"
#include "transport/open.h"
#include "transport/reader_core.h"

using namespace support;
using layout::PageState;

namespace {

constexpr std::size_t kLarge = 20'000;

int run_seconds() { return soak_seconds() > 0 ? soak_seconds() : 4; }

// Relaxed, here and below: the test itself must not put the threads in order.
constexpr auto relaxed = std::memory_order_relaxed;

class Load {
 public:
  explicit Load(std::string channel, int seconds)
      : channel_(std::move(channel)), end_ns_(in_ms(seconds * 1000)) {}
  const std::string& channel() const { return channel_; }
  bool over() const { return monotonic_ns() >= end_ns_; }
  std::int64_t soon() const { return std::min(end_ns_, in_ms(50)); }
  void count_frame() { frames_.fetch_add(1, relaxed); }
  std::uint64_t frames() const { return frames_.load(relaxed); }

 private:
  const std::string channel_;
  const std::int64_t end_ns_;
  std::atomic<std::uint64_t> frames_{0};
};

void expect_whole(const Frame& frame) {
  CHECK(intact(frame));
  CHECK(frame.caps()->starts_with("caps "));
  for (const std::byte b : frame.metas()) CHECK(b == std::byte{7});
}

std::string caps_of(std::uint64_t key) {
  const std::uint64_t era = key / 64;
  return "caps " + std::to_string(era) + std::string(era % 16 == 5 ? 3000 : 10, 'c');
}

// --- the writing side ------------------------------------------------------------------

// Everything a writer does, in random order.
void write_frames(Load& load, Writer& writer, unsigned seed) {
  std::mt19937_64 random(seed);
  std::deque<SlotRef> lent;
  Error error;
  std::uint64_t key = 0;
  const auto send = [&](const SlotRef& ref, bool zero_copy) {
    const std::size_t bytes = std::min<std::size_t>(ref.capacity, 64 + random() % 4000);
    const std::string caps = caps_of(++key);
    const std::vector<std::byte> metas(random() % 4 ? 0 : random() % 200, std::byte{7});
    draw(ref.data, bytes, key);
    auto frame = descriptor_for(key, bytes);
    const WriteStatus status = writer.publish(ref, frame, caps, metas, zero_copy, error);
    CHECK(status == WriteStatus::ok || status == WriteStatus::interrupted);
    if (status == WriteStatus::interrupted) writer.abandon_publish();
  };
  while (!load.over()) {
    // Large frames come in bursts: they replace objects.
    const std::size_t bytes = key / 256 % 4 == 3 ? kLarge : kSmall;
    if (lent.size() < 3 && random() % 2) {
      if (auto ref = writer.lend(bytes)) lent.push_back(std::move(*ref));
    }
    if (!lent.empty() && writer.publishable(lent.front(), 4000, 200)) {
      // Again and again, whenever no reader can see it.
      send(lent.front(), true);
      lent.push_back(lent.front());
      lent.pop_front();
    } else if (!lent.empty() && random() % 8 == 0) {
      writer.give_back(lent.front());
      lent.pop_front();
    }
    SlotRef ref;
    const WriteStatus status = writer.acquire(bytes, 4000, 200, ref, error);
    CHECK(status != WriteStatus::failed);
    CHECK(status != WriteStatus::ok || ref.capacity >= bytes);
    if (status == WriteStatus::ok) send(ref, false);
    switch (random() % 512) {
      case 0:
        writer.set_eos();
        static_cast<void>(writer.drain(error));
        break;
      case 1:
        writer.flush();
        break;
      case 2:
        static_cast<void>(writer.prepare(4 + random() % 8, bytes, error));
        break;
      default:
        break;
    }
  }
  for (const SlotRef& ref : lent) writer.give_back(ref);
}

// Another thread of the writing process: looks, waits, borrows and interrupts.
void disturb_writer(Load& load, Writer& writer) {
  const std::atomic<unsigned> never{layout::kReaders + 1};
  Error error;
  while (!load.over()) {
    static_cast<void>(writer.statistics());
    static_cast<void>(writer.active_readers());
    for (const std::size_t bytes : {kSmall / 2, kLarge}) {
      if (const auto lent = writer.lend(bytes)) {
        CHECK(lent->capacity >= bytes);
        writer.give_back(*lent);
      }
    }
    writer.interrupt(true);
    writer.interrupt(false);
    static_cast<void>(writer.drain(error, in_ms(2)));
    CHECK(writer.wait_readers(never, error, in_ms(3)) == WriteStatus::timeout);
  }
}

// --- the reading side ------------------------------------------------------------------

// Where frames go that another thread lets go of.
class Drain {
 public:
  Drain() : thread_([this] { run(); }) {}
  ~Drain() {
    put({});
    thread_.join();
  }
  void put(Frame frame) {
    const std::lock_guard lock(mutex_);
    frames_.push_back(std::move(frame));
    changed_.notify_one();
  }

 private:
  void run() {
    for (;;) {
      Frame frame;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !frames_.empty(); });
        frame = std::move(frames_.front());
        frames_.pop_front();
      }
      if (frame.descriptor().seq == 0) return;
      expect_whole(frame);
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Frame> frames_;
  std::thread thread_;
};

struct Habits {
  Policy policy = Policy::drop_oldest;
  unsigned depth = 3;
  std::size_t holds = 0;
  unsigned leaves_after = 0;  // 0: stays
  bool passes_on = false;     // another thread lets go
};

void read_frames(Load& load, Habits habits, Drain& drain) {
  Error error;
  const auto reader =
      Reader::create(reader_of(load.channel(), habits.policy, habits.depth), error);
  CHECK(reader);
  std::thread disturb([&] {
    while (!load.over()) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      static_cast<void>(reader->statistics());
      reader->interrupt(true);
      reader->interrupt(false);
    }
  });
  std::deque<Frame> held;
  unsigned taken = 0;
  while (!load.over()) {
    if (!reader->attached() &&
        reader->attach(load.soon(), error) != AttachStatus::attached) {
      continue;
    }
    Frame frame;
    switch (reader->take(load.soon(), frame, error)) {
      case TakeStatus::frame:
        expect_whole(frame);
        load.count_frame();
        ++taken;
        if (habits.passes_on && taken % 2) {
          drain.put(std::move(frame));
        } else if (habits.holds > 0) {
          held.push_back(std::move(frame));
        }
        break;
      case TakeStatus::failed:
        std::fprintf(stderr, "%s (%s)\n", error.message.c_str(), error.detail.c_str());
        CHECK(false);
        break;
      case TakeStatus::disconnected:
        reader->detach();
        break;
      default:
        break;
    }
    while (held.size() > habits.holds) {
      expect_whole(held.front());
      held.pop_front();
    }
    if (taken % 64 == 5) reader->skip_to_newest();
    if (habits.leaves_after != 0 && taken >= habits.leaves_after) {
      taken = 0;
      reader->detach();  // with frames in hand
    }
  }
  for (const Frame& frame : held) expect_whole(frame);
  disturb.join();
}

// It takes frames, looks at them, and is gone without a word.
class Mortal : public BareReader {
 public:
  struct Env {
    OpenControl& open;
    layout::ReaderPage& page(unsigned r) const { return open.control.page(r); }
    layout::ControlHeader& header() const { return open.control.header(); }
    void ring_writer() { open.room.ring(); }
    void ring_both() {
      open.attention.ring();
      ring_writer();
    }
  };

  // Takes up to `count` frames, lets go of every other one.
  void live(Load& load, unsigned count) {
    Env env{*this};
    ReaderCore<Env> core(env, tenancy);
    std::uint64_t last_seq = 0;
    for (unsigned taken = 0; taken < count && !load.over();) {
      const auto found = core.take(last_seq, ~0u);
      if (!found) {
        if (!lock.held_by_other(layout::kOwnerByte)) return;
        std::this_thread::sleep_for(std::chrono::microseconds(100));
        continue;
      }
      look_at(load, found->slot, found->seq);
      last_seq = found->seq;
      if (++taken % 2) core.release(found->slot);
    }
  }

 private:
  void look_at(const Load& load, unsigned slot, std::uint64_t seq) const {
    const std::uint32_t object =
        control.header().slot[slot].object.load(std::memory_order_acquire);
    const std::string name = data_name(load.channel(), incarnation, object);
    const UniqueFd fd(shm_open(name.c_str(), O_RDONLY, 0));
    if (!fd) return;  // the writer has stopped
    Error error;
    struct stat info {};
    CHECK(fstat(fd.get(), &info) == 0);
    const auto mapping = ShmObject::map(fd.get(), static_cast<std::size_t>(info.st_size),
                                        Access::read_only, error);
    CHECK(mapping);
    layout::DataHeader header;
    std::memcpy(&header, mapping->data(), sizeof header);
    layout::FrameDescriptor frame;
    std::memcpy(&frame, mapping->data() + sizeof header, sizeof frame);
    CHECK(frame.seq == seq);
    CHECK(shows(mapping->data() + header.pixels_offset, frame.data_bytes, frame.offset));
  }
};

void live_and_die(Load& load, unsigned seed) {
  std::mt19937_64 random(seed);
  constexpr Policy kPolicies[] = {Policy::drop_oldest, Policy::drop_newest,
                                  Policy::blocking};
  while (!load.over()) {
    {
      Mortal reader;
      if (!reader.settle(load.channel())) continue;
      reader.enter(kPolicies[random() % 3], 4);
      reader.live(load, 1 + random() % 12);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

// Threads that read, until the load is over.
class Readers {
 public:
  Readers(Load& load, const std::vector<Habits>& all) {
    for (const Habits& habits : all) {
      threads_.emplace_back([&load, habits, this] { read_frames(load, habits, drain_); });
    }
    threads_.emplace_back([&load] { live_and_die(load, 1); });
  }
  void join() {
    for (std::thread& thread : threads_) thread.join();
  }

 private:
  Drain drain_;
  std::vector<std::thread> threads_;
};

void run_load(const WriterOptions& options, const std::vector<Habits>& all) {
  Load load(options.channel, run_seconds());
  const auto writer = open_writer(options);
  Readers readers(load, all);
  std::thread disturb([&] { disturb_writer(load, *writer); });
  write_frames(load, *writer, 2);
  readers.join();
  disturb.join();
  const auto s = writer->statistics();
  check::note("   %lld written, %lld without a copy, %lld without a slot, %lld read\n",
              s.frames, s.zero_copy, s.no_slot, load.frames());
  CHECK(load.frames() > 10 && s.zero_copy > 10);
}

}  // namespace

#ifdef __SANITIZE_THREAD__
TEST_F(OnChannel, both_ends_share_one_mapping) {
  if (std::getenv("POSSUM_TWO_MAPPINGS")) check::skip("two mappings are asked for");
  const auto writer = open_writer(plain_writer(channel));
  SlotRef ref;
  CHECK(writer->acquire(kSmall, sizeof kCaps, 0, ref, error) == WriteStatus::ok);
  draw(ref.data, kSmall, 1);
  auto frame = descriptor_for(1, kSmall);
  CHECK(writer->publish(ref, frame, kCaps, {}, false, error) == WriteStatus::ok);
  const auto reader = attach_reader(reader_of(channel));
  CHECK(take(*reader).data() == ref.data);
}
#endif

TEST(everything_at_once) {
  run_load(blocking_writer(unique_channel(), 24, 50),
           {{Policy::drop_oldest, 1, 0, 0, false},
            {Policy::drop_oldest, 3, 2, 0, true},
            {Policy::drop_newest, 2, 3, 50, false},
            {Policy::blocking, 2, 1, 0, true},
            {Policy::blocking, 1, 2, 40, false},
            {Policy::drop_oldest, 2, 12, 0, false}});
}

// Hardly a free slot: the writer steals what the readers are about to take.
TEST(few_slots_for_dropping_readers) {
  run_load(plain_writer(unique_channel(), 9), {{Policy::drop_oldest, 4, 0, 0, false},
                                               {Policy::drop_newest, 4, 0, 0, false},
                                               {Policy::drop_oldest, 3, 2, 30, false},
                                               {Policy::drop_oldest, 2, 1, 0, false}});
}

// Who attaches maps objects that were offered to nobody yet: only their number says that
// they are complete.
TEST_F(WithWriter, objects_are_complete_when_their_number_is_known) {
  std::atomic<bool> over{false};
  std::thread attaching([&] {
    Error error;
    const auto reader = Reader::create(reader_of(channel), error);
    while (!over.load(relaxed)) {
      CHECK(reader->attach(in_ms(kLimitMs), error) == AttachStatus::attached);
      reader->detach();
    }
  });
  for (std::size_t pages = 1; pages <= 300; ++pages) {
    CHECK(writer->prepare(8, pages * 4096, error));  // replaces all that is too small
  }
  over.store(true, relaxed);
  attaching.join();
}

TEST(eos_never_overtakes_a_frame) {
  Load load(unique_channel(), run_seconds());
  const auto writer = open_writer(plain_writer(load.channel()));
  const auto reader = attach_reader(reader_of(load.channel()));
  constexpr std::uint64_t kOver = ~std::uint64_t{0};
  std::atomic<std::uint64_t> round{0};
  std::atomic<std::uint64_t> done{0};
  std::thread reading([&] {
    for (std::uint64_t n = 1;; ++n) {
      while (round.load() < n) std::this_thread::yield();
      if (round.load() == kOver) return;
      // Single looks, which ask the kernel about the writer between looking for a frame
      // and looking for the end.
      Frame frame;
      TakeStatus status;
      do {
        status = try_take(*reader, frame, 0);
      } while (status == TakeStatus::timeout);
      CHECK(status == TakeStatus::frame && key_of(frame) == n);
      CHECK(try_take(*reader, frame) == TakeStatus::eos);
      done.store(n);
    }
  });
  std::mt19937 random(3);
  std::uint64_t n = 0;
  while (!load.over() || n < 1000) {
    writer->flush();
    round.store(++n);
    // Some while the reader still looks, some when it sleeps.
    for (unsigned spin = random() % 1000; spin > 0; --spin) {
      static_cast<void>(done.load());
    }
    publish(*writer, n, 64);
    writer->set_eos();
    while (done.load() != n) std::this_thread::yield();
  }
  round.store(kOver);
  reading.join();
}

// Readers look at channels that are being made and taken away.
TEST(writers_come_and_go) {
  Load load(unique_channel(), run_seconds());
  Readers readers(load, {{Policy::drop_oldest, 3, 2, 0, true},
                         {Policy::drop_newest, 2, 0, 20, false},
                         {Policy::blocking, 2, 1, 0, false}});
  unsigned opened = 0;
  while (!load.over()) {
    const auto writer = open_writer(blocking_writer(load.channel(), 8));
    for (std::uint64_t key = 64; key < 80; ++key) {
      const WriteStatus status = try_publish(*writer, key, kSmall, caps_of(key));
      CHECK(status == WriteStatus::ok || status == WriteStatus::no_slot);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(opened++ % 4));
  }
  readers.join();
  check::note("   %lld channels, %lld read\n", opened, load.frames());
  CHECK(opened > 1 && load.frames() > 10);
}
