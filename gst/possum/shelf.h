// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A few spare objects of one kind, so that a frame needs no allocation once the first
// ones have passed. Lock-free: what downstream lets go of comes from any thread.
#pragma once

#include <array>
#include <atomic>

#include "transport/layout.h"

namespace possum {

// Does not own what lies on it. As many places as slots: more frames than that cannot be
// under way without a copy. A test has an Atomic of its own.
template <class T, template <class> class Atomic = std::atomic>
class Shelf {
 public:
  // NULL when the shelf is empty. transfer full
  T* take() noexcept {
    for (Atomic<T*>& place : places_) {
      if (place.load(std::memory_order_relaxed) == nullptr) continue;
      if (T* const spare = place.exchange(nullptr, std::memory_order_acquire)) {
        return spare;
      }
    }
    return nullptr;
  }
  // False when the shelf is full; else it has taken `spare`.
  bool put(T* spare) noexcept {
    for (Atomic<T*>& place : places_) {
      T* empty = nullptr;
      if (place.load(std::memory_order_relaxed) == nullptr &&
          place.compare_exchange_strong(empty, spare, std::memory_order_release,
                                        std::memory_order_relaxed)) {
        return true;
      }
    }
    return false;
  }

 private:
  std::array<Atomic<T*>, transport::layout::kSlots> places_{};
};

}  // namespace possum
