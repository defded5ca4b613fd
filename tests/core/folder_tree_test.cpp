// What the pages for readers say of the source tree is true: the trees of folders, and the paths.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace x2ctpa {
namespace {

namespace files = std::filesystem;

files::path source_folder() { return X2CTPA_SOURCE_DIR; }

std::string text_of(const std::string& page) {
  std::ifstream file(source_folder() / page);
  EXPECT_TRUE(file.good()) << page;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The folders of the tree below the mark "<!-- folder tree -->": a line for each, "name/  what it
// holds", two spaces further in than the folder that it lies in.
std::set<std::string> tree_of(const std::string& page) {
  std::set<std::string> folders;
  std::vector<std::string> outer;
  std::istringstream lines(page);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line == "<!-- folder tree -->") inside = true;
    const size_t indent = line.find_first_not_of(' '), slash = line.find("/ ");
    if (!inside || slash == std::string::npos) {
      if (!folders.empty()) break;
      continue;
    }
    outer.resize(indent / 2);
    outer.push_back(line.substr(indent, slash - indent));
    std::string folder = outer.front();
    for (size_t i = 1; i < outer.size(); ++i) folder += "/" + outer[i];
    folders.insert(folder);
  }
  return folders;
}

// The modules, and the folders in them.
std::set<std::string> folders_of_source() {
  std::set<std::string> folders;
  for (const auto& module : files::directory_iterator(source_folder() / "src")) {
    if (!module.is_directory()) continue;
    folders.insert("src/" + module.path().filename().string());
    for (const auto& folder : files::directory_iterator(module)) {
      if (!folder.is_directory()) continue;
      folders.insert(files::relative(folder, source_folder()).generic_string());
    }
  }
  return folders;
}

// Paths in backquotes, without those that hold a place for a name, such as `src/<module>/`.
std::vector<std::string> paths_in(const std::string& page) {
  static const std::regex path(
      "`((?:src|include|tests|scripts|configs)/[A-Za-z0-9_./-]*)([^A-Za-z0-9_./-])");
  std::vector<std::string> paths;
  for (std::sregex_iterator it(page.begin(), page.end(), path), end; it != end; ++it) {
    if ((*it)[2] == "`" || (*it)[2] == " ") paths.push_back((*it)[1]);
  }
  return paths;
}

std::vector<std::string> pages() {
  std::vector<std::string> pages{"README.md", "CONTRIBUTING.md"};
  for (const auto& entry : files::directory_iterator(source_folder() / "docs")) {
    if (entry.path().extension() == ".md") {
      pages.push_back("docs/" + entry.path().filename().string());
    }
  }
  return pages;
}

// Rows of the tables below headings that begin with "## Walk", without their heads.
std::vector<std::string> steps_of_walks(const std::string& page) {
  std::vector<std::string> steps;
  std::istringstream lines(page);
  bool inside = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("## ")) inside = line.starts_with("## Walk");
    const bool is_head = line.starts_with("| step ") || line.starts_with("|---");
    if (inside && line.starts_with("|") && !is_head) steps.push_back(line);
  }
  return steps;
}

TEST(FolderTree, OfEveryPageNamesEachFolderOfTheSourceAndNoneThatIsMissing) {
  for (const std::string page : {"README.md", "docs/architecture.md"}) {
    const auto tree = tree_of(text_of(page));
    for (const auto& folder : folders_of_source()) {
      EXPECT_TRUE(tree.count(folder)) << page << ": the tree lacks " << folder;
    }
    for (const auto& folder : tree) {
      EXPECT_TRUE(files::is_directory(source_folder() / folder))
          << page << ": no folder " << folder;
    }
  }
}

TEST(FolderTree, IsReadByItsIndents) {
  const std::string page =
      "`src/` x\n<!-- folder tree -->\n```\nsrc/  a\n  core/  b\n    io/  c\n"
      "tests/  d\n```\nelse/ e\n";
  EXPECT_EQ(tree_of(page), (std::set<std::string>{"src", "src/core", "src/core/io", "tests"}));
}

TEST(PathsInPages, Exist) {
  for (const auto& page : pages()) {
    for (const auto& path : paths_in(text_of(page))) {
      EXPECT_TRUE(files::exists(source_folder() / path)) << page << " names " << path;
    }
  }
}

TEST(PathsInPages, AreFoundInBackquotesUnlessTheyHoldAPlaceForAName) {
  EXPECT_EQ(paths_in("`src/main.cpp`, `scripts/test.sh -R core`, `src/<module>/`, src/none, "
                     "`tests/core/<name>_test.cpp`, `configs/layout-*.yaml`"),
            (std::vector<std::string>{"src/main.cpp", "scripts/test.sh"}));
}

TEST(Walks, NameAFileForEveryStep) {
  const auto steps = steps_of_walks(text_of("docs/architecture.md"));
  EXPECT_GE(steps.size(), 20u);
  for (const auto& step : steps) {
    const size_t last = step.rfind("| `src/");
    EXPECT_TRUE(last != std::string::npos && step.ends_with("` |")) << "no file: " << step;
  }
}

}  // namespace
}  // namespace x2ctpa
