// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The roles of the random-death run: a writer and a reader that may be killed, stopped or
// replaced at any moment, prove every frame, and abort at the first thing that a peer's
// fate must not have done to them. Include it after check.h in one source file only.
#pragma once

#include <csignal>
#include <deque>
#include <optional>
#include <unordered_map>

#include "support/board.h"
#include "support/growth.h"

namespace support {

inline constexpr std::int64_t kMaxBlockingNs = 1000 * kMs;
// A reader that did not look for so long may have been demoted.
inline constexpr std::int64_t kExcusingNs = kMaxBlockingNs / 2;

// What every such role is started with.
struct Part {
  explicit Part(const std::vector<std::string>& args)
      : board(std::stoi(args.at(0))),
        events(std::stoi(args.at(1))),
        cell(static_cast<std::uint32_t>(std::stoul(args.at(2)))),
        generation(static_cast<std::uint32_t>(std::stoul(args.at(3)))),
        random(std::stoull(args.at(4))),
        channel(args.at(5)) {
    const rlimit unlimited = {RLIM_INFINITY, RLIM_INFINITY};
    setrlimit(RLIMIT_CORE, &unlimited);
  }

  Cell& mine() const { return board->cell[cell]; }
  void tell(Happening what) const {
    const Event event = {cell, generation, what};
    CHECK(write(events, &event, sizeof event) == sizeof event);
  }
  bool chance(unsigned one_in) { return random() % one_in == 0; }

  SharedBoard board;
  const int events;
  const std::uint32_t cell;
  const std::uint32_t generation;
  std::mt19937_64 random;
  const std::string channel;
};

inline volatile std::sig_atomic_t told_to_end = 0;

// --- the writer ----------------------------------------------------------------------

class MortalWriter {
 public:
  MortalWriter(Part& part, std::int64_t patience_ns) : part_(part), board_(*part.board) {
    WriterOptions options = blocking_writer(part.channel, 5 + part.random() % 20);
    options.max_blocking_ns = kMaxBlockingNs;
    options.claim_timeout_ns = patience_ns;
    lend_ = static_cast<unsigned>(part.random() % 5);
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
    const std::size_t descriptors = open_descriptors();
    std::size_t memory_kb = 0;
    while (told_to_end == 0 && board_.phase.load() != Phase::writer_ends) {
      if (board_.owners.load() != number_) {
        fault(board_, Fault::wrong, "a second owner while the first one lives");
      }
      frame();
      if (seq_ % 256 == 0) {
        expect_to_own();
        // One may be open in the housekeeping thread.
        if (open_descriptors() > descriptors + 1) {
          fault(board_, Fault::leaked, "descriptors of a writer");
        }
      }
      if (seq_ == 4096) memory_kb = private_kb();
      if (!kSanitized && memory_kb > 0 && seq_ % 4096 == 0 &&
          private_kb() > memory_kb + 4096) {
        fault(board_, Fault::leaked, "memory of a writer");
      }
      report_quiet();
    }
    end();
  }

 private:
  possum::transport::WriterEvents events() {
    possum::transport::WriterEvents events;
    events.reader_demoted = [this](unsigned, std::uint32_t) { count(board_.demoted); };
    events.lost = [this](const Error& e) { fault(board_, Fault::wrong, e.message); };
    return events;
  }

  // Does the name lead to an object that this process has open, and is it still the same
  // channel?
  void expect_to_own() {
    const std::string path =
        possum::transport::kShmDirectory + possum::transport::control_name(part_.channel);
    struct stat name {};
    bool ours = false;
    if (stat(path.c_str(), &name) == 0) {
      std::error_code gone;
      for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        struct stat open {};
        if (std::filesystem::read_symlink(entry.path(), gone) == path &&
            stat(entry.path().c_str(), &open) == 0 && open.st_ino == name.st_ino) {
          ours = true;
        }
      }
    }
    if (!ours) fault(board_, Fault::wrong, "the name does not lead to its owner");
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
    if (lent_.size() >= lend_) return;
    if (const auto ref = writer_->lend(60'008)) {
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
      std::this_thread::sleep_for(std::chrono::microseconds(part_.random() % 400));
    }
  }

  void note(const SlotRef& ref, FrameId id) {
    const std::uint64_t first = first_.try_emplace(ref.object, id.seq).first->second;
    Ledger::Entry& entry = ledger_->entry[id.seq % kRemembered];
    entry.first.store(first);
    entry.seq.store(id.seq);
  }

  // Once all readers are gone nothing of theirs may be left.
  void report_quiet() {
    if (quiet_ || board_.phase.load() == Phase::run) return;
    const auto s = writer_->statistics();
    quiet_ = s.held == 0 && s.readers.empty();
    if (quiet_) part_.tell(Happening::quiet);
  }

  void end() {
    for (const SlotRef& ref : lent_) writer_->give_back(ref);
    writer_->set_eos();
    Error error;
    if (writer_->drain(error) != WriteStatus::ok) {
      fault(board_, Fault::wrong, "drain: " + error.message);
    }
    ledger_->drained.store(1);
    writer_->close();
    ledger_->closed.store(1);
  }

  Part& part_;
  Board& board_;
  std::unique_ptr<Writer> writer_;
  Ledger* ledger_ = nullptr;
  std::uint64_t incarnation_ = 0;
  std::uint32_t number_ = 0;
  std::uint64_t seq_ = 0;
  unsigned lend_ = 0;
  std::vector<SlotRef> lent_;
  std::unordered_map<std::uint32_t, std::uint64_t> first_;  // by object number
  bool quiet_ = false;
};

// --- the reader ----------------------------------------------------------------------

struct ReaderPlan {
  Policy policy = Policy::drop_oldest;
  unsigned depth = 3;
  unsigned hold = 1;   // frames held at once while attached
  unsigned keep = 0;   // frames kept after leaving
  unsigned leave = 0;  // leaves after up to so many frames; 0: never
  unsigned nap_us = 200;
};

class MortalReader {
 public:
  MortalReader(Part& part, const ReaderPlan& plan)
      : part_(part), board_(*part.board), plan_(plan), descriptors_(open_descriptors()) {
    Error error;
    reader_ = Reader::create(reader_of(part.channel, plan.policy, plan.depth), error);
    CHECK(reader_);
    idle_descriptors_ = open_descriptors();
  }

  void run() {
    while (running()) {
      count(part_.mine().progress);
      if (attach()) stay();
      settle();
    }
    release_down_to(0);
    reader_.reset();
    if (open_descriptors() != descriptors_ || channel_mappings() != 0) {
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
  enum class Stay { goes_on, over };

  bool running() const { return board_.phase.load() == Phase::run; }
  bool lossless() const { return plan_.policy == Policy::blocking && !excused_; }

  bool attach() {
    Error error;
    looked_ns_ = possum::monotonic_ns();  // the writer waits for us from somewhere inside
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
    const Ledger* ledger = ledger_of(incarnation_);
    attached_at_ = ledger ? ledger->done.load() + 1 : 0;  // one may be on its way
    return true;
  }

  // Null: that writer has published nothing yet.
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
    unsigned left = plan_.leave == 0 ? ~0u : 1 + part_.random() % plan_.leave;
    // With a gap to explain it stays for the explanation.
    while ((running() && left > 0) || !missing_.empty()) {
      Frame frame;
      Error error;
      const TakeStatus status = reader_->take(in_ms(200), frame, error);
      const std::int64_t now = possum::monotonic_ns();
      if (now - looked_ns_ > kExcusingNs && plan_.policy == Policy::blocking &&
          !std::exchange(excused_, true)) {
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
    }
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
    count(part_.mine().frames);
    if (frame.is_copy()) count(board_.copies);
    if (lossless()) count(board_.lossless);
    held_.push_back({std::move(frame), id, number_});
    if (held_.size() == possum::transport::layout::kMaxLeases) count(board_.hoarded);
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
    // this reader could map it. It was made just before the writer's death, or the writer
    // died while this reader was attaching: no frame that came later shows the contrary.
    for (const Missing& m : missing_) {
      const Ledger::Entry& entry = ledger_->entry[m.seq % kRemembered];
      const bool mapped = m.seen > attached_at_ && entry.first.load() <= m.seen;
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
    // (ChannelWatch::arm()).
    const std::size_t extra = open_descriptors() - idle_descriptors_;
    if (extra > 1 || channel_mappings() != 0) {
      fault(board_, Fault::leaked, "a reader that has left and holds nothing");
    }
    if (++settled_ == 32) memory_kb_ = private_kb();
    if (!kSanitized && settled_ > 32 && private_kb() > memory_kb_ + 4096) {
      fault(board_, Fault::leaked, "memory of a reader");
    }
  }

  struct Missing {
    std::uint64_t seq;
    std::uint64_t seen;  // the last frame taken before
  };

  Part& part_;
  Board& board_;
  const ReaderPlan plan_;
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
  std::uint64_t attached_at_ = 0;  // no later frame was there when attach() returned
  std::uint64_t last_seq_ = 0;
  bool first_ = true;
  std::int64_t looked_ns_ = 0;
  bool excused_ = false;
  std::vector<Missing> missing_;
};

}  // namespace support

// ...PART PATIENCE_MS: waits for its standard input to end, then claims the channel.
ROLE(mortal_writer) {
  support::Part part(args);
  signal(SIGTERM, [](int) { support::told_to_end = 1; });
  support::MortalWriter writer(part, std::stoll(args.at(6)) * support::kMs);
  part.tell(support::Happening::ready);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) < 0 && errno == EINTR) {
  }
  if (part.board->phase.load() != support::Phase::run) return 0;
  const bool owner = writer.open();
  part.tell(owner ? support::Happening::owner : support::Happening::busy);
  if (owner) writer.run();
  return 0;
}

// ...PART POLICY DEPTH HOLD KEEP LEAVE NAP
ROLE(mortal_reader) {
  support::Part part(args);
  const auto number = [&](std::size_t i) {
    return static_cast<unsigned>(std::stoul(args.at(i)));
  };
  support::MortalReader reader(part, {static_cast<support::Policy>(number(6)), number(7),
                                      number(8), number(9), number(10), number(11)});
  reader.run();
  return 0;
}
