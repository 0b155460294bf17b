// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What an application says to a Writer when it makes one, and what it hears from it.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "base/error.h"

namespace possum::transport {

inline constexpr std::int64_t kForever = INT64_MAX;

struct WriterOptions {
  std::string channel = "default";
  unsigned slots = 16;  // 3..32, the most the pool may grow to
  // Of the control object, see check_perms(); data objects lose w of group and others.
  unsigned perms = 0600;
  std::optional<gid_t> group;
  bool allow_blocking = false;
  std::int64_t max_blocking_ns = kForever;  // stall after which a blocking reader drops
  std::int64_t claim_timeout_ns = 2'000'000'000;  // how long a held name is retried
  bool bus_guard = false;  // install the SIGBUS handler of bus_guard.h
};

enum class WriteStatus {
  ok,
  interrupted,  // interrupt(true) was called; nothing is lost, call again
  timeout,      // the deadline came first; nothing is lost, call again
  no_slot,      // readers hold every slot, or somebody truncated or removed the objects
                // and the channel is being made anew: drop the frame (counted)
  failed,       // see the Error
};

// Called one after the other from a thread that does nothing else, with no lock held. A
// function may be empty. It may take its time, and call anything, close() and the
// Writer's end among it. close() waits for one that runs, but half a second at most:
// perhaps that one waits for the thread in close(). It then runs on by itself: let it own
// what it uses. None is begun after close(). What happens while one runs is told as it
// stands afterwards.
struct WriterEvents {
  // A reader that came and went between two looks, 10 ms apart, is not told of at all.
  std::function<void(unsigned index, std::uint32_t pid)> reader_attached;
  // reason: "left", "died"
  std::function<void(unsigned index, const char* reason)> reader_detached;
  std::function<void(unsigned index, std::uint32_t pid)> reader_demoted;
  // The pool wanted to grow and /dev/shm had no room. Called once per shortage.
  std::function<void(unsigned slots, const Error&)> pool_limited;
  // The channel is there: at first, over what a dead writer left (`took_over`) or not,
  // and again (`anew`) after somebody had removed or damaged its objects.
  std::function<void(bool took_over, bool anew)> claimed;
  // So many slots exist from here on, of so many bytes together. Told 250 ms later at
  // most, and not of each step in between.
  std::function<void(unsigned slots, std::size_t bytes)> pool_changed;
  // The control name was removed and could not be claimed again. Every later call fails.
  std::function<void(const Error&)> lost;
};

}  // namespace possum::transport
