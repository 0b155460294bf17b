// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Names in /dev/shm that somebody took first, as every user may: those of channels, and
// those of data objects, whose numbers are random. Here the test says what is drawn.
#include <poll.h>
#include <sys/random.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <mutex>

#include "support/peers.h"

using namespace support;

namespace {

// Calls of shm_open() and of ppoll().
std::atomic<unsigned> opens{0};
std::atomic<unsigned> polls{0};

std::mutex draws_mutex;
std::deque<std::uint32_t> draws;  // what comes before real random numbers

// All 32-bit numbers that are drawn from here on, while this lives.
class Rigged {
 public:
  explicit Rigged(std::initializer_list<std::uint32_t> numbers) {
    const std::lock_guard lock(draws_mutex);
    draws = numbers;
  }
  ~Rigged() {
    const std::lock_guard lock(draws_mutex);
    draws.clear();
  }
  std::size_t left() const {
    const std::lock_guard lock(draws_mutex);
    return draws.size();
  }
};

std::uint32_t number_of(const std::string& name) {
  return static_cast<std::uint32_t>(
      std::stoul(name.substr(name.rfind('.') + 1), nullptr, 16));
}

// Those of the channel's data objects that this user made with some size, in order.
std::vector<std::uint32_t> numbers(const std::string& channel) {
  std::vector<std::uint32_t> result;
  for (const std::string& name : names_of(channel)) {
    const auto info = stat_name("/" + name);
    if (name.starts_with("possum-d.") && info && info->st_size > 0) {
      result.push_back(number_of(name));
    }
  }
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace

// In place of the C library's.
extern "C" ssize_t getrandom(void* to, size_t bytes, unsigned flags) {
  {
    const std::lock_guard lock(draws_mutex);
    if (bytes == sizeof(std::uint32_t) && !draws.empty()) {
      std::memcpy(to, &draws.front(), bytes);
      draws.pop_front();
      return static_cast<ssize_t>(bytes);
    }
  }
  return syscall(SYS_getrandom, to, bytes, flags);
}

extern "C" int shm_open(const char* name, int flags, mode_t mode) {
  ++opens;
  return open((kShmDirectory + std::string(name)).c_str(), flags | O_NOFOLLOW | O_CLOEXEC,
              mode);
}

extern "C" int ppoll(pollfd* fds, nfds_t count, const timespec* timeout,
                     const sigset_t*) {
  ++polls;
  timespec left = *timeout;  // the kernel says what was left
  return static_cast<int>(syscall(SYS_ppoll, fds, count, &left, nullptr, 0));
}

TEST_F(WithWriter,
       objects_have_the_numbers_that_are_drawn_but_none_twice_and_never_zero) {
  {
    const Rigged rigged{0, 7, 7, 0, 9, 7, 9, 4'000'000'000};
    CHECK(writer->prepare(3, kSmall, error) && rigged.left() == 0);
  }
  CHECK((numbers(channel) == std::vector<std::uint32_t>{7, 9, 4'000'000'000}));
  {
    // Not even when the objects of these numbers have made room for larger ones.
    const Rigged rigged{4'000'000'000, 7, 9, 11, 12, 13};
    CHECK(writer->prepare(3, 100 * kSmall, error) && rigged.left() == 0);
  }
  CHECK((numbers(channel) == std::vector<std::uint32_t>{11, 12, 13}));
}

TEST_F(OnChannel, names_that_somebody_took_are_passed_over) {
  const auto writer = open_writer(plain_writer(channel, 8));
  const auto reader = attach_reader(reader_of(channel));
  std::vector<std::string> squatted;
  for (const std::uint32_t number : {1u, 2u, 3u}) {
    squatted.push_back(data_name(channel, writer->incarnation(), number));
    make_name(squatted.back());
  }
  {
    const Rigged rigged{1, 10, 2, 3, 11, 1, 2, 3, 12};
    Error error;
    CHECK(writer->prepare(3, kSmall, error) && rigged.left() == 0);
    CHECK(error.code == ErrorCode::none);
  }
  CHECK((numbers(channel) == std::vector<std::uint32_t>{10, 11, 12}));
  // The pool grows, which another thread does ahead of need.
  std::vector<Frame> held;
  {
    const Rigged rigged{1, 2, 3, 20, 1, 2, 3, 21};
    for (std::uint64_t key = 1; key <= 5; ++key) {
      publish(*writer, key);
      held.push_back(take(*reader));
      CHECK(key_of(held.back()) == key);
    }
    CHECK(eventually([&] { return rigged.left() == 0; }));
  }
  held.clear();
  for (const std::string& name : squatted) {
    CHECK(stat_name(name)->st_size == 0);  // nobody touched it
    CHECK(shm_unlink(name.c_str()) == 0);
  }
}

// Anybody can count.
TEST_F(OnChannel, numbers_say_nothing_about_the_next_ones) {
  const auto writer = open_writer(plain_writer(channel, 16));
  CHECK(writer->prepare(16, kSmall, error));
  const std::vector<std::uint32_t> drawn = numbers(channel);
  CHECK(drawn.size() == 16);
  // 16 of 4 billion lie as close together as this once in millions of runs.
  CHECK(drawn.back() - drawn.front() > 1u << 24);
}

// Each time there is something to look at, or nothing any more. Once it is another name.
TEST(names_that_come_and_go_without_end_do_not_keep_a_reader_busy) {
  for (const bool own : {true, false}) {
    const std::string channel = unique_channel();
    const std::string path = kShmDirectory + control_name(own ? channel : channel + "x");
    Process squatter([&] {
      for (;;) {
        mknod(path.c_str(), S_IFREG | 0600, 0);
        unlink(path.c_str());
      }
    });
    Error error;
    const auto reader = Reader::create(reader_of(channel), error);
    const std::int64_t start = monotonic_ns();
    opens = polls = 0;
    CHECK(reader->attach(in_ms(1000), error) == AttachStatus::timeout);
    squatter.kill();
    unlink(path.c_str());
    const auto took_ms = static_cast<unsigned>((monotonic_ns() - start) / kMs);
    std::printf("   %u opened, %u polled in %u ms\n", opens.load(), polls.load(),
                took_ms);
    // Two for each look; one look in 5 ms while somebody may be setting up a channel.
    CHECK(opens <= 2 * (50 + took_ms / 5) && polls <= 2 * (50 + took_ms / 5));
  }
}

// Until the name of a dead writer is its successor's there is no moment for anybody else.
TEST_F(OnChannel,
       name_of_a_dead_writer_goes_to_its_successor_and_to_nobody_who_waits_for_it) {
  need_root();
  const auto die_as_writer = [&] {
    Claim claim;  // given up without a word
    return claim_channel({channel, {}, false}, claim, error) == ClaimStatus::ok;
  };
  CHECK(die_as_writer());
  Process squatter([&] {
    CHECK(setresuid(54303, 54303, 54303) == 0);
    CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    const std::string path = path_of(channel);
    while (open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600) < 0) {
    }
    pause();
  });
  bool ours = true;
  for (int lives = 0; lives < 1000 && ours; ++lives) ours = die_as_writer();
  squatter.kill();
  if (!ours) std::fprintf(stderr, "%s\n", error.message.c_str());
  CHECK(ours);
  // As it is left by a successor that died meanwhile, too.
  make_name(data_name(channel, 0, 77));
  const auto writer = open_writer(plain_writer(channel));
  CHECK(names_of(channel).size() == 1);
}

// They cost the time to read their names, and no memory.
TEST_F(OnChannel, data_names_of_other_users_stay_and_are_in_nobodys_way) {
  need_root();
  std::vector<std::string> squatted;
  for (std::uint32_t i = 0; i < 2000; ++i) {
    squatted.push_back(data_name(channel, i, i));
    make_name(squatted.back());
    CHECK(chown((kShmDirectory + squatted.back()).c_str(), 54303, 54303) == 0);
  }
  FarWriter writer = writing_as(User{54301, 54301}, channel);
  writer.publish(1, 3);
  writer.kill();
  FarWriter again = writing_as(User{54301, 54301}, channel);
  again.publish(1, 3);
  again.order("close", "closed");
  CHECK(names_of(channel).size() == squatted.size());
  for (const std::string& name : squatted) CHECK(shm_unlink(name.c_str()) == 0);
}
