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
//   header()        .state .reserve .roomy .latest .slot[s].seq (atomics)
//   ring_reader(r)  wake the reader of a page if it sleeps
//   lock_page(r)    try its byte lock: true if the page's owner is dead
//   unlock_page(r), reset_bell(r)
//   recycle_due()   may acquire() look for dead readers now?
//   fits(s, need)   is the slot's object large enough for that? What a need is only the
//                   environment knows
//   discard(s)      unlink the slot's object and let go of it
//   create(s, need) make an object for that: its number, 0 when there is no room
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <utility>

#include "crash_point.h"
#include "layout.h"
#include "offer.h"

namespace possum::transport {

// A checker takes fewer pages and slots.
template <class Env, unsigned Pages = layout::kReaders, unsigned Slots = layout::kSlots>
class WriterCore {
 public:
  static constexpr unsigned kPages = Pages;
  static constexpr int kNone = -1;

  enum class Found { slot, wait, none };
  struct Scan {
    std::uint32_t offered = 0;
    std::uint32_t taken = 0;
    std::uint32_t offered_blocking = 0;  // by pages that may hold up the writer
    bool blocking = false;               // there is such a page
  };
  struct Recycled {
    std::uint32_t left = 0;  // pages, bit r
    std::uint32_t died = 0;
  };

  WriterCore(Env& env, unsigned slots, bool allow_blocking)
      : env_(env), limit_(slots), allow_blocking_(allow_blocking) {}

  // --- looking
  // ---------------------------------------------------------------------------

  std::uint32_t have() const { return have_; }
  std::uint32_t lent() const { return lent_; }
  std::uint64_t dropped(unsigned r) const { return dropped_[r]; }
  // Changes with each tenant of the page; unlike the epoch, nobody else can write it.
  std::uint32_t tenant(unsigned r) const { return tenant_[r]; }
  bool demoted(unsigned r) const { return (demoted_ >> r & 1) != 0; }
  bool wants_growth() const { return wants_growth_; }

  // One pass over all pages; drops from `given` what readers gave back.
  Scan scan() {
    Scan s;
    for (unsigned r = 0; r < kPages; ++r) look_at(r, s);
    return s;
  }

  // The same for the pages alone that were given one of these slots, as the others say
  // nothing about them, and for those that had a reader lately.
  Scan scan_for(std::uint32_t slots) {
    Scan s;
    for (unsigned r = 0; r < kPages; ++r) {
      if ((given_[r] & slots) != 0 || (attached_ & slot_bit(r)) != 0) look_at(r, s);
    }
    return s;
  }

  // Can a reader see the slot, now or by attaching? Only pages that were given it can say
  // so: a slot that was lent anew costs no look at shared memory.
  bool visible(unsigned slot) {
    if (latest_ == static_cast<int>(slot)) return true;
    Scan s;
    for (unsigned r = 0; r < kPages; ++r) {
      if ((given_[r] & slot_bit(slot)) != 0) look_at(r, s);
    }
    return ((s.offered | s.taken) & slot_bit(slot)) != 0;
  }

  bool active(unsigned r) const { return view_of(r).state == layout::PageState::active; }

  // --- where a slot comes from (PROTOCOL.md, "Acquire")
  // ------------------------------------

  // `slot` belongs to the caller until publish or give_back().
  template <class Need>
  Found acquire(unsigned& slot, Need& need) {
    bool may_grow = true;
    bool may_recycle = true;
    std::uint32_t skip = 0;
    for (int round = 0; round < kMaxRounds; ++round) {
      const std::uint32_t newest = newest_bit();
      const Scan others = scan_for(~newest);
      if (reuse(others, slot, need)) return chosen(others, slot);
      const Scan s = scan();
      if (may_grow && grow(slot, need)) return chosen(s, slot);
      may_grow = false;
      const std::uint32_t able = stealable(s) & ~skip;
      if ((able & ~newest) == 0 && std::exchange(may_recycle, false) &&
          env_.recycle_due()) {
        recycle();
        continue;
      }
      if (able != 0) {  // the newest frame last
        slot = oldest_of((able & ~newest) != 0 ? able & ~newest : able, seqs_);
        if (steal(slot) && usable(slot, need)) return chosen(s, slot);
        skip |= slot_bit(slot);
        continue;
      }
      if (s.blocking) return Found::wait;
      // The frame will be dropped. A reader that attached now and took the standing offer
      // would see a gap right after its first frame: take that offer away first.
      if (withdraw_standing_offer()) return Found::none;
    }
    return Found::none;
  }

  // Lends a free slot upstream, without taking it from any reader. kNone: the writer
  // would be left with too few.
  template <class Need>
  int lend(Need& need) {
    const unsigned lent = static_cast<unsigned>(std::popcount(lent_)) + 1;
    if (lent + kKeep > limit_) return kNone;
    Scan s = scan_for(~newest_bit());
    unsigned slot = 0;
    if (static_cast<unsigned>(std::popcount(have_)) < lent + kKeep ||
        !reuse(s, slot, need)) {
      if (!grow(slot, need)) return kNone;
    }
    // A reader that takes from here on counts with the new reserve; one that took before
    // is in the scan below. seq_cst: pairs with ReaderCore::must_copy.
    if (reserve_ < lent + 1) {
      env_.header().roomy.store(0, std::memory_order_seq_cst);
      POSSUM_CRASH_POINT("lend.roomy");
      set_reserve(lent + 1);
      POSSUM_CRASH_POINT("lend.reserve");
      s = scan();
    }
    const auto circulating = static_cast<unsigned>(std::popcount(have_ & ~s.taken));
    if (circulating < lent + 1) {
      wants_growth_ = true;
      return kNone;
    }
    lent_ |= slot_bit(slot);
    if (lent > peak_lent_) peak_lent_ = lent;
    if (circulating < lent + 2) wants_growth_ = true;
    return static_cast<int>(slot);
  }

  // The frame in hand is dropped although readers may block. As in acquire(), nobody who
  // attaches now begins with the frame before it.
  void give_up_waiting() { withdraw_standing_offer(); }

  void give_back(unsigned slot) {
    lent_ &= ~slot_bit(slot);
    busy_ &= ~slot_bit(slot);
  }

  // Installs an object created elsewhere (the housekeeping thread grows ahead).
  int unused_entry() const {
    const std::uint32_t all = limit_ >= 32 ? ~0u : slot_bit(limit_) - 1;
    const std::uint32_t unused = all & ~have_ & ~pending_;
    return unused == 0 ? kNone : std::countr_zero(unused);
  }
  void reserve_entry(unsigned slot) { pending_ |= slot_bit(slot); }
  // `object`: its number, 0 when there was no room.
  void install(unsigned slot, std::uint32_t object) {
    pending_ &= ~slot_bit(slot);
    if (object != 0) announce(slot, object);
    wants_growth_ = false;
  }
  // Replaces free slots that are too small and grows the pool to `count` slots, as far as
  // there is room. Returns how many there are.
  template <class Need>
  unsigned prepare(unsigned count, Need& need) {
    const Scan s = scan_for(~newest_bit());
    for (std::uint32_t rest = free_of(s); rest != 0; rest &= rest - 1) {
      usable(static_cast<unsigned>(std::countr_zero(rest)), need);
    }
    unsigned slot = 0;
    while (static_cast<unsigned>(std::popcount(have_)) < count && grow(slot, need)) {
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

  // --- publishing
  // --------------------------------------------------------------------------

  // Offers the slot to every page that has room; the rest are `pending()`.
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
    const std::uint32_t newest = newest_bit();
    const Scan s = scan_for(~newest);
    const std::uint32_t used = s.offered | s.taken | newest | slot_bit(slot);
    const bool roomy =
        static_cast<std::uint32_t>(std::popcount(have_ & ~used)) >= reserve_;
    // Before the offers: whoever takes this frame sees it (pairs with must_copy).
    env_.header().roomy.store(roomy ? 1 : 0, std::memory_order_seq_cst);
    POSSUM_CRASH_POINT("publish.roomy");
    busy_ |= slot_bit(slot);
    publishing_ = static_cast<int>(slot);
    pending_pages_ = 0;
    // Those first that somebody waits at: the standing offers of all the others take a
    // while, above all when their pages have left the cache since the last frame.
    const std::uint32_t attached = attached_;
    for (const bool first : {true, false}) {
      for (unsigned r = 0; r < kPages; ++r) {
        if (((attached & slot_bit(r)) != 0) != first) continue;
        if (!first && renew_standing_offer(r, slot)) continue;
        if (!offer(r, slot)) pending_pages_ |= slot_bit(r);
      }
    }
    latest_ = static_cast<int>(slot);
    env_.header().latest.store(slot + 1, std::memory_order_relaxed);
    POSSUM_CRASH_POINT("publish.latest");
  }

  // Offers to the pages that had no room. True when none is left.
  bool continue_publish() {
    for (std::uint32_t rest = pending_pages_; rest != 0; rest &= rest - 1) {
      const auto r = static_cast<unsigned>(std::countr_zero(rest));
      if (offer(r, static_cast<unsigned>(publishing_))) pending_pages_ &= ~slot_bit(r);
    }
    return pending_pages_ == 0;
  }
  std::uint32_t pending_pages() const { return pending_pages_; }

  void end_publish() {
    for (std::uint32_t rest = pending_pages_; rest != 0; rest &= rest - 1) {
      ++dropped_[static_cast<unsigned>(std::countr_zero(rest))];
    }
    pending_pages_ = 0;
    if (publishing_ != kNone) busy_ &= ~slot_bit(static_cast<unsigned>(publishing_));
    publishing_ = kNone;
  }
  int publishing() const { return publishing_; }

  // --- readers
  // -----------------------------------------------------------------------------

  // Frees the pages whose owner is dead. Only the writer does this, under the page's byte
  // lock: a reader that recycled could meet the next tenant.
  void recycle() {
    for (unsigned r = 0; r < kPages; ++r) {
      auto& page = env_.page(r);
      const layout::Config cfg = layout::unpack(page.cfg.load(std::memory_order_acquire));
      const bool free = cfg.state == layout::PageState::free;
      if ((free && !holds_slots(r)) || !env_.lock_page(r)) continue;
      POSSUM_CRASH_POINT("recycle.lock");
      if (!free) {
        (cfg.state == layout::PageState::left ? recycled_.left : recycled_.died) |=
            slot_bit(r);
      }
      // {latest} and not 0: whoever attaches next must find the newest frame.
      const std::uint32_t standing = newest_bit();
      page.word.store(layout::make_word(standing, 0), std::memory_order_seq_cst);
      POSSUM_CRASH_POINT("recycle.word");
      given_[r] = standing;
      env_.reset_bell(r);
      page.grant.store(0, std::memory_order_relaxed);
      POSSUM_CRASH_POINT("recycle.grant");
      demoted_ &= ~slot_bit(r);
      dropped_[r] = 0;
      ++tenant_[r];
      // A frame being published is in the standing offer already.
      pending_pages_ &= ~slot_bit(r);
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
  Recycled collect_recycled() {
    const Recycled result = recycled_;
    recycled_ = {};
    return result;
  }

  bool is_blocking(unsigned r) const { return blocks(view_of(r)); }
  bool has_offers(unsigned r) {
    const std::uint64_t word = env_.page(r).word.load(std::memory_order_seq_cst);
    return (layout::offered_of(word) & given_[r]) != 0;
  }
  std::uint64_t word_of(unsigned r) const {
    return env_.page(r).word.load(std::memory_order_seq_cst);
  }
  std::uint32_t given(unsigned r) const { return given_[r]; }

  // The writer no longer waits for this reader; it drops its oldest from now on.
  void demote(unsigned r) {
    demoted_ |= slot_bit(r);
    env_.page(r).grant.fetch_or(layout::kDemoted, std::memory_order_relaxed);
    POSSUM_CRASH_POINT("demote.grant");
  }

  // --- end of stream, flush
  // ------------------------------------------------------------------

  void set_eos() {
    env_.header().state.store(static_cast<std::uint32_t>(layout::ChannelState::eos),
                              std::memory_order_seq_cst);
    POSSUM_CRASH_POINT("eos.state");
    for (unsigned r = 0; r < kPages; ++r) env_.ring_reader(r);
  }
  bool drained() {
    for (unsigned r = 0; r < kPages; ++r) {
      if (is_blocking(r) && has_offers(r)) return false;
    }
    return true;
  }
  void flush() {
    for (unsigned r = 0; r < kPages; ++r) {
      const PageView view = view_of(r);
      if (view.state != layout::PageState::active || blocks(view)) continue;
      const std::uint64_t old = env_.page(r).word.fetch_and(layout::make_word(0, ~0u),
                                                            std::memory_order_seq_cst);
      POSSUM_CRASH_POINT("flush.page");
      dropped_[r] +=
          static_cast<std::uint64_t>(std::popcount(layout::offered_of(old) & given_[r]));
      given_[r] &= layout::taken_of(old);
    }
    env_.header().state.store(static_cast<std::uint32_t>(layout::ChannelState::ready),
                              std::memory_order_seq_cst);
    POSSUM_CRASH_POINT("flush.state");
  }

 private:
  // Slots the writer never lends: the newest, the one being copied into, one spare.
  static constexpr unsigned kKeep = 3;
  static constexpr int kMaxRounds = 4 * static_cast<int>(Slots);
  static constexpr int kMaxTries = 100;  // against a reader that flips its own word

  void set_reserve(unsigned count) {
    reserve_ = count;
    env_.header().reserve.store(count, std::memory_order_seq_cst);
  }

  std::uint32_t newest_bit() const { return latest_ == kNone ? 0 : slot_bit(latest_); }

  void look_at(unsigned r, Scan& s) {
    const PageView view = view_of(r);
    // seq_cst: in acquire() after the owner armed its doorbell, this load and the
    // release's RMW decide who sees whom (pairs with ReaderCore::release).
    const std::uint64_t word = env_.page(r).word.load(std::memory_order_seq_cst);
    note(r, word);
    const std::uint32_t offers = layout::offered_of(word) & given_[r];
    s.offered |= offers;
    s.taken |= layout::taken_of(word) & given_[r];
    if (blocks(view)) {
      s.blocking = true;
      s.offered_blocking |= offers;
    }
  }

  // Drops from `given` what the page has given back, and everything if it holds more than
  // a reader ever does: then its words mean nothing, and it would keep slots for ever.
  void note(unsigned r, std::uint64_t word) {
    given_[r] &= layout::offered_of(word) | layout::taken_of(word);
    if (holds_too_many(layout::taken_of(word) & given_[r])) given_[r] = 0;
  }

  // A free page that says so has had a tenant who lied; it would keep them for ever.
  bool holds_slots(unsigned r) const {
    const std::uint64_t word = env_.page(r).word.load(std::memory_order_seq_cst);
    return (layout::taken_of(word) & given_[r]) != 0;
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

  std::uint32_t free_of(const Scan& s) const {
    return have_ & ~(lent_ | busy_ | newest_bit() | s.offered | s.taken);
  }

  // Makes the slot large enough. One that cannot be replaced is gone: its memory was
  // given back for the next try.
  template <class Need>
  bool usable(unsigned slot, Need& need) {
    if (env_.fits(slot, need)) return true;
    // Fewer slots circulate from here on: readers must count again.
    env_.header().roomy.store(0, std::memory_order_seq_cst);
    POSSUM_CRASH_POINT("replace.roomy");
    have_ &= ~slot_bit(slot);
    env_.header().slot[slot].object.store(0, std::memory_order_release);
    POSSUM_CRASH_POINT("replace.object");
    env_.discard(slot);
    return make_object(slot, need);
  }

  template <class Need>
  bool make_object(unsigned slot, Need& need) {
    const std::uint32_t object = env_.create(slot, need);
    if (object == 0) return false;
    announce(slot, object);
    return true;
  }

  void announce(unsigned slot, std::uint32_t object) {
    // release: the object's header is in place before anybody can learn its number.
    env_.header().slot[slot].object.store(object, std::memory_order_release);
    POSSUM_CRASH_POINT("object.announce");
    have_ |= slot_bit(slot);
  }

  template <class Need>
  bool reuse(const Scan& s, unsigned& slot, Need& need) {
    // Lowest first: the working set stays in the cache.
    for (std::uint32_t rest = free_of(s); rest != 0; rest &= rest - 1) {
      slot = static_cast<unsigned>(std::countr_zero(rest));
      if (usable(slot, need)) return true;
    }
    return false;
  }

  template <class Need>
  bool grow(unsigned& slot, Need& need) {
    const int entry = unused_entry();
    if (entry == kNone || !make_object(static_cast<unsigned>(entry), need)) return false;
    slot = static_cast<unsigned>(entry);
    return true;
  }

  Found chosen(const Scan& s, unsigned slot) {
    busy_ |= slot_bit(slot);
    const auto others =
        static_cast<std::uint32_t>(std::popcount(have_ & ~s.taken & ~slot_bit(slot)));
    if (others < reserve_) wants_growth_ = true;
    return Found::slot;
  }

  // Slots that nobody holds and that only dropping readers, or nobody yet, were offered.
  std::uint32_t stealable(const Scan& s) const {
    return have_ & (s.offered | newest_bit()) &
           ~(lent_ | busy_ | s.taken | s.offered_blocking);
  }

  // Takes an offered slot back from everybody. False if a reader was quicker.
  bool steal(unsigned slot) {
    bool taken = false;
    const std::uint32_t bit = slot_bit(slot);
    for (unsigned r = 0; r < kPages; ++r) {
      if ((given_[r] & bit) == 0) continue;
      // acq_rel: our writes into the slot come after the take that did not happen.
      const std::uint64_t old = env_.page(r).word.fetch_and(~layout::make_word(bit, 0),
                                                            std::memory_order_acq_rel);
      POSSUM_CRASH_POINT("steal.page");
      if ((layout::taken_of(old) & bit) != 0) {
        taken = true;
        continue;
      }
      given_[r] &= ~bit;
      if ((layout::offered_of(old) & bit) != 0 && active(r)) ++dropped_[r];
    }
    if (!taken && latest_ == static_cast<int>(slot)) forget_latest();
    return !taken;
  }

  void forget_latest() {
    latest_ = kNone;
    env_.header().latest.store(0, std::memory_order_relaxed);
    POSSUM_CRASH_POINT("steal.latest");
  }

  // Empties the pages that nobody has. False: a reader came meanwhile, look again.
  bool withdraw_standing_offer() {
    bool came = false;
    for (unsigned r = 0; r < kPages; ++r) {
      const PageView view = view_of(r);
      if (blocks(view)) came = true;
      if (view.state != layout::PageState::free) continue;
      const std::uint64_t old = env_.page(r).word.fetch_and(layout::make_word(0, ~0u),
                                                            std::memory_order_seq_cst);
      POSSUM_CRASH_POINT("withdraw.page");
      // Taken, or taken and released already.
      if ((given_[r] & ~layout::offered_of(old)) != 0) came = true;
      given_[r] &= layout::taken_of(old);
    }
    if (latest_ != kNone) forget_latest();
    return !came;
  }

  // The short way of offer() for a page that nobody has and nobody touched: most pages,
  // each time. False: there is something else in it.
  bool renew_standing_offer(unsigned r, unsigned slot) {
    auto& page = env_.page(r);
    // Both seq_cst: as in offer().
    const auto cfg = layout::unpack(page.cfg.load(std::memory_order_seq_cst));
    if (cfg.state != layout::PageState::free) return false;
    std::uint64_t word = layout::make_word(given_[r], 0);
    if (!page.word.compare_exchange_strong(word, layout::make_word(slot_bit(slot), 0),
                                           std::memory_order_seq_cst,
                                           std::memory_order_relaxed)) {
      return false;
    }
    POSSUM_CRASH_POINT("offer.standing");
    given_[r] = slot_bit(slot);
    env_.ring_reader(r);  // somebody may have come meanwhile
    return true;
  }

  // False: a blocking reader has no room.
  bool offer(unsigned r, unsigned slot) {
    auto& page = env_.page(r);
    for (int tries = 0; tries < kMaxTries; ++tries) {
      const PageView view = view_of(r);
      const bool attached = view.state == layout::PageState::active;
      attached_ = attached ? attached_ | slot_bit(r) : attached_ & ~slot_bit(r);
      // seq_cst: after the owner armed its doorbell this decides whether to sleep.
      std::uint64_t word = page.word.load(std::memory_order_seq_cst);
      note(r, word);
      const std::uint32_t before = layout::offered_of(word) & given_[r];
      // Never twice: releasing the second lease would end the first.
      if ((layout::taken_of(word) & given_[r] & slot_bit(slot)) != 0) return true;
      if (blocks(view) && std::popcount(before) >= static_cast<int>(view.depth)) {
        return false;
      }
      const std::uint64_t next = offered(word, slot, view, given_[r], seqs_);
      const bool added = (layout::offered_of(next) & slot_bit(slot)) != 0;
      // seq_cst: the reader arms its doorbell, then looks at the word (pairs with
      // Doorbell::arm); its take CAS acquires what we wrote into the slot.
      if (!page.word.compare_exchange_strong(word, next, std::memory_order_seq_cst,
                                             std::memory_order_relaxed)) {
        continue;
      }
      POSSUM_CRASH_POINT("offer.swap");
      if (attached) {
        dropped_[r] += static_cast<std::uint64_t>(
            std::popcount(before & ~layout::offered_of(next)) + (added ? 0 : 1));
      }
      // What was withdrawn just now is no longer the reader's, whatever it says later.
      given_[r] &= layout::offered_of(next) | layout::taken_of(next);
      if (added) {
        given_[r] |= slot_bit(slot);
        env_.ring_reader(r);
      }
      return true;
    }
    return true;
  }

  Env& env_;
  const unsigned limit_;  // entries that may be used, 3..32
  const bool allow_blocking_;
  std::uint32_t have_ = 0;      // slots with an object (E)
  std::uint32_t lent_ = 0;      // upstream has a reference
  std::uint32_t busy_ = 0;      // being written or published
  std::uint32_t pending_ = 0;   // entries the housekeeping thread is filling
  std::uint32_t demoted_ = 0;   // pages
  std::uint32_t attached_ = 0;  // pages that had a reader at the last publication
  int latest_ = kNone;
  int publishing_ = kNone;
  std::uint32_t pending_pages_ = 0;
  bool wants_growth_ = false;
  // What the header says: never read back, members of the group can write there.
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
