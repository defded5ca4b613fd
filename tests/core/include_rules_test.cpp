#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

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

std::string module_of(const std::string& folder) { return folder.substr(0, folder.find('/')); }

// "imaging/dicom" of imaging/dicom/dicom_slice.h, "imaging" of imaging/preview.h.
std::string folder_of(const std::string& file) { return fs::path(file).parent_path().string(); }

bool is_allowed(const Rules& rules, const std::string& folder, const std::string& header) {
  const std::string used = folder_of(header);
  if (used == folder) return true;
  if (module_of(used) != module_of(folder)) {
    return rules.at(module_of(folder)).count(module_of(used));
  }
  return folder == module_of(folder) || rules.at(folder).count(used);
}

// The violations in the text of a file in `folder`, as "imaging/volume may not include ...".
std::vector<std::string> violations(const Rules& rules, const std::string& folder,
                                    const std::string& text) {
  static const std::regex include(R"re(#\s*include\s*(["<])([^">]+)[">])re");
  std::vector<std::string> found;
  for (std::sregex_iterator it(text.begin(), text.end(), include), end; it != end; ++it) {
    const std::string written = (*it)[2];
    const std::string header = written.rfind("x2ctpa/", 0) == 0 ? written.substr(7) : written;
    const bool ours = (*it)[1] == "\"" && rules.count(module_of(header));
    const bool itk = header.rfind("itk", 0) == 0 || header.rfind("gdcm", 0) == 0;
    if ((ours && !is_allowed(rules, folder, header)) || (itk && module_of(folder) != "imaging")) {
      found.push_back(folder + " may not include " + written);
    }
  }
  return found;
}

TEST(IncludeRules, EveryFolderIncludesOnlyWhatItMay) {
  const Rules rules = read_rules();
  ASSERT_GT(rules.size(), 10u);
  for (const std::string root : {"include/x2ctpa", "src"}) {
    const fs::path base = fs::path(X2CTPA_SOURCE_DIR) / root;
    for (const auto& entry : fs::recursive_directory_iterator(base)) {
      const std::string name = fs::relative(entry.path(), base).generic_string();
      if (!entry.is_regular_file() || name == "main.cpp" || name == "CMakeLists.txt") continue;
      const std::string folder = folder_of(name);
      ASSERT_TRUE(rules.count(folder)) << folder << " has no line in tests/include_rules.txt";
      std::ifstream file(entry.path());
      std::stringstream text;
      text << file.rdbuf();
      for (const std::string& violation : violations(rules, folder, text.str())) {
        ADD_FAILURE() << entry.path() << ": " << violation;
      }
    }
  }
}

TEST(IncludeRules, UpwardIncludesAndItkIncludesAreFound) {
  const Rules rules = read_rules();
  const auto count = [&](const std::string& folder, const std::string& header) {
    return violations(rules, folder, "#include " + header + "\n").size();
  };
  EXPECT_EQ(count("models", "\"x2ctpa/data/dataset.h\""), 1u);
  EXPECT_EQ(count("models", "\"data/preprocess/threads.h\""), 1u);
  EXPECT_EQ(count("data", "<itkImage.h>"), 1u);
  EXPECT_EQ(count("imaging/volume", "\"imaging/dicom/dicom_slice.h\""), 1u);
  EXPECT_EQ(count("models/kernels", "\"x2ctpa/models/unet3d.h\""), 1u);
  EXPECT_EQ(count("models", "\"models/kernels/lanes.h\""), 0u);
  EXPECT_EQ(count("imaging/dicom", "\"imaging/volume/volume.h\""), 0u);
  EXPECT_EQ(count("data/check", "\"x2ctpa/imaging/volume/volume.h\""), 0u);
}

}  // namespace
