// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Calls functions of the application one after the other, from a thread that does nothing
// else: they may take their time, and nobody waits for them but stop() (event_thread.h).
#pragma once

#include <functional>
#include <vector>

#include "event_thread.h"
#include "mutex.h"

namespace possum {

class Reporter {
 public:
  // Starts the thread. It calls what was reported since the last stop(), and `idle`
  // whenever that is done. Throws std::system_error if there can be no thread.
  void start(std::function<void()> idle) POSSUM_EXCLUDES(mutex_);
  // As EventThread::stop(). What is left is forgotten.
  void stop() POSSUM_EXCLUDES(mutex_);

  // Any thread: calls `function` after those that wait. Nothing of it is touched once it
  // has been called, so it may free what it lies in.
  void report(std::function<void()> function) POSSUM_EXCLUDES(mutex_);
  // Has everything been called?
  bool idle() const POSSUM_EXCLUDES(mutex_);

 private:
  void run(EventThread::Run& thread, const std::function<void()>& idle)
      POSSUM_EXCLUDES(mutex_);

  mutable Mutex mutex_;  // not held in a call
  Condition changed_;
  std::vector<std::function<void()>> reports_ POSSUM_GUARDED_BY(mutex_);
  EventThread thread_;
};

}  // namespace possum
