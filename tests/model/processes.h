// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The processes of a channel around the cores that ship: the few lines of writer.cpp and
// reader.cpp that decide in which order the cores are asked, and the rules that must hold
// whatever happens. What a thread must remember across a checkpoint() lies in Memory.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "world.h"
#include "writer_core.h"

namespace model {

struct ReaderPlan {
  layout::Policy policy = layout::Policy::drop_oldest;
  unsigned depth = 1;
  unsigned hold = 0;      // leases it likes to keep
  unsigned frames = 0;    // leaves after so many; 0: stays until the end
  unsigned sessions = 1;  // how often it attaches
  bool mortal = false;
  bool stalls = false;    // takes nothing until it is demoted
  bool lies = false;      // takes nothing, then says that it has everything
  bool evicted = false;   // its byte lock is lost, as by closefrom()
  bool vanishes = false;  // ... and that nobody has its page
  bool attached = false;  // from the start, and stays
  bool stopped = false;   // having taken what went out before; puts it back
};

struct WriterPlan {
  unsigned frames = 2;
  unsigned prepared = 0;    // slots made before the first frame; 0: all
  unsigned lent = 0;        // upstream draws into so many
  unsigned large_from = 0;  // frame from which slots must be larger
  unsigned flush_after = 0;
  bool mortal = false;
  bool eos = true;
  bool drain = false;
  bool waits_for_readers = false;  // before the first frame
  bool shows_first = false;        // or behind it, which they must get then
  bool may_drop = false;           // frames for which there is no slot
  bool may_fail = false;           // to make objects
  bool demotes = false;
  bool hurries = false;       // acquire() may not look for the dead every time
  bool keeps_house = false;   // recycles and relaxes the reserve between frames
  bool checks_slots = false;  // at the end every slot must be free again
  bool recycles = false;      // as does its housekeeping at any time
  bool one_thread = false;    // readers are let in between frames, and in the stop
  bool lingers = false;       // after the end of the stream, until all readers have gone
};

struct Plan {
  WriterPlan writer = {};
  bool successor = false;
  std::vector<ReaderPlan> readers = {{}};
  unsigned deaths = 0;
  bool impatient = false;  // sleeps may end at any time
  // Names of objects and the reader's looks at its own page's epoch are steps, too. They
  // can be spared where nothing is removed and no tenancy ends under a reader.
  bool fine = true;
  unsigned warm = 0;     // frames that went out before; one reader took each
  unsigned untaken = 0;  // but for the last of them
};

template <unsigned Pages, unsigned Slots>
class Channel final : public System {
 public:
  explicit Channel(const Plan& plan) : plan_(plan) {
    std::memset(static_cast<void*>(&m_), 0, sizeof m_);
    for (unsigned life = 0; life < kLives; ++life) {
      new (m_.core[life]) Core(writer_env_[life], Slots, true);
      set_up(life);
    }
  }

  void* memory() override { return &m_; }
  std::size_t bytes() const override { return sizeof m_; }
  unsigned threads() const override {
    return readers() + writers() * (two_threads() ? 2 : 1);
  }
  bool mortal(unsigned t) const override {
    return is_reader(t) ? plan_.readers[t].mortal
                        : plan_.writer.mortal && life_of(t) == 0;
  }
  unsigned process(unsigned t) const override {
    return is_reader(t) ? t : thread_of(life_of(t));
  }
  std::string name(unsigned t) const override {
    if (is_reader(t)) return std::string("reader ") + static_cast<char>('a' + t);
    return std::string(life_of(t) == 0 ? "writer" : "successor") +
           (is_housekeeper(t) ? "'s housekeeping" : "");
  }
  std::uint64_t hash() const override {
    std::uint64_t h = 0;
    const unsigned lives = writers();
    for (unsigned life = 0; life < lives; ++life) {
      h = mix_bytes(h, &m_.control[life], sizeof m_.control[life]);
      h = mix_core(h, life);
      check_counters(life);
    }
    h = mix_bytes(h, &m_.writer, sizeof m_.writer);
    return mix_bytes(h, &m_.reader, sizeof m_.reader[0] * readers());
  }
  void died(unsigned t) override {
    drop_locks(process(t));
    if (!is_reader(t)) {
      drop_locks(housekeeper_of(life_of(t)));
      m_.control[life_of(t)].writer_died = 1;
      m_.writer[life_of(t)].over = 1;
      still(life_of(t), false);
      return;
    }
    Reader& r = m_.reader[t];
    r.over = 1;
    for (auto& control : m_.control) {
      control.reader_died = 1;
      for (Object& o : control.objects) o.users &= static_cast<std::uint8_t>(~(1u << t));
    }
  }
  void begin() override {
    claim(0);
    if (!plan_.writer.may_fail) prepare(0, plan_.writer.prepared);
    freeze();
    for (unsigned t = 0; t < readers(); ++t) {
      if (!plan_.readers[t].attached) continue;
      m_.reader[t].page = t;
      m_.control[0].page[t].lock = t + 1;
      Stay stay(*this, t, {t, 0});
      enter(stay);
      core(0).admit();
    }
    for (unsigned& frame = m_.writer[0].frame; frame < plan_.warm;) {
      ++frame;
      send(0);
      const unsigned t = frame % readers();
      if (frame > plan_.warm - plan_.untaken || !plan_.readers[t].attached) continue;
      Stay stay(*this, t, {t, 0});
      try_take(stay);
    }
    if (plan_.untaken == plan_.warm) take_all();
    freeze_pages();
  }
  // A reader that was stopped between a take and what follows.
  void take_all() {
    for (unsigned t = 0; t < readers(); ++t) {
      if (!plan_.readers[t].stopped) continue;
      auto& word = m_.control[0].page[t].word.value;
      word = layout::make_word(0, layout::offered_of(word) | layout::taken_of(word));
    }
  }
  void run(unsigned t) override {
    if (is_reader(t)) {
      run_reader(t);
    } else if (is_housekeeper(t)) {
      keep_house(life_of(t));
    } else {
      run_writer(life_of(t));
    }
  }
  std::string label(const void* where) const override;

 private:
  // --- memory ------------------------------------------------------------------------
  struct WriterEnv;
  // Of the frame in hand: what the writer needs a slot for.
  struct Size {
    bool large;
  };
  using Core = WriterCore<WriterEnv, Size, Pages, Slots>;
  using Found = typename Core::Found;
  static constexpr std::size_t kCountersBytes = Pages * sizeof(std::uint64_t);

  struct Writer {
    std::uint32_t frame;    // as upstream counts
    std::uint32_t seq;      // of the last that was published
    std::uint32_t slot;     // in hand
    std::uint32_t kept;     // slots that upstream draws into
    std::uint32_t object;   // last number given
    std::uint32_t failing;  // could not make the last object
    std::uint32_t tired;    // of waiting
    std::uint32_t mutex;    // a thread of the writer is inside the core
    std::uint32_t over;
    std::uint32_t object_of[Slots];
  };
  struct Reader {
    std::uint32_t life, page, epoch;
    std::uint32_t attached;
    std::uint32_t sessions;
    std::uint32_t look;
    std::uint32_t got;       // in this session
    std::uint32_t last;      // sequence number
    std::uint32_t ordinal;   // of the last
    std::uint32_t lost;      // since the last
    std::uint32_t promised;  // the newest frame when its writer stopped
    std::uint32_t leases;    // slots
    std::uint32_t returns;   // slots that it is about to release
    std::uint32_t over;
    std::uint32_t mapped[Slots];  // object numbers
  };
  struct Memory {
    Control<Pages, Slots> control[kLives];
    Writer writer[kLives];
    Reader reader[kReadersMax];
    alignas(Core) unsigned char core[kLives][sizeof(Core)];
  };

  unsigned readers() const { return static_cast<unsigned>(plan_.readers.size()); }
  unsigned writers() const { return plan_.successor ? 2 : 1; }
  bool is_reader(unsigned t) const { return t < readers(); }
  bool is_housekeeper(unsigned t) const { return t >= readers() + writers(); }
  unsigned life_of(unsigned t) const {
    return t - readers() - (is_housekeeper(t) ? writers() : 0);
  }
  unsigned thread_of(unsigned life) const { return readers() + life; }
  unsigned housekeeper_of(unsigned life) const { return thread_of(life) + writers(); }
  Core& core(unsigned life) {
    return *std::launder(reinterpret_cast<Core*>(m_.core[life]));
  }
  const Core& core(unsigned life) const {
    return *std::launder(reinterpret_cast<const Core*>(m_.core[life]));
  }
  template <class Page>
  static layout::PageState state_of(const Page& page) {
    return layout::unpack(page.cfg.value).state;
  }
  bool is_admitted(unsigned life, unsigned page) const {
    return (core(life).admitted() & slot_bit(page)) != 0;
  }
  bool all_readers_are_gone() const {
    return std::all_of(m_.reader, m_.reader + readers(),
                       [](const Reader& r) { return r.over != 0; });
  }
  static std::uint64_t mix_bytes(std::uint64_t h, const void* from, std::size_t bytes) {
    const auto* p = static_cast<const char*>(from);
    for (; bytes >= 8; bytes -= 8, p += 8) {
      std::uint64_t part;
      std::memcpy(&part, p, 8);
      h = mix(h, part);
    }
    std::uint64_t rest = 0;
    std::memcpy(&rest, p, bytes);
    return mix(h, rest);
  }
  // Its last member counts what nobody acts upon: leaving it out merges states.
  std::uint64_t mix_core(std::uint64_t h, unsigned life) const {
    return mix_bytes(h, m_.core[life], sizeof(Core) - kCountersBytes);
  }
  void check_counters(unsigned life) const {
    for (unsigned r = 0; r < Pages; ++r) {
      const std::uint64_t count = core(life).dropped(r);
      const unsigned char* end = m_.core[life] + sizeof(Core) - kCountersBytes;
      if (std::memcmp(end + r * sizeof count, &count, sizeof count) != 0) {
        std::fputs("WriterCore::dropped_ is no longer its last member\n", stderr);
        std::abort();
      }
    }
  }

  void set_up(unsigned life) {
    auto& control = m_.control[life];
    const std::uint32_t sole = thread_of(life) + 1;
    control.header.state.sole = sole;
    control.header.reserve.sole = sole;
    control.header.admitted.sole = sole;
    control.header.have.sole = sole;
    control.header.reserve.value = 1;
    for (auto& entry : control.header.slot) entry.seq.sole = entry.object.sole = sole;
    control.due = 1;
    for (auto& page : control.page) {
      page.cfg.value = layout::pack({});
      page.grant.sole = sole;
      page.grant.now = &control.due;
    }
  }
  void claim(unsigned life) {
    auto& control = m_.control[life];
    control.owner = thread_of(life) + 1;
    control.linked = 1;
    control.header.state.value = static_cast<std::uint32_t>(layout::ChannelState::ready);
  }
  // Nobody comes, goes, dies or lies: the writer's pages stay as they are.
  void freeze_pages() {
    if (!all_stay() || plan_.deaths != 0 || plan_.writer.demotes) return;
    for (const ReaderPlan& plan : plan_.readers) {
      if (plan.evicted || plan.vanishes) return;
    }
    auto& control = m_.control[0];
    control.header.admitted.sole = Atomic<std::uint32_t>::kConstant;
    for (auto& page : control.page) page.grant.sole = Atomic<std::uint32_t>::kConstant;
  }
  // Readers that stay to the end do nothing to their configuration before it is told.
  void still(unsigned life, bool yes) {
    // Not if some leave earlier, or fall dead and are followed by others.
    for (const ReaderPlan& plan : plan_.readers) yes = yes && plan.frames == 0;
    for (auto& page : m_.control[life].page) {
      const bool active = state_of(page) == layout::PageState::active;
      page.cfg.still = yes && active ? thread_of(life) + 1 : 0;
    }
  }
  // What does not change under this plan.
  void freeze() {
    bool sleeps = plan_.writer.waits_for_readers;
    for (const ReaderPlan& reader : plan_.readers) {
      sleeps = sleeps || reader.policy == layout::Policy::blocking;
    }
    constexpr auto kConstant = Atomic<std::uint32_t>::kConstant;
    auto& control = m_.control[0];
    if (!sleeps) control.room.waiting.sole = kConstant;
    const WriterPlan& plan = plan_.writer;
    if (plan.may_fail || plan.large_from != 0 || plan.prepared < Slots) return;
    for (auto& entry : control.header.slot) entry.object.sole = kConstant;
    control.header.have.sole = kConstant;
    if (plan.lent == 0 && !plan.keeps_house) control.header.reserve.sole = kConstant;
  }
  void drop_locks(unsigned t) {
    for (auto& control : m_.control) {
      if (control.owner == t + 1) control.owner = 0;
      for (auto& page : control.page) {
        if (page.lock == t + 1) page.lock = 0;
      }
    }
  }
  void fine_step(const char* what, const void* where) const {
    if (plan_.fine) step(what, where);
  }
  static bool try_lock(std::uint32_t& lock) {
    step("lock", &lock);
    const bool got = lock == 0;
    if (got) lock = static_cast<std::uint32_t>(explorer().current()) + 1;
    observe(got);
    return got;
  }
  static void unlock(std::uint32_t& lock) {
    step("unlock", &lock);
    lock = 0;
  }
  template <class Ready>
  static void wait_for(const char* what, Ready& ready) {
    explorer().wait(
        what, nullptr, [](void* f) { return (*static_cast<Ready*>(f))(); }, &ready,
        false);
  }

  // --- the writer --------------------------------------------------------------------

  struct WriterEnv {
    Channel& channel;
    const unsigned life;

    auto& control() { return channel.m_.control[life]; }
    Writer& own() { return channel.m_.writer[life]; }
    auto& header() { return control().header; }
    auto& page(unsigned r) const { return channel.m_.control[life].page[r]; }
    void ring_reader(unsigned r) { Bell(page(r).bell).ring(); }
    bool lock_page(unsigned r) { return try_lock(page(r).lock); }
    void unlock_page(unsigned r) { unlock(page(r).lock); }
    void reset_bell(unsigned r) {
      step("reset", &page(r).bell.count);
      page(r).bell.waiting.value = 0;
      page(r).bell.count = 0;
    }
    bool recycle_due() {
      return !channel.plan_.writer.hurries || choose("recycle now?", 2) == 0;
    }
    Size wanted() {
      const unsigned from = channel.plan_.writer.large_from;
      return {from != 0 && own().frame >= from};
    }
    bool fits(unsigned s, const Size& wanted) {
      const std::uint32_t object = own().object_of[s];
      return object != 0 && (control().objects[object].large || !wanted.large);
    }
    bool any_fits(const Size& wanted) {
      for (unsigned s = 0; s < Slots; ++s) {
        if (fits(s, wanted)) return true;
      }
      return false;
    }
    void discard(unsigned s) {
      require(own().object_of[s] != 0, "a slot without an object circulates");
      Object& o = control().objects[own().object_of[s]];
      step("unlink", &o);
      o.named = 0;
      own().object_of[s] = 0;
    }
    std::uint32_t create(unsigned s, const Size& wanted) {
      if (channel.plan_.writer.may_fail && choose("is there room?", 2) == 1) {
        own().failing = 1;
        return 0;
      }
      own().failing = 0;
      require(own().object < kObjects, "the model has too few objects");
      const std::uint32_t object = ++own().object;
      Object& o = control().objects[object];
      step("create", &o);
      o.named = 1;
      o.large = wanted.large ? 1 : 0;
      own().object_of[s] = object;
      return object;
    }
  };

  unsigned prepare(unsigned life, unsigned count) {
    Size wanted = writer_env_[life].wanted();
    return core(life).prepare(count, wanted);
  }
  Bell room(unsigned life) { return Bell(m_.control[life].room); }
  bool writer_excused(unsigned life) const {
    const WriterPlan& plan = plan_.writer;
    return m_.control[life].reader_died || plan.demotes || plan.may_fail || plan.hurries;
  }

  void run_writer(unsigned life) {
    const WriterPlan& plan = plan_.writer;
    Writer& own = m_.writer[life];
    if (life > 0) take_over(life);
    enter_core(life);
    if (life > 0 || plan.may_fail) prepare(life, plan.prepared);
    if (plan.shows_first) {
      ++own.frame;
      if (!send(life)) return;
      checkpoint(10);
    }
    if (plan.waits_for_readers) {
      await_readers(life);
    }
    while (own.frame < plan_.warm + plan.frames) {
      leave_core(life);
      enter_core(life);
      checkpoint(1);
      ++own.frame;
      if (!send(life)) break;
      if (own.frame == plan.flush_after) core(life).flush();
    }
    checkpoint(2);
    still(life, false);
    if (plan.eos) core(life).set_eos();
    if (plan.drain) wait_until(life, [&] { return core(life).undrained() == 0; });
    checkpoint(3);
    if (plan.lingers) linger(life);
    if (plan.checks_slots) check_slots(life);
    checkpoint(4);
    // Its housekeeping has ended by then.
    if (!all_stay()) stop(life);
    own.over = 1;
    leave_core(life);
  }

  // On the condition that housekeeping notifies.
  void await_readers(unsigned life) {
    leave_core(life);
    auto come = [&] {
      unsigned there = 0;
      for (unsigned r = 0; r < Pages; ++r) {
        const auto& page = m_.control[life].page[r];
        if (is_admitted(life, r) && state_of(page) == layout::PageState::active) ++there;
      }
      return there >= readers();
    };
    wait_for("readers to come", come);
    enter_core(life);
    progress(false);
  }

  void linger(unsigned life) {
    leave_core(life);
    auto alone = [&] { return all_readers_are_gone(); };
    wait_for("all readers to go", alone);
    enter_core(life);
  }

  // The writer's mutex, which the core is under but while frames are drawn, while the
  // writer sleeps and between frames. What comes first inside is no step of its own.
  void enter_core(unsigned life) {
    if (!two_threads() || explorer().current() == Explorer::kNobody) return;
    auto& mutex = m_.writer[life].mutex;
    auto unlocked = [&] { return mutex == 0; };
    wait_for("the mutex", unlocked);
    mutex = 1;
    observe(mix_core(0, life));
  }
  void leave_core(unsigned life) { m_.writer[life].mutex = 0; }

  // The housekeeping thread lets readers in. Its bell is left out: it is one like the
  // others, and makes nothing happen that its ticks do not.
  void keep_house(unsigned life) {
    Writer& own = m_.writer[life];
    auto due = [&] {
      const bool somebody =
          somebody_came(life) || (plan_.writer.recycles && somebody_went(life));
      return own.over || (own.mutex == 0 && somebody);
    };
    for (;;) {
      checkpoint(50);
      wait_for("somebody to come", due);
      observe(own.over);
      if (own.over) return;
      own.mutex = 1;
      observe(mix_core(0, life));
      if (plan_.writer.recycles) core(life).recycle();
      core(life).admit();
      leave_core(life);
    }
  }
  bool somebody_went(unsigned life) const {
    const auto& pages = m_.control[life].page;
    return std::any_of(pages, pages + Pages, [](const auto& page) {
      return state_of(page) != layout::PageState::free && page.lock == 0;
    });
  }
  bool somebody_came(unsigned life) const {
    for (unsigned r = 0; r < Pages; ++r) {
      const auto& page = m_.control[life].page[r];
      if (state_of(page) == layout::PageState::active && !is_admitted(life, r))
        return true;
    }
    return false;
  }

  bool two_threads() const { return !all_stay() && !plan_.writer.one_thread; }
  bool all_stay() const {
    return std::all_of(plan_.readers.begin(), plan_.readers.end(),
                       [](const ReaderPlan& plan) { return plan.attached; });
  }

  // False: the writer gave up.
  bool send(unsigned life) {
    Writer& own = m_.writer[life];
    if (plan_.writer.keeps_house && choose("a tick?", 2) == 1) {
      core(life).recycle();
      core(life).relax_reserve();
    }
    if (plan_.writer.one_thread && choose("look who came?", 2) == 1) {
      core(life).admit();
    }
    bool lent = false;
    if (plan_.writer.lent != 0 && own.frame > plan_.warm) {
      borrow(life);
      lent = own.kept != 0;
    }
    if (lent) {
      own.slot = static_cast<unsigned>(std::countr_zero(own.kept));
      require(!core(life).visible(own.slot), "a lent slot is visible");
    } else {
      const Found found = acquire(life);
      if (found == Found::none) dropped(life);
      if (found != Found::slot) return found == Found::none;
    }
    leave_core(life);
    draw(life, own.slot);
    enter_core(life);
    checkpoint(lent ? 5 : 6);
    core(life).begin_publish(own.slot, own.seq);
    m_.control[life].due = own.seq;
    finish_publish(life);
    m_.control[life].done = own.seq;
    if (lent) {
      own.kept &= ~slot_bit(own.slot);
      core(life).give_back(own.slot);
    }
    return true;
  }

  // Upstream keeps some slots to draw into.
  void borrow(unsigned life) {
    Writer& own = m_.writer[life];
    while (static_cast<unsigned>(std::popcount(own.kept)) < plan_.writer.lent) {
      Size wanted = writer_env_[life].wanted();
      const std::optional<unsigned> slot = core(life).lend(wanted);
      if (!slot) return;
      own.kept |= slot_bit(*slot);
      require(std::popcount(circulating(life) & ~leased(life)) > std::popcount(own.kept),
              "a loan left too few slots");
      begin_drawing(life, *slot);
    }
  }

  // As Writer::acquire(). wait: gave up.
  Found acquire(unsigned life) {
    Writer& own = m_.writer[life];
    auto& core = this->core(life);
    for (;;) {
      checkpoint(7);
      core.end_publish();
      const unsigned least = plan_.writer.prepared;
      if (static_cast<unsigned>(std::popcount(core.have())) < least &&
          prepare(life, least) < least) {
        return Found::wait;
      }
      Size wanted = writer_env_[life].wanted();
      Found found = core.acquire(own.slot, wanted);
      if (found == Found::wait) {
        room(life).arm_unless(
            [&] { return (found = core.acquire(own.slot, wanted)) != Found::wait; });
      }
      // Stolen or dropped: who is admitted now begins with the next one.
      if (m_.control[life].newest() == 0) m_.control[life].due = own.seq + 1;
      if (found == Found::slot) {
        progress(writer_excused(life));
        return found;
      }
      const bool starved = !writer_env_[life].any_fits(wanted) && own.failing;
      if (starved && (found == Found::none || choose("long enough?", 2) == 1)) {
        return Found::wait;
      }
      if (found == Found::none) return found;
      wait_for_readers(life, blocking_with_offers(life));
    }
  }

  // As Writer::finish_publish().
  void finish_publish(unsigned life) {
    auto& core = this->core(life);
    for (;;) {
      checkpoint(8);
      if (core.continue_publish()) break;
      if (room(life).arm_unless([&] { return core.continue_publish(); })) break;
      check_pending(life);
      wait_for_readers(life, core.pending_pages());
    }
    core.end_publish();
    progress(writer_excused(life));
  }

  // Who is waited for may be demoted, so it must be for a frame that it has no room for.
  void check_pending(unsigned life) {
    if (!plan_.writer.demotes) return;
    for (unsigned r = 0; r < Pages; ++r) {
      require((core(life).pending_pages() & slot_bit(r)) == 0 ||
                  (core(life).given(r) & slot_bit(m_.writer[life].slot)) == 0,
              "a reader is waited for that has the frame");
    }
  }

  template <class Condition>
  void wait_until(unsigned life, Condition condition) {
    for (;;) {
      checkpoint(9);
      if (condition()) break;
      if (room(life).arm_unless(condition)) break;
      wait_for_readers(life, blocking_with_offers(life));
    }
    progress(writer_excused(life));
  }

  std::uint32_t blocking_with_offers(unsigned life) {
    return plan_.writer.demotes ? core(life).undrained() : 0;
  }

  void wait_for_readers(unsigned life, std::uint32_t pages) {
    Writer& own = m_.writer[life];
    if (plan_.writer.demotes && pages != 0 &&
        (own.tired || choose("too slow?", 2) == 1)) {
      own.tired = 0;
      for (unsigned r = 0; r < Pages; ++r) {
        if ((pages & slot_bit(r)) != 0) core(life).demote(r);
      }
      room(life).disarm();
      core(life).recycle();
      return;
    }
    leave_core(life);
    own.tired = room(life).sleep() ? 0 : 1;
    enter_core(life);
    if (own.tired) core(life).recycle();
  }

  std::uint8_t user(unsigned t) const { return static_cast<std::uint8_t>(1u << t); }
  Object& begin_drawing(unsigned life, unsigned slot) {
    Object& o = m_.control[life].objects[m_.writer[life].object_of[slot]];
    const std::uint8_t self = user(thread_of(life));
    require((o.users & ~self) == 0, "TORN: drawn over under a reader's eyes");
    o.users |= self;
    return o;
  }
  void draw(unsigned life, unsigned slot) {
    Writer& own = m_.writer[life];
    Object& o = begin_drawing(life, slot);
    explorer().clear_with_next_step(o.users, user(thread_of(life)));
    o.seq = ++own.seq;
    o.ordinal = static_cast<std::uint8_t>(own.frame);
  }

  void dropped(unsigned life) {
    require((core(life).have() & ~leased(life)) != 0 || plan_.writer.may_drop,
            "the last slots were leased");
    for (unsigned t = 0; t < readers(); ++t) {
      const Reader& r = m_.reader[t];
      require(!plan_of(r).lies || plan_.writer.may_drop,
              "a liar keeps the writer from its slots");
      require(!(r.life == life && owed(r) && lossless(r)),
              "a frame was dropped behind the back of a lossless reader");
    }
  }

  // All readers are gone: what they held must be free.
  void check_slots(unsigned life) {
    bool all = false;
    auto somebody = [&] {
      if (m_.writer[life].mutex != 0) return false;
      all = all_readers_are_gone();
      return all || somebody_went(life);
    };
    do {
      checkpoint(3);
      leave_core(life);
      wait_for("a reader to go", somebody);
      if (two_threads()) m_.writer[life].mutex = 1;
      observe(all);
      observe(mix_core(0, life));
      core(life).recycle();
      require(m_.control[life].reader_died || core(life).take_recycled().died == 0,
              "a reader that left was taken for dead");
    } while (!all);
    require(core(life).taken() == 0, "a slot never came back");
    for (const auto& page : m_.control[life].page) {
      require(state_of(page) == layout::PageState::free, "a page was not recycled");
    }
  }

  void unlink_objects(unsigned life) {
    if (!plan_.fine) return;
    for (Object& o : m_.control[life].objects) {
      if (!o.named) continue;
      step("unlink", &o);
      o.named = 0;
    }
  }
  // As WriterSession::end().
  void stop(unsigned life) {
    auto& control = m_.control[life];
    // Who comes while it looks may be too late.
    std::uint32_t came = 0;
    for (unsigned t = 0; t < readers(); ++t) {
      if (m_.reader[t].attached && m_.reader[t].life == life) came |= 1u << t;
    }
    control.stopping = 1;
    control.drained = core(life).admitted();
    observe(came);
    core(life).admit();
    for (unsigned t = 0; t < readers(); ++t) {
      Reader& r = m_.reader[t];
      if ((came >> t & 1) != 0 && r.attached && r.life == life) {
        r.promised = static_cast<std::uint32_t>(control.newest());
      }
    }
    fine_step("unlink", &control.linked);
    control.linked = 0;
    unlink_objects(life);
    unlock(control.owner);
    for (unsigned r = 0; r < Pages; ++r) writer_env_[life].ring_reader(r);
  }
  void take_over(unsigned life) {
    auto& old = m_.control[life - 1];
    auto gone = [&] { return old.owner == 0; };
    wait_for("the owner to go", gone);
    step("unlink", &old.linked);
    old.linked = 0;
    unlink_objects(life - 1);
    step("claim", &m_.control[life].linked);
    claim(life);
  }

  // --- a reader ----------------------------------------------------------------------

  struct ReaderEnv {
    Channel& channel;
    Reader& own;

    auto& control() const { return channel.m_.control[own.life]; }
    auto& header() const { return control().header; }
    auto& page(unsigned r) const { return control().page[r]; }
    bool lock_page(unsigned r) { return try_lock(page(r).lock); }
    void unlock_page(unsigned r) { unlock(page(r).lock); }
    // The housekeeping thread's bell makes nothing happen that its ticks do not.
    void ring_writer() { Bell(control().room).ring(); }
    void ring_both() { ring_writer(); }
    bool writer_alive() const {
      step("is it locked", &control().owner);
      const bool alive = control().owner != 0;
      observe(alive);
      return alive;
    }
    bool linked() const {
      channel.fine_step("has it a name", &control().linked);
      const bool linked = control().linked != 0;
      observe(linked);
      return linked;
    }
    Mapped map(unsigned slot, std::uint32_t object) {
      if (own.mapped[slot] == object) return Mapped::ok;
      own.mapped[slot] = 0;
      if (object == 0) return Mapped::failed;
      Object& o = control().objects[object];
      channel.fine_step("open", &o);
      observe(o.named);
      if (!o.named) return Mapped::gone;
      own.mapped[slot] = object;
      return Mapped::ok;
    }
  };
  using ReaderHalf = ReaderCore<ReaderEnv, Pages, Slots>;
  using Next = typename ReaderHalf::Next;
  using Opened = typename ReaderHalf::Opened;
  // A reader on a page.
  struct Stay {
    const unsigned me;
    Reader& own;
    const ReaderPlan& plan;
    ReaderEnv env;
    ReaderHalf half;
    Stay(Channel& channel, unsigned reader, Tenancy tenancy)
        : me(reader),
          own(channel.m_.reader[reader]),
          plan(channel.plan_.readers[reader]),
          env{channel, own},
          half(env, tenancy) {}
  };

  bool demoted(const Reader& r) const {
    return (m_.control[r.life].page[r.page].grant.value & layout::kDemoted) != 0;
  }
  const ReaderPlan& plan_of(const Reader& r) const {
    return plan_.readers[static_cast<std::size_t>(&r - m_.reader)];
  }
  // Is somebody there who was admitted?
  bool owed(const Reader& r) const {
    const auto& page = m_.control[r.life].page[r.page];
    return r.attached && page.grant.due != 0 &&
           state_of(page) == layout::PageState::active;
  }
  bool lossless(const Reader& r) const {
    return plan_of(r).policy == layout::Policy::blocking && !demoted(r);
  }

  void run_reader(unsigned me) {
    Reader& own = m_.reader[me];
    const ReaderPlan& plan = plan_.readers[me];
    if (plan.stopped && own.leases != 0) return;
    if (plan.attached) {
      Stay stay(*this, me, {me, 0});
      if (plan.stopped) {
        for (unsigned s = 0; s < Slots; ++s) stay.half.release(s);
      } else if (plan.evicted) {
        lose_page(stay);
      } else {
        watch(stay);
      }
      own.over = 1;
      return;
    }
    while (own.sessions < plan.sessions) {
      checkpoint(20);
      if (!find_channel(own)) break;
      ReaderEnv env{*this, own};
      const auto tenancy = lock_free_page<ReaderEnv, Pages>(env);
      if (!tenancy) continue;
      own.page = tenancy->page;
      own.epoch = tenancy->epoch;
      Stay stay(*this, me, *tenancy);
      if (enter(stay)) {
        watch(stay);
        ++own.sessions;
      }
      leave(stay);
    }
    own.over = 1;
  }

  // Waits for a channel with a page. False: there will be none.
  bool find_channel(Reader& own) {
    auto found = [&] {
      bool over = true;
      for (unsigned life = 0; life < writers(); ++life) {
        over = over && m_.writer[life].over;
        const auto& control = m_.control[life];
        if (!control.owner || !control.linked) continue;
        for (const auto& page : control.page) {
          if (page.lock == 0 && state_of(page) == layout::PageState::free) {
            own.life = life;
            return true;
          }
        }
      }
      own.life = kLives;
      return over;
    };
    wait_for("a channel", found);
    observe(own.life);
    if (own.life < kLives) return true;
    own.life = 0;
    return false;
  }

  bool enter(Stay& stay) {
    auto& [me, own, plan, env, half] = stay;
    for (unsigned s = 0; s < Slots; ++s) {
      if (const auto object = half.object_of(s)) env.map(s, object);
    }
    checkpoint(28);
    half.enter(plan.policy, plan.depth);
    const auto& control = env.control();
    if (!plan_.fine && control.owner != 0 &&
        control.header.state.value ==
            static_cast<std::uint32_t>(layout::ChannelState::ready)) {
      still(own.life, true);
    }
    own.attached = 1;
    if (explorer().current() == Explorer::kNobody) return true;
    // As if the wait for the admission were over at once.
    if (half.admitted()) return true;
    if ((!env.writer_alive() || !env.linked()) && !half.admitted()) return false;
    checkpoint(29);
    return true;
  }

  // As Reader::Impl::take(), until the end or until the reader has had enough.
  void watch(Stay& stay) {
    auto& [me, own, plan, env, half] = stay;
    if (plan.stalls) stall(own);
    if (plan.lies) {
      lie(env);
      return;
    }
    Bell bell(env.page(own.page).bell);
    for (;;) {
      checkpoint(21);
      if (try_take(stay)) {
        own.look = 0;
        if (plan.frames != 0 && own.got >= plan.frames) return;
        continue;
      }
      const bool dead = own.look && !env.writer_alive();
      checkpoint(30 + dead);
      bell.arm();
      const Next next = half.next(dead, false);
      checkpoint(40 + static_cast<unsigned>(next));
      if (next == Next::sleep) {
        bell.sleep();
        own.look = 1;
        continue;
      }
      bell.disarm();
      if (next == Next::take) continue;
      // A stop is told, but only its bound makes sure that a reader looks at the lock.
      progress(env.control().writer_died || next == Next::disconnected);
      check_end(env, next == Next::eos);
      return;
    }
  }

  // Its look at the epoch and what it does then are two steps, so that only what it
  // begins after it was taken for dead can be harmless to the next tenant.
  void lose_page(Stay& stay) {
    auto& [me, own, plan, env, half] = stay;
    const auto& cfg = env.page(own.page).cfg.value;
    unlock(env.page(own.page).lock);
    const std::uint32_t leases = own.leases;
    own.leases = 0;
    own.attached = 0;
    for (Object& o : env.control().objects) {
      o.users &= static_cast<std::uint8_t>(~user(me));
    }
    auto too_late = [&] {
      return m_.writer[own.life].over || layout::unpack(cfg).epoch != own.epoch;
    };
    wait_for("to be taken for dead", too_late);
    for (std::uint32_t rest = leases; rest != 0; rest &= rest - 1) {
      const auto slot = static_cast<unsigned>(std::countr_zero(rest));
      if (half.owns_page()) half.release(slot);
    }
    half.leave();
  }
  void stall(const Reader& own) {
    auto ready = [&] { return demoted(own) || m_.writer[own.life].over != 0; };
    wait_for("to be demoted", ready);
  }
  void lie(ReaderEnv& env) {
    auto& word = env.page(env.own.page).word;
    const std::uint64_t before = word.fetch_or(layout::make_word(0, ~0u), {});
    // It has released nothing, so the writer must know exactly what it has.
    const std::uint32_t given = core(env.own.life).given(env.own.page);
    require((given & ~(layout::offered_of(before) | layout::taken_of(before))) == 0,
            "a withdrawn slot still counts as given");
    if (!plan_of(env.own).vanishes) return;
    auto& page = env.page(env.own.page);
    page.cfg.store(layout::pack({}), {});
    unlock(page.lock);
  }

  // As Attachment::try_take().
  bool try_take(Stay& stay) {
    auto& [me, own, plan, env, half] = stay;
    for (;;) {
      const std::uint32_t mapped = plan_.fine ? half.map_offered() : ~0u;
      require(tenant(half, own), "a live reader lost its page");
      const auto found = half.take(own.last, mapped);
      if (!found) return false;
      const unsigned held = static_cast<unsigned>(std::popcount(own.leases));
      const std::uint32_t pool = circulating(own.life);
      observe(pool);
      const bool copy = half.must_copy(held);
      switch (half.open(found->slot)) {
        case Opened::ok:
          break;
        case Opened::lost:
          require(may_lose(own, found->seq), "a frame was lost though its writer lives");
          ++own.lost;
          half.release(found->slot);
          continue;
        case Opened::removed:
          explorer().fail("a live writer's object has no name");
        case Opened::failed:
          explorer().fail("a slot without an object was offered");
      }
      progress(env.control().writer_died);
      const std::uint32_t object = own.mapped[found->slot];
      Object& o = env.control().objects[object];
      require(o.seq == found->seq, "TORN: the slot shows another frame");
      require((o.users & user(thread_of(own.life))) == 0, "TORN: seen while it is drawn");
      o.users |= user(me);
      own.leases |= slot_bit(found->slot);
      account(own, o);
      // A pool that changes while the reader counts may shrink behind its back.
      if (!copy && pool == circulating(own.life)) check_reserve(own);
      if (copy) own.returns = slot_bit(found->slot);
      for (unsigned s = 0; s < Slots && !copy && too_many(own); ++s) {
        const bool kept = s == found->slot && plan_.readers[me].hold != 0;
        if (!kept) own.returns |= own.leases & slot_bit(s);
      }
      checkpoint(26);
      for (unsigned s = 0; s < Slots; ++s) {
        if ((own.returns & slot_bit(s)) != 0) give_back(stay, s);
      }
      own.returns = 0;
      return true;
    }
  }
  // However many leases are kept for ever, the writer goes on: what is about to be copied
  // or put back comes back by itself.
  std::uint32_t leased(unsigned life) const {
    std::uint32_t slots = 0;
    for (unsigned t = 0; t < readers(); ++t) {
      const Reader& r = m_.reader[t];
      if (r.attached && r.life == life) slots |= r.leases & ~r.returns;
    }
    return slots;
  }
  std::uint32_t circulating(unsigned life) const {
    std::uint32_t slots = 0;
    for (unsigned s = 0; s < Slots; ++s) {
      if (m_.control[life].header.slot[s].object.value != 0) slots |= slot_bit(s);
    }
    return slots;
  }
  void check_reserve(const Reader& own) {
    if (m_.control[own.life].writer_died) return;
    const auto rest = std::popcount(circulating(own.life) & ~leased(own.life));
    require(rest > std::popcount(m_.writer[own.life].kept), "the last slots were leased");
  }
  bool too_many(const Reader& own) const {
    const std::uint32_t kept = own.leases & ~own.returns;
    return static_cast<unsigned>(std::popcount(kept)) > plan_of(own).hold;
  }
  bool tenant(ReaderHalf& half, const Reader& own) const {
    return plan_.fine
               ? half.owns_page()
               : layout::unpack(m_.control[own.life].page[own.page].cfg.value).epoch ==
                     own.epoch;
  }
  // Its object went with a writer that died, or that did not wait for this reader: a
  // draining one does not know who is admitted after its last look.
  bool may_lose(const Reader& own, std::uint64_t seq) const {
    const auto& control = m_.control[own.life];
    if (control.linked) return false;
    if (control.writer_died && plan_.successor) return true;
    const bool late = control.stopping && (control.drained >> own.page & 1) == 0;
    return !plan_.writer.drain || !lossless(own) || late || seq < due(own);
  }

  // The first frame that a reader may not miss.
  std::uint32_t due(const Reader& own) const {
    const auto& control = m_.control[own.life];
    const std::uint32_t since = control.page[own.page].grant.due;
    return since != 0 ? since : control.due;
  }

  void account(Reader& own, const Object& o) {
    require(o.seq > own.last, "frames out of order");
    if (lossless(own)) {
      if (own.got == 0) {
        require(o.seq <= due(own) + own.lost, "the first frames were missed");
      } else {
        require(o.seq <= own.last + 1 + own.lost, "a lossless reader has a gap");
        require(o.ordinal <= own.ordinal + 1u + own.lost,
                "a frame was dropped behind the back of a lossless reader");
      }
    }
    own.last = o.seq;
    own.ordinal = o.ordinal;
    own.lost = 0;
    ++own.got;
  }

  void check_end(ReaderEnv& env, bool eos) {
    const Reader& own = env.own;
    const auto& control = env.control();
    if (lossless(own) && owed(own) && control.done >= due(own)) {
      const std::uint32_t last = own.got == 0 ? due(own) - 1 : own.last;
      require(last + own.lost >= control.done,
              "a lossless reader was told the end too early");
    }
    if (control.writer_died || own.lost > 0) return;
    require(
        own.last >= own.promised || plan_of(own).policy == layout::Policy::drop_newest,
        "who came before the stop never got the newest frame");
    if (!owed(own) || (!eos && plan_.writer.eos)) return;
    const bool newest_kept = plan_of(own).policy != layout::Policy::drop_newest;
    const std::uint64_t least = newest_kept ? control.newest() : control.newest() != 0;
    require(own.last >= least, "the newest frame never arrived");
  }

  void give_back(Stay& stay, unsigned slot) {
    auto& [me, own, plan, env, half] = stay;
    Object& o = env.control().objects[own.mapped[slot]];
    own.leases &= ~slot_bit(slot);
    require(tenant(half, own), "a live reader lost its page");
    explorer().clear_with_next_step(o.users, user(me));
    half.release(slot);
  }

  void leave(Stay& stay) {
    auto& [me, own, plan, env, half] = stay;
    checkpoint(23);
    half.leave();
    own.attached = 0;
    checkpoint(24);
    for (unsigned s = 0; s < Slots; ++s) {
      if ((own.leases & slot_bit(s)) != 0) give_back(stay, s);
    }
    checkpoint(25);
    unlock(env.page(own.page).lock);
    env.ring_both();
    const std::uint32_t sessions = own.sessions;
    own = Reader{};
    own.sessions = sessions;
  }

  const Plan plan_;
  WriterEnv writer_env_[kLives] = {{*this, 0}, {*this, 1}};
  Memory m_;
};

template <unsigned Pages, unsigned Slots>
std::string Channel<Pages, Slots>::label(const void* where) const {
  for (unsigned life = 0; life < kLives; ++life) {
    const auto& c = m_.control[life];
    std::vector<std::pair<const void*, std::string>> names = {
        {&c.header.state, "state"},
        {&c.header.reserve, "reserve"},
        {&c.header.admitted, "admitted"},
        {&c.header.have, "have"},
        {&c.room.waiting, "room.waiting"},
        {&c.room.count, "room.semaphore"},
        {&c.owner, "OWNER"},
        {&c.linked, "control name"},
    };
    for (unsigned s = 0; s < Slots; ++s) {
      const std::string slot = "slot[" + std::to_string(s) + "]";
      names.emplace_back(&c.header.slot[s].seq, slot + ".seq");
      names.emplace_back(&c.header.slot[s].object, slot + ".object");
    }
    for (unsigned r = 0; r < Pages; ++r) {
      const std::string page = "page[" + std::to_string(r) + "]";
      names.emplace_back(&c.page[r].word, page + ".word");
      names.emplace_back(&c.page[r].cfg, page + ".cfg");
      names.emplace_back(&c.page[r].lock, page + ".lock");
      names.emplace_back(&c.page[r].grant, page + ".grant");
      names.emplace_back(&c.page[r].bell.waiting, page + ".waiting");
      names.emplace_back(&c.page[r].bell.count, page + ".semaphore");
    }
    for (unsigned o = 0; o <= kObjects; ++o) {
      names.emplace_back(&c.objects[o], "object " + std::to_string(o));
    }
    for (const auto& [address, name] : names) {
      if (address == where) return (life == 0 ? "" : "new ") + name;
    }
  }
  return "?";
}

}  // namespace model
