// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What the elements before a sink say about themselves by the LATENCY query: do they make
// frames in real time, and how late do those come?
#pragma once

#include <gst/gst.h>

#include <atomic>

namespace possum {

class Upstream {
 public:
  // From any thread: the answer may have changed, ask again with the next frame.
  void forget() { stale_ = true; }
  // Streaming thread. Asks the peer of `sinkpad` if need be. No answer counts as not
  // live.
  void refresh(GstPad* sinkpad);
  // Streaming thread, after refresh().
  bool live() const { return live_; }
  GstClockTime latency() const { return latency_; }

 private:
  std::atomic<bool> stale_{true};
  bool live_ = false;
  GstClockTime latency_ = 0;
};

}  // namespace possum
