#include "x2ctpa/core/base64.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace x2ctpa {
namespace {

TEST(Base64, GivesTheVectorsOfRfc4648) {
  const std::pair<const char*, const char*> vectors[] = {{"", ""},
                                                         {"f", "Zg=="},
                                                         {"fo", "Zm8="},
                                                         {"foo", "Zm9v"},
                                                         {"foob", "Zm9vYg=="},
                                                         {"fooba", "Zm9vYmE="},
                                                         {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) EXPECT_EQ(base64(bytes), text);
  EXPECT_EQ(base64(std::string("\0\xff\xfe", 3)), "AP/+");
}

TEST(Base64, OfManyMegabytesHasPaddingAtItsEndOnly) {
  const std::string text = base64(std::string((size_t(9) << 20) + 1, 'a'));
  EXPECT_EQ(text.size(), (size_t(12) << 20) + 4);
  EXPECT_EQ(text.find('='), text.size() - 2);
  EXPECT_EQ(text.substr((size_t(4) << 20) - 4, 8), "YWFhYWFh");
}

}  // namespace
}  // namespace x2ctpa
