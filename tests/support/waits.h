// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Waits until an element of this process is seen to wait.
#pragma once

#include <string>

#include "elements.h"
#include "sleepers.h"

namespace elements {

inline void await_sleeping_writer(const std::string& channel) {
  await([&] { return support::writer_sleeps(channel); }, "a writer that sleeps");
}
inline void await_sleeping_housekeeper(const std::string& channel) {
  await([&] { return support::housekeeper_sleeps(channel); }, "housekeeping that sleeps");
}
inline void await_sleeping_reader(const std::string& channel) {
  await([&] { return support::reader_sleeps(channel); }, "a reader that sleeps");
}
inline void await_search() {
  await(support::somebody_searches, "a thread that looks for a channel");
}

}  // namespace elements
