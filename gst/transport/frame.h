// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A frame in the hands of this process.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "layout.h"

namespace possum {
class ShmObject;
}

namespace possum::transport {

class Attachment;

// Either a lease on a slot or a private copy. Move only; from any thread; may outlive the
// Reader, the writer and the channel. Destroying it gives the slot back.
class Frame {
 public:
  Frame() = default;
  ~Frame() { release(); }
  Frame(Frame&& other) noexcept : parts_(std::exchange(other.parts_, {})) {}
  Frame& operator=(Frame other) noexcept {  // the old one goes with `other`
    std::swap(parts_, other.parts_);
    return *this;
  }

  // The checked copy: every plane lies within size() bytes. seq is 0 in an empty frame.
  const layout::FrameDescriptor& descriptor() const { return parts_.descriptor; }
  // PROT_READ, but for copy_on_write.
  const std::byte* data() const { return parts_.data; }
  std::size_t size() const { return parts_.descriptor.data_bytes; }
  // Shared by all frames of equal caps of one attachment; NUL-free.
  const std::shared_ptr<const std::string>& caps() const { return parts_.caps; }
  const std::vector<std::byte>& metas() const { return parts_.metas; }
  bool is_copy() const { return parts_.copy != nullptr; }
  // Frames this reader missed right before this one (sequence gap).
  std::uint64_t missed() const { return parts_.missed; }
  // Does the writer go by another clock than this process, such as that of another time
  // namespace? Then the absolute times mean nothing here. False is no promise: see
  // plausible_times().
  bool strange_clock() const { return parts_.strange_clock; }

 private:
  friend class Attachment;
  void release() noexcept;

  struct Parts {
    layout::FrameDescriptor descriptor{};
    const std::byte* data = nullptr;
    std::shared_ptr<const std::string> caps;
    std::vector<std::byte> metas;
    std::unique_ptr<std::byte[]> copy;
    std::shared_ptr<ShmObject> mapping;
    std::shared_ptr<Attachment> attachment;  // while the slot is to be given back
    unsigned slot = 0;
    std::uint64_t missed = 0;
    bool strange_clock = false;
  };
  Parts parts_;
};

}  // namespace possum::transport
