// The CTs and X-rays among DICOM files.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/studies/finds.h"

namespace x2ctpa {

/// A file and how the user knows it.
struct Listed {
  std::filesystem::path real, shown;
  std::shared_ptr<const Unpacked> archive;
};

/// Every regular file below `real`, sorted so that nothing depends on the disk's order. Hidden
/// files are passed over and links to folders not followed.
std::vector<Listed> list_tree(const std::filesystem::path& real, const std::filesystem::path& shown,
                              const std::shared_ptr<const Unpacked>& archive);

/// True for objects that come with a study and are no images to use.
bool is_companion(const std::string& modality);

/// One CT of each study, chosen by options.series, every X-ray, and folders of damaged files.
std::vector<Find> find_dicom(const std::vector<Listed>& files, const InputOptions& options);

}  // namespace x2ctpa
