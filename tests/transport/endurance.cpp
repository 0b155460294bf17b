// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Long runs of a writer and readers in processes of their own, while each frame proves
// itself and a ledger says what should have arrived: one driver with several rules, which
// say who takes part, who is killed, stopped, made to dump core and succeeded, and what
// must have come of it. The decisions follow from POSSUM_SEED alone, which is printed.
// Each run lasts POSSUM_SOAK_SECONDS, if that is set, or as long as POSSUM_SOAK_FRAMES
// frames take.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "support/mortals.h"

using namespace support;

namespace {

constexpr unsigned kSurvivors = 2;  // readers 0 and 1 are stopped, but never killed
constexpr unsigned kHeirs = 3;      // writers that wait for their turn
constexpr std::int64_t kUs = 1000;
constexpr std::int64_t kSecond = 1'000'000'000;

// No process is silent for longer, with all the waits that it may meet.
std::int64_t patience_ns() {
  const char* multiplier = std::getenv("CK_TIMEOUT_MULTIPLIER");
  const int times = multiplier ? std::max(1, std::atoi(multiplier)) : 1;
  return 10 * kSecond * times * (kSanitized ? 2 : 1);
}

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

struct Actor {
  std::optional<Process> process;  // none: the cell is empty
  std::uint32_t generation = 0;    // which process of this cell it is
  bool writer = false;
  bool stopped = false;
  bool owner = false;
  bool let_go = false;   // a writer claims
  bool told = false;     // to end in order
  unsigned signals = 0;  // it may die of, a bit each
  std::uint64_t progress = 0;
  std::int64_t moved_ns = 0;
  std::uint64_t frames = 0;
  std::uint64_t published = 0;  // by all writers when `frames` last moved
  std::int64_t fed_ns = 0;

  bool there() const { return process.has_value(); }
  bool running() const { return there() && !stopped && signals == 0; }
};

struct Tally {
  unsigned readers_killed = 0, readers_dumped = 0, writers_killed = 0, writers_dumped = 0;
  unsigned cores = 0;
  unsigned reader_stops = 0, long_stops = 0, writer_stops = 0;
  unsigned in_order = 0;      // writers told to end
  unsigned heirs_lost = 0;    // killed between their gate and becoming owner
  unsigned heirs_killed = 0;  // soon after, too
  unsigned semaphores = 0;    // looks at all of them
};

class Run;
enum class Fate { none, visitors_die, anybody_dies };

struct Rule {
  int seconds = 8;
  WriterPlan writer = {};
  std::vector<ReaderPlan> readers = {};  // where anybody dies they are drawn by lot
  Fate fate = Fate::none;
  bool alarming = false;  // a thousand signals a second for each thread
  int stopped = -1;       // a reader that is stopped from its first frame on
  // What did not happen has not been tested: the run goes on until it has, since a busy
  // machine may take its time.
  std::function<bool(const Run&)> happened = [](const auto&) { return true; };
  // What must have come of it.
  std::function<bool(const Board&)> holds = [](const auto&) { return true; };
};

class Run {
 public:
  Run(const Rule& rule, std::uint64_t seed)
      : rule_(rule),
        readers_(static_cast<unsigned>(rule.readers.size())),
        seed_(seed),
        decisions_(seed) {
    prctl(PR_SET_TIMERSLACK, 1);
    // A SIGSEGV is to end a process with a core, wherever it is. A sanitizer's handler
    // would say where first, for ever if that place holds a lock of its own.
    const char* options = std::getenv("ASAN_OPTIONS");
    environment_ = {"ASAN_OPTIONS=" + std::string(options ? options : "") +
                    ":handle_segv=0"};
    board_->deadly = rule.fate == Fate::anybody_dies;
    board_->alarming = rule.alarming;
  }

  void go() {
    started_ns_ = monotonic_ns();
    for (unsigned i = 0; i < readers_; ++i) start_reader(i);
    after(100 * kMs, [this] { watch(); });
    after(300 * kMs, [this] { look_at_semaphores(); });
    if (rule_.fate == Fate::visitors_die) after(25 * kMs, [this] { visitor_dies(); });
    if (rule_.fate == Fate::anybody_dies) {
      keep_heirs();
      after(50 * kMs, [this] { decide(); });
      after(3 * kSecond, [this] { seldom(); });
    }
    succeed();
    if (rule_.stopped >= 0) stop_for_good(static_cast<unsigned>(rule_.stopped));
    const std::uint64_t frames = number_from("POSSUM_SOAK_FRAMES", 0);
    const std::int64_t end =
        started_ns_ + (soak_seconds() > 0 ? soak_seconds() : rule_.seconds) * kSecond;
    const auto long_enough = [&] {
      const bool over = frames > 0 ? board_->published >= frames : monotonic_ns() >= end;
      return over && rule_.happened(*this);
    };
    until("all has happened", long_enough,
          frames > 0 ? INT64_MAX : end + (end - started_ns_) + patience_ns());
    finish();
  }

  const Board& board() const { return *board_; }
  const Tally& tally() const { return tally_; }
  const std::string& channel() const { return channel_; }
  std::string figures() const;

 private:
  // --- time and events

  void after(std::int64_t ns, std::function<void()> what) {
    timers_.emplace(monotonic_ns() + ns, std::move(what));
  }
  // For a signal that belongs to one process: its cell may have another one by then.
  void later(unsigned cell, std::int64_t ns, const std::function<void(Actor&)>& what) {
    after(ns, [this, cell, generation = actor_[cell].generation, what] {
      Actor& actor = actor_[cell];
      if (actor.there() && actor.generation == generation) what(actor);
    });
  }

  // Until the next thing happens.
  void turn(std::int64_t until_ns) {
    if (!timers_.empty()) until_ns = std::min(until_ns, timers_.begin()->first);
    Process::await_any(until_ns);
    for (unsigned i = 0; i < kCells; ++i) {
      hear(i);
      if (actor_[i].there() && actor_[i].process->has_ended()) bury(i);
    }
    while (!timers_.empty() && timers_.begin()->first <= monotonic_ns()) {
      const auto what = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      what();
    }
  }
  template <class Condition>
  void until(const char* what, Condition condition, std::int64_t end = 0) {
    if (end == 0) end = monotonic_ns() + 2 * patience_ns();
    while (!condition()) {
      if (monotonic_ns() > end) fail(what, Fault::stuck);
      turn(std::min(end, in_ms(100)));
    }
  }

  void hear(unsigned cell) {
    Actor& actor = actor_[cell];
    while (actor.there() && actor.process->answers(0)) {
      const std::string word = actor.process->hear();
      if (word == "quiet") quiet_ = true;
      if (word == "owner") actor.owner = true;
      if (word == "busy") fail("a lone successor is told that the channel is busy");
    }
  }

  // --- processes

  void start(unsigned cell, const std::string& role) {
    Actor& actor = actor_[cell];
    CHECK(!actor.there());
    const std::uint32_t generation = actor.generation + 1;
    board_->cell[cell].progress.store(0);
    board_->cell[cell].frames.store(0);
    actor = {};
    actor.process.emplace(Peer(role,
                               {std::to_string(board_.fd()), std::to_string(cell),
                                std::to_string(seed_of(cell, generation)), channel_},
                               check::program(),
                               ProcessOptions{.environment = environment_,
                                              .directory = graveyard_,
                                              .keep = {board_.fd()}}));
    actor.generation = generation;
    actor.moved_ns = actor.fed_ns = monotonic_ns();
  }

  std::uint64_t seed_of(unsigned cell, std::uint32_t generation) const {
    return mixed(seed_ + mixed(cell + (std::uint64_t{generation} << 32)));
  }

  ReaderPlan random_reader(unsigned i) const {
    std::mt19937_64 random(~seed_of(i, actor_[i].generation + 1));
    ReaderPlan plan;
    plan.policy = static_cast<Policy>(i < 3 ? 2 : random() % 3);
    plan.depth = 1 + random() % (random() % 4 == 0 ? 16 : 4);
    plan.hold = random() % 3 == 0 ? 12 : 1 + random() % 4;
    plan.keep = i < kSurvivors ? 0 : random() % 3 == 0 ? 6 : 0;
    plan.leave = i < kSurvivors ? 0 : i == 2 ? 40 : random() % 3 == 0 ? 2000 : 0;
    plan.nap_us = random() % 8 == 0 ? 5000 : 200;
    if (i == 1) plan.policy = Policy::drop_oldest, plan.hold = 12;
    return plan;
  }
  WriterPlan random_writer(unsigned cell) const {
    std::mt19937_64 random(~seed_of(cell, actor_[cell].generation + 1));
    return {.slots = static_cast<unsigned>(5 + random() % 20),
            .lend = static_cast<unsigned>(random() % 5),
            .nap_us = 400};
  }

  void start_reader(unsigned i) {
    board_->cell[i].reader = board_->deadly ? random_reader(i) : rule_.readers[i];
    start(i, "mortal_reader");
  }

  // Waits at its gate.
  unsigned start_writer() {
    unsigned cell = readers_;
    while (actor_[cell].there()) CHECK(++cell < kCells);
    board_->cell[cell].writer = board_->deadly ? random_writer(cell) : rule_.writer;
    start(cell, "mortal_writer");
    actor_[cell].writer = true;
    return cell;
  }

  void let_go(Actor& actor) {
    actor.let_go = true;
    actor.moved_ns = monotonic_ns();
    actor.process->close_input();
  }

  void kill(Actor& actor, int number) {
    if (!actor.there() || actor.signals != 0) return;
    actor.signals |= 1u << number;
    actor.process->signal(number);
    go_on(actor);
  }
  void go_on(Actor& actor) {
    if (!actor.stopped) return;
    actor.process->go_on();
    actor.stopped = false;
    actor.moved_ns = actor.fed_ns = monotonic_ns();
  }
  void stop(unsigned cell, std::int64_t ns) {
    Actor& actor = actor_[cell];
    if (!actor.running()) return;
    ++(actor.writer          ? tally_.writer_stops
       : ns > kMaxBlockingNs ? tally_.long_stops
                             : tally_.reader_stops);
    actor.process->signal(SIGSTOP);
    actor.stopped = true;
    later(cell, ns, [this](Actor& a) { go_on(a); });
  }
  void stop_for_good(unsigned cell) {
    until("it has a frame", [&] { return board_->cell[cell].frames > 0; });
    actor_[cell].process->signal(SIGSTOP);
    actor_[cell].stopped = true;
  }

  void bury(unsigned cell) {
    hear(cell);
    Actor& actor = actor_[cell];
    const int status = actor.process->join();
    const Actor dead = std::exchange(actor, {});
    actor.generation = dead.generation;
    if (status > 128) {
      const int number = status - 128;
      if ((dead.signals >> number & 1) == 0) {
        fail("a process died of signal " + std::to_string(number));
      }
      if (dead.writer && dead.let_go && !dead.owner) ++tally_.heirs_lost;
      if (number == SIGSEGV) {
        ++(dead.writer ? tally_.writers_dumped : tally_.readers_dumped);
        std::error_code ignored;
        for (const auto& entry : std::filesystem::directory_iterator(graveyard_)) {
          tally_.cores += std::filesystem::remove(entry.path(), ignored) ? 1 : 0;
        }
      } else {
        ++(dead.writer ? tally_.writers_killed : tally_.readers_killed);
      }
    } else {
      const bool may_end = dead.signals != 0 || dead.told || ending_;
      if (status != 0 || !may_end) {
        fail("a process ended with " + std::to_string(status));
      }
    }
    if (!dead.writer && !ending_) start_reader(cell);
    if (dead.writer && cell == writer_ && !ending_) writer_ = kCells;
  }

  // --- the writer and its heirs

  void keep_heirs() {
    while (heirs_.size() < (board_->deadly ? kHeirs : 1)) {
      heirs_.push_back(start_writer());
    }
  }

  // The next one may claim; perhaps its hours are numbered, too.
  void succeed() {
    keep_heirs();
    writer_ = heirs_.front();
    heirs_.pop_front();
    let_go(actor_[writer_]);
    if (board_->deadly) keep_heirs();
    if (doomed_ns_.empty()) return;
    const std::int64_t delay = doomed_ns_.front();
    doomed_ns_.pop_front();
    later(writer_, delay, [this](Actor& heir) {
      if (writer_ == kCells || &heir != &actor_[writer_]) return;  // it lost its turn
      kill(heir, SIGKILL);
      ++tally_.heirs_killed;
      succeed();
    });
  }

  bool writer_may_change() const {
    return writer_ != kCells && monotonic_ns() > calm_until_ns_;
  }

  // --- decisions: all numbers are drawn before anything is looked at

  std::int64_t between(std::int64_t least, std::int64_t most) {
    return least + static_cast<std::int64_t>(
                       decisions_() % static_cast<std::uint64_t>(most - least + 1));
  }
  // From 10 us to 10 ms, each tenfold as likely as the other.
  std::int64_t moment() {
    const auto exponent = static_cast<double>(between(0, 3000)) / 1000;
    return static_cast<std::int64_t>(std::pow(10.0, exponent) * 10) * kUs;
  }

  void visitor_dies() {
    if (!deciding_) return;
    const auto victim = static_cast<unsigned>(between(0, readers_ - 1));
    if (between(0, 1) == 0) kill(actor_[victim], SIGKILL);
    after(25 * kMs, [this] { visitor_dies(); });
  }

  void decide() {
    const auto what = static_cast<unsigned>(between(0, 999));  // per mille
    const auto reader = static_cast<unsigned>(between(0, readers_ - 1));
    const bool dump = between(0, 4) == 0;
    const std::int64_t pause_ns = 20 * moment();
    std::deque<std::int64_t> doomed;
    for (std::int64_t n = between(0, 3); n > 0; --n) doomed.push_back(moment());
    const std::int64_t next_ns = between(5, 60) * kMs;

    if (what < 350 && reader >= kSurvivors) {
      kill(actor_[reader], dump ? SIGSEGV : SIGKILL);
    } else if (what < 700) {
      stop(reader, pause_ns);
    } else if (what < 800 && writer_may_change()) {
      stop(writer_, pause_ns);
    } else if (what < 850 && writer_may_change()) {
      kill(actor_[writer_], dump ? SIGSEGV : SIGKILL);
      doomed_ns_ = doomed;
      succeed();
    } else if (what < 920 && writer_may_change() && actor_[writer_].running() &&
               actor_[writer_].owner) {
      ++tally_.in_order;
      actor_[writer_].told = true;
      actor_[writer_].process->signal(SIGTERM);
      doomed_ns_ = doomed;
      succeed();
    } else if (writer_ == kCells) {
      succeed();
    }
    if (deciding_) after(next_ns, [this] { decide(); });
  }

  // What is too rare to be left to chance, by turns: a stop that costs a reader its right
  // to block the writer, and a writer that dumps core.
  void seldom() {
    if (!deciding_) return;
    if (!writer_may_change() || !actor_[writer_].owner || !actor_[0].running()) {
      return after(100 * kMs, [this] { seldom(); });
    }
    if (++seldom_ % 2 == 1) {
      stop(0, kMaxBlockingNs + 500 * kMs);
      calm_until_ns_ = monotonic_ns() + kMaxBlockingNs + 300 * kMs;
    } else {
      kill(actor_[writer_], SIGSEGV);
      succeed();
    }
    after(4 * kSecond, [this] { seldom(); });
  }

  // --- looking

  void watch() {
    const std::int64_t now = monotonic_ns();
    const std::uint64_t published = board_->published.load();
    for (unsigned i = 0; i < kCells; ++i) {
      Actor& actor = actor_[i];
      if (!actor.running() || (actor.writer && !actor.let_go)) continue;
      const std::uint64_t progress = board_->cell[i].progress.load();
      if (std::exchange(actor.progress, progress) != progress) actor.moved_ns = now;
      if (now - actor.moved_ns > patience_ns()) {
        fail((actor.writer ? "writer " : "reader ") + std::to_string(i) + " is stuck",
             Fault::stuck);
      }
      const std::uint64_t frames = board_->cell[i].frames.load();
      if (actor.writer || std::exchange(actor.frames, frames) != frames) {
        actor.fed_ns = now;
        actor.published = published;
      }
      if (now - actor.fed_ns > patience_ns() && published > actor.published + 200) {
        fail("reader " + std::to_string(i) + " gets no frames", Fault::stuck);
      }
    }
    if (published != std::exchange(published_, published)) published_ns_ = now;
    if (now - std::max(published_ns_, started_ns_) > 2 * patience_ns()) {
      fail("nobody publishes", Fault::stuck);
    }
    if (!ending_) after(100 * kMs, [this] { watch(); });
  }

  void look_at_semaphores() {
    bool low = false;
    if (low_semaphores(channel_, low)) {
      ++tally_.semaphores;
      if (!low) fail("a semaphore fills up", Fault::leaked);
    }
    if (!ending_) after(300 * kMs, [this] { look_at_semaphores(); });
  }

  [[noreturn]] void fail(const std::string& what, Fault kind = Fault::wrong) {
    // Whoever aborted has said and counted why.
    const bool told = std::any_of(board_->faults.begin(), board_->faults.end(),
                                  [](const auto& n) { return n.load() != 0; });
    if (!told) count(board_->faults[static_cast<unsigned>(kind)]);
    std::fprintf(stderr, "%s\n%s\n", what.c_str(), figures().c_str());
    check::failed(__FILE__, __LINE__, "nobody is hurt");
  }

  // --- the end: of the stream, of all readers, then of the writer, and nothing may be
  // left

  void finish() {
    deciding_ = false;
    doomed_ns_.clear();
    if (writer_ == kCells) succeed();
    until("there is a writer in the end", [this] {
      return writer_ != kCells && actor_[writer_].owner && actor_[writer_].running();
    });
    if (rule_.stopped >= 0) go_on(actor_[static_cast<unsigned>(rule_.stopped)]);
    until("everybody goes on", [this] {
      return std::none_of(actor_.begin(), actor_.end(),
                          [](const Actor& a) { return a.stopped || a.signals != 0; });
    });
    ending_ = true;
    timers_.clear();
    board_->phase.store(Phase::ends);
    for (const unsigned heir : heirs_) let_go(actor_[heir]);
    until("all readers end", [this] {
      return std::count_if(actor_.begin(), actor_.end(),
                           [](const Actor& a) { return a.there(); }) == 1;
    });
    until("all slots are free again", [this] { return quiet_; });
    bool low = false;
    CHECK(low_semaphores(channel_, low) && low);
    board_->phase.store(Phase::closes);
    until("the writer ends", [this] { return !actor_[writer_].there(); });
    if (!names_of(channel_).empty()) fail("names are left", Fault::leaked);
  }

  const Rule& rule_;
  const unsigned readers_;
  SharedBoard board_;
  const std::string graveyard_ = make_directory();  // where cores go
  const std::uint64_t seed_;
  std::mt19937_64 decisions_;
  const std::string channel_ = unique_channel();
  std::vector<std::string> environment_;
  std::int64_t started_ns_ = 0;
  std::array<Actor, kCells> actor_;
  std::multimap<std::int64_t, std::function<void()>> timers_;
  unsigned writer_ = kCells;  // who should own the channel; kCells: nobody
  std::deque<unsigned> heirs_;
  std::deque<std::int64_t> doomed_ns_;
  std::int64_t calm_until_ns_ = 0;  // nothing happens to the writer before
  unsigned seldom_ = 0;
  bool deciding_ = true;
  bool ending_ = false;
  bool quiet_ = false;
  std::uint64_t published_ = 0;
  std::int64_t published_ns_ = 0;
  Tally tally_;
};

std::string Run::figures() const {
  const Board& b = *board_;
  const Tally& t = tally_;
  unsigned takeovers = 0;
  for (unsigned i = 1; i < b.owners.load(); ++i) {
    if (b.ledger[i - 1].closed.load() == 0) ++takeovers;
  }
  std::ostringstream s;
  s << (monotonic_ns() - started_ns_) / kSecond << " s: deaths by SIGKILL "
    << t.writers_killed << " writers " << t.readers_killed << " readers, by SIGSEGV "
    << t.writers_dumped << " writers " << t.readers_dumped << " readers (" << t.cores
    << " cores); stops " << t.writer_stops << " writers " << t.reader_stops + t.long_stops
    << " readers (" << t.long_stops << " for long, " << b.demoted << " demotions, "
    << b.excused << " excused); writers " << b.owners << " owners, " << t.in_order
    << " ended in order, " << takeovers << " takeovers, " << t.heirs_lost
    << " killed while they took over; attaches " << b.attaches << "; frames published "
    << b.published << " (" << b.zero_copy << " without a copy, " << b.no_slot
    << " without a slot, the longest took " << b.longest_ns / 1000 << " us), taken "
    << b.frames << " (" << b.copies << " copies, " << b.missed
    << " missed), by lossless readers " << b.lossless << ", at most " << b.most_readers
    << " readers at once; signals " << b.alarms << "; writers' ends seen " << b.ends
    << "; proved after leaving " << b.after_left << ", after their writer " << b.outlived
    << ", hoards of eight " << b.hoarded << ", looks at semaphores " << t.semaphores
    << "; lost in objects never mapped " << b.unmapped << ";";
  for (std::size_t i = 0; i < kFaultNames.size(); ++i) {
    s << " " << kFaultNames[i] << " " << b.faults[i];
  }
  return s.str();
}

void run(const Rule& rule) {
  const std::uint64_t seed = number_from("POSSUM_SEED", std::random_device{}());
  std::printf("   POSSUM_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  Run run(rule, seed);
  run.go();
  std::printf("   %s\n", run.figures().c_str());
  CHECK(rule.holds(run.board()));
}

// Each of the lossless readers has had each frame, and none was without a slot.
bool lossless(const Board& b, unsigned readers = 1) {
  return b.lossless == readers * b.published && b.no_slot == 0;
}

// Each page has had two tenants.
bool every_page_is_used(const std::string& channel) {
  OpenControl open;
  Error error;
  if (open_control({.channel = channel}, open, error) != OpenStatus::ok) return false;
  for (unsigned r = 0; r < layout::kReaders; ++r) {
    if (layout::unpack(open.control.page(r).cfg.load()).epoch < 2) return false;
  }
  return true;
}

}  // namespace

// --- the rules -------------------------------------------------------------------------

TEST(nothing_grows_and_nothing_is_lost_in_a_long_run) {
  run({.writer = {.readers = 1},
       .readers = {{.policy = Policy::blocking, .depth = 8}},
       .happened =
           [](const Run& r) {
             return r.board().published > 500 && r.tally().semaphores > 5;
           },
       // Both had time to show that they do not grow.
       .holds = [](const Board& b) { return lossless(b) && b.samples == 2; }});
}

TEST(signals_to_every_thread_lose_no_frame_and_nothing_grows) {
  run({.writer = {.slots = 8, .lend = 2, .readers = 1},
       .readers = {{.policy = Policy::blocking, .depth = 8}},
       .alarming = true,
       .happened = [](const Run& r) { return r.board().zero_copy > 100; },
       .holds =
           [](const Board& b) {
             return lossless(b) && b.samples == 2 && b.alarms > 2000;
           }});
}

TEST(lossless_readers_hoard_on_four_slots) {
  run({.seconds = 5,
       .writer = {.slots = 4, .readers = 2},
       .readers = {{.policy = Policy::blocking, .depth = 3, .hold = 40},
                   {.policy = Policy::blocking, .depth = 16, .hold = 12}},
       .happened =
           [](const Run& r) { return r.board().copies > 500 && r.board().hoarded > 10; },
       .holds = [](const Board& b) { return lossless(b, 2); }});
}

TEST(stolen_frames_are_never_in_use) {
  run({.seconds = 5,
       .writer = {.slots = 4, .blocking = false, .readers = 2},
       .readers = {{.policy = Policy::drop_oldest, .depth = 8},
                   {.policy = Policy::drop_newest, .depth = 8, .hold = 2}},
       .happened =
           [](const Run& r) { return r.board().frames > 500 && r.board().missed > 100; },
       .holds = [](const Board& b) { return b.frames + b.missed <= 2 * b.published; }});
}

TEST(mixed_readers_and_lending_beside_one_that_is_stopped) {
  run({.seconds = 5,
       .writer = {.slots = 24, .lend = 4, .readers = 4},
       .readers = {{.policy = Policy::blocking, .depth = 2, .hold = 5},
                   {.policy = Policy::drop_oldest, .depth = 4, .hold = 30},
                   {.policy = Policy::drop_oldest, .depth = 1},
                   {.policy = Policy::drop_oldest, .depth = 3}},
       .stopped = 3,
       .happened = [](const Run& r) { return r.board().published > 500; },
       .holds =
           [](const Board& b) { return lossless(b) && b.zero_copy > b.published / 20; }});
}

TEST(thirty_two_readers_come_and_go) {
  run({.writer = {.slots = 32, .blocking = false, .pace_us = 500},
       .readers = std::vector<ReaderPlan>(
           layout::kReaders, {.hold = 4, .keep = 3, .leave = 150, .visits = true}),
       .fate = Fate::visitors_die,
       .happened =
           [](const Run& r) {
             return r.tally().readers_killed > 10 && r.board().after_left > 10 &&
                    r.board().most_readers >= 16 && every_page_is_used(r.channel());
           },
       // It is never made to wait.
       .holds = [](const Board& b) { return b.longest_ns < 1000 * kMs; }});
}

TEST(whatever_dies_or_stops_hurts_nobody_else) {
  run({.seconds = kSanitized ? 20 : 50,
       .readers = std::vector<ReaderPlan>(8),
       .fate = Fate::anybody_dies,
       .happened = [](const Run& r) {
         const Board& b = r.board();
         const Tally& t = r.tally();
         const unsigned less = kSanitized ? 5 : 1;  // there is so much less time
         const bool died = t.readers_killed > 10 && t.readers_dumped > 0 &&
                           t.writers_killed > 5 && t.writers_dumped > 0;
         const bool stopped =
             t.reader_stops > 10 && t.long_stops > 0 && t.writer_stops > 3;
         const bool succeeded = t.in_order > 0 && t.heirs_lost > 0 && t.heirs_killed > 0;
         const bool met = b.owners > 5 && b.attaches > 50 && b.ends > 20 && b.demoted > 0;
         const bool published = b.published > 5000 / less && b.zero_copy > 500 / less &&
                                b.zero_copy < b.published;
         const bool taken = b.frames > 10'000 / less && b.lossless > 5000 / less &&
                            b.copies > 100 / less;
         const bool held = b.after_left > 100 / less && b.outlived > 20 / less &&
                           b.hoarded > 100 / less;
         return died && stopped && succeeded && met && published && taken && held &&
                t.semaphores > 5;
       }});
}
