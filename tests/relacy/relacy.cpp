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
// A failure is printed in full. To see what each order of each access is needed for:
//
//   transport-relacy --role matrix COUNT
#if !__has_include(<relacy/context.hpp>) || defined(__SANITIZE_ADDRESS__)
#include <cstdio>
int main() {
  std::fputs("SKIPPED: needs Relacy (relacy-dev) and a build without sanitizers\n",
             stderr);
  return 77;
}
#else

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <string>
#include <vector>

#include "channel.h"
#include "orders.h"
#include "support/check.h"

using namespace model;

namespace {

constexpr auto kOldest = layout::Policy::drop_oldest;
constexpr auto kBlocking = layout::Policy::blocking;

const Scenario kScenarios[] = {
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
    // Two readers.
    {.name = "two", .readers = 2, .frames = 3, .reader = {{kOldest, 1}, {kBlocking, 1}}},
    {.name = "withdrawing",
     .readers = 2,
     .frames = 5,
     .reader = {{kOldest, 2, 2}, {kBlocking, 2, 0, 1, 99, 100}}},
    {.name = "racing",
     .readers = 2,
     .frames = 3,
     .reader = {{kOldest, 2, 2}, {kOldest, 2, 2}}},
    {.name = "racing lend",
     .readers = 2,
     .frames = 3,
     .slots = 4,
     .reader = {{kOldest, 2, 2}, {kOldest, 2, 2}},
     .lend_at = 2},
    {.name = "mixed",
     .readers = 2,
     .frames = 3,
     .reader = {{kBlocking, 1, 1}, {kOldest, 1, 1}},
     .housekeeping = true},
};

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
  return s.readers == 2 ? simulate<Channel<2, 2, 4>>(first, count, show)
                        : simulate<Channel<1, 1, 4>>(first, count, show);
}

const Scenario& named(std::string_view name) {
  for (const Scenario& s : kScenarios) {
    if (s.name == name) return s;
  }
  check::failed(__FILE__, __LINE__, "there is such a scenario");
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

bool weaker_than(memory_order weaker, const Site& site) {
  if (weaker >= site.order) return false;
  if (site.access == "load") return weaker == acquire || weaker == relaxed;
  if (site.access == "store") return weaker == release || weaker == relaxed;
  return true;
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
    for (const Scenario& s : kScenarios) {
      const Outcome outcome = run(s, first, kRound);
      if (outcome.result == rl::test_result_success) continue;
      std::fprintf(stderr, "%s, execution %llu:\n", s.name,
                   static_cast<unsigned long long>(outcome.iteration));
      run(s, outcome.iteration, 1, true);
      CHECK(outcome.result == rl::test_result_success);
    }
    first += kRound;
  } while (Clock::now() < end);
  recording = false;
  check::note("   %lld executions of each scenario\n", first - 1);
}

TEST(every_access_that_orders_has_a_row) {
  std::vector<Change> rows;
  for (const Needed& row : kNeeded) {
    rows.push_back(row.change);
    if (!row.also.site.function.empty()) rows.push_back(row.also);
  }
  for (const Spare& row : kSpare) rows.push_back(row.change);
  bool complete = true;
  for (const Site& site : reached()) {
    const bool has_row = std::any_of(rows.begin(), rows.end(),
                                     [&](const Change& row) { return row.site == site; });
    if (site.order == relaxed || has_row) continue;
    std::fprintf(stderr, "no row: %s\n", text(Change{site, site.order}).c_str());
    complete = false;
  }
  for (const Change& row : rows) {
    if (std::ranges::count(reached(), row.site) != 0) continue;
    std::fprintf(stderr, "no such access: %s\n", text(row).c_str());
    complete = false;
  }
  CHECK(complete);
}

TEST(every_order_that_is_needed_is_missed) {
  constexpr std::uint64_t kEnough = 150'000;
  bool all = true;
  for (const Needed& row : kNeeded) {
    changes = {row.change, row.also};
    const Outcome outcome = run(named(row.missed_in), 1, kEnough);
    changes = {};
    std::printf("   %-50s %s after %llu in \"%s\"\n", text(row.change).c_str(),
                rl::test_result_str(outcome.result),
                static_cast<unsigned long long>(outcome.iteration), row.missed_in);
    all = all && outcome.result != rl::test_result_success;
  }
  CHECK(all);
}

ROLE(matrix) {
  const std::uint64_t count = std::stoull(args.at(0));
  recording = true;
  for (const Scenario& s : kScenarios) run(s, 1, 2000);
  recording = false;
  for (const Site& site : reached()) {
    for (const memory_order weaker : {acq_rel, acquire, release, relaxed}) {
      if (!weaker_than(weaker, site)) continue;
      changes = {Change{site, weaker}};
      std::printf("%-50s", text(changes[0]).c_str());
      for (const Scenario& s : kScenarios) {
        const Outcome outcome = run(s, 1, count);
        if (outcome.result == rl::test_result_success) continue;
        std::printf(" [%s %llu]", s.name,
                    static_cast<unsigned long long>(outcome.iteration));
      }
      std::printf("\n");
      std::fflush(stdout);
      changes = {};
    }
  }
  return 0;
}

#endif
