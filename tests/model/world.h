// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What the processes of one channel share, in small: control objects of two incarnations,
// byte locks, names, semaphores, frames. Each access to something shared is a step of the
// explorer. The environments of WriterCore and ReaderCore over it.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>

#include "bell_core.h"
#include "explore.h"
#include "layout.h"
#include "reader_core.h"

namespace model {

using namespace possum;
using namespace possum::transport;

// What the thread that runs says to the explorer.
inline Explorer& explorer() { return *Explorer::active(); }
inline void step(const char* what, const void* where) { explorer().step(what, where); }
inline void observe(std::uint64_t value) { explorer().observe(value); }
inline void require(bool holds, const char* why) {
  if (!holds) explorer().fail(why);
}
inline void checkpoint(std::uint64_t place) { explorer().checkpoint(place); }
inline unsigned choose(const char* what, unsigned choices) {
  return explorer().choose(what, choices);
}
inline void progress(bool excused) { explorer().progress(excused); }

// As std::atomic, under sequential consistency. `sole` is the only thread that stores:
// what it loads it knows, and such a load is no step. Nor is one of a constant. `still`:
// nobody can store before that thread has done something else.
template <class T>
struct Atomic {
  static constexpr std::uint32_t kConstant = ~0u;
  T value;
  std::uint32_t sole;   // thread + 1
  std::uint32_t still;  // thread + 1
  std::uint32_t reserved;

  T load(std::memory_order) const {
    if (sole == kConstant) return value;
    const int self = explorer().current() + 1;
    if (sole != 0 && static_cast<int>(sole) == self) return value;
    if (still != 0 && static_cast<int>(still) == self) {
      observe(value);
      return value;
    }
    step("load", this);
    observe(value);
    return value;
  }
  void store(T to, std::memory_order) {
    require(sole != kConstant, "the model took a variable for a constant");
    step("store", this);
    value = to;
  }
  T exchange(T to, std::memory_order) {
    return change("exchange", [to](T) { return to; });
  }
  bool compare_exchange_strong(T& expected, T to, std::memory_order,
                               std::memory_order = std::memory_order_seq_cst) {
    step("compare_exchange", this);
    const bool same = value == expected;
    if (same) {
      value = to;
    } else {
      expected = value;
      observe(value);
    }
    observe(same);
    return same;
  }
  T fetch_and(T mask, std::memory_order) {
    return change("fetch_and", [mask](T old) { return old & mask; });
  }
  T fetch_or(T mask, std::memory_order) {
    return change("fetch_or", [mask](T old) { return old | mask; });
  }
  template <class Change>
  T change(const char* what, Change to) {
    step(what, this);
    const T old = value;
    value = to(old);
    observe(old);
    return old;
  }
};

// Nothing in the protocol reads it.
template <class T>
struct Hint {
  T value;
  void store(T to, std::memory_order) { value = to; }
  T fetch_or(T mask, std::memory_order) {
    value |= mask;
    return value;
  }
};

struct Semaphore {
  std::uint32_t* count;
  void drain() {
    step("drain", count);
    *count = 0;
  }
  bool post() {
    step("post", count);
    if (*count < 3) ++*count;
    return true;
  }
};
struct BellWords {
  Atomic<std::uint32_t> waiting;
  std::uint32_t count;
  std::uint32_t reserved;
};
class Bell : public BellCore<Atomic<std::uint32_t>, Semaphore> {
 public:
  explicit Bell(BellWords& words) : BellCore(words.waiting, Semaphore{&words.count}) {}
  // False: woken by time alone.
  bool sleep() {
    if (!fall_asleep()) return true;
    const bool posted = explorer().wait(
        "sleep", semaphore_.count,
        [](void* count) { return *static_cast<std::uint32_t*>(count) > 0; },
        semaphore_.count, true);
    if (posted) --*semaphore_.count;
    disarm();
    return posted;
  }
};

constexpr unsigned kLives = 2;     // incarnations
constexpr unsigned kObjects = 11;  // numbers of objects in one incarnation
constexpr unsigned kReadersMax = 3;

struct Object {
  std::uint8_t named;
  std::uint8_t large;
  std::uint8_t users;    // who looks at its pixels or draws on them, by bits
  std::uint8_t ordinal;  // of the frame as upstream counts
  std::uint32_t seq;     // of the frame
};

// Remembers what the reader is owed from its admission on.
struct Grant : Atomic<std::uint32_t> {
  std::uint32_t due;         // the first frame, 0: not admitted
  const std::uint32_t* now;  // what it would be now
  std::uint32_t fetch_or(std::uint32_t mask, std::memory_order order) {
    const std::uint32_t old = Atomic::fetch_or(mask, order);
    if ((mask & layout::kAdmitted) != 0) due = *now;
    return old;
  }
  void store(std::uint32_t to, std::memory_order order) {
    Atomic::store(to, order);
    if ((to & layout::kAdmitted) == 0) due = 0;
  }
};

template <unsigned Pages, unsigned Slots>
struct Control {
  struct Entry {
    Atomic<std::uint64_t> seq;
    Atomic<std::uint32_t> object;
  };
  struct Header {
    Atomic<std::uint32_t> state, reserve, admitted, have;
    Hint<std::uint32_t> latest;
    Entry slot[Slots];
  };
  struct Page {
    Atomic<std::uint64_t> word, cfg;
    BellWords bell;
    Grant grant;
    std::uint32_t lock;  // thread + 1
    std::uint32_t reserved;
  };
  Header header;
  Page page[Pages];
  BellWords room;
  std::uint32_t owner;   // thread + 1
  std::uint32_t linked;  // has the control object its name?
  Object objects[kObjects + 1];

  // Nobody's memory: what the rules are about.
  std::uint32_t writer_died;
  std::uint32_t reader_died;
  std::uint32_t due;   // the first frame for whoever is admitted now
  std::uint32_t done;  // newest frame that was offered to all
  std::uint32_t stopping;
  std::uint32_t drained;  // pages that were admitted by then

  // What the writer offers to whoever comes, 0: nothing.
  std::uint64_t newest() const {
    const std::uint32_t latest = header.latest.value;
    return latest == 0 ? 0 : header.slot[latest - 1].seq.value;
  }
};

}  // namespace model
