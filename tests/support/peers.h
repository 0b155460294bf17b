// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A reader and a writer in a process of their own, with one method per thing they can be
// told. What they answer has been checked on their side: the bytes of each frame must
// follow from its key.
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <spawn.h>
#include <sys/mman.h>

#include <cstdlib>
#include <cstring>
#include <deque>
#include <fstream>
#include <set>

#include "support/transport.h"
#include "support/users.h"
#include "transport/frame_times.h"

namespace support {

// --- the far side --------------------------------------------------------------------

inline const char* text_of(AttachStatus status) {
  static constexpr const char* kTexts[] = {"attached", "timeout", "interrupted",
                                           "failed"};
  return kTexts[static_cast<int>(status)];
}

inline const char* text_of(TakeStatus status) {
  static constexpr const char* kTexts[] = {"frame",       "eos",     "disconnected",
                                           "interrupted", "timeout", "failed"};
  return kTexts[static_cast<int>(status)];
}

inline const char* text_of(WriteStatus status) {
  static constexpr const char* kTexts[] = {"ok", "interrupted", "timeout", "no_slot",
                                           "failed"};
  return kTexts[static_cast<int>(status)];
}

// A child that does nothing but live on, beyond this process. HOW: `fork`, `exec` after
// it, or the two ways of starting a program in which no pthread_atfork handler runs,
// `vfork` and `spawn`.
inline pid_t bystander(const std::string& how) {
  char* const sleep[] = {const_cast<char*>("sleep"), const_cast<char*>("60"), nullptr};
  pid_t pid = -1;
  if (how == "spawn") {
    posix_spawnattr_t own_session;
    CHECK(posix_spawnattr_init(&own_session) == 0 &&
          posix_spawnattr_setflags(&own_session, POSIX_SPAWN_SETSID) == 0);
    CHECK(posix_spawnp(&pid, sleep[0], nullptr, &own_session, sleep, environ) == 0);
    posix_spawnattr_destroy(&own_session);
    return pid;
  }
  int own_session[2];
  CHECK(pipe2(own_session, O_CLOEXEC) == 0);
  pid = how == "vfork" ? vfork() : fork();
  if (pid == 0) {
    setsid();
    close(own_session[1]);
    if (how != "fork") execvp(sleep[0], sleep);
    for (;;) pause();
  }
  // Before that, whoever ends this process's group ends it as well.
  close(own_session[1]);
  char end;
  CHECK(read(own_session[0], &end, 1) == 0);
  close(own_session[0]);
  return pid;
}

inline bool is_bystander(const std::string& order) {
  return order == "fork" || order == "exec" || order == "vfork" || order == "spawn";
}

// What peers may write of a semaphore without a word of honour: all that is shared, but
// with a 32-bit glibc the value alone (PROTOCOL.md, section 12).
inline constexpr std::size_t kSemNoiseBytes =
    layout::kSemSharedBytes < sizeof(sem_t) ? layout::kSemSharedBytes : 4;

inline void scribble_semaphore(void* semaphore, std::uint64_t value) {
  for (std::size_t at = 0; at < kSemNoiseBytes; at += 4) {
    static_cast<std::atomic<std::uint32_t>*>(semaphore)[at / 4] =
        static_cast<std::uint32_t>(at % 8 == 0 ? value : value >> 32);
  }
}

// All of a control object, writable. With `at`, in the place of an earlier one.
inline std::byte* map_control(const std::string& channel, std::byte* at = nullptr) {
  UniqueFd fd(shm_open(control_name(channel).c_str(), O_RDWR, 0));
  struct stat info {};
  const bool there = fd && fstat(fd.get(), &info) == 0 &&
                     info.st_size == static_cast<off_t>(control_bytes());
  if (!there && at != nullptr) return at;  // it is just being made anew
  CHECK(there);
  void* const all = mmap(at, control_bytes(), PROT_READ | PROT_WRITE,
                         MAP_SHARED | (at != nullptr ? MAP_FIXED : 0), fd.get(), 0);
  CHECK(all != MAP_FAILED);
  return static_cast<std::byte*>(all);
}

// What a reader may write to if it does not keep to its own page: the whole control
// object, since whoever attaches opens it for writing. KIND: `noise` anywhere, or
// `noise-in-pages` alone,
// `lies` that look like what belongs there, or `doorbells` that somebody sleeps on.
[[noreturn]] inline void vandalise(const std::string& channel, const std::string& kind) {
  using namespace layout;
  std::byte* const bytes = map_control(channel);
  const auto unit = [&](unsigned n) { return bytes + n * unit_bytes(); };
  auto& header = *reinterpret_cast<ControlHeader*>(unit(0));
  std::mt19937_64 random(37);
  const auto page = [&]() -> ReaderPage& {
    return *reinterpret_cast<ReaderPage*>(unit(kReaderUnit + random() % kReaders));
  };
  auto& bells = *reinterpret_cast<WriterBells*>(unit(kRoomUnit));
  const auto semaphore = [](std::byte* start) {
    return start + unit_bytes() - kSemSharedBytes;
  };
  for (unsigned turn = 1;; ++turn) {
    // Now and then a pause, in which others get somewhere.
    if (turn % 64 == 0 && kind != "doorbells") {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    // A writer that finds its header changed makes the channel anew.
    if (turn % 4096 == 0) map_control(channel, bytes);
    if (kind == "noise" || kind == "noise-in-pages") {
      const std::uint64_t noise = random();
      std::byte* const start = unit(static_cast<unsigned>(
          kind == "noise" ? random() % kUnits : 1 + random() % (kUnits - 1)));
      std::memcpy(start + 8 * (random() % 104), &noise, 8);
      if (random() % 8 == 0) scribble_semaphore(semaphore(start), random());
    } else if (kind == "doorbells") {
      for (DoorbellWords* bell : {&bells.room, &bells.attention, &page().bell}) {
        bell->waiting = 1;
      }
      for (unsigned n = kRoomUnit; n < kUnits; ++n) {
        // Numbers that mean something to a C library, or anything.
        const std::uint64_t words[] = {0, 1, 128, random() >> 32};
        scribble_semaphore(semaphore(unit(n)),
                           words[random() % 4] << 32 | words[random() % 4]);
      }
    } else {
      auto& entry = header.slot[random() % kSlots];
      switch (random() % 10) {
        case 0:
          header.state = static_cast<std::uint32_t>(random() % 4);
          break;
        case 1:
          header.reserve = static_cast<std::uint32_t>(random() % 2 ? random() : 0);
          break;
        case 2:
          (random() % 2 ? header.admitted : header.have) =
              static_cast<std::uint32_t>(random());
          break;
        case 3:
          header.latest = static_cast<std::uint32_t>(random());
          break;
        case 4:
          entry.seq = random() % 2 ? random() : random() % 100'000;
          break;
        case 5:
          entry.object = static_cast<std::uint32_t>(random() % 40);
          break;
        case 6:
          page().cfg = pack({static_cast<std::uint32_t>(random() % 4),
                             static_cast<std::uint8_t>(random() % 20),
                             static_cast<Policy>(random() % 4),
                             static_cast<PageState>(random() % 4)});
          break;
        case 7:
          page().word = random() % 2 ? ~std::uint64_t{0} : random();
          break;
        case 8: {  // as a reader takes, in pages that nobody has, too
          auto& word = page().word;
          const std::uint32_t offered = offered_of(word);
          word = make_word(0, offered | taken_of(word));
          break;
        }
        default:
          header.incarnation = random();
      }
    }
  }
}

inline bool become(const User& user) {
  return setgroups(0, nullptr) == 0 && setresgid(user.gid, user.gid, user.gid) == 0 &&
         setresuid(user.uid, user.uid, user.uid) == 0 &&
         prctl(PR_SET_DUMPABLE, 1) == 0;  // as after exec: /proc/self is our own
}

// Another role as another user: UID GID ROLE ARGS...
ROLE(as) {
  CHECK(become({static_cast<uid_t>(std::stoul(args.at(0))),
                static_cast<gid_t>(std::stoul(args.at(1)))}));
  CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);  // which the change forgets
  return check::find(check::roles(), args.at(2).c_str())
      ->run({args.begin() + 3, args.end()});
}

// What a process without the right to must not get done; the first that it did, or "".
class Trespass {
 public:
  template <class Result>
  void attempt(const std::string& what, Result result) {
    if (result >= 0 && done_.empty()) done_ = what;
  }
  const std::string& done() const { return done_; }

 private:
  std::string done_;
};

inline int map_for_writing(int fd) {
  void* const data = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  return data == MAP_FAILED ? -1 : 0;
}

// With a mapping of pixels in hand, and what it leads to in /proc.
inline void draw_on_mapping(Trespass& trespass, const Frame& frame) {
  const auto at = reinterpret_cast<std::uintptr_t>(frame.data());
  auto* const page = reinterpret_cast<void*>(at & ~std::uintptr_t{4095});
  for (const int prot : {PROT_WRITE, PROT_READ | PROT_WRITE}) {
    trespass.attempt("mprotect", mprotect(page, 4096, prot));
  }
  // qemu-user takes this advice without following it.
  const std::string before(static_cast<const char*>(page), 4096);
  const int removed = madvise(page, 4096, MADV_REMOVE);
  const bool kept = std::memcmp(before.data(), page, before.size()) == 0;
  trespass.attempt("MADV_REMOVE",
                   std::getenv("MESON_EXE_WRAPPER") && kept ? -1 : removed);
  const int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
  CHECK(memory >= 0);
  const char dirt = '!';
  trespass.attempt("/proc/self/mem", pwrite(memory, &dirt, 1, static_cast<off_t>(at)));
  close(memory);
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/map_files")) {
    std::size_t used = 0;
    const std::string range = entry.path().filename();
    const std::uintptr_t start = std::stoul(range, &used, 16);
    const std::uintptr_t end = std::stoul(range.substr(used + 1), nullptr, 16);
    if (at < start || at >= end) continue;
    trespass.attempt("/proc/self/map_files", open(entry.path().c_str(), O_RDWR));
    trespass.attempt("truncate map_files", truncate(entry.path().c_str(), 0));
  }
}

// With a descriptor that may read.
inline void draw_through(Trespass& trespass, int fd) {
  const std::string self = "/proc/self/fd/" + std::to_string(fd);
  trespass.attempt("mmap", map_for_writing(fd));
  trespass.attempt("/proc/self/fd", open(self.c_str(), O_RDWR));
  trespass.attempt("/proc/self/fd for append", open(self.c_str(), O_WRONLY | O_APPEND));
  trespass.attempt("write", write(fd, "!", 1));
  trespass.attempt("ftruncate", ftruncate(fd, 0));
  constexpr int kPunch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
  trespass.attempt("fallocate", fallocate(fd, kPunch, 0, 4096));
  trespass.attempt("fchmod", fchmod(fd, 0666));
}

// Nobody but the owner changes, moves or removes a name, nor adds one for what it may not
// write.
inline void break_name(Trespass& trespass, const std::string& path, bool may_write) {
  const std::string other = path + ".stolen";
  trespass.attempt("unlink", unlink(path.c_str()));
  trespass.attempt("rename", rename(path.c_str(), other.c_str()));
  trespass.attempt("chmod", chmod(path.c_str(), 0666));
  trespass.attempt("chown", chown(path.c_str(), geteuid(), getegid()));
  if (may_write) return;
  trespass.attempt("link", link(path.c_str(), other.c_str()));
  trespass.attempt("open", open(path.c_str(), O_RDWR));
  trespass.attempt("open for writing", open(path.c_str(), O_WRONLY | O_TRUNC));
  trespass.attempt("truncate", truncate(path.c_str(), 0));
}

// In whatever way one gets at the names of a channel. A member of the group may read all
// and write the control object; a stranger may neither.
inline std::string trespass_by_name(const std::string& channel, bool member) {
  Trespass trespass;
  unsigned seen = 0;
  for (const std::string& name : names_of(channel)) {
    const std::string path = std::string(kShmDirectory) + "/" + name;
    const bool control = name.starts_with("possum-c.");
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (!member) trespass.attempt("look", fd);
    if (member) CHECK(fd >= 0);
    if (member && !control) draw_through(trespass, fd);
    if (fd >= 0) close(fd);
    break_name(trespass, path, member && control);
    ++seen;
  }
  CHECK(seen > 1);
  return trespass.done();
}

// The units of the control object that this process has mapped for writing.
inline std::string writable_units(const std::string& channel) {
  std::ifstream maps("/proc/self/maps");
  std::set<std::size_t> units;  // those with a semaphore are mapped twice
  for (std::string line; std::getline(maps, line);) {
    if (!line.ends_with(control_name(channel))) continue;
    std::istringstream fields(line);
    std::string range;
    std::string mode;
    std::size_t offset = 0;
    fields >> range >> mode >> std::hex >> offset;
    if (mode[1] != 'w') continue;
    const std::size_t start = std::stoul(range, nullptr, 16);
    const std::size_t end = std::stoul(range.substr(range.find('-') + 1), nullptr, 16);
    for (std::size_t at = 0; at < end - start; at += unit_bytes()) {
      units.insert((offset + at) / unit_bytes());
    }
  }
  std::string text;
  for (const std::size_t unit : units) {
    text += (text.empty() ? "" : " ") + std::to_string(unit);
  }
  return text;
}

// Tries everything to draw on a frame that was lent to read.
inline std::string trespass(const std::string& channel, const Frame& frame) {
  Trespass trespass;
  draw_on_mapping(trespass, frame);
  return trespass.done().empty() ? trespass_by_name(channel, true) : trespass.done();
}

// CHANNEL
ROLE(stranger) {
  const std::string done = trespass_by_name(args.at(0), false);
  say(done.empty() ? "kept out" : done);
  return 0;
}

// CHANNEL POLICY DEPTH [UID of the allowed owner, or "any"]
ROLE(reader) {
  ReaderOptions options =
      reader_of(args.at(0), static_cast<Policy>(std::stoi(args.at(1))),
                static_cast<unsigned>(std::stoul(args.at(2))));
  if (args.size() > 3 && args[3] == "any") {
    options.any_owner = true;
  } else if (args.size() > 3) {
    options.allowed_owner = static_cast<uid_t>(std::stoul(args[3]));
  }
  Error error;
  auto reader = Reader::create(options, error);
  std::deque<Frame> held;
  std::istringstream words;
  while (listen(words)) {
    std::string order;
    words >> order;
    std::ostringstream answer;
    if (order == "attach") {
      int ms = 0;
      words >> ms;
      answer << text_of(reader->attach(in_ms(ms), error)) << ' '
             << static_cast<int>(error.code);
    } else if (order == "take") {
      int ms = 0;
      words >> ms;
      Frame frame;
      const TakeStatus status = reader->take(in_ms(ms), frame, error);
      answer << text_of(status);
      if (status == TakeStatus::frame) {
        answer << ' ' << frame.descriptor().seq << ' ' << key_of(frame) << ' '
               << frame.size() << ' ' << frame.missed() << ' ' << frame.is_copy() << ' '
               << intact(frame) << ' ' << frame.caps()->size() << ' '
               << frame.metas().size();
        held.push_back(std::move(frame));
      }
    } else if (order == "release") {  // the oldest N
      std::size_t count = 0;
      words >> count;
      for (; count > 0 && !held.empty(); --count) held.pop_front();
      answer << "released";
    } else if (order == "check") {
      bool all = true;
      for (const Frame& frame : held) all = all && intact(frame);
      answer << (all ? "intact" : "torn");
    } else if (order == "detach") {
      reader->detach();
      answer << "detached";
    } else if (order == "error") {
      answer << error.message;
    } else if (order == "ages") {  // of the newest frame: since published, since due
      const std::int64_t now = monotonic_ns();
      const auto& frame = held.back().descriptor();
      answer << now - frame.publish_ns << ' ' << now - frame.pts_ns;
    } else if (order == "clock") {  // of the newest frame
      answer << (held.back().strange_clock() ||
                         !plausible_times(held.back().descriptor(), monotonic_ns())
                     ? "strange"
                     : "known");
    } else if (order == "closefrom") {
      close_range(3, ~0u, 0);
      answer << "closed";
    } else if (order == "own-units") {  // of the control object, writable here
      answer << writable_units(args.at(0));
    } else if (order == "trespass") {
      const std::string done = trespass(args.at(0), held.back());
      answer << (done.empty() ? "kept out" : done);
    } else if (is_bystander(order)) {
      answer << bystander(order);
    } else if (order == "vandalise") {
      std::string kind;
      words >> kind;
      say("at it");
      vandalise(args.at(0), kind);
    } else if (order == "drain") {  // everything until the end, released at once
      std::uint64_t count = 0;
      std::uint64_t last = 0;
      bool good = true;
      TakeStatus status;
      for (;;) {
        Frame frame;
        status = reader->take(in_ms(kLimitMs), frame, error);
        if (status != TakeStatus::frame) break;
        good = good && intact(frame) && (count == 0 || key_of(frame) == last + 1);
        last = key_of(frame);
        ++count;
      }
      answer << text_of(status) << ' ' << count << ' ' << good;
    }
    say(answer.str());
  }
  return 0;
}

// CHANNEL KIND [PERMS in octal [GID]]
ROLE(writer) {
  Error error;
  WriterOptions options =
      args.at(1) == "blocking" ? blocking_writer(args.at(0)) : plain_writer(args.at(0));
  if (args.size() > 2) options.perms = static_cast<unsigned>(std::stoul(args[2], {}, 8));
  if (args.size() > 3) options.group = static_cast<gid_t>(std::stoul(args[3]));
  auto writer = Writer::create(options, {}, error);
  const WriteStatus opened = writer->open(error);
  if (opened == WriteStatus::ok) CHECK(writer->prepare(8, kSmall, error));
  say(std::string(text_of(opened)) + " " + std::to_string(static_cast<int>(error.code)));
  std::istringstream words;
  while (listen(words)) {
    std::string order;
    words >> order;
    if (order == "error") {
      say(error.message);
    } else if (order == "publish") {  // keys FROM..TO of so many bytes
      std::uint64_t from = 0;
      std::uint64_t to = 0;
      std::size_t bytes = 0;
      std::string caps;
      words >> from >> to >> bytes >> caps;
      WriteStatus status = WriteStatus::ok;
      for (std::uint64_t key = from; key <= to && status == WriteStatus::ok; ++key) {
        status = try_publish(*writer, key, bytes, caps.empty() ? kCaps : caps);
      }
      say(text_of(status));
    } else if (order == "readers") {
      unsigned count = 0;
      words >> count;
      say(text_of(writer->wait_readers(count, error)));
    } else if (order == "eos") {
      writer->set_eos();
      say("eos");
    } else if (order == "close") {
      writer->close();
      say("closed");
    } else if (is_bystander(order)) {
      say(std::to_string(bystander(order)));
    }
  }
  return 0;
}

// --- the near side -------------------------------------------------------------------

struct Taken {
  std::string status;
  std::uint64_t seq = 0;
  std::uint64_t key = 0;
  std::size_t bytes = 0;
  std::uint64_t missed = 0;
  bool copy = false;
  bool good = false;
  std::size_t caps = 0;
  std::size_t metas = 0;
};

// Ends the test unless it can act as several users.
inline void need_root() {
  if (!may_become_others()) check::skip("acting as other users needs root");
}

// Arguments of the role "as"; empty ones at the end are left out.
inline std::vector<std::string> words(const User& user, const std::string& role,
                                      const std::vector<std::string>& args) {
  std::vector<std::string> result = {std::to_string(user.uid), std::to_string(user.gid),
                                     role};
  result.insert(result.end(), args.begin(), args.end());
  if (result.back().empty()) result.pop_back();
  return result;
}

// `owner` is the allowed owner's uid, "any" or nothing.
inline std::vector<std::string> reader_words(const std::string& channel,
                                             Policy policy = Policy::drop_oldest,
                                             unsigned depth = 3,
                                             const std::string& owner = "") {
  std::vector<std::string> result = {channel, std::to_string(static_cast<int>(policy)),
                                     std::to_string(depth)};
  if (!owner.empty()) result.push_back(owner);
  return result;
}

class FarReader : public Peer {
 public:
  explicit FarReader(Peer peer) : Peer(std::move(peer)) {}
  explicit FarReader(const std::string& channel, Policy policy = Policy::drop_oldest,
                     unsigned depth = 3)
      : Peer("reader", reader_words(channel, policy, depth)) {}
  FarReader(const User& user, const std::string& channel, const std::string& owner = "",
            Policy policy = Policy::drop_oldest)
      : Peer("as", words(user, "reader", reader_words(channel, policy, 3, owner))) {}

  void attach() { order("attach " + std::to_string(kLimitMs), "attached 0"); }
  Taken take(int ms = kLimitMs) {
    std::istringstream words(ask("take " + std::to_string(ms)));
    Taken t;
    words >> t.status >> t.seq >> t.key >> t.bytes >> t.missed >> t.copy >> t.good >>
        t.caps >> t.metas;
    if (t.status == "frame") CHECK(t.good);
    return t;
  }
  Taken frame() {
    const Taken t = take();
    if (t.status != "frame") fail("took " + t.status);
    return t;
  }
  void release(unsigned count = 1) {
    order("release " + std::to_string(count), "released");
  }
  bool all_intact() { return ask("check") == "intact"; }
};

// Takes its names away when it goes, unless it was killed.
class FarWriter : public Peer {
 public:
  explicit FarWriter(Peer peer) : Peer(std::move(peer)) {}
  explicit FarWriter(const std::string& channel, const std::string& kind = "plain")
      : Peer("writer", {channel, kind}) {
    expect("ok 0");
  }
  // As another user; says by itself how it went.
  FarWriter(const User& user, const std::string& channel,
            const std::string& perms = "600", const std::string& group = "")
      : Peer("as", words(user, "writer", {channel, "plain", perms, group})) {}
  void publish(std::uint64_t from, std::uint64_t to, std::size_t bytes = kSmall,
               const std::string& caps = "") {
    order("publish " + std::to_string(from) + " " + std::to_string(to) + " " +
              std::to_string(bytes) + " " + caps,
          "ok");
  }
  void wait_readers(unsigned count) { order("readers " + std::to_string(count), "ok"); }
  ~FarWriter() {
    if (pid() > 0) finish();
  }
  FarWriter(FarWriter&&) = default;
  FarWriter& operator=(FarWriter&&) = default;
};

inline FarWriter writing_as(const User& user, const std::string& channel,
                            const std::string& perms = "600",
                            const std::string& group = "") {
  FarWriter writer(user, channel, perms, group);
  writer.expect("ok 0");
  return writer;
}

inline FarReader attached(const std::string& channel, Policy policy = Policy::drop_oldest,
                          unsigned depth = 3) {
  FarReader reader(channel, policy, depth);
  reader.attach();
  return reader;
}

struct WithFarWriter : OnChannel {
  FarWriter writer{channel};
};

}  // namespace support
