// What libFuzzer attacks: one function for each kind of file that comes from others.
#pragma once

#include <array>
#include <filesystem>
#include <span>
#include <string_view>

namespace x2ctpa::fuzz {

/// Reads files as the program does. Only Error may come out; where no error is thrown, what was
/// read must be sound. `folder` is empty before each call.
using Reader = void (*)(std::string_view bytes, const std::filesystem::path& folder);

struct Target {
  std::string_view name;
  Reader read;
};

/// Images: those of image_targets.cpp. Tables, settings and tensors: those of table_targets.cpp.
std::span<const Target> image_targets();
std::span<const Target> table_targets();

/// Writes `bytes` to `folder`/`name` and returns that path.
std::filesystem::path put(std::string_view bytes, const std::filesystem::path& folder,
                          std::string_view name);

/// Ends the process, as a finding, unless `fact`.
void require(bool fact, const char* what);

}  // namespace x2ctpa::fuzz
