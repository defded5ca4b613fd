#include "x2ctpa/core/checksums.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {

namespace fs = std::filesystem;

fs::path checksums_file(const fs::path& folder) { return folder / "SHA256SUMS"; }

void write_checksums(const fs::path& folder) {
  std::set<std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    const std::string name = entry.path().lexically_relative(folder).generic_string();
    const bool summed = entry.is_regular_file() && name != "README.md" && name != "SHA256SUMS";
    if (summed && name_of_partial(entry.path()).empty()) files.insert(name);
  }
  std::string text;
  for (const auto& name : files) text += sha256_of_file(folder / name) + "  " + name + "\n";
  write_file(checksums_file(folder), text);
}

std::optional<int64_t> verify_checksums(const fs::path& folder) {
  const fs::path file = checksums_file(folder);
  if (!fs::exists(file)) return std::nullopt;
  constexpr size_t digits = 64;
  std::istringstream lines(read_file(file));
  std::vector<std::string> wrong;
  int64_t count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    // Two characters part sum and name: two spaces, or a space and a star.
    if (line.size() < digits + 3) {
      throw Error(fmt::format("{}: line {}: expected a sum of 64 digits and a name, found \"{}\"",
                              file.string(), count + 1, line));
    }
    const std::string name = line.substr(digits + 2);
    if (!fs::is_regular_file(folder / name)) {
      wrong.push_back(name + " is missing");
    } else if (sha256_of_file(folder / name) != line.substr(0, digits)) {
      wrong.push_back(name + " has another content");
    }
  }
  if (wrong.empty()) return count;
  throw Error(fmt::format(
      "{} is not as it was written, by its SHA256SUMS ({} of {} files): {}. Copy or download it "
      "again; where the change is meant, remove {}.",
      folder.string(), wrong.size(), count, fmt::join(wrong, ", "), file.string()));
}

}  // namespace x2ctpa
