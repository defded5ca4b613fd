#include <gtest/gtest.h>

#include <regex>
#include <set>
#include <sstream>

namespace {

namespace fs = std::filesystem;
using Rules = std::map<std::string, std::set<std::string>>;

Rules read_rules() {
  std::ifstream file(std::string(X2CTPA_SOURCE_DIR) + "/tests/include_rules.txt");
  Rules rules;
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (line.empty() || line[0] == '#' || colon == std::string::npos) continue;
    std::istringstream words(line.substr(colon + 1));
    auto& allowed = rules[line.substr(0, colon)];
    for (std::string word; words >> word;) allowed.insert(word);
  }
  return rules;
}

// The violations in one file's text, as "module may not include ...".
std::vector<std::string> violations(const Rules& rules, const std::string& module,
                                    const std::string& text) {
  static const std::regex include(R"re(#\s*include\s*["<]([^">]+)[">])re");
  std::vector<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), include), end; it != end; ++it) {
    const std::string header = (*it)[1];
    if (header.rfind("x2ctpa/", 0) == 0) {
      const std::string used = header.substr(7, header.find('/', 7) - 7);
      if (used != module && !rules.at(module).count(used))
        found.push_back(module + " may not include " + header);
    }
    const bool itk = header.rfind("itk", 0) == 0 || header.rfind("gdcm", 0) == 0;
    if (itk && module != "imaging") found.push_back(module + " may not include " + header);
  }
  return found;
}

TEST(IncludeRules, EveryModuleIncludesOnlyTheModulesBelowIt) {
  const Rules rules = read_rules();
  ASSERT_EQ(rules.size(), 10u);
  for (const std::string root : {"include/x2ctpa", "src"}) {
    for (const auto& [module, allowed] : rules) {
      const fs::path folder = fs::path(X2CTPA_SOURCE_DIR) / root / module;
      if (!fs::exists(folder)) continue;
      for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        if (!entry.is_regular_file()) continue;
        std::ifstream file(entry.path());
        std::stringstream text;
        text << file.rdbuf();
        const auto found = violations(rules, module, text.str());
        EXPECT_TRUE(found.empty()) << entry.path() << ": " << (found.empty() ? "" : found.front());
      }
    }
  }
}

TEST(IncludeRules, AnUpwardIncludeAndAnItkIncludeAreFound) {
  const Rules rules = read_rules();
  EXPECT_EQ(violations(rules, "models", "#include \"x2ctpa/data/dataset.h\"\n").size(), 1u);
  EXPECT_EQ(violations(rules, "data", "#include <itkImage.h>\n").size(), 1u);
  EXPECT_TRUE(violations(rules, "data", "#include \"x2ctpa/imaging/volume.h\"\n").empty());
}

}  // namespace
