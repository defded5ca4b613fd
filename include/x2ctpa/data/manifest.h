// Which studies there are: a manifest, or folders to search.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/imaging/volume.h"

namespace x2ctpa {

/// One CT, one chest X-ray, or a pair of them, before anything was read.
struct Study {
  std::string id;  ///< unique; letters, digits, '.', '_' and '-' only
  std::string patient_id;
  std::filesystem::path ct;   ///< volume file or DICOM folder; empty: none
  std::filesystem::path cxr;  ///< DICOM or picture file; empty: none
  std::filesystem::path mask;  ///< volume file: the lungs, or another region, in the CT; empty: none
  std::optional<int> pe;      ///< 0, 1, or unknown
  std::string split;          ///< "train", "val", "test", or empty: to be chosen
  /// The LPS point that the central ray passes through, for X-rays simulated from this CT.
  std::optional<Vec3> cxr_centre_mm;
};

/// `text` with everything but letters, digits, '.', '_' and '-' replaced by '_', so that it is a
/// safe file name.
std::string safe_id(const std::string& text);

/// The rows of a CSV with the columns `ct` and `cxr` (either may be empty or absent; paths relative
/// to the manifest) and, where known, `id`, `patient_id`, `pe`, `split`, `mask`, `cxr_centre_x_mm`,
/// `cxr_centre_y_mm`, `cxr_centre_z_mm`. Without `id`, ids are made from patient_id, or from
/// the file names. Without `patient_id` every row is a patient of its own.
/// Throws Error naming file and row for a missing column, a doubtful value or an id given twice.
std::vector<Study> read_manifest(const std::filesystem::path& file);

/// The studies at `path`: a volume file, a DICOM folder, an X-ray file, a folder with a
/// manifest.csv, or a folder of any of these at any depth.
///
/// A folder with exactly one CT and one X-ray in or below it is a pair; folders are divided until
/// that holds, and what stays single is a study of its own. DICOM series that are no X-ray count as
/// CT, so that they are rejected with their reason. Studies are in order of their paths, with ids
/// from the paths. A folder directly below `path` is taken as a patient, so that no two of its
/// studies reach different splits; give a manifest where that is not so.
std::vector<Study> find_studies(const std::filesystem::path& path);

/// The studies of several manifests (*.csv), folders and files, with ids made unique across them; a
/// path without a study is passed over with a warning.
/// Throws Error(ExitCode::no_data) when a path does not exist or none holds a study.
std::vector<Study> read_inputs(const std::vector<std::filesystem::path>& inputs);

}  // namespace x2ctpa
