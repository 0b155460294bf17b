// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// How a person reads what was observed: sizes, ages, formats, who is who.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "inspect/observer.h"

namespace tool {

// A field of caps text without its type, such as "30/1" of "framerate", cut if it is
// long; "" if it is absent, a choice or a range, or if the text is no caps.
std::string caps_field(const std::string& caps, const std::string& name);
std::string picture_size(const possum::inspect::ObservedChannel& channel);  // "1280x720"
// "NV12"; of caps without a format their media type.
std::string format(const possum::inspect::ObservedChannel& channel);

std::string bytes_text(std::uint64_t bytes);              // "3.2 MiB"
std::string age_text(std::int64_t age_ns);                // "12 ms"
std::string rate_text(const std::optional<double>& fps);  // "29.9", "" if unknown
std::string slots_text(std::uint32_t mask);               // "0,3,7"
std::string mode_text(unsigned mode);                     // "0660"
std::string incarnation_text(std::uint64_t incarnation);  // 16 digits
const char* policy_text(const possum::inspect::ObservedReader& reader);
// "active", "left", "attaching", or "dead" whatever its page says.
const char* state_text(const possum::inspect::ObservedReader& reader);
std::string pid_text(std::uint32_t pid);  // "" for 0

// Since the newest frame was published.
std::optional<std::int64_t> age_ns(const possum::inspect::ObservedChannel& channel);

// The exit status that a look at one channel ends with.
int status_of(const possum::inspect::ObservedChannel& channel);
// "possum: CHANNEL: TEXT" to standard error.
void complain(const std::string& channel, const std::string& text);
// What the tables do not show, a sentence each.
std::vector<std::string> complaints_about(
    const possum::inspect::ObservedChannel& channel);
void complain(const possum::inspect::ObservedChannel& channel);

}  // namespace tool
