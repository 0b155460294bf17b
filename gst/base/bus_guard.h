// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// What keeps a process alive when somebody truncates shared memory under it: a SIGBUS
// handler that replaces the whole mapping by zeros and remembers that it did. And when
// the process itself writes to what it may only look at: a SIGSEGV handler that makes the
// memory writable, where what is written is the process's own. A signal disposition
// belongs to the application, so nothing is installed unless it asks.
#pragma once

#include <cstddef>
#include <cstdint>

namespace possum {

// From here on a fault in a GuardedRegion, also in one made before, is survived. All
// other SIGBUS goes to the handler that was there before. Once for the process and for
// good; a handler that the application installs later wins, unless it calls this one.
// Of no use to a thread that blocks SIGBUS: the kernel ends the process then.
void install_bus_guard();

// From here on a write to what GuardedRegion::make_drawable() named is let through. As
// above otherwise. While there is such memory, a SIGSEGV that a thread of this process
// sends by raise() does nothing: so Python's faulthandler, where it is enabled later and
// says of such a write that it was fatal, passes it on.
void install_draw_guard();

// Changes whenever a region was replaced: a cheap "nothing happened" for all of them.
std::uint64_t bus_faults();

// One mapping, known to the handler while this lives. To be destroyed before the
// addresses are given back, and by nobody while a thread still touches them.
class GuardedRegion {
 public:
  // `protection` as in mmap(2); what replaces the region has it too. With kMaxRegions
  // registered this one stays unguarded.
  GuardedRegion(void* begin, std::size_t bytes, int protection);
  ~GuardedRegion();
  GuardedRegion(const GuardedRegion&) = delete;
  GuardedRegion& operator=(const GuardedRegion&) = delete;

  void set_protection(int protection);
  // From `offset` on, a multiple of the page size, the region is a private mapping
  // without write access, and the first write to it makes all of that writable.
  void make_drawable(std::size_t offset);
  // Was it written to since the last restore()?
  bool drawn() const;
  // Takes write access and what was written back; nobody may touch the region meanwhile.
  // False: the kernel would not, and the region still shows what was written.
  bool restore();
  // Was it replaced by zeros? Never taken back.
  bool damaged() const;

  static constexpr std::size_t kMaxRegions = 4096;

 private:
  static constexpr std::size_t kNone = kMaxRegions;
  std::size_t index_ = kNone;
};

}  // namespace possum
