// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Runs a few threads in every order of their steps, with the death of each of them before
// each step. A thread runs on a stack of its own from one step to the next; a state is
// put back by copying stacks and memory. States that were seen before are not entered
// again: a thread is a function of what it has observed, so equal memory and equal
// observations mean equal futures. checkpoint() forgets observations of which nothing is
// left but what lies in the memory.
#pragma once

#include <setjmp.h>
#include <ucontext.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace model {

inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
  a ^= b + 0x9e3779b97f4a7c15 + (a << 6) + (a >> 2);
  a *= 0xff51afd7ed558ccd;
  a ^= a >> 32;
  a *= 0xc4ceb9fe1a85ec53;
  return a ^ (a >> 29);
}

// What is explored. Its memory is one block that is copied and compared byte by byte.
class System {
 public:
  virtual ~System() = default;
  virtual void* memory() = 0;
  virtual std::size_t bytes() const = 0;
  virtual std::uint64_t hash() const = 0;
  virtual unsigned threads() const = 0;
  virtual void begin() = 0;  // before the threads; nothing in it is a step
  virtual void run(unsigned thread) = 0;
  virtual bool mortal(unsigned thread) const = 0;
  // Threads of one process die together.
  virtual unsigned process(unsigned thread) const = 0;
  virtual void died(unsigned thread) = 0;  // what the kernel does then
  virtual std::string label(const void* where) const = 0;
  virtual std::string name(unsigned thread) const = 0;
};

// 64 bits of each state; that two of ten million states share them has a chance below
// one in 100,000.
class Seen {
 public:
  Seen() : slots_(1 << 14) {}
  // False: it was there.
  bool add(std::uint64_t key) {
    if (key == 0) key = 1;
    if ((count_ + 1) * 3 > slots_.size() * 2) grow();
    return put(key);
  }
  std::uint64_t count() const { return count_; }

 private:
  bool put(std::uint64_t key) {
    std::size_t at = key & (slots_.size() - 1);
    for (; slots_[at] != 0; at = (at + 1) & (slots_.size() - 1)) {
      if (slots_[at] == key) return false;
    }
    slots_[at] = key;
    ++count_;
    return true;
  }
  void grow() {
    std::vector<std::uint64_t> old(slots_.size() * 2);
    old.swap(slots_);
    count_ = 0;
    for (const std::uint64_t key : old) {
      if (key != 0) put(key);
    }
  }
  std::vector<std::uint64_t> slots_;
  std::uint64_t count_ = 0;
};

struct Report {
  std::uint64_t states = 0;
  std::uint64_t steps = 0;
  std::uint64_t ends = 0;  // ways in which everything came to an end, after merging
  std::size_t depth = 0;
  bool complete = false;
  std::string broken;  // the rule that did not hold
  std::vector<std::string> trace;
};

class Explorer {
 public:
  static constexpr unsigned kMaxThreads = 5;
  static constexpr int kNobody = -1;

  // deaths: how many threads may die in one run. impatient: a bounded sleep may end at
  // any time, not only when nothing else can happen any more.
  Explorer(System& system, unsigned deaths, bool impatient)
      : system_(system), deaths_(deaths), impatient_(impatient) {}

  static Explorer*& active() {
    static Explorer* explorer = nullptr;
    return explorer;
  }

  Report explore(std::uint64_t max_steps);

  // --- called by the threads
  int current() const { return current_; }
  // Here others may come in between; the step that follows is one.
  void step(const char* what, const void* where) {
    if (current_ != kNobody) yield(about_to(what, where));
  }
  unsigned choose(const char* what, unsigned choices) {
    if (current_ == kNobody) return 0;
    Thread& t = about_to(what, nullptr);
    t.choices = choices;
    yield(t);
    observe(t.alternative);
    return t.alternative;
  }
  // Goes on when ready(argument); when `timed` perhaps before. False: time is up.
  bool wait(const char* what, const void* where, bool (*ready)(void*), void* argument,
            bool timed) {
    Thread& t = about_to(what, where);
    t.ready = ready;
    t.argument = argument;
    t.timed = timed;
    t.overslept = false;
    yield(t);
    const bool posted = t.alternative == 0;
    observe(posted);
    return posted;
  }
  // Takes bits away in one step with the next thing that the thread does.
  void clear_with_next_step(std::uint8_t& byte, std::uint8_t bits) {
    if (current_ == kNobody) {
      byte &= static_cast<std::uint8_t>(~bits);
      return;
    }
    Thread& t = threads_[static_cast<unsigned>(current_)];
    t.cleared = &byte;
    t.bits = bits;
  }
  void observe(std::uint64_t value) {
    if (current_ == kNobody) return;
    Thread& t = threads_[static_cast<unsigned>(current_)];
    t.history = mix(t.history, value);
  }
  // From here on the thread depends on nothing but the memory and `place`.
  void checkpoint(std::uint64_t place) {
    if (current_ == kNobody) return;
    threads_[static_cast<unsigned>(current_)].history = mix(0x5bd1e995, place);
  }
  [[noreturn]] void fail(const char* why) {
    if (current_ == kNobody) {
      std::fprintf(stderr, "before the threads: %s\n", why);
      std::abort();
    }
    broken_ = why;
    _longjmp(home_, 1);
  }
  // Something got further: what a wake-up by time alone must not be needed for.
  // `excused`: no other event could have woken this thread.
  void progress(bool excused) {
    if (current_ == kNobody) return;
    Thread& t = threads_[static_cast<unsigned>(current_)];
    if (t.overslept && !excused) fail("LOST WAKE-UP");
    t.overslept = false;
    idle_ = {};
  }

 private:
  enum class Life : std::uint8_t { ready, done, dead };
  struct Thread {
    jmp_buf context;
    const char* what;
    const void* where;
    bool (*ready)(void*);
    void* argument;
    char* low;  // of the stack in use
    std::uint8_t* cleared;
    std::uint64_t history;
    unsigned choices;
    unsigned alternative;
    bool timed;
    bool overslept;
    std::uint8_t bits;
    Life life;
  };
  struct Action {
    std::uint8_t thread;
    std::uint8_t alternative;
  };
  struct Level {
    std::vector<char> image;
    std::vector<Action> actions;
    std::size_t next;
    const char* what[kMaxThreads];
    const void* where[kMaxThreads];
  };
  static constexpr std::uint8_t kTimeout = 254;
  static constexpr std::uint8_t kDeath = 255;
  static constexpr std::size_t kStackBytes = 64 * 1024;
  static constexpr std::size_t kBelowFrame = 512;  // red zone and what setjmp() calls
  static constexpr unsigned kMaxIdle = 3;

  Thread& about_to(const char* what, const void* where) {
    Thread& t = threads_[static_cast<unsigned>(current_)];
    t.what = what;
    t.where = where;
    t.ready = nullptr;
    t.choices = 1;
    t.timed = false;
    return t;
  }
  [[gnu::noinline]] void yield(Thread& t) {
    t.low = static_cast<char*>(__builtin_frame_address(0)) - kBelowFrame;
    if (_setjmp(t.context) == 0) _longjmp(home_, 1);
  }
  static void enter() {
    Explorer& e = *active();
    Thread& t = e.threads_[static_cast<unsigned>(e.current_)];
    e.system_.run(static_cast<unsigned>(e.current_));
    t.life = Life::done;
    t.low = e.top(static_cast<unsigned>(e.current_));
    e.idle_ = {};
    _longjmp(e.home_, 1);
  }
  char* top(unsigned t) { return stacks_[t].data() + kStackBytes; }

  void start(unsigned t) {
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = stacks_[t].data();
    context.uc_stack.ss_size = kStackBytes;
    context.uc_link = nullptr;
    makecontext(&context, &Explorer::enter, 0);
    current_ = static_cast<int>(t);
    if (_setjmp(home_) == 0) setcontext(&context);
    current_ = kNobody;
  }
  void perform(Action action) {
    Thread& t = threads_[action.thread];
    if (action.alternative == kDeath) {
      for (unsigned i = 0; i < system_.threads(); ++i) {
        Thread& other = threads_[i];
        if (system_.process(i) != system_.process(action.thread)) continue;
        if (other.life == Life::ready) other.life = Life::dead;
        other.low = top(i);
      }
      ++died_;
      idle_ = {};
      system_.died(action.thread);
      return;
    }
    if (action.alternative == kTimeout) {
      t.alternative = 1;
      if (quiet_) {
        t.overslept = true;
        ++idle_[action.thread];
      }
    } else {
      t.alternative = action.alternative;
      t.history = mix(t.history, 1);
    }
    current_ = action.thread;
    if (t.bits != 0) {
      *t.cleared &= static_cast<std::uint8_t>(~t.bits);
      t.bits = 0;
    }
    if (_setjmp(home_) == 0) _longjmp(t.context, 1);
    current_ = kNobody;
  }
  bool find_actions(std::vector<Action>& actions);
  std::uint64_t key() const;
  template <class Block>
  void each_block(Block block);
  void save(Level& level);
  void restore(const Level& level);
  void tell(Report& report, std::size_t depth);

  System& system_;
  const unsigned deaths_;
  const bool impatient_;
  std::array<Thread, kMaxThreads> threads_{};
  std::array<std::array<char, kStackBytes>, kMaxThreads> stacks_;
  jmp_buf home_;
  int current_ = kNobody;
  unsigned died_ = 0;
  // Sleeps of each thread that ended by time alone since something got further.
  std::array<std::uint8_t, kMaxThreads> idle_{};
  bool quiet_ = false;
  const char* broken_ = nullptr;
  std::vector<Level> levels_;
};

inline bool Explorer::find_actions(std::vector<Action>& actions) {
  actions.clear();
  bool unfinished = false;
  for (unsigned i = 0; i < system_.threads(); ++i) {
    const Thread& t = threads_[i];
    if (t.life != Life::ready) continue;
    unfinished = true;
    if (t.ready && !t.ready(t.argument)) continue;
    for (unsigned a = 0; a < t.choices; ++a) {
      actions.push_back({static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(a)});
    }
  }
  quiet_ = actions.empty();
  bool slept_out = quiet_ && unfinished;
  for (unsigned i = 0; i < system_.threads(); ++i) {
    const Thread& t = threads_[i];
    if (t.life != Life::ready) continue;
    const bool sleeps = t.timed && t.ready && !t.ready(t.argument);
    if (sleeps && (quiet_ ? idle_[i] < kMaxIdle : impatient_)) {
      actions.push_back({static_cast<std::uint8_t>(i), kTimeout});
      slept_out = false;
    }
    if (died_ < deaths_ && system_.mortal(i)) {
      actions.push_back({static_cast<std::uint8_t>(i), kDeath});
    }
  }
  if (slept_out) broken_ = "STUCK: neither events nor time make anybody go on";
  return unfinished;
}

inline std::uint64_t Explorer::key() const {
  std::uint64_t k = mix(system_.hash(), died_);
  for (unsigned i = 0; i < system_.threads(); ++i) {
    const Thread& t = threads_[i];
    const auto life = static_cast<std::uint64_t>(t.life);
    const std::uint64_t idle = idle_[i] * 2u + t.overslept;
    k = mix(k, t.life == Life::ready ? mix(t.history, idle) : life);
  }
  return k;
}

// All that makes a state. What is behind the first block may depend on what it holds.
template <class Block>
void Explorer::each_block(Block block) {
  block(&threads_, sizeof threads_);
  block(system_.memory(), system_.bytes());
  block(&died_, sizeof died_);
  block(&idle_, sizeof idle_);
  for (unsigned i = 0; i < system_.threads(); ++i) {
    block(threads_[i].low, static_cast<std::size_t>(top(i) - threads_[i].low));
  }
}

inline void Explorer::save(Level& level) {
  level.image.clear();
  each_block([&](const void* from, std::size_t bytes) {
    const auto* const first = static_cast<const char*>(from);
    level.image.insert(level.image.end(), first, first + bytes);
  });
}

inline void Explorer::restore(const Level& level) {
  const char* from = level.image.data();
  each_block([&](void* to, std::size_t bytes) {
    std::memcpy(to, from, bytes);
    from += bytes;
  });
}

inline void Explorer::tell(Report& report, std::size_t depth) {
  report.broken = broken_;
  for (std::size_t d = 0; d < depth; ++d) {
    const Level& level = levels_[d];
    const Action a = level.actions[level.next - 1];
    std::string line = system_.name(a.thread) + ": ";
    if (a.alternative == kDeath) {
      line += "DIES before ";
    } else if (a.alternative == kTimeout) {
      line += "time is up in ";
    }
    line += level.what[a.thread];
    if (level.where[a.thread]) line += " " + system_.label(level.where[a.thread]);
    if (a.alternative < kTimeout && threads_[a.thread].choices > 0 && a.alternative > 0) {
      line += " = " + std::to_string(a.alternative);
    }
    report.trace.push_back(line);
  }
}

inline Report Explorer::explore(std::uint64_t max_steps) {
  active() = this;
  Report report;
  Seen seen;
  system_.begin();
  for (unsigned i = 0; i < system_.threads() && !broken_; ++i) start(i);
  std::size_t depth = 0;
  bool fresh = true;  // the state in hand is the one of the topmost level
  const auto push = [&] {
    if (depth == levels_.size()) levels_.emplace_back();
    Level& level = levels_[depth];
    level.next = 0;
    const bool unfinished = find_actions(level.actions);
    if (broken_) return;
    if (!unfinished) {
      ++report.ends;
      return;
    }
    for (unsigned i = 0; i < system_.threads(); ++i) {
      level.what[i] = threads_[i].what;
      level.where[i] = threads_[i].where;
    }
    if (level.actions.size() > 1) save(level);
    ++depth;
    if (depth > report.depth) report.depth = depth;
    fresh = true;
  };
  if (!broken_) {
    seen.add(key());
    push();
  }
  while (depth > 0 && !broken_) {
    Level& level = levels_[depth - 1];
    if (level.next == level.actions.size()) {
      --depth;
      fresh = false;
      continue;
    }
    if (!fresh) restore(level);
    fresh = false;
    // find_actions() said so of this state; the levels above have said other things.
    quiet_ = true;
    for (const Action a : level.actions) quiet_ = quiet_ && a.alternative >= kTimeout;
    perform(level.actions[level.next++]);
    ++report.steps;
    if (broken_) break;
    if (seen.add(key())) push();
    if (report.steps >= max_steps) break;
  }
  report.complete = depth == 0 && !broken_;
  report.states = seen.count();
  if (broken_) tell(report, depth);
  active() = nullptr;
  return report;
}

}  // namespace model
