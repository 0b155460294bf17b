// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "writer.h"

#include <signal.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <system_error>

#include "base/clock.h"
#include "base/event_thread.h"
#include "base/fork_guard.h"
#include "base/users.h"
#include "channel.h"
#include "channel_watch.h"
#include "crash_point.h"
#include "writer_session.h"

namespace possum::transport {
namespace {

constexpr std::int64_t kMs = 1'000'000;
constexpr std::int64_t kTickNs = 250 * kMs;     // housekeeping
constexpr std::int64_t kRoomWaitNs = 20 * kMs;  // a killed reader does not ring
// Peers can ring as often as they like, and each pass of the housekeeping may have
// something to tell the application: so many a second, and one for each reader at once
// after a pause.
constexpr std::int64_t kPassNs = 10 * kMs;
constexpr std::int64_t kSavedPassesNs = 32 * kPassNs;
// Who has come is looked for more often, since it waits for that. Only a look that finds
// nobody is followed by a rest: somebody who rings for nothing keeps no processor busy.
constexpr std::int64_t kLookNs = kMs / 2;
constexpr std::int64_t kClaimPollNs = 20 * kMs;  // behind inotify
// "possum clean" may hold a lost name for a moment.
constexpr std::int64_t kReclaimNs = 500 * kMs;
// With /dev/shm full and readers sitting on every slot that is large enough for new caps,
// no reader's progress may ever free one: give up with the reason.
constexpr std::int64_t kStarvedNs = 5000 * kMs;
constexpr std::int64_t kLongNs = std::int64_t{1} << 60;  // keeps sums in range
constexpr unsigned kMinSlots = 3;

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

class Writer::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(WriterOptions options, WriterEvents events)
      : options_(std::move(options)),
        events_(std::move(events)),
        generation_(process_generation()),
        watch_(options_.channel),
        reclaim_watch_(options_.channel) {}

  WriteStatus open(Error& error) {
    if (forked()) return fork_failure(error);
    if (is_open()) {
      error = make_error(ErrorCode::settings,
                         "This writer is open already: close it first", options_.channel);
      return WriteStatus::failed;
    }
    close();  // what is left of a channel that was lost
    const std::int64_t deadline =
        monotonic_ns() + std::min(options_.claim_timeout_ns, kLongNs);
    Claim claim;
    WriteStatus result = claim_by(deadline, watch_, claim, error);
    if (result == WriteStatus::ok && !start(std::move(claim), error)) {
      result = WriteStatus::failed;
    }
    watch_.disarm();
    return result;
  }

  void close() {
    if (forked()) return;
    housekeeping_.stop([this] {
      reclaim_watch_.interrupt(true);
      const std::lock_guard lock(mutex_);
      if (session_) ask_housekeeping();
    });
    const std::lock_guard lock(mutex_);
    if (session_) session_->end();
    session_.reset();
  }

  bool is_open() const {
    if (forked()) return false;
    const std::lock_guard lock(mutex_);
    return session_ != nullptr || reclaiming_;
  }

  void interrupt(bool on) {
    if (forked()) return;  // the descriptor in there is the parent's as well
    watch_.interrupt(on);
    const std::lock_guard lock(mutex_);
    if (on && session_) session_->room().ring_self();
    if (on) woken_.notify_all();
  }

  bool prepare(unsigned count, std::size_t bytes, Error& error) {
    if (forked()) return fork_failure(error) == WriteStatus::ok;
    const std::lock_guard lock(mutex_);
    if (reclaiming_) return true;  // frames will ask for their slots
    if (!usable(error)) return false;
    SlotRequest request{{bytes, 0, 0}, {}};
    const unsigned wanted = std::clamp(count, kMinSlots, options_.slots);
    const unsigned got = session_->core().prepare(wanted, request);
    if (got < kMinSlots) {
      error = too_small(request);
      return false;
    }
    if (got < wanted) shortage(got, request.error.value_or(Error{}));
    return true;
  }

  std::optional<SlotRef> lend(std::size_t bytes, std::size_t caps_bytes) {
    if (forked()) return std::nullopt;
    const std::lock_guard lock(mutex_);
    if (!session_) return std::nullopt;
    SlotRequest request{{bytes, caps_bytes, 0}, {}};
    const std::optional<unsigned> slot = session_->core().lend(request);
    look_for_shortage(request);
    if (!slot) return std::nullopt;
    return session_->ref(*slot);
  }

  void give_back(const SlotRef& ref) {
    if (forked()) return;
    const std::lock_guard lock(mutex_);
    if (session_ && session_->owns(ref)) session_->core().give_back(ref.slot);
  }

  WriteStatus acquire(std::size_t bytes, std::size_t caps_bytes, std::size_t metas_bytes,
                      SlotRef& ref, Error& error, std::int64_t deadline_ns) {
    if (forked()) return fork_failure(error);
    std::unique_lock lock(mutex_);
    Patience patience{deadline_ns};
    SlotRequest request{{bytes, caps_bytes, metas_bytes}, {}};
    for (;;) {
      if (watch_.interrupted()) return WriteStatus::interrupted;
      if (reclaiming_) return count_no_slot();
      if (!usable(error)) return WriteStatus::failed;
      if (session_->faulted()) return give_up_frame();
      auto& core = session_->core();
      core.end_publish();  // of a frame that was not continued
      if (static_cast<unsigned>(std::popcount(core.have())) < kMinSlots &&
          core.prepare(kMinSlots, request) < kMinSlots) {
        error = too_small(request);
        return WriteStatus::failed;
      }
      unsigned slot = 0;
      Found found = core.acquire(slot, request);
      if (found == Found::wait && patience.over()) return WriteStatus::timeout;
      if (found == Found::wait) {
        arm_unless([&] { return (found = core.acquire(slot, request)) != Found::wait; });
      }
      look_for_shortage(request);
      if (found == Found::slot) {
        ref = session_->ref(slot);
        return WriteStatus::ok;
      }
      // No room for even one slot of this size, not just all of them in use.
      if (!session_->any_fits(request) && request.error &&
          (found == Found::none || patience.starved())) {
        error = too_small(request);
        return WriteStatus::failed;
      }
      if (found == Found::none) return count_no_slot();
      const std::uint32_t holding = patience.present(core, blocking_with_offers());
      if (patience.hoarded(holding != 0, options_.max_blocking_ns)) {
        core.drop_frame();
        return count_no_slot();
      }
      wait_for_readers(lock, patience, holding);
    }
  }

  bool publishable(const SlotRef& ref, std::size_t caps_bytes,
                   std::size_t metas_bytes) const {
    if (forked()) return false;
    const std::lock_guard lock(mutex_);
    return session_ && session_->owns(ref) &&
           session_->fits_text(ref, caps_bytes, metas_bytes) &&
           !session_->core().visible(ref.slot);
  }

  WriteStatus publish(const SlotRef& ref, layout::FrameDescriptor& frame,
                      std::string_view caps, std::span<const std::byte> metas,
                      bool zero_copy, Error& error, std::int64_t deadline_ns) {
    if (forked()) return fork_failure(error);
    std::unique_lock lock(mutex_);
    if (reclaiming_) return count_no_slot();
    if (!usable(error)) return WriteStatus::failed;
    if (!session_->owns(ref)) return count_no_slot();  // it was made anew meanwhile
    eos_ = false;
    if (!session_->core().publishing(ref.slot)) {
      if (!session_->fits_text(ref, caps.size(), metas.size()) ||
          frame.data_offset > ref.capacity ||
          frame.data_bytes > ref.capacity - frame.data_offset) {
        error = make_error(ErrorCode::settings, "The frame does not fit its slot.",
                           std::to_string(frame.data_bytes) + " bytes");
        return WriteStatus::failed;
      }
      session_->fill(ref, frame, caps, metas);
      if (session_->faulted()) return give_up_frame();
      session_->core().begin_publish(ref.slot, frame.seq);
      count_frame(frame, zero_copy);
    }
    return finish_publish(lock, ref, error, deadline_ns);
  }

  void abandon_publish() {
    if (forked()) return;
    const std::lock_guard lock(mutex_);
    if (session_) session_->core().end_publish();
  }

  WriteStatus wait_readers(const std::atomic<unsigned>& count, Error& error,
                           std::int64_t deadline_ns) {
    if (forked()) return fork_failure(error);
    std::unique_lock lock(mutex_);
    for (;;) {
      if (watch_.interrupted()) return WriteStatus::interrupted;
      if (!reclaiming_ && !usable(error)) return WriteStatus::failed;
      if (!reclaiming_ && count_active() >= count.load(std::memory_order_relaxed)) {
        return WriteStatus::ok;
      }
      const std::int64_t left = deadline_ns - monotonic_ns();
      if (left <= 0) return WriteStatus::timeout;
      woken_.wait_for(lock, std::chrono::nanoseconds(std::min(left, kRoomWaitNs)));
    }
  }

  unsigned active_readers() const {
    if (forked()) return 0;
    const std::lock_guard lock(mutex_);
    return session_ ? count_active() : 0;
  }

  void set_eos() {
    if (forked()) return;
    const std::lock_guard lock(mutex_);
    eos_ = true;
    if (session_) session_->core().set_eos();
  }

  WriteStatus drain(Error& error, std::int64_t deadline_ns) {
    return wait_until(error, deadline_ns, [&] { return session_->core().drained(); });
  }

  void flush() {
    if (forked()) return;
    const std::lock_guard lock(mutex_);
    eos_ = false;
    if (session_) session_->core().flush();
  }

  WriterStatistics statistics() const {
    if (forked()) return {};
    const std::lock_guard lock(mutex_);
    WriterStatistics result = statistics_;
    if (!session_) return result;
    auto& core = session_->core();
    result.held = static_cast<unsigned>(std::popcount(core.taken()));
    result.slots = static_cast<unsigned>(std::popcount(core.have()));
    result.lent = static_cast<unsigned>(std::popcount(core.lent()));
    for (unsigned r = 0; r < layout::kReaders; ++r) {
      if (core.active(r)) result.readers.push_back(describe(r));
    }
    return result;
  }

  std::uint64_t incarnation() const {
    if (forked()) return 0;
    const std::lock_guard lock(mutex_);
    return session_ ? session_->incarnation() : 0;
  }

 private:
  using Core = WriterCore<WriterSession>;
  using Found = Core::Found;

  // How long one wait has lasted, and since when each reader has not moved.
  struct Patience {
    std::int64_t deadline_ns;
    std::int64_t since_ns = 0;  // of the first wait
    std::array<std::uint32_t, layout::kReaders> tenant{};
    std::array<int, layout::kReaders> offers{};  // the fewest seen
    std::array<std::int64_t, layout::kReaders> still_since_ns{};
    std::uint32_t there = 0;  // pages, at first
    std::array<std::uint32_t, layout::kReaders> tenant_there{};
    std::int64_t hoarded_since_ns = 0;
    // Of these pages those whose readers were there before the first wait. Whoever
    // attaches meanwhile may not stretch it.
    std::uint32_t present(const Core& core, std::uint32_t pages) {
      for (unsigned r = 0; r < layout::kReaders && since_ns == 0; ++r) {
        if (core.active(r)) there |= slot_bit(r);
        tenant_there[r] = core.tenant(r);
      }
      pages &= there;
      for (unsigned r = 0; r < layout::kReaders; ++r) {
        if (core.tenant(r) != tenant_there[r]) pages &= ~slot_bit(r);
      }
      return pages;
    }
    // Has it been so long that nobody who may hold up the writer has a frame to take?
    // Then others keep all slots, which they may not.
    bool hoarded(bool somebody_may_take, std::int64_t limit_ns) {
      const std::int64_t now = monotonic_ns();
      if (somebody_may_take || hoarded_since_ns == 0) hoarded_since_ns = now;
      return limit_ns < kLongNs && now - hoarded_since_ns >= limit_ns;
    }
    bool starved() const {
      return since_ns != 0 && monotonic_ns() - since_ns > kStarvedNs;
    }
    bool over() const { return monotonic_ns() >= deadline_ns; }
  };
  struct KnownReader {
    bool attached = false;
    std::uint32_t tenant = 0;
  };

  ClaimOptions claim_options() const {
    return {options_.channel, {options_.perms, options_.group}, options_.allow_blocking};
  }

  // A name that is held is tried again until deadline_ns or an interrupt of `watch`,
  // which may be armed afterwards.
  WriteStatus claim_by(std::int64_t deadline_ns, ChannelWatch& watch, Claim& claim,
                       Error& error) const {
    for (;;) {
      const ClaimStatus status = claim_channel(claim_options(), claim, error);
      if (status == ClaimStatus::ok) return WriteStatus::ok;
      if (status == ClaimStatus::failed || monotonic_ns() >= deadline_ns) {
        return WriteStatus::failed;
      }
      if (!watch.armed()) {
        watch.arm();
        continue;  // what happened before that gave no event
      }
      watch.wait(std::min(deadline_ns, monotonic_ns() + kClaimPollNs));
      if (watch.interrupted()) return WriteStatus::interrupted;
    }
  }

  bool start(Claim claim, Error& error) {
    {
      const std::lock_guard lock(mutex_);
      claimed_ = {claim.took_over, false};
      pool_ = {};
      session_ = std::make_unique<WriterSession>(std::move(claim), options_);
      statistics_ = {};
      eos_ = false;
      lost_ = {};
      known_ = {};
      demotions_ = 0;
      shortage_told_ = false;
      shortage_.reset();
    }
    reclaim_watch_.interrupt(false);
    try {
      const SignalsBlocked blocked;
      housekeeping_.start([this](EventThread::Run& run) { keep_house(run); });
    } catch (const std::system_error& problem) {
      error = make_error(ErrorCode::system,
                         std::string("No thread could be started: ") + problem.what() +
                             ": close other programs or raise the limits of processes "
                             "(ulimit -u, TasksMax=)",
                         "std::thread");
      const std::lock_guard lock(mutex_);
      session_->end();
      session_.reset();
      return false;
    }
    error = {};
    return true;
  }

  // Asked before any lock is taken: in a forked child nobody would release it.
  bool forked() const { return generation_ != process_generation(); }
  static WriteStatus fork_failure(Error& error) {
    error = make_error(ErrorCode::system,
                       "A possum writer does not survive fork(): open it in the child",
                       "opened by another process");
    return WriteStatus::failed;
  }

  bool usable(Error& error) const {
    if (session_) return true;
    error =
        lost_ ? lost_ : make_error(ErrorCode::system, "The channel is closed", "close()");
    return false;
  }

  // Fewer than three slots: says what would be needed.
  Error too_small(const SlotRequest& request) const {
    layout::DataHeader header{};
    plan_data_object(request.need, header);
    Error error = request.error.value_or(Error{});
    if (error.code == ErrorCode::no_space && error.needed_bytes != 0) {
      error.needed_bytes = kMinSlots * header.object_bytes;
      error.free_bytes = shm_free_bytes() + session_->object_bytes();
      const auto mib = [](std::size_t bytes) { return std::to_string(bytes >> 20); };
      error.message = "/dev/shm is too small: channel \"" + options_.channel +
                      "\" needs at least " + mib(error.needed_bytes + (1 << 20) - 1) +
                      " MiB (3 slots), " + mib(error.free_bytes) +
                      " MiB free: use a smaller format or enlarge /dev/shm "
                      "(docker run --shm-size=512m)";
    }
    return error;
  }

  // --- publishing
  // --------------------------------------------------------------------------

  WriteStatus finish_publish(std::unique_lock<std::mutex>& lock, const SlotRef& ref,
                             Error& error, std::int64_t deadline_ns) {
    Patience patience{deadline_ns};
    while (!session_->core().continue_publish()) {
      if (watch_.interrupted()) return WriteStatus::interrupted;
      if (patience.over()) return WriteStatus::timeout;
      if (arm_unless([&] { return session_->core().continue_publish(); })) break;
      wait_for_readers(lock, patience, session_->core().pending_pages());
      if (reclaiming_) return WriteStatus::ok;  // those readers are gone
      if (!usable(error)) return WriteStatus::failed;
      if (!session_->owns(ref)) return WriteStatus::ok;
    }
    session_->core().end_publish();
    session_->announce_caps();
    return WriteStatus::ok;
  }

  // The channel is truncated: housekeeping makes it anew, at its next tick at the latest.
  WriteStatus give_up_frame() {
    ask_housekeeping();
    return count_no_slot();
  }

  std::uint32_t blocking_with_offers() const {
    std::uint32_t pages = 0;
    auto& core = session_->core();
    for (unsigned r = 0; r < layout::kReaders; ++r) {
      if (core.is_blocking(r) && core.has_offers(r)) pages |= slot_bit(r);
    }
    return pages;
  }

  // Before a sleep, so that nothing is missed. True: look() says that there is no need.
  template <class Look>
  bool arm_unless(Look look) {
    // To arm it again would take away the ring that its sleeper is about to wake by. That
    // one has armed it, or wakes us as soon as it gets the mutex.
    return sleeping_ ? look() : session_->room().arm_unless(look);
  }

  // One sleep on the armed doorbell. `pages` hold us up: those that have not moved for
  // max_blocking_ns lose the right to.
  void wait_for_readers(std::unique_lock<std::mutex>& lock, Patience& patience,
                        std::uint32_t pages) {
    auto& core = session_->core();
    const std::int64_t now = monotonic_ns();
    if (patience.since_ns == 0) patience.since_ns = now;
    std::int64_t wake = std::min(now + kRoomWaitNs, patience.deadline_ns);
    for (unsigned r = 0; r < layout::kReaders; ++r) {
      if ((pages & slot_bit(r)) == 0) {
        patience.still_since_ns[r] = 0;
        continue;
      }
      // During a wait nothing is offered, so progress is that fewer offers are left. Its
      // own bits beyond what we gave are none, nor are bits that come and go.
      const int offers =
          std::popcount(layout::offered_of(core.word_of(r)) & core.given(r));
      if (patience.still_since_ns[r] == 0 || offers < patience.offers[r] ||
          core.tenant(r) != patience.tenant[r]) {
        patience.tenant[r] = core.tenant(r);
        patience.offers[r] = offers;
        patience.still_since_ns[r] = now;
      }
      if (options_.max_blocking_ns >= kLongNs) continue;
      if (now - patience.still_since_ns[r] >= options_.max_blocking_ns) {
        core.demote(r);
        demotions_ |= slot_bit(r);
        ask_housekeeping();
        wake = now;
      } else {
        wake = std::min(wake, patience.still_since_ns[r] + options_.max_blocking_ns);
      }
    }
    sleep_on_room(lock, wake);
    if (session_ && monotonic_ns() >= wake) session_->core().recycle();
  }

  // Lets go of the mutex. The session may be another one afterwards, but not freed: the
  // sleeper holds the old one's doorbell. A doorbell is made for one sleeper, so that one
  // wakes the other threads that wait meanwhile.
  void sleep_on_room(std::unique_lock<std::mutex>& lock, std::int64_t wake_ns) {
    if (sleeping_) {
      const std::uint64_t before = sleeps_;
      woken_.wait_for(lock, std::chrono::nanoseconds(wake_ns - monotonic_ns()),
                      [&] { return sleeps_ != before; });
      return;
    }
    const std::shared_ptr<WriterSession> session = session_;
    sleeping_ = true;
    lock.unlock();
    if (!watch_.interrupted()) session->room().sleep(wake_ns);
    lock.lock();
    sleeping_ = false;
    ++sleeps_;
    woken_.notify_all();
  }

  template <class Condition>
  WriteStatus wait_until(Error& error, std::int64_t deadline_ns, Condition condition) {
    if (forked()) return fork_failure(error);
    std::unique_lock lock(mutex_);
    Patience patience{deadline_ns};
    for (;;) {
      if (watch_.interrupted()) return WriteStatus::interrupted;
      if (!reclaiming_ && !usable(error)) return WriteStatus::failed;
      if (!reclaiming_ && condition()) return WriteStatus::ok;
      if (patience.over()) return WriteStatus::timeout;
      if (reclaiming_) {
        const std::int64_t left = deadline_ns - monotonic_ns();
        woken_.wait_for(lock, std::chrono::nanoseconds(std::min(left, kRoomWaitNs)));
        continue;
      }
      if (arm_unless(condition)) return WriteStatus::ok;
      wait_for_readers(lock, patience, blocking_with_offers());
    }
  }

  // --- counting
  // ----------------------------------------------------------------------------

  void count_frame(const layout::FrameDescriptor& frame, bool zero_copy) {
    ++statistics_.frames;
    statistics_.bytes += frame.data_bytes;
    ++(zero_copy ? statistics_.zero_copy : statistics_.copied);
    layout::ChannelStatistics& shared = session_->header().statistics;
    constexpr auto relaxed = std::memory_order_relaxed;
    shared.frames.store(statistics_.frames, relaxed);
    shared.bytes.store(statistics_.bytes, relaxed);
    shared.zero_copy.store(statistics_.zero_copy, relaxed);
    shared.copied.store(statistics_.copied, relaxed);
    shared.last_publish_ns.store(frame.publish_ns, relaxed);
    POSSUM_CRASH_POINT("publish.count");
  }

  WriteStatus count_no_slot() {
    ++statistics_.no_slot;
    if (!session_) return WriteStatus::no_slot;
    session_->header().statistics.no_slot.store(statistics_.no_slot,
                                                std::memory_order_relaxed);
    POSSUM_CRASH_POINT("acquire.count");
    return WriteStatus::no_slot;
  }

  unsigned count_active() const {
    unsigned count = 0;
    for (unsigned r = 0; r < layout::kReaders; ++r) {
      if (session_->core().active(r)) ++count;
    }
    return count;
  }

  ReaderInfo describe(unsigned r) const {
    auto& core = session_->core();
    const layout::ReaderUnit& page = session_->page(r);
    const layout::Config cfg = layout::unpack(page.cfg.load(std::memory_order_relaxed));
    const std::uint64_t word = core.word_of(r);
    ReaderInfo info;
    info.index = r;
    info.pid = page.pid.load(std::memory_order_relaxed);
    info.policy = cfg.policy;
    info.demoted = core.demoted(r);
    info.waiting =
        static_cast<unsigned>(std::popcount(layout::offered_of(word) & core.given(r)));
    info.held =
        static_cast<unsigned>(std::popcount(layout::taken_of(word) & core.given(r)));
    info.delivered = page.frames.load(std::memory_order_relaxed);
    info.dropped = core.dropped(r);
    return info;
  }

  // --- housekeeping
  // --------------------------------------------------------------------------

  struct Happened {
    std::vector<std::pair<unsigned, std::uint32_t>> attached;
    std::vector<std::pair<unsigned, const char*>> detached;
    std::vector<std::pair<unsigned, std::uint32_t>> demoted;
    std::optional<std::pair<unsigned, Error>> limited;
    std::optional<std::pair<bool, bool>> claimed;  // took over, anew
    std::optional<std::pair<unsigned, std::size_t>> pool;
    std::optional<Error> lost;
  };

  // The pool could not grow: told once, until it has grown again.
  void look_for_shortage(const SlotRequest& request) {
    if (!request.error) return;
    shortage(static_cast<unsigned>(std::popcount(session_->core().have())),
             *request.error);
  }

  // For what this process wants done, whatever peers ring.
  void ask_housekeeping() {
    end_rest();
    session_->attention().ring_self();
  }

  void end_rest() {
    asked_ = true;
    rest_.notify_one();
  }

  // True: this process wants something done.
  bool rest(std::unique_lock<std::mutex>& lock, std::int64_t until_ns) {
    const std::int64_t left = until_ns - monotonic_ns();
    if (left > 0) {
      rest_.wait_for(lock, std::chrono::nanoseconds(left), [this] { return asked_; });
    }
    return std::exchange(asked_, false);
  }

  void keep_house(EventThread::Run& run) {
    std::int64_t next_tick = monotonic_ns() + kTickNs;
    std::int64_t next_look = 0;
    std::int64_t next_pass = 0;
    while (!run.stopping()) {
      Happened happened;
      std::shared_ptr<WriterSession> session;
      bool armed = false;
      std::int64_t wake = 0;
      {
        std::unique_lock lock(mutex_);
        const bool asked = rest(lock, next_look);
        session = session_;
        if (session) session->attention().arm();  // before the look: nothing is missed
        const bool came = session && admit();
        const std::int64_t now = monotonic_ns();
        next_look = came ? now : now + kLookNs;
        wake = next_pass;
        if (asked || now >= next_pass) {
          pass(lock, now >= next_tick, happened);
          next_pass = std::max(next_pass, now - kSavedPassesNs) + kPassNs;
          if (now >= next_tick) next_tick = now + kTickNs;
          wake = next_tick;
        }
        armed = session_ == session;
        session = session_;
      }
      // One of the functions that are called may free the Writer: then this object goes
      // with the end of the block.
      const std::shared_ptr<Impl> self = shared_from_this();
      if (!tell(run, happened) || !session) return;
      if (!armed) continue;  // the channel is another one now
      session->attention().sleep(wake);
    }
  }

  bool admit() {
    if (session_->core().admit() == 0) return false;
    woken_.notify_all();
    return true;
  }

  void pass(std::unique_lock<std::mutex>& lock, bool tick, Happened& happened) {
    if (session_ &&
        (session_->name_lost() || session_->faulted() || (tick && !session_->whole()))) {
      reclaim(lock, happened);
    }
    POSSUM_CRASH_POINT("tick.stat");
    if (session_) {
      look_at_readers(happened);
      if (tick) session_->core().relax_reserve();
      look_at_pool(happened);
    }
    happened.limited = std::exchange(shortage_, std::nullopt);
    happened.claimed = std::exchange(claimed_, std::nullopt);
  }

  // rm, a system that clears /dev/shm at logout, or somebody who truncates: the channel
  // is made anew under its name, readers find it by themselves. Somebody may hold the
  // name for a moment: the mutex is free meanwhile, and frames are dropped.
  void reclaim(std::unique_lock<std::mutex>& lock, Happened& happened) {
    session_->end();  // now: a thread that sleeps in it may keep it for a while
    session_.reset();
    for (unsigned r = 0; r < layout::kReaders; ++r) {
      if (known_[r].attached) happened.detached.emplace_back(r, "left");
    }
    known_ = {};
    Claim claim;
    Error error;
    WriteStatus status = WriteStatus::ok;
    if (claim_channel(claim_options(), claim, error) != ClaimStatus::ok) {
      reclaiming_ = true;
      lock.unlock();
      status = claim_by(monotonic_ns() + kReclaimNs, reclaim_watch_, claim, error);
      reclaim_watch_.disarm();
      lock.lock();
      reclaiming_ = false;
      woken_.notify_all();
    }
    if (status == WriteStatus::ok) {
      claimed_ = {claim.took_over, true};
      session_ = std::make_shared<WriterSession>(std::move(claim), options_);
      if (eos_) session_->core().set_eos();
    } else if (status == WriteStatus::failed) {  // or closed meanwhile
      lost_ = error;
      happened.lost = error;
    }
  }

  void look_at_readers(Happened& happened) {
    auto& core = session_->core();
    core.recycle();
    const Core::Recycled gone = core.collect_recycled();
    if ((gone.left | gone.died) != 0) {
      session_->room().ring();  // what they held is free
      woken_.notify_all();
    }
    admit();
    for (unsigned r = 0; r < layout::kReaders; ++r) {
      const bool active = core.active(r);
      KnownReader& known = known_[r];
      if (known.attached && (!active || core.tenant(r) != known.tenant)) {
        known.attached = false;
        const bool died = (gone.died & slot_bit(r)) != 0;
        happened.detached.emplace_back(r, died ? "died" : "left");
      }
      if (active && !known.attached) {
        known = {true, core.tenant(r)};
        happened.attached.emplace_back(
            r, session_->page(r).pid.load(std::memory_order_relaxed));
      }
      if ((demotions_ & slot_bit(r)) != 0) {
        happened.demoted.emplace_back(
            r, session_->page(r).pid.load(std::memory_order_relaxed));
      }
    }
    demotions_ = 0;
  }

  void shortage(unsigned slots, const Error& error) {
    if (std::exchange(shortage_told_, true)) return;
    shortage_ = std::pair(slots, error);
    ask_housekeeping();
  }

  void look_at_pool(Happened& happened) {
    const std::pair now{static_cast<unsigned>(std::popcount(session_->core().have())),
                        session_->object_bytes()};
    if (now.first > pool_.first) shortage_told_ = false;
    if (std::exchange(pool_, now) != now) happened.pool = now;
  }

  // False: close() was called meanwhile.
  bool tell(EventThread::Run& run, const Happened& happened) const {
    const auto say = [&run](const auto& event, const auto&... what) {
      return event ? run.call([&] { event(what...); }) : !run.stopping();
    };
    if (happened.claimed) {
      const auto& [took_over, anew] = *happened.claimed;
      if (!say(events_.claimed, took_over, anew)) return false;
    }
    if (happened.pool) {
      const auto& [slots, bytes] = *happened.pool;
      if (!say(events_.pool_changed, slots, bytes)) return false;
    }
    for (const auto& [r, reason] : happened.detached) {
      if (!say(events_.reader_detached, r, reason)) return false;
    }
    for (const auto& [r, pid] : happened.attached) {
      if (!say(events_.reader_attached, r, pid)) return false;
    }
    for (const auto& [r, pid] : happened.demoted) {
      if (!say(events_.reader_demoted, r, pid)) return false;
    }
    if (happened.limited) {
      const auto& [slots, error] = *happened.limited;
      if (!say(events_.pool_limited, slots, error)) return false;
    }
    if (happened.lost && !say(events_.lost, *happened.lost)) return false;
    return !run.stopping();
  }

  const WriterOptions options_;
  const WriterEvents events_;
  const std::uint32_t generation_;
  ChannelWatch watch_;          // also carries the interrupt
  ChannelWatch reclaim_watch_;  // of the housekeeping thread; close() interrupts it
  EventThread housekeeping_;

  mutable std::mutex mutex_;                // guards all below; never held in a sleep
  std::shared_ptr<WriterSession> session_;  // null while closed, lost or reclaiming
  bool reclaiming_ = false;                 // the name was lost, and is waited for
  bool eos_ = false;                        // for the next life of the channel
  Error lost_;
  WriterStatistics statistics_;
  std::array<KnownReader, layout::kReaders> known_{};
  bool sleeping_ = false;          // a thread is in sleep_on_room()
  std::uint64_t sleeps_ = 0;       // that have ended
  std::condition_variable woken_;  // when one has
  std::condition_variable rest_;   // of the housekeeping thread
  bool asked_ = false;             // it has something to do for this process
  std::uint32_t demotions_ = 0;    // pages to tell about
  bool shortage_told_ = false;
  std::optional<std::pair<unsigned, Error>> shortage_;
  std::optional<std::pair<bool, bool>> claimed_;  // to tell: took over, anew
  std::pair<unsigned, std::size_t> pool_;         // as it was told
};

// --- Writer
// ------------------------------------------------------------------------------------

std::unique_ptr<Writer> Writer::create(WriterOptions options, WriterEvents events,
                                       Error& error) {
  if (!valid_channel_name(options.channel)) {
    error = channel_name_error(options.channel);
    return nullptr;
  }
  if (options.slots < kMinSlots || options.slots > layout::kSlots) {
    error = make_error(ErrorCode::settings, "slots must be 3 to 32",
                       std::to_string(options.slots));
    return nullptr;
  }
  if (const Error bad = check_perms(options.perms, options.group.has_value())) {
    error = bad;
    return nullptr;
  }
  if (options.bus_guard) install_bus_guard();
  return std::unique_ptr<Writer>(
      new Writer(std::make_shared<Impl>(std::move(options), std::move(events))));
}

Writer::Writer(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}
Writer::~Writer() { impl_->close(); }
WriteStatus Writer::open(Error& error) { return impl_->open(error); }
void Writer::close() { impl_->close(); }
bool Writer::is_open() const { return impl_->is_open(); }
void Writer::interrupt(bool on) { impl_->interrupt(on); }
bool Writer::prepare(unsigned count, std::size_t bytes, Error& error) {
  return impl_->prepare(count, bytes, error);
}
std::optional<SlotRef> Writer::lend(std::size_t bytes, std::size_t caps_bytes) {
  return impl_->lend(bytes, caps_bytes);
}
void Writer::give_back(const SlotRef& ref) { impl_->give_back(ref); }
WriteStatus Writer::acquire(std::size_t bytes, std::size_t caps_bytes,
                            std::size_t metas_bytes, SlotRef& ref, Error& error,
                            std::int64_t deadline_ns) {
  return impl_->acquire(bytes, caps_bytes, metas_bytes, ref, error, deadline_ns);
}
bool Writer::publishable(const SlotRef& ref, std::size_t caps_bytes,
                         std::size_t metas_bytes) const {
  return impl_->publishable(ref, caps_bytes, metas_bytes);
}
WriteStatus Writer::publish(const SlotRef& ref, layout::FrameDescriptor& frame,
                            std::string_view caps, std::span<const std::byte> metas,
                            bool zero_copy, Error& error, std::int64_t deadline_ns) {
  return impl_->publish(ref, frame, caps, metas, zero_copy, error, deadline_ns);
}
void Writer::abandon_publish() { impl_->abandon_publish(); }
WriteStatus Writer::wait_readers(const std::atomic<unsigned>& count, Error& error,
                                 std::int64_t deadline_ns) {
  return impl_->wait_readers(count, error, deadline_ns);
}
unsigned Writer::active_readers() const { return impl_->active_readers(); }
void Writer::set_eos() { impl_->set_eos(); }
WriteStatus Writer::drain(Error& error, std::int64_t deadline_ns) {
  return impl_->drain(error, deadline_ns);
}
void Writer::flush() { impl_->flush(); }
WriterStatistics Writer::statistics() const { return impl_->statistics(); }
std::uint64_t Writer::incarnation() const { return impl_->incarnation(); }

}  // namespace possum::transport
