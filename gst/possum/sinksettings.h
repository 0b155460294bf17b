// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The properties of possumsink: what they are, what they start as, and what they mean to
// the writer.
#pragma once

#include <gst/gst.h>

#include <optional>
#include <string>

#include "base/error.h"
#include "transport/writer.h"

namespace possum {

enum class SinkProperty : guint {
  channel = 1,
  slots,
  perms,
  group,
  min_readers,
  allow_blocking,
  max_blocking_time,
  sigbus_guard,
  num_readers,
  stats,
};

struct SinkSettings {
  std::string channel = "default";
  guint slots = 16;
  guint perms = 0600;
  std::string group;  // empty: none
  guint min_readers = 0;
  bool allow_blocking = false;
  GstClockTime max_blocking_time = GST_CLOCK_TIME_NONE;
  bool sigbus_guard = false;

  bool operator==(const SinkSettings&) const = default;
  // False if the property says something of the element's state and is no setting.
  bool set(guint property, const GValue* value);
  bool get(guint property, GValue* value) const;
  // Nothing, and an error, if the group is unknown.
  std::optional<transport::WriterOptions> writer_options(Error& error) const;
};

// The read-only ones too.
void install_sink_properties(GObjectClass* klass);

}  // namespace possum
