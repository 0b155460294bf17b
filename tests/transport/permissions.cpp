// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Who may write and who may look: modes and groups of the objects, other users' readers
// and writers, and what they are told when they may not. Changing users needs root.
#include <sys/stat.h>

#include <map>

#include "support/peers.h"

using namespace support;

namespace {

// Numbers that nobody has.
constexpr gid_t kGroup = 54321;
constexpr User kAlice{54301, kGroup};
constexpr User kBob{54302, kGroup};
constexpr User kMallory{54303, 54399};

const std::string kAliceUid = std::to_string(kAlice.uid);

struct stat status_of(const std::string& file) {
  struct stat info {};
  CHECK(stat((std::string(kShmDirectory) + "/" + file).c_str(), &info) == 0);
  return info;
}

void expect_modes(const std::string& channel, unsigned control, unsigned data) {
  const auto names = names_of(channel);
  CHECK(names.size() >= 2);
  for (const std::string& name : names) {
    CHECK((status_of(name).st_mode & 07777) ==
          (name.starts_with("possum-c.") ? control : data));
  }
}

void expect_error(Peer& peer, const std::vector<std::string>& parts) {
  const std::string why = peer.ask("error");
  for (const std::string& part : parts) CHECK(says(why, part));
}

// Who goes on waiting hears at whatever deadline why.
void expect_waits(FarReader reader, ErrorCode code,
                  const std::vector<std::string>& parts = {}) {
  reader.order("attach 0", "timeout " + std::to_string(static_cast<int>(code)));
  expect_error(reader, parts);
}

void expect_refused(FarWriter writer, ErrorCode code,
                    const std::vector<std::string>& parts) {
  writer.expect("failed " + std::to_string(static_cast<int>(code)));
  expect_error(writer, parts);
}

// A writer with a frame on the channel.
FarWriter writing(const User& user, const std::string& channel, const std::string& perms,
                  const std::string& group = "") {
  FarWriter writer = writing_as(user, channel, perms, group);
  writer.publish(1, 1);
  return writer;
}

void expect_frame(FarReader reader) {
  reader.attach();
  CHECK(reader.frame().key == 1);
}

}  // namespace

TEST_F(WithWriter, nobody_else_may_look_by_default) {
  publish(*writer, 1);
  expect_modes(channel, 0600, 0600);
}

TEST(modes_are_exact_under_any_umask) {
  for (const unsigned mask : {0u, 0022u, 0077u, 0777u}) {
    const mode_t before = umask(mask);
    for (const unsigned perms : {0600u, 0606u, 0660u, 0666u}) {
      WriterOptions options = plain_writer(unique_channel());
      options.perms = perms;
      const auto writer = open_writer(options);
      publish(*writer, 1);
      expect_modes(options.channel, perms, perms & ~0022u);
    }
    umask(before);
  }
}

// Root opens what it likes; others depend on the bits even for what is their own.
TEST(umask_of_an_ordinary_writer_does_not_lock_it_out) {
  need_root();
  for (const mode_t mask : {0777, 0200, 0400}) {
    const std::string channel = unique_channel();
    const mode_t before = umask(mask);
    FarWriter writer = writing(kAlice, channel, "660");
    umask(before);
    expect_frame(FarReader(kBob, channel, kAliceUid));
    expect_modes(channel, 0660, 0640);
  }
}

TEST_F(OnChannel, name_that_a_umask_locked_is_cleared_by_the_next_writer) {
  need_root();
  make_name(control_name(channel));  // all that its writer lived for
  const std::string path = path_of(channel);
  CHECK(chown(path.c_str(), kAlice.uid, kAlice.gid) == 0 && chmod(path.c_str(), 0) == 0);
  FarWriter writer = writing(kAlice, channel, "600");
}

// Read permission alone would let others place read locks on the writer's and the
// readers' bytes, so that nobody attaches any more and a dead writer looks alive.
TEST(perms_are_read_and_write_or_nothing) {
  const auto proposed = [](unsigned perms) {
    WriterOptions options = plain_writer(unique_channel());
    options.perms = perms;
    Error error;
    const bool accepted = Writer::create(options, {}, error) != nullptr;
    CHECK(accepted == (error.code == ErrorCode::none));
    if (accepted) return perms;
    CHECK(error.code == ErrorCode::settings);
    char octal[16];
    std::snprintf(octal, sizeof octal, "perms=0%o ", perms);
    CHECK(says(error, octal));
    // What it says last works.
    constexpr char kUse[] = "use perms=";
    const auto at = error.message.find(kUse);
    CHECK(at != std::string::npos);
    options.perms = static_cast<unsigned>(
        std::stoul(error.message.substr(at + sizeof kUse - 1), nullptr, 8));
    CHECK(Writer::create(options, {}, error) != nullptr);
    return options.perms;
  };
  for (const unsigned good : {0600u, 0606u, 0660u, 0666u}) CHECK(proposed(good) == good);
  // Some without the 0 in front of the octal number.
  const std::map<unsigned, std::vector<unsigned>> instead_of = {
      {0600, {0400, 0, 600}},
      {0606, {606}},
      {0660, {0640, 0620, 0440, 0100660, 660, 640, 440}},
      {0666, {0644, 0777, 01777, 666, 644, ~0u}},
  };
  for (const auto& [use, bad] : instead_of) {
    for (const unsigned perms : bad) {
      const unsigned said = proposed(perms);
      if (said != use) std::fprintf(stderr, "0%o: %o, not %o\n", perms, said, use);
      CHECK(said == use);
    }
  }
  for (unsigned perms = 0; perms <= 07777; ++perms) proposed(perms);
}

TEST(group_without_permission_is_refused) {
  WriterOptions options = plain_writer(unique_channel());
  options.group = getegid();
  Error error;
  CHECK(!Writer::create(options, {}, error) && error.code == ErrorCode::settings);
  CHECK(says(error, "use perms=0660 (octal)"));
  options.perms = 0606;
  CHECK(!Writer::create(options, {}, error));
  CHECK(says(error, "use perms=0666 (octal)"));
  options.perms = 0660;
  CHECK(Writer::create(options, {}, error) != nullptr);
}

TEST(grown_and_replaced_objects_have_the_same_mode) {
  WriterOptions options = plain_writer(unique_channel());
  options.perms = 0660;
  const auto writer = open_writer(options);
  const auto reader = attach_reader(reader_of(options.channel));
  std::vector<Frame> held;
  for (std::uint64_t key = 1; key <= 6; ++key) {
    publish(*writer, key, key * 10'000);
    held.push_back(take(*reader));
  }
  expect_modes(options.channel, 0660, 0640);
}

TEST(group_is_set_on_every_object) {
  need_root();
  WriterOptions options = plain_writer(unique_channel());
  options.perms = 0660;
  options.group = kGroup;
  const auto writer = open_writer(options);
  publish(*writer, 1);
  for (const std::string& name : names_of(options.channel)) {
    CHECK(status_of(name).st_gid == kGroup && status_of(name).st_uid == geteuid());
  }
}

TEST_F(OnChannel, reader_of_the_group_reads_but_cannot_draw) {
  need_root();
  FarWriter writer = writing(kAlice, channel, "660");
  FarReader reader(kBob, channel, kAliceUid);
  reader.attach();
  CHECK(reader.frame().key == 1);
  reader.order("trespass", "kept out");
  writer.publish(2, 50);
  CHECK(reader.frame().key >= 48);
  CHECK(reader.all_intact());
  reader.kill();
  writer.order("close", "closed");
  CHECK(names_of(channel).empty());
}

TEST_F(OnChannel, reader_of_the_group_draws_on_nothing_but_its_own_page_by_accident) {
  need_root();
  FarWriter writer = writing({0, 0}, channel, "660", std::to_string(kGroup));
  // What it maps itself keeps to the rules; what it may open does not have to.
  FarReader reader(kBob, channel);
  reader.attach();
  reader.order("own-units", "1 2 3");
}

TEST(strangers_can_neither_look_nor_take_names_away) {
  need_root();
  for (const char* perms : {"600", "660"}) {
    const std::string channel = unique_channel();
    FarWriter writer = writing(kAlice, channel, perms);
    const auto names = names_of(channel);
    Peer("as", words(kMallory, "stranger", {channel})).expect("kept out");
    // By default the group is no better off.
    if (std::string(perms) == "600") {
      Peer("as", words(kBob, "stranger", {channel})).expect("kept out");
      Peer("as", words({65534, 65534}, "stranger", {channel})).expect("kept out");
    }
    CHECK(names_of(channel) == names);
    writer.publish(2, 2);
    writer.order("close", "closed");
    CHECK(names_of(channel).empty());
  }
}

TEST_F(OnChannel, blocking_reader_of_the_group_gets_every_frame) {
  need_root();
  FarWriter writer(Peer("as", words(kAlice, "writer", {channel, "blocking", "660"})));
  writer.expect("ok 0");
  FarReader reader(kBob, channel, kAliceUid, Policy::blocking);
  reader.attach();
  reader.tell("drain");
  writer.wait_readers(1);
  writer.publish(1, 200);
  writer.order("eos", "eos");
  reader.expect("eos 200 1");
}

TEST_F(OnChannel, other_users_channels_need_to_be_allowed) {
  need_root();
  FarWriter writer = writing(kAlice, channel, "660");
  expect_waits(FarReader(kBob, channel), ErrorCode::not_owner,
               {channel, kAliceUid, "allowed-owner="});
  expect_waits(FarReader(kBob, channel, "54399"), ErrorCode::not_owner);
  expect_frame(FarReader(kBob, channel, kAliceUid));
  expect_frame(FarReader(kBob, channel, "any"));
  expect_frame(FarReader(kAlice, channel));
  // Root may open everything, which is no reason to trust it.
  expect_waits(FarReader(channel), ErrorCode::not_owner);
}

TEST_F(OnChannel, world_writable_channels_need_to_be_asked_for) {
  need_root();
  FarWriter writer = writing({0, 0}, channel, "666");
  expect_waits(FarReader(kMallory, channel), ErrorCode::not_owner);
  expect_frame(FarReader(kMallory, channel, "0"));
  expect_frame(FarReader(kMallory, channel, "any"));
}

TEST_F(OnChannel, default_mode_refuses_other_users_and_says_what_to_do) {
  need_root();
  FarWriter writer = writing(kAlice, channel, "600");
  expect_waits(FarReader(kBob, channel), ErrorCode::not_owner);
  expect_waits(FarReader(kBob, channel, kAliceUid), ErrorCode::no_permission,
               {channel, kAliceUid, "perms=0660"});
}

TEST_F(OnChannel, reader_outside_the_group_is_refused) {
  need_root();
  FarWriter writer = writing(kAlice, channel, "660");
  expect_waits(FarReader(kMallory, channel, "any"), ErrorCode::no_permission);
}

TEST_F(OnChannel, writer_refuses_a_name_of_another_user_alive_or_dead) {
  need_root();
  FarWriter alice = writing(kAlice, channel, "660");
  const auto names = names_of(channel);
  for (const bool dead : {false, true}) {
    if (dead) alice.kill();
    for (const User& user : {kBob, kMallory, User{0, 0}}) {
      expect_refused(FarWriter(user, channel), ErrorCode::not_owner,
                     {channel, kAliceUid, "channel="});
    }
    CHECK(names_of(channel).size() == names.size());  // nobody cleared anything away
  }
  FarWriter again = writing_as(kAlice, channel);
  again.order("close", "closed");
  CHECK(names_of(channel).empty());
}

// --- a member of the group that keeps to no rule -------------------------------------

namespace {

// Something is in a page that nobody has, beyond what a writer puts there.
bool vandalised(const std::string& channel) {
  using namespace layout;
  UniqueFd fd(shm_open(control_name(channel).c_str(), O_RDONLY, 0));
  const auto all = map_whole_control(fd.get(), Access::read_only);
  if (!all) return false;
  const ControlMap control(all);
  const auto& page = control.page(kReaders - 1);
  std::uint64_t semaphore = 0;
  std::memcpy(&semaphore, all->data() + all->size() - kSemSharedBytes, sizeof semaphore);
  return unpack(page.cfg).state != PageState::free || taken_of(page.word) != 0 ||
         semaphore != 0;
}

// Under load: the writer goes on, and nobody's wait lasts. What the honest reader is told
// meanwhile may be wrong; a member of the group is trusted with that much.
void expect_survival(const std::string& kind) {
  need_root();
  WriterOptions options = plain_writer(unique_channel());
  options.perms = 0660;
  options.group = kGroup;
  const auto writer = open_prepared(options);
  FarReader honest(kAlice, options.channel);
  honest.attach();
  FarReader vandal(kBob, options.channel);
  vandal.attach();
  vandal.order("vandalise " + kind, "at it");
  std::uint64_t key = 0;
  int frames = 0;
  const std::int64_t end = in_ms(std::max(1500, soak_seconds() * 1000));
  while (monotonic_ns() < end) {
    const std::int64_t before = monotonic_ns();
    for (int i = 0; i < 10; ++i) {
      const WriteStatus status = try_publish(*writer, ++key);
      CHECK(status == WriteStatus::ok || status == WriteStatus::no_slot);
    }
    CHECK(monotonic_ns() - before < 1000 * kMs);
    const std::string status = honest.ask("take 20");
    if (status.starts_with("frame")) {
      ++frames;
      honest.release();
    } else if (!status.starts_with("timeout")) {
      honest.ask("attach 20");
    }
    // A few ticks, but the vandal keeps a processor busy.
    CHECK(monotonic_ns() - before < 5000 * kMs);
  }
  check::note(("   " + kind + ": %lld frames, %lld of them read\n").c_str(), key, frames);
  CHECK(eventually([&] { return vandalised(options.channel); }));
  vandal.kill();
  honest.order("detach", "detached");

  // The same writer has all its slots again, ...
  CHECK(eventually(
      [&] {
        return try_publish(*writer, ++key) == WriteStatus::ok &&
               writer->statistics().held == 0;
      },
      5000));
  // ... and with another one everything is as it was.
  writer->close();
  CHECK(names_of(options.channel).empty());
  const auto next = open_prepared(options);
  publish(*next, 1);
  honest.attach();
  CHECK(honest.frame().key == 1);
  next->close();
}

}  // namespace

TEST(noise_all_over_the_control_object_stops_nobody_for_good) {
  expect_survival("noise");
}

TEST(noise_in_all_pages_stops_nobody_for_good) { expect_survival("noise-in-pages"); }

TEST(lies_in_header_and_pages_stop_nobody_for_good) { expect_survival("lies"); }

TEST(semaphores_that_change_in_use_stop_nobody_for_good) { expect_survival("doorbells"); }
