// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The state machines that ship, WriterCore, ReaderCore and BellCore, in every
// interleaving of small cases, with processes that die before any step. Memory is
// sequentially consistent here. Each case is a few processes that do a few things; what
// must hold is written in processes.h, what is no step and why in world.h. A case that
// breaks a rule prints every step that led there.
//
//   model [CASE]...     those cases, or all that a short run has time for
//   model --long        the large ones as well; also if POSSUM_SOAK_SECONDS is set
//   model --mutants     (built over mutated headers) each seeded bug must be found
//   model --mutant N [CASE]...   which cases find the Nth of them
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "processes.h"

using namespace model;

namespace {

using layout::Policy;

constexpr bool kLarge = true;

struct Case {
  const char* name;
  std::unique_ptr<System> (*make)(Plan);
  Plan plan;
  bool large = false;
};

template <unsigned Pages, unsigned Slots>
std::unique_ptr<System> channel(Plan plan) {
  if (plan.writer.prepared == 0) plan.writer.prepared = Slots;
  return std::make_unique<Channel<Pages, Slots>>(plan);
}

constexpr auto kNewest = Policy::drop_newest;
constexpr auto kBlocking = Policy::blocking;
// As many slots as a reader may hold and one more.
constexpr unsigned kGreedy = layout::kMaxTaken + 1;

const Case kCases[] = {
    {"dropping", channel<1, 3>, {.writer = {.frames = 3}}},
    {"drop-newest",
     channel<1, 3>,
     {.writer = {.frames = 3}, .readers = {{.policy = kNewest, .depth = 2, .hold = 1}}}},
    {"drain",
     channel<1, 2>,
     {.writer = {.drain = true}, .readers = {{.policy = kBlocking}}}},
    {"growing",
     channel<1, 2>,
     {.writer = {.prepared = 1, .drain = true}, .readers = {{.policy = kBlocking}}}},
    {"full",
     channel<1, 2>,
     {.writer = {.frames = 3, .drain = true},
      .readers = {{.policy = kBlocking, .depth = 2, .hold = 1, .attached = true}}}},
    {"newest",
     channel<2, 2>,
     {.writer = {.frames = 1, .may_drop = true},
      .readers = {{}, {.hold = 1, .attached = true, .stopped = true}},
      .fine = false,
      .warm = 2}},
    // The second tenant is admitted with the frame that the writer still waits to offer
    // to the first.
    {"pending-page",
     channel<1, 2>,
     {.writer = {.frames = 3},
      .readers = {{.policy = kBlocking, .mortal = true, .attached = true},
                  {.policy = kBlocking, .hold = 1}},
      .deaths = 1,
      .warm = 1,
      .untaken = 1}},
    {"pending-demote",
     channel<1, 2>,
     {.writer = {.frames = 1, .demotes = true, .recycles = true},
      .readers = {{.policy = kBlocking, .mortal = true, .attached = true},
                  {.policy = kBlocking}},
      .deaths = 1,
      .warm = 1,
      .untaken = 1}},
    {"evicted",
     channel<1, 3>,
     {.writer = {.keeps_house = true},
      .readers = {{.hold = 1, .evicted = true, .attached = true},
                  {.policy = kBlocking, .hold = 1}},
      .warm = 2}},
    {"attach",
     channel<1, 3>,
     {.writer = {.frames = 3}, .readers = {{.policy = kBlocking}}}},
    // A slot that was offered comes back in a newer frame.
    {"attach-deep",
     channel<1, 2>,
     {.writer = {.frames = 3, .drain = true},
      .readers = {{.policy = kBlocking, .depth = 2}}}},
    {"lossless",
     channel<1, 3>,
     {.writer = {.frames = 3, .drain = true},
      .readers = {{.policy = kBlocking, .depth = 2, .attached = true}},
      .impatient = true}},
    {"steal",
     channel<1, 2>,
     {.writer = {.frames = 3, .hurries = true}, .readers = {{.depth = 2}}}},
    {"waits-for-readers",
     channel<1, 2>,
     {.writer = {.frames = 1, .waits_for_readers = true},
      .readers = {{.policy = kBlocking}}}},
    // As a preroll does.
    {"shows-first",
     channel<1, 3>,
     {.writer = {.waits_for_readers = true, .shows_first = true},
      .readers = {{.policy = kBlocking, .depth = 2}}}},
    {"deaths",
     channel<1, 2>,
     {.writer = {.mortal = true, .checks_slots = true},
      .readers = {{.policy = kBlocking, .mortal = true}},
      .deaths = 2}},
    {"dead-holder",
     channel<1, 3>,
     {.writer = {.frames = 3, .mortal = true, .keeps_house = true, .checks_slots = true},
      .readers = {{.hold = 2, .mortal = true}},
      .deaths = 1}},
    {"second-tenant",
     channel<1, 2>,
     {.writer = {.checks_slots = true},
      .readers = {{.frames = 1, .mortal = true}, {.policy = kBlocking}},
      .deaths = 1}},
    {"again",
     channel<1, 2>,
     {.writer = {.keeps_house = true, .checks_slots = true},
      .readers = {{.policy = kBlocking, .frames = 1, .sessions = 2}}}},
    {"successor",
     channel<1, 2>,
     {.writer = {.frames = 1, .mortal = true, .one_thread = true},
      .successor = true,
      .readers = {{.policy = kBlocking, .frames = 1, .sessions = 2}},
      .deaths = 1}},
    {"successor-long",
     channel<1, 2>,
     {.writer = {.frames = 1, .mortal = true},
      .successor = true,
      .readers = {{.policy = kBlocking, .sessions = 2, .mortal = true}},
      .deaths = 1},
     kLarge},
    {"replace",
     channel<1, 2>,
     {.writer = {.frames = 3, .large_from = 2}, .readers = {{.hold = 1}}}},
    {"replace-failing",
     channel<1, 3>,
     {.writer = {.prepared = 2, .large_from = 2, .may_drop = true, .may_fail = true},
      .readers = {{.hold = 1}}}},
    {"flush",
     channel<1, 3>,
     {.writer = {.frames = 3, .flush_after = 1}, .readers = {{.depth = 2}}}},
    {"lend",
     channel<1, 4>,
     {.writer = {.lent = 1, .keeps_house = true},
      .readers = {{.hold = 3, .attached = true}},
      .warm = 3,
      .untaken = 1}},
    {"demote",
     channel<1, 2>,
     {.writer = {.frames = 3, .demotes = true},
      .readers = {{.policy = kBlocking, .stalls = true}}}},
    {"liar",
     channel<1, 4>,
     {.writer = {.frames = 4, .may_drop = true},
      .readers = {{.depth = 2, .lies = true, .attached = true}}}},
    {"liar-free",
     channel<1, 3>,
     {.writer = {.frames = 3, .may_drop = true, .checks_slots = true},
      .readers = {{.depth = 2, .lies = true, .vanishes = true, .attached = true}}}},
    {"liar-greedy",
     channel<1, kGreedy>,
     {.writer = {.frames = 3},
      .readers = {{.depth = kGreedy, .lies = true, .attached = true}},
      .warm = kGreedy - 1,
      .untaken = kGreedy - 1}},
    // Somebody comes while a frame is dropped for want of slots.
    {"dropped-frame",
     channel<2, 2>,
     {.writer = {.may_drop = true, .hurries = true},
      .readers = {{.policy = kBlocking}, {.depth = 2, .attached = true, .stopped = true}},
      .fine = false,
      .warm = 2,
      .untaken = 2}},
    {"last-slots",
     channel<2, 4>,
     {.writer = {.frames = 1},
      .readers = {{.hold = 3, .attached = true}, {.hold = 3, .attached = true}},
      .fine = false,
      .warm = 3,
      .untaken = 1}},
    {"two",
     channel<2, 3>,
     {.writer = {.frames = 1, .drain = true},
      .readers = {{.attached = true}, {.policy = kBlocking, .attached = true}},
      .fine = false,
      .warm = 1}},
    // The channel has ended, or nothing was ever sent: a newcomer must be told.
    {"ended", channel<1, 2>, {.writer = {.frames = 1, .lingers = true}}},
    {"ended-again",
     channel<1, 2>,
     {.writer = {.frames = 1, .checks_slots = true, .recycles = true, .lingers = true},
      .readers = {{.frames = 1, .sessions = 2}}}},
    {"nothing", channel<1, 2>, {.writer = {.frames = 0, .lingers = true}}},
    {"two-come",
     channel<2, 2>,
     {.writer = {.frames = 1, .may_drop = true},
      .readers = {{.hold = 1, .attached = true}, {.hold = 1}},
      .fine = false,
      .warm = 2},
     kLarge},
    // Somebody comes while the writer waits for another reader's room.
    {"come-pending",
     channel<2, 3>,
     {.writer = {.frames = 1, .lingers = true},
      .readers = {{.policy = kBlocking, .attached = true}, {.policy = kBlocking}},
      .fine = false,
      .warm = 1,
      .untaken = 1},
     kLarge},
    {"two-long",
     channel<2, 3>,
     {.writer = {.drain = true},
      .readers = {{.attached = true}, {.policy = kBlocking, .attached = true}},
      .fine = false},
     kLarge},
    {"two-die",
     channel<2, 3>,
     {.writer = {.mortal = true},
      .readers = {{.hold = 1, .mortal = true, .attached = true},
                  {.policy = kBlocking, .mortal = true, .attached = true}},
      .deaths = 2,
      .fine = false},
     kLarge},
    {"two-attach",
     channel<2, 3>,
     {.writer = {.frames = 1}, .readers = {{}, {.policy = kBlocking}}, .fine = false},
     kLarge},
    {"three",
     channel<3, 3>,
     {.writer = {.frames = 1},
      .readers = {{.hold = 2, .attached = true},
                  {.hold = 2, .attached = true},
                  {.policy = kBlocking, .attached = true}},
      .fine = false,
      .warm = 1},
     kLarge},
};

// The large ones may be left unfinished when time is short.
std::uint64_t steps_for(const Case& c) {
  const char* seconds = std::getenv("POSSUM_SOAK_SECONDS");
  if (!c.large || !seconds) return ~std::uint64_t{0};
  constexpr std::uint64_t kStepsPerSecond = 100'000;  // a slow machine, four such cases
  return std::strtoull(seconds, nullptr, 10) * kStepsPerSecond;
}

Report run(const Case& c) {
  const auto system = c.make(c.plan);
  Explorer explorer(*system, c.plan.deaths, c.plan.impatient);
  return explorer.explore(steps_for(c));
}

bool check(const Case& c) {
  const auto started = std::chrono::steady_clock::now();
  const Report report = run(c);
  const std::chrono::duration<double> seconds =
      std::chrono::steady_clock::now() - started;
  for (const std::string& line : report.trace) std::printf("  %s\n", line.c_str());
  std::printf("%-18s %10llu states %10llu steps %6llu ends, depth %zu, %.2f s  %s\n",
              c.name, static_cast<unsigned long long>(report.states),
              static_cast<unsigned long long>(report.steps),
              static_cast<unsigned long long>(report.ends), report.depth, seconds.count(),
              !report.broken.empty() ? report.broken.c_str()
              : report.complete      ? "ok"
                                     : "nothing found, not finished");
  std::fflush(stdout);
  return report.broken.empty();
}

#ifdef POSSUM_MUTANTS
struct Mutant {
  int number;
  const char* name;
  const char* where;  // the case that finds it
};
constexpr Mutant kMutants[] = {
#include "mutants.inc"
};

int find_mutants() {
  int survivors = 0;
  for (const Mutant& m : kMutants) {
    possum::transport::mutant_in_hand = m.number;
    bool found = false;
    for (const Case& c : kCases) {
      if (std::strcmp(c.name, m.where) != 0) continue;
      const Report report = run(c);
      found = !report.broken.empty();
      std::printf("%-36s %-16s %9llu steps, depth %4zu  %s\n", m.name, c.name,
                  static_cast<unsigned long long>(report.steps), report.depth,
                  found ? report.broken.c_str() : "SURVIVES");
      std::fflush(stdout);
    }
    survivors += found ? 0 : 1;
  }
  possum::transport::mutant_in_hand = 0;
  return survivors;
}
#endif

}  // namespace

int main(int argc, char** argv) {
  bool large = std::getenv("POSSUM_SOAK_SECONDS") != nullptr;
  bool named = false;
  int broken = 0;
  for (int i = 1; i < argc; ++i) {
#ifdef POSSUM_MUTANTS
    if (std::strcmp(argv[i], "--mutants") == 0) return find_mutants() == 0 ? 0 : 1;
    if (std::strcmp(argv[i], "--mutant") == 0 && i + 1 < argc) {
      possum::transport::mutant_in_hand = std::atoi(argv[++i]);
      continue;
    }
#endif
    large = large || std::strcmp(argv[i], "--long") == 0;
    named = named || argv[i][0] != '-';
  }
  for (const Case& c : kCases) {
    bool wanted = !named && (large || !c.large);
    for (int i = 1; i < argc; ++i) wanted = wanted || std::strcmp(argv[i], c.name) == 0;
    if (wanted) broken += check(c) ? 0 : 1;
  }
  return broken == 0 ? 0 : 1;
}
