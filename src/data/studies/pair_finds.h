// Which CT belongs to which X-ray.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/studies/finds.h"

namespace x2ctpa {

/// A study before it has a name: a CT, X-rays of a patient, or both.
struct Draft {
  const Find* ct = nullptr;
  const Find* cxr = nullptr;
  std::filesystem::path folder;   ///< that holds both; empty for single ones
  std::string note;               ///< why they are a pair
  const Find* lateral = nullptr;  ///< the other X-ray, where both views are wanted

  const Find& first() const { return ct ? *ct : cxr ? *cxr : *lateral; }
};

/// Pairs CTs and X-rays of one patient by the dates in their headers, at most `pair_hours` apart,
/// and the rest by the folders at and below `root`; what is left over stays single. In order of
/// first().shown. Where both views are wanted, lateral X-rays are joined to these as laterals_of()
/// says. `finds` must outlive the result.
std::vector<Draft> pair_finds(const std::filesystem::path& root, const std::vector<Find>& finds,
                              double pair_hours, CxrViews views);

}  // namespace x2ctpa
