// How studies are found, chosen and paired. Sections `preprocess.series`, `.find` and `.manifest`.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "x2ctpa/core/cxr_view.h"
#include "x2ctpa/core/options.h"
#include "x2ctpa/imaging/dicom/ct_choice.h"

namespace x2ctpa {

/// Section `preprocess.find`: folders and archives.
struct FindOptions {
  double pair_hours = 24;
  int64_t archive_gb = 64;
  int64_t archive_files = 1'000'000;
  std::string salt;

  void describe(OptionList& options);
};

/// Layout of a CSV manifest.
enum class ManifestLayout {
  automatic,
  x2ctpa,
  accession,
  lidc,
  rspect,
  inspect,
  tcia,
  ct_rate,
  mids
};
constexpr auto words(ManifestLayout) {
  return std::array{"auto",    "x2ctpa", "accession", "lidc", "rspect",
                    "inspect", "tcia",   "ct-rate",   "mids"};
}

/// Section `preprocess.manifest`: which CSV layout, and where its images lie.
struct ManifestOptions {
  ManifestLayout layout = ManifestLayout::automatic;
  std::string images;
  std::string ct_column = "CT_Accession_number";
  std::string cxr_column = "cxr_Accession_number";
  std::string label_column = "PE";
  std::string patient_column = "patient_id";
  bool label_inverted = false;
  std::vector<std::string> groups;

  void describe(OptionList& options);
};

struct InputOptions {
  CxrViews views = CxrViews::frontal;
  SeriesRule series;
  FindOptions find;
  ManifestOptions manifest;

  void describe(OptionList& options);
};

}  // namespace x2ctpa
