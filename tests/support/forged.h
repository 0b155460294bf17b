// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// A channel that looks alive and is whatever the test makes of it: the objects of a real
// writer with one frame, copied to another name whose owner lock the test holds. Include
// it after check.h.
#pragma once

#include <fstream>

#include "base/byte_lock.h"
#include "support/transport.h"

namespace support {

class ForgedChannel {
 public:
  explicit ForgedChannel(const std::string& channel, const std::string& caps = kCaps)
      : channel_(channel) {
    const std::string model = unique_channel();
    const auto writer = open_writer(plain_writer(model));
    publish(*writer, 1, kSmall, caps);
    incarnation_ = writer->incarnation();
    lock_ = LockFd::open(control_name(channel), O_RDWR | O_CREAT | O_EXCL, 0600);
    CHECK(lock_ && lock_.try_lock(layout::kOwnerByte) == LockFd::Result::ok);
    fill(lock_.get(), bytes_of(control_name(model)));
    for (const std::string& original : names_of(model)) {
      if (!original.starts_with("possum-d.")) continue;
      const std::string number = original.substr(original.rfind('.') + 1);
      const std::string name =
          data_name(channel, incarnation_,
                    static_cast<std::uint32_t>(std::stoul(number, nullptr, 16)));
      const UniqueFd fd(
          shm_open(name.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
      CHECK(fd);
      fill(fd.get(), bytes_of("/" + original));
    }
  }
  ~ForgedChannel() {
    for (const std::string& name : names_of(channel_)) {
      std::filesystem::remove_all(kShmDirectory + ("/" + name));
    }
  }
  ForgedChannel(const ForgedChannel&) = delete;
  ForgedChannel& operator=(const ForgedChannel&) = delete;

  const std::string& channel() const { return channel_; }
  int control() const { return lock_.get(); }
  // Of the object that the frame is in.
  std::string data_file() const {
    return data_name(channel_, incarnation_, newest_object());
  }
  UniqueFd data() const {
    UniqueFd fd(shm_open(data_file().c_str(), O_RDWR | O_CLOEXEC, 0));
    CHECK(fd);
    return fd;
  }

  template <class T>
  static void edit(int fd, std::size_t offset, const T& value) {
    CHECK(pwrite(fd, &value, sizeof value, static_cast<off_t>(offset)) == sizeof value);
  }
  template <class T>
  void edit_control(std::size_t offset, const T& value) const {
    edit(control(), offset, value);
  }

  static std::string bytes_of(const std::string& name) {
    std::ifstream file(kShmDirectory + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  static void fill(int fd, const std::string& bytes) {
    CHECK(pwrite(fd, bytes.data(), bytes.size(), 0) ==
          static_cast<ssize_t>(bytes.size()));
  }

 private:
  std::uint32_t newest_object() const {
    using layout::ControlHeader;
    std::uint32_t latest = 0;
    std::uint32_t object = 0;
    CHECK(pread(control(), &latest, 4, offsetof(ControlHeader, latest)) == 4);
    CHECK(latest >= 1 && pread(control(), &object, 4,
                               static_cast<off_t>(offsetof(ControlHeader, slot) +
                                                  16 * (latest - 1) + 8)) == 4);
    return object;
  }

  const std::string channel_;
  std::uint64_t incarnation_ = 0;
  LockFd lock_;
};

}  // namespace support
