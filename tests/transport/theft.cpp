// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What others with the right to it do to a channel's objects while frames flow: truncate
// them, remove their names, put something else in their place. Writer and readers are
// processes of their own; this one is the thief.
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <atomic>
#include <fstream>
#include <map>
#include <mutex>

#include "support/peers.h"

using namespace support;
using namespace possum;

namespace {

// Two pages of pixels: the second half can be missing alone.
constexpr std::size_t kBytes = 32 * 1024;

// --- the far side under load ---------------------------------------------------------

// Keeps count for whoever asks, until it is told to stop.
class Load {
 public:
  explicit Load(std::function<void(Load&)> work)
      : thread_([this, work = std::move(work)] { work(*this); }) {}
  bool running() const { return !stopped_.load(); }
  void count(const std::string& what) {
    const std::lock_guard lock(mutex_);
    ++counts_[what];
  }
  void set(const std::string& what, std::uint64_t value) {
    const std::lock_guard lock(mutex_);
    counts_[what] = value;
  }
  // Answers "NAME" with its count; ends with the input or by "stop".
  void serve() {
    std::istringstream words;
    while (listen(words)) {
      std::string order;
      words >> order;
      if (order == "stop") break;
      const std::lock_guard lock(mutex_);
      say(std::to_string(counts_[order]));
    }
    stopped_.store(true);
    thread_.join();
    say("stopped");
  }

 private:
  std::mutex mutex_;
  std::map<std::string, std::uint64_t> counts_;
  std::atomic<bool> stopped_{false};
  std::thread thread_;
};

std::uint64_t word_at(const Frame& frame, std::size_t at) {
  std::uint64_t word;
  std::memcpy(&word, frame.data() + at, sizeof word);
  return word;
}

// Of a truncated frame nothing is left but zeros, in whole pages.
bool intact_or_zero(const Frame& frame) {
  for (std::size_t at = 0; at < frame.size(); at += 8) {
    const std::uint64_t word = word_at(frame, at);
    if (word != 0 && word != pattern(key_of(frame), at)) return false;
  }
  return true;
}

bool clear_error(const Error& error, const std::string& channel) {
  return error.code == ErrorCode::corrupt && says(error, "\"" + channel + "\"") &&
         says(error, "restart its writer");
}

}  // namespace

// CHANNEL
ROLE(busy_writer) {
  WriterOptions options = plain_writer(args.at(0), 8);
  options.bus_guard = true;
  auto writer = open_writer(options);
  say("ready");
  Load load([&](Load& self) {
    for (std::uint64_t key = 1; self.running(); ++key) {
      const WriteStatus status = try_publish(*writer, key, kBytes);
      self.count(text_of(status));
      self.set("incarnation", writer->incarnation());
      if (status == WriteStatus::failed) return;
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
  });
  load.serve();
  return 0;
}

// CHANNEL. After an error it starts again, as a user would.
ROLE(busy_reader) {
  const std::string& channel = args.at(0);
  ReaderOptions options = reader_of(channel);
  options.bus_guard = true;
  Error error;
  auto reader = Reader::create(options, error);
  say("ready");
  Load load([&](Load& self) {
    while (self.running()) {
      if (!reader->attached()) {
        const AttachStatus status = reader->attach(in_ms(50), error);
        if (status == AttachStatus::attached) {
          self.count("attached");
        } else if (status != AttachStatus::timeout) {
          const bool fine = clear_error(error, channel);
          self.count(fine ? "refused" : "strange");
          if (!fine) std::fprintf(stderr, "%s\n", error.message.c_str());
        }
        continue;
      }
      Frame frame;
      const TakeStatus status = reader->take(in_ms(50), frame, error);
      if (status == TakeStatus::timeout) continue;
      if (status == TakeStatus::frame) {
        self.count(!intact_or_zero(frame) ? "torn" : intact(frame) ? "frames" : "holed");
        continue;
      }
      const bool fine = status == TakeStatus::disconnected || clear_error(error, channel);
      self.count(fine ? text_of(status) : "strange");
      if (!fine) std::fprintf(stderr, "%s\n", error.message.c_str());
      reader->detach();
    }
  });
  load.serve();
  return 0;
}

namespace {

class Busy : public Peer {
 public:
  Busy(const std::string& role, const std::string& channel) : Peer(role, {channel}) {
    expect("ready");
  }
  std::uint64_t count(const std::string& what) { return std::stoull(ask(what)); }
  // From now on.
  void await_more(const std::string& what, std::uint64_t more = 20) {
    const std::uint64_t before = count(what);
    CHECK(eventually([&] { return count(what) >= before + more; }));
  }
  void stop() {
    order("stop", "stopped");
    CHECK(finish() == 0);
  }
};

struct Traffic {
  std::string channel = unique_channel();
  Busy writer{"busy_writer", channel};
  Busy readers[2] = {{"busy_reader", channel}, {"busy_reader", channel}};
  std::int64_t slowest_ns = 0;

  void await_frames() {
    for (Busy& reader : readers) reader.await_more("frames");
  }
  // Does it, and waits until the channel is another one with frames for everybody.
  void expect_new_channel(const std::function<void()>& deed) {
    await_frames();
    const std::uint64_t before = writer.count("incarnation");
    const std::int64_t start = monotonic_ns();
    deed();
    CHECK(eventually([&] {
      const std::uint64_t now = writer.count("incarnation");
      return now != 0 && now != before;
    }));
    slowest_ns = std::max(slowest_ns, monotonic_ns() - start);
    await_frames();
  }
  void finish() {
    for (Busy& reader : readers) {
      CHECK(reader.count("torn") == 0 && reader.count("strange") == 0);
    }
    CHECK(writer.count("failed") == 0);
    check::note("   %lld frames sent, %lld and %lld read, %lld and %lld errors; ",
                writer.count("ok"), readers[0].count("frames"),
                readers[1].count("frames"), readers[0].count("failed"),
                readers[1].count("failed"));
    check::note("noticed within %lld ms\n", slowest_ns / kMs);
    // One tick, and what a loaded machine adds.
    CHECK(slowest_ns < 2000 * kMs);
    for (Busy& reader : readers) reader.stop();
    writer.stop();
    CHECK(names_of(channel).empty());
  }
};

std::string shm_path(const std::string& file) {
  return std::string(kShmDirectory) + "/" + file;
}

bool is_control(const std::string& file) { return file.starts_with("possum-c."); }

enum class Which { control, data, all };

std::vector<std::string> files_of(const std::string& channel, Which which) {
  std::vector<std::string> files = names_of(channel);
  std::erase_if(files, [which](const std::string& file) {
    return which == Which::control ? !is_control(file)
                                   : which == Which::data && is_control(file);
  });
  return files;
}

// How much is left of it; names that are gone by now are passed over.
void cut(const std::string& file, bool half, bool and_back) {
  struct stat info {};
  if (stat(shm_path(file).c_str(), &info) != 0) return;
  const off_t left = half ? info.st_size / 2 : 0;
  if (truncate(shm_path(file).c_str(), left) == 0 && and_back) {
    CHECK(truncate(shm_path(file).c_str(), info.st_size) == 0 || errno == ENOENT);
  }
}

int rounds() { return std::max(2, soak_seconds() / 10); }

}  // namespace

// --- truncation under load -----------------------------------------------------------

namespace {

void truncate_under_load(bool half, bool and_back) {
  Traffic traffic;
  for (int round = 0; round < rounds(); ++round) {
    for (const Which which : {Which::control, Which::data, Which::all}) {
      // Frames of zeros: the next ones in these slots are whole again.
      if (and_back && which == Which::data) continue;
      traffic.expect_new_channel([&] {
        for (const auto& file : files_of(traffic.channel, which)) {
          cut(file, half, and_back);
        }
      });
    }
  }
  traffic.finish();
}

}  // namespace

TEST(objects_truncated_to_nothing_are_made_anew) { truncate_under_load(false, false); }
TEST(objects_truncated_by_half_are_made_anew) { truncate_under_load(true, false); }
TEST(objects_truncated_and_made_long_again_are_made_anew) {
  truncate_under_load(false, true);
}

// As fast as can be, whatever the writer makes of it meanwhile.
TEST(steady_truncation_never_ends_a_guarded_process) {
  Traffic traffic;
  std::mt19937 random(7);
  const std::int64_t end = in_ms(std::max(3, soak_seconds()) * 1000);
  std::uint64_t cuts = 0;
  while (monotonic_ns() < end) {
    const auto files = files_of(traffic.channel, Which::all);
    if (files.empty()) continue;
    cut(files[random() % files.size()], random() % 2 != 0, random() % 2 != 0);
    ++cuts;
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
  }
  traffic.await_frames();
  check::note("   %lld cuts\n", cuts);
  traffic.finish();
}

// Whoever may write the control object can spoil what readers check when they attach:
// none could until another writer came.
TEST(headers_that_are_overwritten_are_made_anew) {
  using layout::ControlHeader;
  Traffic traffic;
  for (const std::size_t at :
       {offsetof(ControlHeader, magic), offsetof(ControlHeader, version),
        offsetof(ControlHeader, readers), offsetof(ControlHeader, sem_image) + 63,
        offsetof(ControlHeader, incarnation), offsetof(ControlHeader, flags),
        layout::kConstantHeaderBytes - 1, offsetof(ControlHeader, slot[0].object)}) {
    traffic.expect_new_channel([&] {
      UniqueFd fd(shm_open(control_name(traffic.channel).c_str(), O_RDWR, 0));
      unsigned char byte = 0;
      CHECK(pread(fd.get(), &byte, 1, static_cast<off_t>(at)) == 1);
      byte ^= 0xff;
      CHECK(pwrite(fd.get(), &byte, 1, static_cast<off_t>(at)) == 1);
    });
    CHECK(files_of(traffic.channel, Which::control).size() == 1);
  }
  traffic.finish();
}

// --- truncation in peace -------------------------------------------------------------

// The reader waits, the writer is idle: nobody touches a pixel, so nobody needs a guard.
TEST(truncated_data_harms_nobody_who_waits) {
  for (const bool half : {false, true}) {
    const std::string channel = unique_channel();
    FarWriter writer(channel);
    writer.publish(1, 1, kBytes);
    FarReader reader = attached(channel);
    CHECK(reader.frame().key == 1);
    reader.release();
    for (const auto& file : files_of(channel, Which::data)) cut(file, half, false);
    CHECK(reader.take(300).status == "timeout");
    writer.order("close", "closed");
    CHECK(names_of(channel).empty());
  }
}

// The memory of a file belongs to whoever touches it first, which a reader would do.
TEST_F(OnChannel, memory_that_a_writer_has_given_back_is_nobody_elses_to_pay) {
  constexpr std::size_t kLarge = 4 << 20;
  const auto writer = open_writer(plain_writer(channel, 8));
  CHECK(writer->prepare(8, kLarge, error));
  publish(*writer, 1, kLarge);
  std::uint64_t kept = 0;  // of memory, in blocks
  const auto blocks = [&] {
    std::uint64_t sum = 0;
    for (const std::string& name : names_of(channel)) {
      sum += static_cast<std::uint64_t>(stat_name("/" + name)->st_blocks);
    }
    return sum;
  };
  for (const std::string& name : names_of(channel)) {
    if (!name.starts_with("possum-d.")) continue;
    const UniqueFd fd(shm_open(("/" + name).c_str(), O_RDWR | O_CLOEXEC, 0));
    constexpr off_t kHead = 64 << 10;  // what the writer looks at stays
    CHECK(fallocate(fd.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kHead,
                    static_cast<off_t>(kLarge)) == 0);
  }
  kept = blocks();
  CHECK(kept * 512 < kLarge);
  const auto reader = attach_reader(reader_of(channel));
  Frame frame;
  CHECK(reader->take(in_ms(kLimitMs), frame, error) == TakeStatus::failed);
  CHECK(error.code == ErrorCode::corrupt);
  CHECK(blocks() == kept);
}

// Downstream touched it in that moment, and sees zeros for good.
TEST_F(WithFarWriter, truncation_that_is_over_is_told_if_it_was_met) {
  writer.publish(1, 1, kBytes);
  ReaderOptions options = reader_of(channel);
  options.bus_guard = true;
  const auto reader = attach_reader(options);
  const Frame held = take(*reader);
  writer.stop();
  std::map<std::string, std::uintmax_t> sizes;
  for (const auto& file : files_of(channel, Which::data)) {
    sizes[shm_path(file)] = std::filesystem::file_size(shm_path(file));
    cut(file, true, false);
  }
  CHECK(word_at(held, kBytes - 8) == 0);
  for (const auto& [path, size] : sizes) std::filesystem::resize_file(path, size);
  Frame frame;
  CHECK(reader->take(in_ms(kLimitMs), frame, error) == TakeStatus::failed);
  CHECK(clear_error(error, channel));
  CHECK(word_at(held, 0) == 0);  // the first half too, which was not cut
  writer.go_on();
}

// Between two frames a reader only trusts a page that is its own.
TEST_F(WithFarWriter, reader_page_that_was_wiped_is_the_corrupt_error) {
  writer.publish(1, 1);
  const auto reader = attach_reader(reader_of(channel));
  OpenControl open = opened(channel);
  CHECK(map_own_page(open, 0, error));
  auto& cfg = open.control.page(0).cfg;
  // In the first tenancy and in a later one.
  for (const std::uint32_t epoch : {0u, 1u}) {
    if (!reader->attached()) {
      CHECK(reader->attach(in_ms(kLimitMs), error) == AttachStatus::attached);
    }
    take(*reader);
    CHECK(layout::unpack(cfg.load()).epoch == epoch);
    writer.stop();
    const std::uint64_t before = cfg.exchange(0);
    Frame frame;
    CHECK(reader->take(in_ms(kLimitMs), frame, error) == TakeStatus::failed);
    CHECK(clear_error(error, channel));
    cfg.store(before);
    reader->detach();
    writer.go_on();
    CHECK(eventually([&] { return layout::unpack(cfg.load()).epoch == epoch + 1; }));
  }
}

// --- names ---------------------------------------------------------------------------

namespace {

void remove_under_load(Which which) {
  Traffic traffic;
  for (int round = 0; round < rounds(); ++round) {
    traffic.expect_new_channel([&] {
      for (const auto& file : files_of(traffic.channel, which)) {
        shm_unlink(("/" + file).c_str());
      }
    });
  }
  traffic.finish();
}

}  // namespace

TEST(removed_control_name_is_made_anew) { remove_under_load(Which::control); }
TEST(removed_names_are_made_anew) { remove_under_load(Which::all); }

TEST(renamed_control_object_is_a_lost_name) {
  Traffic traffic;
  const std::string name = shm_path(names_of(traffic.channel).front());
  const std::string control = kShmDirectory + control_name(traffic.channel);
  const std::string stolen = control + "-stolen";
  traffic.expect_new_channel(
      [&] { CHECK(rename(control.c_str(), stolen.c_str()) == 0); });
  CHECK(unlink(stolen.c_str()) == 0);  // nobody else removed it
  traffic.finish();
}

// --- other things under the names ----------------------------------------------------

namespace {

constexpr uid_t kStranger = 54303;

// Something that is not what its name says. Remembers what it was.
class Thing {
 public:
  enum Kind { link_to_file, dangling_link, fifo, directory, socket_file, foreign_file };
  static constexpr Kind kAll[] = {link_to_file, dangling_link, fifo,
                                  directory,    socket_file,   foreign_file};

  Thing(Kind kind, std::string path, const std::string& content)
      : path_(std::move(path)) {
    switch (kind) {
      case link_to_file:
      case dangling_link:
        target_ = path_ + "-target";
        if (kind == link_to_file) write_file(target_, content);
        CHECK(::symlink(target_.c_str(), path_.c_str()) == 0);
        break;
      case fifo:
        CHECK(mkfifo(path_.c_str(), 0600) == 0);
        break;
      case directory:
        CHECK(mkdir(path_.c_str(), 0700) == 0);
        break;
      case socket_file:
        make_socket();
        break;
      case foreign_file:
        write_file(path_, content);
        break;
    }
    CHECK(lchown(path_.c_str(), kStranger, kStranger) == 0);
    before_ = status(path_);
    if (!target_.empty()) target_before_ = status(target_);
  }
  ~Thing() {
    if (!target_.empty()) {
      CHECK(same(status(target_), target_before_));
      unlink(target_.c_str());
    }
    std::filesystem::remove(path_);
  }
  Thing(const Thing&) = delete;
  Thing& operator=(const Thing&) = delete;

  bool untouched() const { return same(status(path_), before_); }

 private:
  static void write_file(const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
    CHECK(chmod(path.c_str(), 0600) == 0);
  }
  void make_socket() const {
    const UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    CHECK(path_.size() < sizeof address.sun_path);
    std::memcpy(address.sun_path, path_.data(), path_.size());
    CHECK(bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
          0);
  }
  static struct stat status(const std::string& path) {
    struct stat info {};
    if (lstat(path.c_str(), &info) != 0) info.st_ino = 0;
    return info;
  }
  static bool same(const struct stat& a, const struct stat& b) {
    return a.st_ino == b.st_ino && a.st_size == b.st_size && a.st_mode == b.st_mode &&
           a.st_uid == b.st_uid && a.st_mtim.tv_sec == b.st_mtim.tv_sec &&
           a.st_mtim.tv_nsec == b.st_mtim.tv_nsec && a.st_nlink == b.st_nlink;
  }

  const std::string path_;
  std::string target_;
  struct stat before_ {};
  struct stat target_before_ {};
};

std::string content_of(const std::string& file) {
  std::ifstream stream(shm_path(file), std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

bool names_the_channel(const Error& error, const std::string& channel) {
  return says(error, "\"" + channel + "\"");
}

ErrorCode refusal_of(Thing::Kind kind, ErrorCode otherwise) {
  return kind == Thing::foreign_file ? ErrorCode::not_owner : otherwise;
}

}  // namespace

TEST(something_else_under_a_control_name_is_refused_and_left_alone) {
  need_root();
  for (const Thing::Kind kind : Thing::kAll) {
    const std::string channel = unique_channel();
    const Thing thing(kind, path_of(channel), "");
    const std::string what =
        kind == Thing::foreign_file ? "belongs to user" : "not a shared memory object";
    Error error;
    WriterOptions options = plain_writer(channel);
    options.claim_timeout_ns = 0;
    const auto writer = Writer::create(options, {}, error);
    CHECK(writer->open(error) == WriteStatus::failed);
    CHECK(error.code == refusal_of(kind, ErrorCode::system) &&
          names_the_channel(error, channel));
    CHECK(says(error, what) && error.message.ends_with("another name with channel="));
    CHECK(says(error, "remove it (" + path_of(channel)) == (kind != Thing::foreign_file));
    // A reader waits for a writer to come in its place.
    const auto reader = Reader::create(reader_of(channel), error);
    CHECK(reader->attach(in_ms(100), error) == AttachStatus::timeout);
    CHECK(error.code == refusal_of(kind, ErrorCode::not_found) &&
          names_the_channel(error, channel) && says(error, what));
    CHECK(thing.untouched());
  }
}

TEST(live_writer_whose_name_is_something_else_now_gives_up_and_leaves_it_alone) {
  need_root();
  for (const Thing::Kind kind : Thing::kAll) {
    WithLosses on;
    publish(*on.writer, 1);
    const std::string control = path_of(on.channel);
    // At once: the writer shall not find the name free.
    const std::string aside = control + "-aside";
    const Thing thing(kind, aside, "");
    if (kind == Thing::directory) CHECK(unlink(control.c_str()) == 0);
    CHECK(rename(aside.c_str(), control.c_str()) == 0);
    CHECK(eventually([&] { return on.lost == 1; }));
    CHECK(on.why.code == refusal_of(kind, ErrorCode::system) &&
          names_the_channel(on.why, on.channel));
    CHECK(try_publish(*on.writer, 2) == WriteStatus::failed);
    on.writer.reset();
    CHECK(rename(control.c_str(), aside.c_str()) == 0);  // still there
    CHECK(thing.untouched());
  }
}

namespace {

// Somebody who holds another channel's name, for as long as he is left alone.
class Holder {
 public:
  explicit Holder(const std::string& channel) : name_(path_of(channel)) {
    peer_.emplace(own_);
    peer_->stop();
    CHECK(rename((kShmDirectory + control_name(own_)).c_str(), name_.c_str()) == 0);
  }
  void die() {
    peer_->kill();
    for (const std::string& name : names_of(own_)) CHECK(shm_unlink(name.c_str()) == 0);
  }
  void die_and_leave_nothing() {
    die();
    CHECK(unlink(name_.c_str()) == 0);
  }

 private:
  const std::string name_;
  const std::string own_ = unique_channel();
  std::optional<FarWriter> peer_;
};

// The first status that is another one.
WriteStatus publish_while(Writer& writer, WriteStatus status) {
  WriteStatus got = status;
  for (std::uint64_t key = 2; got == status; ++key) {
    got = try_publish(writer, key);
    CHECK(writer.statistics().readers.empty());
    std::this_thread::yield();
  }
  return got;
}

}  // namespace

TEST_F(WithLosses, frames_are_dropped_while_somebody_holds_a_lost_name) {
  publish(*writer, 1);
  Holder holder(channel);
  CHECK(publish_while(*writer, WriteStatus::ok) == WriteStatus::no_slot);
  CHECK(lost == 0 && writer->is_open());
  CHECK(writer->prepare(3, kSmall, error));
  CHECK(!writer->lend(kSmall));
  const std::atomic<unsigned> one{1};
  CHECK(writer->wait_readers(one, error, 0) == WriteStatus::timeout);
  CHECK(publish_while(*writer, WriteStatus::no_slot) == WriteStatus::failed);
  CHECK(eventually([&] { return lost == 1; }) && !writer->is_open());
  CHECK(writer->wait_readers(one, error, kForever) == WriteStatus::failed);
  holder.die_and_leave_nothing();
}

TEST_F(WithWriter, channel_is_made_anew_when_the_holder_of_its_name_goes) {
  publish(*writer, 1);
  Holder holder(channel);
  CHECK(publish_while(*writer, WriteStatus::ok) == WriteStatus::no_slot);
  writer->set_eos();  // is not forgotten
  holder.die();
  const auto reader = attach_reader(reader_of(channel));
  Frame frame;
  CHECK(reader->take(in_ms(kLimitMs), frame, error) == TakeStatus::eos);
  CHECK(try_publish(*writer, 7) == WriteStatus::ok && key_of(take(*reader)) == 7);
  const std::atomic<unsigned> one{1};
  CHECK(writer->wait_readers(one, error, kForever) == WriteStatus::ok);
}

TEST_F(WithLosses, close_does_not_wait_for_a_lost_name) {
  publish(*writer, 1);
  Holder holder(channel);
  CHECK(publish_while(*writer, WriteStatus::ok) == WriteStatus::no_slot);
  writer->close();
  CHECK(lost == 0 && !writer->is_open());
  holder.die_and_leave_nothing();
  CHECK(writer->open(error) == WriteStatus::ok &&
        try_publish(*writer, 2) == WriteStatus::ok);
}

// The writer is stopped, so that it does not make the channel anew meanwhile. What is in
// the way has the very bytes of the object, as far as it can have any.
TEST(something_else_under_a_data_name_is_refused_and_left_alone) {
  need_root();
  alarm(kLimitMs / 1000);  // whoever opened a FIFO and waits
  for (const Thing::Kind kind : Thing::kAll) {
    const std::string channel = unique_channel();
    FarWriter writer(channel);
    writer.publish(1, 1);
    {
      std::vector<std::unique_ptr<Thing>> things;
      for (const auto& file : files_of(channel, Which::data)) {
        const std::string content = content_of(file);
        CHECK(shm_unlink(("/" + file).c_str()) == 0);
        things.push_back(std::make_unique<Thing>(kind, shm_path(file), content));
      }
      const auto reader = attach_reader(reader_of(channel));
      Frame frame;
      Error error;
      CHECK(reader->take(in_ms(kLimitMs), frame, error) == TakeStatus::failed);
      CHECK(error.code == ErrorCode::corrupt || error.code == ErrorCode::system);
      CHECK(names_the_channel(error, channel) && says(error, "restart its writer"));
      for (const auto& thing : things) CHECK(thing->untouched());
    }
    // It may take names of its own away, nothing else.
    writer.order("close", "closed");
    CHECK(names_of(channel).empty());
  }
  alarm(0);
}

// --- the writer's own hand -----------------------------------------------------------

// Nobody is offered a frame that was drawn into the void.
TEST_F(OnChannel, frame_whose_object_was_truncated_while_it_was_drawn_is_dropped) {
  WriterOptions options = plain_writer(channel);
  options.bus_guard = true;
  const auto writer = open_writer(options);
  const std::uint64_t first = writer->incarnation();
  SlotRef ref;
  CHECK(writer->acquire(kBytes, sizeof kCaps, 0, ref, error) == WriteStatus::ok);
  for (const auto& file : files_of(channel, Which::data)) cut(file, false, false);
  draw(ref.data, kBytes, 1);
  auto frame = descriptor_for(1, kBytes);
  CHECK(writer->publish(ref, frame, kCaps, {}, false, error) == WriteStatus::no_slot);
  CHECK(writer->statistics().no_slot == 1);
  CHECK(eventually([&] {
    const std::uint64_t now = writer->incarnation();
    return now != 0 && now != first;
  }));
  const auto reader = attach_reader(reader_of(channel));
  publish(*writer, 2, kBytes);
  CHECK(key_of(take(*reader)) == 2);
}
