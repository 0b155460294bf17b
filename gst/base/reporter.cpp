// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "reporter.h"

#include <utility>

namespace possum {

void Reporter::start(std::function<void()> idle) {
  thread_.start(
      [this, idle = std::move(idle)](EventThread::Run& thread) { run(thread, idle); });
}

void Reporter::stop() {
  thread_.stop([this] {
    const MutexLock lock(mutex_);
    changed_.notify_all();
  });
  const MutexLock lock(mutex_);
  reports_.clear();
}

void Reporter::report(std::function<void()> function) {
  const MutexLock lock(mutex_);
  reports_.push_back(std::move(function));
  changed_.notify_all();
}

bool Reporter::idle() const {
  const MutexLock lock(mutex_);
  return reports_.empty();
}

void Reporter::run(EventThread::Run& thread, const std::function<void()>& idle) {
  for (;;) {
    std::function<void()> function;
    {
      const MutexLock lock(mutex_);
      while (!thread.stopping() && reports_.empty()) changed_.wait(mutex_);
      if (thread.stopping()) return;
      function = reports_.front();
    }
    // False: stopped by this function or meanwhile, and this object may be gone.
    if (!thread.call(function)) return;
    bool done = false;
    {
      const MutexLock lock(mutex_);
      reports_.erase(reports_.begin());
      done = reports_.empty();
    }
    if (done) idle();
  }
}

}  // namespace possum
