// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// PROTOCOL.md, "Memory orders", as relacy.cpp checks it: each access of the state
// machines that orders something, the next weaker order, and the scenario that fails with
// it, or why nothing showed a need for the order.
#pragma once

#include "adaptor.h"

namespace model {

struct Needed {
  Change change;
  const char* missed_in;
  Change also = {};  // either access alone would do
};
struct Spare {
  Change change;
  const char* why;
};
using enum memory_order;

inline const Needed kNeeded[] = {
    // The words of the pages.
    {{{"offer", "word", "cas", seq_cst}, acq_rel}, "lossless"},
    {{{"offer", "word", "cas", seq_cst}, acquire}, "dropping"},
    {{{"offer", "word", "load", seq_cst}, acquire}, "lossless"},
    {{{"word_of", "word", "load", seq_cst}, acquire}, "deep kept"},
    {{{"word_of", "word", "load", seq_cst}, acquire}, "lend"},
    {{{"word_of", "word", "load", seq_cst}, relaxed}, "dropping"},
    {{{"word_of", "word", "load", seq_cst}, acquire}, "held"},
    {{{"operator()", "word", "and", acq_rel}, release}, "stealing"},
    {{{"take", "word", "cas", seq_cst}, acq_rel}, "held"},
    {{{"take", "word", "cas", seq_cst}, acq_rel}, "lend"},
    {{{"take", "word", "cas", seq_cst}, acq_rel}, "mixed"},
    {{{"take", "word", "load", acquire}, relaxed},
     "deep",
     {{"map_offered", "word", "load", acquire}, relaxed}},
    {{{"release", "word", "and", seq_cst}, acq_rel}, "deep kept"},
    {{{"release", "word", "and", seq_cst}, acquire}, "dropping"},
    {{{"next", "word", "load", seq_cst}, acquire}, "lossless"},
    {{{"operator()", "word", "load", seq_cst}, acquire}, "mixed"},
    // Who is there. Of the two steps of leaving either would do.
    {{{"enter", "cfg", "store", seq_cst}, release}, "awaited"},
    {{{"view_of", "cfg", "load", seq_cst}, acquire}, "awaited"},
    {{{"leave", "cfg", "cas", seq_cst}, acq_rel},
     "leaving",
     {{"leave", "word", "and", seq_cst}, acq_rel}},
    // The admission.
    {{{"admit", "grant", "or", seq_cst}, relaxed}, "dropping"},
    {{{"admitted", "grant", "load", seq_cst}, relaxed}, "dropping"},
    {{{"set_admitted", "admitted", "store", seq_cst}, release}, "racing"},
    {{{"must_copy", "admitted", "load", seq_cst}, acquire}, "racing"},
    // Doorbells.
    {{{"arm", "waiting", "store", seq_cst}, release}, "lossless"},
    {{{"ring", "waiting", "load", seq_cst}, acquire}, "lossless"},
    {{{"arm", "room", "store", seq_cst}, release}, "deep kept"},
    {{{"ring", "room", "load", seq_cst}, acquire}, "lossless"},
    // The table of slots.
    {{{"make_object", "object", "store", release}, relaxed}, "dropping"},
    {{{"object_of", "object", "load", acquire}, relaxed}, "dropping"},
    // The state.
    {{{"set_eos", "state", "store", seq_cst}, release}, "again"},
    {{{"next", "state", "load", seq_cst}, acquire}, "again"},
    // The reserve rule.
    {{{"set_reserve", "reserve", "store", seq_cst}, release}, "lend"},
    {{{"must_copy", "reserve", "load", seq_cst}, acquire}, "lend"},
};

inline const Spare kSpare[] = {
    {{{"operator()", "word", "and", seq_cst}, relaxed},
     "of flush: the swap either shows the take or prevents it"},
    {{{"recycle", "word", "store", seq_cst}, relaxed}, "the byte lock orders"},
    {{{"recycle", "cfg", "store", seq_cst}, relaxed}, "the byte lock orders"},
    {{{"operator()", "cfg", "load", acquire}, relaxed}, "the byte lock orders"},
    {{{"owns_page", "cfg", "load", acquire}, relaxed}, "a precaution without a partner"},
    {{{"ring", "waiting", "exchange", seq_cst}, relaxed}, "only its being atomic counts"},
    {{{"ring", "room", "exchange", seq_cst}, relaxed}, "only its being atomic counts"},
    {{{"make_fit", "object", "store", release}, relaxed}, "0 announces nothing"},
    {{{"take", "seq", "load", acquire}, relaxed},
     "carried by the offer, which the swap acquires"},
    {{{"seq_of", "seq", "load", acquire}, relaxed},
     "carried by the offer, which the load of the word acquires"},
    {{{"begin_publish", "state", "store", seq_cst}, relaxed},
     "carried by the offers that follow"},
    {{{"flush", "state", "store", seq_cst}, relaxed},
     "an end of stream seen late is one"},
    {{{"set_have", "have", "store", seq_cst}, relaxed},
     "matters only when memory runs out, which no case has"},
    {{{"must_copy", "have", "load", seq_cst}, relaxed}, "as above"},
};

}  // namespace model
