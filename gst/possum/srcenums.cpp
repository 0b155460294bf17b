// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Registration of the enumerations; the descriptions show up in gst-inspect-1.0.
#include "srcenums.h"

namespace {

constexpr int value_of(possum::Leaky v) { return static_cast<int>(v); }
constexpr int value_of(possum::OnDisconnect v) { return static_cast<int>(v); }
constexpr int value_of(possum::TimestampMode v) { return static_cast<int>(v); }

}  // namespace

GType gst_possum_src_leaky_type_get_type(void) {
  using possum::Leaky;
  static const GEnumValue values[] = {
      {value_of(Leaky::none),
       "Make the writer wait, so that nothing is missed (needs allow-blocking there)",
       "none"},
      {value_of(Leaky::upstream), "Drop the newest frame, keep what waits", "upstream"},
      {value_of(Leaky::downstream), "Drop the oldest frame that waits", "downstream"},
      {0, nullptr, nullptr},
  };
  static const GType type = g_enum_register_static("GstPossumSrcLeakyType", values);
  return type;
}

GType gst_possum_src_on_disconnect_get_type(void) {
  using possum::OnDisconnect;
  static const GEnumValue values[] = {
      {value_of(OnDisconnect::wait), "Wait for the next writer of that channel", "wait"},
      {value_of(OnDisconnect::eos), "End the stream with EOS", "eos"},
      {value_of(OnDisconnect::error), "Post a RESOURCE error", "error"},
      {0, nullptr, nullptr},
  };
  static const GType type = g_enum_register_static("GstPossumSrcOnDisconnect", values);
  return type;
}

GType gst_possum_src_timestamp_mode_get_type(void) {
  using possum::TimestampMode;
  static const GEnumValue values[] = {
      {value_of(TimestampMode::clock),
       "When it was captured or is due at the writer, in running time of this pipeline",
       "clock"},
      {value_of(TimestampMode::running_time),
       "The running times of the writer, for recorded material", "running-time"},
      {0, nullptr, nullptr},
  };
  static const GType type = g_enum_register_static("GstPossumSrcTimestampMode", values);
  return type;
}
