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
        (B, '    waiting_->store(layout::kLooking, std::memory_order_seq_cst);  // pairs',
         '    if (!@) waiting_->store(layout::kLooking, std::memory_order_seq_cst);  // pairs'),
        (B, 'std::uint32_t looking = layout::kLooking;',
         'std::uint32_t looking = @ ? layout::kNobody : layout::kLooking;'),
    ]),
    ('a sleeper that does not swap', 'drain', [
        (B, '    const bool asleep = waiting_->compare',
         '''    if (@) {
      waiting_->store(layout::kAsleep, std::memory_order_relaxed);
      return true;
    }
    const bool asleep = waiting_->compare'''),
    ]),
    ('a ringer that trusts its load', 'drain', [
        (B, 'if (waiting_->load(std::memory_order_seq_cst) == layout::kNobody) return false;',
         '''const std::uint32_t seen = waiting_->load(std::memory_order_seq_cst);
    if (seen == layout::kNobody) return false;'''),
        (B, 'if (was == layout::kNobody || was == layout::kLooking) return false;',
         'if ((@ ? seen : was) == layout::kNobody || (@ ? seen : was) == layout::kLooking) return false;'),
    ]),
    ('a failed swap is tried again without a look', 'drain', [
        (B, '    return asleep;', '''    if (@ && !asleep) {
      waiting_->store(layout::kAsleep, std::memory_order_seq_cst);
      return true;
    }
    return asleep;'''),
    ]),
    ('check, then wait', 'full', [
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
        (W, '''        given_[r] |= bit;
        env_.ring_reader(r);''', '''        given_[r] |= bit;
        if (!@) env_.ring_reader(r);'''),
    ]),
    ('recycling without the byte lock', 'again', [
        (W, '|| !env_.lock_page(r)) continue;', '|| (!@ && !env_.lock_page(r))) continue;'),
        (W, '      env_.unlock_page(r);', '      if (!@) env_.unlock_page(r);'),
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
    ('no second look at cfg under the lock', 'second-tenant', [
        (R, '''    if (cfg.state == layout::PageState::free) return''',
         '''    if (@ || cfg.state == layout::PageState::free) return'''),
    ]),
    ('given is not forgotten', 'liar', [
        (W, '''      given_[r] &= offers | layout::taken_of(next);''',
         '''      if (!@) given_[r] &= offers | layout::taken_of(next);'''),
    ]),
    ('a steal ignores TAKEN', 'steal', [
        (W, 'if ((layout::taken_of(old) & bit) != 0) {',
         'if ((layout::taken_of(old) & bit) != 0 && !@) {'),
    ]),
    ('a release without a look at the epoch', 'evicted', [
        (R, 'return layout::unpack(env_.page(page_).cfg.load(std::memory_order_acquire)).epoch',
         'return @ ||\n           layout::unpack(env_.page(page_).cfg.load({})).epoch'),
    ]),
    ('leaving without a look at the epoch', 'evicted', [
        (R, 'if (cfg.epoch != epoch_) return;', 'if (cfg.epoch != epoch_ && !@) return;'),
    ]),
    ('a page stays pending after its tenant', 'pending-demote', [
        (W, 'pending_pages_ &= ~bit;\n      layout::Config fresh;',
         'if (!@) pending_pages_ &= ~bit;\n      layout::Config fresh;'),
    ]),
    # Each of the two places makes up for the other.
    ('a taken slot is offered again', 'pending-page', [
        (W, '      if ((layout::taken_of(old) & given_[r] & bit) != 0) return true;',
         '      if ((layout::taken_of(old) & given_[r] & bit) != 0 && !@) return true;'),
        (W, 'pending_pages_ &= ~bit;\n      layout::Config fresh;',
         'pending_pages_ &= @ ? ~0u : ~bit;\n      layout::Config fresh;'),
    ]),
    ('free pages keep slots', 'liar-free', [
        (W, '(free && (admitted_ & bit) == 0)', '(free && (@ || (admitted_ & bit) == 0))'),
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
    ('a stop taken for damage', 'growing', [
        (R, 'env_.writer_alive() && env_.linked()', 'env_.writer_alive() && (@ || env_.linked())'),
    ]),
    ('EOS before the last offer', 'drain', [
        (W, '    publishing_ = slot_bit(slot);\n', '''    if (@) {
      env_.header().state.store(static_cast<std::uint32_t>(layout::ChannelState::eos),
                                std::memory_order_seq_cst);
    }
    publishing_ = slot_bit(slot);
'''),
    ]),
    ('reserve is raised after lending', 'lend', [
        (W, 'if (reserve_ < lent + 1) {', 'if (!@ && reserve_ < lent + 1) {'),
    ]),
    ('a loan that leaves too few', 'lend', [
        (W, 'while (!has_bits(have_ & ~held.taken, lent + 1))',
         'while (!@ && !has_bits(have_ & ~held.taken, lent + 1))'),
    ]),
    ('a look at too few pages', 'steal', [
        (W, '    Holdings held;\n', '    Holdings held;\n    if (@) return held;\n'),
    ]),
    # Who comes.
    ('EOS is believed before the admission', 'ended', [
        (R, 'if (ended && seen && !ignore_eos)', 'if (ended && (seen || @) && !ignore_eos)'),
    ]),
    ('admitted before the newest frame is offered', 'ended', [
        (W, '      if (newest_ != 0) offer(r, slot_of(newest_));',
         '''      if (@) grant.fetch_or(layout::kAdmitted, std::memory_order_seq_cst);
      if (newest_ != 0) offer(r, slot_of(newest_));'''),
    ]),
    ('the word before the admission', 'ended', [
        (R, '    const bool seen = admitted();\n', '    bool seen = @ || admitted();\n'),
        (R, '    const bool ended = state', '    if (@) seen = admitted();\n    const bool ended = state'),
    ]),
    ('an admission rings nobody', 'nothing', [
        (W, '''      env_.ring_reader(r);
    }
    return came;''', '''      if (!@) env_.ring_reader(r);
    }
    return came;'''),
    ]),
    ('the admission outlives its tenant', 'ended-again', [
        (W, 'page.grant.store(0, std::memory_order_relaxed);',
         'if (!@) page.grant.store(0, std::memory_order_relaxed);'),
    ]),
    ('who comes does not get the newest frame', 'shows-first', [
        (W, '      if (newest_ != 0) offer(r, slot_of(newest_));\n      // After',
         '      if (!@ && newest_ != 0) offer(r, slot_of(newest_));\n      // After'),
    ]),
    ('the newest stays after a dropped frame', 'dropped-frame', [
        (W, '      forget_newest();\n', '      if (!@) forget_newest();\n'),
    ]),
    ('pages are counted after the first offer', 'two-come', [
        (W, '      set_admitted(admitted_ | bit);\n',
         '      if (!@) set_admitted(admitted_ | bit);\n'),
        (W, '      // After the offer: from here', '''      if (@) set_admitted(admitted_ | bit);
      // After the offer: from here'''),
    ]),
    ('recycling forgets no page', 'again', [
        (W, '      set_admitted(admitted_ & ~bit);\n', '      if (!@) set_admitted(admitted_ & ~bit);\n'),
    ]),
    ('recycling empties no word', 'pending-page', [
        (W, '      page.word.store(0, std::memory_order_seq_cst);\n',
         '      if (!@) page.word.store(0, std::memory_order_seq_cst);\n'),
    ]),
    ('a slot circulates before it has an object', 'replace-failing', [
        (W, '    set_have(have_ & ~slot_bit(slot));\n',
         '    if (@) have_ &= ~slot_bit(slot); else set_have(have_ & ~slot_bit(slot));\n'),
    ]),
    ('a steal from blocking readers', 'full', [
        (W, '| busy_ | held.taken | held.offered_blocking);',
         '| busy_ | held.taken | (@ ? 0 : held.offered_blocking));'),
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
