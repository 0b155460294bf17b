// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The writer's half of the protocol as a state machine: which slot is free, who is
// offered what, what a dead reader gives back. It is a template over its environment so
// that the very code that ships runs under a model checker; it never sleeps, never
// allocates and knows no file, map or clock. The owner serialises all calls with one
// mutex.
//
// Env provides:
//   page(r)         .word .cfg .grant (atomics)
//   header()        .state .reserve .admitted .have .latest .slot[s].seq
//                   .slot[s].object (atomics)
//   ring_reader(r)  wake the reader of a page if it sleeps
//   lock_page(r)    try its byte lock: true if the page's owner is dead
//   unlock_page(r), reset_bell(r)
//   recycle_due()   may acquire() look for dead readers now? They cost a system call each
//   fits(s, request)    is the slot's object large enough for the request?
//   discard(s)          unlink the slot's object and let go of it
//   create(s, request)  make an object for it: its number, 0 when there is no room
// Request is what a frame needs a slot for, which only the environment understands.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <optional>
#include <utility>

#include "base/crash_point.h"
#include "layout.h"
#include "offer.h"

namespace possum::transport {

// A checker takes fewer pages and slots.
template <class Env, class Request, unsigned Pages = layout::kReaders,
          unsigned Slots = layout::kSlots>
class WriterCore {
 public:
  static constexpr unsigned kPages = Pages;

  enum class Found {
    slot,
    wait,  // for a blocking reader
    none,  // drop the frame; who is admitted now begins with the next one
  };
  // What the admitted readers have.
  struct Holdings {
    std::uint32_t offered = 0;  // slots
    std::uint32_t taken = 0;
    std::uint32_t offered_blocking = 0;  // to readers that may hold up the writer
    bool blocking = false;               // there is such a reader
  };
  struct Recycled {
    std::uint32_t left = 0;  // pages, bit r
    std::uint32_t died = 0;
  };

  WriterCore(Env& env, unsigned slots, bool allow_blocking)
      : env_(env), limit_(slots), allow_blocking_(allow_blocking) {}

  // --- looking ------------------------------------------------------------------------

  std::uint32_t have() const { return have_; }
  std::uint32_t lent() const { return lent_; }
  // The pages of readers that were admitted and not yet recycled.
  std::uint32_t admitted() const { return admitted_; }
  std::uint64_t dropped(unsigned r) const { return dropped_[r]; }
  // Changes with each tenant of the page; unlike the epoch, nobody else can write it.
  std::uint32_t tenant(unsigned r) const { return tenant_[r]; }
  bool demoted(unsigned r) const { return (demoted_ >> r & 1) != 0; }
  std::uint32_t given(unsigned r) const { return given_[r]; }
  std::uint64_t word_of(unsigned r) const {
    return env_.page(r).word.load(std::memory_order_seq_cst);
  }

  // Is somebody attached who was admitted?
  bool active(unsigned r) const {
    return (admitted_ >> r & 1) != 0 && view_of(r).state == layout::PageState::active;
  }
  // Slots that readers hold.
  std::uint32_t taken() const {
    std::uint32_t slots = 0;
    for_each_bit(admitted_,
                 [&](unsigned r) { slots |= layout::taken_of(word_of(r)) & given_[r]; });
    return slots;
  }
  // Can a reader see the slot, now or by attaching? Only pages that were given it can say
  // so: a slot that was lent anew costs no look at shared memory.
  bool visible(unsigned slot) const {
    const std::uint32_t bit = slot_bit(slot);
    bool seen = (newest_ & bit) != 0;
    for_each_bit(admitted_, [&](unsigned r) {
      if ((given_[r] & bit) == 0) return;
      const std::uint64_t word = word_of(r);
      seen |= ((layout::offered_of(word) | layout::taken_of(word)) & bit) != 0;
    });
    return seen;
  }

  // --- where a slot comes from (PROTOCOL.md, "Acquire") -------------------------------

  // `slot` belongs to the caller until publish or give_back().
  Found acquire(unsigned& slot, Request& request) {
    bool may_grow = true;
    bool may_recycle = true;
    std::uint32_t skip = 0;  // one slot more with each steal that failed: the loop ends
    for (;;) {
      const Holdings held = collect();
      if (reuse(held, slot, request) ||
          (std::exchange(may_grow, false) && grow(slot, request))) {
        return hand_out(held, slot, request);
      }
      const std::uint32_t able = stealable(held) & ~skip;
      const std::uint32_t older = able & ~newest_;  // the newest frame goes last
      // Before it goes, or if nothing can: perhaps the dead hold the others.
      if (older == 0 && std::exchange(may_recycle, false) && env_.recycle_due()) {
        recycle();
        continue;
      }
      if (able != 0) {
        slot =
            oldest_of(older != 0 ? older : able, [this](unsigned s) { return seqs_[s]; });
        if (steal(slot) && make_fit(slot, request)) return hand_out(held, slot, request);
        skip |= slot_bit(slot);
        continue;
      }
      if (held.blocking) return Found::wait;
      forget_newest();
      return Found::none;
    }
  }

  // The frame in hand goes to nobody. Whoever is admitted from here on begins with the
  // next one: with the newest before it, it would see a gap.
  void forget_newest() {
    if (newest_ == 0) return;
    newest_ = 0;
    env_.header().latest.store(0, std::memory_order_relaxed);
    POSSUM_CRASH_POINT("latest.forget");
  }

  // Lends a free slot upstream, without taking it from any reader, and makes objects as
  // far as that needs them. None: the writer would be left with too few.
  std::optional<unsigned> lend(Request& request) {
    const unsigned lent = static_cast<unsigned>(std::popcount(lent_)) + 1;
    if (lent + kKeep > limit_) return std::nullopt;
    Holdings held = collect();
    unsigned slot = 0;
    if (!(has_bits(have_, lent + kKeep) && reuse(held, slot, request)) &&
        !grow(slot, request)) {
      return std::nullopt;
    }
    // A reader that takes from here on counts with the new reserve; one that took before
    // is in the look below. seq_cst: pairs with ReaderCore::must_copy.
    if (reserve_ < lent + 1) {
      set_reserve(lent + 1);
      POSSUM_CRASH_POINT("lend.reserve");
      held = collect();
    }
    while (!has_bits(have_ & ~held.taken, lent + 1)) {
      unsigned spare = 0;
      if (!grow(spare, request)) return std::nullopt;
    }
    lent_ |= slot_bit(slot);
    if (lent > peak_lent_) peak_lent_ = lent;
    keep_reserve(held, slot, request);
    return slot;
  }

  void give_back(unsigned slot) {
    lent_ &= ~slot_bit(slot);
    busy_ &= ~slot_bit(slot);
  }

  // Replaces free slots that are too small and grows the pool to `count` slots, as far as
  // there is room. Returns how many there are.
  unsigned prepare(unsigned count, Request& request) {
    for_each_bit(free_of(collect()), [&](unsigned slot) { make_fit(slot, request); });
    unsigned slot = 0;
    while (!has_bits(have_, count) && grow(slot, request)) {
    }
    return static_cast<unsigned>(std::popcount(have_));
  }

  // Once per tick: lets the reserve follow what upstream really borrows.
  void relax_reserve() {
    const auto lent = static_cast<unsigned>(std::popcount(lent_));
    const unsigned peak = peak_lent_ > last_peak_ ? peak_lent_ : last_peak_;
    set_reserve(1 + peak);
    POSSUM_CRASH_POINT("tick.reserve");
    last_peak_ = peak_lent_;
    peak_lent_ = lent;
  }

  // --- publishing ---------------------------------------------------------------------

  // Offers the slot to every admitted reader that has room; the others are pending.
  void begin_publish(unsigned slot, std::uint64_t seq) {
    end_publish();
    seqs_[slot] = seq;
    // Ordered before the offers by their CAS (release half), read after a take.
    env_.header().slot[slot].seq.store(seq, std::memory_order_relaxed);
    POSSUM_CRASH_POINT("publish.seq");
    if (env_.header().state.load(std::memory_order_relaxed) !=
        static_cast<std::uint32_t>(layout::ChannelState::ready)) {
      env_.header().state.store(static_cast<std::uint32_t>(layout::ChannelState::ready),
                                std::memory_order_seq_cst);
      POSSUM_CRASH_POINT("publish.state");
    }
    publishing_ = slot_bit(slot);
    busy_ |= publishing_;
    for_each_bit(admitted_, [&](unsigned r) {
      if (!offer(r, slot)) pending_pages_ |= slot_bit(r);
    });
    newest_ = publishing_;
    env_.header().latest.store(slot + 1, std::memory_order_relaxed);
    POSSUM_CRASH_POINT("publish.latest");
  }

  // Offers to the readers that had no room. True when none is left.
  bool continue_publish() {
    for_each_bit(pending_pages_, [&](unsigned r) {
      if (offer(r, slot_of(publishing_))) pending_pages_ &= ~slot_bit(r);
    });
    return pending_pages_ == 0;
  }
  std::uint32_t pending_pages() const { return pending_pages_; }
  bool publishing(unsigned slot) const { return publishing_ == slot_bit(slot); }

  // Those that are still pending miss the frame.
  void end_publish() {
    for_each_bit(pending_pages_, [&](unsigned r) { ++dropped_[r]; });
    pending_pages_ = 0;
    busy_ &= ~publishing_;
    publishing_ = 0;
  }

  // --- readers ------------------------------------------------------------------------

  // Lets the readers in that have come: each gets the newest frame, and from here on is
  // owed what is published. Returns their pages. Housekeeping does this when it is rung
  // and at its ticks, and a stop once more before the names go.
  std::uint32_t admit() {
    std::uint32_t came = 0;
    for (unsigned r = 0; r < kPages; ++r) {
      const std::uint32_t bit = slot_bit(r);
      auto& grant = env_.page(r).grant;
      const bool known = (admitted_ & bit) != 0;
      if (known && (grant.load(std::memory_order_relaxed) & layout::kAdmitted) != 0) {
        continue;
      }
      if (view_of(r).state != layout::PageState::active) continue;
      // A known page can lack ADMITTED: its tenant lied that it is FREE, and the next
      // one took it before it was recycled. That one would wait for ever.
      if (!known) came |= bit;
      // Before the first offer: who takes the slot counts this page, too (pairs with
      // ReaderCore::must_copy).
      set_admitted(admitted_ | bit);
      POSSUM_CRASH_POINT("admit.page");
      if (newest_ != 0) offer(r, slot_of(newest_));
      // After the offer: from here on an empty word says that there is nothing.
      grant.fetch_or(layout::kAdmitted, std::memory_order_seq_cst);
      POSSUM_CRASH_POINT("admit.grant");
      env_.ring_reader(r);
    }
    return came;
  }

  // Frees the pages whose owner is dead. Only the writer does this, under the page's byte
  // lock: a reader that recycled could meet the next tenant.
  void recycle() {
    for (unsigned r = 0; r < kPages; ++r) {
      const std::uint32_t bit = slot_bit(r);
      auto& page = env_.page(r);
      const auto look = [&] {
        return layout::unpack(page.cfg.load(std::memory_order_acquire));
      };
      // A free page that is admitted has had a tenant who lied.
      if (look().state == layout::PageState::free && (admitted_ & bit) == 0) continue;
      if (!env_.lock_page(r)) continue;
      POSSUM_CRASH_POINT("recycle.lock");
      // Once more: its tenant may have left in between.
      const layout::Config cfg = look();
      if (cfg.state == layout::PageState::left) recycled_.left |= bit;
      if (cfg.state == layout::PageState::active) recycled_.died |= bit;
      page.word.store(0, std::memory_order_seq_cst);
      POSSUM_CRASH_POINT("recycle.word");
      given_[r] = 0;
      set_admitted(admitted_ & ~bit);
      POSSUM_CRASH_POINT("recycle.page");
      env_.reset_bell(r);
      page.grant.store(0, std::memory_order_relaxed);
      POSSUM_CRASH_POINT("recycle.grant");
      demoted_ &= ~bit;
      dropped_[r] = 0;
      ++tenant_[r];
      // The next tenant gets a frame that is being published by its admission.
      pending_pages_ &= ~bit;
      layout::Config fresh;
      fresh.epoch = cfg.epoch + 1;
      // Last: from here on the page can be taken.
      page.cfg.store(layout::pack(fresh), std::memory_order_seq_cst);
      POSSUM_CRASH_POINT("recycle.cfg");
      env_.unlock_page(r);
      POSSUM_CRASH_POINT("recycle.unlock");
    }
  }
  // The pages recycled since the last call.
  Recycled take_recycled() { return std::exchange(recycled_, {}); }

  // The writer no longer waits for this reader; it drops its oldest from now on.
  void demote(unsigned r) {
    demoted_ |= slot_bit(r);
    env_.page(r).grant.fetch_or(layout::kDemoted, std::memory_order_relaxed);
    POSSUM_CRASH_POINT("demote.grant");
  }

  // --- end of stream, flush -----------------------------------------------------------

  void set_eos() {
    env_.header().state.store(static_cast<std::uint32_t>(layout::ChannelState::eos),
                              std::memory_order_seq_cst);
    POSSUM_CRASH_POINT("eos.state");
    for_each_bit(admitted_, [&](unsigned r) { env_.ring_reader(r); });
  }
  // The pages of blocking readers that have not taken all they were offered.
  std::uint32_t undrained() const {
    std::uint32_t pages = 0;
    for_each_bit(admitted_, [&](unsigned r) {
      const bool waits = (layout::offered_of(word_of(r)) & given_[r]) != 0;
      if (waits && blocks(view_of(r))) pages |= slot_bit(r);
    });
    return pages;
  }
  void flush() {
    for_each_bit(admitted_, [&](unsigned r) {
      const PageView view = view_of(r);
      if (view.state != layout::PageState::active || blocks(view)) return;
      const std::uint64_t old = env_.page(r).word.fetch_and(layout::make_word(0, ~0u),
                                                            std::memory_order_seq_cst);
      POSSUM_CRASH_POINT("flush.page");
      dropped_[r] +=
          static_cast<std::uint64_t>(std::popcount(layout::offered_of(old) & given_[r]));
      given_[r] &= layout::taken_of(old);
    });
    env_.header().state.store(static_cast<std::uint32_t>(layout::ChannelState::ready),
                              std::memory_order_seq_cst);
    POSSUM_CRASH_POINT("flush.state");
  }

 private:
  // Slots the writer never lends: the newest, the one being copied into, one spare.
  static constexpr unsigned kKeep = 3;
  static constexpr int kMaxTries = 100;  // against a reader that flips its own word

  static unsigned slot_of(std::uint32_t bit) {
    return static_cast<unsigned>(std::countr_zero(bit));
  }

  // The header's copies of these three are never read back: members of the group can
  // write there. seq_cst: they pair with ReaderCore::must_copy.
  void set_reserve(unsigned count) {
    reserve_ = count;
    env_.header().reserve.store(count, std::memory_order_seq_cst);
  }
  void set_admitted(std::uint32_t pages) {
    admitted_ = pages;
    env_.header().admitted.store(pages, std::memory_order_seq_cst);
  }
  void set_have(std::uint32_t slots) {
    have_ = slots;
    env_.header().have.store(slots, std::memory_order_seq_cst);
    POSSUM_CRASH_POINT("object.have");
  }

  // Drops from `given` what the page has given back, and everything if it holds more than
  // a reader ever does: then its words mean nothing, and it would keep slots for ever.
  void update_given(unsigned r, std::uint64_t word) {
    given_[r] &= layout::offered_of(word) | layout::taken_of(word);
    if (holds_too_many(layout::taken_of(word) & given_[r])) given_[r] = 0;
  }

  // Looks at all admitted pages, and takes note of what readers gave back.
  Holdings collect() {
    Holdings held;
    for_each_bit(admitted_, [&](unsigned r) {
      const bool may_block = blocks(view_of(r));
      // seq_cst: in acquire() after the owner armed its doorbell, this load and the
      // release's RMW decide who sees whom (pairs with ReaderCore::release).
      const std::uint64_t word = word_of(r);
      update_given(r, word);
      const std::uint32_t offers = layout::offered_of(word) & given_[r];
      held.offered |= offers;
      held.taken |= layout::taken_of(word) & given_[r];
      if (may_block) {
        held.blocking = true;
        held.offered_blocking |= offers;
      }
    });
    return held;
  }

  PageView view_of(unsigned r) const {
    const layout::Config c =
        layout::unpack(env_.page(r).cfg.load(std::memory_order_seq_cst));
    PageView view{c.state, c.policy, c.depth};
    if (view.policy == layout::Policy::blocking && (!allow_blocking_ || demoted(r))) {
      view.policy = layout::Policy::drop_oldest;
    }
    return view;
  }
  static bool blocks(PageView view) {
    return view.state == layout::PageState::active &&
           view.policy == layout::Policy::blocking;
  }

  std::uint32_t free_of(const Holdings& held) const {
    return have_ & ~(lent_ | busy_ | newest_ | held.offered | held.taken);
  }

  // Makes the slot large enough. One that cannot be replaced is gone: its memory was
  // given back for the next try.
  bool make_fit(unsigned slot, Request& request) {
    if (env_.fits(slot, request)) return true;
    // Fewer slots circulate from here on: readers must not count it.
    set_have(have_ & ~slot_bit(slot));
    env_.header().slot[slot].object.store(0, std::memory_order_release);
    POSSUM_CRASH_POINT("replace.object");
    env_.discard(slot);
    return make_object(slot, request);
  }

  bool make_object(unsigned slot, Request& request) {
    const std::uint32_t object = env_.create(slot, request);
    if (object == 0) return false;
    // release: the object's header is in place before anybody can learn its number.
    env_.header().slot[slot].object.store(object, std::memory_order_release);
    POSSUM_CRASH_POINT("object.announce");
    set_have(have_ | slot_bit(slot));
    return true;
  }

  bool reuse(const Holdings& held, unsigned& slot, Request& request) {
    // Lowest first: the working set stays in the cache.
    for (std::uint32_t rest = free_of(held); rest != 0; rest &= rest - 1) {
      slot = slot_of(rest);
      if (make_fit(slot, request)) return true;
    }
    return false;
  }

  bool grow(unsigned& slot, Request& request) {
    const std::uint32_t unused = ~have_;
    slot = slot_of(unused);
    return unused != 0 && slot < limit_ && make_object(slot, request);
  }

  Found hand_out(const Holdings& held, unsigned slot, Request& request) {
    busy_ |= slot_bit(slot);
    keep_reserve(held, slot, request);
    return Found::slot;
  }

  // Makes one slot more if whoever takes the frame in `slot` would have to copy it, for
  // want of others that nobody holds.
  void keep_reserve(const Holdings& held, unsigned slot, Request& request) {
    unsigned spare = 0;
    if (!has_bits(have_ & ~(held.taken | slot_bit(slot)), reserve_)) grow(spare, request);
  }

  // Slots that nobody holds and that only dropping readers, or nobody yet, were offered.
  std::uint32_t stealable(const Holdings& held) const {
    return have_ & (held.offered | newest_) &
           ~(lent_ | busy_ | held.taken | held.offered_blocking);
  }

  // Takes an offered slot back from everybody. False if a reader was quicker.
  bool steal(unsigned slot) {
    bool taken = false;
    const std::uint32_t bit = slot_bit(slot);
    for_each_bit(admitted_, [&](unsigned r) {
      if ((given_[r] & bit) == 0) return;
      // acq_rel: our writes into the slot come after the take that did not happen.
      const std::uint64_t old = env_.page(r).word.fetch_and(~layout::make_word(bit, 0),
                                                            std::memory_order_acq_rel);
      POSSUM_CRASH_POINT("steal.page");
      if ((layout::taken_of(old) & bit) != 0) {
        taken = true;
        return;
      }
      given_[r] &= ~bit;
      if ((layout::offered_of(old) & bit) != 0) ++dropped_[r];
    });
    if (!taken && newest_ == bit) forget_newest();
    return !taken;
  }

  // False: a blocking reader has no room.
  bool offer(unsigned r, unsigned slot) {
    auto& word = env_.page(r).word;
    const std::uint32_t bit = slot_bit(slot);
    for (int tries = 0; tries < kMaxTries; ++tries) {
      const PageView view = view_of(r);
      // seq_cst: after the owner armed its doorbell this decides whether to sleep.
      std::uint64_t old = word.load(std::memory_order_seq_cst);
      update_given(r, old);
      const std::uint32_t before = layout::offered_of(old) & given_[r];
      // Never twice: releasing the second lease would end the first.
      if ((layout::taken_of(old) & given_[r] & bit) != 0) return true;
      if (blocks(view) && has_bits(before, view.depth)) return false;
      const std::uint64_t next = with_offer(old, slot, view, given_[r], seqs_);
      // seq_cst: the reader arms its doorbell, then looks at the word (pairs with
      // Doorbell::arm); its take CAS acquires what we wrote into the slot.
      if (!word.compare_exchange_strong(old, next, std::memory_order_seq_cst,
                                        std::memory_order_relaxed)) {
        continue;
      }
      POSSUM_CRASH_POINT("offer.swap");
      const std::uint32_t offers = layout::offered_of(next);
      const bool added = (offers & bit) != 0;
      count_dropped(r, view, before & ~offers, added);
      // What was withdrawn just now is no longer the reader's, whatever it says later.
      given_[r] &= offers | layout::taken_of(next);
      if (added) {
        given_[r] |= bit;
        env_.ring_reader(r);
      }
      return true;
    }
    return true;
  }

  void count_dropped(unsigned r, PageView view, std::uint32_t withdrawn, bool added) {
    if (view.state != layout::PageState::active) return;
    if (withdrawn != 0) {
      dropped_[r] += static_cast<std::uint64_t>(std::popcount(withdrawn));
    }
    if (!added) ++dropped_[r];
  }

  Env& env_;
  const unsigned limit_;  // entries that may be used, 3..32
  const bool allow_blocking_;
  // Slots, bit s.
  std::uint32_t have_ = 0;        // with an object
  std::uint32_t lent_ = 0;        // upstream has a reference
  std::uint32_t busy_ = 0;        // acquired, or being published
  std::uint32_t publishing_ = 0;  // of these the one whose offers have begun, if any
  std::uint32_t newest_ = 0;      // the newest frame; none after a drop or a steal
  // Pages, bit r.
  std::uint32_t admitted_ = 0;
  std::uint32_t demoted_ = 0;
  std::uint32_t pending_pages_ = 0;  // had no room yet for the slot being published
  unsigned reserve_ = 1;
  unsigned peak_lent_ = 0;
  unsigned last_peak_ = 0;
  Recycled recycled_;
  std::array<std::uint32_t, kPages> given_{};
  std::array<std::uint64_t, Slots> seqs_{};
  std::array<std::uint32_t, kPages> tenant_{};
  std::array<std::uint64_t, kPages> dropped_{};  // frames each tenant did not get
};

}  // namespace possum::transport
