// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A writer that lies while its reader streams: between the reader's operations, and by a
// second thread during them. Only truncation is left out: it is a signal, not a value.
#include <deque>

#include "flipper.h"
#include "scene.h"

using namespace fuzz;

namespace {

constexpr int kSteps = 48;
constexpr int kShortMs = 2;

class Stream {
 public:
  Stream(Scene& scene, Input& in) : scene_(scene), in_(in) {
    ReaderOptions options;
    options.channel = scene.channel();
    options.policy = static_cast<layout::Policy>(in.below(3));
    options.ignore_eos = in.below(4) == 1;
    Error error;
    reader_ = Reader::create(options, error);
    FUZZ_CHECK(reader_ && attach());
  }

  void run() {
    for (int step = 0; step < kSteps && !in_.empty(); ++step) one_step();
    flipper_.reset();
    reader_->detach();
  }
  Reader& reader() { return *reader_; }

 private:
  bool attach() {
    Error error;
    const Bounded bounded("attach");
    const AttachStatus status = reader_->attach(in_ms(0), error);
    if (status != AttachStatus::attached) expect_clear(error);
    return status == AttachStatus::attached;
  }

  void one_step() {
    switch (in_.below(12)) {
      case 0:
      case 1:
      case 2:
        return take(0);
      case 3:
        return take(kShortMs);
      case 4:
        if (!held_.empty()) held_.pop_front();
        return;
      case 5: {
        const Bounded bounded("skip_to_newest");
        return reader_->skip_to_newest();
      }
      case 6:
        attach();
        return;
      case 7:
        return scene_.offer_fresh(in_.below(kObjects));
      case 8:
        flipper_.emplace(in_, scene_.areas());
        return;
      case 9:
        return flipper_.reset();
      default:
        return read_edit(in_, scene_.areas()).apply();
    }
  }

  void take(int wait_ms) {
    Frame frame;
    Error error;
    const TakeStatus status = fuzz::take(*reader_, wait_ms, frame, error);
    if (status == TakeStatus::failed) {
      expect_clear(error);
      reader_->detach();
    }
    if (status != TakeStatus::frame) return;
    use(frame);
    held_.push_back(std::move(frame));
    if (held_.size() > 12) held_.pop_front();
  }

  Scene& scene_;
  Input& in_;
  std::unique_ptr<Reader> reader_;
  std::deque<Frame> held_;
  std::optional<Flipper> flipper_;
};

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Scene scene(own_channel("writer"));
  Input in(data, size);
  scene.offer(1);
  {
    Stream stream(scene, in);
    stream.run();
    scene.expect_recovery(stream.reader());
  }
  scene.restore();
  return 0;
}
