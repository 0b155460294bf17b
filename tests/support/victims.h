// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A writer and a reader that do one thing at a time as they are told, until they die at
// a crash point in the middle of it. They check what they get themselves and abort when
// it is wrong, which is another way to die than the one that is expected.
#pragma once

#include <signal.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>

#include "support/crash_points.h"
#include "support/peers.h"

namespace support {

inline constexpr int kSearchMs = 500;  // one try to attach, of several

// What a frame shows follows from incarnation and sequence number.
inline std::uint64_t key_for(std::uint64_t incarnation, std::uint64_t seq) {
  return incarnation ^ (seq * 0x9e3779b97f4a7c15u);
}

inline bool genuine(const Frame& frame, std::uint64_t incarnation) {
  return key_of(frame) == key_for(incarnation, frame.descriptor().seq) && intact(frame);
}

// --- the far side --------------------------------------------------------------------

// ORDERS ROLE ARGS...: a role with orders for its crash points, "KILL NAME NTH" or "STOP
// NAME NTH", separated by commas. At its end it says how often it passed each point:
// "passed NAME COUNT".
ROLE(victim) {
  std::istringstream orders(args.at(0));
  for (std::string order; std::getline(orders, order, ',');) {
    std::istringstream words(order);
    std::string what;
    std::string point;
    unsigned nth = 0;
    words >> what >> point >> nth;
    possum::crash::raise_at(what == "STOP" ? SIGSTOP : SIGKILL, point, nth);
  }
  const int status = check::find(check::roles(), args.at(1).c_str())
                         ->run({args.begin() + 2, args.end()});
  for (const possum::crash::Point* point : possum::crash::points()) {
    if (const unsigned passed = point->passed.load(); passed > 0) {
      say(std::string("passed ") + point->name + " " + std::to_string(passed));
    }
  }
  return status;
}

class Sender {
 public:
  Sender(const std::string& channel, unsigned slots, const std::string& kind) {
    Error error;
    WriterOptions options = blocking_writer(channel, slots);
    options.perms = 0660;
    options.group = getegid();
    if (kind == "impatient") options.max_blocking_ns = 30 * kMs;
    writer_ = Writer::create(options, {}, error);
    CHECK(writer_);
  }

  // The status in one word; "ok" is followed by incarnation and last sequence number
  // where there may be news of them.
  std::string obey(std::istringstream& words) {
    std::string order;
    std::size_t count = 0;
    std::size_t bytes = 0;
    words >> order >> count >> bytes;
    Error error;
    if (order == "open") return text(writer_->open(error));
    if (order == "prepare") return writer_->prepare(count, bytes, error) ? "ok" : "no";
    if (order == "publish") {
      std::string caps = kCaps;
      std::size_t metas = 0;
      words >> caps >> metas;
      return publish(count, bytes, caps, metas);
    }
    if (order == "keep") {  // of all acquired slots so many
      for (; kept_.size() > count; kept_.pop_back()) writer_->give_back(kept_.back());
      while (kept_.size() < count) {
        SlotRef ref;
        if (writer_->acquire(kSmall, 64, 0, ref, error) != WriteStatus::ok) return "no";
        kept_.push_back(ref);
      }
      return "ok";
    }
    if (order == "lend") {  // if the reserve allows it
      for (; count > 0; --count) {
        const auto ref = writer_->lend(bytes);
        if (ref) lent_.push_back(*ref);
      }
      return "ok";
    }
    if (order == "send") {  // what was lent
      WriteStatus status = WriteStatus::ok;
      for (; !lent_.empty() && status == WriteStatus::ok; lent_.pop_front()) {
        status = send(lent_.front(), kSmall, kCaps, 0);
        writer_->give_back(lent_.front());
      }
      return text(status);
    }
    if (order == "readers") return text(writer_->wait_readers(unsigned(count), error));
    const auto come = [](const std::function<bool()>& condition) {
      return eventually(condition) ? "ok" : "no";
    };
    if (order == "alone") {  // with so many readers
      return come([&] { return writer_->active_readers() == count; });
    }
    if (order == "grown") {
      return come([&] { return writer_->statistics().slots >= count; });
    }
    if (order == "renewed") {
      return come([&] {
        const std::uint64_t now = writer_->incarnation();
        return now != 0 && now != incarnation_;
      });
    }
    if (order == "limit") {  // of a file's size; 0: none
      signal(SIGXFSZ, SIG_IGN);
      limit_.reset();
      if (count != 0) limit_.emplace(RLIMIT_FSIZE, count);
      return "ok";
    }
    if (order == "eos") writer_->set_eos();
    if (order == "drain") return text(writer_->drain(error));
    if (order == "flush") writer_->flush();
    if (order == "close") writer_->close();
    return "ok";
  }

 private:
  std::string text(WriteStatus status) const {
    if (status != WriteStatus::ok) {
      return status == WriteStatus::no_slot ? "no_slot" : "failed";
    }
    return "ok " + std::to_string(writer_->incarnation()) + " " + std::to_string(seq_);
  }
  std::string publish(std::size_t count, std::size_t bytes, const std::string& caps,
                      std::size_t metas) {
    WriteStatus status = WriteStatus::ok;
    for (; count > 0 && status == WriteStatus::ok; --count) {
      SlotRef ref;
      Error error;
      status = writer_->acquire(bytes, caps.size(), metas, ref, error);
      if (status == WriteStatus::ok) status = send(ref, bytes, caps, metas);
    }
    return text(status);
  }
  WriteStatus send(const SlotRef& ref, std::size_t bytes, const std::string& caps,
                   std::size_t metas) {
    if (ref.incarnation != incarnation_) {
      incarnation_ = ref.incarnation;
      seq_ = 0;
    }
    const std::uint64_t key = key_for(incarnation_, seq_ + 1);
    draw(ref.data, bytes, key);
    auto frame = descriptor_for(key, bytes);
    Error error;
    const WriteStatus status =
        writer_->publish(ref, frame, caps, std::vector<std::byte>(metas), false, error);
    if (status == WriteStatus::ok) CHECK(frame.seq == ++seq_);
    return status;
  }

  std::unique_ptr<Writer> writer_;
  std::uint64_t incarnation_ = 0;
  std::uint64_t seq_ = 0;
  std::deque<SlotRef> lent_;
  std::vector<SlotRef> kept_;
  std::optional<SoftLimit> limit_;
};

// CHANNEL SLOTS KIND: blocking, or impatient with blocking readers.
ROLE(sender) {
  Sender sender(args.at(0), static_cast<unsigned>(std::stoul(args.at(1))), args.at(2));
  for (std::istringstream words; listen(words) && words.str() != "end";) {
    say(sender.obey(words));
  }
  return 0;
}

// CHANNEL POLICY DEPTH
ROLE(viewer) {
  Error error;
  const auto reader =
      Reader::create(reader_of(args.at(0), static_cast<Policy>(std::stoi(args.at(1))),
                               static_cast<unsigned>(std::stoul(args.at(2)))),
                     error);
  CHECK(reader);
  std::deque<Frame> held;
  std::uint64_t last = 0;
  const auto take_one = [&](int ms) {
    Frame frame;
    const TakeStatus status = reader->take(in_ms(ms), frame, error);
    if (status == TakeStatus::frame) {
      CHECK(genuine(frame, reader->incarnation()));
      CHECK(frame.descriptor().seq > last);
      if (args[1] == "2" && last != 0) CHECK(frame.missed() == 0);
      last = frame.descriptor().seq;
      held.push_back(std::move(frame));
    }
    return status;
  };
  const auto let_go = [&](std::uint64_t incarnation, std::size_t count) {
    for (; count > 0 && !held.empty(); --count) {
      const std::uint64_t key = key_of(held.front());
      CHECK(incarnation == 0 ||
            key == key_for(incarnation, held.front().descriptor().seq));
      CHECK(intact(held.front()));
      held.pop_front();
    }
  };
  for (std::istringstream words; listen(words) && words.str() != "end";) {
    std::string order;
    std::size_t count = 0;
    words >> order >> count;
    std::string answer = "ok";
    if (order == "attach") {
      last = 0;
      const AttachStatus status = reader->attach(in_ms(kSearchMs), error);
      answer = status == AttachStatus::attached ? "ok" : "no";
    } else if (order == "take") {
      for (; count > 0 && answer == "ok"; --count) {
        const TakeStatus status = take_one(kLimitMs);
        answer = status == TakeStatus::frame ? "ok" : text_of(status);
      }
    } else if (order == "through") {  // takes so many and gives each back
      for (; count > 0; --count) {
        CHECK(take_one(kLimitMs) == TakeStatus::frame);
        let_go(reader->incarnation(), held.size());
      }
    } else if (order == "drain") {  // until nothing waits, then so many ms of sleep
      TakeStatus status;
      while ((status = take_one(0)) == TakeStatus::frame) {
        let_go(reader->incarnation(), 1);
      }
      CHECK(status == TakeStatus::timeout && take_one(int(count)) == TakeStatus::timeout);
    } else if (order == "release") {
      let_go(reader->incarnation(), count);
    } else if (order == "skip") {
      reader->skip_to_newest();
    } else if (order == "interrupt") {
      reader->interrupt(true);
      reader->interrupt(false);
    } else if (order == "detach") {
      reader->detach();
    }
    say(answer);
  }
  return 0;
}

// --- the near side -------------------------------------------------------------------

struct Died {};

class Victim : public Peer {
 public:
  // `at_hold` is called while it is stopped at a point, with the point's name.
  Victim(const std::string& orders, const std::string& role,
         const std::vector<std::string>& args,
         std::function<void(const std::string&)> at_hold)
      : Peer("victim", words(orders, role, args)), at_hold_(std::move(at_hold)) {}

  // The first word of the answer. Throws Died instead of an answer.
  std::string ask(const std::string& order) {
    tell_if_alive(order);
    return answer();
  }
  std::string answer() {
    for (;;) {
      const auto line = hear_if_alive();
      if (!line) throw Died{};
      if (!line->starts_with("held ")) return *line;
      await_stop();
      at_hold_(line->substr(5));
      go_on();
    }
  }
  void order(const std::string& order) {
    std::string heard = ask(order);
    while (order == "attach" && heard == "no") heard = ask(order);
    if (!heard.starts_with("ok")) {
      std::fprintf(stderr, "%s: %s\n", order.c_str(), heard.c_str());
    }
    CHECK(heard.starts_with("ok"));
  }
  void expect_answer(const std::string& order, const std::string& answer) {
    const std::string heard = ask(order);
    if (heard != answer) std::fprintf(stderr, "%s: %s\n", order.c_str(), heard.c_str());
    CHECK(heard == answer);
  }
  // What it has passed, one "passed NAME COUNT" a line; ends it.
  std::vector<std::string> end() {
    std::vector<std::string> lines;
    tell_if_alive("end");
    try {
      for (;;) lines.push_back(answer());
    } catch (const Died&) {
    }
    return lines;
  }

 private:
  static std::vector<std::string> words(const std::string& orders,
                                        const std::string& role,
                                        const std::vector<std::string>& args) {
    std::vector<std::string> result = {orders, role};
    result.insert(result.end(), args.begin(), args.end());
    return result;
  }

  std::function<void(const std::string&)> at_hold_;
};

// --- a bystander -----------------------------------------------------------------------

// A reader that lives on whatever happens to the others: it follows a channel from writer
// to writer in a thread of its own and checks all that it gets, when it is taken and
// again before it is given back; the order must hold; a lossless one must get everything.
class Watcher {
 public:
  Watcher(const std::string& channel, Policy policy)
      : lossless_(policy == Policy::blocking) {
    Error error;
    ReaderOptions options = reader_of(channel, policy, 4);
    options.ignore_eos = true;
    reader_ = Reader::create(options, error);
    CHECK(reader_);
    thread_ = std::thread([this] { watch(); });
  }
  ~Watcher() { stop(); }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  // Gives everything back and leaves.
  void stop() {
    if (!thread_.joinable()) return;
    reader_->interrupt(true);
    thread_.join();
    reader_.reset();
  }
  // From now on a frame may be gone when its writer is: one whose object was made just
  // before the death, and whose name the next writer removed before we opened it.
  void forgive() {
    const std::lock_guard lock(mutex_);
    forgiving_ = true;
  }

  void await_frame(std::uint64_t incarnation, std::uint64_t seq) {
    await([&] { return last_of_[incarnation] >= seq; });
  }
  bool attached_within(std::uint64_t incarnation, int ms) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::milliseconds(ms),
                             [&] { return now_ == incarnation; });
  }
  void await_end(std::uint64_t incarnation) {
    await([&] { return now_ != incarnation; });
  }
  // The last frame it got of a writer, 0: none.
  std::uint64_t last(std::uint64_t incarnation) {
    const std::lock_guard lock(mutex_);
    return last_of_[incarnation];
  }

 private:
  void await(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    CHECK(changed_.wait_for(lock, std::chrono::milliseconds(kLimitMs), condition));
  }

  void watch() {
    for (;;) {
      Error error;
      const AttachStatus status = reader_->attach(INT64_MAX, error);
      if (status == AttachStatus::interrupted) return;
      if (status != AttachStatus::attached)
        std::fprintf(stderr, "%d: %s (%s)\n", static_cast<int>(status),
                     error.message.c_str(), error.detail.c_str());
      CHECK(status == AttachStatus::attached);
      enter(reader_->incarnation());
      if (!follow()) return;
      enter(0);
    }
  }
  void enter(std::uint64_t incarnation) {
    const std::lock_guard lock(mutex_);
    now_ = incarnation;
    changed_.notify_all();
  }

  // Until the writer is gone; false when interrupted. Holds each frame until the next
  // one.
  bool follow() {
    for (Frame held;;) {
      Frame frame;
      Error error;
      const TakeStatus status = reader_->take(INT64_MAX, frame, error);
      if (status != TakeStatus::frame) {
        CHECK(held.size() == 0 || genuine(held, now_));
        if (status == TakeStatus::failed)
          std::fprintf(stderr, "%s\n", error.detail.c_str());
        CHECK(status == TakeStatus::disconnected || status == TakeStatus::interrupted);
        return status == TakeStatus::disconnected;
      }
      CHECK(genuine(frame, now_));
      note(frame);
      CHECK(held.size() == 0 || genuine(held, now_));
      held = std::move(frame);
    }
  }
  void note(const Frame& frame) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t seq = frame.descriptor().seq;
    std::uint64_t& last = last_of_[now_];
    CHECK(seq > last);
    if (last != 0) CHECK(frame.missed() == seq - last - 1);
    if (lossless_ && last != 0 && !forgiving_) CHECK(seq == last + 1);
    last = seq;
    changed_.notify_all();
  }

  const bool lossless_;
  std::unique_ptr<Reader> reader_;
  std::mutex mutex_;  // guards all below; now_ is written by the thread only
  std::condition_variable changed_;
  bool forgiving_ = false;
  std::uint64_t now_ = 0;  // incarnation of the writer it is attached to
  std::map<std::uint64_t, std::uint64_t> last_of_;  // sequence numbers
  std::thread thread_;
};

}  // namespace support
