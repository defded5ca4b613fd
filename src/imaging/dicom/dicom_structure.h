// A walk over the structure of a DICOM file (PS3.5, section 7) before GDCM reads it. GDCM as
// distributions build it ends the process on an assertion where lengths or VRs make no sense. It
// stays own code: an assertion cannot be caught, a process for each slice of an archive would cost
// more, and DCMTK, in GDCM's place, reads no JPEG 2000.
#pragma once

#include <filesystem>
#include <string>

namespace x2ctpa {

/// What the walk found.
struct DicomStructure {
  std::string fault;  ///< why GDCM must not see the file, with the byte; empty: sound
  bool pixels_cut =
      false;  ///< the file ends within its pixel data; the header before them is sound
  bool has_pixels = false;
  std::string modality;
};

/// Walks every element, sequence item and pixel fragment of `file`, which need not have the DICOM
/// magic. Nothing is read past the end and nesting is limited. Never throws for the file's content.
DicomStructure walk_dicom(const std::filesystem::path& file);

}  // namespace x2ctpa
