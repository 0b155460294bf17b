// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Long runs in which nothing may grow: as many frames as there is time for, without and
// with signals that interrupt everything, and readers that come and go. A few seconds
// each, POSSUM_SOAK_SECONDS, or as long as POSSUM_SOAK_FRAMES frames take.
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <atomic>

#include "support/growth.h"
#include "support/processor.h"

using namespace support;

namespace {

constexpr std::uint64_t kLast = ~std::uint64_t{0} >> 1;  // key of the frame that ends it
constexpr std::int64_t kSampleNs = 100 * kMs;
constexpr std::size_t kBytes = 512;

int run_seconds(int normally) { return soak_seconds() > 0 ? soak_seconds() : normally; }

std::uint64_t run_frames() {
  const char* text = std::getenv("POSSUM_SOAK_FRAMES");
  return text ? std::strtoull(text, nullptr, 10) : 0;
}

// SIGALRM to each thread that the process has now, a thousand times a second each, no
// system call is restarted.
class Alarms {
 public:
  Alarms() {
    struct sigaction action {};
    action.sa_handler = [](int) { count_.fetch_add(1, std::memory_order_relaxed); };
    CHECK(sigaction(SIGALRM, &action, nullptr) == 0);
    for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
      sigevent event{};
      event.sigev_notify = SIGEV_THREAD_ID;
      event.sigev_signo = SIGALRM;
      event._sigev_un._tid = std::stoi(task.path().filename());
      timer_t timer{};
      CHECK(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0);
      const itimerspec every_ms = {{0, kMs}, {0, kMs}};
      CHECK(timer_settime(timer, 0, &every_ms, nullptr) == 0);
      timers_.push_back(timer);
    }
  }
  ~Alarms() {
    for (const timer_t timer : timers_) timer_delete(timer);
  }
  Alarms(const Alarms&) = delete;
  Alarms& operator=(const Alarms&) = delete;
  std::size_t threads() const { return timers_.size(); }
  static std::uint64_t count() { return count_.load(std::memory_order_relaxed); }

 private:
  static inline std::atomic<std::uint64_t> count_{0};
  std::vector<timer_t> timers_;
};

void expect_low_semaphores(const std::string& channel) {
  bool low = false;
  CHECK(low_semaphores(channel, low) && low);
}

// Frames 1, 2, 3, ... until the time is over or their number is reached, and the last.
std::uint64_t publish_for(Writer& writer, const std::string& channel, int seconds) {
  const std::uint64_t frames = run_frames();
  const std::int64_t end = in_ms(seconds * 1000);
  Growth growth;
  std::int64_t next_ns = 0;
  std::uint64_t key = 0;
  for (;;) {
    const std::int64_t now = possum::monotonic_ns();
    if (frames > 0 ? key >= frames : now >= end) break;
    publish(writer, ++key, kBytes);
    if (now < next_ns) continue;
    next_ns = now + kSampleNs;
    growth.sample();
    expect_low_semaphores(channel);
  }
  publish(writer, kLast, kBytes);
  std::printf(
      "   %llu frames in %lld s; writer: %s\n", static_cast<unsigned long long>(key),
      static_cast<long long>((possum::monotonic_ns() - end) / 1000 / kMs + seconds),
      growth.text().c_str());
  CHECK(growth.tells_something());
  return key;
}

}  // namespace

// CHANNEL [signals]: takes all frames and misses none. Says "COUNT GROWTH".
ROLE(listener) {
  const auto reader = attach_reader(reader_of(args.at(0), Policy::blocking, 8));
  std::optional<Alarms> alarms;
  if (args.size() > 1) alarms.emplace();
  say("attached");
  Growth growth;
  std::int64_t next_ns = 0;
  std::uint64_t last = 0;
  for (;;) {
    const Frame frame = take(*reader);
    if (key_of(frame) == kLast) break;
    CHECK(key_of(frame) == last + 1 && frame.descriptor().seq == key_of(frame));
    ++last;
    const std::int64_t now = frame.descriptor().publish_ns;
    if (now < next_ns) continue;
    next_ns = now + kSampleNs;
    growth.sample();
  }
  alarms.reset();
  CHECK(growth.tells_something());
  say(std::to_string(last) + " reader: " + growth.text() + ", " +
      std::to_string(Alarms::count()) + " signals");
  return 0;
}

// CHANNEL SEED: visits the channel again and again, never in the same way, until it is
// gone. Says "visits N".
ROLE(visitor) {
  std::mt19937 random(static_cast<unsigned>(std::stoul(args.at(1))));
  std::uint64_t visits = 0;
  std::vector<Frame> kept;
  for (;;) {
    Error error;
    auto reader = Reader::create(
        reader_of(args.at(0), random() % 2 ? Policy::drop_oldest : Policy::drop_newest,
                  1 + random() % 4),
        error);
    const AttachStatus status = reader->attach(in_ms(kLimitMs / 10), error);
    if (status == AttachStatus::timeout && error.code == ErrorCode::not_found) break;
    if (status != AttachStatus::attached) {
      std::fprintf(stderr, "%s\n", error.message.c_str());
    }
    CHECK(status == AttachStatus::attached);
    ++visits;
    std::uint64_t last = 0;
    for (unsigned left = random() % 50; left > 0; --left) {
      Frame frame;
      const TakeStatus took = try_take(*reader, frame);
      if (took == TakeStatus::disconnected || took == TakeStatus::eos) break;
      CHECK(took == TakeStatus::frame && key_of(frame) > last);
      last = key_of(frame);
      if (random() % 4 == 0 && kept.size() < 3) kept.push_back(std::move(frame));
    }
    if (random() % 2) reader->detach();
    if (random() % 4 == 0) reader.reset();
    for (const Frame& frame : kept) CHECK(intact(frame));
    kept.clear();
  }
  say("visits " + std::to_string(visits));
  return 0;
}

namespace {

void lossless_run(const std::vector<std::string>& signals) {
  const std::string channel = unique_channel();
  const auto writer = open_writer(blocking_writer(channel));
  std::vector<std::string> args = {channel};
  args.insert(args.end(), signals.begin(), signals.end());
  Peer reader("listener", args);
  reader.expect("attached");
  std::optional<Alarms> alarms;
  if (!signals.empty()) alarms.emplace();
  const std::uint64_t before = Alarms::count();
  const std::uint64_t frames = publish_for(*writer, channel, run_seconds(8));
  if (alarms) {
    CHECK(alarms->threads() >= 2);  // the publishing and the housekeeping one
    std::printf("   writer: %llu signals in %zu threads\n",
                static_cast<unsigned long long>(Alarms::count() - before),
                alarms->threads());
    CHECK(Alarms::count() - before > 1000);
    alarms.reset();  // what follows is no part of it
  }
  std::istringstream answer(reader.hear());
  std::uint64_t count = 0;
  std::string rest;
  answer >> count;
  std::getline(answer, rest);
  std::printf("  %s\n", rest.c_str());
  CHECK(reader.join() == 0 && count == frames);
  CHECK(writer->statistics().no_slot == 0);
}

// How often each page has had a tenant.
std::array<std::uint32_t, possum::transport::layout::kReaders> epochs_of(
    const std::string& channel) {
  possum::transport::OpenControl open;
  Error error;
  CHECK(open_control({.channel = channel}, open, error) ==
        possum::transport::OpenStatus::ok);
  std::array<std::uint32_t, possum::transport::layout::kReaders> epochs{};
  for (unsigned r = 0; r < possum::transport::layout::kReaders; ++r) {
    epochs[r] = possum::transport::layout::unpack(open.control.page(r).cfg.load()).epoch;
  }
  return epochs;
}

}  // namespace

TEST(nothing_grows_in_a_long_lossless_run) { lossless_run({}); }

TEST(signals_to_every_thread_lose_no_frame_and_nothing_grows) {
  lossless_run({"signals"});
}

TEST(thirty_two_readers_come_and_go) {
  const std::string channel = unique_channel();
  const int seconds = run_seconds(8);
  auto writer = open_writer(plain_writer(channel, 32));
  std::mt19937 random(32);
  std::vector<Peer> visitors;
  const auto visit = [&] {
    return Peer("visitor", {channel, std::to_string(random() % 100'000)});
  };
  for (unsigned i = 0; i < possum::transport::layout::kReaders; ++i)
    visitors.push_back(visit());
  Growth growth;
  std::uint64_t key = 0;
  std::uint64_t no_slot = 0;
  unsigned killed = 0;
  unsigned most = 0;
  std::int64_t longest = 0;
  std::int64_t next_ns = 0;
  const std::int64_t end = in_ms(seconds * 1000);
  // How long processes take to start is the machine's affair: each page has two tenants.
  const auto every_page_had_two = [&] {
    return std::ranges::min(epochs_of(channel)) >= 2;
  };
  while (possum::monotonic_ns() < end ||
         (possum::monotonic_ns() < end + kLimitMs * kMs && !every_page_had_two())) {
    const std::int64_t before = own_time_ns();
    const WriteStatus status = try_publish(*writer, ++key, kBytes);
    longest = std::max(longest, own_time_ns() - before);
    const std::int64_t now = possum::monotonic_ns();
    CHECK(status == WriteStatus::ok || status == WriteStatus::no_slot);
    if (status == WriteStatus::no_slot) ++no_slot;
    std::this_thread::sleep_for(std::chrono::microseconds(500));
    if (now < next_ns) continue;
    next_ns = now + kSampleNs / 4;
    most = std::max(most, writer->active_readers());
    Peer& victim = visitors[random() % visitors.size()];
    if (random() % 2) {
      victim.kill();
      victim = visit();
      ++killed;
    }
    growth.sample();
    expect_low_semaphores(channel);
  }
  const auto epochs = epochs_of(channel);
  const auto [least, highest] = std::minmax_element(epochs.begin(), epochs.end());
  CHECK(*least >= 2);
  // Everything comes back while the writer still lives: the visitors are stopped for it.
  for (Peer& visitor : visitors) visitor.kill();
  CHECK(eventually([&] {
    const auto s = writer->statistics();
    return s.held == 0 && s.readers.empty();
  }));
  std::printf(
      "   %llu frames, %llu without a slot, longest %lld us; %u killed, at most "
      "%u readers at once, %u to %u tenants a page; writer: %s\n",
      static_cast<unsigned long long>(key), static_cast<unsigned long long>(no_slot),
      static_cast<long long>(longest / 1000), killed, most, *least, *highest,
      growth.text().c_str());
  CHECK(most >= possum::transport::layout::kReaders / 2 && killed > 10);
  // It is never made to wait.
  CHECK(longest < 1000 * kMs);
  // Those that are not killed find their way out.
  visitors.clear();
  for (int i = 0; i < 4; ++i) visitors.push_back(visit());
  CHECK(eventually([&] { return writer->active_readers() > 0; }));
  writer.reset();
  for (Peer& visitor : visitors) {
    std::istringstream answer(visitor.hear());
    std::string word;
    std::uint64_t visits = 0;
    answer >> word >> visits;
    CHECK(word == "visits" && visitor.join() == 0);
  }
}
