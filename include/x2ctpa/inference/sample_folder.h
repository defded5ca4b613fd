// The folder that `sample` writes to: where each file lies, what is finished, and its tables.
//
//   <name>.nii.gz            the volume; written last, so that a name with one is finished
//   <name>.json              what it is and how it was made
//   previews/<name>.png      dicom/<name>/0001.dcm ...      latents/<name>.safetensors
//   samples.csv              a row per volume; failures.csv a row per X-ray without
//
// Several processes may write to one folder.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "x2ctpa/core/csv.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/inference/sample_options.h"
#include "x2ctpa/models/cxr_novelty.h"

namespace x2ctpa {

/// How one volume was made; its sidecar.
struct Provenance {
  std::string name, case_id, patient_id, split;
  int64_t sample = 0, seed = 0;
  std::string cxr_path, cxr_sha256;  ///< of the first view that is there
  std::string views;                 ///< of a model of both: the ViewSet; else empty
  std::string lateral_path, lateral_sha256;
  std::string model_hash, dataset_hash;
  std::string settings;  ///< a hash of all that a volume depends on besides its X-ray
  SamplerOptions sampler;
  ProjectionGuidanceOptions projection;
  std::string precision;
  std::string placed_by;       ///< whose space it takes
  bool left_out_mean = false;  ///< a training case, by a mean that was fitted without it
  std::optional<Novelty> novelty;
};

/// What is there under a name.
enum class Existing {
  nothing,     ///< no volume
  same,        ///< finished under the same settings for the same case and sample
  unfinished,  ///< the same, but an output that is asked for is missing
  other        ///< made under other settings, or by something else
};

class SampleFolder {
 public:
  /// Makes the folder and tries to write to it. Throws Error when it cannot.
  SampleFolder(std::filesystem::path root, const SampleOptions& options);

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path volume_file(const std::string& name) const {
    return root_ / (name + ".nii.gz");
  }
  std::filesystem::path sidecar_file(const std::string& name) const {
    return root_ / (name + ".json");
  }

  /// Removes what a killed process left half-written of the volumes `names`.
  void remove_parts(const std::vector<std::string>& names) const;

  Existing existing(const std::string& name, const std::string& case_id, int64_t sample,
                    const std::string& settings) const;

  /// Writes the files of one volume (HU, in its place) and replaces those that were there. `latent`
  /// (C, d, h, w) is written when the options say so, `cxr` (S, S) shows in the preview.
  void write(const Volume& volume, const IntensityWindow& window, const at::Tensor& latent,
             const at::Tensor& cxr, const Provenance& provenance) const;

  /// Adds rows to samples.csv and replaces those of the same names. `seconds`: per name, may lack.
  void record(const std::vector<std::string>& names,
              const std::map<std::string, double>& seconds) const;
  /// The names that samples.csv holds.
  std::vector<std::string> recorded() const;

  /// Enters `failed` (X-ray's name to its path and reason) in failures.csv and takes out `made`.
  void record_failures(const std::map<std::string, std::pair<std::string, std::string>>& failed,
                       const std::vector<std::string>& made) const;

  /// Replaces in `file` below the folder the rows with the same value of `key`, under a lock that
  /// all processes of one folder take; rows are ordered by `key`. An empty table removes the file.
  void merge(const std::string& file, const CsvTable& rows, const std::string& key,
             const std::vector<std::string>& remove = {}) const;

 private:
  std::filesystem::path root_;
  SampleOptions options_;
};

}  // namespace x2ctpa
