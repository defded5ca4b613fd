#include "x2ctpa/core/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace x2ctpa {
namespace {

TEST(Utf8, StrayBytesAreWrittenOutAndCharactersStay) {
  EXPECT_EQ(valid_utf8("röntgen 一 😀"), "röntgen 一 😀");
  EXPECT_EQ(valid_utf8("r\xF6ntgen.png"), "r\\xF6ntgen.png");
  // Cut short, overlong, a surrogate, and past the last character.
  EXPECT_EQ(valid_utf8("a\xC3"), "a\\xC3");
  EXPECT_EQ(valid_utf8("\xC0\xAF"), "\\xC0\\xAF");
  EXPECT_EQ(valid_utf8("\xED\xA0\x80"), "\\xED\\xA0\\x80");
  EXPECT_EQ(valid_utf8("\xF4\x90\x80\x80"), "\\xF4\\x90\\x80\\x80");
}

TEST(Utf8, PartsAreCharactersWithTheirBytes) {
  const std::string text = "a\xE4ö";
  const auto parts = utf8_parts(text);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(parts[0].code, U'a');
  EXPECT_TRUE(parts[1].stray);
  EXPECT_EQ(parts[2].code, U'ö');
  EXPECT_EQ(parts[2].bytes, "ö");
}

}  // namespace
}  // namespace x2ctpa
