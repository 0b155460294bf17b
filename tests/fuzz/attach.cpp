// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A reader meets a channel that was damaged before it came: any byte of the control
// object and of the data objects, their sizes, their names. It reads what it accepts to
// the last byte, else says what is wrong; a good writer after that serves it.
#include "scene.h"

using namespace fuzz;

namespace {

void read_what_is_there(Reader& reader, Input& in) {
  std::vector<Frame> held;
  for (int tries = 0; tries < 8; ++tries) {
    const int wait_ms = in.below(8) == 1 ? 2 : 0;
    Frame frame;
    Error error;
    const TakeStatus status = fuzz::take(reader, wait_ms, frame, error);
    if (status == TakeStatus::failed) return expect_clear(error);
    if (status != TakeStatus::frame) return;
    use(frame);
    if (in.below(2) == 1) held.push_back(std::move(frame));
  }
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Scene scene(own_channel("attach"));
  Input in(data, size);
  const unsigned how = in.below(256);
  scene.offer(how & 0xf);
  const bool takeover = (how & 0xf0) == 0xf0;
  for (int lies = 0; lies < 24 && !in.empty(); ++lies) lie(scene, in);
  scene.cut();

  ReaderOptions options;
  options.channel = scene.channel();
  options.policy = static_cast<layout::Policy>((how >> 4) % 3);
  Error error;
  const auto reader = Reader::create(options, error);
  FUZZ_CHECK(reader);
  const int wait_ms = in.below(16) == 1 ? 10 : 0;
  AttachStatus status;
  {
    const Bounded bounded("attach", wait_ms);
    status = reader->attach(in_ms(wait_ms), error);
  }
  if (status == AttachStatus::attached) {
    read_what_is_there(*reader, in);
  } else {
    expect_clear(error);
  }
  reader->detach();
  if (takeover) {
    scene.real_writer_takes_over(*reader);
  } else {
    scene.expect_recovery(*reader);
  }
  scene.restore();
  return 0;
}
