// What `x2ctpa info` says about DICOM files.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "x2ctpa/imaging/dicom/dicom_series.h"

namespace x2ctpa {

/// True for the modalities of X-rays and pictures.
bool is_xray(const DicomSeries& series);

/// Each series of `path`, and which one preprocess would take.
nlohmann::ordered_json describe_dicom(const std::filesystem::path& path,
                                      const std::vector<DicomSeries>& series);

}  // namespace x2ctpa
