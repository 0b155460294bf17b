// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
#include "channel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <vector>

#include "base/text.h"
#include "crash_point.h"
#include "doorbell.h"

namespace possum::transport {
namespace {

constexpr std::size_t kMaxName = 120;
constexpr std::size_t kDataSuffix = 1 + 16 + 1 + 8;  // .INCARNATION.OBJECT
constexpr std::size_t kObjectDigits = 8;
constexpr char kControlPrefix[] = "/possum-c.";
constexpr char kDataPrefix[] = "/possum-d.";

bool name_char(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
         c == '_';
}
bool hex_char(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

std::string quoted(std::string_view channel) {
  return "channel \"" + std::string(channel) + "\"";
}

Error foreign_owner(std::string_view channel, uid_t owner, bool reading) {
  const std::string user = user_text(owner);
  return make_error(
      ErrorCode::not_owner,
      quoted(channel) + " belongs to user " + user + ": " +
          (reading ? "accept it with allowed-owner=" + std::to_string(owner) +
                         " or choose another one with channel="
                   : "choose another name with channel="),
      "owner uid " + std::to_string(owner) + ", own uid " + std::to_string(geteuid()));
}

const char* kind_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFLNK:
      return "a symbolic link";
    case S_IFDIR:
      return "a directory";
    case S_IFIFO:
      return "a FIFO";
    case S_IFSOCK:
      return "a socket";
    case S_IFREG:
      return "a file";
    default:
      return "a device";
  }
}

// What is under the name of a channel and is none. Names of others are theirs to remove,
// or root's.
Error name_taken(std::string_view channel, ErrorCode code, const std::string& what) {
  const std::string path = kShmDirectory + control_name(channel);
  const auto info = stat_name(control_name(channel));
  const std::string kind = info && !S_ISREG(info->st_mode)
                               ? std::string(" (") + kind_of(info->st_mode) + ")"
                               : "";
  const bool own = !info || info->st_uid == geteuid() || geteuid() == 0;
  return make_error(code,
                    "The name of " + quoted(channel) + " is taken by something that is " +
                        what + kind + ": " +
                        (own ? "" : "let user " + user_text(info->st_uid) + " or root ") +
                        "remove it (" + path + ") or choose another name with channel=",
                    path);
}

Error not_an_object(std::string_view channel, ErrorCode code) {
  return name_taken(channel, code, "not a shared memory object");
}

// Who owns a name that cannot be opened.
std::optional<uid_t> owner_of_name(const std::string& name) {
  const auto info = stat_name(name);
  return info ? std::optional(info->st_uid) : std::nullopt;
}

// Makes a leftover object of this user readable for it again: a umask may have hidden
// even the owner's bits from a writer that died before it could change that.
bool unlock_own_name(const std::string& name) {
  struct stat info {};
  const std::string path = kShmDirectory + name;
  const int reason = errno;
  const bool done = lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) &&
                    info.st_uid == geteuid() && (info.st_mode & 0600) != 0600 &&
                    chmod(path.c_str(), (info.st_mode & 0777) | 0600) == 0;
  errno = reason;
  return done;
}

bool leads_to(const std::string& name, int fd) {
  struct stat ours {};
  const auto named = stat_name(name);
  return named && fstat(fd, &ours) == 0 && named->st_ino == ours.st_ino;
}

// Of /proc/DIRECTORY/stat, field 22; the second field is in parentheses and may hold
// anything. 0: there is no such process, or no /proc.
std::uint64_t process_start_ticks(const std::string& directory) {
  std::ifstream file("/proc/" + directory + "/stat");
  std::string text;
  std::getline(file, text, '\0');  // the process may end meanwhile: then there is none
  std::size_t at = text.rfind(')');
  if (at == std::string::npos) return 0;
  for (int field = 2; field < 22 && at != std::string::npos; ++field) {
    at = text.find(' ', at + 1);
  }
  return at == std::string::npos ? 0 : std::strtoull(text.c_str() + at, nullptr, 10);
}

// As files in the shm mount: no leading slash.
std::string data_prefix(std::string_view channel) {
  return std::string(kDataPrefix + 1) + std::string(channel) + ".";
}

std::string hex16(std::uint64_t value) {
  char text[17];
  std::snprintf(text, sizeof text, "%016" PRIx64, value);
  return text;
}

// Does the file end as data names do? The suffix has a fixed width, so the part before it
// is a whole channel name even where channel names contain dots.
bool is_data_name(std::string_view file) {
  if (file.size() <= kDataSuffix) return false;
  const std::string_view suffix = file.substr(file.size() - kDataSuffix);
  return suffix[0] == '.' && suffix[17] == '.' &&
         std::all_of(suffix.begin() + 1, suffix.begin() + 17, hex_char) &&
         std::all_of(suffix.begin() + 18, suffix.end(), hex_char);
}

// Calls remove() with each name of a data object that is `prefix` with exactly `rest`
// characters more. One after the other: other users can make any number of such names.
template <class Remove>
void for_data_names(const std::string& prefix, std::size_t rest, Remove remove) {
  DIR* const dir = opendir(kShmDirectory);
  if (dir == nullptr) return;
  while (const dirent* entry = readdir(dir)) {
    const std::string_view file = entry->d_name;
    if (file.size() == prefix.size() + rest && file.starts_with(prefix) &&
        is_data_name(file)) {
      remove("/" + std::string(file));
    }
  }
  closedir(dir);
}

// Who holds a name, and what to do about it. A process id is one in its own namespace: it
// is told only where it leads to the process that began when the writer did.
std::string holder_text(std::string_view channel, const layout::ControlHeader& header) {
  const std::string pid = std::to_string(header.writer_pid);
  const std::string name =
      plain_text({header.writer_name, strnlen(header.writer_name, layout::kNameBytes)});
  const bool own = header.writer_pid == static_cast<std::uint32_t>(getpid()) &&
                   header.writer_start == process_start_ticks("self");
  // Or nobody can tell: without /proc.
  const bool here = header.writer_start == process_start_ticks(pid);
  const std::string who = own    ? "this process"
                          : here ? "pid " + pid
                                 : "a process of another namespace, there pid " + pid;
  const std::string remedy = own    ? "close its writer"
                             : here ? "stop it"
                                    : "stop it there";
  return quoted(channel) + " is already written by " + who +
         (name.empty() ? "" : " (" + name + ")") + ": " + remedy +
         " or choose another name with channel=";
}

// What stands in the way of a claim, for the person who wants to write.
Error busy_error(std::string_view channel, int fd) {
  layout::ControlHeader header{};
  const bool known =
      pread(fd, static_cast<void*>(&header), sizeof header, 0) == sizeof header &&
      header.magic == layout::kControlMagic;
  return make_error(ErrorCode::busy,
                    known
                        ? holder_text(channel, header)
                        : quoted(channel) +
                              " is already written by another process: stop it or choose "
                              "another name with channel=",
                    "the owner lock of " + control_name(channel) + " is held");
}

void fill_header(layout::ControlHeader& header, std::uint64_t incarnation,
                 bool allow_blocking) {
  header.magic = layout::kControlMagic;
  POSSUM_CRASH_POINT("claim.magic");
  header.version = layout::kVersion;
  header.abi = abi_word();
  header.header_bytes = sizeof header;
  header.unit_bytes = static_cast<std::uint32_t>(unit_bytes());
  header.readers = layout::kReaders;
  header.slots = layout::kSlots;
  header.object_bytes = control_bytes();
  header.sem_bytes = sizeof(sem_t);
  semaphore_image(header.sem_image);
  header.incarnation = incarnation;
  header.writer_pid = static_cast<std::uint32_t>(getpid());
  header.writer_start = process_start_ticks("self");
  if (allow_blocking) header.flags |= layout::kAllowBlocking;
  const std::string name = process_name();
  std::memcpy(header.writer_name, name.data(),
              std::min(name.size(), layout::kNameBytes - 1));
  header.reserve.store(1, std::memory_order_relaxed);
  POSSUM_CRASH_POINT("claim.header");
}

bool map_semaphores(int fd, Claim& claim, Error& error) {
  const auto map = [&](std::unique_ptr<SemaphoreMapping>& mapping, unsigned unit) {
    mapping = SemaphoreMapping::map(fd, unit, error);
    return mapping != nullptr;
  };
  bool good = map(claim.room_semaphore, layout::kRoomUnit) &&
              map(claim.attention_semaphore, layout::kAttentionUnit);
  for (unsigned r = 0; r < layout::kReaders && good; ++r) {
    good = map(claim.reader_semaphores[r], layout::kReaderUnit + r);
  }
  return good;
}

// Turns an object that only we can see into a channel.
bool set_up_control(const ClaimOptions& options, Claim& claim, Error& error) {
  const std::string name = control_name(options.channel);
  struct stat ours {};
  struct stat seen {};
  // The umask may have taken the owner's own bits away.
  if (fchmod(claim.lock.get(), 0600) != 0) {
    error = system_error(
        ErrorCode::system,
        quoted(options.channel) + " could not be set up: " + error_words(errno), "fchmod",
        errno);
    return false;
  }
  POSSUM_CRASH_POINT("claim.own-mode");
  UniqueFd map_fd(shm_open(name.c_str(), O_RDWR, 0));
  POSSUM_CRASH_POINT("claim.open-again");
  if (!map_fd && errno != ENOENT) {
    error = shm_error(quoted(options.channel) + " could not be set up",
                      "shm_open " + name, errno);
    return false;
  }
  if (!map_fd || fstat(claim.lock.get(), &ours) != 0 || fstat(map_fd.get(), &seen) != 0 ||
      ours.st_ino != seen.st_ino) {
    error = make_error(ErrorCode::busy, quoted(options.channel) + " was replaced",
                       "control object changed while being set up");
    return false;
  }
  POSSUM_CRASH_POINT("claim.stat-both");
  if (!reserve_bytes(map_fd.get(), control_bytes(), error)) return false;
  POSSUM_CRASH_POINT("claim.fallocate");
  auto object =
      ShmObject::map(map_fd.get(), control_bytes(), Access::read_write, true, error);
  if (!object) return false;
  POSSUM_CRASH_POINT("claim.map");
  if (!random_bytes(&claim.incarnation, sizeof claim.incarnation)) {
    error = system_error(ErrorCode::system,
                         "No random numbers are available: " + error_words(errno),
                         "getrandom", errno);
    return false;
  }
  claim.control = ControlMap(std::move(object));
  fill_header(claim.control.header(), claim.incarnation, options.allow_blocking);
  std::memcpy(claim.constants.data(), &claim.control.header(), claim.constants.size());
  if (!map_semaphores(map_fd.get(), claim, error)) return false;
  claim.room().reset();
  claim.attention().reset();
  for (unsigned r = 0; r < layout::kReaders; ++r) {
    claim.bell(r).reset();
    claim.control.page(r).cfg.store(layout::pack({}), std::memory_order_relaxed);
    POSSUM_CRASH_POINT("claim.page");
  }
  claim.control.header().state.store(
      static_cast<std::uint32_t>(layout::ChannelState::ready), std::memory_order_release);
  POSSUM_CRASH_POINT("claim.ready");
  if (!set_group(claim.lock.get(), options.mode, error)) return false;
  POSSUM_CRASH_POINT("claim.group");
  // Last, for two reasons: nobody but this user gets in before the object is ready, and
  // the change of mode is the event that waiting readers see by inotify(7).
  if (!set_mode(claim.lock.get(), options.mode, error)) return false;
  POSSUM_CRASH_POINT("claim.mode");
  return true;
}

}  // namespace

bool random_bytes(void* to, std::size_t bytes) {
  return getrandom(to, bytes, 0) == static_cast<ssize_t>(bytes);
}

bool valid_channel_name(std::string_view name) {
  return !name.empty() && name.size() <= kMaxName && name_char(name.front()) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return name_char(c) || c == '.' || c == '-'; });
}

Error channel_name_error(std::string_view name) {
  return make_error(ErrorCode::settings,
                    "\"" + std::string(name) +
                        "\" is no channel name: use 1 to 120 letters, digits, '_', '-' "
                        "and '.', not starting with '-' or '.'",
                    "channel");
}

std::string control_name(std::string_view channel) {
  return kControlPrefix + std::string(channel);
}

std::string data_name(std::string_view channel, std::uint64_t incarnation,
                      std::uint32_t object) {
  char suffix[kDataSuffix + 1];
  std::snprintf(suffix, sizeof suffix, ".%016" PRIx64 ".%08" PRIx32, incarnation, object);
  return kDataPrefix + std::string(channel) + suffix;
}

std::optional<FileName> parse_file_name(std::string_view file) {
  const std::string_view control = kControlPrefix + 1;
  const std::string_view data = kDataPrefix + 1;
  FileName name;
  if (file.starts_with(control)) {
    name = {std::string(file.substr(control.size())), true};
  } else if (file.starts_with(data) && is_data_name(file)) {
    file.remove_prefix(data.size());
    if (file.size() <= kDataSuffix) return std::nullopt;
    name = {std::string(file.substr(0, file.size() - kDataSuffix)), false};
  } else {
    return std::nullopt;
  }
  if (!valid_channel_name(name.channel)) return std::nullopt;
  return name;
}

std::size_t control_bytes() { return layout::kUnits * unit_bytes(); }

std::uint32_t abi_word() {
#if defined(__GLIBC__)
  constexpr std::uint32_t kLibc = 1;
#else
  constexpr std::uint32_t kLibc = 2;
#endif
  constexpr std::uint32_t kLittle = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 1 : 2;
  return static_cast<std::uint32_t>(8 * sizeof(void*)) | kLittle << 8 | kLibc << 16;
}

std::string process_name() {
  std::ifstream file("/proc/self/comm");
  std::string name;
  std::getline(file, name);
  return name;
}

namespace {

// Puts an empty object of ours, locked, in the place of a dead writer's. In one step:
// between unlinking and creating another user could take the name. Nothing: start over.
LockFd replace_dead(const std::string& channel, std::vector<std::string>& removed) {
  const std::string name = control_name(channel);
  std::uint32_t number = 0;
  if (random_bytes(&number, sizeof number)) {
    // The name of a data object: if we die meanwhile the next writer removes it.
    const std::string spare = data_name(channel, 0, number);
    LockFd lock = LockFd::open(spare, O_RDWR | O_CREAT | O_EXCL, 0600);
    POSSUM_CRASH_POINT("claim.spare");
    if (lock && lock.try_lock(layout::kOwnerByte) == LockFd::Result::ok) {
      POSSUM_CRASH_POINT("claim.spare-lock");
      if (rename((kShmDirectory + spare).c_str(), (kShmDirectory + name).c_str()) == 0) {
        POSSUM_CRASH_POINT("claim.replace");
        removed.push_back(name);
        return lock;
      }
    }
    if (lock) shm_unlink(spare.c_str());
  }
  // No room for two.
  if (shm_unlink(name.c_str()) == 0) removed.push_back(name);
  return {};
}

// Steps 1 to 5 of a claim: a name that leads to an object of ours, locked and empty. What
// was unlinked is added to `removed`.
ClaimStatus claim_name(const std::string& channel, LockFd& claimed,
                       std::vector<std::string>& removed, Error& error) {
  const std::string name = control_name(channel);
  for (;;) {
    LockFd lock = LockFd::open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
    POSSUM_CRASH_POINT("claim.create");
    const bool fresh = static_cast<bool>(lock);
    if (!fresh && errno == EEXIST) {
      lock = LockFd::open(name, O_RDWR | O_NONBLOCK, 0);
      POSSUM_CRASH_POINT("claim.open");
      if (!lock && errno == ENOENT) continue;
      if (!lock && errno == EACCES && unlock_own_name(name)) continue;
      if (!lock && (errno == EACCES || errno == EPERM)) {
        const auto owner = owner_of_name(name);
        if (owner && *owner != geteuid()) {
          error = foreign_owner(channel, *owner, false);
          return ClaimStatus::failed;
        }
      }
      if (!lock &&
          (errno == ELOOP || errno == EINVAL || errno == EISDIR || errno == ENXIO)) {
        error = not_an_object(channel, ErrorCode::system);
        return ClaimStatus::failed;
      }
    }
    if (!lock) {
      error =
          shm_error(quoted(channel) + " could not be created", "shm_open " + name, errno);
      return ClaimStatus::failed;
    }
    struct stat info {};
    if (fstat(lock.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
      error = not_an_object(channel, ErrorCode::system);
      return ClaimStatus::failed;
    }
    POSSUM_CRASH_POINT("claim.stat");
    if (info.st_uid != geteuid()) {
      error = foreign_owner(channel, info.st_uid, false);
      return ClaimStatus::failed;
    }
    switch (lock.try_lock(layout::kOwnerByte)) {
      case LockFd::Result::ok:
        break;
      case LockFd::Result::busy:
        error = busy_error(channel, lock.get());
        return ClaimStatus::busy;
      case LockFd::Result::failed:
        error = system_error(ErrorCode::system,
                             "This kernel refuses open file description locks (" +
                                 error_words(errno) +
                                 "), which possum needs (Linux 3.15 or newer)",
                             "fcntl F_OFD_SETLK", errno);
        return ClaimStatus::failed;
    }
    POSSUM_CRASH_POINT("claim.lock");
    // Only now: the name may have been removed between opening and locking.
    if (fstat(lock.get(), &info) != 0 || info.st_nlink == 0) continue;
    POSSUM_CRASH_POINT("claim.stat-again");
    if (!fresh) {  // a dead writer's; nothing in it is read
      lock = replace_dead(channel, removed);
      if (!lock) continue;
    }
    claimed = std::move(lock);
    return ClaimStatus::ok;
  }
}

// Step 6, under that lock: nothing of the dead stays beside it.
void remove_left(const std::string& name, std::vector<std::string>& removed) {
  if (shm_unlink(name.c_str()) == 0) removed.push_back(name);
  POSSUM_CRASH_POINT("claim.unlink-data");
}

void remove_all_left(const std::string& channel, std::vector<std::string>& removed) {
  for_data_names(data_prefix(channel), kDataSuffix - 1,
                 [&](const std::string& name) { remove_left(name, removed); });
}

void give_up_name(const std::string& channel, const LockFd& claimed) {
  const std::string name = control_name(channel);
  if (leads_to(name, claimed.get())) shm_unlink(name.c_str());
  POSSUM_CRASH_POINT("claim.give-up");
}

}  // namespace

ClaimStatus claim_channel(const ClaimOptions& options, Claim& claim, Error& error) {
  for (;;) {
    std::vector<std::string> removed;
    Claim made;
    const ClaimStatus status = claim_name(options.channel, made.lock, removed, error);
    if (status != ClaimStatus::ok) return status;
    remove_all_left(options.channel, removed);
    if (!set_up_control(options, made, error)) {
      if (error.code == ErrorCode::busy) continue;
      give_up_name(options.channel, made.lock);
      return ClaimStatus::failed;
    }
    made.took_over = !removed.empty();
    claim = std::move(made);
    return ClaimStatus::ok;
  }
}

ClaimStatus clean_channel(const std::string& channel, std::vector<std::string>& removed,
                          Error& error) {
  LockFd lock;
  const ClaimStatus status = claim_name(channel, lock, removed, error);
  if (status != ClaimStatus::ok) return status;
  remove_all_left(channel, removed);
  give_up_name(channel, lock);
  return status;
}

ClaimStatus clean_channel(const std::string& channel,
                          const std::vector<std::string>& data,
                          std::vector<std::string>& removed, Error& error) {
  LockFd lock;
  const ClaimStatus status = claim_name(channel, lock, removed, error);
  if (status != ClaimStatus::ok) return status;
  // A writer that has come and gone since has left other names, for the next one.
  for (const std::string& file : data) remove_left("/" + file, removed);
  give_up_name(channel, lock);
  return status;
}

void remove_names(std::string_view channel, Claim& claim) {
  // First: a reader that misses a data name must see that its channel is being taken down
  // and not that somebody removed frames of a living one.
  if (!name_lost(channel, claim)) {
    POSSUM_CRASH_POINT("stop.stat");
    shm_unlink(control_name(channel).c_str());
    POSSUM_CRASH_POINT("stop.unlink-control");
  }
  // Then: nobody has to wait until the rest is done.
  claim.lock.reset();
  POSSUM_CRASH_POINT("stop.unlock");
  // Only this incarnation's: the channel may have a new owner by now.
  const std::string prefix = data_prefix(channel) + hex16(claim.incarnation) + ".";
  for_data_names(prefix, kObjectDigits, [](const std::string& name) {
    shm_unlink(name.c_str());
    POSSUM_CRASH_POINT("stop.unlink-data");
  });
}

bool name_lost(std::string_view channel, const Claim& claim) {
  return !leads_to(control_name(channel), claim.lock.get());
}

bool control_whole(const Claim& claim) {
  struct stat info {};
  return fstat(claim.lock.get(), &info) == 0 &&
         info.st_size == static_cast<off_t>(control_bytes()) &&
         std::memcmp(&claim.control.header(), claim.constants.data(),
                     claim.constants.size()) == 0;
}

// --- reader side
// --------------------------------------------------------------------------

// A user whose channel's faults are an error. Those of anybody else are a name that is
// taken, even where everybody's channels are accepted.
static bool owner_trusted(const OpenOptions& options, uid_t owner) {
  return trusted_owner(owner) || options.allowed_owner == owner;
}

bool owner_accepted(const OpenOptions& options, uid_t owner) {
  return options.any_owner || owner_trusted(options, owner);
}

namespace {

bool acceptable(const OpenOptions& options, const struct stat& info, Error& error) {
  if (!S_ISREG(info.st_mode)) {
    error = not_an_object(options.channel, ErrorCode::not_found);
    return false;
  }
  const bool asked = options.any_owner || options.allowed_owner == info.st_uid;
  const bool open_to_all = (info.st_mode & S_IWOTH) != 0 && info.st_uid != geteuid();
  if (!owner_accepted(options, info.st_uid) || (open_to_all && !asked)) {
    error = foreign_owner(options.channel, info.st_uid, true);
    return false;
  }
  return true;
}

Error incompatible(std::string_view channel, const std::string& what) {
  return make_error(ErrorCode::incompatible,
                    quoted(channel) + " was made by an incompatible possum (" + what +
                        "): use the same version and C library on both sides",
                    "control header does not match");
}

// Of a sem_t, for people: two C libraries may agree on its size alone.
std::uint32_t checksum(const std::uint8_t (&image)[layout::kSemImageBytes]) {
  std::uint32_t sum = 2166136261;  // FNV-1a
  for (const std::uint8_t byte : image) sum = (sum ^ byte) * 16777619;
  return sum;
}

bool header_matches(const OpenOptions& options, const layout::ControlHeader& header,
                    std::size_t bytes, Error& error) {
  if (header.magic != layout::kControlMagic) {
    error = name_taken(options.channel, ErrorCode::not_found, "no channel");
    return false;
  }
  if (header.version != layout::kVersion) {
    error = incompatible(options.channel, "layout " + std::to_string(header.version) +
                                              ", this is layout " +
                                              std::to_string(layout::kVersion));
    return false;
  }
  std::uint8_t image[layout::kSemImageBytes];
  semaphore_image(image);
  if (header.abi != abi_word() || header.sem_bytes != sizeof(sem_t) ||
      std::memcmp(image, header.sem_image, sizeof image) != 0) {
    char text[128];
    std::snprintf(text, sizeof text,
                  "abi %06x with a %u byte sem_t, this is %06x with %zu; their contents "
                  "%08x and %08x",
                  header.abi, header.sem_bytes, abi_word(), sizeof(sem_t),
                  checksum(header.sem_image), checksum(image));
    error = incompatible(options.channel, text);
    return false;
  }
  if (header.header_bytes != sizeof header || header.unit_bytes != unit_bytes() ||
      header.readers != layout::kReaders || header.slots != layout::kSlots ||
      header.object_bytes != control_bytes() || bytes != control_bytes()) {
    error = make_error(ErrorCode::corrupt,
                       quoted(options.channel) +
                           " is damaged or truncated: restart its "
                           "writer",
                       std::to_string(bytes) + " bytes, header says " +
                           std::to_string(header.object_bytes));
    return false;
  }
  return true;
}

OpenStatus cannot_open(const OpenOptions& options, int error_number, Error& error) {
  if (error_number == ENOENT) {
    struct stat mount {};
    if (stat(kShmDirectory, &mount) == 0) return OpenStatus::absent;
    error =
        shm_error(quoted(options.channel) + " cannot be there without " + kShmDirectory,
                  "stat", errno);
    return OpenStatus::refused;
  }
  if (error_number == EACCES || error_number == EPERM) {
    const auto owner = owner_of_name(control_name(options.channel));
    if (!owner) return OpenStatus::absent;
    if (!owner_accepted(options, *owner)) {
      error = foreign_owner(options.channel, *owner, true);
      return OpenStatus::refused;
    }
    // Perhaps its writer has not set the mode yet.
    error = system_error(ErrorCode::no_permission,
                         quoted(options.channel) + " of user " + user_text(*owner) +
                             " may not be opened by this user: let its writer set "
                             "perms=0660 and group=",
                         "shm_open", error_number);
    return OpenStatus::not_ready;
  }
  if (error_number == ELOOP || error_number == EINVAL || error_number == EISDIR ||
      error_number == ENXIO) {
    error = not_an_object(options.channel, ErrorCode::not_found);
    return OpenStatus::refused;
  }
  error = shm_error(quoted(options.channel) + " could not be opened", "shm_open",
                    error_number);
  // EAGAIN: somebody's lease on the file has to be broken first, see open(2).
  if (error_number == EAGAIN) return OpenStatus::not_ready;
  // Others may have used up what the whole system has.
  return error_number == ENFILE || error_number == ENOMEM ? OpenStatus::refused
                                                          : OpenStatus::failed;
}

}  // namespace

OpenStatus open_control(const OpenOptions& options, OpenControl& open, Error& error) {
  const std::string name = control_name(options.channel);
  LockFd lock = LockFd::open(name, O_RDWR | O_NONBLOCK, 0);
  POSSUM_CRASH_POINT("look.open");
  if (!lock) return cannot_open(options, errno, error);
  UniqueFd map_fd(shm_open(name.c_str(), O_RDWR | O_NONBLOCK, 0));
  POSSUM_CRASH_POINT("look.open-again");
  if (!map_fd) return cannot_open(options, errno, error);
  struct stat info {};
  struct stat mapped {};
  if (fstat(lock.get(), &info) != 0 || fstat(map_fd.get(), &mapped) != 0 ||
      info.st_ino != mapped.st_ino || info.st_nlink == 0) {
    return OpenStatus::not_ready;
  }
  POSSUM_CRASH_POINT("look.stat");
  if (!acceptable(options, info, error)) return OpenStatus::refused;
  const bool alive = lock.held_by_other(layout::kOwnerByte);
  POSSUM_CRASH_POINT("look.owner");
  if (!alive) return OpenStatus::absent;
  if (info.st_size == 0) return OpenStatus::not_ready;

  // Twice: a copy made while the writer fills the header may be torn, one made after the
  // state was seen is not.
  layout::ControlHeader header{};
  for (int look = 0; look < 2; ++look) {
    if (pread(map_fd.get(), static_cast<void*>(&header), sizeof header, 0) !=
            static_cast<ssize_t>(sizeof header) ||
        header.state.load(std::memory_order_acquire) ==
            static_cast<std::uint32_t>(layout::ChannelState::init)) {
      return OpenStatus::not_ready;
    }
    POSSUM_CRASH_POINT("look.header");
  }
  if (!header_matches(options, header, static_cast<std::size_t>(info.st_size), error)) {
    return error.code == ErrorCode::not_found || !owner_trusted(options, info.st_uid)
               ? OpenStatus::refused
               : OpenStatus::failed;
  }
  auto object =
      ShmObject::map(map_fd.get(), control_bytes(), Access::read_only, false, error);
  if (!object) return OpenStatus::failed;
  POSSUM_CRASH_POINT("look.map");
  open.lock = std::move(lock);
  open.map_fd = std::move(map_fd);
  open.control = ControlMap(std::move(object));
  // What the kernel copied orders nothing for this thread: from here on the constant
  // fields and the semaphores may be looked at in the mapping.
  if (open.control.header().state.load(std::memory_order_acquire) ==
      static_cast<std::uint32_t>(layout::ChannelState::init)) {
    return OpenStatus::not_ready;
  }
  open.owner = info.st_uid;
  open.incarnation = header.incarnation;
  return OpenStatus::ok;
}

bool map_own_page(OpenControl& open, unsigned r, Error& error) {
  const int fd = open.map_fd.get();
  const auto unit = [&](std::size_t index) {
    const bool done = open.control.object().make_writable(fd, index * unit_bytes(),
                                                          unit_bytes(), error);
    POSSUM_CRASH_POINT("attach.map");
    return done;
  };
  const auto semaphore = [&](std::unique_ptr<SemaphoreMapping>& mapping, unsigned index) {
    mapping = SemaphoreMapping::map(fd, index, error);
    return mapping != nullptr;
  };
  return unit(layout::kRoomUnit) && unit(layout::kReaderUnit + r) &&
         semaphore(open.room_semaphore, layout::kRoomUnit) &&
         semaphore(open.attention_semaphore, layout::kAttentionUnit) &&
         semaphore(open.own_semaphore, layout::kReaderUnit + r);
}

}  // namespace possum::transport
