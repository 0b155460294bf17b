// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Names and ownership: what a channel may be called, who gets it when several want it,
// what is cleared away and what is left alone, and what a reader refuses to attach to.
#include "transport/claim.h"

#include <sys/inotify.h>
#include <sys/mman.h>

#include <atomic>
#include <condition_variable>

#include "base/text.h"
#include "support/check.h"
#include "support/forged.h"
#include "support/peers.h"

using namespace support;
using namespace possum;

namespace {

Claim claimed(const std::string& channel, bool allow_blocking = false) {
  Claim claim;
  Error error;
  CHECK(claim_channel({channel, {}, allow_blocking}, claim, error) == ClaimStatus::ok);
  return claim;
}

struct Refusal {
  AttachStatus status;
  Error error;
};
Refusal try_attach(const std::string& channel, int ms = 100) {
  Error error;
  auto reader = Reader::create(reader_of(channel), error);
  CHECK(reader);
  const AttachStatus status = reader->attach(in_ms(ms), error);
  return {status, error};
}
bool attach_fails(const std::string& channel, ErrorCode code) {
  const Refusal refusal = try_attach(channel);
  return refusal.status == AttachStatus::failed && refusal.error.code == code;
}

Refusal try_open(const std::string& channel) {
  WriterOptions options = plain_writer(channel);
  options.claim_timeout_ns = 0;
  Error error;
  auto writer = Writer::create(options, {}, error);
  CHECK(writer);
  const bool ok = writer->open(error) == WriteStatus::ok;
  return {ok ? AttachStatus::attached : AttachStatus::failed, error};
}

}  // namespace

// --- names ---------------------------------------------------------------------------

TEST(channel_names_are_taken_as_they_are_or_refused) {
  for (const char* name : {"default", "a", "A", "0", "_", "_x", "cam.front-1", "a..b",
                           "a.0123456789abcdef", "9-", "x."}) {
    CHECK(valid_channel_name(name));
    CHECK(control_name(name) == std::string("/possum-c.") + name);
  }
  CHECK(valid_channel_name(std::string(120, 'x')));
  CHECK(!valid_channel_name(std::string(121, 'x')));
  for (const char* name : {"", ".", "..", ".a", "-a", "a/b", "/a", "a b", "a\n", "a:b",
                           "a*", "\xc3\xa4", "a\x7f", "a%", "a\\b", "a+b", "a@b"}) {
    CHECK(!valid_channel_name(name));
  }
  CHECK(!valid_channel_name(std::string_view("a\0b", 3)));
}

TEST(every_byte_of_a_name_is_judged) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool word = (byte < 128 && std::isalnum(byte)) || c == '_';
    CHECK(valid_channel_name(std::string(1, c)) == word);
    CHECK(valid_channel_name(std::string("a") + c) == (word || c == '.' || c == '-'));
  }
}

TEST(bad_names_and_options_are_settings_errors) {
  Error error;
  CHECK(!Writer::create(plain_writer("a/b"), {}, error));
  CHECK(error.code == ErrorCode::settings && says(error, "\"a/b\""));
  CHECK(!Reader::create(reader_of(".x"), error));
  CHECK(error.code == ErrorCode::settings);
  CHECK(!Writer::create(plain_writer("a", 2), {}, error));
  CHECK(error.code == ErrorCode::settings);
  CHECK(!Writer::create(plain_writer("a", 33), {}, error));
  WriterOptions perms = plain_writer("a");
  perms.perms = 01777;
  CHECK(!Writer::create(perms, {}, error));
  CHECK(!Reader::create(reader_of("a", Policy::drop_oldest, 0), error));
  CHECK(!Reader::create(reader_of("a", Policy::drop_oldest, 17), error));
  CHECK(error.code == ErrorCode::settings);
}

TEST(longest_name_carries_frames) {
  std::string channel = unique_channel();
  channel.append(120 - channel.size(), 'x');
  const auto writer = open_writer(plain_writer(channel));
  publish(*writer, 7);
  const auto reader = attach_reader(reader_of(channel));
  CHECK(key_of(take(*reader)) == 7);
}

TEST(channels_with_one_name_inside_the_other_do_not_touch) {
  const std::string outer = unique_channel();
  const std::string inner = outer + ".0123456789abcdef";
  const std::string innermost = inner + ".00000001";
  const auto a = open_writer(plain_writer(outer));
  publish(*a, 1);
  const auto b = open_writer(plain_writer(inner));
  publish(*b, 2);
  const auto c = open_writer(plain_writer(innermost));
  publish(*c, 3);
  // Claims, takeovers and ends of each in turn; what the others hold stays.
  const std::string channels[] = {outer, inner, innermost};
  Writer* const writers[] = {a.get(), b.get(), c.get()};
  for (int i = 0; i < 3; ++i) {
    writers[i]->close();
    Error error;
    CHECK(writers[i]->open(error) == WriteStatus::ok);
    publish(*writers[i], 10 + static_cast<std::uint64_t>(i));
    for (int other = 0; other < 3; ++other) {
      const auto reader = attach_reader(reader_of(channels[other]));
      const auto expected = static_cast<std::uint64_t>(other) + (other <= i ? 10 : 1);
      CHECK(key_of(take(*reader)) == expected);
    }
  }
}

TEST_F(OnChannel, leftovers_of_a_dead_writer_are_removed_and_nothing_else) {
  const std::vector<std::string> ours = {
      control_name(channel), data_name(channel, 0x0123456789abcdef, 1),
      data_name(channel, UINT64_MAX, UINT32_MAX), data_name(channel, 0, 0)};
  const std::string d = "/possum-d." + channel;
  const std::vector<std::string> others = {
      control_name(channel + "x"),
      data_name(channel + "x", 1, 1),
      data_name(channel + ".0123456789abcdef", 1, 1),
      d + ".0123456789abcdef",
      d + ".0123456789abcdef.0000001",
      d + ".0123456789abcdef.000000010",
      d + ".0123456789ABCDEF.00000001",
      d + ".0123456789abcdeg.00000001",
      d + ".0123456789abcdef-00000001",
      "/x" + d.substr(1) + ".0123456789abcdef.00000001"};
  for (const std::string& name : ours) make_name(name);
  for (const std::string& name : others) make_name(name);
  const auto writer = open_writer(plain_writer(channel));
  for (std::size_t i = 1; i < ours.size(); ++i) CHECK(!name_exists(ours[i]));
  for (const std::string& name : others) CHECK(name_exists(name));
  writer->close();
  CHECK(!name_exists(ours[0]));
  for (const std::string& name : others) {
    CHECK(name_exists(name));
    shm_unlink(name.c_str());
  }
}

TEST_F(OnChannel, objects_of_a_killed_writer_are_gone_after_the_next_one) {
  FarWriter first(channel);
  first.publish(1, 5);
  first.kill();
  CHECK(names_of(channel).size() > 1);
  CHECK(try_open(channel).status == AttachStatus::attached);  // at once
  CHECK(names_of(channel).empty());
}

TEST_F(OnChannel, nothing_in_a_dead_writers_object_is_used) {
  const std::string name = control_name(channel);
  make_name(name);
  const UniqueFd dead(shm_open(name.c_str(), O_RDWR, 0));
  const std::vector<unsigned char> noise(2 * control_bytes(), 0xff);
  CHECK(write(dead.get(), noise.data(), noise.size()) ==
        static_cast<ssize_t>(noise.size()));
  Claim claim = claimed(channel);
  struct stat info {};
  CHECK(fstat(dead.get(), &info) == 0 && info.st_nlink == 0);
  CHECK(fstat(claim.lock.get(), &info) == 0);
  CHECK(info.st_size == static_cast<off_t>(control_bytes()));
  for (unsigned r = 0; r < layout::kReaders; ++r) {
    CHECK(claim.control.page(r).word == 0 && claim.control.page(r).pid == 0);
  }
  remove_names(channel, claim);
}

// --- claims --------------------------------------------------------------------------

namespace {

// The table by which claimers and the one that kills them agree on who owned what.
struct Ledger {
  static constexpr int kProcesses = 8;
  static constexpr std::uint64_t kDead = ~std::uint64_t{0};
  std::atomic<bool> stop;
  std::atomic<std::uint64_t> claims;
  std::atomic<std::uint64_t> entry[kProcesses];  // 0: owns nothing
};

// A foreign entry that is set while we own the channel belongs to a process that was
// killed and is about to be written off. A live owner clears its entry before it lets go.
void expect_no_other_owner(Ledger& ledger, int self) {
  for (int i = 0; i < Ledger::kProcesses; ++i) {
    const std::uint64_t seen = ledger.entry[i].load();
    if (i == self || seen == 0 || seen == Ledger::kDead) continue;
    CHECK(eventually([&] { return ledger.entry[i].load() != seen; }));
    CHECK(ledger.entry[i].load() == Ledger::kDead);
  }
}

bool name_is_mine(const std::string& channel, const Claim& claim) {
  struct stat mine {};
  struct stat named {};
  return fstat(claim.lock.get(), &mine) == 0 &&
         stat((path_of(channel)).c_str(), &named) == 0 && mine.st_ino == named.st_ino;
}

void compete(Ledger& ledger, const std::string& channel, int self, unsigned seed) {
  std::mt19937 random(seed);
  const auto pause = [&](unsigned up_to_us) {
    std::this_thread::sleep_for(std::chrono::microseconds(random() % up_to_us));
  };
  while (!ledger.stop.load()) {
    Claim claim;
    Error error;
    const ClaimStatus status = claim_channel({channel, {}, false}, claim, error);
    CHECK(status != ClaimStatus::failed);
    if (status == ClaimStatus::busy) {
      pause(200);
      continue;
    }
    ledger.entry[self].store(ledger.claims.fetch_add(1) + 1);
    expect_no_other_owner(ledger, self);
    const std::string data = data_name(channel, claim.incarnation, 1);
    make_name(data);
    pause(500);
    CHECK(name_is_mine(channel, claim) && name_exists(data));
    ledger.entry[self].store(0);
    if (random() % 4 != 0) remove_names(channel, claim);  // or leave it as if killed
  }
}

}  // namespace

TEST_F(OnChannel, racing_writers_have_one_owner_at_a_time_through_kills) {
  const SharedWithForks<Ledger> shared;
  Ledger& ledger = *shared;
  unsigned seed = 1;
  const auto start = [&](int i) {
    ++seed;
    return Process([&] { compete(ledger, channel, i, seed - 1); });
  };
  std::vector<Process> competitors;
  for (int i = 0; i < Ledger::kProcesses; ++i) competitors.push_back(start(i));
  std::mt19937 random(99);
  const std::int64_t end = in_ms(std::max(3, soak_seconds()) * 1000);
  int kills = 0;
  // Under an emulator so many take longer.
  while (monotonic_ns() < end || ledger.claims.load() <= 300 || kills <= 100) {
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 4000));
    const auto i = static_cast<int>(random() % Ledger::kProcesses);
    competitors[i].signal(SIGKILL);
    competitors[i].expect_status(128 + SIGKILL);  // not by a CHECK
    if (ledger.entry[i].load() != 0) ledger.entry[i].store(Ledger::kDead);
    ++kills;
    // Others may still wait to see that it is dead.
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    competitors[i] = start(i);
  }
  ledger.stop.store(true);
  for (Process& competitor : competitors) competitor.expect_status(0);
  check::note("   %lld claims, %lld kills\n", ledger.claims.load(), kills);
  Claim last = claimed(channel);
  remove_names(channel, last);
  CHECK(names_of(channel).empty());
}

// Who may write the control object may call the program what they like.
TEST(busy_error_is_plain_text_whatever_the_program_is_called) {
  ForgedChannel forged;
  constexpr char kName[] = "a\n\x1b[2J\xff\xe2\x80\xae x";
  std::memcpy(forged.header().writer_name, kName, sizeof kName);
  const Refusal refusal = try_open(forged.channel());
  CHECK(refusal.error.code == ErrorCode::busy && says(refusal.error, "(a"));
  CHECK(is_plain_text(refusal.error.message));
}

TEST_F(OnChannel, held_name_is_retried_until_it_is_free) {
  FarWriter holder(channel);
  WriterOptions options = plain_writer(channel);
  options.claim_timeout_ns = kLimitMs * kMs;
  auto writer = Writer::create(options, {}, error);
  std::thread opening([&] { CHECK(writer->open(error) == WriteStatus::ok); });
  holder.order("close", "closed");
  opening.join();
  publish(*writer, 1);
}

TEST_F(OnChannel, held_name_is_retried_as_long_as_asked) {
  FarWriter holder(channel);
  WriterOptions options = plain_writer(channel);
  CHECK(options.claim_timeout_ns == 2'000 * kMs);  // elements.md: two seconds
  options.claim_timeout_ns = 150 * kMs;
  auto writer = Writer::create(options, {}, error);
  const std::int64_t before = monotonic_ns();
  CHECK(writer->open(error) == WriteStatus::failed && error.code == ErrorCode::busy);
  const std::int64_t waited = monotonic_ns() - before;
  CHECK(waited >= 150 * kMs && waited < 1500 * kMs);
  CHECK(!writer->is_open());
}

TEST_F(OnChannel, interrupt_ends_the_wait_for_a_held_name) {
  FarWriter holder(channel);
  WriterOptions options = plain_writer(channel);
  options.claim_timeout_ns = 10 * kLimitMs * kMs;
  auto writer = Writer::create(options, {}, error);
  const std::int64_t before = monotonic_ns();
  std::thread opening([&] { CHECK(writer->open(error) == WriteStatus::interrupted); });
  await_asleep(somebody_searches);
  writer->interrupt(true);
  opening.join();
  CHECK(monotonic_ns() - before < 1000 * kMs);
  holder.order("close", "closed");
  writer->interrupt(false);
  CHECK(writer->open(error) == WriteStatus::ok);
}

TEST_F(WithWriter, closed_writer_opens_again_under_another_incarnation) {
  const std::uint64_t first = writer->incarnation();
  CHECK(first != 0);
  writer->close();
  CHECK(writer->incarnation() == 0 && names_of(channel).empty());
  writer->close();
  CHECK(writer->open(error) == WriteStatus::ok);
  CHECK(writer->incarnation() != 0 && writer->incarnation() != first);
}

// --- a reader that waits -------------------------------------------------------------

TEST_F(OnChannel, waiting_reader_tells_of_what_comes_into_the_way) {
  const auto reader = Reader::create(reader_of(channel), error);
  std::mutex lock;
  std::condition_variable changed;
  std::vector<std::string> told;
  std::thread waiting([&] {
    const auto tell = [&](const Error& why) {
      const std::lock_guard guard(lock);
      told.push_back(why.message);
      changed.notify_all();
    };
    CHECK(reader->attach(INT64_MAX, error, tell) == AttachStatus::interrupted);
  });
  const auto await = [&](std::size_t count) {
    std::unique_lock guard(lock);
    CHECK(changed.wait_for(guard, std::chrono::milliseconds(kLimitMs),
                           [&] { return told.size() >= count; }));
  };
  await(1);
  CHECK(mkdir(path_of(channel).c_str(), 0700) == 0);
  await(2);
  const std::int64_t before = monotonic_ns();
  reader->interrupt(true);
  waiting.join();
  CHECK(monotonic_ns() - before < 1000 * kMs);
  CHECK(told.size() == 2);
  CHECK(says(told[0], "start its writer"));
  CHECK(says(told[1], "a directory"));
  CHECK(rmdir(path_of(channel).c_str()) == 0);
}

// --- a name removed under its writer -------------------------------------------------

// Between its first and its last step a writer that ends still holds the owner lock.
TEST_F(WithFarWriter, writer_that_is_about_to_end_is_no_damaged_channel) {
  const auto reader = attach_reader(reader_of(channel));
  writer.publish(1, 1, 100'000);  // in an object that the reader has not mapped
  writer.stop();
  shm_unlink(control_name(channel).c_str());
  unlink_names(channel);
  CHECK(nothing_waits(*reader));
  writer.kill();
  Frame frame;
  CHECK(try_take(*reader, frame) == TakeStatus::disconnected);
}

TEST_F(OnChannel, control_name_is_the_first_to_go) {
  auto writer = open_prepared(plain_writer(channel));
  const UniqueFd watch(inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  CHECK(inotify_add_watch(watch.get(), kShmDirectory, IN_DELETE) >= 0);
  writer->close();
  std::vector<std::string> gone;
  alignas(inotify_event) char buffer[65536];
  const ssize_t bytes = read(watch.get(), buffer, sizeof buffer);
  for (ssize_t at = 0; at < bytes;) {
    inotify_event event;
    std::memcpy(&event, buffer + at, sizeof event);
    const std::string name = buffer + at + sizeof event;
    if (name.find("." + channel) != std::string::npos) gone.push_back(name);
    at += static_cast<ssize_t>(sizeof event + event.len);
  }
  CHECK(gone.size() > 3 && "/" + gone.front() == control_name(channel));
}

TEST_F(OnChannel, slot_of_the_removed_channel_cannot_be_published_on_the_new_one) {
  auto writer = open_writer(plain_writer(channel));
  SlotRef ref;
  CHECK(writer->acquire(kSmall, 10, 0, ref, error) == WriteStatus::ok);
  const std::uint64_t first = writer->incarnation();
  shm_unlink(control_name(channel).c_str());
  CHECK(eventually([&] { return writer->incarnation() != first; }));
  draw(ref.data, kSmall, 1);  // still memory
  auto frame = descriptor_for(1, kSmall);
  CHECK(!writer->publishable(ref, 10, 0));
  CHECK(writer->publish(ref, frame, "0123456789", {}, false, error) ==
        WriteStatus::no_slot);
  writer->give_back(ref);
  publish(*writer, 2);
}

TEST_F(WithLosses, writer_whose_name_was_taken_by_another_gives_up_with_the_reason) {
  publish(*writer, 1);
  shm_unlink(control_name(channel).c_str());
  Claim thief = claimed(channel);
  const std::string data = data_name(channel, thief.incarnation, 1);
  make_name(data);
  CHECK(eventually([&] { return lost == 1; }) && why.code == ErrorCode::busy);
  SlotRef ref;
  CHECK(writer->acquire(kSmall, 0, 0, ref, error) == WriteStatus::failed);
  CHECK(error.code == ErrorCode::busy);
  writer.reset();
  CHECK(name_is_mine(channel, thief) && name_exists(data));
  CHECK(names_of(channel).size() == 2);
  shm_unlink(data.c_str());
  remove_names(channel, thief);
}

// --- what a reader refuses -----------------------------------------------------------

TEST_F(OnChannel, channel_that_does_not_exist_is_not_found_in_time) {
  const std::int64_t before = monotonic_ns();
  const Refusal refusal = try_attach(channel, 60);
  CHECK(refusal.status == AttachStatus::timeout);
  CHECK(refusal.error.code == ErrorCode::not_found);
  CHECK(says(refusal.error, channel));
  CHECK(monotonic_ns() - before >= 60 * kMs);
  CHECK(monotonic_ns() - before < 2000 * kMs);
}

TEST(channel_without_a_live_writer_is_not_found) {
  ForgedChannel forged;
  forged.claim.lock.reset();
  const Refusal refusal = try_attach(forged.channel(), 30);
  CHECK(refusal.status == AttachStatus::timeout &&
        refusal.error.code == ErrorCode::not_found);
}

TEST(header_that_no_reader_here_understands_is_refused) {
  using H = layout::ControlHeader;
  const auto refused = [](ErrorCode code, auto change) {
    ForgedChannel forged;
    change(forged.header());
    return attach_fails(forged.channel(), code);
  };
  constexpr auto kOther = ErrorCode::incompatible;
  for (const std::uint32_t version : {layout::kVersion - 1, layout::kVersion + 1}) {
    CHECK(refused(kOther, [&](H& h) { h.version = version; }));
  }
  // Word size, byte order, C library.
  for (const std::uint32_t bit : {1u << 5, 3u << 8, 3u << 16}) {
    CHECK(refused(kOther, [&](H& h) { h.abi ^= bit; }));
  }
  for (unsigned byte = 0; byte < layout::kSemImageBytes; ++byte) {
    CHECK(refused(kOther, [&](H& h) { h.sem_image[byte] ^= 1; }));
  }
  CHECK(refused(kOther, [](H& h) { h.sem_bytes = 16; }));
  constexpr auto kNonsense = ErrorCode::corrupt;
  CHECK(refused(kNonsense, [](H& h) { h.header_bytes += 8; }));
  CHECK(refused(kNonsense, [](H& h) { h.unit_bytes *= 2; }));
  CHECK(refused(kNonsense, [](H& h) { h.readers = 64; }));
  CHECK(refused(kNonsense, [](H& h) { h.slots = 33; }));
  CHECK(refused(kNonsense, [](H& h) { h.object_bytes *= 2; }));
  for (const std::size_t bytes : {control_bytes() - 1, control_bytes() / 2, sizeof(H),
                                  control_bytes() + 1, control_bytes() * 2}) {
    ForgedChannel forged;
    forged.resize(bytes);
    CHECK(attach_fails(forged.channel(), kNonsense));
    forged.resize(control_bytes());
  }
}

TEST(control_object_still_being_made_is_waited_for) {
  ForgedChannel forged;
  forged.header().state.store(0);
  std::thread finishing([&] {
    await_asleep(somebody_searches);
    forged.header().state.store(1);
  });
  CHECK(try_attach(forged.channel(), 5000).status == AttachStatus::attached);
  finishing.join();
}

// The pages of others are theirs. A writer that runs makes the channel anew.
TEST(truncation_is_noticed_by_an_attached_reader) {
  ForgedChannel forged;
  const auto reader = attach_reader(reader_of(forged.channel()));
  forged.resize(control_bytes() / 2);
  Frame frame;
  Error error;
  CHECK(reader->take(in_ms(kLimitMs), frame, error) == TakeStatus::failed);
  CHECK(error.code == ErrorCode::corrupt);
  forged.resize(control_bytes());
}

// --- a writer that lies --------------------------------------------------------------

namespace {

// What a reader makes of the frame, after reading every byte that it was promised.
TakeStatus outcome(ForgedChannel& liar, Error& error) {
  TakeStatus status;
  {
    const auto reader = attach_reader(reader_of(liar.channel()));
    Frame frame;
    status = reader->take(in_ms(0), frame, error);
    if (status == TakeStatus::frame) {
      const std::vector<std::byte> copy(frame.data(), frame.data() + frame.size());
      CHECK(copy.size() == frame.descriptor().data_bytes);
      CHECK(frame.caps()->size() == frame.descriptor().caps_bytes);
      CHECK(frame.metas().size() == frame.descriptor().metas_bytes);
    }
  }
  // The page that was left is recycled by hand: there is no writer here.
  liar.claim.control.page(0).word = 0;
  liar.claim.control.page(0).cfg = layout::pack({});
  return status;
}

bool corrupt(ForgedChannel& liar) {
  Error error;
  return outcome(liar, error) == TakeStatus::failed && error.code == ErrorCode::corrupt;
}

}  // namespace

TEST(lies_about_a_frame_are_the_corrupt_error) {
  using F = layout::FrameDescriptor;
  ForgedChannel liar;
  const ForgedObject& object = *liar.object;
  const auto refused = [&](auto change) {
    F frame = object.frame(1);
    object.restore(frame);
    change(frame);
    std::memcpy(object.data() + sizeof object.honest, &frame, sizeof frame);
    liar.offer(1);
    return corrupt(liar);
  };
  CHECK(!refused([](F&) {}));
  CHECK(refused([](F& f) { f.seq = 2; }));
  CHECK(refused([](F& f) { f.data_bytes = 1 << 20; }));
  CHECK(refused([](F& f) { f.data_offset = UINT64_MAX; }));
  CHECK(refused([](F& f) { f.caps_bytes = UINT32_MAX; }));
  CHECK(refused([](F& f) { f.metas_bytes = UINT32_MAX; }));
  CHECK(refused([](F& f) { f.plane_count = 5; }));
  CHECK(refused([](F& f) { f.planes[0].bytes = ForgedObject::kBytes + 1; }));
  CHECK(refused([&](F&) { object.data()[object.honest.caps_offset] = {}; }));
}

TEST(lies_about_an_object_are_the_corrupt_error) {
  using H = layout::DataHeader;
  ForgedChannel liar;
  const auto refused = [&](auto change) {
    H header = liar.object->honest;
    change(header);
    std::memcpy(liar.object->data(), &header, sizeof header);
    liar.offer(1);
    return corrupt(liar);
  };
  CHECK(!refused([](H&) {}));
  CHECK(refused([](H& h) { h.incarnation ^= 1; }));
  CHECK(refused([](H& h) { h.slot = 1; }));
  CHECK(refused([](H& h) { h.object = 2; }));
  CHECK(refused([](H& h) { h.object_bytes *= 2; }));
  CHECK(refused([](H& h) { h.pixels_capacity *= 2; }));
}

// As after `rm /dev/shm/possum-d.*`: waiting longer would show nothing for ever.
TEST(offered_slot_without_an_object_is_the_corrupt_error) {
  ForgedChannel liar;
  for (const std::uint32_t object : {0u, 77u}) {
    liar.offer(1, object);
    CHECK(corrupt(liar));
  }
}
