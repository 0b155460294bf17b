// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What others with the right to it do to a channel's objects while frames flow: truncate
// them, remove their names, put something else in their place. Writer and readers are
// processes of their own; this one is the thief.
#include <algorithm>
#include <array>
#include <atomic>
#include <fstream>
#include <future>
#include <map>

#include "support/peers.h"

using namespace support;
using namespace possum;

namespace {

// Two pages of pixels: the second half can be missing alone.
constexpr std::size_t kBytes = 32 * 1024;

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

bool names_the_channel(const Error& error, const std::string& channel) {
  return says(error, "\"" + channel + "\"");
}
bool clear_error(const Error& error, const std::string& channel) {
  return error.code == ErrorCode::corrupt && names_the_channel(error, channel) &&
         says(error, "restart its writer");
}

// --- a writer and two readers at work ------------------------------------------------

struct Counts {
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> sent{0}, incarnation{0};
  std::atomic<std::uint64_t> read[2] = {}, errors[2] = {};
};

void keep_writing(const std::string& channel, Counts& counts) {
  WriterOptions options = plain_writer(channel, 8);
  options.bus_guard = true;
  const auto writer = open_writer(options);
  for (std::uint64_t key = 1; !counts.stop; ++key) {
    const WriteStatus status = try_publish(*writer, key, kBytes);
    CHECK(status == WriteStatus::ok || status == WriteStatus::no_slot);
    if (status == WriteStatus::ok) ++counts.sent;
    counts.incarnation = writer->incarnation();
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
}

// After an error it starts again, as a user would.
void keep_reading(const std::string& channel, Counts& counts, int self) {
  ReaderOptions options = reader_of(channel);
  options.bus_guard = true;
  Error error;
  const auto reader = Reader::create(options, error);
  while (!counts.stop) {
    if (!reader->attached()) {
      const AttachStatus status = reader->attach(in_ms(50), error);
      CHECK(status == AttachStatus::attached || status == AttachStatus::timeout ||
            clear_error(error, channel));
      continue;
    }
    Frame frame;
    const TakeStatus status = reader->take(in_ms(50), frame, error);
    if (status == TakeStatus::timeout) continue;
    if (status == TakeStatus::frame) {
      CHECK(intact_or_zero(frame));
      if (intact(frame)) ++counts.read[self];
      continue;
    }
    CHECK(status == TakeStatus::disconnected || clear_error(error, channel));
    if (status == TakeStatus::failed) ++counts.errors[self];
    reader->detach();
  }
}

struct Traffic {
  const std::string channel = unique_channel();
  SharedWithForks<Counts> counts;
  Process writer{[this] { keep_writing(channel, *counts); }};
  Process readers[2] = {Process([this] { keep_reading(channel, *counts, 0); }),
                        Process([this] { keep_reading(channel, *counts, 1); })};
  std::int64_t slowest_ns = 0;

  // From now on.
  void await_frames() {
    for (auto& read : counts->read) {
      await([&, before = read.load()] { return read >= before + 20; });
    }
  }
  // Does it, and waits until the channel is another one with frames for everybody.
  void expect_new_channel(const std::function<void()>& deed) {
    await_frames();
    const std::uint64_t before = counts->incarnation;
    const std::int64_t start = monotonic_ns();
    deed();
    await([&] {
      const std::uint64_t now = counts->incarnation;
      return now != 0 && now != before;
    });
    slowest_ns = std::max(slowest_ns, monotonic_ns() - start);
    await_frames();
  }
  void finish() {
    check::note("   %lld frames sent, %lld and %lld read, %lld and %lld errors; ",
                counts->sent.load(), counts->read[0].load(), counts->read[1].load(),
                counts->errors[0].load(), counts->errors[1].load());
    check::note("noticed within %lld ms\n", slowest_ns / kMs);
    // One tick, and what a loaded machine adds.
    CHECK(slowest_ns < 2000 * kMs);
    end();
    CHECK(names_of(channel).empty());
  }

 private:
  void await(const std::function<bool()>& condition) {
    if (eventually(condition)) return;
    end();  // who has died says so
    check::failed(__FILE__, __LINE__, "nobody's traffic stops");
  }
  void end() {
    counts->stop = true;
    for (Process* process : {&writer, &readers[0], &readers[1]}) {
      process->expect_status(0);
    }
  }
};

std::string shm_path(const std::string& file) {
  return std::string(kShmDirectory) + "/" + file;
}

enum class Which { control, data, all };

std::vector<std::string> files_of(const std::string& channel, Which which) {
  std::vector<std::string> files = names_of(channel);
  std::erase_if(files, [which](const std::string& file) {
    return which != Which::all &&
           file.starts_with("possum-c.") != (which == Which::control);
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

// Does that to each of these files, again and again.
void expect_made_anew(std::initializer_list<Which> targets,
                      const std::function<void(const std::string& file)>& deed) {
  Traffic traffic;
  for (int round = 0; round < std::max(2, soak_seconds() / 10); ++round) {
    for (const Which which : targets) {
      traffic.expect_new_channel([&] {
        for (const auto& file : files_of(traffic.channel, which)) deed(file);
      });
    }
  }
  traffic.finish();
}

}  // namespace

// --- under load ----------------------------------------------------------------------

TEST(objects_truncated_to_nothing_are_made_anew) {
  expect_made_anew({Which::control, Which::data, Which::all},
                   [](const std::string& file) { cut(file, false, false); });
}
TEST(objects_truncated_by_half_are_made_anew) {
  expect_made_anew({Which::control, Which::data, Which::all},
                   [](const std::string& file) { cut(file, true, false); });
}
// Of data alone nobody needs another one: the next frames in these slots are whole again.
TEST(objects_truncated_and_made_long_again_are_made_anew) {
  expect_made_anew({Which::control, Which::all},
                   [](const std::string& file) { cut(file, false, true); });
}
TEST(removed_names_are_made_anew) {
  expect_made_anew({Which::control, Which::all},
                   [](const std::string& file) { shm_unlink(("/" + file).c_str()); });
}
TEST(renamed_control_object_is_a_lost_name) {
  Traffic traffic;
  traffic.await_frames();
  const std::string control = path_of(traffic.channel);
  const std::string stolen = control + "-stolen";
  traffic.expect_new_channel(
      [&] { CHECK(rename(control.c_str(), stolen.c_str()) == 0); });
  CHECK(unlink(stolen.c_str()) == 0);  // nobody else removed it
  traffic.finish();
}

// As fast as can be, whatever the writer makes of it meanwhile.
TEST(steady_truncation_never_ends_a_guarded_process) {
  Traffic traffic;
  traffic.await_frames();
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

// --- other things under the names ----------------------------------------------------

namespace {

constexpr uid_t kStranger = 54303;

// Something that is not what its name says. Remembers what it was.
class Thing {
 public:
  enum Kind {
    link_to_file,
    dangling_link,
    link_to_itself,
    fifo,
    directory,
    socket_file,
    foreign_file,
    open_foreign_file
  };
  static constexpr Kind kAll[] = {link_to_file, dangling_link,    link_to_itself,
                                  fifo,         directory,        socket_file,
                                  foreign_file, open_foreign_file};

  Thing(Kind kind, std::string path, const std::string& content)
      : path_(std::move(path)), target_(path_ + "-target") {
    if (kind == link_to_file) write_file(target_, content);
    bool made = true;
    switch (kind) {
      case link_to_file:
      case dangling_link:
        made = symlink(target_.c_str(), path_.c_str()) == 0;
        break;
      case link_to_itself:
        made = symlink(path_.c_str(), path_.c_str()) == 0;
        break;
      case fifo:
        made = mkfifo(path_.c_str(), 0600) == 0;
        break;
      case directory:
        made = mkdir(path_.c_str(), 0700) == 0;
        break;
      case socket_file:
        made = mknod(path_.c_str(), S_IFSOCK | 0600, 0) == 0;
        break;
      case foreign_file:
      case open_foreign_file:
        write_file(path_, content);
        made = chmod(path_.c_str(), kind == foreign_file ? 0600 : 0666) == 0;
        break;
    }
    CHECK(made && lchown(path_.c_str(), kStranger, kStranger) == 0);
    before_ = status(path_);
    target_before_ = status(target_);
  }
  ~Thing() {
    CHECK(status(target_) == target_before_);
    unlink(target_.c_str());
    std::filesystem::remove(path_);
  }
  Thing(const Thing&) = delete;
  Thing& operator=(const Thing&) = delete;

  bool untouched() const { return status(path_) == before_; }

 private:
  static void write_file(const std::string& path, const std::string& content) {
    std::ofstream(path, std::ios::binary) << content;
    CHECK(chmod(path.c_str(), 0600) == 0);
  }
  using Status = std::array<std::int64_t, 7>;
  static Status status(const std::string& path) {
    struct stat s {};
    if (lstat(path.c_str(), &s) != 0) return {};
    return {static_cast<std::int64_t>(s.st_ino),
            s.st_size,
            s.st_mode,
            s.st_uid,
            s.st_mtim.tv_sec,
            s.st_mtim.tv_nsec,
            static_cast<std::int64_t>(s.st_nlink)};
  }

  const std::string path_;
  const std::string target_;
  Status before_;
  Status target_before_;
};

std::string content_of(const std::string& file) {
  std::ifstream stream(shm_path(file), std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

bool is_foreign(Thing::Kind kind) { return kind >= Thing::foreign_file; }
ErrorCode refusal_of(Thing::Kind kind, ErrorCode otherwise) {
  return is_foreign(kind) ? ErrorCode::not_owner : otherwise;
}

// A reader waits for a writer to come in the place of what lies there, and is told
// meanwhile what that is.
void expect_waited_out(const std::string& channel, ErrorCode code,
                       const std::string& what, const std::function<void()>& remove) {
  Error error;
  const auto reader = Reader::create(reader_of(channel), error);
  for (const int ms : {0, 30}) {  // at whatever deadline
    CHECK(reader->attach(in_ms(ms), error) == AttachStatus::timeout);
    CHECK(error.code == code && names_the_channel(error, channel) && says(error, what));
  }
  std::promise<Error> told;
  std::thread waiting([&] {
    bool first = true;
    const auto tell = [&](const Error& why) {
      if (std::exchange(first, false)) told.set_value(why);
    };
    Error unused;
    CHECK(reader->attach(in_ms(kLimitMs), unused, tell) == AttachStatus::attached);
  });
  CHECK(says(told.get_future().get(), what));
  remove();
  const auto writer = open_writer(plain_writer(channel));
  waiting.join();
  publish(*writer, 1);
  CHECK(key_of(take(*reader)) == 1);
}

}  // namespace

TEST(something_else_under_a_control_name_is_refused_and_left_alone) {
  need_root();
  for (const Thing::Kind kind : Thing::kAll) {
    const std::string channel = unique_channel();
    auto thing = std::make_optional<Thing>(kind, path_of(channel), "");
    const std::string what =
        is_foreign(kind) ? "belongs to user" : "not a shared memory object";
    Error error;
    WriterOptions options = plain_writer(channel);
    options.claim_timeout_ns = 0;
    const auto writer = Writer::create(options, {}, error);
    CHECK(writer->open(error) == WriteStatus::failed);
    CHECK(error.code == refusal_of(kind, ErrorCode::system) &&
          names_the_channel(error, channel));
    CHECK(says(error, what) && error.message.ends_with("another name with channel="));
    CHECK(says(error, "remove it (" + path_of(channel)) == !is_foreign(kind));
    expect_waited_out(channel, refusal_of(kind, ErrorCode::not_found), what, [&] {
      CHECK(thing->untouched());
      thing.reset();
    });
  }
}

// Also one that is locked, as a writer's is.
TEST(file_that_is_no_channel_is_waited_out_by_a_reader) {
  for (const std::string& bytes :
       {std::string(), std::string("short"), std::string(control_bytes(), 'x')}) {
    for (const bool locked : {false, true}) {
      const std::string channel = unique_channel();
      LockFd owner = LockFd::open(control_name(channel), O_RDWR | O_CREAT | O_EXCL, 0600);
      CHECK(write(owner.get(), bytes.data(), bytes.size()) ==
            static_cast<ssize_t>(bytes.size()));
      if (locked) {
        CHECK(owner.try_lock(layout::kOwnerByte) == LockFd::Result::ok);
      } else {
        owner.reset();
      }
      // With another magic number.
      const bool strange = locked && bytes.size() == control_bytes();
      expect_waited_out(
          channel, ErrorCode::not_found,
          strange ? "taken by something that is no channel" : "no channel \"", [&] {
            CHECK(unlink(path_of(channel).c_str()) == 0);
            owner.reset();
          });
    }
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
    SlotRef slot;
    CHECK(on.writer->acquire(kSmall, 0, 0, slot, on.error) == WriteStatus::failed);
    CHECK(on.error.message == on.why.message);
    on.writer->close();
    CHECK(rename(control.c_str(), aside.c_str()) == 0);  // still there
    CHECK(thing.untouched());
    CHECK(on.writer->open(on.error) == WriteStatus::ok);
    publish(*on.writer, 2);
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

// As "possum clean" does, which took the writer's data objects for a dead one's.
TEST_F(WithLosses, channel_is_made_anew_when_the_holder_of_its_name_goes) {
  publish(*writer, 1);
  Holder holder(channel);
  CHECK(publish_while(*writer, WriteStatus::ok) == WriteStatus::no_slot);
  writer->set_eos();  // is not forgotten
  holder.die();
  const auto reader = attach_reader(reader_of(channel));
  Frame frame;
  CHECK(reader->take(in_ms(kLimitMs), frame, error) == TakeStatus::eos);
  CHECK(try_publish(*writer, 7) == WriteStatus::ok && key_of(take(*reader)) == 7);
  CHECK(lost == 0);
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

// The page of the reader who looks at it says nothing any more.
TEST_F(OnChannel, slot_of_a_truncated_page_is_not_drawn_into) {
  WriterOptions options = plain_writer(channel);
  options.bus_guard = true;
  const auto writer = open_writer(options);
  FarReader reader = attached(channel);
  for (const bool lent : {false, true}) {
    const std::uint64_t incarnation = writer->incarnation();
    publish(*writer, 1, kBytes);
    CHECK(reader.frame().key == 1);
    publish(*writer, 2, kBytes);  // or the slot would be that of the newest frame
    for (const auto& file : files_of(channel, Which::control)) cut(file, false, false);
    SlotRef ref;
    if (lent) {
      ref = writer->lend(kBytes).value_or(SlotRef());
    } else {
      CHECK(writer->acquire(kBytes, sizeof kCaps, 0, ref, error) != WriteStatus::failed);
    }
    CHECK(ref.incarnation != incarnation);
    reader.kill();
    CHECK(eventually([&] {
      const std::uint64_t now = writer->incarnation();
      return now != 0 && now != incarnation;
    }));
    reader = attached(channel);
  }
}
