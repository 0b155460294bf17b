// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The properties of possumsrc: what they are, what they start as, and what they mean to
// the reader.
#pragma once

#include <gst/gst.h>

#include <optional>
#include <string>

#include "base/error.h"
#include "transport/reader.h"

namespace possum {

enum class SrcProperty : guint {
  channel = 1,
  leaky_type,
  max_buffers,
  connection_timeout,
  on_disconnect,
  ignore_eos,
  timestamp_mode,
  is_live,
  allowed_owner,
  copy_frames,
  sigbus_guard,
  stats,
};

enum class Leaky { none, upstream, downstream };
enum class OnDisconnect { wait, eos, error };
enum class TimestampMode { clock, running_time };

struct SrcSettings {
  std::string channel = "default";
  Leaky leaky = Leaky::downstream;
  unsigned max_buffers = 3;
  GstClockTime connection_timeout = 0;  // 0: for ever
  OnDisconnect on_disconnect = OnDisconnect::wait;
  bool ignore_eos = false;
  TimestampMode timestamp_mode = TimestampMode::clock;
  bool is_live = true;
  std::string allowed_owner;  // empty: nobody but this user and root
  bool copy_frames = false;
  bool sigbus_guard = false;

  bool operator==(const SrcSettings&) const = default;
  // False if the property says something of the element's state and is no setting.
  bool set(guint property, const GValue* value);
  bool get(guint property, GValue* value) const;
  // Nothing, and an error, if the allowed owner is unknown.
  std::optional<transport::ReaderOptions> reader_options(Error& error) const;
};

// The read-only one too.
void install_src_properties(GObjectClass* klass);

}  // namespace possum
