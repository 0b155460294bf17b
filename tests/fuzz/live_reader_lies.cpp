// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A writer serves an honest reader that must lose nothing, and beside it a liar that
// writes whatever the kernel lets it: its own page and the doorbells. No lie may hold up
// the writer longer than a blocking reader may, reach the honest reader, or keep a slot
// once the liar is dead.
#include <deque>

#include "flipper.h"
#include "scene.h"

using namespace fuzz;

namespace {

constexpr int kSteps = 64;
constexpr unsigned kSlots = 16;
constexpr unsigned kMaxLent = 2;
constexpr std::size_t kBytes = 512;
constexpr std::int64_t kBlockingMs = 3;

// The channel in the eyes of its writer and the honest reader. Lives as long as the run:
// after each input it must be as before.
class Channel {
 public:
  Channel() {
    Error error;
    WriterOptions options;
    options.channel = name_;
    options.slots = kSlots;
    options.allow_blocking = true;
    options.max_blocking_ns = kBlockingMs * kMs;
    writer_ = Writer::create(options, {}, error);
    FUZZ_CHECK(writer_ && writer_->open(error) == WriteStatus::ok);
    FUZZ_CHECK(writer_->prepare(kSlots, kBytes, error));
    ReaderOptions wish;
    wish.channel = name_;
    wish.policy = layout::Policy::blocking;
    wish.depth = 4;
    honest_ = Reader::create(wish, error);
    FUZZ_CHECK(honest_ && honest_->attach(in_ms(1000), error) == AttachStatus::attached);
  }
  const std::string& name() const { return name_; }
  Writer& writer() { return *writer_; }

  void publish() {
    SlotRef ref;
    {
      Error error;
      const Bounded bounded("acquire", kBlockingMs);
      const WriteStatus status = writer_->acquire(kBytes, sizeof kCaps, 0, ref, error);
      FUZZ_CHECK(status == WriteStatus::ok);
    }
    publish(ref, false);
  }
  void publish(const SlotRef& ref, bool zero_copy) {
    Error error;
    layout::FrameDescriptor frame{};
    frame.offset = ++published_;
    frame.data_bytes = kBytes;
    std::memset(ref.data, static_cast<int>(published_ & 0xff), kBytes);
    {
      const Bounded bounded("publish", kBlockingMs);
      FUZZ_CHECK(writer_->publish(ref, frame, kCaps, {}, zero_copy, error) ==
                 WriteStatus::ok);
    }
    drain_honest();
  }

  // Everything so far, in order and whole.
  void drain_honest() {
    Error error;
    for (;;) {
      Frame frame;
      const TakeStatus status = honest_->take(in_ms(0), frame, error);
      if (status == TakeStatus::timeout || status == TakeStatus::eos) break;
      FUZZ_CHECK(status == TakeStatus::frame);
      FUZZ_CHECK(frame.descriptor().offset == ++received_ && frame.size() == kBytes);
      for (std::size_t at = 0; at < kBytes; ++at) {
        FUZZ_CHECK(frame.data()[at] == static_cast<std::byte>(received_));
      }
    }
    FUZZ_CHECK(received_ == published_);
  }

  // With the liar dead nobody holds a slot, and the next reader can have its page.
  void expect_all_free(const layout::ReaderPage& page) {
    const std::int64_t until = in_ms(1000 * slowness());
    while (writer_->statistics().held != 0 ||
           layout::unpack(page.cfg.load()).state != layout::PageState::free) {
      FUZZ_CHECK(monotonic_ns() < until);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

 private:
  const std::string name_ = own_channel("reader");
  std::unique_ptr<Writer> writer_;
  std::unique_ptr<Reader> honest_;
  std::uint64_t published_ = 0;
  std::uint64_t received_ = 0;
};

// Another page of the channel, without any manners. Its death is the end of its lock.
class Liar {
 public:
  explicit Liar(Channel& channel) : channel_(channel) {
    Error error;
    FUZZ_CHECK(open_control({.channel = channel.name()}, open_, error) == OpenStatus::ok);
    UniqueFd fd(shm_open(control_name(channel.name()).c_str(), O_RDWR, 0));
    all_ = ShmObject::map(fd.get(), control_bytes(), Access::read_write, error);
    FUZZ_CHECK(all_);
    map_ = ControlMap(all_);
    attach();
  }
  ~Liar() { die(); }

  void one_step(Input& in) {
    layout::ReaderPage& page = map_.page(page_);
    const std::uint64_t word = page.word.load();
    switch (in.below(14)) {
      case 0:  // takes all it is offered
        return page.word.store(
            layout::make_word(0, layout::offered_of(word) | layout::taken_of(word)));
      case 1:
        return page.word.store(~std::uint64_t{0});
      case 2:
        return page.word.store(0);
      case 3:
        return page.word.store(in.take<std::uint64_t>());
      case 4: {
        layout::Config cfg = layout::unpack(page.cfg.load());
        cfg.depth = in.take<std::uint8_t>();
        cfg.policy = static_cast<layout::Policy>(in.below(4));
        cfg.state = static_cast<layout::PageState>(in.below(4));
        return page.cfg.store(layout::pack(cfg));
      }
      case 5:
        return page.cfg.store(in.take<std::uint64_t>());
      case 6:
        flipper_.emplace(in, areas());
        return;
      case 7:
        return flipper_.reset();
      case 8:
        die();
        return attach();
      default:
        return read_edit(in, areas()).apply();
    }
  }

 private:
  void attach() {
    for (page_ = 0; page_ < layout::kReaders; ++page_) {
      const layout::Config cfg = layout::unpack(map_.page(page_).cfg.load());
      if (cfg.state == layout::PageState::free &&
          open_.lock.try_lock(layout::kReaderByte + page_) == LockFd::Result::ok) {
        break;
      }
    }
    FUZZ_CHECK(page_ < layout::kReaders);
    Error error;
    FUZZ_CHECK(map_own_page(open_, page_, error));
    layout::Config cfg = layout::unpack(map_.page(page_).cfg.load());
    cfg.state = layout::PageState::active;
    map_.page(page_).cfg.store(layout::pack(cfg));
    // Only from its admission on its lies mean anything.
    put_to_sleep(layout::kAttentionUnit, map_.bells().attention);
    open_.attention.ring();
    const std::int64_t until = in_ms(1000 * slowness());
    while ((map_.page(page_).grant.load() & layout::kAdmitted) == 0) {
      FUZZ_CHECK(monotonic_ns() < until);
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }
  void die() {
    flipper_.reset();
    open_.lock.unlock(layout::kReaderByte + page_);
    // Doorbells in order again, so that the next tick need not be waited for: nothing in
    // them, somebody asleep.
    put_to_sleep(layout::kRoomUnit, map_.bells().room);
    open_.room.ring();
    put_to_sleep(layout::kAttentionUnit, map_.bells().attention);
    open_.attention.ring();
    channel_.expect_all_free(map_.page(page_));
  }

  void put_to_sleep(unsigned unit, layout::DoorbellWords& bell) {
    const std::uint64_t one_waits = std::uint64_t{1} << 32;
    std::memcpy(semaphore_at(unit), &one_waits, sizeof one_waits);
    bell.waiting.store(1);
  }
  std::byte* semaphore_at(unsigned unit) const {
    return all_->data() + (unit + 1) * unit_bytes() - layout::kSemSharedBytes;
  }

  std::vector<Area> areas() {
    return {{&map_.page(page_), sizeof(layout::ReaderPage)},
            {&map_.page(page_), 2 * sizeof(std::uint64_t)},
            {&map_.page(page_).cfg, sizeof(std::uint64_t)},
            {&map_.bells().room, sizeof(layout::DoorbellWords)},
            {&map_.bells().attention, sizeof(layout::DoorbellWords)},
            {semaphore_at(layout::kReaderUnit + page_), layout::kSemSharedBytes},
            {semaphore_at(layout::kRoomUnit), layout::kSemSharedBytes},
            {semaphore_at(layout::kAttentionUnit), layout::kSemSharedBytes}};
  }

  Channel& channel_;
  OpenControl open_;
  std::shared_ptr<ShmObject> all_;
  ControlMap map_;
  unsigned page_ = 0;
  std::optional<Flipper> flipper_;
};

// What upstream does with the writer meanwhile.
class Upstream {
 public:
  explicit Upstream(Channel& channel) : channel_(channel) {}
  ~Upstream() {
    while (!lent_.empty()) give_back();
  }

  void one_step(Input& in) {
    Error error;
    Writer& writer = channel_.writer();
    switch (in.below(10)) {
      case 0:
        if (lent_.size() >= kMaxLent) return give_back();
        if (auto ref = writer.lend(kBytes)) lent_.push_back(*ref);
        return;
      case 1:
        return publish_lent();
      case 2:
        return writer.flush();
      case 3: {
        const Bounded bounded("drain", kBlockingMs);
        writer.set_eos();
        FUZZ_CHECK(writer.drain(error) == WriteStatus::ok);
        return;
      }
      case 4:
        FUZZ_CHECK(writer.statistics().slots <= kSlots);
        return;
      default:
        return channel_.publish();
    }
  }

 private:
  void give_back() {
    channel_.writer().give_back(lent_.front());
    lent_.pop_front();
  }
  void publish_lent() {
    if (lent_.empty()) return;
    if (channel_.writer().publishable(lent_.front(), sizeof kCaps, 0)) {
      channel_.publish(lent_.front(), true);
    }
    give_back();
  }
  Channel& channel_;
  std::deque<SlotRef> lent_;
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Channel channel;
  Input in(data, size);
  {
    Upstream upstream(channel);
    Liar liar(channel);
    channel.publish();
    for (int step = 0; step < kSteps && !in.empty(); ++step) {
      if (in.below(2) == 0) {
        liar.one_step(in);
      } else {
        upstream.one_step(in);
      }
    }
  }
  channel.publish();
  return 0;
}
