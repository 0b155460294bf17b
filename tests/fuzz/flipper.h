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

// Stores its values again and again, as fast as it can: by turns with what was there
// before, steadily, or counting on from them.
class Flipper {
 public:
  Flipper(Input& in, const std::vector<Area>& areas)
      : lies_(read(in, areas)), thread_([this] { flip(); }) {
    while (!running_.load()) std::this_thread::yield();
  }
  ~Flipper() {
    stop_.store(true);
    thread_.join();
  }
  Flipper(const Flipper&) = delete;
  Flipper& operator=(const Flipper&) = delete;

 private:
  enum class Manner { by_turns, steady, counting };
  struct Lie {
    Edit edit;
    Manner manner;
  };
  static std::vector<Lie> read(Input& in, const std::vector<Area>& areas) {
    std::vector<Lie> lies;
    for (unsigned count = 1 + in.below(4); count > 0; --count) {
      const Edit edit = read_edit(in, areas);
      lies.push_back({edit, static_cast<Manner>(in.below(3))});
    }
    return lies;
  }
  void flip() {
    for (std::uint64_t round = 0; !stop_.load(std::memory_order_relaxed); ++round) {
      for (const Lie& lie : lies_) {
        lie.edit.apply(lie.manner == Manner::counting ? round : 0);
      }
      running_.store(true);
      for (const Lie& lie : lies_) {
        if (lie.manner == Manner::by_turns) lie.edit.undo();
      }
    }
  }
  const std::vector<Lie> lies_;
  std::atomic<bool> running_{false};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace fuzz
