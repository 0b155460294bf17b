// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The roles of the long runs: a writer and a reader that keep to their plan, may be
// killed, stopped or replaced at any moment, prove every frame, and abort at the first
// thing that a peer's fate must not have done to them. And what these processes know of
// each other without the transport: the board, with their plans, counters that outlive a
// SIGKILL, heartbeats, and a ledger of all that was ever published.
#pragma once

#include <sys/resource.h>
#include <time.h>

#include <array>
#include <atomic>
#include <csignal>
#include <deque>
#include <optional>
#include <unordered_map>

#include "support/growth.h"
#include "support/processor.h"
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

// --- the roles -----------------------------------------------------------------------

inline constexpr std::int64_t kMaxBlockingNs = 1000 * kMs;
// A reader that did not look for so long may have been demoted.
inline constexpr std::int64_t kExcusingNs = kMaxBlockingNs / 2;

// What every such role is started with.
struct Part {
  explicit Part(const std::vector<std::string>& args)
      : board(std::stoi(args.at(0))),
        cell(static_cast<std::uint32_t>(std::stoul(args.at(1)))),
        random(std::stoull(args.at(2))),
        channel(args.at(3)) {
    const rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &unlimited);
  }

  Cell& mine() const { return board->cell[cell]; }
  bool chance(unsigned one_in) { return random() % one_in == 0; }

  SharedBoard board;
  const std::uint32_t cell;
  std::mt19937_64 random;
  const std::string channel;
};

// SIGALRM to each thread that the process has now, a thousand times a second each, no
// system call is restarted.
class Alarms {
 public:
  explicit Alarms(Board& board) : board_(board) {
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
    count(board_.alarms, count_.load());
  }
  Alarms(const Alarms&) = delete;
  Alarms& operator=(const Alarms&) = delete;
  std::size_t threads() const { return timers_.size(); }

 private:
  static inline std::atomic<std::uint64_t> count_{0};
  Board& board_;
  std::vector<timer_t> timers_;
};

inline volatile std::sig_atomic_t told_to_end = 0;

// --- the writer ----------------------------------------------------------------------

class MortalWriter {
 public:
  explicit MortalWriter(Part& part)
      : part_(part), board_(*part.board), plan_(part.mine().writer) {
    WriterOptions options = plan_.blocking ? blocking_writer(part.channel, plan_.slots)
                                           : plain_writer(part.channel, plan_.slots);
    if (board_.deadly) options.max_blocking_ns = kMaxBlockingNs;
    options.claim_timeout_ns = 60'000 * kMs;
    Error error;
    writer_ = Writer::create(options, events(), error);
    CHECK(writer_);
  }

  // False: somebody else has the channel.
  bool open() {
    Error error;
    const WriteStatus status = writer_->open(error);
    if (status == WriteStatus::failed && error.code == ErrorCode::busy) return false;
    if (status != WriteStatus::ok) fault(board_, Fault::wrong, "open: " + error.message);
    incarnation_ = writer_->incarnation();
    number_ = board_.owners.fetch_add(1) + 1;
    CHECK(number_ <= kLedgers);
    ledger_ = &board_.ledger[number_ - 1];
    ledger_->incarnation.store(incarnation_);
    return true;
  }

  void run() {
    expect_to_own();
    Error error;
    if (plan_.lend > 0 && !board_.deadly) {
      CHECK(writer_->prepare(plan_.slots / 2, kMostBytes, error));
    }
    CHECK(writer_->wait_readers(plan_.readers, error) == WriteStatus::ok);
    std::optional<Alarms> alarms;
    if (board_.alarming) alarms.emplace(board_);
    if (alarms) CHECK(alarms->threads() >= 2);  // the publishing and the housekeeping one
    Growth growth = board_.deadly ? Growth(4096, 1) : Growth();
    while (told_to_end == 0 && board_.phase.load() == Phase::run) {
      if (board_.owners.load() != number_) {
        fault(board_, Fault::wrong, "a second owner while the first one lives");
      }
      if (plan_.pace_us > 0) {
        const std::int64_t before = own_time_ns();
        frame();
        const std::int64_t took = own_time_ns() - before;
        count_most(board_.longest_ns,
                   static_cast<std::uint64_t>(std::max<std::int64_t>(took, 0)));
        std::this_thread::sleep_for(std::chrono::microseconds(plan_.pace_us));
      } else {
        frame();
      }
      if (seq_ % 256 == 0) {
        expect_to_own();
        count_most(board_.most_readers, writer_->active_readers());
      }
      if (!growth.sample(monotonic_ns())) {
        fault(board_, Fault::leaked, "of a writer");
      }
    }
    alarms.reset();
    if (growth.tells_something()) count(board_.samples);
    end();
  }

 private:
  WriterEvents events() {
    WriterEvents events;
    events.reader_demoted = [this](unsigned, std::uint32_t) { count(board_.demoted); };
    events.lost = [this](const Error& e) { fault(board_, Fault::wrong, e.message); };
    return events;
  }

  // Does the name lead to the object that this process has mapped, and is it still the
  // same channel?
  void expect_to_own() {
    struct stat name {};
    const bool there = stat(path_of(part_.channel).c_str(), &name) == 0;
    const std::string inode = " " + std::to_string(name.st_ino) + " ";
    const auto mappings = channel_mappings();
    if (!there || std::none_of(mappings.begin(), mappings.end(), [&](const auto& line) {
          return line.find(inode) != std::string::npos;
        })) {
      fault(board_, Fault::wrong, "the name does not lead to its owner");
    }
    if (writer_->incarnation() != incarnation_) {
      fault(board_, Fault::wrong, "an owner lost its name");
    }
  }

  void frame() {
    count(part_.mine().progress);
    borrow();
    const FrameId id{incarnation_, seq_ + 1};
    if (!lent_.empty() && part_.random() % 2 == 0 && publish_lent(id)) return;
    SlotRef ref;
    Error error;
    const WriteStatus status =
        writer_->acquire(id.bytes(), id.caps().size(), id.metas(), ref, error);
    if (status == WriteStatus::no_slot) {
      count(board_.no_slot);
      std::this_thread::sleep_for(std::chrono::microseconds(50));
      return;
    }
    if (status != WriteStatus::ok) {
      fault(board_, Fault::wrong, "acquire: " + error.message);
    }
    publish(ref, id, false);
  }

  void borrow() {
    if (lent_.size() >= plan_.lend) return;
    if (const auto ref = writer_->lend(kMostBytes)) {
      spoil(*ref, ref->capacity);
      lent_.push_back(*ref);
    }
  }

  // A borrower may publish its slot and keep it, and draw into it again once nobody sees
  // it any more.
  bool publish_lent(FrameId id) {
    const std::size_t at = part_.random() % lent_.size();
    const SlotRef ref = lent_[at];
    if (!writer_->publishable(ref, id.caps().size(), id.metas()) ||
        ref.capacity < id.bytes()) {
      return false;
    }
    publish(ref, id, true);
    if (part_.random() % 2 == 0) {
      writer_->give_back(ref);
      lent_.erase(lent_.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return true;
  }

  // What no frame ever shows.
  static void spoil(const SlotRef& ref, std::size_t bytes) {
    std::memset(ref.data, 0xee, bytes);
  }

  void publish(const SlotRef& ref, FrameId id, bool zero_copy) {
    CHECK(ref.capacity >= id.bytes());
    spoil(ref, id.bytes());
    draw(ref.data, id.bytes(), id.key());
    note(ref, id);
    auto frame = descriptor_for(id.key(), id.bytes());
    const std::vector<std::byte> metas(id.metas());
    Error error;
    const WriteStatus status =
        writer_->publish(ref, frame, id.caps(), metas, zero_copy, error);
    if (status != WriteStatus::ok || frame.seq != id.seq) {
      fault(board_, Fault::wrong, "publish: " + error.message);
    }
    seq_ = id.seq;
    ledger_->done.store(seq_);
    count(board_.published);
    count(part_.mine().frames);
    if (zero_copy) count(board_.zero_copy);
    if (part_.chance(16)) {
      std::this_thread::sleep_for(
          std::chrono::microseconds(part_.random() % (plan_.nap_us + 1)));
    }
  }

  void note(const SlotRef& ref, FrameId id) {
    Ledger::Entry& entry = ledger_->entry[id.seq % kRemembered];
    entry.before.store(std::exchange(last_in_[ref.object], id.seq));
    entry.seq.store(id.seq);
  }

  void end() {
    for (const SlotRef& ref : lent_) writer_->give_back(ref);
    CHECK(writer_->statistics().lent == 0);
    writer_->set_eos();
    Error error;
    if (writer_->drain(error) != WriteStatus::ok) {
      fault(board_, Fault::wrong, "drain: " + error.message);
    }
    ledger_->drained.store(1);
    if (board_.phase.load() != Phase::run) await_quiet();
    writer_->close();
    ledger_->closed.store(1);
  }

  // Once all readers are gone nothing of theirs may be left.
  void await_quiet() {
    const auto quiet = [this] {
      const auto s = writer_->statistics();
      return s.held == 0 && s.readers.empty();
    };
    const auto nap = [] { std::this_thread::sleep_for(std::chrono::milliseconds(1)); };
    for (; !quiet(); nap()) count(part_.mine().progress);
    say("quiet");
    for (; board_.phase.load() != Phase::closes; nap()) count(part_.mine().progress);
  }

  Part& part_;
  Board& board_;
  const WriterPlan plan_;
  std::unique_ptr<Writer> writer_;
  Ledger* ledger_ = nullptr;
  std::uint64_t incarnation_ = 0;
  std::uint32_t number_ = 0;
  std::uint64_t seq_ = 0;
  std::vector<SlotRef> lent_;
  std::unordered_map<std::uint32_t, std::uint64_t> last_in_;  // by object number
};

// --- the reader ----------------------------------------------------------------------

class MortalReader {
 public:
  explicit MortalReader(Part& part)
      : part_(part),
        board_(*part.board),
        plan_(part.mine().reader),
        descriptors_(open_descriptors().size()) {
    make_reader();
    idle_descriptors_ = open_descriptors().size();
  }

  void run() {
    while (running()) {
      count(part_.mine().progress);
      if (attach()) stay();
      settle();
      if (plan_.visits) become_another();
    }
    release_down_to(0);
    reader_.reset();
    if (open_descriptors().size() != descriptors_ || !channel_mappings().empty()) {
      fault(board_, Fault::leaked, "a reader that has ended");
    }
  }

 private:
  struct Held {
    Frame frame;
    FrameId id;
    std::uint32_t number;  // of its writer
    bool left = false;     // was the reader detached since?
  };

  void make_reader() {
    Error error;
    reader_ = Reader::create(reader_of(part_.channel, plan_.policy, plan_.depth), error);
    CHECK(reader_);
  }
  // What it keeps outlives the reader that took it.
  void become_another() {
    for (Held& held : held_) held.left = true;
    reader_.reset();
    plan_.policy = part_.chance(2) ? Policy::drop_oldest : Policy::drop_newest;
    plan_.depth = static_cast<unsigned>(1 + part_.random() % 4);
    make_reader();
  }

  bool running() const { return board_.phase.load() == Phase::run; }
  bool lossless() const { return plan_.policy == Policy::blocking && !excused_; }

  bool attach() {
    Error error;
    looked_ns_ = monotonic_ns();  // the writer waits for us from somewhere inside
    const AttachStatus status = reader_->attach(in_ms(100), error);
    if (status == AttachStatus::timeout) {
      if (error.code != ErrorCode::not_found && error.code != ErrorCode::busy) {
        fault(board_, Fault::wrong, "attach: " + error.message);
      }
      return false;
    }
    if (status != AttachStatus::attached) {
      fault(board_, Fault::wrong, "attach: " + error.message + " " + error.detail);
    }
    count(board_.attaches);
    incarnation_ = reader_->incarnation();
    return true;
  }

  // Null: no writer has said that it is this one.
  Ledger* ledger_of(std::uint64_t incarnation) {
    for (std::uint32_t number = board_.owners.load(); number > 0; --number) {
      Ledger& ledger = board_.ledger[number - 1];
      if (ledger.incarnation.load() == incarnation) return &ledger;
    }
    return nullptr;
  }

  void stay() {
    ledger_ = nullptr;
    first_ = true;
    excused_ = false;
    missing_.clear();
    auto left =
        static_cast<unsigned>(plan_.leave == 0 ? ~0u : 1 + part_.random() % plan_.leave);
    std::optional<Alarms> alarms;
    if (board_.alarming) alarms.emplace(board_);
    Growth growth;
    // Until the end of its writer; with a gap to explain it stays for the explanation.
    while (left > 0 || !missing_.empty()) {
      Frame frame;
      Error error;
      const TakeStatus status = reader_->take(in_ms(200), frame, error);
      const std::int64_t now = monotonic_ns();
      if (board_.deadly && now - looked_ns_ > kExcusingNs &&
          plan_.policy == Policy::blocking && !std::exchange(excused_, true)) {
        count(board_.excused);
      }
      looked_ns_ = now;
      count(part_.mine().progress);
      if (status == TakeStatus::timeout) continue;
      if (status == TakeStatus::eos || status == TakeStatus::disconnected) {
        writer_ended();
        break;
      }
      if (status != TakeStatus::frame) {
        fault(board_, Fault::wrong, "take: " + error.message + " " + error.detail);
      }
      see(std::move(frame));
      if (left > 0) --left;
      // Copies of what it hoards are its memory, too.
      const bool steady = !board_.deadly && plan_.leave == 0 && plan_.hold == 1;
      if (steady && !growth.sample(now)) {
        fault(board_, Fault::leaked, "of a reader");
      }
    }
    if (growth.tells_something()) count(board_.samples);
    if (part_.chance(2)) reader_->detach();
  }

  // --- each frame

  void see(Frame frame) {
    const FrameId id{incarnation_, frame.descriptor().seq};
    if (!as_published(frame, id)) torn("when taken", id);
    if (first_) {
      begin(id);
    } else {
      if (id.seq <= last_seq_) {
        fault(board_, Fault::reordered, "an older frame of the same writer");
      }
      if (frame.missed() != id.seq - last_seq_ - 1) {
        fault(board_, Fault::wrong, "missed() does not tell the gap");
      }
      if (lossless()) note_missing(last_seq_ + 1, id.seq);
      if (!missing_.empty() && id.seq > missing_.front().seq + kRemembered / 2) {
        lost("while the writer went on");
      }
    }
    last_seq_ = id.seq;
    count(board_.frames);
    count(board_.missed, frame.missed());
    count(part_.mine().frames);
    if (frame.is_copy()) count(board_.copies);
    if (lossless()) count(board_.lossless);
    held_.push_back({std::move(frame), id, number_});
    if (held_.size() == layout::kMaxLeases) count(board_.hoarded);
    // Mostly one for one, sometimes all at once.
    release_down_to(part_.chance(40) ? 0 : plan_.hold - 1);
    if (part_.chance(8)) {
      std::this_thread::sleep_for(
          std::chrono::microseconds(part_.random() % (plan_.nap_us + 1)));
    }
  }

  // The first frame after attaching. Its writer has entered itself before publishing.
  void begin(FrameId id) {
    first_ = false;
    from_ = id.seq;
    const std::uint32_t before = number_;
    ledger_ = ledger_of(incarnation_);
    if (!ledger_) fault(board_, Fault::wrong, "a frame of an unknown writer");
    number_ = static_cast<std::uint32_t>(ledger_ - board_.ledger.data()) + 1;
    if (number_ < before) fault(board_, Fault::reordered, "back to a dead writer");
    // The offer goes from page to page: the one we take now may be one frame behind.
    if (number_ == before && id.seq + 1 < last_seq_) {
      fault(board_, Fault::reordered, "attached to an old frame");
    }
  }

  void release_down_to(std::size_t most) {
    while (held_.size() > most) {
      const std::size_t at = part_.random() % held_.size();  // in any order
      prove(held_[at]);
      held_.erase(held_.begin() + static_cast<std::ptrdiff_t>(at));
    }
  }

  void prove(const Held& held) {
    if (!as_published(held.frame, held.id)) torn("before its release", held.id);
    if (held.left) count(board_.after_left);
    if (held.number < board_.owners.load()) count(board_.outlived);
  }

  // --- losses

  void note_missing(std::uint64_t from, std::uint64_t end) {
    for (std::uint64_t seq = from; seq < end; ++seq) missing_.push_back({seq, last_seq_});
  }

  // Whoever blocks the writer has every frame up to the last one that was published. One
  // whose publish() did not return may be there or not.
  void writer_ended() {
    count(board_.ends);
    if (first_) return;
    const std::uint64_t done = ledger_->done.load();
    if (last_seq_ > done + 1) fault(board_, Fault::wrong, "a frame nobody published");
    if (!lossless()) return;
    note_missing(last_seq_ + 1, done + 1);
    if (missing_.empty()) return;
    if (ledger_->drained.load() != 0) lost("of a writer that ended in order");
    // The one known weakness: a data object that the writer's successor removed before
    // this reader could map it. One in which it has had a frame is mapped.
    for (const Missing& m : missing_) {
      const Ledger::Entry& entry = ledger_->entry[m.seq % kRemembered];
      const std::uint64_t before = entry.before.load();
      const bool mapped = before >= from_ && before <= m.seen;
      if (entry.seq.load() != m.seq || mapped) {
        lost("at the death of its writer, in an object seen before");
      }
    }
    count(board_.unmapped, missing_.size());
    missing_.clear();
  }

  [[noreturn]] void lost(const std::string& how) {
    fault(board_, Fault::lost,
          "reader " + std::to_string(part_.cell) + ": frame " +
              std::to_string(missing_.front().seq) + " and " +
              std::to_string(missing_.size() - 1) + " more, the last one seen is " +
              std::to_string(last_seq_) + " of " + std::to_string(ledger_->done.load()) +
              ", " + how);
  }
  [[noreturn]] void torn(const std::string& when, FrameId id) {
    fault(board_, Fault::torn, "frame " + std::to_string(id.seq) + " " + when);
  }

  // --- between two channels

  void settle() {
    if (reader_->attached()) return;  // attach() leaves for us
    for (Held& held : held_) held.left = true;
    release_down_to(plan_.keep);
    if (!held_.empty()) return;
    // Once it has had to wait for a channel, the watch for it stays
    // (ShmWatch::arm()).
    const std::size_t extra = open_descriptors().size() - idle_descriptors_;
    if (extra > 1 || !channel_mappings().empty()) {
      fault(board_, Fault::leaked, "a reader that has left and holds nothing");
    }
    if (++settled_ == 32) memory_kb_ = private_kib();
    if (!kSanitized && settled_ > 32 && private_kib() > memory_kb_ + 4096) {
      fault(board_, Fault::leaked, "memory of a reader");
    }
  }

  struct Missing {
    std::uint64_t seq;
    std::uint64_t seen;  // the last frame taken before
  };

  Part& part_;
  Board& board_;
  ReaderPlan plan_;
  const std::size_t descriptors_;
  std::size_t idle_descriptors_ = 0;
  std::unique_ptr<Reader> reader_;
  std::deque<Held> held_;
  unsigned settled_ = 0;
  std::size_t memory_kb_ = 0;
  // Of the writer attached to.
  std::uint64_t incarnation_ = 0;
  Ledger* ledger_ = nullptr;
  std::uint32_t number_ = 0;
  std::uint64_t from_ = 0;  // its first frame
  std::uint64_t last_seq_ = 0;
  bool first_ = true;
  std::int64_t looked_ns_ = 0;
  bool excused_ = false;
  std::vector<Missing> missing_;
};

}  // namespace support

// BOARD CELL SEED CHANNEL: waits for its standard input to end, then claims the channel.
// Says "owner" or "busy", and "quiet" when all readers are gone at the end.
ROLE(mortal_writer) {
  support::Part part(args);
  signal(SIGTERM, [](int) { support::told_to_end = 1; });
  support::MortalWriter writer(part);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR) {
  }
  if (part.board->phase.load() != support::Phase::run) return 0;
  const bool owner = writer.open();
  support::say(owner ? "owner" : "busy");
  if (owner) writer.run();
  return 0;
}

// BOARD CELL SEED CHANNEL
ROLE(mortal_reader) {
  support::Part part(args);
  support::MortalReader(part).run();
  return 0;
}
