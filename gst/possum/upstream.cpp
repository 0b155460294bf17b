// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The LATENCY query and its memory.
#include "upstream.h"

#include "refs.h"

namespace possum {

void Upstream::refresh(GstPad* sinkpad) {
  if (!stale_.load(std::memory_order_relaxed) || !stale_.exchange(false)) return;
  const Ref<GstQuery> query{gst_query_new_latency()};
  gboolean live = FALSE;
  GstClockTime min = 0;
  if (gst_pad_peer_query(sinkpad, query.get())) {
    gst_query_parse_latency(query.get(), &live, &min, nullptr);
  }
  live_ = live;
  latency_ = GST_CLOCK_TIME_IS_VALID(min) ? min : 0;
}

}  // namespace possum
