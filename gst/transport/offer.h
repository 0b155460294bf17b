// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The pure part of the offer word: what a page's word becomes when the writer offers one
// slot more. No memory, no time, no system: PROTOCOL.md, "Offer word".
#pragma once

#include <bit>
#include <cstdint>

#include "layout.h"

namespace possum::transport {

constexpr std::uint32_t slot_bit(unsigned slot) { return std::uint32_t{1} << slot; }

// Calls `each` with the number of each bit of `mask`, lowest first.
template <class Each>
constexpr void for_each_bit(std::uint32_t mask, Each each) {
  for (; mask != 0; mask &= mask - 1) {
    each(static_cast<unsigned>(std::countr_zero(mask)));
  }
}

// Does `mask` have `count` bits or more? What is asked for is small, and std::popcount
// may be a call of a library function.
constexpr bool has_bits(std::uint32_t mask, unsigned count) {
  for (; count > 1 && mask != 0; --count) mask &= mask - 1;
  return count == 0 || mask != 0;
}

// Does the page hold more slots than any honest reader?
constexpr bool holds_too_many(std::uint32_t taken) {
  return has_bits(taken, layout::kMaxTaken + 1);
}

// How the writer sees a page: the reader's wish, tamed by what the writer allows.
struct PageView {
  layout::PageState state = layout::PageState::free;
  layout::Policy policy = layout::Policy::drop_oldest;
  unsigned depth = 1;
};

// The slot of the lowest sequence number in `mask`, which is not empty.
template <class SeqOf>
unsigned oldest_of(std::uint32_t mask, SeqOf seq_of) {
  auto best = static_cast<unsigned>(std::countr_zero(mask));
  mask &= mask - 1;
  if (mask == 0) return best;
  std::uint64_t best_seq = seq_of(best);
  for_each_bit(mask, [&](unsigned slot) {
    const std::uint64_t seq = seq_of(slot);
    if (seq < best_seq) {
      best = slot;
      best_seq = seq;
    }
  });
  return best;
}

// The word after offering `slot`. `given` is what the writer has offered to the page and
// still honours; a reader's other bits mean nothing. `seqs` are the slots' sequence
// numbers. Equal to `word` (tamed) when the offer is refused.
template <class Seqs>
std::uint64_t with_offer(std::uint64_t word, unsigned slot, PageView page,
                         std::uint32_t given, const Seqs& seqs) {
  // Without the bits never given: one of them may be this slot's.
  std::uint32_t offers = layout::offered_of(word) & given;
  const std::uint32_t taken = layout::taken_of(word);
  const bool refused =
      page.state != layout::PageState::active || holds_too_many(taken & given) ||
      (page.policy == layout::Policy::drop_newest && has_bits(offers, page.depth));
  if (refused) return layout::make_word(offers, taken);
  // A blocking reader's caller has waited for room.
  if (page.policy == layout::Policy::drop_oldest) {
    while (has_bits(offers, page.depth)) {
      offers &= ~slot_bit(oldest_of(offers, [&](unsigned s) { return seqs[s]; }));
    }
  }
  return layout::make_word(offers | slot_bit(slot), taken);
}

}  // namespace possum::transport
