// Building DICOM files element by element, for the writers of studies and of derived series.
#pragma once

#include <gdcmWriter.h>

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <vector>

#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

inline constexpr const char* ct_storage = "1.2.840.10008.5.1.4.1.1.2";

/// A UID under 2.25 (ITU-T X.667 as DICOM PS3.5 B.2 allows) from 63 bits of `seed` and `name`.
std::string make_uid(uint64_t seed, const std::string& name);

/// A number as a DS value, which holds 16 characters.
std::string decimal(double value);
std::string decimals(std::initializer_list<double> values);

/// A data set under construction; text is padded to even length as its VR demands.
class DicomFile {
 public:
  void text(uint16_t group, uint16_t element, gdcm::VR::VRType vr, std::string value);
  void number(uint16_t group, uint16_t element, uint16_t value, gdcm::VR::VRType vr = gdcm::VR::US);
  /// A sequence of one coded concept.
  void code(uint16_t group, uint16_t element, const std::string& value, const std::string& scheme,
            const std::string& meaning);
  /// Pixels of 16 bits, little endian as every machine that LibTorch runs on.
  void pixels(const std::vector<uint16_t>& values, int64_t rows, int64_t columns, int bits);
  /// Place and grid of slice `k` of `volume`: position, orientation, pixel spacing, slice distance.
  void slice_geometry(const Volume& volume, int64_t k);
  void write(const std::filesystem::path& path, const char* storage, const std::string& instance);

 private:
  void bytes(uint16_t group, uint16_t element, gdcm::VR::VRType vr, const char* data, size_t size);

  gdcm::Writer writer_;
};

/// Makes `folder` with those above it. Throws Error when the disk refuses.
void make_dicom_folder(const std::filesystem::path& folder);

/// Throws Error for pictures that a DICOM file cannot hold.
void check_dicom_sides(int64_t rows, int64_t columns, const std::filesystem::path& path);

}  // namespace x2ctpa
