#include "x2ctpa/core/file_kinds.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <string_view>

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 6> volume_kinds{".nii",  ".nii.gz", ".nrrd",
                                                       ".nhdr", ".mha",    ".mhd"};
constexpr std::array<std::string_view, 5> picture_kinds{".png", ".jpg", ".jpeg", ".tif", ".tiff"};
constexpr std::array<std::string_view, 3> dicom_kinds{".dcm", ".dicom", ".ima"};
constexpr std::array<std::string_view, 4> archive_kinds{".zip", ".tar", ".tar.gz", ".tgz"};

template <size_t n>
bool ends_with_one_of(const fs::path& file, const std::array<std::string_view, n>& endings) {
  return std::find(endings.begin(), endings.end(), file_ending(file)) != endings.end();
}

std::string lower_case(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return char(std::tolower(c)); });
  return text;
}

}  // namespace

std::string file_ending(const fs::path& file) {
  const std::string last = lower_case(file.extension().string());
  if (last != ".gz") return last;
  const std::string before = lower_case(file.stem().extension().string());
  return before == ".nii" || before == ".tar" ? before + last : last;
}

std::string file_stem(const fs::path& file) {
  const std::string name = file.filename().string();
  return name.substr(0, name.size() - file_ending(file).size());
}

bool is_volume_file(const fs::path& file) { return ends_with_one_of(file, volume_kinds); }
bool is_picture_file(const fs::path& file) { return ends_with_one_of(file, picture_kinds); }
bool is_dicom_named(const fs::path& file) { return ends_with_one_of(file, dicom_kinds); }
bool is_archive_file(const fs::path& file) { return ends_with_one_of(file, archive_kinds); }

std::string volume_endings() { return fmt::format("{}", fmt::join(volume_kinds, ", ")); }
std::string xray_endings() {
  return fmt::format("{}, {}", fmt::join(dicom_kinds, ", "), fmt::join(picture_kinds, ", "));
}

}  // namespace x2ctpa
