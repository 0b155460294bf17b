// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Everything that the handlers call is async-signal-safe: lock-free atomics and plain
// system calls.
#include "bus_guard.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>

namespace possum {
namespace {

// One place for a region. `version` counts the changes of its place: 0 modulo 4 free, 1
// being filled or emptied, 2 live. A reader that finds it live and the same afterwards
// has read one region's values. One that changes meanwhile is not the region in which
// the reading thread faulted, because that one cannot go before the access is done.
struct Entry {
  std::atomic<std::uint64_t> version;
  std::atomic<std::uintptr_t> begin;
  std::atomic<std::size_t> bytes;
  std::atomic<int> protection;
  std::atomic<bool> damaged;
  std::atomic<std::size_t> drawable;  // from this offset on; kNotDrawable
  std::atomic<unsigned> writes;       // that were let through since the last restore()
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
static_assert(std::atomic<std::uintptr_t>::is_always_lock_free);
static_assert(std::atomic<bool>::is_always_lock_free);

constexpr std::size_t kNotDrawable = SIZE_MAX;
// Each thread that draws on a frame comes once, or a few times when they race. What comes
// for ever is no write, and has to end the process.
constexpr unsigned kMostWrites = 10'000;

constexpr std::uint64_t kFree = 0;
constexpr std::uint64_t kChanging = 1;
constexpr std::uint64_t kLive = 2;
constexpr std::uint64_t kNextTenant = 4;

constexpr std::uint64_t state_of(std::uint64_t version) { return version % kNextTenant; }

// Without constructor and destructor: a fault may come before and after everything else.
constinit std::array<Entry, GuardedRegion::kMaxRegions> table{};
constinit std::atomic<std::uint64_t> faults{0};
constinit std::atomic<unsigned> drawable_regions{0};

// What was there before; constant once the handler is installed.
struct Earlier {
  struct sigaction action;
  std::atomic<bool> spent;
};
constinit Earlier before_bus{};
constinit Earlier before_segv{};

Entry* find(std::uintptr_t address) {
  for (Entry& entry : table) {
    const std::uint64_t version = entry.version.load(std::memory_order_acquire);
    if (state_of(version) != kLive) continue;
    const std::uintptr_t begin = entry.begin.load(std::memory_order_relaxed);
    const std::size_t bytes = entry.bytes.load(std::memory_order_relaxed);
    if (address < begin || address - begin >= bytes) continue;
    // Pairs with the release stores of whoever changed the entry meanwhile.
    std::atomic_thread_fence(std::memory_order_acquire);
    if (entry.version.load(std::memory_order_relaxed) == version) return &entry;
  }
  return nullptr;
}

// All of it: a channel that lost one page is worth nothing, and the next page would fault
// next. Threads that fault in it at once do it twice, which leaves zeros again.
bool replace(Entry& entry) {
  void* const begin =
      reinterpret_cast<void*>(entry.begin.load(std::memory_order_relaxed));
  const std::size_t bytes = entry.bytes.load(std::memory_order_relaxed);
  const int protection = entry.protection.load(std::memory_order_relaxed);
  entry.damaged.store(true, std::memory_order_relaxed);
  if (mmap(begin, bytes, protection,
           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1,
           0) == MAP_FAILED) {
    return false;
  }
  faults.fetch_add(1, std::memory_order_release);
  return true;
}

// All that may be drawn on: whoever draws goes on to the next page. Threads that come at
// once do it twice.
bool let_draw(Entry& entry, std::uintptr_t address) {
  const std::uintptr_t begin = entry.begin.load(std::memory_order_relaxed);
  const std::size_t from = entry.drawable.load(std::memory_order_relaxed);
  if (from == kNotDrawable || address - begin < from) return false;
  if (entry.writes.fetch_add(1, std::memory_order_relaxed) >= kMostWrites) return false;
  return mprotect(reinterpret_cast<void*>(begin + from),
                  entry.bytes.load(std::memory_order_relaxed) - from,
                  PROT_READ | PROT_WRITE) == 0;
}

// The access will be tried again on return: nothing has to be sent anew.
bool comes_again(int number, const siginfo_t& info) {
  if (number == SIGSEGV) return info.si_code > 0;  // the kernel's, all of them
  return info.si_code == BUS_ADRALN || info.si_code == BUS_ADRERR ||
         info.si_code == BUS_OBJERR || info.si_code == BUS_MCEERR_AR;
}

void die_by_default(int number, const siginfo_t& info) {
  struct sigaction fallback {};
  fallback.sa_handler = SIG_DFL;
  sigaction(number, &fallback, nullptr);
  if (!comes_again(number, info)) raise(number);  // delivered when the handler returns
}

// The signals that the kernel would have blocked for the earlier handler.
void set_mask_of(const struct sigaction& previous, int number,
                 const ucontext_t& interrupted) {
  sigset_t mask = interrupted.uc_sigmask;
  for (int s = 1; s <= SIGRTMAX; ++s) {
    if (sigismember(&previous.sa_mask, s) == 1) sigaddset(&mask, s);
  }
  if ((previous.sa_flags & SA_NODEFER) == 0) sigaddset(&mask, number);
  pthread_sigmask(SIG_SETMASK, &mask, nullptr);
}

void chain(Earlier& before, int number, siginfo_t* info, void* context) {
  const struct sigaction& previous = before.action;
  const bool with_info = (previous.sa_flags & SA_SIGINFO) != 0;
  const bool ignored = !with_info && previous.sa_handler == SIG_IGN;
  // A fault cannot be ignored; the kernel does not either.
  if (ignored && !comes_again(number, *info)) return;
  const bool spent =
      (previous.sa_flags & SA_RESETHAND) != 0 && before.spent.exchange(true);
  if (ignored || spent || (!with_info && previous.sa_handler == SIG_DFL)) {
    die_by_default(number, *info);
    return;
  }
  set_mask_of(previous, number, *static_cast<const ucontext_t*>(context));
  if (with_info) {
    previous.sa_sigaction(number, info, context);
  } else {
    previous.sa_handler(number);
  }
}

// All signals are blocked here, so that no other handler touches the region meanwhile.
void on_sigbus(int number, siginfo_t* info, void* context) {
  const int error_number = errno;
  // si_addr means something only for faults that the kernel reports.
  Entry* const entry = info->si_code == BUS_ADRERR
                           ? find(reinterpret_cast<std::uintptr_t>(info->si_addr))
                           : nullptr;
  if (entry == nullptr || !replace(*entry)) chain(before_bus, number, info, context);
  errno = error_number;
}

// A handler that came after ours, reports, puts ours back and raises the signal anew.
// What it was about is tried again when this returns.
bool passed_on(const siginfo_t& info) {
  return info.si_code == SI_TKILL && info.si_pid == getpid() &&
         drawable_regions.load(std::memory_order_relaxed) != 0;
}

void on_sigsegv(int number, siginfo_t* info, void* context) {
  const int error_number = errno;
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  Entry* const entry = info->si_code == SEGV_ACCERR ? find(address) : nullptr;
  if ((entry == nullptr || !let_draw(*entry, address)) && !passed_on(*info)) {
    chain(before_segv, number, info, context);
  }
  errno = error_number;
}

int install(int number, void (*handler)(int, siginfo_t*, void*), Earlier& before) {
  sigaction(number, nullptr, &before.action);  // before anything can arrive
  struct sigaction ours {};
  ours.sa_sigaction = handler;
  ours.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigfillset(&ours.sa_mask);
  return sigaction(number, &ours, nullptr);
}

}  // namespace

void install_bus_guard() {
  static const int installed = install(SIGBUS, on_sigbus, before_bus);
  static_cast<void>(installed);
}

void install_draw_guard() {
  static const int installed = install(SIGSEGV, on_sigsegv, before_segv);
  static_cast<void>(installed);
}

std::uint64_t bus_faults() { return faults.load(std::memory_order_acquire); }

GuardedRegion::GuardedRegion(void* begin, std::size_t bytes, int protection) {
  for (std::size_t i = 0; i < kMaxRegions; ++i) {
    Entry& entry = table[i];
    std::uint64_t version = entry.version.load(std::memory_order_relaxed);
    if (state_of(version) != kFree ||
        !entry.version.compare_exchange_strong(version, version + kChanging,
                                               std::memory_order_acquire)) {
      continue;
    }
    // Release: who read the new values sees that the version is another one.
    std::atomic_thread_fence(std::memory_order_release);
    entry.begin.store(reinterpret_cast<std::uintptr_t>(begin), std::memory_order_relaxed);
    entry.bytes.store(bytes, std::memory_order_relaxed);
    entry.protection.store(protection, std::memory_order_relaxed);
    entry.damaged.store(false, std::memory_order_relaxed);
    entry.drawable.store(kNotDrawable, std::memory_order_relaxed);
    entry.writes.store(0, std::memory_order_relaxed);
    entry.version.store(version + kLive, std::memory_order_release);
    index_ = i;
    return;
  }
}

GuardedRegion::~GuardedRegion() {
  if (index_ == kNone) return;
  Entry& entry = table[index_];
  if (entry.drawable.load(std::memory_order_relaxed) != kNotDrawable) --drawable_regions;
  const std::uint64_t version = entry.version.load(std::memory_order_relaxed);
  entry.version.store(version - kLive + kNextTenant, std::memory_order_release);
}

void GuardedRegion::set_protection(int protection) {
  if (index_ != kNone) {
    table[index_].protection.store(protection, std::memory_order_relaxed);
  }
}

void GuardedRegion::make_drawable(std::size_t offset) {
  if (index_ == kNone) return;
  table[index_].drawable.store(offset, std::memory_order_relaxed);
  ++drawable_regions;
}

bool GuardedRegion::drawn() const {
  return index_ != kNone && table[index_].writes.load(std::memory_order_relaxed) != 0;
}

bool GuardedRegion::restore() {
  Entry& entry = table[index_];
  const std::size_t from = entry.drawable.load(std::memory_order_relaxed);
  void* const begin =
      reinterpret_cast<void*>(entry.begin.load(std::memory_order_relaxed) + from);
  const std::size_t bytes = entry.bytes.load(std::memory_order_relaxed) - from;
  if (mprotect(begin, bytes, PROT_READ) != 0 ||
      madvise(begin, bytes, MADV_DONTNEED) != 0) {
    return false;  // with mlockall(), say
  }
  entry.writes.store(0, std::memory_order_relaxed);
  return true;
}

bool GuardedRegion::damaged() const {
  return index_ != kNone && table[index_].damaged.load(std::memory_order_relaxed);
}

}  // namespace possum
