// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Looks into the memory of a channel between two steps of a process and says whether the
// next one could rely on it: what must hold at every moment, whoever dies.
#pragma once

#include "support/growth.h"
#include "support/transport.h"
#include "transport/descriptor.h"

namespace support {

class Autopsy {
 public:
  struct Expect {
    bool alive = false;    // nobody is dead, the one in question is only stopped
    bool closing = false;  // the writer was told to go: its names may be gone
    bool orphans = false;  // data objects may lie there without a control object
    bool busy = false;     // a writer is at work meanwhile
  };

  Autopsy(const std::string& channel, Expect expect)
      : channel_(channel), expect_(expect) {
    const std::string name = control_name(channel);
    const UniqueFd fd(shm_open(name.c_str(), O_RDONLY, 0));
    if (!fd) {
      CHECK(errno == ENOENT);
      CHECK(expect.orphans || expect.closing || names_of(channel).empty());
      return;
    }
    const auto whole = map_whole_control(fd.get(), Access::read_only);
    if (!whole) return;
    control_ = ControlMap(whole);
    if (control_.header().state.load() != 0 && !expect.busy) look();
  }

 private:
  void look() {
    const layout::ControlHeader& h = control_.header();
    CHECK(h.magic == layout::kControlMagic);
    CHECK(h.version == layout::kVersion && h.abi == abi_word());
    CHECK(h.header_bytes == sizeof h && h.object_bytes == control_bytes());
    CHECK(h.incarnation != 0 && h.reserve.load() >= 1);
    CHECK(low_semaphore(control_, layout::kRoomUnit));
    CHECK(low_semaphore(control_, layout::kAttentionUnit));
    for (unsigned s = 0; s < layout::kSlots; ++s) look_at_slot(s);
    for (unsigned r = 0; r < layout::kReaders; ++r) look_at_page(r);
  }

  // Whose number is in the table can be opened and is whole.
  void look_at_slot(unsigned s) {
    const auto& entry = control_.header().slot[s];
    const std::uint64_t incarnation = control_.header().incarnation;
    const std::uint32_t object = entry.object.load();
    if (object == 0) return;
    const std::string name = data_name(channel_, incarnation, object);
    const UniqueFd fd(shm_open(name.c_str(), O_RDONLY, 0));
    if (!fd && expect_.closing) return;
    CHECK(fd);
    struct stat info {};
    CHECK(fstat(fd.get(), &info) == 0);
    CHECK(info.st_size == static_cast<off_t>(entry.pages.load()) * 4096);
    Error error;
    mapped_[s] = ShmObject::map(fd.get(), static_cast<std::size_t>(info.st_size),
                                Access::read_only, error);
    CHECK(mapped_[s]);
    std::memcpy(&headers_[s], mapped_[s]->data(), sizeof headers_[s]);
    CHECK(valid_data_header(headers_[s], mapped_[s]->size(), incarnation, object, s));
  }

  // What is offered or in use is there, and is the frame that the table says.
  void look_at_page(unsigned r) {
    layout::ReaderPage& page = control_.page(r);
    // A page that is not yet free again is reset under its lock.
    const auto cfg = layout::unpack(page.cfg.load());
    if (cfg.state == layout::PageState::free) {
      CHECK(low_semaphore(control_, layout::kReaderUnit + r));
    }
    if (expect_.closing) return;
    const std::uint64_t word = page.word.load();
    const std::uint32_t seen = layout::offered_of(word) | layout::taken_of(word);
    for (std::uint32_t rest = seen; rest != 0; rest &= rest - 1) {
      const auto s = static_cast<unsigned>(std::countr_zero(rest));
      CHECK(mapped_[s]);
      const auto frame = copy_descriptor(mapped_[s]->data());
      std::string why;
      CHECK(frame.seq == control_.header().slot[s].seq.load());
      CHECK(valid_descriptor(frame, headers_[s], why));
      const std::byte* const pixels =
          mapped_[s]->data() + headers_[s].pixels_offset + frame.data_offset;
      CHECK(shows(pixels, frame.data_bytes, frame.offset));
    }
    if (expect_.alive && cfg.state == layout::PageState::active) {
      auto probe = LockFd::open(control_name(channel_), O_RDWR, 0);
      CHECK(probe.held_by_other(layout::kReaderByte + r));
    }
  }

  const std::string channel_;
  const Expect expect_;
  ControlMap control_;
  std::shared_ptr<ShmObject> mapped_[layout::kSlots];
  layout::DataHeader headers_[layout::kSlots]{};
};

}  // namespace support
