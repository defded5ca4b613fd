// What studies are called: ids from paths and patients, without what identifies a person.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "data/studies/pair_finds.h"

namespace x2ctpa {

/// The drafts as studies, in their order. Ids are unique and come from the paths below `root`.
std::vector<Study> name_studies(const std::filesystem::path& root, const std::vector<Draft>& drafts,
                                const FindOptions& options);

/// A file's name without its extension (.nii.gz counts as one), a folder's as it is.
std::string plain_name(const std::filesystem::path& source, bool is_folder);

}  // namespace x2ctpa
