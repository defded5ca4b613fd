// The images of a manifest that names them instead of giving paths.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/studies/finds.h"

namespace x2ctpa {

/// Where the images of such a manifest lie. Throws Error for a folder that is not there.
std::filesystem::path images_folder(const std::filesystem::path& manifest,
                                    const InputOptions& options);

/// The images below a folder by name, and by header once a name is not found.
class ImageIndex {
 public:
  ImageIndex(std::filesystem::path root, const InputOptions& options);

  /// A folder or CT file called `name`; empty: none.
  std::filesystem::path ct_named(const std::string& name) const;
  /// An X-ray file called `name`, or a folder of it; empty: none.
  std::filesystem::path cxr_named(const std::string& name) const;
  /// Every folder called `name`, in order of their paths.
  std::vector<std::filesystem::path> folders_named(const std::string& name) const;

  /// The image whose header holds this accession number; null: none.
  const Find* by_accession(const std::string& accession, bool is_ct);
  const Find* by_study(const std::string& uid);

 private:
  template <class F>
  std::filesystem::path named(const std::string& name, F fits) const;
  template <class F>
  const Find* by_header(F fits);

  std::filesystem::path root_;
  const InputOptions& options_;
  std::multimap<std::string, std::filesystem::path> by_name_;
  std::vector<Find> finds_;
  bool searched_ = false;
};

/// Makes the find the study's CT, X-ray or lateral X-ray.
void take(const Find& find, Study& study, bool lateral = false);

}  // namespace x2ctpa
