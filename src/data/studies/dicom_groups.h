// DICOM files by what their headers say they are.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "x2ctpa/imaging/dicom/dicom_series.h"

namespace x2ctpa {

struct DicomGroups {
  /// The series of each study that are no X-rays, under a key of patient, study and, where a series
  /// lies in several folders, folder.
  std::map<std::string, std::vector<DicomSeries>> studies;
  std::vector<DicomSeries> xrays;
  /// Files that cannot be parsed, by folder.
  std::map<std::filesystem::path, std::vector<std::filesystem::path>> broken;
};

DicomGroups group_dicom_files(const std::vector<std::filesystem::path>& files,
                              const SeriesLimits& limits);

/// CR, DX and the like; also captures of a screen, which hold X-rays where there is no CT.
bool is_xray_modality(const std::string& modality);

/// Of a series: those of its slices, and those that were left out.
std::vector<std::filesystem::path> all_files(const DicomSeries& series);

/// The deepest folder that holds all of `files`, which are not empty.
std::filesystem::path common_folder(const std::vector<std::filesystem::path>& files);

}  // namespace x2ctpa
