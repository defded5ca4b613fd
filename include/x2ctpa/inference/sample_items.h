// What a run of `sample` is to make: X-rays, their names, and who makes which.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "x2ctpa/data/dataset.h"

namespace x2ctpa {

/// The X-ray to make volumes of, or the two views of a patient.
struct CxrItem {
  std::string id;      ///< names the noise: a case's id, or the X-ray's file name
  std::string unique;  ///< its name in this run: the id, or the path below the folder
  std::string patient_id, split;
  std::filesystem::path cxr;            ///< frontal; empty: there is only a lateral one
  std::filesystem::path cxr_lateral{};  ///< for a model of both views; may be empty
  std::filesystem::path reference{};    ///< the real CT whose space the volumes take; may be empty
  bool of_dataset = false;              ///< they lie in a dataset, already on its grid

  const std::filesystem::path& first() const { return cxr.empty() ? cxr_lateral : cxr; }
};

/// The X-rays of a file, of a folder at any depth (find_xrays in data/studies/manifest.h), or of a
/// manifest (.csv, see data/manifest.h), whose CTs are references. The id of a file is its name
/// alone, so that an X-ray gives the same volume from its own path and from any folder above it.
/// For a model of both views the two of a patient become one item: in DICOM by patient, study and
/// time of the headers, else by their names (imaging/xray/view_pair.h) in one folder; its id is
/// that of the frontal one. Throws Error(ExitCode::no_data) when `path` does not exist or holds no
/// X-ray.
std::vector<CxrItem> xrays_in(const std::filesystem::path& path,
                              CxrViews views = CxrViews::frontal);

/// The cases of a split that have an X-ray for these views. Throws Error(ExitCode::no_data) when
/// there is none.
std::vector<CxrItem> xrays_of(const Dataset& dataset, const std::string& split,
                              CxrViews views = CxrViews::frontal);

/// Those with the views of `set` alone. Throws Error(ExitCode::no_data) when none is left.
std::vector<CxrItem> with_views(std::vector<CxrItem> xrays, ViewSet set);

/// One volume to make: sample number `sample` of X-ray number `xray`.
struct SampleItem {
  size_t xray = 0;
  int64_t sample = 0;
  std::string name;  ///< of its files, without extension
};

/// `samples_per_cxr` volumes of each X-ray, in order. `pattern` holds {unique}, {id}, {stem},
/// {patient}, {sample} and {seed}; when empty it is {unique}, with several samples
/// {unique}_{sample}. Throws Error for an unknown field, or when two volumes would have one name.
std::vector<SampleItem> samples_of(const std::vector<CxrItem>& xrays, int64_t samples_per_cxr,
                                   const std::string& pattern, int64_t seed);

}  // namespace x2ctpa
