// X-rays stored as DICOM.
#pragma once

#include <filesystem>

#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {

Radiograph read_dicom_radiograph(const std::filesystem::path& file);

}  // namespace x2ctpa
