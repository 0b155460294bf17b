// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What an application does in the functions that a writer calls from its own thread:
// every one of them, and in each everything that a Writer can be asked, its end included.
#include <atomic>
#include <fstream>
#include <functional>
#include <thread>

#include "base/event_thread.h"
#include "support/peers.h"
#include "support/sleepers.h"
#include "transport/claim.h"

using namespace support;

namespace {

// Something that another thread makes true.
class Event {
 public:
  void set() { set_ = true; }
  void wait() const {
    CHECK(eventually([this] { return set_.load(); }));
  }

 private:
  std::atomic<bool> set_{false};
};

// A writer, whatever it takes to make it call, and what is done in the call.
struct Scene {
  explicit Scene(std::function<void(Scene&)> act) : act(std::move(act)) {}
  ~Scene() {
    if (thief) remove_names(channel, *thief);
  }
  void open(WriterOptions options, WriterEvents events) {
    options.claim_timeout_ns = 0;
    writer = open_writer(std::move(options), std::move(events));
  }
  // The first time, in the writer's thread.
  void called() {
    if (acting.exchange(true)) return;
    brought_about.wait();
    act(*this);
    acted.set();
  }

  const std::string channel = unique_channel();
  const std::function<void(Scene&)> act;
  std::unique_ptr<Writer> writer;
  std::unique_ptr<Reader> reader;
  std::optional<Claim> thief;
  std::atomic<bool> acting{false};
  Event brought_about;  // no other call of this test is going on
  Event acted;
};

void bring_about_attached(Scene& scene) {
  WriterEvents events;
  events.reader_attached = [&](unsigned, std::uint32_t) { scene.called(); };
  scene.open(plain_writer(scene.channel), events);
  scene.reader = attach_reader(reader_of(scene.channel));
}

void bring_about_detached(Scene& scene) {
  WriterEvents events;
  Event attached;
  events.reader_attached = [&](unsigned, std::uint32_t) { attached.set(); };
  events.reader_detached = [&](unsigned, const char*) { scene.called(); };
  scene.open(plain_writer(scene.channel), events);
  scene.reader = attach_reader(reader_of(scene.channel));
  attached.wait();
  scene.reader->detach();
}

void bring_about_demoted(Scene& scene) {
  WriterEvents events;
  events.reader_demoted = [&](unsigned, std::uint32_t) { scene.called(); };
  scene.open(blocking_writer(scene.channel, 16, 10), events);
  scene.reader = attach_reader(reader_of(scene.channel, Policy::blocking, 1));
  publish(*scene.writer, 1);
  publish(*scene.writer, 2);
}

void bring_about_lost(Scene& scene) {
  WriterEvents events;
  events.lost = [&](const Error&) { scene.called(); };
  scene.open(plain_writer(scene.channel), events);
  Error error;
  scene.thief.emplace();
  // The writer may be quicker, and has its name back.
  do {
    shm_unlink(control_name(scene.channel).c_str());
  } while (claim_channel({scene.channel, {0600, {}}, false}, *scene.thief, error) !=
           ClaimStatus::ok);
}

void close_it(Scene& scene) {
  scene.writer->close();
  CHECK(!scene.writer->is_open());
}
void close_it_twice(Scene& scene) {
  close_it(scene);
  close_it(scene);
}
void free_it(Scene& scene) { scene.writer.reset(); }
void open_it_again(Scene& scene) {
  scene.writer->close();
  Error error;
  const WriteStatus status = scene.writer->open(error);
  CHECK(status == (scene.thief ? WriteStatus::failed : WriteStatus::ok));
  if (status == WriteStatus::ok) publish(*scene.writer, 7);
}
void ask_it_everything(Scene& scene) {
  Error error;
  Writer& writer = *scene.writer;
  const bool open = !scene.thief;
  CHECK(writer.is_open() == open);
  CHECK((writer.incarnation() != 0) == open);
  CHECK(writer.prepare(4, kSmall, error) == open);
  writer.active_readers();
  writer.statistics();
  writer.set_eos();
  writer.flush();
  writer.interrupt(true);
  writer.interrupt(false);
  if (open) publish(writer, 3);
  CHECK(writer.drain(error, 0) !=
        (open ? WriteStatus::failed : WriteStatus::ok));  // whoever holds it up
}
// As a function that needs a lock or a main loop of a thread that is closing the writer.
void wait_for_one_who_closes_it(Scene& scene) {
  Event closed;
  std::thread other([&] {
    scene.writer->close();
    closed.set();
  });
  closed.wait();
  other.join();
}

}  // namespace

TEST(anything_may_be_called_in_any_event) {
  for (const auto& bring_about : {bring_about_attached, bring_about_detached,
                                  bring_about_demoted, bring_about_lost}) {
    for (const auto& act : {close_it, close_it_twice, free_it, open_it_again,
                            ask_it_everything, wait_for_one_who_closes_it}) {
      const std::size_t open_files = open_descriptors().size();
      {
        Scene scene(act);
        bring_about(scene);
        scene.brought_about.set();
        scene.acted.wait();
      }
      CHECK(eventually([&] { return open_descriptors().size() == open_files; }));
    }
  }
}

// What is known when one of them closes the writer is not told any more.
TEST_F(OnChannel, no_event_is_begun_after_close) {
  std::unique_ptr<Writer> writer;
  Event one_left;
  Event closed;
  std::atomic<int> told{0};
  const auto used = std::make_shared<int>();  // by the functions, until the thread ends
  {
    WriterEvents events;
    events.reader_attached = [&, used](unsigned, std::uint32_t) {
      ++told;
      one_left.wait();
      writer->close();
      closed.set();
    };
    events.reader_detached = [&](unsigned, const char*) { ++told; };
    writer = open_writer(plain_writer(channel), events);
  }
  auto one = attach_reader(reader_of(channel));
  const auto two = attach_reader(reader_of(channel));
  one.reset();
  one_left.set();
  closed.wait();
  writer.reset();
  CHECK(eventually([&] { return used.use_count() == 1; }));
  CHECK(told == 1);
}

// How often this thread of ours has gone to sleep.
static int sleeps_of(pid_t thread) {
  std::ifstream status("/proc/self/task/" + std::to_string(thread) + "/status");
  for (std::string line; std::getline(status, line);) {
    constexpr std::string_view kName = "voluntary_ctxt_switches:";
    if (line.starts_with(kName)) return std::stoi(line.substr(kName.size()));
  }
  check::failed(__FILE__, __LINE__, "no such thread");
}

TEST(waits_for_readers_do_not_wake_the_thread_that_calls) {
  if (!can_see_sleepers()) check::skip("the kernel does not say what threads do");
  constexpr int kFrames = 100;
  const std::string channel = unique_channel();
  std::atomic<pid_t> caller{0};
  Event called;
  WriterEvents events;
  events.reader_attached = [&](unsigned, std::uint32_t) {
    caller = gettid();
    called.set();
  };
  const auto writer = open_writer(blocking_writer(channel), events);
  const auto reader = attach_reader(reader_of(channel, Policy::blocking, 1));
  called.wait();
  std::thread publisher([&] {
    for (int i = 0; i <= kFrames; ++i) publish(*writer, static_cast<unsigned>(i));
  });
  const int before = sleeps_of(caller);
  for (int i = 0; i < kFrames; ++i) {
    CHECK(eventually([&] { return writer_sleeps(channel); }));
    take(*reader);
  }
  // The pool may grow meanwhile, which is told.
  CHECK(sleeps_of(caller) - before < kFrames / 4);
  take(*reader);
  publisher.join();
}

// --- the thread itself ---------------------------------------------------------------

// stop() does not return while the thread does work of its own.
TEST(stop_waits_for_the_threads_own_work) {
  std::atomic<bool> over{false};
  Event begun;
  Event woken;
  possum::EventThread thread;
  thread.start([&](possum::EventThread::Run& run) {
    begun.set();
    woken.wait();
    CHECK(run.stopping());
    CHECK(!run.call([] { check::failed(__FILE__, __LINE__, "called after stop()"); }));
    over = true;
  });
  begun.wait();
  thread.stop([&] { woken.set(); });
  CHECK(over);
  thread.stop([] { check::failed(__FILE__, __LINE__, "nothing to wake"); });
}
