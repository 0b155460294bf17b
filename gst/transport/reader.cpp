// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "reader.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <mutex>
#include <new>

#include "base/clock.h"
#include "base/fork_guard.h"
#include "channel.h"
#include "channel_watch.h"
#include "crash_point.h"
#include "descriptor.h"
#include "doorbell.h"
#include "frame_times.h"
#include "reader_core.h"
#include "spin.h"
#include "writer.h"

namespace possum::transport {
namespace {

constexpr std::int64_t kMs = 1'000'000;
// How often a waiting reader looks whether its writer lives: often at first, so that a
// restarted writer is followed at once; seldom in a long pause.
constexpr std::int64_t kBusyTickNs = 20 * kMs;
constexpr std::int64_t kIdleTickNs = 100 * kMs;
constexpr std::int64_t kIdleAfterNs = 1000 * kMs;
constexpr std::int64_t kSearchNs = 250 * kMs;    // the slow poll behind inotify
constexpr std::int64_t kPageFullNs = 100 * kMs;  // between looks for a free page
constexpr std::int64_t kSetUpPollNs = 5 * kMs;   // while a writer is setting up
constexpr std::int64_t kSetUpLimitNs = 1000 * kMs;
constexpr std::int64_t kTellNs = 1000 * kMs;  // from one reason to wait to the next
// Tries of one take() that found nothing to take though something was offered: one is a
// race, so many are a writer that offers nonsense for ever.
constexpr int kMaxFruitless = 100;

std::int64_t earlier(std::int64_t deadline_ns, std::int64_t from_now_ns) {
  return std::min(deadline_ns, monotonic_ns() + from_now_ns);
}

Error damaged(const std::string& channel, const std::string& why) {
  return make_error(
      ErrorCode::corrupt,
      "channel \"" + channel + "\" is damaged or truncated: restart its writer", why);
}

Error no_memory(const std::string& what) {
  return make_error(ErrorCode::system,
                    "There is not enough memory for a frame: close other programs or use "
                    "a smaller format",
                    "allocating " + what);
}

Error fork_failure() {
  return make_error(ErrorCode::system,
                    "A possum reader does not survive fork(): open it in the child",
                    "opened by another process");
}

// Is less memory there than the size says? Reading a hole makes whoever reads it pay for
// it, is SIGBUS where there is no memory, and makes a size mean nothing: copies are as
// large as a frame says it is.
bool has_holes(const struct stat& info) {
  constexpr off_t kBlock = 512;  // stat(2)
  return info.st_blocks < info.st_size / kBlock;
}

// A data object in this process.
struct MappedSlot {
  std::uint32_t object = 0;
  layout::DataHeader header{};
  std::shared_ptr<ShmObject> mapping;
};

// Environment of lock_free_page().
struct PageLocks {
  OpenControl& open;
  layout::ReaderUnit& page(unsigned r) const { return open.control.page(r); }
  bool lock_page(unsigned r) const {
    return open.lock.try_lock(layout::kReaderByte + r) == LockFd::Result::ok;
  }
  void unlock_page(unsigned r) const { open.lock.unlock(layout::kReaderByte + r); }
};

}  // namespace

// One tenancy of one page. Lives until the Reader left it and the last frame is gone; its
// byte lock is what tells the writer that the page's TAKEN bits still count.
class Attachment {
 public:
  Attachment(OpenControl open, Tenancy tenancy, std::string channel, bool copy_on_write)
      : open_(std::move(open)),
        room_(open_.room()),
        attention_(open_.attention()),
        bell_(open_.bell(tenancy.page)),
        page_(tenancy.page),
        core_(*this, tenancy),
        channel_(std::move(channel)),
        copy_on_write_(copy_on_write),
        generation_(process_generation()),
        entered_ns_(monotonic_ns()) {}

  ~Attachment() {
    if (forked()) return;
    open_.lock.reset();
    POSSUM_CRASH_POINT("leave.unlock");
    ring_both();
  }
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  std::uint64_t incarnation() const { return open_.incarnation; }
  Doorbell& bell() { return bell_; }
  ReaderCore<Attachment>::Next next(bool dead, bool ignore_eos) const {
    return core_.next(dead, ignore_eos);
  }
  // May there be a frame? A hint.
  bool offered() const {
    return layout::offered_of(own_page().word.load(std::memory_order_relaxed)) != 0;
  }
  bool forked() const { return generation_ != process_generation(); }

  void announce() {
    own_page().pid.store(static_cast<std::uint32_t>(getpid()), std::memory_order_relaxed);
    POSSUM_CRASH_POINT("announce.pid");
    std::array<char, layout::kNameBytes> name{};
    const std::string text = process_name();
    std::memcpy(name.data(), text.data(), std::min(text.size(), name.size() - 1));
    for (std::size_t i = 0; i < name.size() / 8; ++i) {
      std::uint64_t part;
      std::memcpy(&part, name.data() + 8 * i, sizeof part);
      own_page().name[i].store(part, std::memory_order_relaxed);
      POSSUM_CRASH_POINT("announce.name");
    }
    own_page().frames.store(0, std::memory_order_relaxed);
    own_page().missed.store(0, std::memory_order_relaxed);
    own_page().copied.store(0, std::memory_order_relaxed);
    POSSUM_CRASH_POINT("announce.counts");
  }

  void enter(layout::Policy policy, unsigned depth) { core_.enter(policy, depth); }

  void set_depth(unsigned depth) {
    if (forked()) return;
    const std::lock_guard lock(mutex_);
    core_.set_depth(depth);
  }

  void leave() {
    if (forked()) return;
    {
      const std::lock_guard lock(mutex_);
      core_.leave();
    }
    for (MappedSlot& slot : mapped_) slot = {};
  }

  bool whole() const {
    struct stat info {};
    return fstat(open_.lock.get(), &info) == 0 &&
           info.st_size == static_cast<off_t>(control_bytes()) && mapped_whole();
  }

  void map_all() {
    for (unsigned s = 0; s < layout::kSlots; ++s) {
      // A replaced object is simply not there any more.
      if (const auto object = core_.object_of(s)) map(s, object);
    }
  }
  // Lets go of objects that the table no longer names; frames keep theirs.
  void forget_replaced() {
    for (unsigned s = 0; s < layout::kSlots; ++s) {
      if (mapped_[s].object != 0 && mapped_[s].object != core_.object_of(s))
        mapped_[s] = {};
    }
  }

  // frame, timeout (nothing is offered) or failed. Never waits.
  TakeStatus try_take(const std::shared_ptr<Attachment>& self, Frame& frame,
                      Error& error) {
    if (forked()) {
      error = fork_failure();
      return TakeStatus::failed;
    }
    // More frames than there are slots cannot have gone with a writer.
    for (unsigned lost = 0; lost <= layout::kSlots; ++lost) {
      if (faulted(error)) return TakeStatus::failed;
      const std::uint32_t mapped = core_.map_offered();
      ReaderCore<Attachment>::Taken taken;
      bool copy = false;
      {
        const std::lock_guard lock(mutex_);
        if (page_lost(error)) return TakeStatus::failed;
        const auto found = core_.take(last_seq_, mapped);
        if (!found) return TakeStatus::timeout;
        taken = *found;
        copy = core_.must_copy(leases_);
        ++leases_;
      }
      Frame got;
      got.attachment_ = self;  // from here on its destructor releases the slot
      got.slot_ = taken.slot;
      switch (fill(got, taken.seq, copy, error)) {
        case Filled::ok:
          account(got, taken.seq);
          frame = std::move(got);
          return TakeStatus::frame;
        case Filled::lost:
          count_lost();
          continue;
        case Filled::bad:
          return TakeStatus::failed;
      }
    }
    error = damaged(channel_, "frames are offered that do not exist");
    return TakeStatus::failed;
  }

  void release(unsigned slot) {
    if (forked()) return;
    const std::lock_guard lock(mutex_);
    --leases_;
    if (core_.tenant()) core_.release(slot);
  }

  void skip_to_newest() {
    if (forked()) return;
    const std::lock_guard lock(mutex_);
    const auto waiting = [&] {
      return std::popcount(
          layout::offered_of(own_page().word.load(std::memory_order_acquire)));
    };
    // A writer that offers faster than this does not keep us here.
    for (unsigned skipped = 0; skipped < layout::kSlots; ++skipped) {
      if (!core_.tenant() || waiting() <= 1) return;
      const auto taken = core_.take(last_seq_, ~0u);  // nobody will look at it
      if (!taken) return;
      core_.release(taken->slot);
    }
  }

  ReaderStatistics statistics() const {
    const std::lock_guard lock(mutex_);
    return statistics_;
  }

  // --- environment of ReaderCore
  // ---------------------------------------------------------
  layout::ControlHeader& header() const { return open_.control.header(); }
  layout::ReaderUnit& page(unsigned r) const { return open_.control.page(r); }
  void ring_writer() { room_.ring(); }
  void ring_both() {
    attention_.ring();
    room_.ring();
  }
  bool writer_alive() const { return open_.lock.held_by_other(layout::kOwnerByte); }
  bool linked() const {
    struct stat info {};
    return fstat(open_.lock.get(), &info) == 0 && info.st_nlink > 0;
  }
  // The taking thread only; error_ says why it failed.
  Mapped map(unsigned slot, std::uint32_t object) {
    MappedSlot& mapped = mapped_[slot];
    if (mapped.object == object && mapped.mapping && !mapped.mapping->spoiled()) {
      return Mapped::ok;
    }
    mapped = {};
    const std::string name = data_name(channel_, open_.incarnation, object);
    UniqueFd fd(shm_open(name.c_str(), O_RDONLY | O_NONBLOCK, 0));
    POSSUM_CRASH_POINT("map.open");
    if (!fd && errno == ENOENT) return Mapped::gone;
    if (!fd) {
      const std::string what =
          "The frames of channel \"" + channel_ + "\" cannot be opened";
      // Of this process or the system; all else is the writer's to put right.
      const bool limit = errno == EMFILE || errno == ENFILE || errno == ENOMEM;
      error_ =
          limit ? shm_error(what, "shm_open " + name, errno)
                : system_error(errno == EACCES ? ErrorCode::corrupt : ErrorCode::system,
                               what + ": " + error_words(errno) + ": restart its writer",
                               "shm_open " + name, errno);
      return Mapped::failed;
    }
    struct stat info {};
    MappedSlot fresh;
    fresh.object = object;
    if (fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) ||
        info.st_uid != open_.owner || info.st_size <= 0 ||
        pread(fd.get(), &fresh.header, sizeof fresh.header, 0) !=
            static_cast<ssize_t>(sizeof fresh.header) ||
        !valid_data_header(fresh.header, static_cast<std::size_t>(info.st_size),
                           open_.incarnation, object, slot)) {
      error_ = damaged(channel_, "data object " + name);
      return Mapped::failed;
    }
    if (has_holes(info) || !mapped_whole()) {
      error_ = damaged(channel_, "data object " + name + " or another is not reserved");
      return Mapped::failed;
    }
    POSSUM_CRASH_POINT("map.header");
    fresh.mapping = ShmObject::map(fd.get(), static_cast<std::size_t>(info.st_size),
                                   Access::read_only, false, error_);
    if (!fresh.mapping) return Mapped::failed;
    if (copy_on_write_) {
      // Where pages are larger than the writer thinks, frames are read-only as they were.
      static_cast<void>(
          fresh.mapping->make_drawable(fd.get(), fresh.header.pixels_offset));
    }
    POSSUM_CRASH_POINT("map.map");
    mapped = std::move(fresh);
    return Mapped::ok;
  }

 private:
  using Core = ReaderCore<Attachment>;
  enum class Filled { ok, lost, bad };

  layout::ReaderUnit& own_page() const { return page(page_); }

  // Do the data objects have their full length, and all of their memory? Names that are
  // gone say nothing: the writer may have replaced an object, or stopped.
  bool mapped_whole() const {
    return std::all_of(mapped_.begin(), mapped_.end(), [this](const MappedSlot& mapped) {
      if (!mapped.mapping) return true;
      const auto named = stat_name(data_name(channel_, open_.incarnation, mapped.object));
      return !named || (named->st_size == static_cast<off_t>(mapped.mapping->size()) &&
                        !has_holes(*named));
    });
  }

  bool page_lost(Error& error) const {
    const layout::Config now =
        layout::unpack(own_page().cfg.load(std::memory_order_acquire));
    if (now.epoch == core_.epoch() && now.state == layout::PageState::active)
      return false;
    // Epochs only rise, and nobody but us ends a tenancy within one: these are zeros.
    error = now.epoch <= core_.epoch()
                ? damaged(channel_, "the reader page was wiped")
                : make_error(ErrorCode::system,
                             "channel \"" + channel_ +
                                 "\" took this reader for dead: the program must "
                                 "not close descriptors that it did not open (closefrom)",
                             "page epoch changed");
    return true;
  }

  // Did a mapping turn into zeros under us (bus_guard.h)? Costs next to nothing.
  bool faulted(Error& error) {
    const std::uint64_t faults = bus_faults();
    if (faults != faults_seen_) {
      faults_seen_ = faults;
      faulted_ |= open_.control.object().damaged();
      for (const MappedSlot& slot : mapped_) {
        faulted_ |= slot.mapping && slot.mapping->damaged();
      }
    }
    if (faulted_) error = damaged(channel_, "SIGBUS: an object was truncated");
    return faulted_;
  }

  Filled fill(Frame& frame, std::uint64_t seq, bool copy, Error& error) {
    const unsigned slot = frame.slot_;
    switch (core_.open(slot)) {
      case Core::Opened::ok:
        break;
      case Core::Opened::lost:
        return Filled::lost;
      case Core::Opened::removed:
        error = damaged(channel_,
                        "its frames were removed from " + std::string(kShmDirectory));
        return Filled::bad;
      case Core::Opened::failed:
        error = error_;
        return Filled::bad;
    }
    const MappedSlot& mapped = mapped_[slot];
    const std::byte* const base = mapped.mapping->data();
    frame.descriptor_ = copy_descriptor(base);
    std::string why;
    if (frame.descriptor_.seq != seq) {
      why = "the slot holds another frame than the table says";
    } else if (valid_descriptor(frame.descriptor_, mapped.header, why)) {
      why = take_text(frame, mapped);
    }
    if (!why.empty()) {
      error = damaged(channel_, why);
      return Filled::bad;
    }
    const std::byte* const pixels =
        base + mapped.header.pixels_offset + frame.descriptor_.data_offset;
    if (copy) {
      if (!fill_copy(frame, pixels, error)) return Filled::bad;
    } else {
      frame.data_ = pixels;
      frame.mapping_ = mapped.mapping;
    }
    return faulted(error) ? Filled::bad : Filled::ok;
  }

  bool fill_copy(Frame& frame, const std::byte* pixels, Error& error) {
    const std::size_t bytes = frame.descriptor_.data_bytes;
    frame.copy_.reset(new (std::nothrow) std::byte[bytes + unit_bytes()]);
    if (!frame.copy_) {
      error = no_memory("a copy of a frame, " + std::to_string(bytes) + " bytes");
      return false;
    }
    std::memcpy(frame.copy_.get(), pixels, bytes);
    frame.data_ = frame.copy_.get();
    frame.attachment_.reset();
    release(frame.slot_);
    return true;
  }

  // Caps and metas, copied before they are looked at. Returns what is wrong, if anything.
  std::string take_text(Frame& frame, const MappedSlot& mapped) {
    const layout::FrameDescriptor& d = frame.descriptor_;
    const std::byte* const base = mapped.mapping->data();
    if (!caps_ || caps_id_ != d.caps_id) {
      const auto* text = reinterpret_cast<const char*>(base + mapped.header.caps_offset);
      auto caps = std::make_shared<const std::string>(text, d.caps_bytes);
      if (caps->find('\0') != std::string::npos) return "caps text with a NUL byte";
      caps_ = std::move(caps);
      caps_id_ = d.caps_id;
    }
    frame.caps_ = caps_;
    const std::byte* const metas = base + mapped.header.metas_offset;
    frame.metas_.assign(metas, metas + d.metas_bytes);
    return {};
  }

  // A dead or stopping writer's frame that cannot be had any more; perhaps no later
  // sequence number tells.
  void count_lost() {
    if (writer_alive() && linked()) return;
    POSSUM_CRASH_POINT("take.lost");
    const std::lock_guard lock(mutex_);
    ++statistics_.missed;
    ++lost_;
  }

  void account(Frame& frame, std::uint64_t seq) {
    const std::lock_guard lock(mutex_);
    // The first frame has waited for whoever comes; all others were published for us.
    strange_clock_ |= last_seq_ != 0 && published_before(frame.descriptor_, entered_ns_);
    frame.strange_clock_ = strange_clock_;
    frame.missed_ = last_seq_ == 0 ? 0 : seq - last_seq_ - 1;
    last_seq_ = seq;
    ++statistics_.frames;
    statistics_.bytes += frame.size();
    statistics_.missed += frame.missed_ - std::min(lost_, frame.missed_);
    lost_ = 0;
    if (frame.is_copy()) ++statistics_.copied;
    own_page().frames.store(statistics_.frames, std::memory_order_relaxed);
    own_page().missed.store(statistics_.missed, std::memory_order_relaxed);
    own_page().copied.store(statistics_.copied, std::memory_order_relaxed);
    POSSUM_CRASH_POINT("take.counts");
  }

  // Constant after construction, but for the lock, which dies with us.
  OpenControl open_;
  Doorbell room_;
  Doorbell attention_;
  Doorbell bell_;  // the taking thread sleeps here
  const unsigned page_;
  Core core_;  // take() and release() under mutex_
  const std::string channel_;
  const bool copy_on_write_;
  const std::uint32_t generation_;
  const std::int64_t entered_ns_;  // before the writer could offer us anything
  // The taking thread only.
  std::array<MappedSlot, layout::kSlots> mapped_;
  Error error_;  // of the last map() that failed
  std::shared_ptr<const std::string> caps_;
  std::uint32_t caps_id_ = 0;
  std::uint64_t faults_seen_ = 0;
  bool faulted_ = false;
  // Guarded by mutex_: releases come from any thread.
  mutable std::mutex mutex_;
  unsigned leases_ = 0;
  bool strange_clock_ = false;
  std::uint64_t last_seq_ = 0;
  std::uint64_t lost_ = 0;  // since last_seq_, counted as missed already
  ReaderStatistics statistics_;
};

// --- Frame
// -----------------------------------------------------------------------------------

Frame::Frame() = default;
Frame::~Frame() { release(); }

Frame::Frame(Frame&& other) noexcept
    : descriptor_(other.descriptor_),
      data_(std::exchange(other.data_, nullptr)),
      caps_(std::move(other.caps_)),
      metas_(std::move(other.metas_)),
      copy_(std::move(other.copy_)),
      mapping_(std::move(other.mapping_)),
      attachment_(std::move(other.attachment_)),
      missed_(other.missed_),
      slot_(other.slot_),
      strange_clock_(other.strange_clock_) {
  other.descriptor_ = {};
}

Frame& Frame::operator=(Frame&& other) noexcept {
  if (this == &other) return *this;
  this->~Frame();
  new (this) Frame(std::move(other));
  return *this;
}

void Frame::release() noexcept {
  if (mapping_) mapping_->restore();  // before the slot can have another frame
  if (attachment_) attachment_->release(slot_);
  attachment_.reset();
}

// --- Reader
// ----------------------------------------------------------------------------------

class Reader::Impl {
 public:
  explicit Impl(ReaderOptions options)
      : options_(std::move(options)),
        generation_(process_generation()),
        depth_(options_.depth),
        watch_(options_.channel) {}

  AttachStatus attach(std::int64_t deadline_ns, Error& error, const Waiting& waiting) {
    if (forked()) {
      error = fork_failure();
      return AttachStatus::failed;
    }
    detach();
    const AttachStatus status = search(deadline_ns, error, waiting);
    watch_.disarm();
    return status;
  }

  void detach() {
    if (forked()) return;
    std::shared_ptr<Attachment> old;
    {
      const std::lock_guard lock(mutex_);
      old = std::move(attachment_);
      attachment_.reset();
      if (old) add(total_, old->statistics());
    }
    if (old) old->leave();
  }

  void set_depth(unsigned depth) {
    depth_.store(std::clamp(depth, 1u, unsigned{layout::kMaxDepth}));
    if (const auto a = attachment()) a->set_depth(depth_.load());
  }

  const ReaderOptions& options() const { return options_; }

  std::shared_ptr<Attachment> attachment() const {
    if (forked()) return nullptr;
    const std::lock_guard lock(mutex_);
    return attachment_;
  }

  TakeStatus take(std::int64_t deadline_ns, Frame& frame, Error& error) {
    const std::shared_ptr<Attachment> a = attachment();
    if (!a && !forked()) return TakeStatus::disconnected;
    if (!a) {
      error = fork_failure();
      return TakeStatus::failed;
    }
    frame = Frame();
    const std::int64_t started_ns = monotonic_ns();
    // Is it time to look after the writer? Not while frames come; one try looks at once.
    bool look = deadline_ns <= started_ns;
    int fruitless = 0;
    for (;;) {
      if (watch_.interrupted()) return TakeStatus::interrupted;
      const bool offered = a->offered();
      const TakeStatus got = a->try_take(a, frame, error);
      if (got != TakeStatus::timeout) return got;
      if (offered && ++fruitless >= kMaxFruitless) {
        error = damaged(options_.channel, "nothing that is offered is a new frame");
        return TakeStatus::failed;
      }
      // In this order: the lock, the state, the word. Only an empty word lets the others
      // count, so nothing that was offered before the end is lost.
      const bool dead = look && !a->writer_alive();
      if (look && !dead && !a->whole()) {
        error = damaged(options_.channel, "an object was truncated, or has holes");
        return TakeStatus::failed;
      }
      if (look) {
        POSSUM_CRASH_POINT("wait.owner");
        a->forget_replaced();
      }
      // Behind a look at the writer comes the word's last chance: no more delay.
      if (!look && spin_.until([&] { return a->offered() || watch_.interrupted(); })) {
        continue;
      }
      a->bell().arm();
      const auto next = a->next(dead, options_.ignore_eos);
      const std::int64_t now = monotonic_ns();
      if (next == Next::sleep && !watch_.interrupted() && now < deadline_ns) {
        const std::int64_t tick =
            now - started_ns < kIdleAfterNs ? kBusyTickNs : kIdleTickNs;
        a->bell().sleep(std::min(deadline_ns, now + tick));
        spin_.slept(monotonic_ns() - now);
        look = true;
        continue;
      }
      a->bell().disarm();
      if (next == Next::eos) return TakeStatus::eos;
      if (next == Next::disconnected) {
        dead_incarnation_ = a->incarnation();
        return TakeStatus::disconnected;
      }
      if (next == Next::sleep && now >= deadline_ns) return TakeStatus::timeout;
    }
  }

  void interrupt(bool on) {
    if (forked()) return;  // the descriptor in there is the parent's as well
    watch_.interrupt(on);
    if (const auto a = attachment(); on && a) a->bell().ring_self();
  }

  void skip_to_newest() {
    if (const auto a = attachment()) a->skip_to_newest();
  }

  ReaderStatistics statistics() const {
    if (forked()) return {};
    const std::lock_guard lock(mutex_);
    ReaderStatistics result = total_;
    if (attachment_) add(result, attachment_->statistics());
    return result;
  }

 private:
  using Next = ReaderCore<Attachment>::Next;

  // Asked before any lock is taken: in a forked child nobody would release it.
  bool forked() const { return generation_ != process_generation(); }

  enum class Try { ok, absent, not_ready, refused, no_page, failed };

  static void add(ReaderStatistics& total, const ReaderStatistics& more) {
    total.frames += more.frames;
    total.bytes += more.bytes;
    total.missed += more.missed;
    total.copied += more.copied;
  }

  OpenOptions open_options() const {
    return {options_.channel, options_.allowed_owner, options_.any_owner};
  }

  // Whatever lies under the name, a writer may come in its place: only what is wrong with
  // a channel of somebody trusted, or with this process, ends the wait.
  AttachStatus search(std::int64_t deadline_ns, Error& error, const Waiting& waiting) {
    std::int64_t set_up_since = 0;
    std::int64_t tell_ns = 0;
    std::string told;
    for (;;) {
      if (watch_.interrupted()) return AttachStatus::interrupted;
      error = {};
      Try result = try_attach(error);
      if (result == Try::ok) return AttachStatus::attached;
      if (result == Try::failed) return AttachStatus::failed;
      const std::int64_t now = monotonic_ns();
      if (result != Try::not_ready) {
        set_up_since = 0;
      } else if (set_up_since == 0) {
        set_up_since = now;
      } else if (now - set_up_since > kSetUpLimitNs) {
        result = Try::refused;
      }
      if (!error) error = reason_of(result);
      if (now >= deadline_ns) return AttachStatus::timeout;
      // A writer that is being set up is there in a moment.
      if (waiting && result != Try::not_ready && now >= tell_ns &&
          error.message != told) {
        waiting(error);
        told = error.message;
        tell_ns = now + kTellNs;
      }
      if (!watch_.armed()) {
        watch_.arm();
        continue;  // what happened before that gave no event
      }
      const std::int64_t pause = result == Try::not_ready ? kSetUpPollNs
                                 : result == Try::no_page ? kPageFullNs
                                                          : kSearchNs;
      watch_.wait(earlier(deadline_ns, pause));
    }
  }

  // Why there is no channel to attach to, where the look did not say.
  Error reason_of(Try result) const {
    const std::string channel = "channel \"" + options_.channel + "\"";
    if (result == Try::no_page) {
      return make_error(ErrorCode::busy,
                        channel + " has 32 readers already: close one of them",
                        "no free reader page");
    }
    return make_error(ErrorCode::not_found,
                      "no " + channel +
                          " on this machine: start its writer "
                          "(possumsink channel=" +
                          options_.channel + ") or check the name",
                      "no live control object " + control_name(options_.channel));
  }

  Try try_attach(Error& error) {
    OpenControl open;
    switch (open_control(open_options(), open, error)) {
      case OpenStatus::ok:
        break;
      case OpenStatus::absent:
        return Try::absent;
      case OpenStatus::not_ready:
        return Try::not_ready;
      case OpenStatus::refused:
        return Try::refused;
      case OpenStatus::failed:
        return Try::failed;
    }
    // Whoever holds the lock now is about to remove it: our frames would come again.
    if (open.incarnation == dead_incarnation_) return Try::absent;
    if (options_.policy == layout::Policy::blocking &&
        (open.control.header().flags & layout::kAllowBlocking) == 0) {
      error = make_error(ErrorCode::blocking,
                         "channel \"" + options_.channel +
                             "\" does not let readers hold up its writer: set "
                             "allow-blocking=true there, or leaky-type=downstream here",
                         "blocking readers not allowed");
      return Try::failed;
    }
    return enter_page(std::move(open), error);
  }

  Try enter_page(OpenControl open, Error& error) {
    PageLocks locks{open};
    const std::optional<Tenancy> tenancy = transport::lock_free_page(locks);
    if (!tenancy) return Try::no_page;
    if (!map_own_page(open, tenancy->page, error)) return Try::failed;
    auto a = std::make_shared<Attachment>(std::move(open), *tenancy, options_.channel,
                                          options_.copy_on_write);
    a->announce();
    const unsigned depth = depth_.load();
    a->enter(options_.policy, depth);
    // Did the writer die, or lose its name, before it could see us?
    const bool seen = a->writer_alive() && a->linked();
    POSSUM_CRASH_POINT("attach.owner");
    if (!seen) {
      a->leave();
      return Try::absent;
    }
    a->map_all();
    const layout::ControlHeader& header = a->header();
    char name[layout::kNameBytes];
    std::memcpy(name, header.writer_name, sizeof name);
    name[sizeof name - 1] = '\0';
    const std::lock_guard lock(mutex_);
    total_.writer_pid = header.writer_pid;
    total_.writer_name = name;
    ++total_.attachments;
    attachment_ = std::move(a);
    if (depth_.load() != depth) attachment_->set_depth(depth_.load());
    return Try::ok;
  }

  const ReaderOptions options_;
  const std::uint32_t generation_;
  std::atomic<unsigned> depth_;
  ChannelWatch watch_;  // also carries the interrupt
  // The taking thread's.
  std::uint64_t dead_incarnation_ = 0;  // of the last writer that went
  Spin spin_;
  mutable std::mutex mutex_;
  std::shared_ptr<Attachment> attachment_;  // guarded by mutex_
  ReaderStatistics total_;                  // guarded by mutex_; of past attachments
};

std::unique_ptr<Reader> Reader::create(ReaderOptions options, Error& error) {
  if (!valid_channel_name(options.channel)) {
    error = channel_name_error(options.channel);
    return nullptr;
  }
  if (options.depth < 1 || options.depth > layout::kMaxDepth) {
    error = make_error(ErrorCode::settings, "max-buffers must be 1 to 16",
                       std::to_string(options.depth));
    return nullptr;
  }
  if (options.bus_guard) install_bus_guard();
  if (options.copy_on_write) install_draw_guard();
  return std::unique_ptr<Reader>(new Reader(std::make_unique<Impl>(std::move(options))));
}

Reader::Reader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Reader::~Reader() { impl_->detach(); }
AttachStatus Reader::attach(std::int64_t deadline_ns, Error& error,
                            const Waiting& waiting) {
  return impl_->attach(deadline_ns, error, waiting);
}
void Reader::detach() { impl_->detach(); }
const ReaderOptions& Reader::options() const { return impl_->options(); }
bool Reader::attached() const { return impl_->attachment() != nullptr; }
std::uint64_t Reader::incarnation() const {
  const auto a = impl_->attachment();
  return a ? a->incarnation() : 0;
}
TakeStatus Reader::take(std::int64_t deadline_ns, Frame& frame, Error& error) {
  try {
    return impl_->take(deadline_ns, frame, error);
  } catch (const std::bad_alloc&) {  // caps and metas are as large as a writer says
    error = no_memory("a frame's caps and metas");
    return TakeStatus::failed;
  }
}
void Reader::skip_to_newest() { impl_->skip_to_newest(); }
void Reader::set_depth(unsigned depth) { impl_->set_depth(depth); }
void Reader::interrupt(bool on) { impl_->interrupt(on); }
ReaderStatistics Reader::statistics() const { return impl_->statistics(); }

}  // namespace possum::transport
