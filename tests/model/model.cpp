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
#include <functional>
#include <memory>

#include "processes.h"

using namespace model;

namespace {

using layout::Policy;

struct Case {
  const char* name;
  bool large;
  std::function<std::unique_ptr<System>(Plan&)> make;
};

template <unsigned Pages, unsigned Slots>
std::unique_ptr<System> channel(const Plan& plan) {
  return std::make_unique<Channel<Pages, Slots>>(plan);
}

ReaderPlan dropping(unsigned depth = 1, unsigned hold = 0) {
  ReaderPlan reader;
  reader.depth = depth;
  reader.hold = hold;
  return reader;
}
ReaderPlan blocking(unsigned depth = 1) {
  ReaderPlan reader;
  reader.policy = Policy::blocking;
  reader.depth = depth;
  return reader;
}
void slots(Plan& plan, unsigned count, unsigned frames) {
  plan.writer.slots = plan.writer.prepared = count;
  plan.writer.frames = frames;
}
// Two readers that stay, told apart by their policy.
void two(Plan& plan, ReaderPlan a, ReaderPlan b) {
  plan.reader_count = 2;
  plan.readers = {a, b};
  plan.readers[0].attached = plan.readers[1].attached = true;
  plan.fine = false;
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"dropping", false,
       [](Plan& p) {
         slots(p, 3, 3);
         return channel<1, 3>(p);
       }},
      {"drop-newest", false,
       [](Plan& p) {
         slots(p, 3, 3);
         p.readers[0] = dropping(2, 1);
         p.readers[0].policy = Policy::drop_newest;
         return channel<1, 3>(p);
       }},
      {"drain", false,
       [](Plan& p) {
         slots(p, 2, 2);
         p.readers[0] = blocking();
         p.writer.drain = true;
         return channel<1, 2>(p);
       }},
      {"growing", false,
       [](Plan& p) {
         slots(p, 2, 2);
         p.writer.prepared = 1;
         p.readers[0] = blocking();
         p.writer.drain = true;
         return channel<1, 2>(p);
       }},
      {"full", false,
       [](Plan& p) {
         slots(p, 2, 3);
         p.readers[0] = blocking(2);
         p.readers[0].hold = 1;
         p.readers[0].attached = true;
         p.writer.drain = true;
         return channel<1, 2>(p);
       }},
      {"newest", false,
       [](Plan& p) {
         slots(p, 2, 1);
         two(p, dropping(), dropping());
         p.readers[0].attached = false;
         p.readers[1].hold = 1;
         p.readers[1].stopped = true;
         p.warm = 2;
         p.writer.may_drop = true;
         return channel<2, 2>(p);
       }},
      // The second tenant is admitted with the frame that the writer still waits to offer
      // to the first.
      {"pending-page", false,
       [](Plan& p) {
         slots(p, 2, 3);
         p.reader_count = 2;
         p.readers = {blocking(), blocking()};
         p.readers[0].attached = p.readers[0].mortal = true;
         p.readers[1].hold = 1;
         p.warm = p.untaken = 1;
         p.deaths = 1;
         return channel<1, 2>(p);
       }},
      {"pending-demote", false,
       [](Plan& p) {
         slots(p, 2, 1);
         p.reader_count = 2;
         p.readers = {blocking(), blocking()};
         p.readers[0].attached = p.readers[0].mortal = true;
         p.warm = p.untaken = 1;
         p.writer.demotes = p.writer.recycles = true;
         p.deaths = 1;
         return channel<1, 2>(p);
       }},
      {"evicted", false,
       [](Plan& p) {
         slots(p, 3, 2);
         p.reader_count = 2;
         p.readers = {dropping(1, 1), blocking()};
         p.readers[0].attached = p.readers[0].evicted = true;
         p.readers[1].hold = 1;
         p.warm = 2;
         p.writer.keeps_house = true;
         return channel<1, 3>(p);
       }},
      {"attach", false,
       [](Plan& p) {
         slots(p, 3, 3);
         p.readers[0] = blocking();
         return channel<1, 3>(p);
       }},
      // A slot that was offered comes back in a newer frame.
      {"attach-deep", false,
       [](Plan& p) {
         slots(p, 2, 3);
         p.readers[0] = blocking(2);
         p.writer.drain = true;
         return channel<1, 2>(p);
       }},
      {"lossless", false,
       [](Plan& p) {
         slots(p, 3, 3);
         p.readers[0] = blocking(2);
         p.readers[0].attached = true;
         p.writer.drain = true;
         p.impatient = true;
         return channel<1, 3>(p);
       }},
      {"steal", false,
       [](Plan& p) {
         slots(p, 2, 3);
         p.readers[0] = dropping(2);
         p.writer.hurries = true;
         return channel<1, 2>(p);
       }},
      {"waits-for-readers", false,
       [](Plan& p) {
         slots(p, 2, 1);
         p.readers[0] = blocking();
         p.writer.waits_for_readers = true;
         return channel<1, 2>(p);
       }},
      // As a preroll does.
      {"shows-first", false,
       [](Plan& p) {
         slots(p, 3, 2);
         p.readers[0] = blocking(2);
         p.writer.shows_first = true;
         p.writer.waits_for_readers = true;
         return channel<1, 3>(p);
       }},
      {"deaths", false,
       [](Plan& p) {
         slots(p, 2, 2);
         p.readers[0] = blocking();
         p.writer.mortal = p.readers[0].mortal = true;
         p.writer.checks_slots = true;
         p.deaths = 2;
         return channel<1, 2>(p);
       }},
      {"dead-holder", false,
       [](Plan& p) {
         slots(p, 3, 3);
         p.readers[0] = dropping(1, 2);
         p.writer.mortal = p.readers[0].mortal = true;
         p.writer.checks_slots = p.writer.keeps_house = true;
         p.deaths = 1;
         return channel<1, 3>(p);
       }},
      {"second-tenant", false,
       [](Plan& p) {
         slots(p, 2, 2);
         p.reader_count = 2;
         p.readers = {dropping(), blocking()};
         p.readers[0].mortal = true;
         p.readers[0].frames = 1;
         p.writer.checks_slots = true;
         p.deaths = 1;
         return channel<1, 2>(p);
       }},
      {"again", false,
       [](Plan& p) {
         slots(p, 2, 2);
         p.readers[0] = blocking();
         p.readers[0].frames = 1;
         p.readers[0].sessions = 2;
         p.writer.keeps_house = p.writer.checks_slots = true;
         return channel<1, 2>(p);
       }},
      {"successor", false,
       [](Plan& p) {
         slots(p, 2, 1);
         p.readers[0] = blocking();
         p.readers[0].sessions = 2;
         p.writer.mortal = true;
         p.readers[0].frames = 1;
         p.successor = p.writer.one_thread = true;
         p.deaths = 1;
         return channel<1, 2>(p);
       }},
      {"successor-long", true,
       [](Plan& p) {
         slots(p, 2, 1);
         p.readers[0] = blocking();
         p.readers[0].sessions = 2;
         p.writer.mortal = p.readers[0].mortal = true;
         p.successor = true;
         p.deaths = 1;
         return channel<1, 2>(p);
       }},
      {"replace", false,
       [](Plan& p) {
         slots(p, 2, 3);
         p.readers[0] = dropping(1, 1);
         p.writer.large_from = 2;
         return channel<1, 2>(p);
       }},
      {"replace-failing", false,
       [](Plan& p) {
         slots(p, 3, 2);
         p.writer.prepared = 2;
         p.readers[0] = dropping(1, 1);
         p.writer.large_from = 2;
         p.writer.may_fail = p.writer.may_drop = true;
         return channel<1, 3>(p);
       }},
      {"flush", false,
       [](Plan& p) {
         slots(p, 3, 3);
         p.readers[0] = dropping(2);
         p.writer.flush_after = 1;
         return channel<1, 3>(p);
       }},
      {"lend", false,
       [](Plan& p) {
         slots(p, 4, 2);
         p.warm = 3;
         p.untaken = 1;
         p.readers[0] = dropping(1, 3);
         p.readers[0].attached = true;
         p.writer.lent = 1;
         p.writer.keeps_house = true;
         return channel<1, 4>(p);
       }},
      {"demote", false,
       [](Plan& p) {
         slots(p, 2, 3);
         p.readers[0] = blocking();
         p.readers[0].stalls = true;
         p.writer.demotes = true;
         return channel<1, 2>(p);
       }},
      {"liar", false,
       [](Plan& p) {
         slots(p, 4, 4);
         p.readers[0] = dropping(2);
         p.readers[0].lies = p.readers[0].attached = true;
         p.writer.may_drop = true;
         return channel<1, 4>(p);
       }},
      {"liar-free", false,
       [](Plan& p) {
         slots(p, 3, 3);
         p.readers[0] = dropping(2);
         p.readers[0].lies = p.readers[0].vanishes = p.readers[0].attached = true;
         p.writer.checks_slots = p.writer.may_drop = true;
         return channel<1, 3>(p);
       }},
      // As many slots as a reader may hold and one more.
      {"liar-greedy", false,
       [](Plan& p) {
         constexpr unsigned kAll = layout::kMaxTaken + 1;
         slots(p, kAll, 3);
         p.warm = p.untaken = kAll - 1;
         p.readers[0] = dropping(kAll);
         p.readers[0].lies = p.readers[0].attached = true;
         return channel<1, kAll>(p);
       }},
      // Somebody comes while a frame is dropped for want of slots.
      {"dropped-frame", false,
       [](Plan& p) {
         slots(p, 2, 2);
         two(p, blocking(), dropping(2));
         p.readers[0].attached = false;
         p.readers[1].stopped = true;
         p.warm = p.untaken = 2;
         p.writer.hurries = p.writer.may_drop = true;
         return channel<2, 2>(p);
       }},
      {"last-slots", false,
       [](Plan& p) {
         slots(p, 4, 1);
         two(p, dropping(1, 3), dropping(1, 3));
         p.warm = 3;
         p.untaken = 1;
         return channel<2, 4>(p);
       }},
      {"two", false,
       [](Plan& p) {
         slots(p, 3, 1);
         two(p, dropping(), blocking());
         p.warm = 1;
         p.writer.drain = true;
         return channel<2, 3>(p);
       }},
      // The channel has ended, or nothing was ever sent: a newcomer must be told.
      {"ended", false,
       [](Plan& p) {
         slots(p, 2, 1);
         p.writer.lingers = true;
         return channel<1, 2>(p);
       }},
      {"ended-again", false,
       [](Plan& p) {
         slots(p, 2, 1);
         p.readers[0].frames = 1;
         p.readers[0].sessions = 2;
         p.writer.lingers = p.writer.recycles = p.writer.checks_slots = true;
         return channel<1, 2>(p);
       }},
      {"nothing", false,
       [](Plan& p) {
         slots(p, 2, 0);
         p.writer.lingers = true;
         return channel<1, 2>(p);
       }},
      {"two-come", true,
       [](Plan& p) {
         slots(p, 2, 1);
         two(p, dropping(1, 1), dropping(1, 1));
         p.readers[1].attached = false;
         p.warm = 2;
         p.writer.may_drop = true;
         return channel<2, 2>(p);
       }},
      // Somebody comes while the writer waits for another reader's room.
      {"come-pending", true,
       [](Plan& p) {
         slots(p, 3, 1);
         two(p, blocking(), blocking());
         p.readers[1].attached = false;
         p.warm = p.untaken = 1;
         p.writer.lingers = true;
         return channel<2, 3>(p);
       }},
      {"two-long", true,
       [](Plan& p) {
         slots(p, 3, 2);
         two(p, dropping(), blocking());
         p.writer.drain = true;
         return channel<2, 3>(p);
       }},
      {"two-die", true,
       [](Plan& p) {
         slots(p, 3, 2);
         two(p, dropping(1, 1), blocking());
         p.writer.mortal = p.readers[0].mortal = p.readers[1].mortal = true;
         p.deaths = 2;
         return channel<2, 3>(p);
       }},
      {"two-attach", true,
       [](Plan& p) {
         slots(p, 3, 1);
         p.reader_count = 2;
         p.readers = {dropping(), blocking()};
         p.fine = false;
         return channel<2, 3>(p);
       }},
      {"three", true,
       [](Plan& p) {
         slots(p, 3, 1);
         two(p, dropping(1, 2), dropping(1, 2));
         p.reader_count = 3;
         p.readers[2] = blocking();
         p.readers[2].attached = true;
         p.warm = 1;
         return channel<3, 3>(p);
       }},
  };
  return all;
}

// The large ones may be left unfinished when time is short.
std::uint64_t steps_for(const Case& c) {
  const char* seconds = std::getenv("POSSUM_SOAK_SECONDS");
  if (!c.large || !seconds) return ~std::uint64_t{0};
  constexpr std::uint64_t kStepsPerSecond = 100'000;  // a slow machine, four such cases
  return std::strtoull(seconds, nullptr, 10) * kStepsPerSecond;
}

Report run(const Case& c) {
  Plan plan;
  const auto system = c.make(plan);
  Explorer explorer(*system, plan.deaths, plan.impatient);
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
    for (const Case& c : cases()) {
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
#endif
#ifdef POSSUM_MUTANTS
    if (std::strcmp(argv[i], "--mutant") == 0 && i + 1 < argc) {
      possum::transport::mutant_in_hand = std::atoi(argv[++i]);
      continue;
    }
#endif
    large = large || std::strcmp(argv[i], "--long") == 0;
    named = named || argv[i][0] != '-';
  }
  for (const Case& c : cases()) {
    bool wanted = !named && (large || !c.large);
    for (int i = 1; i < argc; ++i) wanted = wanted || std::strcmp(argv[i], c.name) == 0;
    if (wanted) broken += check(c) ? 0 : 1;
  }
  return broken == 0 ? 0 : 1;
}
