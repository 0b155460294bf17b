// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// possum.h for C++17 and later, in this one header: owners that release what they hold,
// options that begin with their defaults, failures as exceptions. What the functions do,
// how long they wait and from which threads they may be called says possum.h.
//
// A status that a program expects (frame or none, end of stream, interrupted: 0 and
// more) is returned; a failure (less than 0) is thrown as possum::Error:
//
//   possum::Reader reader("cam");
//   for (possum::Frame frame; reader.next(frame) == POSSUM_OK;) look_at(frame);
#ifndef POSSUM_HPP
#define POSSUM_HPP

#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "possum.h"

namespace possum {
// Part of every name, so that programs built with different versions of this header can
// be linked together.
inline namespace v1 {

// what(): for a person. detail(): for a developer.
class Error : public std::runtime_error {
 public:
  // About the last call of this thread.
  explicit Error(possum_status status)
      : std::runtime_error(possum_error_message()),
        status_(status),
        detail_(std::make_shared<const std::string>(possum_error_detail())) {}
  Error(possum_status status, const std::string& message, const std::string& detail)
      : std::runtime_error(message),
        status_(status),
        detail_(std::make_shared<const std::string>(detail)) {}
  possum_status status() const noexcept { return status_; }
  const std::string& detail() const noexcept { return *detail_; }

 private:
  possum_status status_;
  std::shared_ptr<const std::string> detail_;  // copying an exception must not throw
};

// Returns what a program expects, throws the rest.
inline possum_status checked(possum_status status) {
  if (status < 0) throw Error(status);
  return status;
}

// --- structs with their defaults -------------------------------------------------------

struct WriterOptions : possum_writer_options {
  WriterOptions() : possum_writer_options() {
    possum_writer_options_init(this, sizeof(possum_writer_options));
  }
};

struct ReaderOptions : possum_reader_options {
  ReaderOptions() : possum_reader_options() {
    possum_reader_options_init(this, sizeof(possum_reader_options));
  }
};

struct FrameParams : possum_frame_params {
  FrameParams() : possum_frame_params() {
    possum_frame_params_init(this, sizeof(possum_frame_params));
  }
};

struct Video : possum_video {
  Video() : possum_video() { possum_video_init(this, sizeof(possum_video)); }
  Video(const char* format_name, int width_pixels, int height_pixels) : Video() {
    checked(possum_video_set_format(this, format_name, width_pixels, height_pixels));
  }
  explicit Video(const std::string& caps_text) : Video() {
    checked(possum_video_from_caps(this, caps_text.c_str()));
  }
  Video& rate(int frames, int seconds = 1) {
    framerate_n = frames;
    framerate_d = seconds;
    return *this;
  }
  // Empty if the members make no caps.
  std::string caps() const {
    std::string text(possum_video_to_caps(this, nullptr, 0), '\0');
    possum_video_to_caps(this, text.data(), text.size() + 1);
    return text;
  }
};

// --- reading ---------------------------------------------------------------------------

// One owner of a frame, or of none. Copying makes another owner of the same frame.
class Frame {
 public:
  Frame() = default;
  // Takes over one ownership.
  explicit Frame(possum_frame* frame) : frame_(frame) {
    possum_frame_get_info(frame_, &info_, sizeof info_);
  }
  Frame(const Frame& other)
      : frame_(possum_frame_ref(other.frame_)), info_(other.info_) {}
  Frame(Frame&& other) noexcept
      : frame_(std::exchange(other.frame_, nullptr)),
        info_(std::exchange(other.info_, {})) {}
  Frame& operator=(Frame other) noexcept {
    std::swap(frame_, other.frame_);
    std::swap(info_, other.info_);
    return *this;
  }
  ~Frame() { possum_frame_release(frame_); }

  explicit operator bool() const { return frame_ != nullptr; }
  possum_frame* get() const { return frame_; }
  // All zeros without a frame. Pointers in it live as long as the frame.
  const possum_frame_info& info() const { return info_; }
  const char* caps() const { return possum_frame_caps(frame_); }
  // Throws POSSUM_ERROR_FORMAT if it is no raw video known to the library.
  Video video() const {
    Video video;
    checked(possum_frame_get_video(frame_, &video));
    return video;
  }

 private:
  possum_frame* frame_ = nullptr;
  possum_frame_info info_{};
};

class Reader {
 public:
  explicit Reader(const ReaderOptions& options) {
    possum_reader* reader = nullptr;
    checked(possum_reader_open(&options, &reader));
    reader_.reset(reader);
  }
  explicit Reader(const char* channel) : Reader(on(channel)) {}

  possum_reader* get() const { return reader_.get(); }
  possum_status attach(int64_t deadline_ns = POSSUM_FOREVER) {
    return checked(possum_reader_attach(get(), deadline_ns));
  }
  void detach() { possum_reader_detach(get()); }
  bool attached() const { return possum_reader_is_attached(get()) != 0; }
  possum_status take(Frame& frame, int64_t deadline_ns = POSSUM_FOREVER) {
    return receive(possum_reader_take, frame, deadline_ns);
  }
  possum_status next(Frame& frame, int64_t deadline_ns = POSSUM_FOREVER) {
    return receive(possum_reader_next, frame, deadline_ns);
  }
  void skip_to_newest() { possum_reader_skip_to_newest(get()); }
  void interrupt(bool on = true) { possum_reader_interrupt(get(), on ? 1 : 0); }
  possum_reader_statistics statistics() const {
    possum_reader_statistics result;
    possum_reader_get_statistics(get(), &result, sizeof result);
    return result;
  }

 private:
  static ReaderOptions on(const char* channel) {
    ReaderOptions options;
    options.channel = channel;
    return options;
  }
  // The frame in hand goes first: it could be the one that the writer waits for.
  template <class Call>
  possum_status receive(Call call, Frame& frame, int64_t deadline_ns) {
    frame = Frame();
    possum_frame* taken = nullptr;
    const possum_status status = checked(call(get(), deadline_ns, &taken));
    if (status == POSSUM_OK) frame = Frame(taken);
    return status;
  }

  struct Close {
    void operator()(possum_reader* reader) const { possum_reader_close(reader); }
  };
  std::unique_ptr<possum_reader, Close> reader_;
};

// --- writing ---------------------------------------------------------------------------

// One slot in hand, or none. Publishing leaves it here: readable, and never to be written
// again.
class Slot {
 public:
  Slot() = default;
  explicit Slot(possum_slot* slot) : slot_(slot) {}

  explicit operator bool() const { return slot_ != nullptr; }
  possum_slot* get() const { return slot_.get(); }
  void* data() const { return possum_slot_data(get()); }
  size_t bytes() const { return possum_slot_bytes(get()); }
  // For possum_slot_release().
  [[nodiscard]] possum_slot* release() { return slot_.release(); }

 private:
  struct Release {
    void operator()(possum_slot* slot) const { possum_slot_release(slot); }
  };
  std::unique_ptr<possum_slot, Release> slot_;
};

class Writer {
 public:
  explicit Writer(const WriterOptions& options) {
    possum_writer* writer = nullptr;
    checked(possum_writer_open(&options, &writer));
    writer_.reset(writer);
  }
  Writer(const char* channel, const std::string& caps) : Writer(on(channel, caps)) {}
  Writer(const char* channel, const Video& video) : Writer(channel, video.caps()) {}

  possum_writer* get() const { return writer_.get(); }
  void set_caps(const std::string& caps, size_t frame_bytes = 0) {
    checked(possum_writer_set_caps(get(), caps.c_str(), frame_bytes));
  }
  possum_status borrow(Slot& slot, size_t bytes = 0,
                       int64_t deadline_ns = POSSUM_FOREVER) {
    slot = Slot();
    possum_slot* borrowed = nullptr;
    const possum_status status =
        checked(possum_writer_borrow(get(), bytes, deadline_ns, &borrowed));
    slot = Slot(borrowed);
    return status;
  }
  possum_status publish(const Slot& slot, const possum_frame_params* params = nullptr,
                        int64_t deadline_ns = POSSUM_FOREVER) {
    return checked(possum_writer_publish(get(), slot.get(), params, deadline_ns));
  }
  possum_status write(const void* data, size_t bytes,
                      const possum_frame_params* params = nullptr,
                      int64_t deadline_ns = POSSUM_FOREVER) {
    return checked(possum_writer_write(get(), data, bytes, params, deadline_ns));
  }
  possum_status wait_readers(unsigned count, int64_t deadline_ns = POSSUM_FOREVER) {
    return checked(possum_writer_wait_readers(get(), count, deadline_ns));
  }
  unsigned reader_count() const { return possum_writer_reader_count(get()); }
  void eos() { possum_writer_eos(get()); }
  possum_status drain(int64_t deadline_ns = POSSUM_FOREVER) {
    return checked(possum_writer_drain(get(), deadline_ns));
  }
  void flush() { possum_writer_flush(get()); }
  void interrupt(bool on = true) { possum_writer_interrupt(get(), on ? 1 : 0); }
  possum_writer_statistics statistics() const {
    possum_writer_statistics result;
    possum_writer_get_statistics(get(), &result, sizeof result);
    return result;
  }

 private:
  static WriterOptions on(const char* channel, const std::string& caps) {
    WriterOptions options;
    options.channel = channel;
    options.caps = caps.c_str();
    return options;
  }
  struct Close {
    void operator()(possum_writer* writer) const { possum_writer_close(writer); }
  };
  std::unique_ptr<possum_writer, Close> writer_;
};

}  // namespace v1
}  // namespace possum

#endif  // POSSUM_HPP
