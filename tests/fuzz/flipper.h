// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A second thread that lies while the first works.
#pragma once

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "fuzz.h"

namespace fuzz {

// Lies and honest values by turns, as fast as it can.
class Flipper {
 public:
  explicit Flipper(std::vector<Edit> edits)
      : edits_(std::move(edits)), thread_([this] { flip(); }) {
    while (!running_.load()) std::this_thread::yield();
  }
  ~Flipper() {
    stop_.store(true);
    thread_.join();
  }

 private:
  void flip() {
    while (!stop_.load(std::memory_order_relaxed)) {
      for (const Edit& edit : edits_) edit.apply();
      running_.store(true);
      for (const Edit& edit : edits_) edit.undo();
    }
  }
  const std::vector<Edit> edits_;
  std::atomic<bool> running_{false};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace fuzz
