// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "observer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstring>
#include <map>
#include <memory>

#include "base/byte_lock.h"
#include "base/clock.h"
#include "base/shm_object.h"
#include "base/text.h"
#include "base/users.h"
#include "channel/errors.h"
#include "channel/names.h"
#include "transport/control.h"
#include "transport/descriptor.h"
#include "transport/offer.h"
#include "transport/open.h"

namespace possum::inspect {
namespace {

constexpr auto kRelaxed = std::memory_order_relaxed;
// A channel that is replaced while it is looked at is looked at again; so is a frame.
constexpr int kMaxLooks = 4;
constexpr int kMaxFrameLooks = 8;
// For so long an object without bytes may be a writer's first step.
constexpr std::int64_t kSetUpNs = kNanosecondsPerSecond;

// A copy of what may change. Each word is right by itself; they need not go together.
struct Snapshot {
  layout::ControlHeader header{};
  std::array<layout::ReaderPage, layout::kReaders> pages{};
};

// Everything is copied from the object itself: it may be cut short at any time, so
// nothing is mapped.

// With the unit_bytes of a checked header.
bool copy_all(int fd, std::size_t unit, Snapshot& copy) {
  if (!copy_bytes(fd, 0, static_cast<void*>(&copy.header), sizeof copy.header))
    return false;
  for (unsigned r = 0; r < layout::kReaders; ++r) {
    if (!copy_bytes(fd, (layout::kReaderUnit + r) * unit,
                    static_cast<void*>(&copy.pages[r]), sizeof copy.pages[r])) {
      return false;
    }
  }
  return true;
}

// `bytes` holds a NUL-terminated text, or nonsense.
std::string name_text(const char* bytes, std::size_t size) {
  return plain_text({bytes, strnlen(bytes, size)});
}

std::string reader_name(const layout::ReaderPage& page) {
  std::array<char, layout::kNameBytes> bytes{};
  for (std::size_t i = 0; i < layout::kNameBytes / 8; ++i) {
    const std::uint64_t part = page.name[i].load(kRelaxed);
    std::memcpy(bytes.data() + 8 * i, &part, sizeof part);
  }
  return name_text(bytes.data(), bytes.size());
}

// None if it has not been yet.
std::optional<std::int64_t> past_time(std::int64_t time_ns, std::int64_t now_ns) {
  if (time_ns <= 0 || time_ns > now_ns) return std::nullopt;
  return time_ns;
}

bool refused(int error_number) { return error_number == EACCES || error_number == EPERM; }

// --- the control object ----------------------------------------------------------------

void fail(ObservedChannel& seen, ChannelCondition condition, std::string problem) {
  seen.condition = condition;
  seen.problem = std::move(problem);
}

void note_file(const struct stat& info, ObservedChannel& seen) {
  seen.owner = info.st_uid;
  seen.group = info.st_gid;
  seen.mode = info.st_mode & 07777;
}

void cannot_open(int error_number, ObservedChannel& seen) {
  if (refused(error_number)) {
    fail(seen, ChannelCondition::unreadable,
         *seen.owner == geteuid()
             ? std::string("its mode keeps even its owner out: the next writer, or "
                           "\"possum clean\", removes it")
             : "this user may not look at it: it belongs to user " +
                   user_text(*seen.owner) +
                   ", whose writer can set perms=0660 and group=");
  } else if (error_number == ELOOP) {
    fail(seen, ChannelCondition::damaged, "its name is taken by a symbolic link");
  } else {
    fail(seen, ChannelCondition::unreadable,
         shm_error("its control object cannot be opened", "open", error_number).message);
  }
}

// Notes what a copied header says of its writer, and why this program cannot look
// further, if it cannot (PROTOCOL.md, section 13).
bool header_usable(const layout::ControlHeader& header, std::uint64_t bytes,
                   ObservedChannel& seen) {
  using transport::HeaderFault;
  const HeaderFault fault = transport::check_header(header, bytes);
  if (fault == HeaderFault::no_channel) {
    fail(seen, ChannelCondition::damaged, "its control object is not one of possum");
    return false;
  }
  seen.pid = header.writer_pid;
  seen.writer = name_text(header.writer_name, sizeof header.writer_name);
  seen.version = header.version;
  switch (fault) {
    case HeaderFault::other_version:
      fail(seen, ChannelCondition::incompatible,
           "its writer speaks layout " + std::to_string(header.version) +
               ", this program layout " + std::to_string(layout::kVersion));
      return false;
    case HeaderFault::damaged:
      fail(seen, ChannelCondition::damaged,
           "its control object is damaged or truncated: restart its writer");
      return false;
    case HeaderFault::other_machine:
      seen.attachable = false;
      seen.problem =
          "its writer has another word size or C library: readers like this program "
          "cannot attach";
      return true;
    default:
      return true;
  }
}

void note_statistics(const layout::ControlHeader& header, ObservedChannel& seen) {
  const layout::ChannelStatistics& s = header.statistics;
  seen.incarnation = header.incarnation;
  seen.allows_blocking = (header.flags & layout::kAllowBlocking) != 0;
  seen.frames = s.frames.load(kRelaxed);
  seen.bytes = s.bytes.load(kRelaxed);
  seen.zero_copy = s.zero_copy.load(kRelaxed);
  seen.copied = s.copied.load(kRelaxed);
  seen.no_slot = s.no_slot.load(kRelaxed);
  seen.looked_ns = monotonic_ns();
  seen.last_publish_ns = past_time(s.last_publish_ns.load(kRelaxed), seen.looked_ns);
}

void note_slots(const layout::ControlHeader& header, ObservedChannel& seen) {
  for (unsigned s = 0; s < layout::kSlots; ++s) {
    const layout::SlotEntry& entry = header.slot[s];
    const std::uint32_t object = entry.object.load(kRelaxed);
    if (object == 0) continue;
    seen.slots.push_back({s, entry.seq.load(kRelaxed), object,
                          std::uint64_t{entry.pages.load(kRelaxed)} * 4096});
  }
}

void note_reader(unsigned index, const layout::ReaderPage& page, const LockFd& fd,
                 ObservedChannel& seen) {
  const layout::Config cfg = layout::unpack(page.cfg.load(kRelaxed));
  std::uint32_t there = 0;
  for (const ObservedSlot& slot : seen.slots) there |= transport::slot_bit(slot.index);
  const std::uint64_t word = page.word.load(kRelaxed);
  ObservedReader reader;
  reader.taken = layout::taken_of(word) & there;
  // A free page holds nothing, unless its last reader lied when it left.
  if (cfg.state == layout::PageState::free && reader.taken == 0) return;
  reader.offered = layout::offered_of(word) & there;
  reader.index = index;
  reader.epoch = cfg.epoch;
  reader.state = cfg.state;
  reader.alive = fd.held_by_other(layout::kReaderByte + index);
  reader.policy = cfg.policy;
  reader.depth = cfg.depth;
  reader.demoted = (page.grant.load(kRelaxed) & layout::kDemoted) != 0;
  reader.pid = page.pid.load(kRelaxed);
  reader.name = reader_name(page);
  reader.frames = page.frames.load(kRelaxed);
  reader.missed = page.missed.load(kRelaxed);
  reader.copied = page.copied.load(kRelaxed);
  seen.readers.push_back(std::move(reader));
}

// --- the newest frame ------------------------------------------------------------------

// A slot that is the newest or stands in any word is not written, and once it is free it
// comes back into view only with another sequence number. So what was copied between two
// looks that see it under one number is whole.
std::uint32_t slots_in_view(const Snapshot& copy) {
  const std::uint32_t latest = copy.header.latest.load(kRelaxed);
  std::uint32_t mask =
      latest >= 1 && latest <= layout::kSlots ? transport::slot_bit(latest - 1) : 0;
  for (const layout::ReaderPage& page : copy.pages) {
    const std::uint64_t word = page.word.load(kRelaxed);
    mask |= layout::offered_of(word) | layout::taken_of(word);
  }
  return mask;
}

struct SlotNow {
  unsigned slot = 0;
  std::uint64_t seq = 0;
  std::uint32_t object = 0;
};

SlotNow slot_now(const Snapshot& copy, unsigned slot) {
  const layout::SlotEntry& entry = copy.header.slot[slot];
  return {slot, entry.seq.load(kRelaxed), entry.object.load(kRelaxed)};
}

std::optional<SlotNow> newest_slot(const Snapshot& copy) {
  std::optional<SlotNow> newest;
  for (std::uint32_t rest = slots_in_view(copy); rest != 0; rest &= rest - 1) {
    const SlotNow now = slot_now(copy, static_cast<unsigned>(std::countr_zero(rest)));
    if (now.object != 0 && now.seq != 0 && (!newest || now.seq > newest->seq)) {
      newest = now;
    }
  }
  return newest;
}

bool still_in_view(const Snapshot& copy, const SlotNow& then) {
  const SlotNow now = slot_now(copy, then.slot);
  return (slots_in_view(copy) & transport::slot_bit(then.slot)) != 0 &&
         now.seq == then.seq && now.object == then.object;
}

enum class Copied { whole, torn, never };

// `why` is set for what looking again would not change.
Copied copy_frame(const ObservedChannel& seen, const SlotNow& now, ObservedFrame& frame,
                  std::string& why) {
  const UniqueFd fd(shm_open(data_name(seen.name, seen.incarnation, now.object).c_str(),
                             O_RDONLY | O_NONBLOCK, 0));
  if (!fd) {
    const int reason = errno;
    if (reason == ENOENT) return Copied::torn;  // replaced, perhaps
    why = refused(reason)
              ? std::string("this user may not look at its frames")
              : shm_error("its frames cannot be opened", "shm_open", reason).message;
    return Copied::never;
  }
  struct stat info {};
  layout::DataHeader header{};
  layout::FrameDescriptor descriptor{};
  if (fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode) ||
      info.st_uid != seen.owner || info.st_nlink > 1 ||
      !copy_bytes(fd.get(), 0, &header, sizeof header) ||
      !transport::valid_data_header(header, static_cast<std::size_t>(info.st_size),
                                    seen.incarnation, now.object, now.slot)) {
    return Copied::torn;
  }
  std::string fault;
  if (!copy_bytes(fd.get(), sizeof header, &descriptor, sizeof descriptor) ||
      descriptor.seq != now.seq ||
      !transport::valid_descriptor(descriptor, header, fault)) {
    return Copied::torn;
  }
  std::string caps(descriptor.caps_bytes, '\0');
  if (!copy_bytes(fd.get(), header.caps_offset, caps.data(), caps.size())) {
    return Copied::torn;
  }
  frame = {now.slot, now.seq, descriptor.data_bytes, descriptor.caps_id, {}};
  if (is_plain_text(caps)) frame.caps = std::move(caps);
  return Copied::whole;
}

// Begins with `copy` and renews it.
void note_frame(int fd, std::size_t unit, Snapshot& copy, ObservedChannel& seen) {
  std::string why = "its frames change too fast to be looked at, or are damaged";
  for (int look = 0; look < kMaxFrameLooks; ++look) {
    const std::optional<SlotNow> newest = newest_slot(copy);
    if (!newest) return;
    ObservedFrame frame;
    const Copied result = copy_frame(seen, *newest, frame, why);
    if (result == Copied::never) break;
    if (!copy_all(fd, unit, copy)) break;
    if (result == Copied::whole && still_in_view(copy, *newest)) {
      if (frame.caps.empty()) seen.frame_problem = "the caps of its frames are no text";
      seen.frame = std::move(frame);
      return;
    }
  }
  seen.frame_problem = why;
}

// --- the whole channel -----------------------------------------------------------------

ObservedChannel nothing_of(const std::string& channel) {
  ObservedChannel nothing;
  nothing.name = channel;
  return nothing;
}

bool fresh(const struct stat& info) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  const std::int64_t age_ns =
      (std::int64_t{now.tv_sec} - info.st_ctim.tv_sec) * kNanosecondsPerSecond +
      now.tv_nsec - info.st_ctim.tv_nsec;
  return age_ns >= 0 && age_ns < kSetUpNs;
}

// Collects names, and stops at what each other user may have in a list.
class Collector {
 public:
  // Of a file under `directory`, whose name says that.
  void add(int directory, const char* file, FileName name) {
    struct stat info {};
    if (fstatat(directory, file, &info, AT_SYMLINK_NOFOLLOW) != 0) return;  // gone
    if (info.st_uid != geteuid() && info.st_uid != 0) {
      Count& count = of_others_[info.st_uid];
      unsigned& so_many = name.control ? count.channels : count.data;
      if (so_many == (name.control ? kMaxChannelsOfOthers : kMaxDataOfOthers)) {
        complete_ = false;
        return;
      }
      ++so_many;
    }
    ChannelFiles& files = found_[name.channel];
    if (name.control) {
      files.control = true;
    } else {
      files.data.emplace_back(file);
    }
  }
  bool complete() const { return complete_; }
  // Once.
  std::vector<ChannelFiles> channels() {
    std::vector<ChannelFiles> channels;
    for (auto& [channel, files] : found_) {
      files.channel = channel;
      std::sort(files.data.begin(), files.data.end());
      channels.push_back(std::move(files));
    }
    return channels;
  }

 private:
  struct Count {
    unsigned channels = 0;
    unsigned data = 0;
  };
  std::map<uid_t, Count> of_others_;
  std::map<std::string, ChannelFiles> found_;
  bool complete_ = true;
};

// Every file of `only`, or of all channels if that is empty.
bool read_mount(const std::string& only, std::vector<ChannelFiles>& channels,
                bool& complete, Error& error) {
  const std::unique_ptr<DIR, int (*)(DIR*)> dir(opendir(kShmDirectory), &closedir);
  if (!dir) {
    error = shm_error(std::string(kShmDirectory) + " cannot be listed", "opendir", errno);
    return false;
  }
  Collector collector;
  while (const dirent* entry = readdir(dir.get())) {
    auto name = parse_file_name(entry->d_name);
    if (!name || (!only.empty() && name->channel != only)) continue;
    collector.add(dirfd(dir.get()), entry->d_name, std::move(*name));
  }
  channels = collector.channels();
  complete = collector.complete();
  return true;
}

void note_left(const ChannelFiles* files, ObservedChannel& seen) {
  std::vector<ChannelFiles> channels;
  bool complete = true;
  Error error;
  if (files == nullptr && read_mount(seen.name, channels, complete, error) &&
      !channels.empty()) {
    files = &channels.front();
  }
  if (files == nullptr) return;
  if (files->control) seen.left.push_back(control_name(seen.name).substr(1));
  seen.left.insert(seen.left.end(), files->data.begin(), files->data.end());
  for (const std::string& file : seen.left) {
    if (const auto info = stat_name("/" + file)) {
      seen.left_bytes += static_cast<std::uint64_t>(info->st_blocks) * 512;
    }
  }
}

void say_dead(ObservedChannel& seen) {
  fail(seen, ChannelCondition::dead,
       "its writer is gone; the next one, or \"possum clean\", removes what it left");
}

// Of a channel whose owner lock is held.
void look_inside(const LockFd& fd, std::uint64_t bytes, ObservedChannel& seen) {
  const auto copy = std::make_unique<Snapshot>();
  layout::ControlHeader& header = copy->header;
  if (bytes < sizeof header || !transport::read_header(fd.get(), header)) {
    seen.condition = ChannelCondition::setting_up;
    return;
  }
  if (!header_usable(header, bytes, seen)) return;
  const std::size_t unit = header.unit_bytes;
  if (!copy_all(fd.get(), unit, *copy)) {
    fail(seen, ChannelCondition::damaged, "its control object was truncated");
    return;
  }
  seen.condition =
      header.state.load(kRelaxed) == static_cast<std::uint32_t>(layout::ChannelState::eos)
          ? ChannelCondition::eos
          : ChannelCondition::ready;
  note_statistics(header, seen);
  note_slots(header, seen);
  for (unsigned r = 0; r < layout::kReaders; ++r) {
    note_reader(r, copy->pages[r], fd, seen);
  }
  note_frame(fd.get(), unit, *copy, seen);
}

// False: it was replaced meanwhile. `files`: NULL if they have to be looked for.
bool look(const ChannelFiles* files, ObservedChannel& seen) {
  const std::string name = control_name(seen.name);
  const auto named = stat_name(name);
  if (!named) {
    note_left(files, seen);
    if (!seen.left.empty()) say_dead(seen);
    return true;
  }
  note_file(*named, seen);
  if (!S_ISREG(named->st_mode)) {
    fail(seen, ChannelCondition::damaged,
         "its name is taken by something that is not a shared memory object");
    return true;
  }
  // One object could stand for thousands of channels.
  if (named->st_nlink > 1) {
    fail(seen, ChannelCondition::damaged,
         "its control object has other names as well: remove those that are not its own");
    return true;
  }
  const LockFd fd = LockFd::open(name, O_RDONLY | O_NONBLOCK, 0);
  if (!fd) {
    if (errno == ENOENT) return false;
    cannot_open(errno, seen);
    return true;
  }
  struct stat info {};
  if (fstat(fd.get(), &info) != 0 || info.st_nlink == 0 || info.st_ino != named->st_ino) {
    return false;
  }
  if (fd.held_by_other(layout::kOwnerByte)) {
    look_inside(fd, static_cast<std::uint64_t>(info.st_size), seen);
    if (fd.held_by_other(layout::kOwnerByte)) return true;
    seen = nothing_of(seen.name);  // what a dead writer left says nothing
    note_file(info, seen);
  }
  if (info.st_size == 0 && fresh(info)) {
    seen.condition = ChannelCondition::setting_up;
    return true;
  }
  if (fstat(fd.get(), &info) != 0 || info.st_nlink == 0) return false;
  say_dead(seen);
  note_left(files, seen);
  return true;
}

}  // namespace

const char* text_of(ChannelCondition condition) {
  switch (condition) {
    case ChannelCondition::ready:
      return "ready";
    case ChannelCondition::eos:
      return "eos";
    case ChannelCondition::setting_up:
      return "setting-up";
    case ChannelCondition::dead:
      return "dead";
    case ChannelCondition::absent:
      return "absent";
    case ChannelCondition::unreadable:
      return "unreadable";
    case ChannelCondition::incompatible:
      return "incompatible";
    case ChannelCondition::damaged:
      return "damaged";
  }
  return "?";
}

unsigned ObservedChannel::attached() const {
  return static_cast<unsigned>(
      std::count_if(readers.begin(), readers.end(), [](const ObservedReader& r) {
        return r.alive && r.state == layout::PageState::active;
      }));
}

std::uint32_t ObservedChannel::held() const {
  std::uint32_t mask = 0;
  for (const ObservedReader& reader : readers) mask |= reader.taken;
  return mask;
}

std::uint64_t ObservedChannel::pool_bytes() const {
  std::uint64_t sum = 0;
  for (const ObservedSlot& slot : slots) sum += slot.bytes;
  return sum;
}

bool list_channels(std::vector<ChannelFiles>& channels, Error& error, bool* complete) {
  bool all = true;
  const bool done = read_mount({}, channels, all, error);
  if (complete != nullptr) *complete = all;
  return done;
}

namespace {

ObservedChannel observe(const std::string& channel, const ChannelFiles* files) {
  ObservedChannel seen;
  if (!valid_channel_name(channel)) {
    fail(seen, ChannelCondition::absent, channel_name_error(plain_text(channel)).message);
    return seen;
  }
  for (int looks = 0; looks < kMaxLooks; ++looks) {
    seen = nothing_of(channel);
    if (look(files, seen)) return seen;
  }
  // It comes and goes: there is nothing to see yet.
  seen = nothing_of(channel);
  seen.condition = ChannelCondition::setting_up;
  return seen;
}

}  // namespace

ObservedChannel observe_channel(const ChannelFiles& files) {
  return observe(files.channel, &files);
}

ObservedChannel observe_channel(const std::string& channel) {
  return observe(channel, nullptr);
}

std::optional<std::string> newest_caps(const transport::ReaderOptions& options) {
  const ObservedChannel seen = observe_channel(ChannelFiles{options.channel, true, {}});
  if (!seen.live() || !seen.attachable || !seen.owner || !seen.frame ||
      seen.frame->caps.empty() || !transport::owner_accepted(options, *seen.owner)) {
    return std::nullopt;
  }
  return seen.frame->caps;
}

}  // namespace possum::inspect
