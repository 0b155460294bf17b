// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A thread that does work of its own and now and then calls a function of the
// application. Such a function may do anything: stop the thread, free its owner, or wait
// for another thread that is about to stop this one. So stop() waits for the work without
// a limit, but for a function of the application only so long that one which just ends is
// over when its owner goes on.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <thread>

#include "mutex.h"

namespace possum {

class EventThread {
 public:
  // One thread, as it sees itself.
  class Run {
   public:
    bool stopping() const { return stopping_.load(std::memory_order_seq_cst); }
    // Calls a function of the application, without a lock, unless the thread is to stop.
    // False: it is to stop, so its owner may be gone; touch nothing of it.
    template <class Function>
    bool call(const Function& function) {
      if (!begin_call()) return false;
      function();
      return end_call();
    }

   private:
    friend class EventThread;
    bool begin_call() POSSUM_EXCLUDES(mutex_);
    bool end_call() POSSUM_EXCLUDES(mutex_);
    void end() POSSUM_EXCLUDES(mutex_);
    bool wait_end() POSSUM_EXCLUDES(mutex_);  // false: the application takes too long

    std::atomic<bool> stopping_{false};
    Mutex mutex_;
    Condition changed_;
    bool calling_ POSSUM_GUARDED_BY(mutex_) = false;
    bool ended_ POSSUM_GUARDED_BY(mutex_) = false;
  };

  EventThread();
  ~EventThread();  // stopped, or in a forked child
  EventThread(const EventThread&) = delete;
  EventThread& operator=(const EventThread&) = delete;

  // None runs. Throws std::system_error if there can be no thread, which handles no
  // signal but faults of its own. What `body` refers to lives until stop() has returned,
  // and as long as body() sees to it beyond that.
  void start(std::function<void(Run&)> body);
  // `wake` ends a sleep of the body, which then looks at stopping(). A function of the
  // application that lasts half a second longer goes on by itself, and none follows it.
  // From any thread, also from the thread itself, which waits for nothing. Harmless when
  // none runs, and in a forked child, where none does.
  void stop(const std::function<void()>& wake);

 private:
  const std::uint32_t generation_;
  Mutex mutex_;  // not held in a wait
  std::thread thread_ POSSUM_GUARDED_BY(mutex_);
  std::shared_ptr<Run> run_ POSSUM_GUARDED_BY(mutex_);
};

}  // namespace possum
