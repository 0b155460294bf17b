// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Frame rate and frame age as the display program sees them.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>

class Statistics {
 public:
  // A frame was shown; its age is the time since it was captured.
  void add(std::optional<double> age_ms);
  // The writer has gone: the gap until the next frame is not part of any rate.
  void pause();

  std::int64_t shown() const { return shown_; }
  // Over the last second or so, and over everything; 0 before the second frame.
  double recent_fps() const;
  double total_fps() const;
  // Over the last thousands of frames; 0 when no frame had a time.
  double median_age_ms() const;

 private:
  using Clock = std::chrono::steady_clock;

  std::int64_t shown_ = 0;
  std::int64_t intervals_ = 0;
  std::chrono::duration<double> watched_{};
  std::deque<Clock::time_point> recent_;
  std::deque<double> ages_ms_;
};
