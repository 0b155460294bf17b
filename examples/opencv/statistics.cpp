// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Frame rate and frame age as the display program sees them.
#include "statistics.h"

#include <algorithm>
#include <vector>

namespace {

constexpr std::chrono::seconds kRecent{1};
constexpr std::size_t kMostAges = 10'000;

}  // namespace

void Statistics::add(std::optional<double> age_ms) {
  ++shown_;
  const auto now = Clock::now();
  if (!recent_.empty()) {
    ++intervals_;
    watched_ += now - recent_.back();
  }
  recent_.push_back(now);
  while (recent_.size() > 2 && now - recent_.front() > kRecent) recent_.pop_front();
  if (!age_ms) return;
  ages_ms_.push_back(*age_ms);
  if (ages_ms_.size() > kMostAges) ages_ms_.pop_front();
}

void Statistics::pause() { recent_.clear(); }

double Statistics::recent_fps() const {
  if (recent_.size() < 2) return 0;
  const std::chrono::duration<double> span = recent_.back() - recent_.front();
  return static_cast<double>(recent_.size() - 1) / span.count();
}

double Statistics::total_fps() const {
  return intervals_ > 0 ? static_cast<double>(intervals_) / watched_.count() : 0;
}

double Statistics::median_age_ms() const {
  if (ages_ms_.empty()) return 0;
  std::vector<double> ages(ages_ms_.begin(), ages_ms_.end());
  const auto middle = ages.begin() + static_cast<std::ptrdiff_t>(ages.size() / 2);
  std::nth_element(ages.begin(), middle, ages.end());
  return *middle;
}
