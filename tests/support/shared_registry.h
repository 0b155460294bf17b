// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// For pipelines of other users: GStreamer keeps its registry for the one who made it, so
// there is a copy that all may read. Include it after check.h.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "players.h"
#include "users.h"

namespace support {

class SharedRegistry {
 public:
  static constexpr User kNobody = {65534, 65534};
  SharedRegistry() {
    namespace fs = std::filesystem;
    if (!may_become_others()) check::skip("acting as other users needs root");
    fs::copy_file(env("GST_REGISTRY"), path_);
    fs::permissions(path_, fs::perms{0644});
    fs::permissions(fs::path(path_).parent_path(), fs::perms{0777});
    Process probe = shell("exec test -r " + env("GST_PLUGIN_PATH") + "/libgstpossum.so",
                          {.environment = environment(), .user = kNobody});
    if (probe.join() != 0) check::skip("other users cannot read the build directory");
  }
  std::vector<std::string> environment() const { return {"GST_REGISTRY=" + path_}; }

 private:
  const TemporaryDirectory directory_;
  const std::string path_ = directory_.file("registry.bin");
};

}  // namespace support
