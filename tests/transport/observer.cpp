// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Looking at channels from outside: what is seen of good ones, dead ones, strange ones
// and such as change meanwhile, and that nobody notices.
#include "inspect/observer.h"

#include <sys/stat.h>

#include <atomic>
#include <bit>
#include <fstream>

#include "base/shm_watch.h"
#include "base/text.h"
#include "channel/names.h"
#include "support/check.h"
#include "support/forged.h"
#include "support/peers.h"
#include "support/private_shm.h"

using namespace support;
using possum::inspect::ChannelCondition;
using possum::inspect::observe_channel;
using possum::inspect::ObservedChannel;
using possum::inspect::ObservedReader;

namespace {

constexpr User kAlice{54301, 54321};
constexpr User kBob{54302, 54321};
constexpr User kMallory{54303, 54399};

ObservedChannel seen(const std::string& channel, ChannelCondition condition) {
  const ObservedChannel result = observe_channel(channel);
  if (result.condition != condition) {
    std::fprintf(stderr, "%s: %s %s\n", channel.c_str(), text_of(result.condition),
                 result.problem.c_str());
  }
  CHECK(result.condition == condition);
  CHECK(is_plain_text(result.problem + result.frame_problem));
  return result;
}

bool listed(const std::string& channel) {
  std::vector<possum::inspect::ChannelFiles> all;
  Error error;
  CHECK(possum::inspect::list_channels(all, error));
  return std::any_of(all.begin(), all.end(),
                     [&](const auto& files) { return files.channel == channel; });
}

std::string bytes_of(const std::string& name) {
  std::ifstream file(kShmDirectory + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Nothing that a peer wrote may reach a terminal as it is.
void expect_plain(const ObservedChannel& channel) {
  CHECK(is_plain_text(channel.writer));
  if (channel.frame) CHECK(is_plain_text(channel.frame->caps));
  for (const ObservedReader& reader : channel.readers) {
    CHECK(is_plain_text(reader.name));
  }
  CHECK(is_plain_text(channel.problem + channel.frame_problem));
}

}  // namespace

TEST_F(OnChannel, live_channel_shows_what_its_writer_says) {
  FarWriter writer(channel, "blocking");
  ObservedChannel empty = seen(channel, ChannelCondition::ready);
  CHECK(empty.frames == 0 && !empty.frame && !empty.last_publish_ns);
  CHECK(empty.frame_problem.empty());
  writer.publish(1, 5, 10'000, "video/x-raw,width=7");

  const ObservedChannel now = seen(channel, ChannelCondition::ready);
  CHECK(now.live() && listed(channel));
  CHECK(now.owner == geteuid() && now.mode == 0600);
  CHECK(now.pid == static_cast<std::uint32_t>(writer.pid()));
  CHECK(now.writer == process_name());
  CHECK(now.attachable && now.allows_blocking && now.incarnation != 0);
  CHECK(now.frames == 5 && now.bytes == 50'000 && now.copied == 5 && now.zero_copy == 0);
  CHECK(now.last_publish_ns && *now.last_publish_ns <= monotonic_ns());
  CHECK(now.looked_ns - *now.last_publish_ns < kLimitMs * kMs);
  CHECK(now.slots.size() >= 8 && now.pool_bytes() >= 10'000);
  CHECK(now.frame && now.frame->seq == 5 && now.frame->bytes == 10'000);
  CHECK(now.frame->caps == "video/x-raw,width=7");
  CHECK(now.readers.empty() && now.attached() == 0);

  writer.order("eos", "eos");
  CHECK(seen(channel, ChannelCondition::eos).live());
  writer.order("close", "closed");
  seen(channel, ChannelCondition::absent);
  CHECK(!listed(channel));
}

TEST_F(OnChannel, readers_are_seen_with_what_they_hold) {
  FarWriter writer(channel, "blocking");
  writer.publish(1, 1);
  FarReader holder = attached(channel, Policy::blocking, 4);
  FarReader idler = attached(channel, Policy::drop_oldest, 2);
  holder.frame();
  idler.frame();
  idler.release();
  writer.publish(2, 4);
  holder.frame();

  const ObservedChannel now = seen(channel, ChannelCondition::ready);
  CHECK(now.attached() == 2 && now.readers.size() == 2);
  const auto& blocking = now.readers[now.readers[0].policy == Policy::blocking ? 0 : 1];
  const auto& dropping = now.readers[now.readers[0].policy == Policy::blocking ? 1 : 0];
  CHECK(blocking.pid == static_cast<std::uint32_t>(holder.pid()) && blocking.alive);
  CHECK(blocking.name == process_name() && blocking.depth == 4);
  CHECK(blocking.state == layout::PageState::active && !blocking.demoted);
  CHECK(std::popcount(blocking.taken) == 2 && std::popcount(blocking.offered) == 2);
  CHECK(blocking.frames == 2 && blocking.missed == 0);
  CHECK(dropping.policy == Policy::drop_oldest && dropping.depth == 2);
  CHECK(dropping.pid == static_cast<std::uint32_t>(idler.pid()));
  CHECK(dropping.taken == 0 && std::popcount(dropping.offered) == 2);
  CHECK(now.held() == blocking.taken);

  idler.frame();
  const ObservedChannel later = seen(channel, ChannelCondition::ready);
  CHECK(later.readers[&dropping - now.readers.data()].missed == 1);
  holder.release(2);
  CHECK(std::popcount(seen(channel, ChannelCondition::ready).held()) == 1);
  idler.order("detach", "detached");
  // It left, but holds a frame.
  CHECK(seen(channel, ChannelCondition::ready).attached() == 1);
}

TEST_F(WithFarWriter, dead_reader_is_seen_as_dead_until_its_page_is_cleared) {
  writer.publish(1, 1);
  FarReader reader = attached(channel);
  reader.frame();
  writer.stop();  // so that it clears nothing away
  reader.kill();
  const ObservedChannel now = seen(channel, ChannelCondition::ready);
  CHECK(now.readers.size() == 1 && !now.readers[0].alive && now.attached() == 0);
  CHECK(std::popcount(now.held()) == 1);
  writer.go_on();
  CHECK(eventually([&] { return observe_channel(channel).readers.empty(); }));
}

TEST_F(WithFarWriter, names_of_a_dead_writer_are_seen_and_nothing_in_them) {
  writer.publish(1, 3);
  writer.kill();
  const ObservedChannel now = seen(channel, ChannelCondition::dead);
  CHECK(now.left.size() == names_of(channel).size() && now.left_bytes > 8 * kSmall);
  CHECK(now.owner == geteuid() && now.pid == 0 && now.slots.empty() && !now.frame);
  // Without the control object as well.
  shm_unlink(control_name(channel).c_str());
  const ObservedChannel rest = seen(channel, ChannelCondition::dead);
  CHECK(!rest.owner && rest.left.size() == now.left.size() - 1);
  CHECK(listed(channel));
  unlink_names(channel);
  seen(channel, ChannelCondition::absent);
}

TEST_F(OnChannel, channel_that_is_being_set_up_is_neither_there_nor_dead) {
  const std::string name = control_name(channel);
  make_name(name);
  seen(channel, ChannelCondition::setting_up);  // between a claim's first steps
  {
    LockFd lock = LockFd::open(name, O_RDWR, 0);
    CHECK(lock.try_lock(layout::kOwnerByte) == LockFd::Result::ok);
    seen(channel, ChannelCondition::setting_up);
    CHECK(ftruncate(lock.get(), static_cast<off_t>(control_bytes())) == 0);
    seen(channel, ChannelCondition::setting_up);  // INIT
    CHECK(ftruncate(lock.get(), 0) == 0);
  }
  // Nobody came within a second.
  CHECK(eventually(
      [&] { return observe_channel(channel).condition == ChannelCondition::dead; }));
  shm_unlink(name.c_str());
}

TEST(no_channel_name_is_no_channel) {
  for (const char* name : {"", ".x", "-x", "a/b", "a b", "\x1b[2J"}) {
    const ObservedChannel now = seen(name, ChannelCondition::absent);
    CHECK(!now.problem.empty());
  }
  // Files that only look like ours.
  for (const char* file : {"possum-c.", "possum-c..x", "possum-d.x", "possum-c.a b",
                           "possum-d..0123456789abcdef.00000001", "possum-x.y"}) {
    CHECK(!parse_file_name(file));
  }
  const auto data = parse_file_name("possum-d.a.b.0123456789abcdef.00000001");
  CHECK(data && data->channel == "a.b" && !data->control);
  const auto control = parse_file_name("possum-c.a.0123456789abcdef.00000001");
  CHECK(control && control->control);
}

TEST(other_layouts_say_who_writes_them_and_no_more) {
  const ForgedChannel forged;
  forged.header().version = layout::kVersion + 1;
  const ObservedChannel now = seen(forged.channel(), ChannelCondition::incompatible);
  CHECK(now.version == layout::kVersion + 1 && now.writer == process_name());
  CHECK(now.pid == static_cast<std::uint32_t>(getpid()) && !now.live());
  CHECK(now.slots.empty() && !now.frame);
}

TEST(other_word_sizes_are_seen_through_but_cannot_be_attached_to) {
  const ForgedChannel forged;
  CHECK(seen(forged.channel(), ChannelCondition::ready).attachable);
  forged.header().abi = 0x010120;
  const ObservedChannel now = seen(forged.channel(), ChannelCondition::ready);
  CHECK(!now.attachable && !now.problem.empty() && now.frame);
}

TEST(nonsense_in_the_header_is_damage) {
  using layout::ControlHeader;
  for (const std::size_t field :
       {offsetof(ControlHeader, magic), offsetof(ControlHeader, header_bytes),
        offsetof(ControlHeader, unit_bytes), offsetof(ControlHeader, readers),
        offsetof(ControlHeader, slots), offsetof(ControlHeader, object_bytes)}) {
    const ForgedChannel forged;
    for (const std::uint32_t value : {0u, 3u, 8192u, ~0u}) {
      std::memcpy(forged.claim.control.object().data() + field, &value, sizeof value);
      seen(forged.channel(), ChannelCondition::damaged);
    }
  }
  const ForgedChannel forged;
  for (const std::size_t bytes : {control_bytes() - 1, unit_bytes()}) {
    forged.resize(bytes);
    seen(forged.channel(), ChannelCondition::damaged);
  }
}

TEST(nonsense_in_a_frame_hides_that_frame_only) {
  using layout::DataHeader;
  using layout::FrameDescriptor;
  for (const std::size_t field :
       {offsetof(DataHeader, magic), offsetof(DataHeader, incarnation),
        offsetof(DataHeader, caps_offset), offsetof(DataHeader, caps_capacity),
        sizeof(DataHeader) + offsetof(FrameDescriptor, seq),
        sizeof(DataHeader) + offsetof(FrameDescriptor, caps_bytes)}) {
    const ForgedChannel forged;
    CHECK(seen(forged.channel(), ChannelCondition::ready).frame);
    std::memset(forged.object->data() + field, 0xff, 4);
    const ObservedChannel now = seen(forged.channel(), ChannelCondition::ready);
    CHECK(!now.frame && !now.frame_problem.empty() && now.frames == 1);
  }
}

TEST(texts_of_peers_are_plain_whatever_they_wrote) {
  const std::string evil = "\x1b[2J\x80\n";
  const ForgedChannel forged(unique_channel(), "video/x-raw" + evil);
  char(&name)[layout::kNameBytes] = forged.header().writer_name;
  std::memset(name, '\x9b', sizeof name);  // without a NUL, too
  std::memcpy(name, evil.data(), evil.size());
  const ObservedChannel now = seen(forged.channel(), ChannelCondition::ready);
  expect_plain(now);
  CHECK(!now.writer.empty() && now.frame && now.frame->caps.empty());
  CHECK(!now.frame_problem.empty());
}

TEST(times_that_cannot_be_are_no_times) {
  const ForgedChannel forged;
  CHECK(seen(forged.channel(), ChannelCondition::ready).last_publish_ns);
  for (const std::int64_t time :
       {INT64_MIN, std::int64_t{-1}, std::int64_t{0}, INT64_MAX}) {
    forged.header().statistics.last_publish_ns = time;
    CHECK(!seen(forged.channel(), ChannelCondition::ready).last_publish_ns);
  }
}

TEST(objects_that_change_their_size_meanwhile_are_survived) {
  const ForgedChannel forged;
  const std::string control = bytes_of(control_name(forged.channel()));
  std::atomic<bool> stop{false};
  std::thread cutter([&] {
    std::minstd_rand random(2);
    while (!stop) {
      const int fd = random() % 2 == 0 ? forged.control() : forged.object->fd.get();
      CHECK(ftruncate(fd, static_cast<off_t>(random() % 200'000)) == 0);
      CHECK(pwrite(forged.control(), control.data(), control.size(), 0) ==
            static_cast<ssize_t>(control.size()));
    }
  });
  const std::int64_t end = in_ms(200);
  while (monotonic_ns() < end) expect_plain(observe_channel(forged.channel()));
  stop = true;
  cutter.join();
}

TEST_F(OnChannel, things_that_are_no_objects_are_not_opened) {
  const std::string path = path_of(channel);
  CHECK(mkfifo(path.c_str(), 0600) == 0);
  seen(channel, ChannelCondition::damaged);
  CHECK(unlink(path.c_str()) == 0 && mkdir(path.c_str(), 0700) == 0);
  seen(channel, ChannelCondition::damaged);
  CHECK(rmdir(path.c_str()) == 0 && symlink("/etc/passwd", path.c_str()) == 0);
  seen(channel, ChannelCondition::damaged);
  CHECK(unlink(path.c_str()) == 0);

  const ForgedChannel forged;
  const std::string data = kShmDirectory + forged.object->name;
  CHECK(unlink(data.c_str()) == 0 && mkfifo(data.c_str(), 0600) == 0);
  CHECK(!seen(forged.channel(), ChannelCondition::ready).frame);
  CHECK(unlink(data.c_str()) == 0 && symlink("/etc/passwd", data.c_str()) == 0);
  CHECK(!seen(forged.channel(), ChannelCondition::ready).frame);
}

// The frame's number and its caps belong together although the slots are drawn over and
// over, and the caps are long enough to be met half-written.
TEST_F(OnChannel, caps_are_never_those_of_another_frame) {
  const auto caps_of = [](std::uint64_t seq) {
    std::string text;
    while (text.size() < 16'000) text += "n=" + std::to_string(seq) + ",";
    return text;
  };
  const auto writer = open_writer(plain_writer(channel, 3));
  std::atomic<bool> stop{false};
  std::thread publisher([&] {
    for (std::uint64_t seq = 1; !stop; ++seq) {
      publish(*writer, seq, kSmall, caps_of(seq));
    }
  });
  int whole = 0;
  const std::int64_t end = in_ms(1000);
  while (monotonic_ns() < end) {
    const ObservedChannel now = observe_channel(channel);
    if (!now.frame) continue;
    ++whole;
    CHECK(now.frame->caps == caps_of(now.frame->seq));
  }
  stop = true;
  publisher.join();
  std::printf("   %d frames\n", whole);
  CHECK(whole > 0);
}

TEST_F(WithPreparedWriter, looking_changes_nothing) {
  publish(*writer, 1);
  const auto reader = attach_reader(reader_of(channel));
  const Frame frame = take(*reader);
  const std::string control = control_name(channel);
  const auto before = stat_name(control);
  CHECK(eventually([&] {  // the writer is at rest
    const std::string one = bytes_of(control);
    for (int i = 0; i < 100; ++i) observe_channel(channel);
    return one == bytes_of(control);
  }));
  const auto after = stat_name(control);
  CHECK(before->st_mtim.tv_nsec == after->st_mtim.tv_nsec &&
        before->st_ctim.tv_nsec == after->st_ctim.tv_nsec);
  // Descriptors that are closed drop no locks of others, not even of this process.
  CHECK(seen(channel, ChannelCondition::ready).attached() == 1);
  CHECK(writer->statistics().readers.size() == 1);
}

// CHANNEL: looks once.
ROLE(look) {
  const ObservedChannel now = observe_channel(args.at(0));
  say(std::string(text_of(now.condition)) + " " + std::to_string(now.attached()) + " " +
      (now.frame ? now.frame->caps : "-") + " " + now.problem);
  return 0;
}

TEST_F(OnChannel, who_may_attach_may_look_and_others_are_told_why_not) {
  need_root();
  FarWriter writer = writing_as(kAlice, channel, "660");
  writer.publish(1, 1, kSmall, "caps");
  Peer("as", words(kBob, "look", {channel})).expect("ready 0 caps ");
  const std::string refused = Peer("as", words(kMallory, "look", {channel})).hear();
  CHECK(refused.starts_with("unreadable 0 - ") && says(refused, "54301"));
  // Its death is seen by those who may look.
  writer.kill();
  CHECK(Peer("as", words(kBob, "look", {channel})).hear().starts_with("dead"));
  unlink_names(channel);
}

TEST_F(OnChannel, frames_that_may_not_be_looked_at_are_said_to_be_so) {
  need_root();
  const auto writer = open_writer(plain_writer(channel));
  publish(*writer, 1);
  const std::string path = path_of(channel);
  CHECK(chmod(path.c_str(), 0644) == 0);
  Peer("as", words(kMallory, "look", {channel})).expect("ready 0 - ");
}

// --- waiting -------------------------------------------------------------------------

namespace {

// Waits, event after event, until a look shows that; a missed event is a failure.
void await(ShmWatch& watch, const std::string& channel, ChannelCondition condition) {
  while (observe_channel(channel).condition != condition) {
    const std::int64_t deadline = in_ms(kLimitMs);
    watch.wait(deadline);
    CHECK(monotonic_ns() < deadline);
  }
}

}  // namespace

// Alone in /dev/shm: other channels' events would hide that one is missing.
TEST_F(OnChannel, watch_of_everything_tells_of_coming_going_and_death) {
  const PrivateShm shm(16 << 20);
  ShmWatch watch(all_control_names());
  watch.arm();
  for (int round = 0; round < 10; ++round) {
    FarWriter writer(channel);
    await(watch, channel, ChannelCondition::ready);
    if (round % 2 == 0) {
      std::thread killer([&] { writer.kill(); });
      await(watch, channel, ChannelCondition::dead);
      killer.join();
    } else {
      writer.tell("close");
      await(watch, channel, ChannelCondition::absent);
    }
  }
  unlink_names(channel);
  await(watch, channel, ChannelCondition::absent);
}

// Or whoever makes names without end would keep those who look busy.
TEST(rest_is_ended_by_no_event_and_loses_none) {
  const PrivateShm shm(16 << 20);
  ShmWatch watch(all_control_names());
  watch.arm();
  make_name(control_name("one"));
  const std::int64_t deadline = in_ms(30);
  watch.sleep_until(deadline);
  CHECK(monotonic_ns() >= deadline);
  watch.wait(in_ms(kLimitMs));
  CHECK(monotonic_ns() < deadline + kLimitMs * kMs);
  watch.interrupt(true);
  watch.sleep_until(INT64_MAX);
}

// Or whoever looks at each event would never sleep again.
TEST_F(OnChannel, looking_is_no_event) {
  const ForgedChannel forged(channel);
  ShmWatch watch(control_name(channel));
  watch.arm();
  observe_channel(channel);
  const std::int64_t deadline = in_ms(50);
  watch.wait(deadline);
  CHECK(monotonic_ns() >= deadline);
}
