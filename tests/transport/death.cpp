// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Random death: a writer and eight readers of every kind are killed, stopped, made to
// dump core, succeeded and raced for, while each frame proves itself and a ledger says
// what should have arrived. The decisions follow from POSSUM_SEED alone, which is
// printed. POSSUM_SOAK_SECONDS makes it longer.
#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "support/mortals.h"

using namespace support;

namespace {

constexpr unsigned kReaders = 8;
constexpr unsigned kSurvivors = 2;  // readers 0 and 1 are stopped, but never killed
constexpr unsigned kRacers = 8;
constexpr unsigned kHeirs = 3;  // writers that wait for their turn
constexpr int kSeconds = kSanitized ? 20 : 50;
constexpr std::int64_t kUs = 1000;
constexpr std::int64_t kSecond = 1'000'000'000;

// No process is silent for longer, with all the waits that it may meet.
std::int64_t patience_ns() {
  const char* multiplier = std::getenv("CK_TIMEOUT_MULTIPLIER");
  const int times = multiplier ? std::max(1, std::atoi(multiplier)) : 1;
  return 10 * kSecond * times * (kSanitized ? 2 : 1);
}

std::uint64_t chosen_seed() {
  const char* text = std::getenv("POSSUM_SEED");
  return text ? std::strtoull(text, nullptr, 10) : std::random_device{}();
}

// Where cores go.
class Graveyard {
 public:
  Graveyard() {
    char name[] = "/tmp/possum-death.XXXXXX";
    CHECK(mkdtemp(name) != nullptr);
    path_ = name;
  }
  ~Graveyard() { remove(); }
  Graveyard(const Graveyard&) = delete;
  Graveyard& operator=(const Graveyard&) = delete;
  const std::string& path() const { return path_; }
  void remove() const { std::filesystem::remove_all(path_); }
  void clear() const {
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(path_)) {
      std::filesystem::remove(entry.path(), ignored);
    }
  }

 private:
  std::string path_;
};

struct Actor {
  pid_t pid = -1;  // -1: the cell is empty
  int pid_fd = -1;
  int gate = -1;  // a writer claims when this is closed
  std::uint32_t generation = 0;
  bool writer = false;
  bool stopped = false;
  bool ready = false;
  bool owner = false;
  bool let_go = false;  // through its gate
  bool racing = false;
  bool told = false;     // to end in order
  unsigned signals = 0;  // it may die of, a bit each
  std::uint64_t progress = 0;
  std::int64_t moved_ns = 0;
  std::uint64_t frames = 0;
  std::uint64_t published = 0;  // by all writers when `frames` last moved
  std::int64_t fed_ns = 0;

  bool there() const { return pid > 0; }
  bool running() const { return there() && !stopped && signals == 0; }
};

struct Tally {
  unsigned readers_killed = 0, readers_dumped = 0, writers_killed = 0, writers_dumped = 0;
  unsigned cores = 0;
  unsigned reader_stops = 0, long_stops = 0, writer_stops = 0;
  unsigned in_order = 0;      // writers told to end
  unsigned heirs_lost = 0;    // killed between their gate and becoming owner
  unsigned heirs_killed = 0;  // soon after, too
  unsigned races = 0, raced_owners = 0, busy = 0, racers_killed = 0;
  unsigned semaphores = 0;  // looks at all of them
};

class Run {
 public:
  Run(std::uint64_t seed, int seconds)
      : seed_(seed),
        decisions_(seed),
        races_(~seed),
        seconds_(seconds),
        channel_(unique_channel()) {
    int ends[2];
    CHECK(pipe2(ends, O_CLOEXEC) == 0);
    from_ = ends[0];
    to_ = ends[1];
    fcntl(from_, F_SETFL, O_NONBLOCK);
    prctl(PR_SET_TIMERSLACK, 1);
    // A SIGSEGV is to end a process with a core, wherever it is. A sanitizer's handler
    // would say where first, for ever if that place holds a lock of its own.
    const char* options = std::getenv("ASAN_OPTIONS");
    const std::string more = std::string(options ? options : "") + ":handle_segv=0";
    setenv("ASAN_OPTIONS", more.c_str(), 1);
  }
  ~Run() {
    close(from_);
    close(to_);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  void go() {
    started_ns_ = possum::monotonic_ns();
    for (unsigned i = 0; i < kReaders; ++i) start_reader(i);
    keep_heirs();
    succeed();
    const std::int64_t end = started_ns_ + seconds_ * kSecond;
    after(100 * kMs, [this] { watch(); });
    after(300 * kMs, [this] { look_at_semaphores(); });
    after(50 * kMs, [this] { decide(); });
    after(2 * kSecond, [this] { race(); });
    after(3 * kSecond, [this] { seldom(); });
    while (possum::monotonic_ns() < end) turn(end);
    // A busy machine may take its time.
    const std::int64_t latest = end + seconds_ * kSecond;
    while (!everything_happened() && possum::monotonic_ns() < latest) turn(latest);
    finish();
  }

  std::string figures() const;
  bool everything_happened() const;

 private:
  // --- time and events

  void after(std::int64_t ns, std::function<void()> what) {
    timers_.emplace(possum::monotonic_ns() + ns, std::move(what));
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
    std::vector<pollfd> fds = {{from_, POLLIN, 0}};
    std::vector<unsigned> cells;
    for (unsigned i = 0; i < kCells; ++i) {
      if (!actor_[i].there()) continue;
      fds.push_back({actor_[i].pid_fd, POLLIN, 0});
      cells.push_back(i);
    }
    const timespec timeout =
        possum::to_timespec(std::max<std::int64_t>(0, until_ns - possum::monotonic_ns()));
    ppoll(fds.data(), fds.size(), &timeout, nullptr);
    hear();
    for (std::size_t i = 0; i < cells.size(); ++i) {
      if (fds[i + 1].revents != 0) bury(cells[i]);
    }
    while (!timers_.empty() && timers_.begin()->first <= possum::monotonic_ns()) {
      const auto what = std::move(timers_.begin()->second);
      timers_.erase(timers_.begin());
      what();
    }
  }
  template <class Condition>
  void until(const char* what, Condition condition) {
    const std::int64_t end = possum::monotonic_ns() + 2 * patience_ns();
    while (!condition()) {
      if (possum::monotonic_ns() > end) fail(what, Fault::stuck);
      turn(end);
    }
  }

  void hear() {
    Event event;
    while (read(from_, &event, sizeof event) == sizeof event) {
      Actor& actor = actor_[event.cell];
      if (!actor.there() || actor.generation != event.generation) continue;
      switch (event.what) {
        case Happening::ready:
          actor.ready = true;
          break;
        case Happening::owner:
          actor.owner = true;
          if (actor.racing) ++tally_.raced_owners;
          if (racing_) settle_race();
          break;
        case Happening::busy:
          if (!actor.racing) fail("a lone successor is told that the channel is busy");
          ++tally_.busy;
          break;
        case Happening::quiet:
          quiet_ = true;
          break;
      }
    }
  }

  // --- processes

  void start(unsigned cell, const std::string& role, std::vector<std::string> args,
             int input) {
    Actor& actor = actor_[cell];
    CHECK(!actor.there());
    const std::uint32_t generation = actor.generation + 1;
    std::vector<std::string> words = check::program();
    const std::vector<std::string> more = {"--role",
                                           role,
                                           std::to_string(board_.fd()),
                                           std::to_string(to_),
                                           std::to_string(cell),
                                           std::to_string(generation),
                                           std::to_string(seed_of(cell, generation)),
                                           channel_};
    words.insert(words.end(), more.begin(), more.end());
    words.insert(words.end(), args.begin(), args.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    board_->cell[cell].progress.store(0);
    board_->cell[cell].frames.store(0);
    // Until it is another program it has the handlers of this one.
    sigset_t fault, before;
    sigemptyset(&fault);
    sigaddset(&fault, SIGSEGV);
    sigprocmask(SIG_BLOCK, &fault, &before);
    const pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
      signal(SIGSEGV, SIG_DFL);
      sigprocmask(SIG_SETMASK, &before, nullptr);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (input >= 0) dup2(input, STDIN_FILENO);
      fcntl(board_.fd(), F_SETFD, 0);
      fcntl(to_, F_SETFD, 0);
      if (chdir(graveyard_.path().c_str()) != 0) _exit(126);
      execv(argv[0], argv.data());
      _exit(127);
    }
    sigprocmask(SIG_SETMASK, &before, nullptr);
    actor = {};
    actor.pid = pid;
    actor.pid_fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
    CHECK(actor.pid_fd >= 0);
    actor.generation = generation;
    actor.moved_ns = actor.fed_ns = possum::monotonic_ns();
  }

  std::uint64_t seed_of(unsigned cell, std::uint32_t generation) const {
    return mixed(seed_ + mixed(cell + (std::uint64_t{generation} << 32)));
  }

  void start_reader(unsigned i) {
    std::mt19937_64 random(~seed_of(i, actor_[i].generation + 1));
    ReaderPlan plan;
    plan.policy = static_cast<Policy>(i < 3 ? 2 : random() % 3);
    plan.depth = 1 + random() % (random() % 4 == 0 ? 16 : 4);
    plan.hold = random() % 3 == 0 ? 12 : 1 + random() % 4;
    plan.keep = i < kSurvivors ? 0 : random() % 3 == 0 ? 6 : 0;
    plan.leave = i < kSurvivors ? 0 : i == 2 ? 40 : random() % 3 == 0 ? 2000 : 0;
    plan.nap_us = random() % 8 == 0 ? 5000 : 200;
    if (i == 1) plan.policy = Policy::drop_oldest, plan.hold = 12;
    const unsigned numbers[] = {static_cast<unsigned>(plan.policy),
                                plan.depth,
                                plan.hold,
                                plan.keep,
                                plan.leave,
                                plan.nap_us};
    std::vector<std::string> args;
    for (const unsigned n : numbers) args.push_back(std::to_string(n));
    start(i, "mortal_reader", args, -1);
  }

  // Waits at its gate. With `gate`, it shares that one.
  unsigned start_writer(std::int64_t patience_ms, int shared_gate = -1) {
    unsigned cell = kReaders;
    while (actor_[cell].there()) CHECK(++cell < kCells);
    int ends[2] = {shared_gate, -1};
    if (shared_gate < 0) CHECK(pipe2(ends, O_CLOEXEC) == 0);
    start(cell, "mortal_writer", {std::to_string(patience_ms)}, ends[0]);
    if (shared_gate < 0) close(ends[0]);
    actor_[cell].gate = ends[1];
    actor_[cell].writer = true;
    return cell;
  }

  void let_go(Actor& actor) {
    actor.let_go = true;
    actor.moved_ns = possum::monotonic_ns();
    if (actor.gate >= 0) close(std::exchange(actor.gate, -1));
  }

  void kill(Actor& actor, int number) {
    if (!actor.there() || actor.signals != 0) return;
    actor.signals |= 1u << number;
    ::kill(actor.pid, number);
    if (actor.stopped) ::kill(actor.pid, SIGCONT);
    actor.stopped = false;
  }
  void stop(unsigned cell, std::int64_t ns) {
    Actor& actor = actor_[cell];
    if (!actor.running()) return;
    ++(actor.writer          ? tally_.writer_stops
       : ns > kMaxBlockingNs ? tally_.long_stops
                             : tally_.reader_stops);
    ::kill(actor.pid, SIGSTOP);
    actor.stopped = true;
    later(cell, ns, [](Actor& a) {
      if (!a.stopped) return;
      ::kill(a.pid, SIGCONT);
      a.stopped = false;
      a.moved_ns = a.fed_ns = possum::monotonic_ns();
    });
  }

  void bury(unsigned cell) {
    hear();
    Actor& actor = actor_[cell];
    int status = 0;
    if (waitpid(actor.pid, &status, WNOHANG) != actor.pid) return;
    const Actor dead = std::exchange(actor, {});
    actor.generation = dead.generation;
    close(dead.pid_fd);
    if (dead.gate >= 0) close(dead.gate);
    if (WIFSIGNALED(status)) {
      const int number = WTERMSIG(status);
      if ((dead.signals >> number & 1) == 0) {
        fail("a process died of signal " + std::to_string(number));
      }
      if (dead.writer && dead.let_go && !dead.owner) ++tally_.heirs_lost;
      if (number == SIGSEGV) {
        ++(dead.writer ? tally_.writers_dumped : tally_.readers_dumped);
        if (WCOREDUMP(status)) ++tally_.cores;
        graveyard_.clear();
      } else {
        ++(dead.writer ? tally_.writers_killed : tally_.readers_killed);
      }
    } else {
      const bool may_end = dead.signals != 0 || dead.told || dead.racing || ending_;
      if (WEXITSTATUS(status) != 0 || !may_end) {
        fail("a process ended with " + std::to_string(WEXITSTATUS(status)));
      }
    }
    if (!dead.writer && !ending_) start_reader(cell);
    if (dead.writer && cell == writer_ && !ending_) writer_ = kCells;
    if (dead.racing && racing_) settle_race();
  }

  // --- the writer and its heirs

  void keep_heirs() {
    while (heirs_.size() < kHeirs) {
      heirs_.push_back(start_writer(60'000));
    }
  }

  // The next one may claim; perhaps its hours are numbered, too.
  void succeed() {
    keep_heirs();
    writer_ = heirs_.front();
    heirs_.pop_front();
    let_go(actor_[writer_]);
    keep_heirs();
    if (doomed_ns_.empty()) return;
    const std::int64_t delay = doomed_ns_.front();
    doomed_ns_.pop_front();
    later(writer_, delay, [this](Actor& heir) {
      if (racing_ || writer_ == kCells || &heir != &actor_[writer_])
        return;  // it has lost its turn
      kill(heir, SIGKILL);
      ++tally_.heirs_killed;
      succeed();
    });
  }

  bool writer_may_change() const {
    return !racing_ && writer_ != kCells && possum::monotonic_ns() > calm_until_ns_;
  }

  // --- decisions: all numbers are drawn before anything is looked at

  // Two sequences, since what happens between two races depends on the machine.
  static std::int64_t between(std::mt19937_64& random, std::int64_t least,
                              std::int64_t most) {
    return least + static_cast<std::int64_t>(
                       random() % static_cast<std::uint64_t>(most - least + 1));
  }
  // From 10 us to 10 ms, each tenfold as likely as the other.
  static std::int64_t moment(std::mt19937_64& random) {
    return static_cast<std::int64_t>(
               std::pow(10.0, static_cast<double>(between(random, 0, 3000)) / 1000) *
               10) *
           kUs;
  }

  void decide() {
    const auto what = static_cast<unsigned>(between(decisions_, 0, 999));  // per mille
    const auto reader = static_cast<unsigned>(between(decisions_, 0, kReaders - 1));
    const bool dump = between(decisions_, 0, 4) == 0;
    const std::int64_t pause_ns = 20 * moment(decisions_);
    std::deque<std::int64_t> doomed;
    for (std::int64_t n = between(decisions_, 0, 3); n > 0; --n)
      doomed.push_back(moment(decisions_));
    const std::int64_t next_ns = between(decisions_, 5, 60) * kMs;

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
      ::kill(actor_[writer_].pid, SIGTERM);
      doomed_ns_ = doomed;
      succeed();
    } else if (writer_ == kCells && !racing_) {
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
      calm_until_ns_ = possum::monotonic_ns() + kMaxBlockingNs + 300 * kMs;
    } else {
      kill(actor_[writer_], SIGSEGV);
      succeed();
    }
    after(4 * kSecond, [this] { seldom(); });
  }

  // Eight at once, some of which die or stop on the way.
  void race() {
    struct Fate {
      unsigned racer;
      std::int64_t after_ns;
      bool dies;
    };
    std::vector<Fate> fates;
    for (int i = 0; i < 4; ++i) {
      fates.push_back({static_cast<unsigned>(between(races_, 0, kRacers - 1)),
                       moment(races_), i < 3});
    }
    const std::int64_t next_ns = between(races_, 4000, 8000) * kMs;
    if (!deciding_) return;
    after(next_ns, [this] { race(); });
    if (!writer_may_change()) return;

    int gate[2];
    CHECK(pipe2(gate, O_CLOEXEC) == 0);
    std::vector<unsigned> racers;
    for (unsigned i = 0; i < kRacers; ++i) {
      racers.push_back(start_writer(i < 5 ? 0 : 1000, gate[0]));
    }
    close(gate[0]);
    until("the racers are ready", [&] {
      return std::all_of(racers.begin(), racers.end(),
                         [&](unsigned r) { return actor_[r].ready; });
    });
    ++tally_.races;
    racing_ = true;
    doomed_ns_.clear();
    if (writer_ != kCells) kill(actor_[writer_], SIGKILL);
    // All find the name of a dead one.
    until("the old writer is gone", [this] { return writer_ == kCells; });
    racers_ = racers;
    for (const unsigned r : racers) {
      actor_[r].racing = true;
      let_go(actor_[r]);
    }
    close(gate[1]);
    for (const Fate& fate : fates) {
      const unsigned cell = racers[fate.racer];
      later(cell, fate.after_ns, [this, cell, fate](Actor& racer) {
        if (!fate.dies) return stop(cell, 50 * kMs);
        if (racer.signals == 0) ++tally_.racers_killed;
        kill(racer, SIGKILL);
      });
    }
  }

  // Over when at most one is left, which then is the writer.
  void settle_race() {
    std::erase_if(racers_, [this](unsigned r) { return !actor_[r].racing; });
    if (racers_.size() > 1) return;
    if (racers_.size() == 1 && !actor_[racers_[0]].owner) return;
    racing_ = false;
    if (racers_.empty()) return succeed();
    writer_ = racers_[0];
    actor_[writer_].racing = false;
  }

  // --- looking

  void watch() {
    const std::int64_t now = possum::monotonic_ns();
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
    clear_up();
    check::failed(__FILE__, __LINE__, "nobody is hurt");
  }

  // What a destructor would do, if there were one to come.
  void clear_up() {
    for (Actor& actor : actor_) {
      if (!actor.there()) continue;
      ::kill(actor.pid, SIGKILL);
      waitpid(actor.pid, nullptr, 0);
    }
    for (const std::string& name : names_of(channel_)) shm_unlink(("/" + name).c_str());
    graveyard_.remove();
  }

  // --- the end: readers first, then the writer, then nothing may be left

  void finish() {
    deciding_ = false;
    doomed_ns_.clear();
    if (writer_ == kCells && !racing_) succeed();
    until("there is a writer in the end", [this] {
      return !racing_ && writer_ != kCells && actor_[writer_].owner &&
             actor_[writer_].running();
    });
    until("everybody goes on", [this] {
      return std::none_of(actor_.begin(), actor_.end(),
                          [](const Actor& a) { return a.stopped || a.signals != 0; });
    });
    ending_ = true;
    timers_.clear();
    board_->phase.store(Phase::readers_end);
    for (const unsigned heir : heirs_) let_go(actor_[heir]);
    until("all readers end", [this] {
      return std::count_if(actor_.begin(), actor_.end(),
                           [](const Actor& a) { return a.there(); }) == 1;
    });
    until("all slots are free again", [this] { return quiet_; });
    bool low = false;
    CHECK(low_semaphores(channel_, low) && low);
    board_->phase.store(Phase::writer_ends);
    until("the writer ends", [this] { return !actor_[writer_].there(); });
    if (!names_of(channel_).empty()) fail("names are left", Fault::leaked);
  }

  SharedBoard board_;
  Graveyard graveyard_;
  const std::uint64_t seed_;
  std::mt19937_64 decisions_;
  std::mt19937_64 races_;
  const int seconds_;
  const std::string channel_;
  int from_ = -1;
  int to_ = -1;
  std::int64_t started_ns_ = 0;
  std::array<Actor, kCells> actor_;
  std::multimap<std::int64_t, std::function<void()>> timers_;
  unsigned writer_ = kCells;  // who should own the channel; kCells: nobody
  std::deque<unsigned> heirs_;
  std::deque<std::int64_t> doomed_ns_;
  std::int64_t calm_until_ns_ = 0;  // nothing happens to the writer before
  unsigned seldom_ = 0;
  bool racing_ = false;
  std::vector<unsigned> racers_;
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
  s << (possum::monotonic_ns() - started_ns_) / kSecond << " s: deaths by SIGKILL "
    << t.writers_killed << " writers " << t.readers_killed << " readers, by SIGSEGV "
    << t.writers_dumped << " writers " << t.readers_dumped << " readers (" << t.cores
    << " cores); stops " << t.writer_stops << " writers " << t.reader_stops + t.long_stops
    << " readers (" << t.long_stops << " for long, " << b.demoted << " demotions, "
    << b.excused << " excused); writers " << b.owners << " owners, " << t.in_order
    << " ended in order, " << takeovers << " takeovers, " << t.heirs_lost
    << " killed while they took over; races " << t.races << ", won " << t.raced_owners
    << ", busy " << t.busy << ", killed " << t.racers_killed << "; attaches "
    << b.attaches << "; frames published " << b.published << " (" << b.zero_copy
    << " without a copy, " << b.no_slot << " without a slot), taken " << b.frames << " ("
    << b.copies << " copies), by lossless readers " << b.lossless
    << "; writers' ends seen " << b.ends << "; proved after leaving " << b.after_left
    << ", after their writer " << b.outlived << ", hoards of eight " << b.hoarded
    << ", looks at semaphores " << t.semaphores << "; lost in objects never mapped "
    << b.unmapped << ";";
  for (std::size_t i = 0; i < kFaultNames.size(); ++i) {
    s << " " << kFaultNames[i] << " " << b.faults[i];
  }
  return s.str();
}

// What did not happen has not been tested.
bool Run::everything_happened() const {
  const Board& b = *board_;
  const Tally& t = tally_;
  const unsigned less = kSanitized ? 5 : 1;  // there is so much less time
  const bool died = t.readers_killed > 10 && t.readers_dumped > 0 &&
                    t.writers_killed > 5 && t.writers_dumped > 0;
  const bool stopped = t.reader_stops > 10 && t.long_stops > 0 && t.writer_stops > 3;
  const bool succeeded = t.in_order > 0 && t.heirs_lost > 0 && t.heirs_killed > 0;
  const bool raced =
      t.races > 1 && t.raced_owners > 0 && t.busy > 0 && t.racers_killed > 0;
  const bool met = b.owners > 5 && b.attaches > 50 && b.ends > 20 && b.demoted > 0;
  const bool published =
      b.published > 5000 / less && b.zero_copy > 500 / less && b.zero_copy < b.published;
  const bool taken =
      b.frames > 10'000 / less && b.lossless > 5000 / less && b.copies > 100 / less;
  const bool held =
      b.after_left > 100 / less && b.outlived > 20 / less && b.hoarded > 100 / less;
  return died && stopped && succeeded && raced && met && published && taken && held &&
         t.semaphores > 5;
}

}  // namespace

TEST(whatever_dies_or_stops_hurts_nobody_else) {
  const std::uint64_t seed = chosen_seed();
  const int seconds = soak_seconds() > 0 ? soak_seconds() : kSeconds;
  std::printf("POSSUM_SEED=%llu\n", static_cast<unsigned long long>(seed));
  std::fflush(stdout);
  Run run(seed, seconds);
  run.go();
  std::printf("%s\n", run.figures().c_str());
  CHECK(run.everything_happened());
}
