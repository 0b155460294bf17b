// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// The functions of possum.h about caps and raw video: what can be said of a frame
// without having one.
#include <cstring>

#include "status.h"
#include "video_layout.h"

using possum::answer;
using possum::VideoFormat;

namespace {

possum_status bad_text(const std::string& why) {
  return answer(POSSUM_ERROR_FORMAT,
                "The caps are no raw video that libpossum knows: " + why,
                "see possum_video_format()");
}

// As snprintf() does.
std::size_t write_out(std::string_view text, char* to, std::size_t room) {
  if (to != nullptr && room > 0) {
    const std::size_t length = std::min(text.size(), room - 1);
    std::memcpy(to, text.data(), length);
    to[length] = '\0';
  }
  return text.size();
}

}  // namespace

const char* possum_video_format(unsigned index) { return possum::format_name(index); }

void possum_video_init(possum_video* video, size_t size) {
  possum::hand_out_defaults(possum::default_video(), video, size);
}

possum_status possum_video_set_format(possum_video* video, const char* format,
                                      int32_t width, int32_t height) {
  return possum::at_border([&] {
    possum_video changed = possum::default_video();
    const possum_status status =
        possum::take_in(video, possum::kFirstVideo, changed, "possum_video_init");
    if (status != POSSUM_OK) return status;
    const VideoFormat* const found = format ? possum::find_format(format) : nullptr;
    if (found == nullptr) {
      return answer(POSSUM_ERROR_FORMAT,
                    "There is no raw video format \"" +
                        std::string(format ? format : "") +
                        "\" here: use another one, such as BGR, NV12 or GRAY16_LE",
                    "possum_video_format() lists them");
    }
    if (width < 1 || width > possum::kMaxSide || height < 1 ||
        height > possum::kMaxSide) {
      return answer(POSSUM_ERROR_SETTINGS, "Width and height must be 1 to 32767",
                    std::to_string(width) + " x " + std::to_string(height));
    }
    std::memset(changed.format, 0, sizeof changed.format);
    std::memcpy(changed.format, found->name, std::strlen(found->name));
    changed.width = width;
    changed.height = height;
    possum::set_default_layout(*found, changed);
    changed.size = video->size;
    possum::hand_out(changed, video, video->size);
    return POSSUM_OK;
  });
}

possum_status possum_video_from_caps(possum_video* video, const char* caps) {
  return possum::at_border([&] {
    possum_video unused;
    const possum_status status =
        possum::take_in(video, possum::kFirstVideo, unused, "possum_video_init");
    if (status != POSSUM_OK) return status;
    std::string why;
    auto read = possum::read_video_caps(caps ? caps : "", why);
    if (!read) return bad_text(why);
    read->size = video->size;
    possum::hand_out(*read, video, video->size);
    return POSSUM_OK;
  });
}

size_t possum_video_to_caps(const possum_video* video, char* text, size_t text_bytes) {
  try {
    possum_video known = possum::default_video();
    // Not take_in(), which would say something to the thread.
    const bool prepared = video != nullptr && video->size >= possum::kFirstVideo &&
                          video->size <= possum::kLargestStruct;
    if (prepared) std::memcpy(&known, video, std::min(video->size, sizeof known));
    return write_out(prepared ? possum::write_video_caps(known) : "", text, text_bytes);
  } catch (const std::bad_alloc&) {
    return write_out("", text, text_bytes);
  }
}

size_t possum_caps_get(const char* caps, const char* field, char* value,
                       size_t value_bytes) {
  write_out("", value, value_bytes);
  try {
    const auto parsed = possum::CapsText::parse(caps ? caps : "");
    if (!parsed) return SIZE_MAX;
    if (field == nullptr) return write_out(parsed->media_type, value, value_bytes);
    const auto* const found = parsed->find(field);
    return found ? write_out(found->value, value, value_bytes) : SIZE_MAX;
  } catch (const std::bad_alloc&) {
    return SIZE_MAX;
  }
}
