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

// More than a reader ever holds. Mostly it holds none, and counting bits may be a call.
constexpr bool holds_too_many(std::uint32_t taken) {
  return taken != 0 && std::popcount(taken) > static_cast<int>(layout::kMaxTaken);
}

// How the writer sees a page: the reader's wish, tamed by what the writer allows.
struct PageView {
  layout::PageState state = layout::PageState::free;
  layout::Policy policy = layout::Policy::drop_oldest;
  unsigned depth = 1;
};

// The slot of the lowest sequence number in `mask`, which is not empty.
template <class Seqs>
unsigned oldest_of(std::uint32_t mask, const Seqs& seqs) {
  unsigned best = static_cast<unsigned>(std::countr_zero(mask));
  for (std::uint32_t rest = mask & (mask - 1); rest != 0; rest &= rest - 1) {
    const auto slot = static_cast<unsigned>(std::countr_zero(rest));
    if (seqs[slot] < seqs[best]) best = slot;
  }
  return best;
}

// The word after offering `slot`. `given` is what the writer has offered to the page and
// still honours; a reader's other bits mean nothing. `seqs` are the slots' sequence
// numbers. Equal to `word` (tamed) when the offer is refused.
template <class Seqs>
std::uint64_t offered(std::uint64_t word, unsigned slot, PageView page,
                      std::uint32_t given, const Seqs& seqs) {
  std::uint32_t offers = layout::offered_of(word) & given;
  const std::uint32_t taken = layout::taken_of(word);
  const std::uint32_t bit = slot_bit(slot);
  // Without the bits never given: one of them may be this slot's.
  const std::uint64_t refused = layout::make_word(offers, taken);
  // Also of a page that calls itself free: what it holds is gone from circulation.
  if (holds_too_many(taken & given)) return refused;
  switch (page.state) {
    case layout::PageState::free:
      return layout::make_word(bit, taken);  // the standing offer
    case layout::PageState::left:
      return refused;
    case layout::PageState::active:
      break;
  }
  const auto full = [&] { return std::popcount(offers) >= static_cast<int>(page.depth); };
  switch (page.policy) {
    case layout::Policy::drop_newest:
      return full() ? refused : layout::make_word(offers | bit, taken);
    case layout::Policy::drop_oldest:
      while (full()) offers &= ~slot_bit(oldest_of(offers, seqs));
      return layout::make_word(offers | bit, taken);
    case layout::Policy::blocking:  // the caller has waited for room
      return layout::make_word(offers | bit, taken);
  }
  return refused;
}

}  // namespace possum::transport
