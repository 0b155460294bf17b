// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A channel in miniature for Relacy: the shared words over model::Atomic, what is not
// atomic over rl::var, and a writer and readers that use the state machines of
// gst/transport the way writer.cpp and reader.cpp do.
#pragma once

#include "adaptor.h"
#include "transport/bell_core.h"
#include "transport/reader_core.h"
#include "transport/writer_core.h"

namespace model {

namespace layout = possum::transport::layout;
using possum::transport::slot_bit;

struct ReaderPlan {
  layout::Policy policy = layout::Policy::drop_oldest;
  unsigned depth = 1;
  unsigned keep = 0;     // leases held while it goes on taking
  unsigned lives = 1;    // how often it attaches
  unsigned frames = 99;  // leaves after so many, if more lives follow
  unsigned late = 0;     // comes some time within so many accesses of the others
};
struct Scenario {
  const char* name;
  unsigned readers = 1;
  unsigned frames = 3;
  unsigned slots = 3;
  ReaderPlan reader[2];
  bool await_readers = false;  // nothing is sent before all have come
  bool drain = false;
  bool linger = false;           // readers disregard the end of the stream
  bool restart = false;          // one frame more after end of stream
  bool flush = false;            // in the middle
  unsigned lend_at = 0;          // this and later frames are drawn into a lent slot
  unsigned replace_at = 0;       // from this frame on objects are too small
  bool housekeeping = false;     // recycles and lowers the reserve at random moments
  unsigned reader_lifetime = 0;  // dies within so many accesses
  unsigned writer_lifetime = 0;
};
inline const Scenario* scenario = nullptr;

struct Page {
  Atomic<std::uint64_t> word{"word"};
  Atomic<std::uint64_t> cfg{"cfg", layout::pack({})};
  Atomic<std::uint32_t> grant{"grant"};
  Atomic<std::uint32_t> waiting{"waiting"};
  Semaphore semaphore;
  rl::atomic<unsigned> lock;  // the byte lock; the kernel's own locking orders
  Page() { lock.store(0, rl::mo_relaxed, RL_INFO); }
  bool try_lock() {
    unsigned free = 0;
    return lock.compare_exchange_strong(free, 1, rl::mo_acquire, RL_INFO, rl::mo_relaxed,
                                        RL_INFO);
  }
  void unlock() { lock.store(0, rl::mo_release, RL_INFO); }
};

struct SlotEntry {
  Atomic<std::uint64_t> seq{"seq"};
  Atomic<std::uint32_t> object{"object"};
};

template <unsigned Slots>
struct Header {
  Atomic<std::uint32_t> state{"state",
                              static_cast<std::uint32_t>(layout::ChannelState::ready)};
  Atomic<std::uint32_t> reserve{"reserve", 1};
  Atomic<std::uint32_t> admitted{"admitted"};
  Atomic<std::uint32_t> have{"have"};
  Atomic<std::uint32_t> latest{"latest"};
  SlotEntry slot[Slots];
};

// As possum::SharedSemaphore.
struct SemaphoreRef {
  Semaphore* semaphore;
  void drain() {
    for (int tries = 0; tries < 8 && semaphore->try_wait(); ++tries) {
    }
  }
  bool post() {
    semaphore->post();
    return true;
  }
};

// As possum::Doorbell.
class Bell : public possum::transport::BellCore<Atomic<std::uint32_t>, SemaphoreRef> {
 public:
  Bell(Atomic<std::uint32_t>& waiting, Semaphore& semaphore)
      : BellCore(waiting, SemaphoreRef{&semaphore}) {}
  void init() {
    waiting_->store(0, std::memory_order_relaxed);
    semaphore_.semaphore->set(0);
  }
  void sleep() {
    if (!fall_asleep()) return;
    semaphore_.semaphore->wait();
    (void)waiting_->load(std::memory_order_relaxed);
    disarm();
  }
};

// What the frame in an object says: its number and how many the writer was given before,
// dropped ones included.
struct Content {
  rl::var<unsigned> seq;
  rl::var<unsigned> turn;
};

template <unsigned Readers, unsigned Pages, unsigned Slots>
class Channel : public rl::test_suite<Channel<Readers, Pages, Slots>, 1 + Readers> {
 public:
  void before() {
    const Scenario& s = *scenario;
    accesses_left.fill(kImmortal);
    burst.start(rl::rand(2) != 0);
    if (s.writer_lifetime != 0)
      accesses_left[0] = static_cast<int>(rl::rand(s.writer_lifetime));
    if (s.reader_lifetime != 0) {
      accesses_left[1 + rl::rand(Readers)] =
          static_cast<int>(rl::rand(s.reader_lifetime));
    }
    owner_.store(1, rl::mo_relaxed, RL_INFO);
    readers_left_ = Readers;
    page_of_.fill(kNoPage);
  }

  void thread(unsigned index) {
    bool died = false;
    try {
      if (index == 0) {
        write();
      } else {
        read(index - 1);
      }
    } catch (const Dead&) {
      died = true;  // nothing more here: other threads must not run inside of a handler
    }
    burst.end();
    if (died) bury(index);
    if (index != 0) {
      --readers_left_;
      room_semaphore_.tick();
    }
  }

  void after() {
    for (unsigned i = 0; i < Readers; ++i) {
      const Seen& seen = seen_[i];
      const bool mortal =
          scenario->reader_lifetime != 0 || scenario->writer_lifetime != 0;
      if (mortal || !seen.ended || seen.last == 0) continue;
      if (scenario->reader[i].policy == layout::Policy::drop_newest) continue;
      expect(seen.last >= published_before_end_, "the last frame was lost");
    }
  }

 private:
  using Self = Channel;
  static constexpr unsigned kObjects = 16;
  static constexpr unsigned kNoPage = ~0u;

  struct WriterEnv {
    Self& c;
    Page& page(unsigned r) { return c.pages_[r]; }
    Header<Slots>& header() { return c.header_; }
    void ring_reader(unsigned r) { c.reader_bell(r).ring(); }
    bool lock_page(unsigned r) {
      if (!c.pages_[r].try_lock()) return false;
      c.leased_[r] = 0;
      return true;
    }
    void unlock_page(unsigned r) { c.pages_[r].unlock(); }
    void reset_bell(unsigned r) { c.reader_bell(r).init(); }
    bool recycle_due() const { return true; }
    bool fits(unsigned s, unsigned need) const { return size[s] >= need; }
    void discard(unsigned s) { c.named_[object[s]] = false; }
    std::uint32_t create(unsigned s, unsigned need) {
      const unsigned fresh = ++last_object;
      expect(fresh < kObjects, "the case has room for its objects");
      c.object_header_[fresh](RL_INFO) = s;
      c.named_[fresh] = true;
      c.slots_ |= slot_bit(s);
      object[s] = fresh;
      size[s] = need;
      return fresh;
    }
    unsigned last_object = 0;
    std::array<unsigned, Slots> object{};
    std::array<unsigned, Slots> size{};
  };

  struct ReaderEnv {
    Self& c;
    Page& page(unsigned r) { return c.pages_[r]; }
    Header<Slots>& header() { return c.header_; }
    void ring_writer() { c.room().ring(); }
    void ring_both() { c.room().ring(); }
    // A system call: never an old answer.
    bool writer_alive() const {
      return c.owner_.fetch_or(0, rl::mo_acquire, RL_INFO) != 0;
    }
    bool linked() const { return c.linked_; }
    bool lock_page(unsigned r) {
      if (!c.pages_[r].try_lock()) return false;
      c.page_of_[index] = r;
      return true;
    }
    void unlock_page(unsigned r) {
      c.page_of_[index] = kNoPage;
      c.pages_[r].unlock();
    }
    possum::transport::Mapped map(unsigned s, std::uint32_t object) {
      if (mapped[s] == object) return possum::transport::Mapped::ok;
      mapped[s] = 0;
      if (object == 0 || !c.named_[object]) return possum::transport::Mapped::gone;
      expect(c.object_header_[object](RL_INFO) == s, "the object is another slot's");
      mapped[s] = object;
      return possum::transport::Mapped::ok;
    }
    unsigned index;
    std::array<std::uint32_t, Slots> mapped{};
  };

  using Writer = possum::transport::WriterCore<WriterEnv, unsigned, Pages, Slots>;
  using Reader = possum::transport::ReaderCore<ReaderEnv, Pages, Slots>;
  using Found = typename Writer::Found;
  using Next = typename Reader::Next;
  using Opened = typename Reader::Opened;

  struct Seen {
    bool ended = false;  // with the end of the stream
    unsigned last = 0;
    unsigned turn = 0;
  };
  struct Lease {
    unsigned slot;
    unsigned object;
    unsigned seq;
  };

  Bell room() { return Bell(room_waiting_, room_semaphore_); }
  Bell reader_bell(unsigned r) { return Bell(pages_[r].waiting, pages_[r].semaphore); }

  // --- the writer --------------------------------------------------------------------

  void write() {
    const Scenario& s = *scenario;
    WriterEnv env{*this};
    Writer core(env, s.slots, true);
    unsigned need = 1;
    core.prepare(s.slots, need);
    if (s.await_readers) wait_until(core, [&] { return core.active(Readers - 1); });
    for (unsigned turn = 1; turn <= s.frames; ++turn) {
      if (s.replace_at != 0 && turn >= s.replace_at) need = 2;
      if (s.housekeeping && rl::rand(2) == 0) {
        core.recycle();
        core.relax_reserve();
      }
      core.admit();
      if (s.flush && turn == s.frames) core.flush();
      send(core, env, turn, need);
    }
    published_before_end_ = published_;
    core.set_eos();
    if (s.restart) {
      send(core, env, s.frames + 1, need);
      core.set_eos();
    }
    if (!s.drain) {
      linger(core);
      return;
    }
    wait_until(core, [&] { return core.undrained() == 0; });
    core.admit();
    linked_ = false;
    rl::ctx().sched();
    named_.fill(false);
    stop();
  }

  void stop() {
    owner_.store(0, rl::mo_release, RL_INFO);
    the_writer_is_gone_ = true;
    for (Page& page : pages_) page.semaphore.tick();
  }

  // What housekeeping does, in the writer's own thread: who comes is let in.
  template <class Condition>
  void wait_until(Writer& core, Condition condition) {
    const auto look = [&] {
      core.admit();
      return condition();
    };
    while (!look() && !room().arm_unless(look)) sleep(core);
  }
  // After the end of the stream.
  void linger(Writer& core) {
    wait_until(core, [&] {
      core.recycle();
      return readers_left_ == 0;
    });
  }

  void send(Writer& core, WriterEnv& env, unsigned turn, unsigned need) {
    unsigned slot = 0;
    const bool lend = scenario->lend_at != 0 && turn >= scenario->lend_at;
    std::optional<unsigned> lent;
    if (lend && rl::rand(2) == 0) lent = core.lend(need);
    if (lent) {
      slot = *lent;
      lent_ = 1;
      expect(circulating() >= 1 + lent_, "lending left too few slots");
      expect(!core.visible(slot), "a lent slot is visible");
    } else if (!obtain(core, slot, need)) {
      return;
    }
    Content& content = content_[env.object[slot]];
    content.seq(RL_INFO) = published_ + 1;
    content.turn(RL_INFO) = turn;
    ++published_;
    core.begin_publish(slot, published_);
    wait_until(core, [&] { return core.continue_publish(); });
    core.end_publish();
    lent_ = 0;
    if (lent) core.give_back(slot);
  }

  bool obtain(Writer& core, unsigned& slot, unsigned need) {
    for (;;) {
      core.admit();
      Found found = core.acquire(slot, need);
      if (found == Found::wait) {
        room().arm_unless(
            [&] { return (found = core.acquire(slot, need)) != Found::wait; });
      }
      if (found != Found::wait) return found == Found::slot;
      sleep(core);
    }
  }

  void sleep(Writer& core) {
    room().sleep();
    if (a_reader_died_) core.recycle();  // the bound of the wait
  }

  // --- a reader ----------------------------------------------------------------------

  void read(unsigned index) {
    const ReaderPlan& plan = scenario->reader[index];
    for (unsigned n = rl::rand(plan.late + 1); n > 0; --n) rl::ctx().sched();
    for (unsigned life = 1; life <= plan.lives; ++life) {
      ReaderEnv env{*this, index};
      const auto tenancy = possum::transport::lock_free_page<ReaderEnv, Pages>(env);
      if (!tenancy) continue;  // found no free page
      const unsigned r = tenancy->page;
      Reader core(env, *tenancy);
      Seen& seen = seen_[index] = {};
      for (unsigned s = 0; s < Slots; ++s) {
        if (const std::uint32_t object = core.object_of(s)) env.map(s, object);
      }
      core.enter(plan.policy, plan.depth);
      stay(core, env, r, plan, seen, life < plan.lives ? plan.frames : 99);
      env.unlock_page(r);
      env.ring_both();
    }
  }

  void stay(Reader& core, ReaderEnv& env, unsigned r, const ReaderPlan& plan, Seen& seen,
            unsigned frames) {
    std::array<Lease, layout::kMaxTaken> held{};
    unsigned leases = 0;
    Bell bell = reader_bell(r);
    while (frames > 0) {
      const std::uint32_t mapped = core.map_offered();
      expect(core.owns_page(), "the page is ours");
      if (const auto taken = core.take(seen.last, mapped)) {
        --frames;
        const bool copy = core.must_copy(leases);
        if (!copy) lease(r, taken->slot);
        const Opened opened = core.open(taken->slot);
        if (opened == Opened::ok) {
          const Lease got{taken->slot, env.mapped[taken->slot],
                          static_cast<unsigned>(taken->seq)};
          look(got);
          account(plan, seen, got);
          held[leases++] = got;
          if (copy || leases > plan.keep) give(core, r, held[--leases]);
        } else {
          expect(opened == Opened::lost && !(env.writer_alive() && env.linked()),
                 "a frame cannot be opened");
          leased_[r] &= ~slot_bit(taken->slot);
          core.release(taken->slot);
        }
        continue;
      }
      const bool dead = the_writer_is_gone_ && !env.writer_alive();
      bell.arm();
      const Next next = core.next(dead, scenario->linger);
      if (next == Next::sleep) {
        bell.sleep();
        continue;
      }
      bell.disarm();
      if (next == Next::take) continue;
      seen.ended = next == Next::eos || scenario->drain;
      break;
    }
    core.leave();
    while (leases > 0) give(core, r, held[--leases]);
  }

  void account(const ReaderPlan& plan, Seen& seen, const Lease& got) {
    expect(got.seq > seen.last, "frames come in order");
    const unsigned turn = content_[got.object].turn(RL_INFO);
    if (plan.policy == layout::Policy::blocking && seen.last != 0 && !scenario->flush) {
      expect(turn == seen.turn + 1, "a lossless reader missed a frame");
    }
    seen.last = got.seq;
    seen.turn = turn;
  }

  void look(const Lease& lease) {
    expect(content_[lease.object].seq(RL_INFO) == lease.seq, "the frame is another one");
  }

  void give(Reader& core, unsigned r, const Lease& lease) {
    look(lease);
    leased_[r] &= ~slot_bit(lease.slot);
    core.release(lease.slot);
  }

  void lease(unsigned r, unsigned slot) {
    leased_[r] |= slot_bit(slot);
    expect(circulating() >= 1 + lent_, "a lease broke the reserve rule");
  }

  // Slots that nobody leases, as somebody outside of time sees them. One whose object is
  // being replaced is in the writer's hands.
  unsigned circulating() const {
    std::uint32_t have = slots_;
    for (const std::uint32_t slots : leased_) have &= ~slots;
    return static_cast<unsigned>(std::popcount(have));
  }

  // --- deaths ------------------------------------------------------------------------

  // The kernel frees the locks; peers learn of it at the bound of their waits.
  void bury(unsigned index) {
    accesses_left[index] = kImmortal;
    if (index == 0) {
      stop();
      return;
    }
    if (page_of_[index - 1] != kNoPage) pages_[page_of_[index - 1]].unlock();
    a_reader_died_ = true;
    room_semaphore_.tick();
  }

  Page pages_[Pages];
  Header<Slots> header_;
  Atomic<std::uint32_t> room_waiting_{"room"};
  Semaphore room_semaphore_;
  rl::atomic<unsigned> owner_;
  unsigned readers_left_ = 0;
  rl::var<unsigned> object_header_[kObjects];
  Content content_[kObjects];

  // Not in the model: the kernel's, and what the checks remember.
  std::array<bool, kObjects> named_{};
  bool linked_ = true;  // the control object
  std::array<std::uint32_t, Pages> leased_{};
  std::array<unsigned, Readers> page_of_;
  std::array<Seen, Readers> seen_{};
  unsigned published_ = 0;
  unsigned published_before_end_ = 0;
  std::uint32_t slots_ = 0;  // that the writer has made an object for
  unsigned lent_ = 0;
  bool the_writer_is_gone_ = false;
  bool a_reader_died_ = false;
};

}  // namespace model
