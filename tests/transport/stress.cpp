// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Long runs between processes with everything random but the seed: sizes, caps, metas,
// pauses, leases, lending. Size, caps and metas of each frame follow from its key, so a
// reader knows what it should have got. POSSUM_SOAK_SECONDS makes them longer.
#include <signal.h>
#include <sys/time.h>

#include <atomic>
#include <deque>

#include "support/growth.h"
#include "support/peers.h"

using namespace support;

namespace {

constexpr std::uint64_t kLast = ~std::uint64_t{0} >> 1;  // key of the frame that ends it

std::uint64_t mix(std::uint64_t key) {
  key = (key ^ (key >> 31)) * 0x7fb5d329728ea185;
  return key ^ (key >> 27);
}

// Now and then a burst of large frames, long caps or metas, which replaces objects.
std::size_t size_of(std::uint64_t key) {
  const std::uint64_t r = mix(key / 512);
  const std::size_t most = r % 8 == 0 ? 60'000 : r % 8 < 4 ? 6'000 : 500;
  return 1 + mix(key) % most;
}
std::string caps_of(std::uint64_t key) {
  const std::uint64_t era = key / 3000;
  return "caps " + std::to_string(era) +
         std::string(mix(era) % 4 == 0 ? 3000 + 500 * (era % 7) : era % 50, 'c');
}
std::size_t metas_of(std::uint64_t key) {
  return mix(key) % 16 == 0 ? mix(key) % 9000 : 0;
}

bool as_promised(const Frame& frame) {
  const std::uint64_t key = key_of(frame);
  if (key == kLast) return true;
  return frame.size() == size_of(key) && frame.metas().size() == metas_of(key) &&
         *frame.caps() == caps_of(key) && intact(frame);
}

void every_ms_a_signal() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGALRM, &action, nullptr);  // no SA_RESTART
  const itimerval timer = {{0, 1000}, {0, 1000}};
  CHECK(setitimer(ITIMER_REAL, &timer, nullptr) == 0);
}
void no_more_signals() {
  const itimerval off{};
  setitimer(ITIMER_REAL, &off, nullptr);
}

struct Plan {
  std::uint64_t frames = 0;
  unsigned slots = 16;
  unsigned lend = 0;      // slots kept lent, published one after the other
  bool may_drop = false;  // there are no blocking readers
};

// Publishes `plan.frames` frames and the last one.
void publish_frames(Writer& writer, const Plan& plan) {
  std::mt19937_64 random(41);
  std::vector<SlotRef> lent;
  Error error;
  const auto send = [&](const SlotRef& ref, std::uint64_t key, bool zero_copy) {
    const std::size_t bytes = key == kLast ? 1 : size_of(key);
    const std::string caps = caps_of(key);
    std::vector<std::byte> metas(key == kLast ? 0 : metas_of(key));
    CHECK(ref.capacity >= bytes);
    draw(ref.data, bytes, key);
    auto frame = descriptor_for(key, bytes);
    CHECK(writer.publish(ref, frame, caps, metas, zero_copy, error) == WriteStatus::ok);
  };
  const auto copy = [&](std::uint64_t key) {
    SlotRef ref;
    WriteStatus status;
    do {  // no_slot: readers that only drop frames hold every slot right now
      status = writer.acquire(key == kLast ? 1 : size_of(key), caps_of(key).size(),
                              key == kLast ? 0 : metas_of(key), ref, error);
      CHECK(status == WriteStatus::ok ||
            (status == WriteStatus::no_slot && plan.may_drop));
    } while (status != WriteStatus::ok);
    send(ref, key, false);
  };
  for (std::uint64_t key = 1; key <= plan.frames; ++key) {
    while (lent.size() < plan.lend) {
      const auto ref = writer.lend(60'000);
      if (!ref) break;
      lent.push_back(*ref);
    }
    if (!lent.empty() && random() % 2 &&
        writer.publishable(lent.back(), caps_of(key).size(), metas_of(key))) {
      send(lent.back(), key, true);
      writer.give_back(lent.back());
      lent.pop_back();
    } else {
      copy(key);
    }
    if (random() % 64 == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 100));
    }
  }
  for (const SlotRef& ref : lent) writer.give_back(ref);
  copy(kLast);
}

void expect_low_semaphores(const std::string& channel) {
  bool low = false;
  CHECK(low_semaphores(channel, low) && low);
}

std::uint64_t soak_frames(std::uint64_t frames) {
  return soak_seconds() > 0 ? static_cast<std::uint64_t>(soak_seconds()) * 20'000
                            : frames;
}

}  // namespace

// CHANNEL POLICY DEPTH HOLD: takes until the last frame, holds up to HOLD of them, naps
// at random. Says "COUNT missed MISSED copies COPIES".
ROLE(consumer) {
  const auto policy = static_cast<Policy>(std::stoi(args.at(1)));
  const std::size_t hold = std::stoul(args.at(3));
  const auto reader = attach_reader(
      reader_of(args.at(0), policy, static_cast<unsigned>(std::stoul(args.at(2)))));
  if (args.size() > 4) every_ms_a_signal();
  say("attached");
  std::mt19937_64 random(std::stoul(args.at(2)) + hold);
  std::deque<Frame> held;
  std::uint64_t count = 0;
  std::uint64_t last = 0;
  for (;;) {
    held.push_back(take(*reader));
    const Frame& frame = held.back();
    const std::uint64_t key = key_of(frame);
    CHECK(as_promised(frame));
    if (key == kLast) break;
    CHECK(key > last);
    if (count > 0) CHECK(frame.missed() == key - last - 1);
    if (policy == Policy::blocking) CHECK(key == last + 1);
    last = key;
    ++count;
    while (held.size() > hold || (!held.empty() && random() % 4 == 0)) {
      const std::size_t at = random() % held.size();  // in any order
      CHECK(as_promised(held[at]));
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(at));
    }
    if (random() % 64 == 0) {
      std::this_thread::sleep_for(std::chrono::microseconds(random() % 200));
    }
  }
  no_more_signals();
  const auto s = reader->statistics();
  say(std::to_string(count) + " missed " + std::to_string(s.missed) + " copies " +
      std::to_string(s.copied));
  return 0;
}

namespace {

Peer consumer(const std::string& channel, Policy policy, unsigned depth, unsigned hold,
              bool signals = false) {
  std::vector<std::string> args = {channel, std::to_string(static_cast<int>(policy)),
                                   std::to_string(depth), std::to_string(hold)};
  if (signals) args.push_back("signals");
  Peer peer("consumer", args);
  peer.expect("attached");
  return peer;
}

struct Result {
  std::uint64_t count = 0;
  std::uint64_t missed = 0;
  std::uint64_t copies = 0;
};
Result result_of(Peer& peer) {
  std::istringstream words(peer.hear());
  std::string word;
  Result r;
  words >> r.count >> word >> r.missed >> word >> r.copies;
  CHECK(peer.join() == 0);
  return r;
}

void expect_lossless(Peer& peer, std::uint64_t frames) {
  const Result r = result_of(peer);
  std::printf("   %llu frames, %llu copies\n", static_cast<unsigned long long>(r.count),
              static_cast<unsigned long long>(r.copies));
  CHECK(r.count == frames && r.missed == 0);
}

}  // namespace

TEST(lossless_reader_gets_every_frame_byte_for_byte) {
  const std::string channel = unique_channel();
  const Plan plan{soak_frames(200'000), 16, 0};
  const auto writer = open_writer(blocking_writer(channel, plan.slots));
  Peer reader = consumer(channel, Policy::blocking, 4, 3);
  publish_frames(*writer, plan);
  expect_low_semaphores(channel);
  expect_lossless(reader, plan.frames);
  CHECK(writer->statistics().no_slot == 0);
}

TEST(lossless_readers_hoard_on_four_slots) {
  const std::string channel = unique_channel();
  const Plan plan{soak_frames(40'000), 4, 0};
  const auto writer = open_writer(blocking_writer(channel, plan.slots));
  Peer one = consumer(channel, Policy::blocking, 3, 40);
  Peer two = consumer(channel, Policy::blocking, 16, 12);
  publish_frames(*writer, plan);
  expect_low_semaphores(channel);
  expect_lossless(one, plan.frames);
  expect_lossless(two, plan.frames);
}

TEST(stolen_frames_are_never_in_use) {
  const std::string channel = unique_channel();
  const Plan plan{soak_frames(60'000), 4, 0, true};
  const auto writer = open_writer(plain_writer(channel, plan.slots));
  Peer peers[] = {consumer(channel, Policy::drop_oldest, 8, 1),
                  consumer(channel, Policy::drop_newest, 8, 2)};
  publish_frames(*writer, plan);
  for (Peer& peer : peers) {
    const Result r = result_of(peer);
    CHECK(r.count > 0 && r.missed > 0 && r.count + r.missed <= plan.frames + 1);
  }
}

TEST(mixed_readers_and_lending) {
  const std::string channel = unique_channel();
  const Plan plan{soak_frames(40'000), 24, 4};
  const auto writer = open_writer(blocking_writer(channel, plan.slots));
  Error error;
  CHECK(writer->prepare(12, 60'000, error));
  Peer lossless = consumer(channel, Policy::blocking, 2, 5);
  Peer hoarder = consumer(channel, Policy::drop_oldest, 4, 30);
  Peer shallow = consumer(channel, Policy::drop_oldest, 1, 1);
  FarReader stopped(channel, Policy::drop_oldest, 3);
  stopped.attach();
  stopped.stop();
  publish_frames(*writer, plan);
  expect_low_semaphores(channel);
  stopped.kill();
  expect_lossless(lossless, plan.frames);
  for (Peer* peer : {&hoarder, &shallow}) {
    const Result r = result_of(*peer);
    CHECK(r.count > 0 && r.count + r.missed <= plan.frames + 1);
  }
  const auto s = writer->statistics();
  std::printf("   %llu without a copy, %u lent\n",
              static_cast<unsigned long long>(s.zero_copy), s.lent);
  CHECK(s.zero_copy > plan.frames / 20 && s.lent == 0);
  CHECK(eventually([&] { return writer->statistics().held == 0; }, 2000));
}

TEST(signals_lose_no_frame) {
  const std::string channel = unique_channel();
  const Plan plan{soak_frames(20'000), 8, 2};
  const auto writer = open_writer(blocking_writer(channel, plan.slots));
  Error error;
  CHECK(writer->prepare(8, 60'000, error));
  Peer reader = consumer(channel, Policy::blocking, 3, 4, true);
  every_ms_a_signal();
  publish_frames(*writer, plan);
  no_more_signals();
  expect_lossless(reader, plan.frames);
}

TEST(writers_and_readers_in_one_process) {
  const std::string channel = unique_channel();
  const Plan plan{soak_frames(20'000), 8, 0};
  const auto writer = open_writer(blocking_writer(channel, plan.slots));
  std::atomic<int> done{0};
  std::vector<std::thread> threads;
  for (unsigned depth = 1; depth <= 3; ++depth) {
    auto reader = attach_reader(reader_of(channel, Policy::blocking, depth));
    threads.emplace_back([&done, &plan, reader = std::move(reader)] {
      for (std::uint64_t key = 1; key <= plan.frames; ++key) {
        const Frame frame = take(*reader);
        CHECK(key_of(frame) == key && as_promised(frame));
      }
      ++done;
    });
  }
  std::thread publishing([&] { publish_frames(*writer, plan); });
  for (std::thread& thread : threads) thread.join();
  publishing.join();
  CHECK(done == 3);
}

TEST(eos_never_overtakes_a_frame) {
  const std::string channel = unique_channel();
  const std::uint64_t rounds = soak_frames(20'000);
  const auto writer = open_writer(plain_writer(channel));
  const auto reader = attach_reader(reader_of(channel));
  std::atomic<std::uint64_t> round{0};
  std::atomic<std::uint64_t> done{0};
  std::thread reading([&] {
    for (std::uint64_t n = 1; n <= rounds; ++n) {
      while (round.load() != n) std::this_thread::yield();
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
  for (std::uint64_t n = 1; n <= rounds; ++n) {
    writer->flush();
    round.store(n);
    // Some while the reader still looks, some when it sleeps.
    for (unsigned spin = random() % 1000; spin > 0; --spin) {
      static_cast<void>(done.load());
    }
    publish(*writer, n, 64);
    writer->set_eos();
    while (done.load() != n) std::this_thread::yield();
  }
  reading.join();
}
