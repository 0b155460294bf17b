// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "event_thread.h"

#include <chrono>
#include <utility>

#include "fork_guard.h"

namespace possum {
namespace {

constexpr std::chrono::milliseconds kPatience{500};

}  // namespace

bool EventThread::Run::begin_call() {
  const std::lock_guard lock(mutex_);
  if (stopping()) return false;
  calling_ = true;
  changed_.notify_all();
  return true;
}

bool EventThread::Run::end_call() {
  const std::lock_guard lock(mutex_);
  calling_ = false;
  return !stopping();
}

void EventThread::Run::end() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

bool EventThread::Run::wait_end() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return ended_ || calling_; });
  return changed_.wait_for(lock, kPatience, [this] { return ended_; });
}

EventThread::EventThread() : generation_(process_generation()) {}

EventThread::~EventThread() {
  if (thread_.joinable()) thread_.detach();
}

void EventThread::start(std::function<void(Run&)> body) {
  auto run = std::make_shared<Run>();
  const std::lock_guard lock(mutex_);
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
    const std::lock_guard lock(mutex_);
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
