// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The state machines that ship, under the relaxed memory of C++: Relacy runs a channel in
// miniature again and again, chooses at random who goes on and which old value a load may
// still see, and finds races (torn frames), deadlocks (lost wake-ups), frames lost,
// repeated or out of order, and breaches of the reserve rule. Then every order that
// PROTOCOL.md, "Memory orders", calls necessary is weakened, one at a time, and must be
// missed.
//
// What can be trusted. A failure found here is one that C++ allows. A pass is no proof:
// - executions are drawn at random, and a load is at most two stores behind;
// - a load never sees a store that has yet to be executed, so nothing that needs a load
//   to be delayed behind a later store is shown. No rule here rests on that alone;
// - all seq_cst accesses are in the order of execution. That is C++11. C++20 allows more
//   where seq_cst and weaker accesses of one variable meet on POWER; the words decided by
//   are seq_cst on both sides, and the table names those that are not;
// - a plain store by the same thread carries on a release sequence, as before C++20. It
//   concerns only recycling, which stores the word and orders by cfg and the byte lock;
// - a failed compare-exchange reads the newest value; the callers load again anyway;
// - who wakes from a sleep sees something newer than it saw before, where there is such;
// - byte locks and their release by death are taken to order like a mutex, and the
//   kernel's names, locks and sleeping are never out of date.
//
//   transport-relacy --role run SCENARIO FIRST COUNT    prints the first failure in full
//   transport-relacy --role matrix COUNT                weakens every order of every
//   access
#if !__has_include(<relacy/context.hpp>) || defined(__SANITIZE_ADDRESS__)
#include <cstdio>
int main() {
  std::fputs("SKIPPED: needs Relacy (relacy-dev) and a build without sanitizers\n",
             stderr);
  return 77;
}
#else

#include <chrono>
#include <cstdio>
#include <string>

#include "channel.h"
#include "orders.h"
#include "support/check.h"

using namespace model;

namespace {

constexpr auto kOldest = layout::Policy::drop_oldest;
constexpr auto kBlocking = layout::Policy::blocking;

const Scenario kOneReader[] = {
    {.name = "dropping", .frames = 4, .reader = {{kOldest, 1}}},
    {.name = "leases", .frames = 4, .slots = 4, .reader = {{kOldest, 2, 2}}},
    {.name = "lossless", .frames = 4, .reader = {{kBlocking, 1}}, .drain = true},
    {.name = "again", .frames = 2, .reader = {{kBlocking, 2, 1}}, .restart = true},
    {.name = "replace", .frames = 4, .reader = {{kOldest, 1, 1}}, .replace_at = 2},
    {.name = "flush", .frames = 3, .reader = {{kOldest, 2, 1}}, .flush = true},
    {.name = "tenants",
     .frames = 4,
     .reader = {{kOldest, 1, 1, 2, 1}},
     .housekeeping = true},
    {.name = "stealing", .frames = 6, .reader = {{kOldest, 2, 1}}},
    {.name = "leaving", .frames = 3, .reader = {{kBlocking, 1, 0, 2, 1}}},
    {.name = "deep", .frames = 5, .reader = {{kBlocking, 3}}, .drain = true},
    {.name = "deep kept", .frames = 5, .reader = {{kBlocking, 3, 2}}},
    {.name = "held",
     .frames = 2,
     .reader = {{kBlocking, 1, 2}},
     .drain = true,
     .linger = true},
    {.name = "awaited", .frames = 1, .reader = {{kBlocking, 1}}, .await_readers = true},
    {.name = "lend", .frames = 4, .slots = 4, .reader = {{kOldest, 1, 3}}, .lend_at = 4},
    {.name = "lend deep",
     .frames = 6,
     .slots = 4,
     .reader = {{kOldest, 2, 3}},
     .lend_at = 2},
    {.name = "reader dies",
     .frames = 4,
     .reader = {{kBlocking, 1, 1}},
     .reader_lifetime = 40},
    {.name = "writer dies",
     .frames = 4,
     .reader = {{kBlocking, 1, 1}},
     .writer_lifetime = 120},
};
const Scenario kTwoReaders[] = {
    {.name = "two", .frames = 3, .reader = {{kOldest, 1}, {kBlocking, 1}}},
    {.name = "withdrawing",
     .frames = 5,
     .reader = {{kOldest, 2, 2}, {kBlocking, 2, 0, 1, 99, 100}}},
    {.name = "racing", .frames = 3, .reader = {{kOldest, 2, 2}, {kOldest, 2, 2}}},
    {.name = "racing lend",
     .frames = 3,
     .slots = 4,
     .reader = {{kOldest, 2, 2}, {kOldest, 2, 2}},
     .lend_at = 2},
    {.name = "mixed",
     .frames = 3,
     .reader = {{kBlocking, 1, 1}, {kOldest, 1, 1}},
     .housekeeping = true},
};

template <class Each>
void each_scenario(Each each) {
  for (const Scenario& s : kOneReader) each(s);
  for (const Scenario& s : kTwoReaders) each(s);
}

// What a run found, and in which of its executions.
struct Outcome {
  rl::test_result_e result;
  std::uint64_t iteration;
};

template <class Test>
Outcome simulate(std::uint64_t first, std::uint64_t count, bool show) {
  rl::test_params params;
  rl::ostringstream ignored;
  params.progress_stream = &ignored;
  params.iteration_count = first + count - 1;
  params.initial_state = (std::to_string(first) + " ").c_str();
  params.execution_depth_limit = 20'000;
  params.collect_history = show;
  using Scheduler = rl::random_scheduler<Test::params::thread_count>;
  const auto result = rl::run_test<Test, Scheduler>(params, ignored, show);
  return {result, params.stop_iteration};
}

// Executions are numbered; the number is the seed.
Outcome run(const Scenario& s, std::uint64_t first, std::uint64_t count,
            bool show = false) {
  scenario = &s;
  const bool two = &s >= std::begin(kTwoReaders) && &s < std::end(kTwoReaders);
  return two ? simulate<Channel<2, 2, 4>>(first, count, show)
             : simulate<Channel<1, 1, 4>>(first, count, show);
}

const Scenario& named(std::string_view name) {
  const Scenario* found = nullptr;
  each_scenario([&](const Scenario& s) {
    if (s.name == name) found = &s;
  });
  if (!found) check::failed(__FILE__, __LINE__, "there is such a scenario");
  return *found;
}

const char* text(memory_order order) {
  static constexpr const char* kNames[] = {"relaxed", "consume", "acquire",
                                           "release", "acq_rel", "seq_cst"};
  return kNames[static_cast<int>(order)];
}
std::string text(const Change& change) {
  const Site& s = change.site;
  return std::string(s.function) + " " + std::string(s.variable) + " " +
         std::string(s.access) + " " + text(s.order) + " -> " + text(change.weaker);
}

}  // namespace

// With POSSUM_SOAK_SECONDS other executions for so long, else the same ones every time.
TEST(no_execution_fails) {
  using Clock = std::chrono::steady_clock;
  const char* soak = std::getenv("POSSUM_SOAK_SECONDS");
  const auto end = Clock::now() + std::chrono::seconds(soak ? std::atoi(soak) : 0);
  constexpr std::uint64_t kRound = 40'000;
  recording = true;
  std::uint64_t first = 1;
  do {
    each_scenario([&](const Scenario& s) {
      const Outcome outcome = run(s, first, kRound);
      if (outcome.result == rl::test_result_success) return;
      std::fprintf(stderr, "%s, execution %llu:\n", s.name,
                   static_cast<unsigned long long>(outcome.iteration));
      run(s, outcome.iteration, 1, true);
      CHECK(outcome.result == rl::test_result_success);
    });
    first += kRound;
  } while (Clock::now() < end);
  recording = false;
  check::note("   %lld executions of each scenario\n", first - 1);
}

TEST(every_access_that_orders_has_a_row) {
  bool complete = true;
  for (unsigned i = 0; i < site_count; ++i) {
    const Site& site = sites[i];
    if (site.order == relaxed || in_table(site)) continue;
    std::fprintf(stderr, "no row: %s\n", text(Change{site, site.order}).c_str());
    complete = false;
  }
  for (const Row& row : kRows) {
    for (const Change& change : row.changes) {
      if (change.site.function.empty() || recorded(change.site)) continue;
      std::fprintf(stderr, "no such access: %s\n", text(change).c_str());
      complete = false;
    }
  }
  CHECK(complete);
}

TEST(every_order_that_is_needed_is_missed) {
  constexpr std::uint64_t kEnough = 150'000;
  bool all = true;
  for (const Row& row : kRows) {
    if (!row.missed_in) {
      std::printf("   %-50s to spare: %s\n", text(row.changes[0]).c_str(), row.why_spare);
      continue;
    }
    changes = row.changes;
    const Outcome outcome = run(named(row.missed_in), 1, kEnough);
    changes = {};
    std::printf("   %-50s %s after %llu in \"%s\"\n", text(row.changes[0]).c_str(),
                rl::test_result_str(outcome.result),
                static_cast<unsigned long long>(outcome.iteration), row.missed_in);
    all = all && outcome.result != rl::test_result_success;
  }
  CHECK(all);
}

ROLE(run) {
  const Scenario& s = named(args.at(0));
  const Outcome outcome = run(s, std::stoull(args.at(1)), std::stoull(args.at(2)));
  if (outcome.result == rl::test_result_success) return 0;
  run(s, outcome.iteration, 1, true);
  return 1;
}

ROLE(matrix) {
  const std::uint64_t count = std::stoull(args.at(0));
  recording = true;
  each_scenario([](const Scenario& s) { run(s, 1, 2000); });
  recording = false;
  for (unsigned i = 0; i < site_count; ++i) {
    const Site site = sites[i];
    for (const memory_order weaker : {acq_rel, acquire, release, relaxed}) {
      if (!weaker_than(weaker, site)) continue;
      changes = {Change{site, weaker}};
      std::printf("%-50s", text(changes[0]).c_str());
      each_scenario([&](const Scenario& s) {
        const Outcome outcome = run(s, 1, count);
        if (outcome.result == rl::test_result_success) return;
        std::printf(" [%s %llu]", s.name,
                    static_cast<unsigned long long>(outcome.iteration));
      });
      std::printf("\n");
      std::fflush(stdout);
      changes = {};
    }
  }
  return 0;
}

#endif
