// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// PROTOCOL.md, "Memory orders", as relacy.cpp checks it: each access of the state
// machines that orders something, the next weaker order, and the scenario that fails with
// it. Two changes in one row: either access alone would do.
#pragma once

#include "adaptor.h"

namespace model {

struct Row {
  Changes changes;
  // The scenario that fails with it. None: nothing showed a need for the order.
  const char* missed_in;
  const char* why_spare = nullptr;
};
using enum memory_order;
inline const Row kRows[] = {
    // The words of the pages.
    {{Change{{"offer", "word", "cas", seq_cst}, acq_rel}}, "lossless"},
    {{Change{{"offer", "word", "cas", seq_cst}, acquire}}, "dropping"},
    {{Change{{"offer", "word", "load", seq_cst}, acquire}}, "lossless"},
    {{Change{{"word_of", "word", "load", seq_cst}, acquire}}, "deep kept"},
    {{Change{{"word_of", "word", "load", seq_cst}, acquire}}, "lend"},
    {{Change{{"word_of", "word", "load", seq_cst}, relaxed}}, "dropping"},
    {{Change{{"word_of", "word", "load", seq_cst}, acquire}}, "held"},
    {{Change{{"operator()", "word", "and", acq_rel}, release}}, "stealing"},
    {{Change{{"take", "word", "cas", seq_cst}, acq_rel}}, "held"},
    {{Change{{"take", "word", "cas", seq_cst}, acq_rel}}, "lend"},
    {{Change{{"take", "word", "cas", seq_cst}, acq_rel}}, "mixed"},
    {{Change{{"take", "word", "load", acquire}, relaxed},
      Change{{"map_offered", "word", "load", acquire}, relaxed}},
     "deep"},
    {{Change{{"release", "word", "and", seq_cst}, acq_rel}}, "deep kept"},
    {{Change{{"release", "word", "and", seq_cst}, acquire}}, "dropping"},
    {{Change{{"next", "word", "load", seq_cst}, acquire}}, "lossless"},
    {{Change{{"operator()", "word", "load", seq_cst}, acquire}}, "mixed"},
    {{Change{{"operator()", "word", "and", seq_cst}, relaxed}},
     nullptr,
     "of flush: the swap either shows the take or prevents it"},
    {{Change{{"recycle", "word", "store", seq_cst}, relaxed}},
     nullptr,
     "the byte lock orders"},
    // Who is there. Of the two steps of leaving either would do.
    {{Change{{"enter", "cfg", "store", seq_cst}, release}}, "awaited"},
    {{Change{{"view_of", "cfg", "load", seq_cst}, acquire}}, "awaited"},
    {{Change{{"leave", "cfg", "cas", seq_cst}, acq_rel},
      Change{{"leave", "word", "and", seq_cst}, acq_rel}},
     "leaving"},
    {{Change{{"recycle", "cfg", "store", seq_cst}, relaxed}},
     nullptr,
     "the byte lock orders"},
    {{Change{{"recycle", "cfg", "load", acquire}, relaxed}},
     nullptr,
     "the byte lock orders"},
    {{Change{{"operator()", "cfg", "load", acquire}, relaxed}},
     nullptr,
     "the byte lock orders"},
    {{Change{{"owns_page", "cfg", "load", acquire}, relaxed}},
     nullptr,
     "a precaution without a partner"},
    // The admission.
    {{Change{{"admit", "grant", "or", seq_cst}, relaxed}}, "dropping"},
    {{Change{{"admitted", "grant", "load", seq_cst}, relaxed}}, "dropping"},
    {{Change{{"set_admitted", "admitted", "store", seq_cst}, release}}, "racing"},
    {{Change{{"must_copy", "admitted", "load", seq_cst}, acquire}}, "racing"},
    // Doorbells.
    {{Change{{"arm", "waiting", "store", seq_cst}, release}}, "lossless"},
    {{Change{{"ring", "waiting", "load", seq_cst}, acquire}}, "lossless"},
    {{Change{{"ring", "waiting", "exchange", seq_cst}, relaxed}},
     nullptr,
     "only its being atomic counts"},
    {{Change{{"arm", "room", "store", seq_cst}, release}}, "deep kept"},
    {{Change{{"ring", "room", "load", seq_cst}, acquire}}, "lossless"},
    {{Change{{"ring", "room", "exchange", seq_cst}, relaxed}},
     nullptr,
     "only its being atomic counts"},
    // The table of slots.
    {{Change{{"make_object", "object", "store", release}, relaxed}}, "dropping"},
    {{Change{{"object_of", "object", "load", acquire}, relaxed}}, "dropping"},
    {{Change{{"make_fit", "object", "store", release}, relaxed}},
     nullptr,
     "0 announces nothing"},
    {{Change{{"take", "seq", "load", acquire}, relaxed}},
     nullptr,
     "carried by the offer, which the swap acquires"},
    {{Change{{"seq_of", "seq", "load", acquire}, relaxed}},
     nullptr,
     "carried by the offer, which the load of the word acquires"},
    // The state.
    {{Change{{"set_eos", "state", "store", seq_cst}, release}}, "again"},
    {{Change{{"next", "state", "load", seq_cst}, acquire}}, "again"},
    {{Change{{"begin_publish", "state", "store", seq_cst}, relaxed}},
     nullptr,
     "carried by the offers that follow"},
    {{Change{{"flush", "state", "store", seq_cst}, relaxed}},
     nullptr,
     "an end of stream seen late is one"},
    // The reserve rule.
    {{Change{{"set_reserve", "reserve", "store", seq_cst}, release}}, "lend"},
    {{Change{{"must_copy", "reserve", "load", seq_cst}, acquire}}, "lend"},
    {{Change{{"set_have", "have", "store", seq_cst}, relaxed}},
     nullptr,
     "matters only when memory runs out, which no case has"},
    {{Change{{"must_copy", "have", "load", seq_cst}, relaxed}}, nullptr, "as above"},
};

inline bool in_table(const Site& site) {
  for (const Row& row : kRows) {
    for (const Change& change : row.changes) {
      if (change.site == site) return true;
    }
  }
  return false;
}

inline bool recorded(const Site& site) {
  for (unsigned i = 0; i < site_count; ++i) {
    if (sites[i] == site) return true;
  }
  return false;
}

inline bool weaker_than(memory_order weaker, const Site& site) {
  const bool load = site.access == "load";
  const bool store = site.access == "store";
  if (weaker >= site.order) return false;
  if (load) return weaker == acquire || weaker == relaxed;
  if (store) return weaker == release || weaker == relaxed;
  return true;
}

}  // namespace model
