// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// std::atomic as the state machines in gst/transport use it, over Relacy's atomic. Every
// access knows its call site, so that a test can weaken the order of one, and list all
// of them; and every access is a point at which its thread can die.
#pragma once

// Not relacy.hpp, which redefines words of the language and the names of POSIX.
#include <relacy/base.hpp>
//
#include <relacy/context.hpp>
//
#include <relacy/atomic.hpp>
#include <relacy/atomic_fence.hpp>
#include <relacy/context_base_impl.hpp>
#include <relacy/dyn_thread.hpp>
#include <relacy/stdlib/condition_variable.hpp>
#include <relacy/stdlib/event.hpp>
#include <relacy/stdlib/mutex.hpp>
#include <relacy/stdlib/semaphore.hpp>
#include <relacy/test_suite.hpp>
#include <relacy/var.hpp>
//
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>
#include <utility>

namespace model {

using std::memory_order;

// One access in the source: the function, the variable, the kind of access. "offer",
// "word", "cas". "operator()" stands for a lambda.
struct Site {
  std::string_view function;
  std::string_view variable;
  std::string_view access;
  memory_order order = memory_order::relaxed;
  bool operator==(const Site&) const = default;
};

// Accesses whose order is another than the source says.
struct Change {
  Site site;
  memory_order weaker = memory_order::relaxed;
};
using Changes = std::array<Change, 2>;
inline Changes changes{};

// All sites that were reached while `recording`. No container: Relacy counts what a test
// allocates.
inline bool recording = false;
inline std::array<Site, 128> sites;
inline unsigned site_count = 0;
inline std::span<const Site> reached() { return {sites.data(), site_count}; }
inline void record(const Site& site) {
  if (std::ranges::count(reached(), site) != 0) return;
  if (site_count == sites.size()) std::abort();
  sites[site_count++] = site;
}

// Thrown out of the access at which a thread dies: of what it was about to do nothing is
// seen by anybody.
struct Dead {};
inline constexpr int kImmortal = -1;
inline std::array<int, 4> accesses_left{};  // per thread

// Choosing anew after each access seldom lets one thread do much while another stands
// still. In half of the executions threads now and then keep the processor for a while.
class Burst {
 public:
  // Before each execution; what a failed one left behind is gone with its context.
  void start(bool wanted) {
    wanted_ = wanted;
    left_ = 0;
    held_ = false;
  }
  void step() {
    if (left_ > 0 && --left_ > 0) return;
    end();
    if (!wanted_ || rl::rand(8) != 0) return;
    left_ = 1 + rl::rand(32);
    held_ = true;
    new (hold_) rl::preemption_disabler(rl::ctx());
  }
  // Before the thread sleeps or is done.
  void end() {
    left_ = 0;
    if (!std::exchange(held_, false)) return;
    reinterpret_cast<rl::preemption_disabler*>(hold_)->~preemption_disabler();
  }

 private:
  bool wanted_ = false;
  bool held_ = false;
  unsigned left_ = 0;
  alignas(rl::preemption_disabler) char hold_[sizeof(rl::preemption_disabler)];
};
inline Burst burst;

// Where an access stands in the source.
struct Where {
  const char* function;
  unsigned line;
  static Where here(const char* function = __builtin_FUNCTION(),
                    unsigned line = __builtin_LINE()) {
    return {function, line};
  }
  rl::debug_info info() const { return rl::debug_info(function, "", line); }
};

template <class T>
class Atomic {
 public:
  explicit Atomic(const char* name, T value = 0) : name_(name) {
    value_.store(value, rl::mo_relaxed, RL_INFO);
  }

  T load(memory_order order, Where where = Where::here()) const {
    return value_.load(begin("load", order, where), where.info());
  }
  void store(T value, memory_order order, Where where = Where::here()) {
    value_.store(value, begin("store", order, where), where.info());
  }
  T exchange(T value, memory_order order, Where where = Where::here()) {
    return value_.exchange(value, begin("exchange", order, where), where.info());
  }
  T fetch_and(T value, memory_order order, Where where = Where::here()) {
    return value_.fetch_and(value, begin("and", order, where), where.info());
  }
  T fetch_or(T value, memory_order order, Where where = Where::here()) {
    return value_.fetch_or(value, begin("or", order, where), where.info());
  }
  // A failed exchange is a relaxed load here, whatever the caller asks for.
  bool compare_exchange_strong(T& expected, T desired, memory_order order,
                               memory_order = memory_order::relaxed,
                               Where where = Where::here()) {
    return value_.compare_exchange_strong(expected, desired, begin("cas", order, where),
                                          where.info(), rl::mo_relaxed, where.info());
  }

 private:
  // The access, unless its thread dies before it; with which order it is done.
  rl::memory_order begin(std::string_view access, memory_order order,
                         const Where& where) const {
    burst.step();
    int& left = accesses_left[rl::thread_index()];
    if (left == 0) throw Dead{};
    if (left != kImmortal) --left;
    // Of a template the compiler may name the arguments as well: "usable<unsigned int>".
    const std::string_view function = where.function;
    const Site site = {function.substr(0, function.find('<')), name_, access, order};
    if (recording) record(site);
    for (const Change& change : changes) {
      if (change.site == site) order = change.weaker;
    }
    static_assert(static_cast<int>(memory_order::acquire) == rl::mo_acquire &&
                  static_cast<int>(memory_order::seq_cst) == rl::mo_seq_cst);
    return static_cast<rl::memory_order>(order);
  }

  const char* const name_;
  rl::atomic<T> value_;
};

[[noreturn]] inline void fail(const char* what) {
  rl::ctx().fail_test(what, rl::test_result_user_assert_failed,
                      rl::debug_info("expect", "", 0));
  std::abort();  // fail_test() does not return
}
inline void expect(bool condition, const char* what) {
  if (!condition) fail(what);
}

// sem_t as glibc has it: post releases, a wait that succeeds acquires, the kernel puts to
// sleep only who still finds 0. Without time: nobody wakes who is not woken, and tick()
// stands for the bound of a wait, which orders nothing.
class Semaphore {
 public:
  Semaphore() { set(0); }
  void set(unsigned value) { value_.store(value, rl::mo_relaxed, RL_INFO); }

  bool try_wait() {
    unsigned value = value_.load(rl::mo_relaxed, RL_INFO);
    while (value != 0) {
      if (value_.compare_exchange_strong(value, value - 1, rl::mo_acquire, RL_INFO,
                                         rl::mo_relaxed, RL_INFO)) {
        return true;
      }
    }
    return false;
  }
  void post() {
    value_.fetch_add(1, rl::mo_release, RL_INFO);
    wake();
  }
  void wait() {
    while (!try_wait()) {
      if (value_.debug_value() != 0) continue;
      if (std::exchange(ticked_, false)) return;
      burst.end();
      sleeper_ = static_cast<int>(rl::thread_index());
      rl::ctx().park_current_thread(false, false, false, RL_INFO);
    }
  }
  void tick() {
    ticked_ = true;
    wake();
  }

 private:
  void wake() {
    if (sleeper_ < 0) return;
    rl::ctx().unpark_thread(std::exchange(sleeper_, -1), false, RL_INFO);
  }

  rl::atomic<unsigned> value_;
  int sleeper_ = -1;
  bool ticked_ = false;
};

}  // namespace model
