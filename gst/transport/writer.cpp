// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "writer.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "base/bus_guard.h"
#include "base/clock.h"
#include "base/crash_point.h"
#include "base/fork_guard.h"
#include "base/users.h"
#include "channel/errors.h"
#include "channel/names.h"

namespace possum::transport {
namespace {

constexpr std::int64_t kLookNs = 20 * kMs;  // a killed reader does not ring
// With /dev/shm full and readers sitting on every slot that is large enough for new caps,
// no reader's progress may ever free one: give up with the reason.
constexpr std::int64_t kStarvedNs = 5000 * kMs;
constexpr std::int64_t kLongNs = std::int64_t{1} << 60;  // keeps sums in range
constexpr unsigned kMinSlots = 3;

unsigned count(std::uint32_t mask) { return static_cast<unsigned>(std::popcount(mask)); }

std::optional<WriteStatus> done_if(bool done) {
  return done ? std::optional(WriteStatus::ok) : std::nullopt;
}

WriteStatus fork_failure(Error& error) {
  error = made_before_fork("writer");
  return WriteStatus::failed;
}

}  // namespace

// One wait for readers, from its first sleep on.
class Writer::Wait {
 public:
  Wait(const Core& core, std::int64_t now) : began_ns(now), held_up_ns(now) {
    for (unsigned r = 0; r < layout::kReaders; ++r) {
      readers_[r].tenant = core.tenant(r);
      readers_[r].newcomer = (core.admitted() & slot_bit(r)) == 0;
    }
  }

  // The readers of `pages` hold up the writer. Those that have taken nothing for limit_ns
  // lose the right to; true if there was one. Else until_ns becomes the time when one
  // may, if that is earlier. Nothing is offered meanwhile, so progress is that fewer
  // offers are left: bits that come and go are none, nor are a reader's own beyond what
  // it was given.
  bool demote(Core& core, std::uint32_t pages, std::int64_t now, std::int64_t limit_ns,
              std::int64_t& until_ns) {
    bool demoted = false;
    for (unsigned r = 0; r < layout::kReaders; ++r) {
      Reader& known = readers_[r];
      if (core.tenant(r) != known.tenant) known = {core.tenant(r), true, 0, 0};
      if ((pages & slot_bit(r)) == 0) {
        known.since_ns = 0;
        continue;
      }
      if (!known.newcomer) held_up_ns = now;
      const unsigned offers = count(layout::offered_of(core.word_of(r)) & core.given(r));
      if (known.since_ns == 0 || offers < known.offers) {
        known.offers = offers;
        known.since_ns = now;
      }
      until_ns = std::min(until_ns, known.since_ns + limit_ns);
      if (now < known.since_ns + limit_ns) continue;
      core.demote(r);
      demoted = true;
    }
    return demoted;
  }

  const std::int64_t began_ns;
  // When last somebody held up the writer who may. Whoever attaches during the wait may
  // not stretch it.
  std::int64_t held_up_ns;

 private:
  struct Reader {
    std::uint32_t tenant = 0;
    bool newcomer = false;      // attached during the wait
    unsigned offers = 0;        // the fewest seen
    std::int64_t since_ns = 0;  // when it began to hold us up, or took something
  };
  std::array<Reader, layout::kReaders> readers_{};
};

// --- life ------------------------------------------------------------------------------

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
  return std::unique_ptr<Writer>(new Writer(std::move(options), std::move(events)));
}

Writer::Writer(WriterOptions options, WriterEvents events)
    : generation_(process_generation()),
      max_blocking_ns_(std::min(options.max_blocking_ns, kLongNs)),
      watch_(control_name(options.channel)),
      state_(std::move(options), std::move(events)),
      housekeeping_(state_) {}

Writer::~Writer() { close(); }

WriteStatus Writer::open(Error& error) {
  if (forked()) return fork_failure(error);
  if (is_open()) {
    error = make_error(ErrorCode::settings, "This writer is open already: close it first",
                       state_.options.channel);
    return WriteStatus::failed;
  }
  close();  // what is left of a channel that was lost
  {
    const MutexLock lock(state_.mutex);
    statistics_ = {};
    shortage_told_ = false;
    state_.eos = false;
    state_.lost = {};
  }
  return housekeeping_.start(
      monotonic_ns() + std::min(state_.options.claim_timeout_ns, kLongNs), watch_, error);
}

void Writer::close() {
  if (!forked()) housekeeping_.stop();
}

bool Writer::is_open() const {
  if (forked()) return false;
  const MutexLock lock(state_.mutex);
  return state_.channel != nullptr || state_.reclaiming;
}

void Writer::interrupt(bool on) {
  if (forked()) return;  // the descriptor in there is the parent's as well
  watch_.interrupt(on);
  if (!on) return;
  const MutexLock lock(state_.mutex);
  if (state_.channel) state_.channel->claim.room.ring_self();
  state_.changed.notify_all();
}

std::uint64_t Writer::incarnation() const {
  if (forked()) return 0;
  const MutexLock lock(state_.mutex);
  return state_.channel ? state_.channel->claim.incarnation : 0;
}

// No frame can be published any more: the Error says why.
bool Writer::gone(Error& error) const {
  if (state_.channel || state_.reclaiming) return false;
  error = state_.lost ? state_.lost
                      : make_error(ErrorCode::system, "The channel is closed", "close()");
  return true;
}

// --- slots -----------------------------------------------------------------------------

bool Writer::prepare(unsigned wanted, std::size_t bytes, Error& error) {
  if (forked()) return fork_failure(error) == WriteStatus::ok;
  const MutexLock lock(state_.mutex);
  if (gone(error)) return false;
  if (!state_.channel) return true;  // frames will ask for their slots
  SlotRequest request({bytes, 0, 0});
  wanted = std::clamp(wanted, kMinSlots, state_.options.slots);
  if (state_.channel->core.prepare(wanted, request) < kMinSlots) {
    error = too_few_slots(request);
    return false;
  }
  note_shortage(request);
  return true;
}

std::optional<SlotRef> Writer::lend(std::size_t bytes, std::size_t caps_bytes) {
  if (forked()) return std::nullopt;
  const MutexLock lock(state_.mutex);
  if (!state_.channel) return std::nullopt;
  Incarnation& channel = *state_.channel;
  SlotRequest request({bytes, caps_bytes, 0});
  const std::optional<unsigned> slot = channel.core.lend(request);
  note_shortage(request);
  if (!slot || channel.damaged()) return std::nullopt;  // as in find_slot()
  return channel.slots.ref(*slot);
}

void Writer::give_back(const SlotRef& ref) {
  if (forked()) return;
  const MutexLock lock(state_.mutex);
  if (state_.channel && state_.channel->slots.owns(ref)) {
    state_.channel->core.give_back(ref.slot);
  }
}

WriteStatus Writer::acquire(std::size_t bytes, std::size_t caps_bytes,
                            std::size_t metas_bytes, SlotRef& ref, Error& error,
                            std::int64_t deadline_ns) {
  if (forked()) return fork_failure(error);
  const MutexLock lock(state_.mutex);
  SlotRequest request({bytes, caps_bytes, metas_bytes});
  return wait_until(
      deadline_ns, error,
      [&](const Wait* wait)
          POSSUM_REQUIRES(state_.mutex) { return find_slot(request, wait, ref, error); },
      [](const Core& core) { return core.undrained(); });
}

std::optional<WriteStatus> Writer::find_slot(SlotRequest& request, const Wait* wait,
                                             SlotRef& ref, Error& error) {
  if (!state_.channel && state_.name_held) return drop_frame();
  if (!state_.channel) return std::nullopt;
  Incarnation& channel = *state_.channel;
  auto& core = channel.core;
  if (channel.damaged()) return drop_damaged();
  core.end_publish();  // of a frame that was not continued
  if (count(core.have()) < kMinSlots && core.prepare(kMinSlots, request) < kMinSlots) {
    error = too_few_slots(request);
    return WriteStatus::failed;
  }
  unsigned slot = 0;
  const auto found = core.acquire(slot, request);
  // Only now is it known: pages that were truncated say that nobody holds anything.
  if (channel.damaged()) return drop_damaged();
  if (found == Core::Found::slot) {
    note_shortage(request);
    ref = channel.slots.ref(slot);
    return WriteStatus::ok;
  }
  const std::int64_t now = wait ? monotonic_ns() : 0;
  // No room for even one slot of this size, not just all of them in use.
  if (request.error && !channel.slots.any_fits(request.need) &&
      (found == Core::Found::none || (wait && now - wait->began_ns > kStarvedNs))) {
    error = too_few_slots(request);
    return WriteStatus::failed;
  }
  note_shortage(request);
  if (found == Core::Found::none) return drop_frame();
  // It has been so long that nobody who may hold up the writer has a frame to take: then
  // others keep all slots, which they may not.
  if (wait && now - wait->held_up_ns >= max_blocking_ns_) {
    return drop_frame();
  }
  return std::nullopt;
}

// The pool could not grow: told once, until it has grown again.
void Writer::note_shortage(const SlotRequest& request) {
  if (!request.error) {
    if (request.made) shortage_told_ = false;
    return;
  }
  if (std::exchange(shortage_told_, true)) return;
  state_.report(&WriterEvents::pool_limited, count(state_.channel->core.have()),
                *request.error);
}

// Fewer than three slots: says what would be needed.
Error Writer::too_few_slots(const SlotRequest& request) const {
  layout::DataHeader header{};
  plan_data_object(request.need, header);
  const Error error = request.error.value_or(Error{});
  if (error.code != ErrorCode::no_space || error.needed_bytes == 0) return error;
  return too_small(state_.options.channel, kMinSlots * header.object_bytes,
                   shm_free_bytes() + state_.channel->slots.bytes(), error.detail);
}

// --- publishing ------------------------------------------------------------------------

bool Writer::publishable(const SlotRef& ref, std::size_t caps_bytes,
                         std::size_t metas_bytes) const {
  if (forked()) return false;
  const MutexLock lock(state_.mutex);
  return state_.channel && state_.channel->slots.owns(ref) &&
         state_.channel->slots.fits(ref.slot, {0, caps_bytes, metas_bytes}) &&
         !state_.channel->core.visible(ref.slot) && !state_.channel->damaged();
}

WriteStatus Writer::publish(const SlotRef& ref, layout::FrameDescriptor& frame,
                            std::string_view caps, std::span<const std::byte> metas,
                            bool zero_copy, Error& error, std::int64_t deadline_ns) {
  if (forked()) return fork_failure(error);
  const MutexLock lock(state_.mutex);
  if (gone(error)) return WriteStatus::failed;
  // Not ours: the channel was made anew meanwhile.
  if (!state_.channel || !state_.channel->slots.owns(ref)) return drop_frame();
  state_.eos = false;
  Incarnation& channel = *state_.channel;
  if (!channel.core.publishing(ref.slot)) {
    if (!channel.slots.fits(ref.slot, {0, caps.size(), metas.size()}) ||
        frame.data_offset > ref.capacity ||
        frame.data_bytes > ref.capacity - frame.data_offset) {
      error = make_error(ErrorCode::settings, "The frame does not fit its slot.",
                         std::to_string(frame.data_bytes) + " bytes");
      return WriteStatus::failed;
    }
    const bool new_caps = channel.slots.fill(ref.slot, frame, caps, metas);
    if (channel.damaged()) return drop_damaged();
    channel.core.begin_publish(ref.slot, frame.seq);
    count_frame(frame, zero_copy);
    // Those who look at the channel from outside see it by inotify(7).
    if (new_caps) futimens(channel.claim.lock.get(), nullptr);
  }
  const auto finish = [&](const Wait*) POSSUM_REQUIRES(state_.mutex) {
    // Not ours any more: those readers that were waited for are gone.
    if (!state_.channel || !state_.channel->slots.owns(ref)) return done_if(true);
    if (!state_.channel->core.continue_publish()) return done_if(false);
    state_.channel->core.end_publish();
    return done_if(true);
  };
  if (finish(nullptr)) return WriteStatus::ok;
  return wait_until(deadline_ns, error, finish,
                    [](const Core& core) { return core.pending_pages(); });
}

void Writer::abandon_publish() {
  if (forked()) return;
  const MutexLock lock(state_.mutex);
  if (state_.channel) state_.channel->core.end_publish();
}

void Writer::set_eos() {
  if (forked()) return;
  const MutexLock lock(state_.mutex);
  state_.eos = true;
  if (state_.channel) state_.channel->core.set_eos();
}

void Writer::flush() {
  if (forked()) return;
  const MutexLock lock(state_.mutex);
  state_.eos = false;
  if (state_.channel) state_.channel->core.flush();
}

// The channel is truncated: housekeeping makes it anew.
WriteStatus Writer::drop_damaged() {
  state_.wake_housekeeping();
  return drop_frame();
}

WriteStatus Writer::drop_frame() {
  ++statistics_.no_slot;
  if (!state_.channel) return WriteStatus::no_slot;
  state_.channel->core.forget_newest();
  state_.channel->header().statistics.no_slot.store(statistics_.no_slot,
                                                    std::memory_order_relaxed);
  POSSUM_CRASH_POINT("acquire.count");
  return WriteStatus::no_slot;
}

void Writer::count_frame(const layout::FrameDescriptor& frame, bool zero_copy) {
  ++statistics_.frames;
  statistics_.bytes += frame.data_bytes;
  ++(zero_copy ? statistics_.zero_copy : statistics_.copied);
  layout::ChannelStatistics& shared = state_.channel->header().statistics;
  constexpr auto relaxed = std::memory_order_relaxed;
  shared.frames.store(statistics_.frames, relaxed);
  shared.bytes.store(statistics_.bytes, relaxed);
  shared.zero_copy.store(statistics_.zero_copy, relaxed);
  shared.copied.store(statistics_.copied, relaxed);
  shared.last_publish_ns.store(frame.publish_ns, relaxed);
  POSSUM_CRASH_POINT("publish.count");
}

// --- waiting ---------------------------------------------------------------------------

WriteStatus Writer::wait_readers(const std::atomic<unsigned>& wanted, Error& error,
                                 std::int64_t deadline_ns) {
  if (forked()) return fork_failure(error);
  const MutexLock lock(state_.mutex);
  return wait_until(
      deadline_ns, error,
      [&](const Wait*) POSSUM_REQUIRES(state_.mutex) {
        return done_if(attached() >= wanted.load(std::memory_order_relaxed));
      },
      nullptr);
}

WriteStatus Writer::drain(Error& error, std::int64_t deadline_ns) {
  if (forked()) return fork_failure(error);
  const MutexLock lock(state_.mutex);
  return wait_until(
      deadline_ns, error,
      [this](const Wait*) POSSUM_REQUIRES(state_.mutex) {
        return done_if(state_.channel && state_.channel->core.undrained() == 0);
      },
      [](const Core& core) { return core.undrained(); });
}

// Until look() gives a status, an interrupt or the deadline. holding() says which pages
// hold up the writer, if any may. The doorbell is made for one sleeper: a second thread
// that waits is woken by the first.
template <class Look>
WriteStatus Writer::wait_until(std::int64_t deadline_ns, Error& error, Look look,
                               std::uint32_t (*holding)(const Core&)) {
  std::optional<Wait> wait;
  for (;;) {
    if (watch_.interrupted()) return WriteStatus::interrupted;
    if (gone(error)) return WriteStatus::failed;
    if (const auto status = look(wait ? &*wait : nullptr)) return *status;
    const std::int64_t now = monotonic_ns();
    if (now >= deadline_ns) return WriteStatus::timeout;
    std::int64_t until_ns = std::min(deadline_ns, now + kLookNs);
    const std::shared_ptr<Incarnation> channel = state_.channel;
    if (channel && !wait) wait.emplace(channel->core, now);
    if (channel && holding &&
        wait->demote(channel->core, holding(channel->core), now, max_blocking_ns_,
                     until_ns)) {
      state_.wake_housekeeping();  // tells of it
    } else if (!channel || room_taken_) {
      state_.changed.wait_until(state_.mutex, until_ns);
    } else {
      channel->claim.room.arm();
      if (const auto status = look(&*wait)) {
        channel->claim.room.disarm();
        return *status;
      }
      room_taken_ = true;
      {
        const MutexUnlock unlocked(state_.mutex);
        if (!watch_.interrupted()) channel->claim.room.sleep(until_ns);
      }
      room_taken_ = false;
      state_.changed.notify_all();
    }
    // A reader that was killed rings nobody.
    if (state_.channel && monotonic_ns() >= until_ns) state_.channel->core.recycle();
  }
}

// --- looking ---------------------------------------------------------------------------

unsigned Writer::attached() const {
  unsigned readers = 0;
  if (!state_.channel) return readers;
  const Core& core = state_.channel->core;
  for_each_bit(core.admitted(), [&](unsigned r) { readers += core.active(r) ? 1 : 0; });
  return readers;
}

unsigned Writer::active_readers() const {
  if (forked()) return 0;
  const MutexLock lock(state_.mutex);
  return attached();
}

WriterStatistics Writer::statistics() const {
  if (forked()) return {};
  const MutexLock lock(state_.mutex);
  WriterStatistics result = statistics_;
  if (!state_.channel) return result;
  const Incarnation& channel = *state_.channel;
  const auto& core = channel.core;
  result.held = count(core.taken());
  result.slots = count(core.have());
  result.lent = count(core.lent());
  for_each_bit(core.admitted(), [&](unsigned r) {
    if (!core.active(r)) return;
    const layout::ReaderPage& page = channel.page(r);
    const std::uint64_t word =
        core.word_of(r) & layout::make_word(core.given(r), core.given(r));
    ReaderInfo& info = result.readers.emplace_back();
    info.index = r;
    info.pid = page.pid.load(std::memory_order_relaxed);
    info.policy = layout::unpack(page.cfg.load(std::memory_order_relaxed)).policy;
    info.demoted = core.demoted(r);
    info.waiting = count(layout::offered_of(word));
    info.held = count(layout::taken_of(word));
    info.delivered = page.frames.load(std::memory_order_relaxed);
    info.dropped = core.dropped(r);
  });
  return result;
}

}  // namespace possum::transport
