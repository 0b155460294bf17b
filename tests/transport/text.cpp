// SPDX-License-Identifier: LGPL-2.1-or-later
// Copyright (C) 2026 the possum authors
//
// Texts of other processes: what is passed on, and what is taken out of them.
#include "base/text.h"

#include <string>

#include "support/check.h"

using possum::is_plain_text;
using possum::plain_text;

namespace {

const std::string kMark = "\xef\xbf\xbd";

}  // namespace

TEST(plain_texts_pass_unchanged) {
  for (const std::string text :
       {"", "gst-launch-1.0", "video/x-raw, format=(string)NV12", "Gr\xc3\xbc\xc3\x9f",
        "\xe7\x8a\xac\xe4\xb8\x96", "\xf0\x9f\x90\xbe", "\xf4\x8f\xbf\xbf", "a b"}) {
    CHECK(is_plain_text(text));
    CHECK(plain_text(text) == text);
  }
}

TEST(what_moves_a_cursor_or_turns_a_line_is_taken_out) {
  for (const std::string& bad :
       {std::string("\x1b"), std::string("\n"), std::string("\r"), std::string("\0", 1),
        std::string("\x7f"), std::string("\t"),
        std::string("\xc2\x9b"),             // a one-byte ESC [
        std::string("\xe2\x80\xa8"),         // line separator
        std::string("\xe2\x80\xae"),         // right-to-left override
        std::string("\xe2\x81\xa6"),         // an isolate
        std::string("\xd8\x9c"),             // Arabic letter mark
        std::string("\xef\xbb\xbf"),         // byte order mark
        std::string("\xf3\xa0\x81\x81")}) {  // a tag
    CHECK(!is_plain_text("a" + bad + "b"));
    CHECK(plain_text("a" + bad + "b") == "a" + kMark + "b");
  }
}

TEST(bytes_that_are_no_utf8_are_replaced_one_by_one) {
  CHECK(plain_text("\x80") == kMark);                          // nothing to continue
  CHECK(plain_text("\xc3") == kMark);                          // cut
  CHECK(plain_text("\xc3(") == kMark + "(");                   // not continued
  CHECK(plain_text("\xc0\xaf") == kMark + kMark);              // overlong
  CHECK(plain_text("\xe0\x80\xaf") == kMark + kMark + kMark);  // overlong
  CHECK(plain_text("\xed\xa0\x80") == kMark + kMark + kMark);  // half of a pair
  CHECK(plain_text("\xf4\x90\x80\x80") == kMark + kMark + kMark + kMark);  // too large
  CHECK(plain_text("\xff\xfe") == kMark + kMark);
}

TEST(every_pair_of_bytes_becomes_plain) {
  for (int first = 0; first < 256; ++first) {
    for (int second = 0; second < 256; ++second) {
      const std::string text = {static_cast<char>(first), static_cast<char>(second)};
      const std::string result = plain_text(text);
      CHECK(is_plain_text(result));
      CHECK(is_plain_text(text) == (result == text));
    }
  }
}

TEST(long_texts_are_cut_between_characters) {
  CHECK(plain_text("aaaa", 4) == "aaaa");
  CHECK(plain_text("aaaaa", 4) == "aaaa...");
  CHECK(plain_text("\xc3\xbc\xc3\xbc\xc3\xbc", 2) == "\xc3\xbc\xc3\xbc...");
}
