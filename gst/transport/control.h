// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The control object of a channel: its parts in a mapping, and the constant part of its
// header, which the writer writes once and everybody who comes reads and checks here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "base/shm_object.h"
#include "channel/errors.h"
#include "layout.h"

namespace possum::transport {

std::size_t unit_bytes();     // of one of its units: a page, and layout::kMinUnitBytes
std::size_t control_bytes();  // of a whole control object
std::uint32_t abi_word();     // pointer bits, byte order, C library

// Fills `image` with the bytes of a semaphore of known value: what both sides must agree
// on before they use each other's semaphores.
void semaphore_image(std::uint8_t (&image)[layout::kSemImageBytes]);

// Is the object as long as a control object is made?
bool is_whole(int fd);

// The parts of a mapped control object.
class ControlMap {
 public:
  ControlMap() = default;
  explicit ControlMap(std::shared_ptr<ShmObject> object)
      : object_(std::move(object)), base_(object_->data()), unit_(unit_bytes()) {}
  ShmObject& object() const { return *object_; }
  layout::ControlHeader& header() const {
    return *reinterpret_cast<layout::ControlHeader*>(base_);
  }
  layout::WriterBells& bells() const {
    return *reinterpret_cast<layout::WriterBells*>(base_ + layout::kRoomUnit * unit_);
  }
  layout::ReaderPage& page(unsigned r) const {
    return *reinterpret_cast<layout::ReaderPage*>(base_ +
                                                  (layout::kReaderUnit + r) * unit_);
  }

 private:
  std::shared_ptr<ShmObject> object_;
  std::byte* base_ = nullptr;
  std::size_t unit_ = 0;  // bytes
};

// Fills the constant part of a new header, all but zeros. Nobody reads it before READY.
void write_header(layout::ControlHeader& header, std::uint64_t incarnation,
                  bool allow_blocking);

// Copies the header of a control object whose owner lock is held. False: it is not READY
// yet, or too short.
bool read_header(int fd, layout::ControlHeader& header);

// What is wrong with the constant part of a copied header, for this process.
enum class HeaderFault {
  none,
  no_channel,     // something else lies there; nothing in it has a meaning
  other_version,  // magic, version, writer's pid, start and name mean what they say
  damaged,        // it contradicts itself or the object's size
  other_machine,  // of another word size, C library or page size
};
// `bytes`: the size of the object.
HeaderFault check_header(const layout::ControlHeader& header, std::uint64_t bytes);
// The same for a person.
Error unusable_header(const std::string& channel, HeaderFault fault,
                      const layout::ControlHeader& header, std::uint64_t bytes);
// What a writer says of itself; `fd` leads to its control object. Nothing: no writer of
// any version that is known.
std::optional<NameHolder> read_holder(int fd);

}  // namespace possum::transport
