// Writing simulated studies as ordinary DICOM: CT Image Storage and Digital X-Ray files.
//
// Files depend on their arguments alone: no clock, no host name. Explicit VR little endian.
#pragma once

#include <torch/types.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "x2ctpa/core/cxr_view.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

/// What the header says about the patient; every UID is made from `uid_seed`.
struct DicomTags {
  std::string patient_id;
  std::string sex = "O";  ///< "M", "F" or "O"
  uint64_t uid_seed = 0;
};

/// Writes `volume` as one CT series into `folder` (made when missing): 12 bits in 16, rescale
/// intercept -1024, HU rounded and clipped to [-1024, 3071]. File names are shuffled: only the
/// headers give the slice order, as in clinical exports. Instance numbers run from head to feet.
/// Throws Error naming the file when the disk refuses.
void write_ct_series(const Volume& volume, const std::filesystem::path& folder,
                     const DicomTags& tags);

struct CxrTags : DicomTags {
  bool mono1 = false;  ///< store inverted values as MONOCHROME1
  CxrView view = CxrView::frontal;
  double pixel_spacing_mm = 0;  ///< at the detector
};

/// Writes a picture (H, W) in [0, 1], bone bright, as a 12-bit DX image: PA, or left lateral with
/// the patient looking to its left.
/// Throws Error naming the file for another shape or when the disk refuses.
void write_cxr(const at::Tensor& picture, const std::filesystem::path& file, const CxrTags& tags);

}  // namespace x2ctpa
