// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Where the threads of this process sleep, as the kernel tells it: at a bell of a
// channel, or in a look for one. That is the only thing which shows that a wait has begun
// rather than that it is about to.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "transport/layout.h"

namespace support {

namespace detail {

struct Call {
  long number = -1;
  std::uint64_t first_argument = 0;
};

// /proc/PID/task/TID/syscall: "NUMBER 0xARGUMENT ...", or "running".
inline std::optional<Call> call_of(const std::filesystem::path& task) {
  std::ifstream file(task / "syscall");
  Call call;
  if (!(file >> call.number >> std::hex >> call.first_argument)) return std::nullopt;
  return call;
}

// The place in the channel's control object that is mapped at an address.
inline std::optional<std::uint64_t> offset_in_control(const std::string& channel,
                                                      std::uint64_t address) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (!line.ends_with("/dev/shm/possum-c." + channel)) continue;
    std::istringstream fields(line);
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    std::uint64_t offset = 0;
    std::string mode;
    char dash = 0;
    fields >> std::hex >> start >> dash >> end >> mode >> offset;
    if (address >= start && address < end) return offset + address - start;
  }
  return std::nullopt;
}

template <class Condition>
bool some_thread(Condition condition) {
  std::error_code ended;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", ended)) {
    const auto call = call_of(task.path());
    if (call && condition(*call)) return true;
  }
  return false;
}

inline std::uint64_t unit(unsigned index) {
  return index * std::max<std::uint64_t>(possum::transport::layout::kMinUnitBytes,
                                         static_cast<std::uint64_t>(getpagesize()));
}

// At a semaphore of units `first` to `last`.
inline bool sleeps_in(const std::string& channel, unsigned first, unsigned last) {
  return some_thread([&](const Call& call) {
    if (call.number != SYS_futex) return false;
    const auto offset = offset_in_control(channel, call.first_argument);
    return offset && *offset >= unit(first) && *offset < unit(last + 1);
  });
}
inline bool sleeps_in(const std::string& channel, unsigned only) {
  return sleeps_in(channel, only, only);
}

}  // namespace detail

// Not every kernel, and no sandbox or emulator that plays one, says what threads do.
inline bool can_see_sleepers() {
  const auto reading = detail::call_of("/proc/thread-self");
  return reading && reading->number == SYS_read;
}

// A thread that publishes, drains or waits for readers.
inline bool writer_sleeps(const std::string& channel) {
  return detail::sleeps_in(channel, possum::transport::layout::kRoomUnit);
}
inline bool housekeeper_sleeps(const std::string& channel) {
  return detail::sleeps_in(channel, possum::transport::layout::kAttentionUnit);
}
// A thread that takes frames.
inline bool reader_sleeps(const std::string& channel) {
  constexpr unsigned kFirst = possum::transport::layout::kReaderUnit;
  return detail::sleeps_in(channel, kFirst,
                           kFirst + possum::transport::layout::kReaders - 1);
}
// A thread that looks for a channel, or for its name to be free.
inline bool somebody_searches() {
  return detail::some_thread(
      [](const detail::Call& call) { return call.number == SYS_ppoll; });
}

}  // namespace support
