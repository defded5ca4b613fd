// Which CT belongs to which X-ray.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/studies/finds.h"

namespace x2ctpa {

/// A study before it has a name: a CT, an X-ray, or both.
struct Draft {
  const Find* ct = nullptr;
  const Find* cxr = nullptr;
  std::filesystem::path folder;  ///< that holds both; empty for single ones
  std::string note;              ///< why they are a pair

  const Find& first() const { return ct ? *ct : *cxr; }
};

/// Pairs CTs and X-rays of one patient by the dates in their headers, at most `pair_hours` apart,
/// and the rest by the folders at and below `root`; what is left over stays single. In order of
/// first().shown. `finds` must outlive the result.
std::vector<Draft> pair_finds(const std::filesystem::path& root, const std::vector<Find>& finds,
                              double pair_hours);

}  // namespace x2ctpa
