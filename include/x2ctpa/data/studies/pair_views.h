// Which lateral X-ray belongs to which frontal one.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/cxr_view.h"

namespace x2ctpa {

/// An X-ray, or what else a lateral one may be joined to, as its header, name and place tell it.
struct ViewedXray {
  std::filesystem::path file, folder;
  bool lateral = false;
  std::string patient, study_uid;  ///< of DICOM headers; empty: unknown
  std::optional<double> time_s;    ///< see SeriesTags
};

/// The number of a lateral X-ray, by that of the one it goes with. By headers: of one patient, of
/// one study first, then the nearest in time up to `pair_hours`; without times where there is one
/// of each. Where headers name no patient: in one folder, of one name but for the words of the view
/// (imaging/xray/view_pair.h), else the only two of the folder. None is taken twice.
std::map<size_t, size_t> laterals_of(const std::vector<ViewedXray>& xrays, double pair_hours);

/// The X-rays of a patient; either may be empty.
struct PatientFiles {
  std::filesystem::path frontal, lateral;
};

/// Such X-ray files, in their order, the views by header or name; a lateral one that goes with none
/// is alone, and counted in a warning.
std::vector<PatientFiles> pair_view_files(const std::vector<std::filesystem::path>& files);

}  // namespace x2ctpa
