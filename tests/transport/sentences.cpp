// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What a person is told when the system refuses something. Each case brings one refusal
// about, compares the sentence with the true reason, does what the sentence advises, and
// sees that it works.
#include "support/check.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>

#include "inspect/observer.h"
#include "support/containers.h"
#include "support/private_shm.h"
#include "support/refusals.h"

using namespace support;

namespace {

constexpr std::size_t kShmBytes = 64 << 20;
constexpr gid_t kGroup = 54321;
constexpr User kAlice{54301, kGroup};

// The sentence holds all that, in this order.
void expect_said(const std::string& said, const std::vector<std::string>& parts) {
  std::size_t at = 0;
  for (const std::string& part : parts) {
    const std::size_t found = said.find(part, at);
    if (found == std::string::npos) {
      std::fprintf(stderr, "\"%s\" lacks \"%s\"\n", said.c_str(), part.c_str());
    }
    CHECK(found != std::string::npos);
    at = found + part.size();
  }
}

std::unique_ptr<Writer> new_writer(WriterOptions options) {
  Error error;
  options.claim_timeout_ns = 0;
  auto writer = Writer::create(options, {}, error);
  CHECK(writer);
  return writer;
}

void expect_no_writer(Writer& writer, const std::vector<std::string>& parts) {
  Error error;
  CHECK(writer.open(error) == WriteStatus::failed);
  expect_said(error.message, parts);
}
void expect_writer(Writer& writer) {
  Error error;
  const WriteStatus status = writer.open(error);
  if (status != WriteStatus::ok) std::fprintf(stderr, "%s\n", error.message.c_str());
  CHECK(status == WriteStatus::ok);
}

void expect_no_reader(const std::string& channel, const std::vector<std::string>& parts) {
  Error error;
  const auto reader = Reader::create(reader_of(channel), error);
  const AttachStatus status = reader->attach(in_ms(0), error);
  CHECK(status == AttachStatus::failed || status == AttachStatus::timeout);
  expect_said(error.message, parts);
}
void expect_reader(const std::string& channel) { attach_reader(reader_of(channel)); }

// As many descriptors as there are, and so many more.
SoftLimit few_descriptors(rlim_t more) {
  const int next = dup(0);
  CHECK(next >= 0 && close(next) == 0);
  return SoftLimit(RLIMIT_NOFILE, static_cast<rlim_t>(next) + more);
}

const std::vector<std::string> kTooManyFiles = {"Too many open files", "ulimit -n"};

}  // namespace

// --- this process --------------------------------------------------------------------

TEST_F(OnChannel, descriptors_of_a_writer) {
  const auto writer = new_writer(plain_writer(channel));
  for (const rlim_t more : {0, 1}) {
    const SoftLimit few = few_descriptors(more);
    expect_no_writer(*writer, kTooManyFiles);
    few.lift();
  }
  expect_writer(*writer);
  {
    const SoftLimit few = few_descriptors(0);
    Error error;
    CHECK(!writer->prepare(8, kSmall, error));
    expect_said(error.message, kTooManyFiles);
    few.lift();
    CHECK(writer->prepare(8, kSmall, error));
  }
}

TEST_F(WithFarWriter, descriptors_of_a_reader) {
  for (const rlim_t more : {0, 1}) {
    const SoftLimit few = few_descriptors(more);
    expect_no_reader(channel, kTooManyFiles);
    few.lift();
    expect_reader(channel);
  }
  // Of the frames' objects, later.
  const auto reader = attach_reader(reader_of(channel));
  const SoftLimit few = few_descriptors(0);
  writer.publish(1, 1, 100'000);
  Frame frame;
  CHECK(reader->take(in_ms(kLimitMs), frame, error) == TakeStatus::failed);
  expect_said(error.message, {"frames of channel", kTooManyFiles[0], kTooManyFiles[1]});
  CHECK(error.message.find("restart its writer") == std::string::npos);
  few.lift();
  expect_reader(channel);
}

TEST_F(WithWriter, descriptors_of_who_looks) {
  publish(*writer, 1);
  for (const rlim_t more : {0, 1}) {
    const SoftLimit few = few_descriptors(more);
    const auto seen = possum::inspect::observe_channel(channel);
    expect_said(more == 0 ? seen.problem : seen.frame_problem, kTooManyFiles);
  }
  CHECK(possum::inspect::observe_channel(channel).frame.has_value());
}

TEST_F(OnChannel, second_writer_of_one_process) {
  const auto first = open_writer(plain_writer(channel));
  const auto second = new_writer(plain_writer(channel));
  expect_no_writer(*second, {"already written by this process (", "close its writer"});
  first->close();
  expect_writer(*second);
  // Of one that is open there is no second opening.
  expect_no_writer(*second, {"open already", "close it first"});
  second->close();
  expect_writer(*second);
}

// --- other processes -----------------------------------------------------------------

TEST_F(OnChannel, writer_in_another_process) {
  FarWriter other(channel);
  const auto writer = new_writer(plain_writer(channel));
  expect_no_writer(*writer, {"\"" + channel + "\"",
                             "already written by pid " + std::to_string(other.pid()) +
                                 " (" + process_name() + ")",
                             "stop it or"});
  other.kill();
  expect_writer(*writer);
}

TEST_F(OnChannel, writer_in_another_pid_namespace) {
  need_root();
  BoxedWriter other({CLONE_NEWPID}, channel);
  const auto writer = new_writer(plain_writer(channel));
  expect_no_writer(
      *writer, {"already written by a process of another namespace", "stop it there"});
  other.kill_inside();
  expect_writer(*writer);
}

TEST_F(WithWriter, writer_of_another_version) {
  const UniqueFd fd(shm_open(control_name(channel).c_str(), O_RDWR | O_CLOEXEC, 0));
  const std::uint32_t other = layout::kVersion + 1;
  const std::uint32_t own = layout::kVersion;
  const auto at = static_cast<off_t>(offsetof(layout::ControlHeader, version));
  CHECK(pwrite(fd.get(), &other, sizeof other, at) == sizeof other);
  expect_no_reader(channel, {"layout " + std::to_string(other), "this is layout",
                             "use the same version"});
  CHECK(pwrite(fd.get(), &own, sizeof own, at) == sizeof own);
  expect_reader(channel);
}

// --- /dev/shm ------------------------------------------------------------------------

TEST_F(OnChannel, mount_that_may_only_be_read) {
  const PrivateShm shm(kShmBytes);
  const auto other = open_writer(plain_writer("other"));
  const auto writer = new_writer(plain_writer(channel));
  // A second mount of the same: the first has files that are open for writing.
  CHECK(mount("/dev/shm", "/dev/shm", nullptr, MS_BIND, nullptr) == 0);
  CHECK(mount(nullptr, "/dev/shm", nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr) ==
        0);
  const std::vector<std::string> refused = {"Read-only file system",
                                            "remount,rw /dev/shm"};
  expect_no_writer(*writer, refused);
  expect_no_reader("other", refused);
  CHECK(mount(nullptr, "/dev/shm", nullptr, MS_BIND | MS_REMOUNT, nullptr) == 0);
  expect_writer(*writer);
  expect_reader("other");
  writer->close();
  umount2("/dev/shm", MNT_DETACH);
}

TEST(mount_that_is_not_there) {
  const PrivateShm shm(kShmBytes);
  const auto writer = new_writer(plain_writer("x"));
  CHECK(mount("tmpfs", "/dev", "tmpfs", 0, nullptr) == 0);
  const std::vector<std::string> refused = {"No such file or directory",
                                            "mount a tmpfs there"};
  Error error;
  std::vector<possum::inspect::ChannelFiles> files;
  const bool listed = possum::inspect::list_channels(files, error);
  const WriteStatus opened = writer->open(error);
  const std::string writing = error.message;
  const auto reader = Reader::create(reader_of("x"), error);
  const AttachStatus attached = reader->attach(in_ms(0), error);
  const std::string reading = error.message;
  const bool mounted = mkdir("/dev/shm", 0755) == 0 &&
                       mount("tmpfs", "/dev/shm", "tmpfs", 0, "mode=1777") == 0;
  const bool works = mounted && writer->open(error) == WriteStatus::ok &&
                     reader->attach(in_ms(0), error) == AttachStatus::attached;
  reader->detach();
  writer->close();
  umount2("/dev/shm", MNT_DETACH);
  umount2("/dev", MNT_DETACH);
  CHECK(!listed && opened == WriteStatus::failed && attached == AttachStatus::timeout);
  expect_said(writing, refused);
  expect_said(reading, refused);
  CHECK(works);
}

TEST(mount_without_room_for_a_file) {
  const PrivateShm shm(kShmBytes);
  PrivateShm::change("nr_inodes=2");
  const auto writer = new_writer(plain_writer("x"));
  expect_writer(*writer);
  Error error;
  CHECK(!writer->prepare(3, kSmall, error));
  expect_said(error.message, {"No space left on device", "nr_inodes=0"});
  // Not of bytes, of which there are enough.
  CHECK(error.message.find("MiB") == std::string::npos);
  PrivateShm::change("nr_inodes=0");
  CHECK(writer->prepare(3, kSmall, error));
}

TEST(mount_that_this_user_may_not_write) {
  need_root();
  const PrivateShm shm(kShmBytes);
  CHECK(chmod("/dev/shm", 0755) == 0);
  FarWriter refused(kAlice, "x");
  refused.hear();
  expect_said(refused.ask("error"), {"Permission denied", "chmod 1777 /dev/shm"});
  CHECK(chmod("/dev/shm", 01777) == 0);
  FarWriter writer = writing_as(kAlice, "x");
}

TEST_F(OnChannel, group_that_this_user_is_not_in) {
  need_root();
  FarWriter refused(kAlice, channel, "660", "12345");
  refused.expect("failed " + std::to_string(static_cast<int>(ErrorCode::no_permission)));
  expect_said(refused.ask("error"), {"group", "Operation not permitted", "member of"});
  CHECK(names_of(channel).empty());
  FarWriter writer = writing_as(kAlice, channel, "660", std::to_string(kGroup));
}

// A umask hid even the owner's bits, or somebody took them away, and the writer died.
TEST_F(OnChannel, leftovers_that_their_owner_may_not_open_are_cleared_away) {
  need_root();
  FarWriter dead = writing_as(kAlice, channel);
  dead.kill();
  CHECK(chmod((path_of(channel)).c_str(), 0) == 0);
  FarWriter writer = writing_as(kAlice, channel);
  writer.order("close", "closed");
  CHECK(names_of(channel).empty());
}

// --- refusals that no test may bring about for all programs of the machine -----------

// CHANNEL, which another process writes to: what it says when shared memory objects
// cannot be opened, for each reason that the system can have.
ROLE(refused_opens) {
  Refusals& refusals = Refusals::to_this_process();
  if (!refusals.work()) return check::kSkipped;
  struct Row {
    int reason;
    const char* remedy;
  };
  constexpr Row kRows[] = {
      {EMFILE, "ulimit -n"},
      {ENFILE, "fs.file-max"},
      {ENOMEM, "ulimit -v"},
      {EROFS, "remount,rw /dev/shm"},
      {ENOSPC, "nr_inodes=0"},
      {EACCES, "chmod 1777 /dev/shm"},
      {EPERM, "chmod 1777 /dev/shm"},
      {EIO, ""},
      {ELIBBAD, ""},
  };
  const auto own = new_writer(plain_writer("own." + args.at(0)));
  for (const auto& [reason, remedy] : kRows) {
    const std::vector<std::string> refused = {std::strerror(reason), remedy};
    refusals.opens(reason);
    expect_no_writer(*own, refused);
    // What may not be opened is another user's as a rule.
    expect_no_reader(
        args.at(0),
        reason == EACCES || reason == EPERM
            ? std::vector<std::string>{"may not be opened by this user", "perms=0660"}
            : refused);
    refusals.opens(0);
    expect_writer(*own);
    const auto reader = attach_reader(reader_of(args.at(0)));
    take(*reader);
    refusals.opens(reason);
    Error error;
    CHECK(!own->prepare(8, kSmall, error));
    expect_said(error.message, refused);
    say("publish");
    Frame frame;
    CHECK(reader->take(in_ms(kLimitMs), frame, error) == TakeStatus::failed);
    expect_said(error.message, {"frames of channel", std::strerror(reason)});
    refusals.opens(0);
    CHECK(own->prepare(8, kSmall, error));
    own->close();
  }
  return 0;
}

TEST_F(WithFarWriter, open_files_of_the_machine_and_every_other_reason) {
  writer.publish(1, 1);
  Peer refused("refused_opens", {channel});
  std::uint64_t key = 1;
  // Frames that need larger objects each time, which have to be opened.
  while (const auto line = refused.hear_if_alive()) {
    CHECK(*line == "publish");
    ++key;
    writer.publish(key, key, key * 100'000);
  }
  const int status = refused.join();
  if (status == check::kSkipped) check::skip("the kernel has no filter that asks back");
  CHECK(status == 0);
}

ROLE(refused_threads) {
  Refusals& refusals = Refusals::to_this_process();
  if (!refusals.work()) return check::kSkipped;
  const auto writer = new_writer(plain_writer(args.at(0)));
  refusals.threads(EAGAIN);
  expect_no_writer(*writer, {"No thread could be started", std::strerror(EAGAIN),
                             "close other programs", "ulimit -u"});
  CHECK(names_of(args.at(0)).empty());
  refusals.threads(0);
  expect_writer(*writer);
  return 0;
}

TEST(threads_of_a_writer) {
  Peer refused("refused_threads", {unique_channel()});
  const int status = refused.join();
  if (status == check::kSkipped) check::skip("the kernel has no filter that asks back");
  CHECK(status == 0);
}

// The limit that people meet: of the processes and threads of one user.
ROLE(few_threads) {
  const auto writer = new_writer(plain_writer(args.at(0)));
  const SoftLimit few(RLIMIT_NPROC, 1);
  expect_no_writer(*writer, {"No thread could be started", "ulimit -u"});
  few.lift();
  expect_writer(*writer);
  return 0;
}

TEST(threads_of_a_user) {
  need_root();
  CHECK(Peer("as", words(kAlice, "few_threads", {unique_channel()})).join() == 0);
}
