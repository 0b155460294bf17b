// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What the processes of a long run know of each other without the transport: their plans,
// counters that outlive a SIGKILL, heartbeats, and a ledger of all that was ever
// published. Include it after check.h.
#pragma once

#include <array>
#include <atomic>

#include "support/transport.h"

namespace support {

inline constexpr unsigned kCells = 48;
inline constexpr unsigned kLedgers = 1u << 16;
inline constexpr unsigned kRemembered = 64;  // frames per ledger; the depth is 16 at most

struct WriterPlan {
  unsigned slots = 16;
  unsigned lend = 0;      // slots kept lent, at most
  bool blocking = true;   // readers may make it wait
  unsigned readers = 0;   // come before its first frame
  unsigned nap_us = 100;  // up to so long, after one frame in 16
  unsigned pace_us = 0;   // after each frame; then the longest publication counts
};

struct ReaderPlan {
  Policy policy = Policy::drop_oldest;
  unsigned depth = 3;
  unsigned hold = 1;   // frames held at once while attached
  unsigned keep = 0;   // frames kept after leaving
  unsigned leave = 0;  // leaves after up to so many frames; 0: never
  unsigned nap_us = 200;
  bool visits = false;  // comes again as another one, with another depth
};

// `run` until all is over, then the writer `ends` its stream, and closes the channel once
// all readers are gone.
enum class Phase : std::uint32_t { run, ends, closes };
// `wrong` is everything else, above all an error that nobody has deserved.
enum class Fault : unsigned { torn, reordered, lost, stuck, leaked, wrong };
inline constexpr std::array kFaultNames = {"torn",  "reordered", "lost",
                                           "stuck", "leaked",    "wrong"};

// One process.
struct Cell {
  WriterPlan writer;
  ReaderPlan reader;
  std::atomic<std::uint64_t> progress;  // moves as long as the process does anything
  std::atomic<std::uint64_t> frames;    // published or taken
};

// What one owner of the channel published. Its place in the board is the order.
struct Ledger {
  struct Entry {
    std::atomic<std::uint64_t> seq;
    std::atomic<std::uint64_t> before;  // the frame before it in its data object
  };
  std::atomic<std::uint64_t> incarnation;
  std::atomic<std::uint64_t> done;     // the last frame whose publish() returned
  std::atomic<std::uint32_t> drained;  // EOS was said and every blocking reader had it
  std::atomic<std::uint32_t> closed;
  std::array<Entry, kRemembered> entry;
};

struct Board {
  using Count = std::atomic<std::uint64_t>;

  std::atomic<Phase> phase;
  bool deadly;    // processes may die, and a stopped reader loses its right to block
  bool alarming;  // a thousand signals a second for each thread
  std::atomic<std::uint32_t> owners;  // ledgers in use
  std::array<Count, kFaultNames.size()> faults;
  // Counted by the processes themselves.
  Count published, zero_copy, no_slot, demoted, alarms, longest_ns, most_readers;
  Count attaches, frames, missed, copies, lossless, ends, unmapped, excused, samples;
  Count hoarded;     // eight leases held at once
  Count after_left;  // frames proved whole after the reader had left
  Count outlived;    // and after their writer was gone
  std::array<Cell, kCells> cell;
  std::array<Ledger, kLedgers> ledger;
};

// The board in this process: made by the driver, inherited by everybody else.
class SharedBoard {
 public:
  SharedBoard() : SharedBoard(memfd_create("board", MFD_CLOEXEC)) {}
  explicit SharedBoard(int fd) : fd_(fd) {
    CHECK(fd >= 0 && ftruncate(fd, sizeof(Board)) == 0);
    void* at = mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    CHECK(at != MAP_FAILED);
    madvise(at, sizeof(Board), MADV_DONTDUMP);
    board_ = static_cast<Board*>(at);  // a new memfd is all zeros, as it should be
  }
  ~SharedBoard() {
    munmap(board_, sizeof(Board));
    close(fd_);
  }
  SharedBoard(const SharedBoard&) = delete;
  SharedBoard& operator=(const SharedBoard&) = delete;
  int fd() const { return fd_; }
  Board* operator->() const { return board_; }
  Board& operator*() const { return *board_; }

 private:
  int fd_;
  Board* board_ = nullptr;
};

inline void count(Board::Count& counter, std::uint64_t more = 1) {
  counter.fetch_add(more, std::memory_order_relaxed);
}
// For one process at a time.
inline void count_most(Board::Count& counter, std::uint64_t value) {
  if (value > counter.load()) counter.store(value);
}

[[noreturn]] inline void fault(Board& board, Fault kind, const std::string& what) {
  count(board.faults[static_cast<unsigned>(kind)]);
  std::fprintf(stderr, "pid %d: %s: %s\n", static_cast<int>(getpid()),
               kFaultNames[static_cast<unsigned>(kind)], what.c_str());
  std::abort();
}

// --- frames: all of them follow from incarnation and sequence number -----------------

inline std::uint64_t mixed(std::uint64_t value) {
  value = (value ^ (value >> 31)) * 0x7fb5d329728ea185;
  value = (value ^ (value >> 27)) * 0x81dadef4bc2dd44d;
  return value ^ (value >> 33);
}

struct FrameId {
  std::uint64_t incarnation;
  std::uint64_t seq;

  std::uint64_t key() const { return mixed(incarnation + mixed(seq)); }
  // Sizes and formats that last for a while, so that objects are replaced now and then.
  std::size_t bytes() const {
    const std::uint64_t era = mixed(incarnation + seq / 150);
    const std::size_t most = era % 8 == 0 ? 60'000 : era % 8 < 4 ? 6'000 : 500;
    return 8 + key() % most;
  }
  std::string caps() const {
    const std::uint64_t era = mixed(incarnation ^ (seq / 100));
    return "caps " + std::to_string(era) + std::string(era % 5 == 0 ? 3000 : 20, 'c');
  }
  std::size_t metas() const { return key() % 32 == 0 ? key() / 32 % 9000 : 0; }
};

inline constexpr std::size_t kMostBytes = 60'008;

inline bool as_published(const Frame& frame, FrameId id) {
  return frame.descriptor().seq == id.seq && key_of(frame) == id.key() &&
         frame.size() == id.bytes() && frame.metas().size() == id.metas() &&
         *frame.caps() == id.caps() && shows(frame.data(), frame.size(), id.key());
}

}  // namespace support
