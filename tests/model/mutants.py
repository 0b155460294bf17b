#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
# Copyright (C) 2026 the possum authors
"""Copies the headers of the state machines and puts one known bug for each rule into the
copies, behind a switch. A text that is not found exactly once ends the build: the bug has
to follow the code.

usage: mutants.py HEADER_DIRECTORY OUTPUT_DIRECTORY
"""
import pathlib
import re
import sys

W, R, B, O = 'writer_core.h', 'reader_core.h', 'bell_core.h', 'offer.h'

# (rule that is broken, case that must find it, [(file, shipped, broken)...]);
# `@` in the broken text is the switch.
MUTANTS = [
    ('a claim step at attach', 'attach', [
        (R, '''    layout::Config cfg;
    cfg.epoch = epoch_;
    cfg.depth = static_cast''', '''    if (@) {
      auto& word = env_.page(page_).word;
      std::uint64_t w = word.load(std::memory_order_acquire);
      const std::uint64_t claimed =
          layout::make_word(0, layout::taken_of(w) | layout::offered_of(w));
      if (word.compare_exchange_strong(w, claimed, std::memory_order_seq_cst)) {
        claimed_ = layout::offered_of(w);
      }
    }
    layout::Config cfg;
    cfg.epoch = epoch_;
    cfg.depth = static_cast'''),
        (R, '''    auto& own = env_.page(page_).word;
''', '''    auto& own = env_.page(page_).word;
    if (@ && claimed_ != 0) {
      const auto slot = static_cast<unsigned>(std::countr_zero(claimed_));
      claimed_ = 0;
      return Taken{slot, seq_of(slot)};
    }
'''),
        (R, '''  const std::uint32_t epoch_;
};''', '''  const std::uint32_t epoch_;
  std::uint32_t claimed_ = 0;
};'''),
    ]),
    ('readers recycle pages', 'second-tenant', [
        (R, 'if (look().state != layout::PageState::free) continue;',
         'if (look().state != layout::PageState::free && !@) continue;'),
        (R, '''    if (cfg.state == layout::PageState::free) return''',
         '''    if (@ && cfg.state != layout::PageState::free) {
      env.page(r).word.store(0, std::memory_order_seq_cst);
      return Tenancy{r, cfg.epoch + 1};
    }
    if (cfg.state == layout::PageState::free) return'''),
    ]),
    ('a sleeper that does not say so', 'drain', [
        (B, '    waiting_->store(1, std::memory_order_seq_cst);  // pairs',
         '    if (!@) waiting_->store(1, std::memory_order_seq_cst);  // pairs'),
        ]),
    ('check, then wait', 'drain', [
        (B, '''    arm();
    if (!look()) return false;''', '''    if (@) {
      if (look()) return true;
      arm();
      return false;
    }
    arm();
    if (!look()) return false;'''),
    ]),
    ('ring before the offer', 'drain', [
        (W, '''      // seq_cst: the reader arms its doorbell, then looks''',
         '''      if (@) env_.ring_reader(r);
      // seq_cst: the reader arms its doorbell, then looks'''),
        (W, '''        given_[r] |= slot_bit(slot);
        env_.ring_reader(r);''', '''        given_[r] |= slot_bit(slot);
        if (!@) env_.ring_reader(r);'''),
    ]),
    ('recycling without the byte lock', 'again', [
        (W, '|| !env_.lock_page(r)) continue;', '|| (!@ && !env_.lock_page(r))) continue;'),
        (W, '      env_.unlock_page(r);', '      if (!@) env_.unlock_page(r);'),
    ]),
    ('word 0 instead of {latest}', 'second-tenant', [
        (W, '= newest_bit();\n      page', '= @ ? 0 : newest_bit();\n      page'),
    ]),
    ('word before state at the end', 'drain', [
        (R, '    const auto state = env_.header().state.load',
         '''    const std::uint64_t early =
        @ ? env_.page(page_).word.load(std::memory_order_seq_cst) : 0;
    const auto state = env_.header().state.load'''),
        (R, '''    if (layout::offered_of(word) != 0) return Next::take;''',
         '''    if (layout::offered_of(@ ? early : word) != 0) return Next::take;'''),
    ]),
    ("the reserve rule's loads before the take", 'last-slots', [
        (R, '      // seq_cst: acquires the slot', '''      if (@) early_ = count_copy();
      // seq_cst: acquires the slot'''),
        (R, '''    if (leases >= layout::kMaxLeases) return true;
''', '''    if (leases >= layout::kMaxLeases) return true;
    return @ ? early_ : count_copy();
  }
  mutable bool early_ = false;
  bool count_copy() const {
'''),
    ]),
    ('dropping without withdrawing standing offers', 'standing-offer', [
        (W, 'if (withdraw_standing_offer())', 'if (@ || withdraw_standing_offer())'),
    ]),
    ('a reader that came gets the standing offer renewed', 'shows-first', [
        (W, 'if (cfg.state != layout::PageState::free) return false;',
         'if (cfg.state != layout::PageState::free && !@) return false;'),
    ]),
    ('a renewed standing offer rings nobody', 'attach', [
        (W, 'env_.ring_reader(r);  // somebody may have come meanwhile',
         'if (!@) env_.ring_reader(r);'),
    ]),
    ('no second look at cfg under the lock', 'second-tenant', [
        (R, '''    if (cfg.state == layout::PageState::free) return''',
         '''    if (@ || cfg.state == layout::PageState::free) return'''),
    ]),
    ('given is not forgotten', 'liar', [
        (W, '''      given_[r] &= layout::offered_of(next) | layout::taken_of(next);''',
         '''      if (!@) given_[r] &= layout::offered_of(next) | layout::taken_of(next);'''),
    ]),
    ('a steal ignores TAKEN', 'steal', [
        (W, 'if ((layout::taken_of(old) & bit) != 0) {',
         'if ((layout::taken_of(old) & bit) != 0 && !@) {'),
    ]),
    ('latest is stolen without FREE pages', 'newest', [
        (W, '      if ((given_[r] & bit) == 0) continue;',
         '''      if ((given_[r] & bit) == 0) continue;
      if (@ && view_of(r).state == layout::PageState::free) continue;'''),
    ]),
    ('a release without a look at the epoch', 'evicted', [
        (R, 'return layout::unpack(env_.page(page_).cfg.load(std::memory_order_acquire)).epoch',
         'return @ ||\n           layout::unpack(env_.page(page_).cfg.load({})).epoch'),
    ]),
    ('leaving without a look at the epoch', 'evicted', [
        (R, 'if (cfg.epoch != epoch_) return;', 'if (cfg.epoch != epoch_ && !@) return;'),
    ]),
    ('a page stays pending after its tenant', 'pending-demote', [
        (W, 'pending_pages_ &= ~slot_bit(r);\n      layout::Config fresh;',
         'if (!@) pending_pages_ &= ~slot_bit(r);\n      layout::Config fresh;'),
    ]),
    # Each of the two places makes up for the other.
    ('a taken slot is offered again', 'pending-page', [
        (W, '      if ((layout::taken_of(word) & given_[r] & slot_bit(slot)) != 0) return true;',
         '''      if ((layout::taken_of(word) & given_[r] & slot_bit(slot)) != 0 && !@) return true;'''),
        (W, 'pending_pages_ &= ~slot_bit(r);\n      layout::Config fresh;',
         'pending_pages_ &= @ ? ~0u : ~slot_bit(r);\n      layout::Config fresh;'),
    ]),
    ('roomy stays while the pool shrinks', 'replace-failing', [
        (W, '''    env_.header().roomy.store(0, std::memory_order_seq_cst);
    have_ &=''', '''    if (!@) env_.header().roomy.store(0, std::memory_order_seq_cst);
    have_ &='''),
    ]),
    ('an object that could not be made', 'growing-ahead', [
        (W, 'if (object != 0) announce', 'if (object != 0 || @) announce'),
    ]),
    ('an entry that is not reserved', 'growing-ahead', [
        (W, 'void reserve_entry(unsigned slot) { pending_',
         'void reserve_entry(unsigned slot) { if (!@) pending_'),
    ]),
    ('free pages keep slots', 'liar-free', [
        (W, '(free && !holds_slots(r))', '(free && (@ || !holds_slots(r)))'),
    ]),
    ('a reader may hold everything', 'liar-greedy', [
        (W, 'if (holds_too_many(layout::taken_of(word) & given_[r])) given_[r] = 0;',
         'if (!@ && holds_too_many(layout::taken_of(word) & given_[r])) given_[r] = 0;'),
    ]),
    ('release rings before it clears', 'full', [
        (R, '    env_.page(page_).word.fetch_and(~layout::make_word(0, slot_bit(slot)),',
         '''    if (@) env_.ring_writer();
    env_.page(page_).word.fetch_and(~layout::make_word(0, slot_bit(slot)),'''),
        (R, '''                                    std::memory_order_seq_cst);
    env_.ring_writer();
  }

  // Gives up''', '''                                    std::memory_order_seq_cst);
    if (!@) env_.ring_writer();
  }

  // Gives up'''),
    ]),
    ('map after take', 'growing', [
        (R, '''      if (object != 0) env_.map(''', '''      if (object != 0 && !@) env_.map('''),
    ]),
    ('a take of what came after mapping', 'growing', [
        (R, 'if ((mapped & bit) == 0) return', 'if ((mapped & bit) == 0 && !@) return'),
    ]),
    ('a stop taken for damage', 'drain', [
        (R, 'env_.writer_alive() && env_.linked()', 'env_.writer_alive() && (@ || env_.linked())'),
    ]),
    ('EOS before the last offer', 'drain', [
        (W, '''    const std::uint32_t newest = newest_bit();
    const Scan s = scan_for(~newest);
    const std::uint32_t used''', '''    if (@) {
      env_.header().state.store(static_cast<std::uint32_t>(layout::ChannelState::eos),
                                std::memory_order_seq_cst);
    }
    const std::uint32_t newest = newest_bit();
    const Scan s = scan_for(~newest);
    const std::uint32_t used'''),
    ]),
    ('reserve is raised after lending', 'lend', [
        (W, 'if (reserve_ < lent + 1) {', 'if (!@ && reserve_ < lent + 1) {'),
    ]),
    ('lending does not clear roomy', 'lend', [
        (W, '''      env_.header().roomy.store(0, std::memory_order_seq_cst);
      set_reserve(lent''', '''      if (!@) env_.header().roomy.store(0, std::memory_order_seq_cst);
      set_reserve(lent'''),
    ]),
    ('a look at too few pages', 'steal', [
        (W, 'Scan scan_for(std::uint32_t slots) {', 'Scan scan_for(std::uint32_t slots) {\n    if (@) return {};'),
    ]),
    ('a steal from blocking readers', 'full', [
        (W, '| busy_ | s.taken | s.offered_blocking);',
         '| busy_ | s.taken | (@ ? 0 : s.offered_blocking));'),
    ]),
]


def without_crash_points(text):
    return re.sub(r'^ *POSSUM_CRASH_POINT\(.*\);\n', '', text, flags=re.M)


def main():
    source, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    text = {name: without_crash_points((source / name).read_text())
            for name in (W, R, B, O)}
    listing = []
    for number, (rule, case, edits) in enumerate(MUTANTS, 1):
        for name, shipped, broken in edits:
            if text[name].count(shipped) != 1:
                sys.exit(f'{rule}: not found once in {name}:\n{shipped}')
            switch = f'(mutant_in_hand == {number})'
            text[name] = text[name].replace(shipped, broken.replace('@', switch))
        listing.append(f'    {{{number}, "{rule}", "{case}"}},\n')
    text[O] = text[O].replace(
        'namespace possum::transport {', 'namespace possum::transport {\n\ninline int mutant_in_hand = 0;', 1)
    text[B] = text[B].replace('#include <atomic>', '#include <atomic>\n#include "offer.h"', 1)
    output.mkdir(parents=True, exist_ok=True)
    for name, content in text.items():
        (output / name).write_text(content)
    (output / 'mutants.inc').write_text(''.join(listing))


main()
