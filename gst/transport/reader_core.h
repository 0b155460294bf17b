// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The reader's half of the protocol as a state machine, a template over its environment
// like WriterCore. It decides which slot is this reader's and whether it may keep it;
// it never sleeps and knows no file, map or clock. Calls are serialised by the owner.
//
// Env provides:
//   page(r)          .word .cfg .grant (atomics; only the own page may be written)
//   header()         .state .admitted .have .reserve .slot[s].seq .slot[s].object
//                    (atomics)
//   ring_writer()    wake the publishing thread if it sleeps
//   ring_both()      wake the housekeeping thread too
//   writer_alive()   is the owner lock held?
//   linked()         has the control object its name?
//   map(s, object)   open the slot's object by its name, unless it is open already
#pragma once

#include <atomic>
#include <bit>
#include <cstdint>
#include <optional>

#include "base/crash_point.h"
#include "layout.h"
#include "offer.h"

namespace possum::transport {

// How opening a slot's object ended. gone: it has no name any more.
enum class Mapped { ok, gone, failed };

// A page that our byte lock keeps everybody else off, until the writer recycles it.
struct Tenancy {
  unsigned page = 0;
  std::uint32_t epoch = 0;
};
// Locks a page that nobody has. Env: page(r).cfg, lock_page(r): try its byte lock,
// unlock_page(r).
template <class Env, unsigned Pages = layout::kReaders>
std::optional<Tenancy> lock_free_page(Env& env) {
  for (unsigned r = 0; r < Pages; ++r) {
    const auto look = [&] {
      return layout::unpack(env.page(r).cfg.load(std::memory_order_acquire));
    };
    if (look().state != layout::PageState::free) continue;
    POSSUM_CRASH_POINT("attach.look");
    if (!env.lock_page(r)) continue;
    POSSUM_CRASH_POINT("attach.lock");
    // Once more: it may have been taken, left and not yet recycled in between.
    const layout::Config cfg = look();
    if (cfg.state == layout::PageState::free) return Tenancy{r, cfg.epoch};
    env.unlock_page(r);
    POSSUM_CRASH_POINT("attach.unlock");
  }
  return std::nullopt;
}

// A checker takes fewer pages and slots.
template <class Env, unsigned Pages = layout::kReaders, unsigned Slots = layout::kSlots>
class ReaderCore {
 public:
  // What a reader that has armed its doorbell does next.
  enum class Next { take, eos, disconnected, sleep };
  enum class Opened {
    ok,
    lost,     // the frame went with its writer, or the offer was taken back: go on
    removed,  // a running writer's object has no name
    failed,
  };
  struct Taken {
    unsigned slot = 0;
    std::uint64_t seq = 0;
  };

  ReaderCore(Env& env, Tenancy tenancy)
      : env_(env), page_(tenancy.page), epoch_(tenancy.epoch) {}

  void enter(layout::Policy policy, unsigned depth) {
    layout::Config cfg;
    cfg.epoch = epoch_;
    cfg.depth = static_cast<std::uint8_t>(depth);
    cfg.policy = policy;
    cfg.state = layout::PageState::active;
    // seq_cst: from here on the writer may admit us; nothing is claimed beforehand.
    env_.page(page_).cfg.store(layout::pack(cfg), std::memory_order_seq_cst);
    POSSUM_CRASH_POINT("attach.cfg");
    env_.ring_both();
  }

  // Has the writer seen us? From then on all that it publishes is for us as well; before
  // that, an empty word does not say that there is nothing.
  bool admitted() const {
    // seq_cst: pairs with WriterCore::admit().
    return (env_.page(page_).grant.load(std::memory_order_seq_cst) & layout::kAdmitted) !=
           0;
  }

  // How many frames may wait, from the writer's next offer on. Of enter(), set_depth()
  // and leave() one at a time.
  void set_depth(unsigned depth) {
    std::uint64_t now = env_.page(page_).cfg.load(std::memory_order_relaxed);
    layout::Config cfg = layout::unpack(now);
    if (cfg.epoch != epoch_ || cfg.state != layout::PageState::active) return;
    cfg.depth = static_cast<std::uint8_t>(depth);
    // Fails when the writer took this process for dead meanwhile: it is somebody else's.
    if (env_.page(page_).cfg.compare_exchange_strong(now, layout::pack(cfg),
                                                     std::memory_order_seq_cst)) {
      env_.ring_writer();  // one that waits for this reader may have room by now
    }
  }

  // Is the page still ours? False after the writer wrongly took us for dead.
  bool owns_page() const {
    return layout::unpack(env_.page(page_).cfg.load(std::memory_order_acquire)).epoch ==
           epoch_;
  }

  // After arming, and after `dead` was found by looking at the owner lock. The order
  // lock, state, grant, word makes sure that nothing that was offered before the end is
  // lost: only an empty word lets the others count.
  Next next(bool dead, bool ignore_eos) const {
    const auto state = env_.header().state.load(std::memory_order_seq_cst);
    const bool seen = admitted();
    // seq_cst: pairs with the writer's offer, which precedes its look at our doorbell.
    const std::uint64_t word = env_.page(page_).word.load(std::memory_order_seq_cst);
    if (layout::offered_of(word) != 0) return Next::take;
    const bool ended = state == static_cast<std::uint32_t>(layout::ChannelState::eos);
    if (ended && seen && !ignore_eos) return Next::eos;
    return dead ? Next::disconnected : Next::sleep;
  }

  // Before the take: a writer that sees everything taken may end and remove the names.
  // Returns the slots that may be taken now.
  std::uint32_t map_offered() {
    const std::uint64_t word = env_.page(page_).word.load(std::memory_order_acquire);
    for_each_bit(layout::offered_of(word), [&](unsigned slot) {
      const std::uint32_t object = object_of(slot);
      if (object != 0) env_.map(slot, object);  // open() tries again
    });
    return layout::offered_of(word);
  }

  // After the take: the slot's object cannot be replaced while the slot is TAKEN.
  Opened open(unsigned slot) {
    const std::uint32_t object = object_of(slot);
    switch (env_.map(slot, object)) {
      case Mapped::ok:
        return Opened::ok;
      case Mapped::failed:
        return Opened::failed;
      case Mapped::gone:
        break;
    }
    // Gone with its writer, which takes its control name away first when it stops, or
    // replaced after the writer took back the offer.
    const bool current = object_of(slot) == object;
    return current && env_.writer_alive() && env_.linked() ? Opened::removed
                                                           : Opened::lost;
  }

  std::uint32_t object_of(unsigned slot) const {
    return env_.header().slot[slot].object.load(std::memory_order_acquire);
  }

  // Moves the oldest offered slot to TAKEN if it is one of `mapped`: else it came after
  // map_offered(), and next() will say so. The oldest of `mapped` would not do instead:
  // its slot may have been stolen and come back with a newer frame, which would overtake.
  // Slots not newer than `last_seq` go back.
  std::optional<Taken> take(std::uint64_t last_seq, std::uint32_t mapped) {
    auto& own = env_.page(page_).word;
    for (int tries = 0; tries < kMaxTries; ++tries) {
      std::uint64_t word = own.load(std::memory_order_acquire);
      const std::uint32_t offers = layout::offered_of(word);
      if (offers == 0) return std::nullopt;
      const unsigned slot = oldest_of(offers, [this](unsigned s) { return seq_of(s); });
      const std::uint32_t bit = slot_bit(slot);
      if ((mapped & bit) == 0) return std::nullopt;
      const std::uint64_t next =
          layout::make_word(offers & ~bit, layout::taken_of(word) | bit);
      // seq_cst: acquires the slot's bytes from the offer's CAS; must_copy()'s loads
      // come after it in the one order of all readers.
      if (!own.compare_exchange_strong(word, next, std::memory_order_seq_cst,
                                       std::memory_order_relaxed)) {
        continue;
      }
      POSSUM_CRASH_POINT("take.swap");
      env_.ring_writer();  // there is room for another offer
      const std::uint64_t seq =
          env_.header().slot[slot].seq.load(std::memory_order_acquire);
      if (seq > last_seq) return Taken{slot, seq};
      release(slot);
    }
    return std::nullopt;
  }

  // The reserve rule: whoever would take the last slots in circulation copies instead.
  // Right after take(); `leases` are those held before it.
  bool must_copy(unsigned leases) const {
    if (leases >= layout::kMaxLeases) return true;
    auto& header = env_.header();
    std::uint32_t taken = 0;
    // seq_cst: pairs with the writer's store before the first offer to a page.
    const std::uint32_t pages = header.admitted.load(std::memory_order_seq_cst);
    for_each_bit(pages & kAllPages, [&](unsigned r) {
      // seq_cst: of two readers that race for the last slots, the later sees both.
      taken |= layout::taken_of(env_.page(r).word.load(std::memory_order_seq_cst));
    });
    const std::uint32_t have = header.have.load(std::memory_order_seq_cst);
    return !has_bits(have & ~taken, header.reserve.load(std::memory_order_seq_cst));
  }

  void release(unsigned slot) {
    // seq_cst: our reads of the slot come before it; then either the writer's scan sees
    // the bit gone or we see that it waits (pairs with WriterCore::collect after arm()).
    env_.page(page_).word.fetch_and(~layout::make_word(0, slot_bit(slot)),
                                    std::memory_order_seq_cst);
    POSSUM_CRASH_POINT("release.word");
    env_.ring_writer();
  }

  // Gives up what is offered; the leases stay. Only the owner's lock being gone frees
  // the page.
  void leave() {
    std::uint64_t now = env_.page(page_).cfg.load(std::memory_order_relaxed);
    layout::Config cfg = layout::unpack(now);
    if (cfg.epoch != epoch_) return;  // the page is somebody else's
    cfg.state = layout::PageState::left;
    if (!env_.page(page_).cfg.compare_exchange_strong(now, layout::pack(cfg),
                                                      std::memory_order_seq_cst)) {
      return;
    }
    POSSUM_CRASH_POINT("leave.cfg");
    env_.page(page_).word.fetch_and(layout::make_word(0, ~0u), std::memory_order_seq_cst);
    POSSUM_CRASH_POINT("leave.word");
    env_.ring_both();
  }

 private:
  static constexpr int kMaxTries = 100;  // against a writer that offers nonsense for ever
  static constexpr std::uint32_t kAllPages = ~std::uint32_t{0} >> (32 - Pages);

  std::uint64_t seq_of(unsigned slot) const {
    return env_.header().slot[slot].seq.load(std::memory_order_acquire);
  }

  Env& env_;
  const unsigned page_;
  const std::uint32_t epoch_;
};

}  // namespace possum::transport
