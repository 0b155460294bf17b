// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Waiting for what other threads do: always for an event, never for a time, and never for
// ever.
#pragma once

#include <gst/gst.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

#include "require.h"

namespace elements {

// Far beyond what anything takes; CK_TIMEOUT_MULTIPLIER is what Check itself looks at.
inline std::chrono::seconds patience() {
  const char* multiplier = std::getenv("CK_TIMEOUT_MULTIPLIER");
  return std::chrono::seconds{15} * (multiplier ? std::max(1, std::atoi(multiplier)) : 1);
}
inline GstClockTime patience_ns() {
  return static_cast<GstClockTime>(std::chrono::nanoseconds(patience()).count());
}

// Something that another thread makes true.
class Event {
 public:
  void set() {
    const std::scoped_lock lock(mutex_);
    set_ = true;
    changed_.notify_all();
  }
  bool is_set() const {
    const std::scoped_lock lock(mutex_);
    return set_;
  }
  void wait(const std::string& what) {
    std::unique_lock lock(mutex_);
    require(changed_.wait_for(lock, patience(), [this] { return set_; }),
            "never came: " + what);
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  bool set_ = false;
};

// A thread whose end is waited for.
class Task {
 public:
  explicit Task(std::function<void()> work)
      : thread_([this, work = std::move(work)] {
          work();
          done_.set();
        }) {}
  ~Task() { join(); }
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  bool done() const { return done_.is_set(); }
  void join() {
    done_.wait("the end of a thread");
    if (thread_.joinable()) thread_.join();
  }

 private:
  Event done_;
  std::thread thread_;
};

// For what no event tells, such as a counter of another thread.
inline void await(const std::function<bool()>& condition, const std::string& what) {
  const auto end = std::chrono::steady_clock::now() + patience();
  while (!condition()) {
    require(std::chrono::steady_clock::now() < end, "never came: " + what);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

// Counts the emissions of a signal without looking at its arguments.
class SignalCount {
 public:
  SignalCount(gpointer object, const std::string& signal) : object_(object) {
    const auto count = +[](SignalCount* self) {
      const std::scoped_lock lock(self->mutex_);
      ++self->count_;
      self->changed_.notify_all();
    };
    id_ = g_signal_connect_swapped(object, signal.c_str(), G_CALLBACK(count), this);
  }
  ~SignalCount() { g_signal_handler_disconnect(object_, id_); }
  SignalCount(const SignalCount&) = delete;
  SignalCount& operator=(const SignalCount&) = delete;

  unsigned count() const {
    const std::scoped_lock lock(mutex_);
    return count_;
  }
  // Looks at the condition at first and after each emission.
  void wait_until(const std::function<bool()>& condition) {
    for (;;) {
      const unsigned seen = count();
      if (condition()) return;
      std::unique_lock lock(mutex_);
      require(changed_.wait_for(lock, patience(), [&] { return count_ != seen; }),
              "a signal never came");
    }
  }

 private:
  gpointer object_;
  gulong id_ = 0;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  unsigned count_ = 0;
};

inline guint num_readers(GstElement* sink) {
  guint count = 0;
  g_object_get(sink, "num-readers", &count, nullptr);
  return count;
}

inline void wait_readers(GstElement* sink, guint count) {
  SignalCount(sink, "notify::num-readers").wait_until([&] {
    return num_readers(sink) == count;
  });
}

}  // namespace elements
