// The frontal and the lateral X-ray of a patient, each in its place whatever it was given as.
#pragma once

#include <torch/types.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/cxr_view.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {

/// The view that the words of a file's name say ("lateral", "lat", "ll"; "frontal", "pa", "ap").
std::optional<CxrView> view_in_name(const std::filesystem::path& file);

/// The name without its ending and without such words: that which two X-rays of a patient share.
std::string name_without_view(const std::filesystem::path& file);

/// The view of an X-ray by its DICOM header, else by its name.
std::optional<CxrView> view_of_file(const std::filesystem::path& file);

/// Files by the number of the CxrView; an empty path: none.
using ViewFiles = std::array<std::filesystem::path, 2>;

struct ViewPair {
  std::array<ModelXray, 2> xrays;            ///< a picture undefined: there is none
  ViewFiles files;                           ///< those that were taken, in their places
  std::vector<std::string> codes, warnings;  ///< of both, and of the pair

  /// (2, S, S), NaN where there is none.
  at::Tensor pictures(int64_t size) const;
};

/// Reads both as load_model_xray() does and puts them in their places. What is wrong with one does
/// not cost the other: X-rays that are exchanged by header or looks are put right
/// ("views-exchanged"), one in the other's empty place goes to its own ("lateral", "not-lateral"),
/// of two of one view that in its right place is taken ("two-laterals", "two-frontals"), a lateral
/// one of another patient or one that cannot be read is left out ("two-patients",
/// "view-unreadable"). With options.refuse_not_chest each of these but the last throws RefusedXray
/// ("cxr-views"). Throws Error when neither can be read.
ViewPair load_view_pair(const ViewFiles& files, int64_t size, const CxrOptions& options);

}  // namespace x2ctpa
