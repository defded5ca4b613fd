// DICOM, volume files, pictures and archives.
#include <ATen/ATen.h>

#include <array>
#include <filesystem>
#include <span>
#include <string_view>

#include "fuzz/targets.h"
#include "imaging/dicom/dicom_structure.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/data/studies/archive.h"
#include "x2ctpa/imaging/dicom/ct_choice.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa::fuzz {
namespace {

namespace fs = std::filesystem;

template <class F>
void refusable(F read) {
  try {
    read();
  } catch (const Error&) {
  }
}

void dicom_walk(std::string_view bytes, const fs::path& folder) {
  const DicomStructure found = walk_dicom(put(bytes, folder, "a.dcm"));
  require(found.has_pixels || !found.pixels_cut, "pixels that are cut and not there");
}

void dicom(std::string_view bytes, const fs::path& folder) {
  const fs::path file = put(bytes, folder, "a.dcm");
  refusable([&] { require(read_dicom_slice(file).dim() == 2, "a slice that is none"); });
  refusable([&] { read_dicom_tags(file); });
  refusable([&] { require(read_radiograph(file).pixels.dim() == 2, "an X-ray that is none"); });
  for (DicomSeries& series : scan_dicom_files({file}))
    if (series.readable())
      refusable([&] { require(read_dicom_series(series).hu.dim() == 3, "no volume"); });
}

void volume(std::string_view bytes, const fs::path& folder, std::string_view name) {
  const Volume read = read_volume(put(bytes, folder, name));
  require(read.hu.dim() == 3 && read.hu.isfinite().all().item<bool>(), "an unsound volume");
  for (const double s : read.spacing_mm) require(s > 0 && s <= 1000, "an unsound spacing");
}

void nifti(std::string_view bytes, const fs::path& folder) {
  const bool packed = bytes.starts_with("\x1f\x8b");
  volume(bytes, folder, packed ? "a.nii.gz" : "a.nii");
}

void nrrd(std::string_view bytes, const fs::path& folder) { volume(bytes, folder, "a.nrrd"); }
void metaimage(std::string_view bytes, const fs::path& folder) { volume(bytes, folder, "a.mha"); }

// As `info` reads, which refuses less.
void summary(std::string_view bytes, const fs::path& folder) {
  const bool meta = bytes.starts_with("ObjectType"), nrrd = bytes.starts_with("NRRD");
  summarise_volume(put(bytes, folder, meta ? "a.mha" : nrrd ? "a.nrrd" : "a.nii"));
}

void picture(std::string_view bytes, const fs::path& folder) {
  const Radiograph xray = read_radiograph(put(bytes, folder, "a.png"));
  require(xray.pixels.isfinite().all().item<bool>(), "an unsound picture");
}

void archive(std::string_view bytes, const fs::path& folder) {
  ArchiveLimits limits;
  limits.bytes = 1 << 22;
  limits.files = 50;
  const Unpacked unpacked(put(bytes, folder, "a.zip"), limits);
  for (const auto& entry : fs::recursive_directory_iterator(unpacked.folder()))
    require(!entry.is_symlink(), "a link came out of an archive");
}

constexpr std::array targets{Target{"dicom_walk", dicom_walk}, Target{"dicom", dicom},
                             Target{"nifti", nifti},           Target{"nrrd", nrrd},
                             Target{"metaimage", metaimage},   Target{"summary", summary},
                             Target{"picture", picture},       Target{"archive", archive}};

}  // namespace

std::span<const Target> image_targets() { return targets; }

}  // namespace x2ctpa::fuzz
