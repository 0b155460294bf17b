// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "event_thread.h"

#include <signal.h>

#include <utility>

#include "clock.h"
#include "fork_guard.h"

namespace possum {
namespace {

// How long stop() waits for a function of the application.
constexpr std::int64_t kCallNs = 500'000'000;

// A thread that starts meanwhile handles no signal of the program, whose own waits would
// not notice. Faults stay: they belong to the thread that makes them.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    for (const int fault : {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGABRT, SIGTRAP, SIGSYS}) {
      sigdelset(&all, fault);
    }
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

bool EventThread::Run::begin_call() {
  const MutexLock lock(mutex_);
  if (stopping()) return false;
  calling_ = true;
  changed_.notify_all();
  return true;
}

bool EventThread::Run::end_call() {
  const MutexLock lock(mutex_);
  calling_ = false;
  return !stopping();
}

void EventThread::Run::end() {
  const MutexLock lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

bool EventThread::Run::wait_end() {
  const MutexLock lock(mutex_);
  while (!ended_ && !calling_) changed_.wait(mutex_);
  const std::int64_t deadline_ns = monotonic_ns() + kCallNs;
  while (!ended_ && changed_.wait_until(mutex_, deadline_ns)) {
  }
  return ended_;
}

EventThread::EventThread() : generation_(process_generation()) {}

EventThread::~EventThread() {
  if (thread_.joinable()) thread_.detach();
}

void EventThread::start(std::function<void(Run&)> body) {
  auto run = std::make_shared<Run>();
  const MutexLock lock(mutex_);
  const SignalsBlocked blocked;
  thread_ = std::thread([run, body = std::move(body)]() mutable {
    body(*run);
    body = nullptr;
    run->end();
  });
  run_ = std::move(run);
}

void EventThread::stop(const std::function<void()>& wake) {
  if (generation_ != process_generation()) return;
  std::thread thread;
  std::shared_ptr<Run> run;
  {
    const MutexLock lock(mutex_);
    thread = std::move(thread_);
    run = std::move(run_);
  }
  if (!run) return;
  run->stopping_.store(true, std::memory_order_seq_cst);
  wake();
  const bool from_within = thread.get_id() == std::this_thread::get_id();
  !from_within && run->wait_end() ? thread.join() : thread.detach();
}

}  // namespace possum
