// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Limits first: GStreamer's parser calls itself for each bracket and compares each field
// with all before it, so that a long text could exhaust the stack or the user's patience.
#include "srccaps.h"

#include <algorithm>

namespace possum {
namespace {

constexpr std::size_t kMaxText = 16384;  // caps of raw video have some 300 bytes
constexpr int kMaxBrackets = 64;

bool harmless(const std::string& text) {
  const auto nests = [](char c) { return c == '{' || c == '<' || c == '['; };
  return text.size() <= kMaxText && text.starts_with("video/x-raw") &&
         std::count_if(text.begin(), text.end(), nests) <= kMaxBrackets &&
         g_utf8_validate(text.data(), static_cast<gssize>(text.size()), nullptr);
}

}  // namespace

Ref<GstCaps> parse_caps(const std::string& text, GstCaps* known, GstVideoInfo& info) {
  if (!harmless(text)) return nullptr;
  Ref<GstCaps> caps{gst_caps_from_string(text.c_str())};
  if (!caps || !gst_caps_is_fixed(caps.get()) ||
      !gst_caps_can_intersect(caps.get(), known) ||
      !gst_video_info_from_caps(&info, caps.get())) {
    return nullptr;
  }
  return caps;
}

}  // namespace possum
