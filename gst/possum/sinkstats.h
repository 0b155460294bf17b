// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What possumsink counts itself, and the structure of its "stats" property.
#pragma once

#include <gst/gst.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

#include "transport/writer.h"

namespace possum {

// From any thread.
class SinkCounters {
 public:
  struct Values {
    std::uint64_t dropped = 0;    // rendered as far as GstBaseSink knows
    std::uint64_t discarded = 0;  // of those, for want of readers
    std::map<std::string, std::uint64_t> metas;
  };

  void reset();
  void count_dropped();
  void count_discarded();
  // True the first time for each name.
  bool count_meta(const std::string& name);
  Values values() const;

 private:
  mutable std::mutex lock_;
  Values values_;  // guarded by lock_
};

// `base`: transfer full, from gst_base_sink_get_stats(). Returns it with more fields.
GstStructure* sink_stats(GstStructure* base, const transport::WriterStatistics& writer,
                         const SinkCounters& counters);

}  // namespace possum
