// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The SIGBUS handler by itself: what it replaces and what it leaves alone, to whom it
// passes on what is not its own, and how processes end that it must not save. A signal
// disposition belongs to a whole process, so each test does its deed in a forked child.
#include "base/bus_guard.h"

#include <errno.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include <array>
#include <atomic>
#include <barrier>

#include "base/shm_object.h"
#include "support/transport.h"

using namespace support;
using namespace possum;

namespace {

constexpr std::size_t kPage = 4096;

// How a child ends: its exit status, 128 + N when a signal ended it.
int fate(const std::function<void()>& deed) {
  return status_of_fork([&] {
    const rlimit no_core{0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    signal(SIGBUS, SIG_DFL);  // without what a sanitizer has there
    alarm(kLimitMs / 1000);   // a handler that is called for ever
    deed();
  });
}

bool survives(const std::function<void()>& deed) { return fate(deed) == 0; }

#define TEST_IN_CHILD(name)                     \
  static void child_##name();                   \
  TEST(name) { CHECK(survives(child_##name)); } \
  static void child_##name()

// An object that nobody has a name for, so that a child may die with it.
struct Object {
  UniqueFd fd;
  explicit Object(std::size_t bytes = 4 * kPage) {
    const std::string name = "/possum-test." + std::to_string(getpid()) + "." +
                             std::to_string(syscall(SYS_gettid));
    fd = UniqueFd(shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    CHECK(fd && shm_unlink(name.c_str()) == 0);
    resize(bytes);
  }
  void resize(std::size_t bytes) const {
    CHECK(ftruncate(fd.get(), static_cast<off_t>(bytes)) == 0);
  }
  std::shared_ptr<ShmObject> map(Access access, std::size_t bytes = 4 * kPage) const {
    Error error;
    auto object = ShmObject::map(fd.get(), bytes, access, error);
    CHECK(object);
    return object;
  }
  // One that the guard knows nothing of.
  std::byte* map_foreign(std::size_t bytes = kPage, void* at = nullptr) const {
    void* const data = mmap(at, bytes, PROT_READ | PROT_WRITE,
                            MAP_SHARED | (at ? MAP_FIXED : 0), fd.get(), 0);
    CHECK(data != MAP_FAILED);
    return static_cast<std::byte*>(data);
  }
};

// A new object that the guard watches over.
std::pair<Object, std::shared_ptr<ShmObject>> guarded(Access access) {
  install_bus_guard();
  Object object;
  auto mapping = object.map(access);
  return {std::move(object), std::move(mapping)};
}

// A mapping beyond the end of its object.
std::byte* foreign_trap() {
  const Object object(kPage);
  std::byte* const data = object.map_foreign();
  object.resize(0);
  return data;
}

unsigned read_at(const std::byte* at) {
  return std::to_integer<unsigned>(*const_cast<const volatile std::byte*>(at));
}
void write_at(std::byte* at, unsigned value) {
  *const_cast<volatile std::byte*>(at) = static_cast<std::byte>(value);
}

// --- earlier handlers ----------------------------------------------------------------

std::atomic<int> calls{0};
void* seen_address = nullptr;
const void* seen_stack = nullptr;
sigset_t seen_mask;
thread_local sigjmp_buf out;

bool was_blocked(int number) { return sigismember(&seen_mask, number) == 1; }

void with_info(int number, siginfo_t* info, void*) {
  CHECK(number == SIGBUS);
  ++calls;
  seen_address = info->si_addr;
  seen_stack = &number;
  pthread_sigmask(SIG_SETMASK, nullptr, &seen_mask);
  siglongjmp(out, 1);
}
void plain(int number) {
  CHECK(number == SIGBUS);
  ++calls;
  pthread_sigmask(SIG_SETMASK, nullptr, &seen_mask);
  siglongjmp(out, 1);
}
void counting(int) { ++calls; }

void install(void (*handler)(int, siginfo_t*, void*), int flags = 0) {
  struct sigaction action {};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  sigaddset(&action.sa_mask, SIGUSR1);
  CHECK(sigaction(SIGBUS, &action, nullptr) == 0);
}
void install(void (*handler)(int), int flags = 0) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = flags;
  CHECK(sigaction(SIGBUS, &action, nullptr) == 0);
}

// Did reading there end in an earlier handler?
bool trapped(const std::byte* at) {
  if (sigsetjmp(out, 1) != 0) return true;
  read_at(at);
  return false;
}

}  // namespace

// --- what is replaced ----------------------------------------------------------------

TEST(without_the_guard_a_truncated_object_ends_the_process) {
  CHECK(fate([] {
          const Object object;
          const auto mapping = object.map(Access::read_only);
          object.resize(0);
          read_at(mapping->data());
        }) == 128 + SIGBUS);
}

TEST_IN_CHILD(truncated_object_reads_as_zeros_and_is_marked) {
  const auto [object, mapping] = guarded(Access::read_write);
  std::memset(mapping->data(), 0x5a, mapping->size());
  const std::uint64_t before = bus_faults();
  object.resize(0);
  CHECK(!mapping->damaged() && bus_faults() == before);
  CHECK(read_at(mapping->data() + 5) == 0);
  CHECK(mapping->damaged() && bus_faults() != before);
}

TEST_IN_CHILD(whole_object_is_replaced_by_one_fault) {
  const auto [object, mapping] = guarded(Access::read_write);
  std::memset(mapping->data(), 0x5a, mapping->size());
  object.resize(2 * kPage);
  CHECK(read_at(mapping->data()) == 0x5a);
  const std::uint64_t before = bus_faults();
  CHECK(read_at(mapping->data() + 3 * kPage) == 0);
  for (std::size_t at = 0; at < mapping->size(); ++at) {
    CHECK(read_at(mapping->data() + at) == 0);
  }
  CHECK(bus_faults() == before + 1);
  // Nor does it come back with the object.
  object.resize(mapping->size());
  std::byte* const again = object.map_foreign();
  write_at(again, 1);
  CHECK(read_at(mapping->data()) == 0);
  write_at(mapping->data(), 2);  // the rest of the world does not see it
  CHECK(read_at(again) == 1);
}

TEST_IN_CHILD(mapping_made_before_the_guard_is_guarded) {
  const Object object;
  const auto mapping = object.map(Access::read_only);
  install_bus_guard();
  object.resize(0);
  CHECK(read_at(mapping->data()) == 0 && mapping->damaged());
}

// What lies right before and behind belongs to others.
TEST_IN_CHILD(regions_end_where_they_end) {
  install(with_info);
  install_bus_guard();
  const Object object(5 * kPage);
  auto* const all = static_cast<std::byte*>(
      mmap(nullptr, 5 * kPage, PROT_READ, MAP_SHARED, object.fd.get(), 0));
  CHECK(all != MAP_FAILED);
  const GuardedRegion left(all + kPage, kPage, PROT_READ);
  const GuardedRegion middle(all + 2 * kPage, kPage, PROT_READ);
  const GuardedRegion right(all + 3 * kPage, kPage, PROT_READ);
  object.resize(0);
  CHECK(trapped(all + kPage - 1) && trapped(all + 4 * kPage));
  CHECK(!left.damaged() && !middle.damaged() && !right.damaged());
  CHECK(!trapped(all + 2 * kPage));
  CHECK(!left.damaged() && middle.damaged() && !right.damaged());
  CHECK(!trapped(all + 2 * kPage - 1) && left.damaged() && !right.damaged());
  CHECK(!trapped(all + 4 * kPage - 1) && right.damaged());
  CHECK(trapped(all + kPage - 1) && trapped(all + 4 * kPage));
  CHECK(calls == 4);
}

TEST(replaced_object_keeps_its_protection) {
  for (const Access access : {Access::read_write, Access::read_only}) {
    CHECK(fate([&] {
            const auto [object, mapping] = guarded(access);
            object.resize(0);
            read_at(mapping->data());
            CHECK(mapping->damaged());
            signal(SIGSEGV, SIG_DFL);
            write_at(mapping->data(), 7);
            CHECK(read_at(mapping->data()) == 7);
          }) == (access == Access::read_write ? 0 : 128 + SIGSEGV));
  }
}

TEST_IN_CHILD(writable_part_of_a_replaced_object_stays_writable) {
  const auto [object, mapping] = guarded(Access::read_only);
  Error error;
  CHECK(mapping->make_writable(object.fd.get(), kPage, kPage, error));
  object.resize(0);
  write_at(mapping->data() + kPage, 7);
  CHECK(read_at(mapping->data() + kPage) == 7 && mapping->damaged());
}

TEST_IN_CHILD(forked_child_is_guarded_too) {
  install_bus_guard();
  const Object object;
  const auto mapping = object.map(Access::read_write);
  CHECK(status_of_fork([&] {
          object.resize(0);
          _exit(read_at(mapping->data()) == 0 && mapping->damaged() ? 0 : 1);
        }) == 0);
  CHECK(!mapping->damaged());  // nobody has touched it here
  CHECK(read_at(mapping->data()) == 0 && mapping->damaged());
}

TEST(regions_beyond_the_table_are_not_guarded) {
  const auto touch = [](bool last) {
    install_bus_guard();
    const Object object;
    const auto known = object.map(Access::read_only);
    std::vector<std::unique_ptr<GuardedRegion>> filler;
    void* const spare = reinterpret_cast<void*>(kPage);
    while (filler.size() < GuardedRegion::kMaxRegions - 1) {
      filler.push_back(std::make_unique<GuardedRegion>(spare, 0, PROT_READ));
    }
    const auto beyond = object.map(Access::read_only);
    object.resize(0);
    CHECK(read_at(known->data()) == 0 && known->damaged() && !beyond->damaged());
    if (last) read_at(beyond->data());
    // A place that became free serves again.
    filler.pop_back();
    const auto again = object.map(Access::read_only);
    CHECK(read_at(again->data()) == 0 && again->damaged());
  };
  CHECK(survives([&] { touch(false); }));
  CHECK(fate([&] { touch(true); }) == 128 + SIGBUS);
}

// --- what is passed on ---------------------------------------------------------------

TEST_IN_CHILD(earlier_handler_with_information_gets_what_is_not_ours) {
  install(with_info);
  const auto [object, mapping] = guarded(Access::read_only);
  const std::byte* const trap = foreign_trap() + 17;
  CHECK(trapped(trap) && calls == 1 && seen_address == trap);
  CHECK(was_blocked(SIGBUS) && was_blocked(SIGUSR1) && !was_blocked(SIGTERM));
  CHECK(!mapping->damaged());
  object.resize(0);
  CHECK(!trapped(mapping->data()) && calls == 1);
  CHECK(trapped(trap) && calls == 2);  // and once more
}

TEST(earlier_plain_handler_gets_what_is_not_ours) {
  for (const bool deferred : {true, false}) {
    CHECK(survives([&] {
      install(plain, deferred ? 0 : SA_NODEFER);
      install_bus_guard();
      for (int call = 1; call <= 2; ++call) {
        CHECK(trapped(foreign_trap()) && calls == call);
        CHECK(was_blocked(SIGBUS) == deferred);
        CHECK(!was_blocked(SIGUSR1) && !was_blocked(SIGTERM));
      }
    }));
  }
}

TEST_IN_CHILD(access_goes_on_with_its_errno_after_an_earlier_handler_that_mends) {
  static const Object object(kPage);
  std::byte* const data = object.map_foreign();
  object.resize(0);
  install([](int) {
    ++calls;
    object.resize(kPage);
    errno = ENOENT;
  });
  install_bus_guard();
  errno = EXDEV;
  CHECK(read_at(data) == 0 && calls == 1 && errno == EXDEV);
}

TEST_IN_CHILD(handlers_run_on_the_alternate_stack) {
  static std::array<std::byte, 1 << 16> stack;
  stack_t alternate{};
  alternate.ss_sp = stack.data();
  alternate.ss_size = stack.size();
  CHECK(sigaltstack(&alternate, nullptr) == 0);
  install(with_info, SA_ONSTACK);
  install_bus_guard();
  CHECK(trapped(foreign_trap()));
  const auto at = static_cast<const std::byte*>(seen_stack) - stack.data();
  CHECK(at >= 0 && at < static_cast<std::ptrdiff_t>(stack.size()));
}

TEST(what_nobody_mends_ends_the_process_as_without_the_guard) {
  const auto nothing = [] {};
  const auto ignore = [] { signal(SIGBUS, SIG_IGN); };
  const auto count_once = [] { install(counting, static_cast<int>(SA_RESETHAND)); };
  const auto fault = [] { read_at(foreign_trap()); };
  const auto sent = [] { raise(SIGBUS); };
  const struct {
    std::function<void()> before, deed;
    bool deadly;
  } rows[] = {{nothing, fault, true},    {nothing, sent, true},
              {ignore, fault, true},     {ignore, sent, false},
              {count_once, fault, true}, {count_once, sent, false}};
  for (const auto& row : rows) {
    CHECK(fate([&] {
            row.before();
            install_bus_guard();
            row.deed();
            const Object object;
            const auto mapping = object.map(Access::read_only);
            object.resize(0);
            CHECK(read_at(mapping->data()) == 0);
          }) == (row.deadly ? 128 + SIGBUS : 0));
  }
}

TEST_IN_CHILD(handler_for_one_signal_is_called_once) {
  install(counting, static_cast<int>(SA_RESETHAND));
  install_bus_guard();
  raise(SIGBUS);
  CHECK(calls == 1);
}

// A signal that a process sends carries what it likes where a fault has its address.
TEST_IN_CHILD(signals_that_processes_send_touch_no_region) {
  install(counting);
  const auto [object, mapping] = guarded(Access::read_write);
  write_at(mapping->data(), 9);
  siginfo_t info{};
  info.si_signo = SIGBUS;
  info.si_code = SI_QUEUE;
  info.si_addr = mapping->data();
  CHECK(syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), SIGBUS, &info) ==
        0);
  CHECK(calls == 1 && !mapping->damaged() && read_at(mapping->data()) == 9);
}

TEST_IN_CHILD(later_handler_may_call_the_guard) {
  static struct sigaction guard;
  const auto [object, mapping] = guarded(Access::read_only);
  struct sigaction theirs {};
  theirs.sa_sigaction = [](int number, siginfo_t* info, void* context) {
    ++calls;
    guard.sa_sigaction(number, info, context);
  };
  theirs.sa_flags = SA_SIGINFO;
  CHECK(sigaction(SIGBUS, &theirs, &guard) == 0);
  install_bus_guard();  // changes nothing: they would call each other for ever
  object.resize(0);
  CHECK(read_at(mapping->data()) == 0 && mapping->damaged() && calls == 1);
  struct sigaction now {};
  CHECK(sigaction(SIGBUS, nullptr, &now) == 0);
  CHECK(now.sa_sigaction == theirs.sa_sigaction);
}

TEST_IN_CHILD(later_handler_wins) {
  const auto [object, mapping] = guarded(Access::read_only);
  install(with_info);
  object.resize(0);
  CHECK(trapped(mapping->data()) && calls == 1 && !mapping->damaged());
}

// --- threads -------------------------------------------------------------------------

TEST_IN_CHILD(threads_that_fault_at_once_all_go_on) {
  install_bus_guard();
  constexpr int kThreads = 4;
  constexpr std::size_t kPages = 64;
  std::shared_ptr<ShmObject> mapping;
  std::barrier gate(kThreads + 1);
  const std::int64_t end = in_ms(1000);
  bool more = true;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (;;) {
        gate.arrive_and_wait();
        if (!more) return;
        for (std::size_t page = i; page < kPages; page += kThreads) {
          CHECK(read_at(mapping->data() + page * kPage) == 0);
        }
        gate.arrive_and_wait();
      }
    });
  }
  int rounds = 0;
  for (; more; ++rounds) {
    const Object object(kPages * kPage);
    mapping = object.map(Access::read_only, kPages * kPage);
    object.resize(0);
    more = monotonic_ns() < end || rounds <= 20;
    gate.arrive_and_wait();
    if (more) gate.arrive_and_wait();
    CHECK(mapping->damaged() == more);
  }
  for (std::thread& thread : threads) thread.join();
  check::note("   %lld rounds\n", rounds);
}

// A place in the table passes from a small region to a large one elsewhere. Whoever took
// the begin of the one and the size of the other would find a stranger's fault in it.
TEST_IN_CHILD(places_that_change_hands_are_never_half_read) {
  constexpr std::size_t kMiB = 1 << 20;
  install_bus_guard();
  auto* const area =
      static_cast<std::byte*>(mmap(nullptr, 512 * kMiB, PROT_NONE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
  CHECK(area != MAP_FAILED);
  std::byte* const trap = area + kMiB;
  // The first place in the table, which is looked at first.
  auto first = std::make_unique<GuardedRegion>(area, kPage, PROT_NONE);
  const GuardedRegion trapped_region(trap, kPage, PROT_READ);
  first.reset();
  const std::int64_t end = in_ms(1000);
  std::thread flipping([&] {
    while (monotonic_ns() < end) {
      for (int i = 0; i < 100; ++i) {
        const GuardedRegion small(area, kPage, PROT_NONE);
        CHECK(!small.damaged());
      }
      for (int i = 0; i < 100; ++i) {
        { const GuardedRegion small(area, kPage, PROT_NONE); }
        const GuardedRegion large(area + 128 * kMiB, 256 * kMiB, PROT_NONE);
        for (int n = 0; n < 100; ++n) CHECK(!large.damaged());
      }
    }
  });
  const Object object(kPage);
  object.resize(0);
  int count = 0;
  for (; monotonic_ns() < end; ++count) {
    object.map_foreign(kPage, trap);
    CHECK(read_at(trap) == 0 && trapped_region.damaged());
  }
  flipping.join();
  check::note("   %lld faults\n", count);
  CHECK(count > 100);
}

// Addresses change hands between our mappings and foreign ones all the time: ours must
// read as zeros, the others must reach the handler that was there before.
TEST_IN_CHILD(faults_while_others_map_and_unmap_find_their_own_region) {
  install(with_info);
  install_bus_guard();
  const std::int64_t end = in_ms(std::max(2, soak_seconds()) * 1000);
  std::atomic<int> ours{0};
  std::atomic<int> foreign{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&] {
      while (monotonic_ns() < end) {
        const Object object;
        const auto mapping = object.map(Access::read_write);
        CHECK(!mapping->damaged());
        object.resize(0);
        CHECK(!trapped(mapping->data() + kPage) && mapping->damaged());
        ++ours;
      }
    });
    threads.emplace_back([&] {
      while (monotonic_ns() < end) {
        const Object object;
        std::byte* const data = object.map_foreign(4 * kPage);
        object.resize(0);
        CHECK(trapped(data + kPage));
        munmap(data, 4 * kPage);
        ++foreign;
      }
    });
    threads.emplace_back([&] {
      const Object object;
      while (monotonic_ns() < end) {
        const auto mapping = object.map(Access::read_write);
        write_at(mapping->data(), 1);
        CHECK(read_at(mapping->data()) == 1 && !mapping->damaged());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  check::note("   %lld faults of ours, %lld others\n", ours.load(), foreign.load());
  CHECK(ours > 100 && foreign > 100 && calls == foreign);
}
