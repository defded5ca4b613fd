// The CTs and X-rays among DICOM files.
#pragma once

#include <filesystem>
#include <memory>
#include <vector>

#include "data/studies/finds.h"

namespace x2ctpa {

/// A file and how the user knows it.
struct Listed {
  fs::path real, shown;
  std::shared_ptr<const Unpacked> archive;
};

/// One CT of each study, chosen by options.series, every X-ray, and folders of damaged files.
std::vector<Find> find_dicom(const std::vector<Listed>& files, const InputOptions& options);

}  // namespace x2ctpa
