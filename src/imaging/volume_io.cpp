#include "x2ctpa/imaging/volume_io.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>
#include <utility>

#include "imaging/files/image_file.h"
#include "imaging/files/nifti_header.h"
#include "imaging/volume_place.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/imaging/dicom/ct_choice.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

constexpr double largest_skew = 1e-2;  // in cosines; NIfTI's floats and rounded headers stay below

double column_dot(const Mat3& m, int a, int b) {
  return m[0][a] * m[0][b] + m[1][a] * m[1][b] + m[2][a] * m[2][b];
}

double determinant(const Mat3& m) {
  return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) -
         m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0]) +
         m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
}

Mat3 inverse_transposed(const Mat3& m) {
  const double det = determinant(m);
  Mat3 out;
  for (int r = 0; r < 3; ++r)
    for (int c = 0; c < 3; ++c) {
      const int r1 = (r + 1) % 3, r2 = (r + 2) % 3, c1 = (c + 1) % 3, c2 = (c + 2) % 3;
      out[r][c] = (m[r1][c1] * m[r2][c2] - m[r1][c2] * m[r2][c1]) / det;
    }
  return out;
}

// The orthonormal matrix nearest to `m` (Newton's iteration for the polar factor).
Mat3 orthonormalised(Mat3 m) {
  for (int i = 0; i < 8; ++i) {
    const Mat3 inverse = inverse_transposed(m);
    for (int r = 0; r < 3; ++r)
      for (int c = 0; c < 3; ++c) m[r][c] = 0.5 * (m[r][c] + inverse[r][c]);
  }
  return m;
}

Mat3 checked_direction(const Mat3& direction, const fs::path& file) {
  double skew = 0;
  for (int a = 0; a < 3; ++a)
    for (int b = a; b < 3; ++b)
      skew = std::max(skew, std::abs(column_dot(direction, a, b) - (a == b)));
  if (!(skew <= largest_skew))
    throw Error(fmt::format(
        "{}: its axes are not at right angles (off by {:.3g} in cosine; up to {} is taken as "
        "rounding). Resample the volume onto a rectangular grid first.",
        file.string(), skew, largest_skew));
  return orthonormalised(direction);
}

// ITK reads a header without any spacing as 1 mm; a volume of unknown size is of no use here.
void require_spacing_in_text(const fs::path& file, const ImageHeader& header) {
  if (header.format == "NIfTI") return;
  std::string head(4096, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(head.data(), std::streamsize(head.size()));
  head.resize(size_t(std::max<std::streamsize>(in.gcount(), 0)));
  const bool known = header.format == "NRRD"
                         ? head.find("space directions:") != std::string::npos ||
                               head.find("spacings:") != std::string::npos
                         : head.find("ElementSpacing") != std::string::npos ||
                               head.find("ElementSize") != std::string::npos;
  if (!known)
    throw Error(fmt::format("{}: geometry unknown: the {} header gives no voxel spacing.",
                            file.string(), header.format));
}

// ITK reads a pixdim of zero as 1 mm, too.
void require_nifti_spacing(const fs::path& file, const ImageHeader& header) {
  const auto nifti =
      header.format == "NIfTI" ? NiftiHeader::read(file) : std::optional<NiftiHeader>();
  if (!nifti) return;
  const auto pixdim = nifti->pixdim();
  for (size_t axis = 0; axis < 3; ++axis)
    if (!(std::abs(pixdim[axis]) > 0) || !std::isfinite(pixdim[axis]))
      throw Error(fmt::format(
          "{}: geometry unknown: the NIfTI header gives a voxel spacing (pixdim) of {} mm.",
          file.string(), fmt::join(pixdim, " x ")));
}

// A side below 100 mm or above 1000 mm of voxels of exactly 1 x 1 x 1 mm: most likely the spacing
// was lost in a conversion.
bool has_doubtful_unit_spacing(const ImageHeader& header) {
  if (header.spacing_mm != Vec3{1, 1, 1}) return false;
  const auto [shortest, longest] = std::minmax_element(header.size.begin(), header.size.end());
  return *shortest < 100 || *longest > 1000;
}

// How a volume file is to be read, and what is doubtful about it.
struct VolumeReading {
  NiftiForm form = NiftiForm::automatic;
  bool tolerant = false;  // of an orientation that would be refused
  VolumeDoubts doubts;
};

// Checks and cleans the header of a volume; sizes beyond the third axis must be 1.
void check_header(const fs::path& file, VolumeReading& reading, ImageHeader& header) {
  while (header.size.size() > 3 && header.size.back() == 1) header.size.pop_back();
  if (header.size.size() != 3 || header.components != 1 || header.size[2] < 2)
    throw Error(fmt::format(
        "{}: expected a 3D volume with one value per voxel, found size {} with {} values.",
        file.string(), fmt::join(header.size, " x "), header.components));
  require_spacing_in_text(file, header);
  require_nifti_spacing(file, header);
  settle_place(file, reading.form, reading.tolerant, header, reading.doubts);
  for (double s : header.spacing_mm)
    if (!std::isfinite(s) || s <= 0 || s > 1000)
      throw Error(fmt::format("{}: geometry unknown: voxel spacing {} mm.", file.string(),
                              fmt::join(header.spacing_mm, " x ")));
  for (double o : header.origin_mm)
    if (!std::isfinite(o))
      throw Error(fmt::format("{}: geometry unknown: its origin is not a number.", file.string()));
  header.direction = checked_direction(header.direction, file);
  if (has_doubtful_unit_spacing(header)) {
    reading.doubts.codes.push_back("unit-spacing");
    reading.doubts.notes.push_back(
        fmt::format("voxels of exactly 1 x 1 x 1 mm make a volume of {} mm; was the spacing lost?",
                    fmt::join(header.size, " x ")));
  }
}

Volume read_volume_file(const fs::path& file, VolumeReading& reading, ImageHeader& header) {
  const at::Tensor samples = read_image_file(file, ImageKind::volume, header);
  check_header(file, reading, header);
  Volume volume;
  volume.hu = samples.to(torch::kFloat)
                  .reshape({header.size[2], header.size[1], header.size[0]})
                  .contiguous();
  if (!std::isfinite(volume.hu.sum(torch::kDouble).item<double>())) {
    log_warning("{}: values that are not numbers are read as air.", file.string());
    volume.hu.nan_to_num_(-1024, -1024, -1024);
  }
  volume.origin_mm = header.origin_mm;
  volume.spacing_mm = header.spacing_mm;
  volume.direction = header.direction;
  return volume;
}

Volume read_volume_folder(const fs::path& folder) {
  DicomSeries series = choose_ct_series(scan_dicom_folder(folder), folder);
  return read_dicom_series(series);
}

}  // namespace

Volume read_volume(const fs::path& path, NiftiForm form, VolumeDoubts* doubts) {
  std::error_code error;
  if (fs::is_directory(path, error)) return read_volume_folder(path);
  VolumeReading reading{.form = form, .tolerant = false, .doubts = {}};
  ImageHeader header;
  Volume volume = read_volume_file(path, reading, header);
  if (doubts != nullptr) {
    *doubts = std::move(reading.doubts);
  } else {
    for (const auto& note : reading.doubts.notes) log_warning("{}: {}", path.string(), note);
  }
  return volume;
}

void write_nifti(const Volume& volume, const fs::path& file, const std::string& description,
                 bool as_int16) {
  volume.size_dhw();
  const std::string name = file.filename().string();
  if (!name.ends_with(".nii") && !name.ends_with(".nii.gz"))
    throw Error(fmt::format("{}: a NIfTI file must be named .nii or .nii.gz.", file.string()));
  if (description.size() > 79)
    throw Error(fmt::format("{}: a NIfTI description holds 79 characters, found {}.", file.string(),
                            description.size()));
  const auto hu = volume.hu.to(torch::kCPU, torch::kFloat);
  if (!std::isfinite(hu.sum(torch::kDouble).item<double>()))
    throw Error(fmt::format("{}: not written: the volume holds values that are not numbers.",
                            file.string()));
  ImageHeader header;
  header.origin_mm = volume.origin_mm;
  header.spacing_mm = volume.spacing_mm;
  header.direction = volume.direction;
  header.description = description;
  write_image_file((as_int16 ? hu.round().clamp(-32768, 32767).to(torch::kInt16) : hu).contiguous(),
                   header, file);
}

VolumeSummary summarise_volume(const fs::path& file) {
  ImageHeader header;
  VolumeReading reading{.form = NiftiForm::automatic, .tolerant = true, .doubts = {}};
  VolumeSummary summary;
  summary.volume =
      fs::is_directory(file) ? read_volume_folder(file) : read_volume_file(file, reading, header);
  const Volume& volume = summary.volume;
  summary.size_dhw = volume.size_dhw();
  summary.spacing_mm = volume.spacing_mm;
  summary.origin_mm = volume.origin_mm;
  summary.direction = volume.direction;
  summary.hu_min = volume.hu.min().item<float>();
  summary.hu_max = volume.hu.max().item<float>();
  summary.hu_mean = volume.hu.mean(torch::kDouble).item<double>();
  summary.description = header.description;
  summary.doubts = std::move(reading.doubts);
  return summary;
}

}  // namespace x2ctpa
