// The version is stated in CMakeLists.txt; pages that state it again agree.
#include "x2ctpa/core/version.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <regex>
#include <string>

#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

// What `expression` captures first in a file of the source tree; empty without a match.
std::string first_in(const std::string& file, const std::string& expression) {
  const std::string text = read_file(std::filesystem::path(X2CTPA_SOURCE_DIR) / file);
  std::smatch match;
  if (!std::regex_search(text, match, std::regex(expression))) return {};
  return match[1];
}

TEST(Version, IsTheProjectsInCMake) {
  EXPECT_EQ(version(), first_in("CMakeLists.txt", R"(project\(x2ctpa VERSION (\S+))"));
}

TEST(Version, IsThatOfTheNewestReleaseInTheChangelog) {
  EXPECT_EQ(version(), first_in("CHANGELOG.md", R"(\n## \[(\d[^\]]*)\])"));
}

TEST(Version, IsTheCited) { EXPECT_EQ(version(), first_in("CITATION.cff", R"(\nversion: (\S+))")); }

}  // namespace
}  // namespace x2ctpa
