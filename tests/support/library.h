// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Verbs for the tests of libpossum: both ends through possum.h alone, and pictures whose
// every byte follows from a number. Include it after check.h.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "possum.h"
#include "support/transport.h"

namespace library {

using support::in_ms;
using support::kLimitMs;
using support::Peer;
using support::unique_channel;

// A status that is not this one ends the test, with what the library says about it.
inline void expect(possum_status wanted, possum_status status, const char* file,
                   int line) {
  if (status == wanted) return;
  std::fprintf(stderr, "%s instead of %s: %s (%s)\n", possum_status_name(status),
               possum_status_name(wanted), possum_error_message(), possum_error_detail());
  check::failed(file, line, "the status is as expected");
}
#define EXPECT(wanted, status) ::library::expect(wanted, status, __FILE__, __LINE__)

inline bool says(const std::string& words) {
  return std::string(possum_error_message()).find(words) != std::string::npos;
}

// What is open for as long as this lives; nothing keeps the pointer of one that nobody
// named.
template <class T, void (*close)(T*)>
class Handle {
 public:
  explicit Handle(T* handle = nullptr) : handle_(handle) {}
  ~Handle() { reset(); }
  Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  Handle& operator=(Handle&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  operator T*() const& { return handle_; }
  operator T*() && = delete;
  void reset() {
    if (handle_ != nullptr) close(std::exchange(handle_, nullptr));
  }

 private:
  T* handle_;
};
using WriterHandle = Handle<possum_writer, possum_writer_close>;
using ReaderHandle = Handle<possum_reader, possum_reader_close>;
using FrameHandle = Handle<possum_frame, possum_frame_release>;
using SlotHandle = Handle<possum_slot, possum_slot_release>;

struct NamedWriter : WriterHandle {
  std::string channel;
};

using WriterTweak = std::function<void(possum_writer_options&)>;
using ReaderTweak = std::function<void(possum_reader_options&)>;

inline void allow_blocking(possum_writer_options& options) { options.allow_blocking = 1; }
inline void blocking(possum_reader_options& options) { options.policy = POSSUM_BLOCKING; }

inline possum_writer_options writer_options(const std::string& channel) {
  possum_writer_options options;
  possum_writer_options_init(&options, sizeof options);
  options.channel = channel.c_str();
  return options;
}

inline NamedWriter open_writer(const std::string& channel, const std::string& caps,
                               const WriterTweak& tweak = {}) {
  possum_writer_options options = writer_options(channel);
  options.caps = caps.c_str();
  if (tweak) tweak(options);
  possum_writer* writer = nullptr;
  EXPECT(POSSUM_OK, possum_writer_open(&options, &writer));
  return {WriterHandle(writer), channel};
}

inline ReaderHandle open_reader(const std::string& channel,
                                const ReaderTweak& tweak = {}) {
  possum_reader_options options;
  possum_reader_options_init(&options, sizeof options);
  options.channel = channel.c_str();
  if (tweak) tweak(options);
  possum_reader* reader = nullptr;
  EXPECT(POSSUM_OK, possum_reader_open(&options, &reader));
  return ReaderHandle(reader);
}

inline ReaderHandle attach_reader(const std::string& channel,
                                  const ReaderTweak& tweak = {}) {
  ReaderHandle reader = open_reader(channel, tweak);
  EXPECT(POSSUM_OK, possum_reader_attach(reader, in_ms(kLimitMs)));
  return reader;
}

using Take = possum_status(possum_reader*, std::int64_t, possum_frame**);
inline FrameHandle take(possum_reader* reader, Take* how = possum_reader_take) {
  possum_frame* frame = nullptr;
  EXPECT(POSSUM_OK, how(reader, in_ms(kLimitMs), &frame));
  return FrameHandle(frame);
}
inline FrameHandle next(possum_reader* reader) {
  return take(reader, possum_reader_next);
}
// Only how it went: there is a frame if it went well.
inline possum_status try_take(possum_reader* reader,
                              std::int64_t deadline_ns = in_ms(kLimitMs),
                              Take* how = possum_reader_take) {
  possum_frame* frame = nullptr;
  const possum_status status = how(reader, deadline_ns, &frame);
  CHECK((frame != nullptr) == (status == POSSUM_OK));
  possum_frame_release(frame);
  return status;
}
inline possum_status try_next(possum_reader* reader,
                              std::int64_t deadline_ns = in_ms(kLimitMs)) {
  return try_take(reader, deadline_ns, possum_reader_next);
}

// Of the frames' size, or larger.
inline SlotHandle borrow(possum_writer* writer, std::size_t bytes = 0) {
  possum_slot* slot = nullptr;
  EXPECT(POSSUM_OK, possum_writer_borrow(writer, bytes, POSSUM_AT_ONCE, &slot));
  return SlotHandle(slot);
}

inline possum_frame_info info_of(const possum_frame* frame) {
  possum_frame_info info;
  possum_frame_get_info(frame, &info, sizeof info);
  return info;
}
inline possum_writer_statistics statistics_of(const possum_writer* writer) {
  possum_writer_statistics statistics;
  possum_writer_get_statistics(writer, &statistics, sizeof statistics);
  return statistics;
}
inline possum_reader_statistics statistics_of(const possum_reader* reader) {
  possum_reader_statistics statistics;
  possum_reader_get_statistics(reader, &statistics, sizeof statistics);
  return statistics;
}

inline possum_video no_video() {
  possum_video video;
  possum_video_init(&video, sizeof video);
  return video;
}
inline possum_video video_of(const std::string& caps) {
  possum_video video = no_video();
  EXPECT(POSSUM_OK, possum_video_from_caps(&video, caps.c_str()));
  return video;
}

inline possum_frame_params params_for(std::uint64_t key) {
  possum_frame_params params;
  possum_frame_params_init(&params, sizeof params);
  params.offset = key;
  return params;
}

// Puts the planes of a picture there, and says so.
inline void place_planes(std::initializer_list<possum_plane> planes, possum_video& video,
                         possum_frame_params& params) {
  params.plane_count = 0;
  for (const possum_plane& plane : planes) {
    possum_plane_layout& layout = video.planes[params.plane_count];
    layout.offset = plane.offset;
    layout.stride = plane.stride;
    params.planes[params.plane_count++] = plane;
  }
}

// All readers have what they were sent.
inline void end_stream(possum_writer* writer) {
  possum_writer_eos(writer);
  EXPECT(POSSUM_OK, possum_writer_drain(writer, in_ms(kLimitMs)));
}
inline void await_readers(possum_writer* writer, unsigned count = 1) {
  EXPECT(POSSUM_OK, possum_writer_wait_readers(writer, count, in_ms(kLimitMs)));
}

// --- pictures --------------------------------------------------------------------------

inline unsigned char picture_byte(std::uint64_t key, unsigned plane, std::size_t row,
                                  std::size_t byte) {
  return static_cast<unsigned char>(key * 37 + plane * 101 + row * 7 + byte * 3 +
                                    (row * byte >> 4));
}

// `bytes` of each row; the rest of the stride is left alone.
inline void draw_plane(unsigned char* data, std::size_t stride, std::size_t rows,
                       std::size_t bytes, unsigned plane, std::uint64_t key) {
  for (std::size_t y = 0; y < rows; ++y) {
    for (std::size_t x = 0; x < bytes; ++x) {
      data[y * stride + x] = picture_byte(key, plane, y, x);
    }
  }
}
inline bool plane_shows(const unsigned char* data, std::size_t stride, std::size_t rows,
                        std::size_t bytes, unsigned plane, std::uint64_t key) {
  for (std::size_t y = 0; y < rows; ++y) {
    for (std::size_t x = 0; x < bytes; ++x) {
      if (data[y * stride + x] != picture_byte(key, plane, y, x)) return false;
    }
  }
  return true;
}

inline void draw_picture(const possum_video& video, void* to, std::uint64_t key) {
  for (unsigned p = 0; p < video.plane_count; ++p) {
    const possum_plane_layout& plane = video.planes[p];
    draw_plane(static_cast<unsigned char*>(to) + plane.offset,
               static_cast<std::size_t>(plane.stride), plane.height,
               std::size_t{plane.width} * plane.pixel_bytes, p, key);
  }
}

// Of raw video, with its own offset for a key.
inline bool shows_its_key(const possum_frame* frame) {
  const possum_frame_info info = info_of(frame);
  CHECK(info.is_video == 1 && info.plane_count > 0);
  for (unsigned p = 0; p < info.plane_count; ++p) {
    const possum_frame_plane& plane = info.planes[p];
    if (!plane_shows(static_cast<const unsigned char*>(plane.data),
                     static_cast<std::size_t>(plane.stride), plane.height,
                     std::size_t{plane.width} * plane.pixel_bytes, p, info.offset)) {
      return false;
    }
  }
  return true;
}

template <class T>
possum_status write(possum_writer* writer, const std::vector<T>& picture,
                    const possum_frame_params* params = nullptr,
                    std::int64_t deadline_ns = POSSUM_AT_ONCE) {
  return possum_writer_write(writer, picture.data(), picture.size() * sizeof(T), params,
                             deadline_ns);
}

// Borrows, draws, offers and releases one picture; gives it up at the deadline.
inline possum_status publish_picture(possum_writer* writer, const possum_video& video,
                                     std::uint64_t key,
                                     std::int64_t deadline_ns = POSSUM_FOREVER) {
  possum_slot* borrowed = nullptr;
  const possum_status status =
      possum_writer_borrow(writer, video.bytes, deadline_ns, &borrowed);
  if (status != POSSUM_OK) return status;
  const SlotHandle slot(borrowed);
  draw_picture(video, possum_slot_data(slot), key);
  const possum_frame_params params = params_for(key);
  return possum_writer_publish(writer, slot, &params, deadline_ns);
}

}  // namespace library
