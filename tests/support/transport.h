// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Verbs for the tests of the transport: channel names of their own, frames whose bytes
// follow from a number, peers in other processes that are told line by line what to do,
// and waits that end. Include it after check.h.
#pragma once

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/process.h"
#include "channel/names.h"
#include "support/check.h"
#include "support/process.h"
#include "support/sleepers.h"
#include "transport/claim.h"
#include "transport/open.h"
#include "transport/reader.h"
#include "transport/writer.h"

namespace support {

// Every test of the transport speaks its words.
using namespace possum;
using namespace possum::transport;
using layout::Policy;

// Far more than anything takes here, and less than the test's own limit.
inline constexpr int kLimitMs = 20'000;
inline constexpr std::size_t kSmall = 4096;
inline constexpr char kCaps[] = "video/x-raw, format=GRAY8";

inline std::int64_t in_ms(int ms) { return monotonic_ns() + ms * kMs; }

// POSSUM_SOAK_SECONDS makes the random tests run that long each.
inline int soak_seconds() {
  const char* text = std::getenv("POSSUM_SOAK_SECONDS");
  return text ? std::atoi(text) : 0;
}

// For states that nobody announces.
inline bool eventually(const std::function<bool()>& condition, int ms = kLimitMs) {
  const std::int64_t deadline = in_ms(ms);
  while (!condition()) {
    if (monotonic_ns() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// Until a thread of this process sleeps where sleepers.h says. Where that cannot be seen,
// for so long that it mostly does.
inline void await_asleep(const std::function<bool()>& asleep) {
  if (can_see_sleepers()) {
    CHECK(eventually(asleep));
  } else {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
  }
}

// Does it contain that? Prints both where it does not.
inline bool says(const std::string& text, const std::string& part) {
  if (text.find(part) != std::string::npos) return true;
  std::fprintf(stderr, "\"%s\" lacks \"%s\"\n", text.c_str(), part.c_str());
  return false;
}
inline bool says(const Error& error, const std::string& part) {
  return says(error.message, part);
}

// Another soft limit (setrlimit(2)) of this process.
class SoftLimit {
 public:
  SoftLimit(__rlimit_resource_t resource, rlim_t value) : resource_(resource) {
    CHECK(getrlimit(resource, &before_) == 0);
    const rlimit limit = {value, before_.rlim_max};
    CHECK(setrlimit(resource, &limit) == 0);
  }
  ~SoftLimit() { lift(); }
  void lift() const { CHECK(setrlimit(resource_, &before_) == 0); }
  SoftLimit(const SoftLimit&) = delete;
  SoftLimit& operator=(const SoftLimit&) = delete;

 private:
  const __rlimit_resource_t resource_;
  rlimit before_{};
};

inline void make_name(const std::string& name) {
  const int fd = shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  CHECK(fd >= 0);
  close(fd);
}
inline bool name_exists(const std::string& name) {
  return access((kShmDirectory + name).c_str(), F_OK) == 0;
}

inline std::string path_of(const std::string& channel) {
  return kShmDirectory + control_name(channel);
}
inline void unlink_names(const std::string& channel) {
  for (const std::string& name : names_of(channel)) shm_unlink(("/" + name).c_str());
}

inline OpenControl opened(const std::string& channel) {
  OpenControl open;
  Error error;
  CHECK(open_control({.channel = channel}, open, error) == OpenStatus::ok);
  return open;
}

// A reader without a Reader: it gets a page by the rules, and does there what it likes.
// Its lock falls with it, as after a SIGKILL.
struct BareReader : OpenControl {
  // False: no channel, or no free page.
  bool settle(const std::string& channel) {
    Error error;
    return open_control({.channel = channel}, *this, error) == OpenStatus::ok &&
           take_page({.channel = channel}, *this, error) == OpenStatus::ok;
  }
  layout::ReaderPage& page() const { return control.page(tenancy.page); }
  void enter(Policy policy, std::uint8_t depth) {
    page().cfg.store(
        layout::pack({tenancy.epoch, depth, policy, layout::PageState::active}));
    attention.ring();
  }
};

// All of a control object, or NULL while it has not its full length: a writer that makes
// the channel anew gives it that last, and a touch behind the end is SIGBUS.
inline std::shared_ptr<ShmObject> map_whole_control(int fd, Access access) {
  struct stat info {};
  if (fstat(fd, &info) != 0 || info.st_size != static_cast<off_t>(control_bytes())) {
    return nullptr;
  }
  Error error;
  return ShmObject::map(fd, control_bytes(), access, error);
}

// --- frames --------------------------------------------------------------------------

inline std::uint64_t pattern(std::uint64_t key, std::size_t index) {
  return (key + 1) * 0x9e3779b97f4a7c15u + index * 0xff51afd7ed558ccdu;
}

inline void draw(std::byte* to, std::size_t bytes, std::uint64_t key) {
  for (std::size_t at = 0; at < bytes; at += 8) {
    const std::uint64_t word = pattern(key, at);
    std::memcpy(to + at, &word, std::min<std::size_t>(8, bytes - at));
  }
}

inline bool shows(const std::byte* from, std::size_t bytes, std::uint64_t key) {
  for (std::size_t at = 0; at < bytes; at += 8) {
    const std::uint64_t word = pattern(key, at);
    if (std::memcmp(from + at, &word, std::min<std::size_t>(8, bytes - at)) != 0) {
      return false;
    }
  }
  return true;
}

// The frame carries its key as GST_BUFFER_OFFSET.
inline std::uint64_t key_of(const Frame& frame) { return frame.descriptor().offset; }
inline bool intact(const Frame& frame) {
  return shows(frame.data(), frame.size(), key_of(frame));
}

inline layout::FrameDescriptor descriptor_for(std::uint64_t key, std::size_t bytes) {
  layout::FrameDescriptor frame{};
  frame.offset = key;
  frame.pts_ns = monotonic_ns();
  frame.data_bytes = bytes;
  return frame;
}

inline std::unique_ptr<Writer> open_writer(WriterOptions options,
                                           WriterEvents events = {}) {
  Error error;
  auto writer = Writer::create(std::move(options), std::move(events), error);
  CHECK(writer);
  const WriteStatus status = writer->open(error);
  if (status != WriteStatus::ok) std::fprintf(stderr, "%s\n", error.message.c_str());
  CHECK(status == WriteStatus::ok);
  return writer;
}

// With slots to spare from the first frame on: a reader of a pool that has yet to grow
// gets copies.
inline std::unique_ptr<Writer> open_prepared(WriterOptions options) {
  Error error;
  auto writer = open_writer(std::move(options));
  CHECK(writer->prepare(8, kSmall, error));
  return writer;
}

inline WriterOptions plain_writer(const std::string& channel, unsigned slots = 16) {
  WriterOptions options;
  options.channel = channel;
  options.slots = slots;
  return options;
}
// It may be held up for so long, or as long as by default.
inline WriterOptions blocking_writer(const std::string& channel, unsigned slots = 16,
                                     int max_blocking_ms = 0) {
  WriterOptions options = plain_writer(channel, slots);
  options.allow_blocking = true;
  if (max_blocking_ms != 0) options.max_blocking_ns = max_blocking_ms * kMs;
  return options;
}
inline ReaderOptions reader_of(const std::string& channel,
                               Policy policy = Policy::drop_oldest, unsigned depth = 3) {
  ReaderOptions options;
  options.channel = channel;
  options.policy = policy;
  options.depth = depth;
  return options;
}

// One whole frame: a slot, its bytes, the offer. A frame for which there is no slot is
// dropped: the status says so.
inline WriteStatus try_publish(Writer& writer, std::uint64_t key,
                               std::size_t bytes = kSmall,
                               const std::string& caps = kCaps,
                               const std::vector<std::byte>& metas = {}) {
  SlotRef ref;
  Error error;
  const WriteStatus got = writer.acquire(bytes, caps.size(), metas.size(), ref, error);
  if (got != WriteStatus::ok) return got;
  CHECK(ref.capacity >= bytes);
  draw(ref.data, bytes, key);
  auto frame = descriptor_for(key, bytes);
  return writer.publish(ref, frame, caps, metas, false, error);
}

inline void publish(Writer& writer, std::uint64_t key, std::size_t bytes = kSmall,
                    const std::string& caps = kCaps,
                    const std::vector<std::byte>& metas = {}) {
  const WriteStatus status = try_publish(writer, key, bytes, caps, metas);
  if (status == WriteStatus::no_slot) {
    for (const auto& r : writer.statistics().readers) {
      std::fprintf(stderr, "no slot; reader %u: %u wait, %u held\n", r.index, r.waiting,
                   r.held);
    }
  }
  CHECK(status == WriteStatus::ok);
}

inline std::unique_ptr<Reader> attach_reader(ReaderOptions options) {
  Error error;
  auto reader = Reader::create(std::move(options), error);
  CHECK(reader);
  const AttachStatus status = reader->attach(in_ms(kLimitMs), error);
  if (status != AttachStatus::attached)
    std::fprintf(stderr, "%s\n", error.message.c_str());
  CHECK(status == AttachStatus::attached);
  return reader;
}

inline TakeStatus try_take(Reader& reader, Frame& frame, int ms = kLimitMs) {
  Error error;
  const TakeStatus status = reader.take(in_ms(ms), frame, error);
  if (status == TakeStatus::frame) CHECK(intact(frame));
  return status;
}

inline Frame take(Reader& reader) {
  Frame frame;
  Error error;
  const TakeStatus status = reader.take(in_ms(kLimitMs), frame, error);
  if (status == TakeStatus::failed) std::fprintf(stderr, "%s\n", error.detail.c_str());
  CHECK(status == TakeStatus::frame);
  CHECK(intact(frame));
  return frame;
}

inline void publish_all(Writer& writer, std::uint64_t from, std::uint64_t to) {
  for (std::uint64_t key = from; key <= to; ++key) publish(writer, key);
}

inline bool nothing_waits(Reader& reader) {
  Frame frame;
  return try_take(reader, frame, 0) == TakeStatus::timeout;
}

// Runs `call`, which waits, until interrupt() ends it.
inline void expect_interrupted(const std::string& channel, Writer& writer,
                               const std::function<WriteStatus()>& call) {
  std::atomic<bool> ended{false};
  std::thread waiting([&] {
    CHECK(call() == WriteStatus::interrupted);
    ended = true;
  });
  await_asleep([&] { return writer_sleeps(channel); });
  CHECK(!ended);
  const std::int64_t before = monotonic_ns();
  writer.interrupt(true);
  waiting.join();
  CHECK(monotonic_ns() - before < 1000 * kMs);
  CHECK(call() == WriteStatus::interrupted);  // until interrupt(false)
  writer.interrupt(false);
}

// Are all slots free, and all pages of readers?
inline bool nothing_is_held(const Writer& writer) {
  const auto s = writer.statistics();
  return s.held == 0 && s.lent == 0 && s.readers.empty();
}

// --- what a TEST_F finds -------------------------------------------------------------

struct OnChannel {
  const std::string channel = unique_channel();
  Error error;
};
struct WithWriter : OnChannel {
  const std::unique_ptr<Writer> writer = open_writer(plain_writer(channel));
};
struct WithBlockingWriter : OnChannel {
  const std::unique_ptr<Writer> writer = open_writer(blocking_writer(channel));
};
struct WithPreparedWriter : OnChannel {
  const std::unique_ptr<Writer> writer = open_prepared(plain_writer(channel));
};
// It may lose its channel.
struct WithLosses : OnChannel {
  WriterEvents events() {
    WriterEvents events;
    events.lost = [this](const Error& error) {
      why = error;
      ++lost;
    };
    return events;
  }
  Error why;
  std::atomic<int> lost{0};
  std::unique_ptr<Writer> writer = open_writer(plain_writer(channel), events());
};
struct WithReader : WithWriter {
  const std::unique_ptr<Reader> reader = attach_reader(reader_of(channel));
};

// --- processes -----------------------------------------------------------------------

// Another process of this program in a ROLE, driven through its standard input and
// output.
class Peer : public Process {
 public:
  Peer(const std::string& role, const std::vector<std::string>& args,
       const std::vector<std::string>& program = check::program(),
       const ProcessOptions& options = {})
      : Process(command(program, role, args), options) {}

 private:
  static std::vector<std::string> command(std::vector<std::string> program,
                                          const std::string& role,
                                          const std::vector<std::string>& args) {
    program.insert(program.end(), {"--role", role});
    program.insert(program.end(), args.begin(), args.end());
    return program;
  }
};

// What this process and its forks share.
template <class T>
class SharedWithForks {
 public:
  SharedWithForks() {
    void* const memory = mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    all_ = new (memory) T{};
  }
  ~SharedWithForks() { munmap(all_, sizeof(T)); }
  SharedWithForks(const SharedWithForks&) = delete;
  SharedWithForks& operator=(const SharedWithForks&) = delete;
  T* operator->() const { return all_; }
  T& operator*() const { return *all_; }

 private:
  T* all_;
};

// For roles: one answer per order.
inline void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}
inline bool listen(std::istringstream& words) {
  std::string line;
  int c;
  while ((c = std::getchar()) != EOF && c != '\n') line += static_cast<char>(c);
  if (c == EOF) return false;
  words.clear();
  words.str(line);
  return true;
}

}  // namespace support
