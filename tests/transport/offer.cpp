// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The pure part of the offer word: tables for each policy and state, and a comparison
// with a model that is written with sets and lists instead of bits.
#include "transport/offer.h"

#include <algorithm>
#include <array>
#include <list>
#include <random>
#include <set>

#include "support/check.h"

using namespace possum;
using namespace possum::transport;
using layout::Config;
using layout::make_word;
using layout::PageState;
using layout::Policy;

namespace {

constexpr std::uint32_t kAll = ~0u;

// Slot n carries sequence number n + 1.
std::array<std::uint64_t, 32> in_order() {
  std::array<std::uint64_t, 32> seqs{};
  for (unsigned s = 0; s < 32; ++s) seqs[s] = s + 1;
  return seqs;
}

struct Row {
  PageView page;
  std::uint32_t offered, taken;
  unsigned slot;
  std::uint32_t then_offered;
};

void check_rows(std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    const std::uint64_t next = with_offer(make_word(row.offered, row.taken), row.slot,
                                          row.page, kAll, in_order());
    CHECK(next == make_word(row.then_offered, row.taken));
  }
}

// The same rules in words.
std::uint64_t model(std::uint64_t word, unsigned slot, PageView page, std::uint32_t given,
                    const std::array<std::uint64_t, 32>& seqs) {
  std::list<unsigned> waiting;
  std::set<unsigned> held;
  for (unsigned s = 0; s < 32; ++s) {
    const bool mine = (given >> s & 1) != 0;
    if (mine && (word >> s & 1) != 0) waiting.push_back(s);
    if (mine && (word >> (32 + s) & 1) != 0) held.insert(s);
  }
  waiting.sort([&](unsigned a, unsigned b) { return seqs[a] < seqs[b]; });
  bool refused = page.state != PageState::active || held.size() > 9;
  if (!refused) {
    refused |= page.policy == Policy::drop_newest && waiting.size() >= page.depth;
    while (!refused && page.policy == Policy::drop_oldest &&
           waiting.size() >= page.depth) {
      waiting.pop_front();
    }
  }
  if (!refused) waiting.push_back(slot);
  std::uint32_t offers = 0;
  for (const unsigned s : waiting) offers |= 1u << s;
  return (word & ~std::uint64_t{kAll}) | offers;
}

}  // namespace

TEST(page_that_nobody_has_gets_nothing) {
  for (const PageState state : {PageState::free, PageState::left}) {
    for (const Policy policy :
         {Policy::drop_oldest, Policy::drop_newest, Policy::blocking}) {
      const PageView page{state, policy, 4};
      check_rows({{page, 0, 0, 3, 0}, {page, 0b101, 0b10, 3, 0b101}});
    }
  }
}

TEST(drop_oldest_makes_room_by_sequence_number) {
  const PageView page{PageState::active, Policy::drop_oldest, 2};
  check_rows({{page, 0, 0, 0, 0b1},
              {page, 0b1, 0, 1, 0b11},
              {page, 0b11, 0, 2, 0b110},
              {page, 0b1111, 0, 4, 0b11000},  // depth was made smaller: several go
              {page, 0b110, 0b1, 3, 0b1100}});
  auto seqs = in_order();
  seqs[0] = 100;  // slot 0 was used again: now slot 1 is the oldest
  CHECK(with_offer(0b11, 2, page, kAll, seqs) == 0b101);
}

TEST(drop_oldest_of_depth_one_keeps_the_newest) {
  const PageView page{PageState::active, Policy::drop_oldest, 1};
  check_rows({{page, 0, 0, 5, 1u << 5}, {page, 1u << 5, 0, 6, 1u << 6}});
}

TEST(drop_newest_refuses_when_full) {
  const PageView page{PageState::active, Policy::drop_newest, 2};
  check_rows({{page, 0, 0, 0, 0b1},
              {page, 0b1, 0, 1, 0b11},
              {page, 0b11, 0, 2, 0b11},
              {page, 0b111, 0, 3, 0b111}});
}

TEST(blocking_adds_whatever_waits) {
  const PageView page{PageState::active, Policy::blocking, 1};
  check_rows({{page, 0, 0, 0, 0b1}, {page, 0b11, 0b100, 3, 0b1011}});
}

TEST(bits_never_given_mean_nothing) {
  const auto seqs = in_order();
  const PageView full{PageState::active, Policy::drop_newest, 2};
  CHECK(with_offer(make_word(kAll, 0), 4, full, 0b1, seqs) == make_word(0b10001, 0));
  CHECK(with_offer(make_word(0, kAll), 4, full, 0b11, seqs) == make_word(0b10000, kAll));
  const PageView oldest{PageState::active, Policy::drop_oldest, 1};
  CHECK(with_offer(make_word(kAll, 0), 4, oldest, 0, seqs) == make_word(0b10000, 0));
}

TEST(refused_offer_leaves_no_bit_that_looks_like_one) {
  const auto seqs = in_order();
  const std::uint32_t ten = (1u << 10) - 1;
  for (const PageState state : {PageState::free, PageState::left}) {
    const PageView nobody{state, Policy::drop_oldest, 3};
    CHECK(with_offer(make_word(kAll, 0), 20, nobody, 0b1, seqs) == make_word(0b1, 0));
  }
  const PageView full{PageState::active, Policy::drop_newest, 1};
  CHECK(with_offer(make_word(kAll, 0), 20, full, 0b1, seqs) == make_word(0b1, 0));
  const PageView hoarding{PageState::active, Policy::drop_oldest, 1};
  CHECK(with_offer(make_word(kAll, kAll), 20, hoarding, ten, seqs) ==
        make_word(ten, kAll));
}

TEST(reader_that_hoards_is_offered_no_more) {
  const auto seqs = in_order();
  for (const Policy policy :
       {Policy::drop_oldest, Policy::drop_newest, Policy::blocking}) {
    const PageView page{PageState::active, policy, 3};
    const std::uint32_t nine = (1u << 9) - 1;
    const std::uint32_t ten = (1u << 10) - 1;
    CHECK(with_offer(make_word(0, nine), 20, page, kAll, seqs) ==
          make_word(1u << 20, nine));
    CHECK(with_offer(make_word(0, ten), 20, page, kAll, seqs) == make_word(0, ten));
    // Ten bits of which only nine were given.
    CHECK(with_offer(make_word(0, ten), 20, page, nine, seqs) ==
          make_word(1u << 20, ten));
  }
}

TEST(random_words_agree_with_the_model) {
  std::mt19937_64 random(2026);
  std::array<std::uint64_t, 32> seqs{};
  for (int round = 0; round < 300'000; ++round) {
    for (std::uint64_t& seq : seqs) seq = random();
    PageView page;
    page.state = static_cast<PageState>(random() % 3);
    page.policy = static_cast<Policy>(random() % 3);
    page.depth = 1 + static_cast<unsigned>(random() % layout::kMaxDepth);
    // Thin words, so that every branch is met; thick ones now and then.
    std::uint64_t word = random() & random();
    if (round % 4 != 0) word &= random() & random();
    const auto given = static_cast<std::uint32_t>(round % 3 == 0 ? kAll : random());
    const auto slot = static_cast<unsigned>(random() % 32);
    CHECK(with_offer(word, slot, page, given, seqs) ==
          model(word, slot, page, given, seqs));
  }
}

TEST(has_bits_counts) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 100'000; ++round) {
    const auto mask = static_cast<std::uint32_t>(random() & random());
    const auto count = static_cast<unsigned>(random() % 40);
    CHECK(possum::transport::has_bits(mask, count) ==
          (static_cast<unsigned>(std::popcount(mask)) >= count));
  }
  CHECK(possum::transport::has_bits(0, 0) && !possum::transport::has_bits(0, 1));
  CHECK(possum::transport::has_bits(kAll, 32) && !possum::transport::has_bits(kAll, 33));
  CHECK(!possum::transport::has_bits(kAll, ~0u));
}

TEST(oldest_of_is_the_lowest_sequence_number) {
  std::mt19937_64 random(7);
  std::array<std::uint64_t, 32> seqs{};
  for (int round = 0; round < 10'000; ++round) {
    for (std::uint64_t& seq : seqs) seq = random();
    const auto mask = static_cast<std::uint32_t>(random()) | 1u << (round % 32);
    const unsigned best = oldest_of(mask, [&](unsigned s) { return seqs[s]; });
    CHECK((mask >> best & 1) != 0);
    for (unsigned s = 0; s < 32; ++s) {
      CHECK((mask >> s & 1) == 0 || seqs[best] <= seqs[s]);
    }
  }
}

TEST(configuration_survives_packing) {
  for (unsigned state = 0; state < 3; ++state) {
    for (unsigned policy = 0; policy < 3; ++policy) {
      for (unsigned depth = 1; depth <= layout::kMaxDepth; ++depth) {
        const Config in{0xfffffff0u + depth, static_cast<std::uint8_t>(depth),
                        static_cast<Policy>(policy), static_cast<PageState>(state)};
        const Config out = layout::unpack(layout::pack(in));
        CHECK(out.epoch == in.epoch && out.depth == in.depth);
        CHECK(out.policy == in.policy && out.state == in.state);
      }
    }
  }
}

TEST(any_configuration_word_has_a_tame_meaning) {
  std::mt19937_64 random(11);
  const auto check_word = [](std::uint64_t word) {
    const Config c = layout::unpack(word);
    CHECK(c.epoch == word >> 32);
    CHECK(c.depth >= 1 && c.depth <= layout::kMaxDepth);
    const std::uint64_t policy = word >> 16 & 0xff;
    const std::uint64_t state = word & 0xff;
    CHECK(c.policy == (policy <= 2 ? static_cast<Policy>(policy) : Policy::drop_oldest));
    CHECK(c.state == (state <= 2 ? static_cast<PageState>(state) : PageState::left));
  };
  for (std::uint64_t low = 0; low < 256; ++low) {
    for (int shift = 0; shift < 64; shift += 8) check_word(low << shift);
  }
  for (int round = 0; round < 300'000; ++round) check_word(random());
}
