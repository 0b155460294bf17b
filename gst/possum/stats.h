// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The structures of the "stats" properties, and what the elements count themselves.
#pragma once

#include <gst/gst.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <string>

#include "base/mutex.h"
#include "transport/layout.h"
#include "transport/reader.h"
#include "transport/writer.h"

namespace possum {

// What possumsink counts. From any thread.
class SinkCounters {
 public:
  struct Values {
    std::uint64_t dropped = 0;    // rendered as far as GstBaseSink knows
    std::uint64_t discarded = 0;  // of those, for want of readers
    std::map<std::string, std::uint64_t> metas;
  };

  void count_dropped();
  void count_discarded();
  // True the first time for each name.
  bool count_meta(const std::string& name);
  Values values() const;

 private:
  mutable Mutex lock_;
  Values values_ POSSUM_GUARDED_BY(lock_);
};

// What possumsrc counts. From any thread.
struct SrcCounters {
  std::atomic<std::uint64_t> copied{0};
  std::atomic<std::int64_t> age_ns{transport::layout::kNoTime};  // of the newest frame
};

// `base`: transfer full, from gst_base_sink_get_stats(). Returns it with more fields.
GstStructure* sink_stats(GstStructure* base, const transport::WriterStatistics& writer,
                         const SinkCounters::Values& counted);
// transfer full
GstStructure* src_stats(const transport::ReaderStatistics& reader,
                        const SrcCounters& counted);

}  // namespace possum
