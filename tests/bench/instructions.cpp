// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The transport's steps of one frame, each in a function of its own for Callgrind to
// count the instructions of: one writer and its readers in one process, nobody asleep.
//
//   valgrind --tool=callgrind --toggle-collect=measured bench-instructions CHANNEL
//   READERS SLOTS
//
// Prints how many frames were counted.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "transport/reader.h"
#include "transport/writer.h"

using possum::Error;
using possum::transport::Frame;
using possum::transport::Reader;
using possum::transport::SlotRef;
using possum::transport::Writer;
using possum::transport::WriteStatus;

namespace {

constexpr std::size_t kBytes = 4096;
constexpr char kCaps[] =
    "video/x-raw, format=(string)GRAY8, width=(int)64, "
    "height=(int)64, framerate=(fraction)60/1";
constexpr int kWarmUp = 200;
constexpr int kFrames = 500;

[[noreturn]] void give_up(const Error& error) {
  std::fprintf(stderr, "%s\n", error.message.c_str());
  std::exit(1);
}

std::unique_ptr<Writer> make_writer(const std::string& channel, unsigned slots) {
  Error error;
  possum::transport::WriterOptions options;
  options.channel = channel;
  options.slots = slots;
  auto writer = Writer::create(std::move(options), {}, error);
  if (!writer || writer->open(error) != WriteStatus::ok ||
      !writer->prepare(slots, kBytes, error)) {
    give_up(error);
  }
  return writer;
}

std::unique_ptr<Reader> make_reader(const std::string& channel) {
  Error error;
  possum::transport::ReaderOptions options;
  options.channel = channel;
  auto reader = Reader::create(std::move(options), error);
  if (!reader || reader->attach(possum::transport::kForever, error) !=
                     possum::transport::AttachStatus::attached) {
    give_up(error);
  }
  return reader;
}

}  // namespace

// Names that Callgrind's output shows as they are.
extern "C" {

// A slot that upstream draws into.
[[gnu::noinline]] SlotRef* step_lend(Writer& writer, SlotRef& slot) {
  if (auto lent = writer.lend(kBytes)) {
    slot = std::move(*lent);
    return &slot;
  }
  return nullptr;
}
[[gnu::noinline]] void step_publish(Writer& writer, const SlotRef& slot) {
  Error error;
  possum::transport::layout::FrameDescriptor frame{};
  frame.data_bytes = kBytes;
  if (!writer.publishable(slot, sizeof kCaps - 1, 0) ||
      writer.publish(slot, frame, kCaps, {}, true, error) != WriteStatus::ok) {
    give_up(error);
  }
}
[[gnu::noinline]] void step_give_back(Writer& writer, SlotRef& slot) {
  writer.give_back(slot);
  slot = {};
}
[[gnu::noinline]] void step_take(Reader& reader, Frame& frame) {
  Error error;
  if (reader.take(possum::transport::kForever, frame, error) !=
      possum::transport::TakeStatus::frame) {
    give_up(error);
  }
}
[[gnu::noinline]] void step_release(Frame& frame) { frame = Frame(); }

[[gnu::noinline]] void run(Writer& writer, std::vector<std::unique_ptr<Reader>>& readers,
                           int frames) {
  SlotRef slot;
  Frame frame;
  for (int i = 0; i < frames; ++i) {
    if (!step_lend(writer, slot)) std::exit(1);
    step_publish(writer, slot);
    step_give_back(writer, slot);
    for (auto& reader : readers) {
      step_take(*reader, frame);
      step_release(frame);
    }
  }
}
[[gnu::noinline]] void measured(Writer& writer,
                                std::vector<std::unique_ptr<Reader>>& readers) {
  run(writer, readers, kFrames);
}
}

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "bench-instructions CHANNEL READERS SLOTS\n");
    return 2;
  }
  const std::string channel = argv[1];
  const auto writer = make_writer(channel, static_cast<unsigned>(std::atoi(argv[3])));
  std::vector<std::unique_ptr<Reader>> readers;
  for (int i = 0; i < std::atoi(argv[2]); ++i) readers.push_back(make_reader(channel));
  run(*writer, readers, kWarmUp);
  measured(*writer, readers);
  std::printf("%d\n", kFrames);
  return 0;
}
