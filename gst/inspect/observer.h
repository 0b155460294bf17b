// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Looking at channels from outside, without being noticed: which there are, who writes
// and reads them, what lies in them. It never attaches, takes no lock, maps nothing,
// writes nothing and needs no more than read permission (PROTOCOL.md, section 14).
// Everything is copied once and checked; texts of peers are plain (text.h), numbers are
// what the peers say. Any thread; nothing here blocks.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "transport/layout.h"
#include "transport/reader.h"

namespace possum::inspect {

namespace layout = transport::layout;

enum class ChannelCondition {
  ready,         // a writer is there
  eos,           // and says that no frame follows for now
  setting_up,    // a writer is about to be there
  dead,          // no writer, but names that a dead one left
  absent,        // no such name
  unreadable,    // this user may not look, or the system refuses
  incompatible,  // of another layout version: little is known
  damaged,       // no possum channel, or nonsense
};
// One word, such as "ready" or "setting-up".
const char* text_of(ChannelCondition condition);

// A reader page that is in use. Names and numbers are the reader's own words.
struct ObservedReader {
  unsigned index = 0;
  std::uint32_t epoch = 0;  // another one, another reader
  layout::PageState state = layout::PageState::free;
  bool alive = false;  // false: it died, the writer is about to clear the page
  layout::Policy policy = layout::Policy::drop_oldest;
  unsigned depth = 1;    // frames that may wait for it
  bool demoted = false;  // was blocking, until it did not move for too long
  std::uint32_t pid = 0;
  std::string name;
  std::uint32_t offered = 0;  // bit s: slot s waits for it
  std::uint32_t taken = 0;    // bit s: it holds slot s
  std::uint64_t frames = 0;   // delivered
  std::uint64_t missed = 0;   // dropped for it
  std::uint64_t copied = 0;   // delivered as private copies, as slots were short
};

struct ObservedSlot {
  unsigned index = 0;
  std::uint64_t seq = 0;     // of the frame in it, 0: none yet
  std::uint32_t object = 0;  // number of its data object, never 0
  std::uint64_t bytes = 0;   // of the whole object
};

// The newest frame that is still there.
struct ObservedFrame {
  unsigned slot = 0;
  std::uint64_t seq = 0;
  std::uint64_t bytes = 0;    // of pixels
  std::uint32_t caps_id = 0;  // another one, other caps
  std::string caps;           // "" unless it is plain text
};

struct ObservedChannel {
  std::string name;
  ChannelCondition condition = ChannelCondition::absent;
  std::string problem;  // a sentence for a person where the condition needs one
  // Of the control object; known unless absent or left without one.
  std::optional<uid_t> owner;
  gid_t group = 0;
  unsigned mode = 0;
  // Files in the shm mount that a dead writer left, and the memory they keep. Empty if
  // they were not asked for.
  std::vector<std::string> left;
  std::uint64_t left_bytes = 0;

  // Of ready and eos from here on; pid and name of an incompatible one, too.
  std::uint32_t pid = 0;  // in the writer's PID namespace
  std::string writer;     // its command's name
  std::uint64_t incarnation = 0;
  std::uint32_t version = 0;
  bool attachable = true;  // false: of another word size or C library; see `problem`
  bool allows_blocking = false;
  std::uint64_t frames = 0;  // published
  std::uint64_t bytes = 0;   // of these
  std::uint64_t zero_copy = 0;
  std::uint64_t copied = 0;
  std::uint64_t no_slot = 0;                    // dropped by the writer
  std::optional<std::int64_t> last_publish_ns;  // CLOCK_MONOTONIC of this process
  std::int64_t looked_ns = 0;                   // when all this was seen, same clock
  std::vector<ObservedSlot> slots;              // those that have an object
  std::vector<ObservedReader> readers;
  std::optional<ObservedFrame> frame;
  std::string frame_problem;  // why there is no frame or no caps, if there should be

  bool live() const {
    return condition == ChannelCondition::ready || condition == ChannelCondition::eos;
  }
  unsigned attached() const;         // living readers
  std::uint32_t held() const;        // bit s: some reader holds slot s
  std::uint64_t pool_bytes() const;  // of all data objects
};

// What the files of the shm mount say about a channel by their names alone.
struct ChannelFiles {
  std::string channel;
  bool control = false;           // is there a control object?
  std::vector<std::string> data;  // data objects; names without a slash
};

// Anybody may make as many names as there is room for in the mount. Those of this user
// and of root are all listed; of each other user so many are, and the rest is left out.
inline constexpr unsigned kMaxChannelsOfOthers = 1024;
inline constexpr unsigned kMaxDataOfOthers = 32 * kMaxChannelsOfOthers;

// Every channel with any file, ordered by name. Reads the mount once, with a system call
// for each name of a channel. `complete`: was nothing left out? False if the mount cannot
// be listed.
bool list_channels(std::vector<ChannelFiles>& channels, Error& error,
                   bool* complete = nullptr);

// Looks at one channel. Costs some hundred system calls at most, whatever peers do, and
// one for each of `files.data` if the writer is dead: they are what it left.
ObservedChannel observe_channel(const ChannelFiles& files);
// The same, but reads the mount for what a dead writer left.
ObservedChannel observe_channel(const std::string& channel);

// The caps of the newest frame that a reader with these options would get, without
// attaching. Nothing where there is no frame, or no channel that it may attach to. Any
// thread; waits for nobody.
std::optional<std::string> newest_caps(const transport::ReaderOptions& options);

}  // namespace possum::inspect
