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

HEADERS = ('writer_core.h', 'reader_core.h', 'bell_core.h', 'offer.h')


def before(text, inserted):
    return text, f'{inserted}\n{text}'


# (rule that is broken, case that must find it, edits). An edit is (shipped, broken), where `@`
# is the switch, or a statement that the mutant leaves out.
MUTANTS = [
    ('readers recycle pages', 'second-tenant', [
        ('if (look().state != layout::PageState::free) continue;',
         'if (look().state != layout::PageState::free && !@) continue;'),
        before('    if (cfg.state == layout::PageState::free) return', '''
    if (@ && cfg.state != layout::PageState::free) {
      env.page(r).word.store(0, std::memory_order_seq_cst);
      return Tenancy{r, cfg.epoch + 1};
    }'''),
    ]),
    ('a sleeper that does not say so', 'drain', [
        'waiting_->store(layout::kLooking, std::memory_order_seq_cst);  // pairs',
        ('std::uint32_t looking = layout::kLooking;',
         'std::uint32_t looking = @ ? layout::kNobody : layout::kLooking;'),
    ]),
    ('a sleeper that does not swap', 'drain', [
        before('    const bool asleep = waiting_->compare', '''
    if (@) {
      waiting_->store(layout::kAsleep, std::memory_order_relaxed);
      return true;
    }'''),
    ]),
    ('a ringer that trusts its load', 'drain', [
        ('if (waiting_->load(std::memory_order_seq_cst) == layout::kNobody) return false;',
         '''const std::uint32_t seen = waiting_->load(std::memory_order_seq_cst);
    if (seen == layout::kNobody) return false;'''),
        ('if (was == layout::kNobody || was == layout::kLooking) return false;',
         'if ((@ ? seen : was) == layout::kNobody || (@ ? seen : was) == layout::kLooking) return false;'),
    ]),
    ('a failed swap is tried again without a look', 'drain', [
        before('    return asleep;', '''
    if (@ && !asleep) {
      waiting_->store(layout::kAsleep, std::memory_order_seq_cst);
      return true;
    }'''),
    ]),
    ('check, then wait', 'full', [
        before('    arm();\n    if (!look())', '''
    if (@) {
      if (look()) return true;
      arm();
      return false;
    }'''),
    ]),
    ('ring before the offer', 'drain', [
        before('      // seq_cst: the reader arms its doorbell, then looks',
               '      if (@) env_.ring_reader(r);'),
        ('given_[r] |= bit;\n        env_.ring_reader(r);',
         'given_[r] |= bit;\n        if (!@) env_.ring_reader(r);'),
    ]),
    ('recycling without the byte lock', 'again', [
        ('if (!env_.lock_page(r)) continue;', 'if (!@ && !env_.lock_page(r)) continue;'),
        '      env_.unlock_page(r);',
    ]),
    ('word before state at the end', 'drain', [
        before('    const auto state = env_.header().state.load', '''
    const std::uint64_t early =
        @ ? env_.page(page_).word.load(std::memory_order_seq_cst) : 0;'''),
        ('if (layout::offered_of(word) != 0) return Next::take;',
         'if (layout::offered_of(@ ? early : word) != 0) return Next::take;'),
    ]),
    ("the reserve rule's loads before the take", 'last-slots', [
        before('      // seq_cst: acquires the slot', '      if (@) early_ = count_copy();'),
        ('    if (leases >= layout::kMaxLeases) return true;\n', '''
    if (leases >= layout::kMaxLeases) return true;
    return @ ? early_ : count_copy();
  }
  mutable bool early_ = false;
  bool count_copy() const {
'''),
    ]),
    ('no second look at cfg under the lock', 'second-tenant', [
        ('    if (cfg.state == layout::PageState::free) return',
         '    if (@ || cfg.state == layout::PageState::free) return'),
    ]),
    ('given is not forgotten', 'liar', ['given_[r] &= offers | layout::taken_of(next);']),
    ('a steal ignores TAKEN', 'steal', [
        ('if ((layout::taken_of(old) & bit) != 0) {',
         'if ((layout::taken_of(old) & bit) != 0 && !@) {'),
    ]),
    ('a release without a look at the epoch', 'evicted', [
        ('return layout::unpack(env_.page(page_).cfg.load(std::memory_order_acquire)).epoch',
         'return @ ||\n           layout::unpack(env_.page(page_).cfg.load({})).epoch'),
    ]),
    ('leaving without a look at the epoch', 'evicted', [
        ('if (cfg.epoch != epoch_) return;', 'if (cfg.epoch != epoch_ && !@) return;'),
    ]),
    ('a page stays pending after its tenant', 'pending-demote', [
        ('pending_pages_ &= ~bit;\n      layout::Config fresh;',
         'if (!@) pending_pages_ &= ~bit;\n      layout::Config fresh;'),
    ]),
    # Each of the two places makes up for the other.
    ('a taken slot is offered again', 'pending-page', [
        ('if ((layout::taken_of(old) & given_[r] & bit) != 0) return true;',
         'if ((layout::taken_of(old) & given_[r] & bit) != 0 && !@) return true;'),
        ('pending_pages_ &= ~bit;\n      layout::Config fresh;',
         'pending_pages_ &= @ ? ~0u : ~bit;\n      layout::Config fresh;'),
    ]),
    ('free pages keep slots', 'liar-free', [
        ('PageState::free && (admitted_ & bit) == 0)', 'PageState::free && (@ || (admitted_ & bit) == 0))'),
    ]),
    ('a reader may hold everything', 'liar-greedy', [
        'if (holds_too_many(layout::taken_of(word) & given_[r])) given_[r] = 0;',
    ]),
    ('release rings before it clears', 'full', [
        before('    env_.page(page_).word.fetch_and(~layout::make_word(0, slot_bit(slot)),',
               '    if (@) env_.ring_writer();'),
        ('    env_.ring_writer();\n  }\n\n  // Gives up',
         '    if (!@) env_.ring_writer();\n  }\n\n  // Gives up'),
    ]),
    ('map after take', 'growing', [
        ('if (object != 0) env_.map(', 'if (object != 0 && !@) env_.map('),
    ]),
    ('a take of what came after mapping', 'growing', [
        ('if ((mapped & bit) == 0) return', 'if ((mapped & bit) == 0 && !@) return'),
    ]),
    ('a stop taken for damage', 'growing', [
        ('env_.writer_alive() && env_.linked()', 'env_.writer_alive() && (@ || env_.linked())'),
    ]),
    ('EOS before the last offer', 'drain', [
        before('    publishing_ = slot_bit(slot);', '''
    if (@) {
      env_.header().state.store(static_cast<std::uint32_t>(layout::ChannelState::eos),
                                std::memory_order_seq_cst);
    }'''),
    ]),
    ('reserve is raised after lending', 'lend', [
        ('if (reserve_ < lent + 1) {', 'if (!@ && reserve_ < lent + 1) {'),
    ]),
    ('a loan that leaves too few', 'lend', [
        ('while (!has_bits(have_ & ~held.taken, lent + 1))',
         'while (!@ && !has_bits(have_ & ~held.taken, lent + 1))'),
    ]),
    ('a look at too few pages', 'steal', [
        ('    Holdings held;\n', '    Holdings held;\n    if (@) return held;\n'),
    ]),
    # Who comes.
    ('EOS is believed before the admission', 'ended', [
        ('if (ended && seen && !ignore_eos)', 'if (ended && (seen || @) && !ignore_eos)'),
    ]),
    ('admitted before the newest frame is offered', 'ended', [
        before('      if (newest_ != 0) offer(r, slot_of(newest_));', '''
      if (@) grant.fetch_or(layout::kAdmitted, std::memory_order_seq_cst);'''),
    ]),
    ('the word before the admission', 'ended', [
        ('const bool seen = admitted();', 'bool seen = @ || admitted();'),
        before('    const bool ended = state', '    if (@) seen = admitted();'),
    ]),
    ('an admission rings nobody', 'nothing', [
        ('      env_.ring_reader(r);\n    }\n    return came;',
         '      if (!@) env_.ring_reader(r);\n    }\n    return came;'),
    ]),
    ('the admission outlives its tenant', 'ended-again', [
        'page.grant.store(0, std::memory_order_relaxed);',
    ]),
    ('who comes does not get the newest frame', 'shows-first', [
        ('if (newest_ != 0) offer(r, slot_of(newest_));\n      // After',
         'if (!@ && newest_ != 0) offer(r, slot_of(newest_));\n      // After'),
    ]),
    ('the newest stays after a dropped frame', 'dropped-frame', ['      forget_newest();\n']),
    ('pages are counted after the first offer', 'two-come', [
        'set_admitted(admitted_ | bit);',
        before('      // After the offer: from here', '      if (@) set_admitted(admitted_ | bit);'),
    ]),
    ('why a page is recycled is read before the lock', 'again', [
        before('      // A free page that is admitted has had',
               '      const layout::Config early = look();'),
        ('left in between.\n      const layout::Config cfg = look();',
         'left in between.\n      const layout::Config cfg = @ ? early : look();'),
    ]),
    ('recycling forgets no page', 'again', ['set_admitted(admitted_ & ~bit);']),
    ('recycling empties no word', 'pending-page', [
        'page.word.store(0, std::memory_order_seq_cst);',
    ]),
    ('a slot circulates before it has an object', 'replace-failing', [
        ('set_have(have_ & ~slot_bit(slot));',
         'if (@) have_ &= ~slot_bit(slot); else set_have(have_ & ~slot_bit(slot));'),
    ]),
    ('a steal from blocking readers', 'full', [
        ('| busy_ | held.taken | held.offered_blocking);',
         '| busy_ | held.taken | (@ ? 0 : held.offered_blocking));'),
    ]),
]


def without_crash_points(text):
    return re.sub(r'^ *POSSUM_CRASH_POINT\(.*\);\n', '', text, flags=re.M)


def main():
    source, output = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])
    text = {name: without_crash_points((source / name).read_text()) for name in HEADERS}
    listing = []
    for number, (rule, case, edits) in enumerate(MUTANTS, 1):
        for edit in edits:
            shipped, broken = edit if isinstance(edit, tuple) else (edit, f'if (!@) {edit}')
            found = [name for name in HEADERS for _ in range(text[name].count(shipped))]
            if len(found) != 1:
                sys.exit(f'{rule}: found in {found}, not once:\n{shipped}')
            switch = f'(mutant_in_hand == {number})'
            text[found[0]] = text[found[0]].replace(shipped, broken.replace('@', switch))
        listing.append(f'    {{{number}, "{rule}", "{case}"}},\n')
    text['offer.h'] = text['offer.h'].replace(
        'namespace possum::transport {', 'namespace possum::transport {\n\ninline int mutant_in_hand = 0;', 1)
    text['bell_core.h'] = text['bell_core.h'].replace(
        '#include <atomic>', '#include <atomic>\n#include "offer.h"', 1)
    output.mkdir(parents=True, exist_ok=True)
    for name, content in text.items():
        (output / name).write_text(content)
    (output / 'mutants.inc').write_text(''.join(listing))


main()
