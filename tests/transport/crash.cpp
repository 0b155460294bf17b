// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A writer or a reader dies at each point where it can. Every scenario is first played
// with nobody dying, which shows what points it passes and how often; then once for each
// of them, with death at the first, the second and the last pass, and once with a halt
// there instead. Each time the memory is examined between the two steps and everybody
// else must go on: nothing torn, nothing out of order, nothing lost for lossless readers,
// nothing left. A point of the program that nothing died at is a failure.
//
// By hand: `crash --role case SCENARIO KILL NAME NTH`, or STOP.
#include <algorithm>
#include <atomic>
#include <cctype>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <set>

#include "support/autopsy.h"
#include "support/peers.h"
#include "support/victims.h"

using namespace support;

namespace {

constexpr std::size_t kLarge = 70'000;
constexpr int kGlanceMs = 20;          // between two looks at what nobody announces
constexpr unsigned kCaseSeconds = 18;  // a case takes less than one
constexpr int kRecycleMs = 2000;       // 250 ms and what a busy machine needs

// What happens in one case. The channel has two watchers, a lossless and a dropping one,
// from beginning to end.
struct Stage {
  Stage(std::string given, bool reader_dies)
      : orders(std::move(given)), healthy_writer(reader_dies) {}

  Victim& start(const std::string& role, std::vector<std::string> args) {
    args.insert(args.begin(), channel);
    victim.emplace(orders, role, args, [this](const std::string& point) { held(point); });
    return *victim;
  }
  Victim& sender(unsigned slots = 16, const std::string& kind = "blocking") {
    return start("sender", {std::to_string(slots), kind});
  }
  Victim& viewer(Policy policy, unsigned depth) {
    return start("viewer",
                 {std::to_string(static_cast<int>(policy)), std::to_string(depth)});
  }
  void watch() {
    watchers.emplace_back(channel, Policy::blocking);
    watchers.emplace_back(channel, Policy::drop_oldest);
  }
  // Until the victim has so many readers and the watchers are among them. What a reader
  // gets is promised from the moment its attach() returned.
  void await_readers(unsigned count) {
    const std::string answer = victim->ask("readers " + std::to_string(count));
    CHECK(answer.starts_with("ok "));
    std::uint64_t now = 0;
    std::istringstream(answer.substr(3)) >> now;
    // Its housekeeping may meet its point at any time.
    for (Watcher& watcher : watchers) {
      for (int tries = 0; !watcher.attached_within(now, kGlanceMs); ++tries) {
        if (victim->has_ended()) throw Died{};
        CHECK(tries * kGlanceMs < kLimitMs);
      }
    }
  }
  // The victim publishes; what it says to have published must arrive.
  void publish(const std::string& what) {
    const std::string answer = victim->ask("publish " + what);
    CHECK(answer.starts_with("ok "));
    std::istringstream(answer.substr(3)) >> incarnation >> confirmed;
  }
  // Another reader does what it is told, unless it cannot because the victim is dead.
  void tell(Peer& other, const std::string& order) {
    std::string answer;
    do {
      answer = other.ask(order);
      if (answer != "ok" && victim->has_ended()) throw Died{};
    } while (answer == "no" && order == "attach");
    CHECK(answer == "ok");
  }
  Peer& viewer_beside(Policy policy, unsigned depth) {
    Peer peer("viewer",
              {channel, std::to_string(static_cast<int>(policy)), std::to_string(depth)});
    tell(peer, "attach");
    others.push_back(std::move(peer));
    return others.back();
  }
  void held(const std::string& point) {
    examine(healthy_writer);
    if (at_hold) at_hold(point);
  }
  void examine(bool alive) {
    expect.alive = alive;
    const Autopsy autopsy(channel, expect);
  }
  // The healthy writer of a scenario in which a reader is the victim.
  void open() {
    WriterOptions options = blocking_writer(channel, 8);
    writer = open_writer(options);
    Error error;
    CHECK(writer->prepare(8, kSmall, error));
    const std::atomic<unsigned> count{static_cast<unsigned>(watchers.size())};
    CHECK(writer->wait_readers(count, error) == WriteStatus::ok);
    incarnation = writer->incarnation();
    confirmed = 0;
  }
  void send(unsigned count, std::size_t bytes = kSmall, const std::string& caps = kCaps) {
    for (; count > 0; --count) {
      const std::uint64_t key = key_for(incarnation, confirmed + 1);
      const WriteStatus status = try_publish(*writer, key, bytes, caps);
      CHECK(status == WriteStatus::ok);
      ++confirmed;
    }
  }

  const std::string channel = channel_prefix() + "crash";
  const std::string orders;
  const bool healthy_writer;
  std::deque<Watcher> watchers;
  std::unique_ptr<Writer> writer;
  std::deque<Peer> others;
  std::optional<Victim> victim;
  Autopsy::Expect expect;
  std::function<void(const std::string&)> at_hold;
  std::uint64_t incarnation = 0;
  std::uint64_t confirmed = 0;
  bool hasty = false;  // the next writer does not wait for readers to see the death
  std::vector<std::string> passed;
};

// --- what the others do afterwards ---------------------------------------------------

// The writer is dead or gone: the next one finds nothing in its way.
void succeed(Stage& stage) {
  for (Watcher& watcher : stage.watchers) {
    if (stage.hasty) watcher.forgive();
    if (stage.incarnation == 0 || stage.hasty) continue;
    watcher.await_end(stage.incarnation);
  }
  if (!stage.hasty && stage.incarnation != 0 && !stage.watchers.empty()) {
    CHECK(stage.watchers[0].last(stage.incarnation) >= stage.confirmed);
  }
  stage.others.clear();
  stage.open();
  for (const std::string& name : names_of(stage.channel)) {
    char incarnation[17];
    std::snprintf(incarnation, sizeof incarnation, "%016llx",
                  static_cast<unsigned long long>(stage.incarnation));
    CHECK(name.starts_with("possum-c.") || name.find(incarnation) != std::string::npos);
  }
  stage.send(10);
  stage.send(10, kLarge, "other");
  for (Watcher& watcher : stage.watchers) watcher.await_frame(stage.incarnation, 20);
}

// A reader is dead or gone: the writer goes on, and gets everything back.
void go_on(Stage& stage) {
  const auto watching = static_cast<unsigned>(stage.watchers.size());
  stage.send(10);
  CHECK(
      eventually([&] { return stage.writer->active_readers() == watching; }, kRecycleMs));
  // Whoever comes now begins with the newest frame.
  auto fresh = attach_reader(reader_of(stage.channel));
  const std::uint64_t newest = stage.confirmed;
  Frame frame = take(*fresh);
  CHECK(genuine(frame, stage.incarnation) && frame.descriptor().seq == newest);
  for (unsigned i = 1; i <= 12; ++i) {
    stage.send(1);
    frame = take(*fresh);
    CHECK(genuine(frame, stage.incarnation) && frame.descriptor().seq == newest + i);
  }
  frame = Frame();
  fresh->detach();
  for (Watcher& watcher : stage.watchers) {
    watcher.await_frame(stage.incarnation, stage.confirmed);
  }
}

// The end, always the same: every slot is free, the end of the stream is seen, no name is
// left.
void finish(Stage& stage) {
  for (Watcher& watcher : stage.watchers) watcher.stop();
  Writer& writer = *stage.writer;
  CHECK(eventually([&] { return nothing_is_held(writer); }, kRecycleMs));
  const Autopsy autopsy(stage.channel, {true, false, false, false});
  // Through every slot, and none of them is anybody's.
  stage.send(20);
  CHECK(writer.statistics().held == 0);
  const auto lossless = attach_reader(reader_of(stage.channel, Policy::blocking, 16));
  const std::uint64_t first = stage.confirmed;
  stage.send(7);
  writer.set_eos();
  for (std::uint64_t seq = first; seq <= stage.confirmed; ++seq) {
    const Frame frame = take(*lossless);
    CHECK(genuine(frame, stage.incarnation) && frame.descriptor().seq == seq);
  }
  Frame none;
  CHECK(try_take(*lossless, none) == TakeStatus::eos);
  lossless->detach();
  writer.close();
  CHECK(names_of(stage.channel).empty());
}

// --- scenarios -----------------------------------------------------------------------

// Whether the victim dies or not.
struct Finally {
  const std::function<void()> act;
  ~Finally() { act(); }
};

void obeyed(Peer& sender, const std::string& order) {
  CHECK(sender.ask(order).starts_with("ok"));
}

// As a stream ends that lossless readers shall have all of.
void end_well(Stage& stage) {
  stage.victim->order("eos");
  stage.victim->order("drain");
  stage.expect.closing = true;
  stage.victim->order("close");
}

// A reader that wakes up while its writer goes has not yet opened what it was offered. A
// frame or two may be gone, but the channel is not damaged.
void expect_end(const std::string& answer) {
  CHECK(answer == "ok" || answer == "disconnected");
}
void look_late(Peer& reader) { expect_end(reader.ask("take 3")); }

// Takes over from a writer that was killed with everything lying about. Who has seen it
// die does not meet it again, whoever holds its lock.
void take_over(Stage& stage) {
  stage.watch();
  Peer first("sender", {stage.channel, "8", "blocking"});
  obeyed(first, "open");
  const auto witness = attach_reader(reader_of(stage.channel));
  obeyed(first, "readers 3");
  obeyed(first, "publish 3 4096");
  first.kill();
  Frame frame;
  while (try_take(*witness, frame) == TakeStatus::frame) {
  }
  CHECK(try_take(*witness, frame) == TakeStatus::disconnected);
  stage.at_hold = [&](const std::string& point) {
    Error error;
    if (point != "claim.lock") return;
    CHECK(witness->attach(in_ms(0), error) == AttachStatus::timeout);
  };
  stage.hasty = stage.expect.orphans = true;
  for (Watcher& watcher : stage.watchers) watcher.forgive();
  Victim& v = stage.sender();
  v.order("open");
  stage.expect.orphans = false;
  stage.at_hold = nullptr;
  stage.await_readers(2);
  stage.publish("3 4096");
  stage.expect.closing = true;
  v.order("close");
}

// A whole life: small frames, other caps and larger ones, ends and flushes.
void stream(Stage& stage) {
  stage.watch();
  Victim& v = stage.sender();
  v.order("open");
  stage.await_readers(2);
  stage.publish("6 3000 caps 100");
  stage.publish("6 70000 other-caps 5000");
  v.order("eos");
  stage.publish("3 70000 other-caps 10");
  v.order("drain");
  v.order("flush");
  stage.publish("3 3000 caps");
  end_well(stage);
}

// A reader sits on the frames that upstream would need, so that the pool grows ahead of
// need.
void grow(Stage& stage) {
  Victim& v = stage.sender();
  v.order("open");
  v.order("prepare 4 4096");
  stage.viewer_beside(Policy::drop_oldest, 4);
  stage.await_readers(1);
  v.order("publish 2 4096");
  stage.tell(stage.others[0], "take 2");
  v.order("lend 1 4096");
  v.order("grown 5");
  v.order("publish 1 4096");
  stage.tell(stage.others[0], "take 1");
  v.order("lend 1 4096");
  v.order("grown 6");
  v.order("lend 1 70000");
  v.order("grown 7");
  v.order("send");
  end_well(stage);
}

// A reader that never comes for its frames has been offered all slots; then the writer
// has none at all.
void steal(Stage& stage) {
  Victim& v = stage.sender(4);
  v.order("open");
  stage.viewer_beside(Policy::drop_newest, 8).stop();
  stage.await_readers(1);
  v.order("prepare 4 4096");
  v.order("publish 12 4096");
  v.order("keep 3");
  v.order("publish 2 4096");
  v.order("keep 4");
  v.expect_answer("publish 1 4096", "no_slot");
  v.order("keep 0");
  v.order("publish 6 4096");
  end_well(stage);
}

void lend(Stage& stage) {
  stage.watch();
  Victim& v = stage.sender(8);
  v.order("open");
  v.order("prepare 8 4096");
  stage.await_readers(2);
  v.order("lend 3 4096");
  stage.publish("3 4096");
  v.order("send");
  stage.publish("3 4096");
  v.order("lend 2 4096");
  v.order("send");
  stage.publish("2 4096");
  end_well(stage);
}

// A lossless reader has stopped: the writer waits, demotes it, and recycles it in the
// end.
void wait(Stage& stage) {
  stage.watch();
  Victim& v = stage.sender(8, "impatient");
  v.order("open");
  stage.viewer_beside(Policy::blocking, 2).stop();
  stage.await_readers(3);
  stage.publish("6 4096");
  stage.others.back().kill();
  v.order("alone 2");
  stage.publish("3 4096");
  end_well(stage);
}

// Goes while a reader has not yet opened a single frame. At whichever step.
void leave(Stage& stage) {
  Victim& v = stage.sender(8);
  v.order("open");
  stage.viewer_beside(Policy::drop_oldest, 4);
  stage.await_readers(1);
  v.order("publish 3 4096");
  stage.expect.closing = true;
  stage.at_hold = [&](const std::string& point) {
    if (point.starts_with("stop.")) look_late(stage.others[0]);
  };
  const Finally look{[&] { look_late(stage.others[0]); }};
  v.order("close");
}

// Readers have died with frames in their hands, asleep, and after they left.
void recycle(Stage& stage) {
  Victim& v = stage.sender(8);
  v.order("open");
  v.order("prepare 8 4096");
  for (int i = 0; i < 3; ++i) {
    stage.viewer_beside(Policy::drop_oldest, 3);
  }
  stage.await_readers(3);
  v.order("publish 3 4096");
  stage.tell(stage.others[0], "take 2");
  stage.tell(stage.others[1], "take 1");
  stage.tell(stage.others[1], "detach");
  stage.others.clear();
  v.order("alone 0");
  stage.watch();
  stage.await_readers(2);
  stage.publish("6 4096");
  end_well(stage);
}

// Somebody removes all names. One reader has not yet opened its frames.
void lose_name(Stage& stage) {
  stage.watch();
  Victim& v = stage.sender(8);
  v.order("open");
  stage.viewer_beside(Policy::drop_oldest, 4);
  stage.await_readers(3);
  stage.publish("3 4096");
  stage.expect.orphans = stage.expect.closing = true;
  for (Watcher& watcher : stage.watchers) watcher.await_frame(stage.incarnation, 3);
  for (const std::string& name : names_of(stage.channel)) {
    shm_unlink(("/" + name).c_str());
  }
  Peer& late = stage.others[0];
  late.tell("take 3");
  // It waits for a writer whose housekeeping may be halted right now: ask, and it goes
  // on.
  while (!late.answers(kGlanceMs)) v.order("readers 0");
  expect_end(late.hear());
  stage.others.clear();
  v.order("renewed");
  stage.expect.orphans = stage.expect.closing = false;
  stage.await_readers(2);
  stage.publish("3 4096");
  end_well(stage);
}

// There is no room for a channel, then none for a frame.
void give_up(Stage& stage) {
  Victim& v = stage.sender(8);
  v.order("limit 4096");
  v.expect_answer("open", "failed");
  v.order("limit 0");
  v.order("open");
  v.order("limit 200000");
  v.expect_answer("prepare 8 1000000", "no");
  v.order("limit 0");
  v.order("publish 3 4096");
  end_well(stage);
}

// --- scenarios of readers

// Takes, holds, releases, sleeps, skips, leaves with frames in its hands, comes back.
void read_some(Stage& stage) {
  stage.watch();
  stage.open();
  Victim& v = stage.viewer(Policy::drop_oldest, 4);
  v.order("attach");
  stage.send(4);
  v.order("take 2");
  stage.send(3, kLarge, "other");
  v.order("take 2");
  v.order("release 1");
  v.order("drain 30");
  stage.send(3);
  v.order("skip");
  v.order("interrupt");
  v.order("take 1");
  v.order("detach");
  stage.send(1);
  v.order("release 100");
  v.order("attach");
  stage.send(2);
  v.order("take 2");
  v.order("release 1");
  v.order("detach");
  v.order("release 1");
}

// The writer waits for it again and again; then the end of the stream.
void read_all(Stage& stage) {
  stage.watch();
  stage.open();
  Victim& v = stage.viewer(Policy::blocking, 2);
  v.order("attach");
  stage.expect.busy = true;
  {
    const std::jthread publishing([&] { stage.send(40); });
    v.order("through 40");
  }
  stage.expect.busy = false;
  stage.writer->set_eos();
  v.expect_answer("take 1", "eos");
  v.order("detach");
}

// Hoards, so that it must copy.
void hoard(Stage& stage) {
  stage.watch();
  stage.open();
  Victim& v = stage.viewer(Policy::drop_newest, 2);
  v.order("attach");
  for (int i = 0; i < 12; ++i) {
    stage.send(1);
    v.order("take 1");
  }
  v.order("release 3");
  stage.send(1);
  v.order("take 1");
  v.order("release 100");
  v.order("detach");
}

// The page it looks at is taken and left while it reaches for it.
void race_for_a_page(Stage& stage) {
  Peer writer("sender", {stage.channel, "8", "blocking"});
  obeyed(writer, "open");
  obeyed(writer, "publish 3 4096");
  bool raced = false;
  stage.at_hold = [&](const std::string& point) {
    if (point != "attach.look" || std::exchange(raced, true)) return;
    writer.stop();
    Peer& other = stage.viewer_beside(Policy::drop_oldest, 3);
    stage.tell(other, "detach");
    other.kill();
  };
  Victim& v = stage.viewer(Policy::drop_oldest, 3);
  const Finally end{[&] {
    writer.go_on();
    obeyed(writer, "alone 0");
    obeyed(writer, "close");
  }};
  v.order("attach");
  writer.go_on();
  obeyed(writer, "alone 1");  // now it is admitted
  obeyed(writer, "publish 3 4096");
  v.order("take 3");
  v.order("detach");
  v.order("release 3");
}

// Its writer died with a frame that nobody can open any more.
void orphaned(Stage& stage) {
  Peer writer("sender", {stage.channel, "8", "blocking"});
  obeyed(writer, "open");
  stage.expect.orphans = true;
  Victim& v = stage.viewer(Policy::drop_oldest, 4);
  v.order("attach");
  obeyed(writer, "publish 2 4096");
  writer.kill();
  stage.open();
  v.expect_answer("take 1", "disconnected");
  v.order("attach");
  stage.send(2);
  v.order("take 2");
  v.order("detach");
  v.order("release 2");
}

struct Scenario {
  const char* name;
  void (*play)(Stage&);
  bool writer;  // is the victim
};
constexpr Scenario kScenarios[] = {
    {"take_over", take_over, true},
    {"stream", stream, true},
    {"grow", grow, true},
    {"steal", steal, true},
    {"lend", lend, true},
    {"wait", wait, true},
    {"recycle", recycle, true},
    {"leave", leave, true},
    {"lose_name", lose_name, true},
    {"give_up", give_up, true},
    {"read_some", read_some, false},
    {"read_all", read_all, false},
    {"hoard", hoard, false},
    {"race", race_for_a_page, false},
    {"orphaned", orphaned, false},
};

const Scenario* find_scenario(const std::string& name) {
  const auto* const found =
      std::find_if(std::begin(kScenarios), std::end(kScenarios),
                   [&](const Scenario& s) { return name == s.name; });
  CHECK(found != std::end(kScenarios));
  return found;
}

// Plays it to its end or to the victim's death. False: it died, as it was told to.
bool play(const Scenario& scenario, Stage& stage) {
  try {
    scenario.play(stage);
    stage.passed = stage.victim->end();
    CHECK(stage.victim->join() == 0);
    return true;
  } catch (const Died&) {
  }
  CHECK(stage.victim->join() == 128 + SIGKILL);
  return false;
}

}  // namespace

// SCENARIO WHAT POINT NTH: KILL or STOP at a point; WHAT is "NONE" otherwise. Says what
// the victim passed, if it came to its end, and "died" or "lived".
ROLE(case) {
  const Scenario* const scenario = find_scenario(args.at(0));
  std::string orders = args.at(0) == "race" ? "STOP attach.look 1" : "";
  if (args.at(1) != "NONE") {
    if (!orders.empty()) orders += ',';
    orders += args[1] + " " + args.at(2) + " " + args.at(3);
  }
  alarm(kCaseSeconds);
  {
    Stage stage(orders, !scenario->writer);
    const bool lived = play(*scenario, stage);
    stage.examine(false);
    if (stage.watchers.empty()) stage.watch();
    if (!stage.writer) succeed(stage);
    go_on(stage);
    finish(stage);
    for (const std::string& line : stage.passed) say(line);
    say(lived ? "lived" : "died");
  }
  return 0;
}

// --- the driver ----------------------------------------------------------------------

namespace {

struct Case {
  std::string scenario;
  std::string what = "NONE";
  std::string point = "-";
  unsigned nth = 0;
  std::string text() const {
    return scenario + " " + what + " " + point + " " + std::to_string(nth);
  }
};

struct Outcome {
  bool good = false;
  bool died = false;
  std::map<std::string, unsigned> passed;
};

Outcome run_case(const Case& one) {
  Peer peer("case", {one.scenario, one.what, one.point, std::to_string(one.nth)});
  const pid_t pid = peer.pid();
  Outcome outcome;
  std::string last;
  while (const auto line = peer.hear_if_alive()) {
    std::istringstream words(*line);
    std::string point;
    words >> last >> point;
    if (last == "passed") words >> outcome.passed[point];
  }
  const int status = peer.join();
  outcome.good = status == 0 && (last == "died" || last == "lived");
  if (!outcome.good) {
    std::fprintf(stderr, "case %s ended with %d\n", one.text().c_str(), status);
    for (const std::string& name : own_names(pid)) shm_unlink(("/" + name).c_str());
  }
  outcome.died = last == "died";
  return outcome;
}

// Several at a time: most of each is waiting.
std::vector<Outcome> run_cases(const std::vector<Case>& cases) {
  std::vector<Outcome> outcomes(cases.size());
  std::atomic<std::size_t> next{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (std::size_t at; (at = next++) < cases.size();) {
        outcomes[at] = run_case(cases[at]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return outcomes;
}

std::string contents(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  CHECK(file);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::filesystem::path source_root() {
  const char* const root = std::getenv("POSSUM_SOURCE_ROOT");
  if (!root) check::skip("POSSUM_SOURCE_ROOT is not set: run it by `meson test`");
  return root;
}

// What stands between `before` and the next `after`, at each place.
std::vector<std::string> all_between(const std::string& text, const std::string& before,
                                     const std::string& after) {
  std::vector<std::string> found;
  for (std::size_t at = 0; (at = text.find(before, at)) != text.npos;) {
    at += before.size();
    const std::size_t end = text.find(after, at);
    if (end == text.npos) break;
    found.push_back(text.substr(at, end - at));
    at = end + after.size();
  }
  return found;
}

// Of deaths.md: which roles die at each point, "W", "R" or "WR".
std::multimap<std::string, std::string> table_of_deaths() {
  std::istringstream page(contents(source_root() / "tests/transport/deaths.md"));
  std::multimap<std::string, std::string> table;
  for (std::string line; std::getline(page, line);) {
    if (!line.starts_with("| ")) continue;
    std::string roles;
    for (const char c : line.substr(0, line.find('|', 1))) {
      if (c == 'W' || c == 'R') roles += c;
    }
    for (const std::string& name : all_between(line, "`", "`")) {
      // A function's name may stand in a row as well: "of()".
      if (name.find('.') != name.npos) table.emplace(name, roles);
    }
  }
  return table;
}

std::multiset<std::string> points_in_source() {
  std::multiset<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(source_root() / "gst/transport")) {
    const auto kind = entry.path().extension();
    if (kind != ".h" && kind != ".cpp") continue;
    const auto found =
        all_between(contents(entry.path()), "POSSUM_CRASH_POINT(\"", "\")");
    names.insert(found.begin(), found.end());
  }
  return names;
}

}  // namespace

TEST(everybody_survives_a_death_at_each_point) {
  const auto table = table_of_deaths();
  std::vector<Case> plain;
  for (const Scenario& scenario : kScenarios) plain.push_back({scenario.name});
  const std::vector<Outcome> ways = run_cases(plain);

  std::vector<Case> cases;
  for (std::size_t i = 0; i < plain.size(); ++i) {
    for (const auto& [point, count] : ways[i].passed) {
      for (const unsigned nth : std::set<unsigned>{1, std::min(2u, count), count}) {
        cases.push_back({plain[i].scenario, "KILL", point, nth});
      }
      cases.push_back({plain[i].scenario, "STOP", point, 1});
    }
  }
  const std::vector<Outcome> outcomes = run_cases(cases);

  const auto good = [](const Outcome& outcome) { return outcome.good; };
  CHECK(std::all_of(ways.begin(), ways.end(), good));
  std::map<std::pair<std::string, char>, unsigned> deaths;  // point, role
  unsigned halts = 0;
  for (std::size_t i = 0; i < cases.size(); ++i) {
    const char role = find_scenario(cases[i].scenario)->writer ? 'W' : 'R';
    if (outcomes[i].died) ++deaths[{cases[i].point, role}];
    if (cases[i].what == "STOP") ++halts;
  }
  unsigned sum = 0;
  bool complete = true;
  for (const auto& [point, roles] : table) {
    std::printf("   %-22s", point.c_str());
    for (const char role : roles) {
      const unsigned count = deaths[{point, role}];
      std::printf(" %c: %u deaths", role, count);
      sum += count;
      complete = complete && count > 0;
    }
    std::printf("\n");
  }
  std::printf("   %u deaths and %u halts at %zu points\n", sum, halts,
              possum::crash::points().size());
  CHECK(std::all_of(outcomes.begin(), outcomes.end(), good));
  CHECK(complete);
}

TEST(release_build_has_none_of_them) {
  const char* const root = std::getenv("POSSUM_BUILD_ROOT");
  if (!root) check::skip("POSSUM_BUILD_ROOT is not set: run it by `meson test`");
  const std::string library =
      contents(std::filesystem::path(root) / "gst/libpossum/libpossum.so");
  CHECK(library.find("possum_reader_open") != std::string::npos);
  const std::string self = contents(check::program().back());
  CHECK(library.find("6possum5crash") == std::string::npos);
  CHECK(self.find("6possum5crash") != std::string::npos);
  for (const possum::crash::Point* point : possum::crash::points()) {
    CHECK(library.find(point->name) == std::string::npos);
    CHECK(self.find(point->name) != std::string::npos);
  }
}

// Each point of the program stands in one place of the source and in one row of the
// table, and nothing else does.
TEST(table_of_deaths_names_each_point_once) {
  std::multiset<std::string> points;
  for (const possum::crash::Point* point : possum::crash::points()) {
    points.insert(point->name);
  }
  std::multiset<std::string> rows;
  for (const auto& [point, roles] : table_of_deaths()) rows.insert(point);
  const std::multiset<std::string> places = points_in_source();
  for (const auto& names : {points, rows, places}) {
    for (const std::string& name : names) {
      if (points.count(name) == 1 && rows.count(name) == 1 && places.count(name) == 1) {
        continue;
      }
      std::fprintf(stderr, "%s: %zu in the program, %zu rows, %zu places\n", name.c_str(),
                   points.count(name), rows.count(name), places.count(name));
    }
  }
  CHECK(rows == points && places == points);
}
