#include "x2ctpa/imaging/dicom/dicom_export.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "imaging/dicom/dicom_file.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/utf8.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;
using gdcm::VR;

constexpr const char* mark = "SYNTHETIC CTPA, research use only, not for diagnosis";

uint64_t seed_of(const std::string& text) {
  return std::stoull(sha256(text).substr(0, 16), nullptr, 16);
}

// What the UIDs follow from.
struct Seeds {
  uint64_t study, frame, series;
};

Seeds seeds_of(const Volume& volume, const SyntheticSeries& series) {
  const std::string& study = series.study.empty() ? series.unique : series.study;
  std::string place = study;
  for (const Vec3& numbers : {volume.origin_mm, volume.spacing_mm, volume.direction[0],
                              volume.direction[1], volume.direction[2]})
    place += "\n" + decimals({numbers[0], numbers[1], numbers[2]});
  return {seed_of(study), seed_of(place), seed_of(series.unique)};
}

// At most `most` characters; those that part values or names in DICOM become '_'.
std::string plain_text(const std::string& text, size_t most) {
  std::string plain;
  for (const Utf8Part& part : utf8_parts(text)) {
    if (most-- == 0) break;
    const bool bad =
        part.stray || part.code < 0x20 || part.code == '\\' || part.code == '^' || part.code == '=';
    plain += bad ? std::string_view("_") : part.bytes;
  }
  return plain;
}

// An id of at most 50 characters, so that "SYNTHETIC^" before it fits a name; of a longer one the
// end becomes a digest, since two patients may differ only there.
std::string short_id(const std::string& id) {
  constexpr size_t most = 50, digest = 8;
  if (utf8_parts(id).size() <= most) return plain_text(id, most);
  return plain_text(id, most - digest - 1) + "-" + sha256(id).substr(0, digest);
}

// Patient, study, series and equipment: the same in every slice. Of type 2 and unknown means empty.
void add_series(DicomFile& file, const SyntheticSeries& series, const Seeds& seeds) {
  const std::string subject = short_id(series.subject_id);
  const std::string description =
      series.which.empty()
          ? mark
          : plain_text("SYNTHETIC CTPA, " + series.which + ", research use only", 64);
  file.text(0x0008, 0x0005, VR::CS, "ISO_IR 192");
  file.text(0x0008, 0x0008, VR::CS, "DERIVED\\SECONDARY\\AXIAL");
  file.text(0x0008, 0x001c, VR::CS, "YES");
  file.text(0x0008, 0x0020, VR::DA, "");
  file.text(0x0008, 0x0030, VR::TM, "");
  file.text(0x0008, 0x0050, VR::SH, "");
  file.text(0x0008, 0x0060, VR::CS, "CT");
  file.text(0x0008, 0x0064, VR::CS, "SYN");
  file.text(0x0008, 0x0070, VR::LO, "x2ctpa");
  file.text(0x0008, 0x0090, VR::PN, "");
  file.text(0x0008, 0x1030, VR::LO, mark);
  file.text(0x0008, 0x103e, VR::LO, description);
  file.text(0x0008, 0x1090, VR::LO, "x2ctpa, latent diffusion from a chest X-ray");
  file.text(0x0008, 0x2111, VR::ST, series.derivation.substr(0, 1024));
  file.text(0x0010, 0x0010, VR::PN, "SYNTHETIC^" + subject);
  file.text(0x0010, 0x0020, VR::LO, subject);
  file.text(0x0010, 0x0030, VR::DA, "");
  file.text(0x0010, 0x0040, VR::CS, "");
  file.text(0x0012, 0x0062, VR::CS, "YES");
  file.text(0x0012, 0x0063, VR::LO, "Generated; no element comes from a patient's file");
  file.text(0x0018, 0x0015, VR::CS, "CHEST");
  file.text(0x0018, 0x0060, VR::DS, "");
  file.text(0x0018, 0x1020, VR::LO, series.version.substr(0, 64));
  file.text(0x0018, 0x5100, VR::CS, "HFS");
  file.text(0x0020, 0x000d, VR::UI, make_uid(seeds.study, "study"));
  file.text(0x0020, 0x000e, VR::UI, make_uid(seeds.series, "series"));
  file.text(0x0020, 0x0010, VR::SH, "");
  file.text(0x0020, 0x0011, VR::IS, std::to_string(series.number));
  file.text(0x0020, 0x0012, VR::IS, "1");
  file.text(0x0020, 0x0052, VR::UI, make_uid(seeds.frame, "frame"));
  file.text(0x0020, 0x1040, VR::LO, "");
  file.text(0x0020, 0x4000, VR::LT, mark);
  file.text(0x0028, 0x0301, VR::CS, "NO");
}

void write_slice(const Volume& volume, const at::Tensor& stored, int64_t k, const fs::path& path,
                 const SyntheticSeries& series, const Seeds& seeds) {
  const auto [depth, rows, columns] = volume.size_dhw();
  DicomFile file;
  add_series(file, series, seeds);
  file.text(0x0020, 0x0013, VR::IS, std::to_string(k + 1));
  file.slice_geometry(volume, k);
  file.text(0x0028, 0x0004, VR::CS, "MONOCHROME2");
  file.text(0x0028, 0x1050, VR::DS, decimal(series.window_centre_hu));
  file.text(0x0028, 0x1051, VR::DS, decimal(series.window_width_hu));
  file.text(0x0028, 0x1052, VR::DS, "-1024");
  file.text(0x0028, 0x1053, VR::DS, "1");
  file.text(0x0028, 0x1054, VR::LO, "HU");
  const int32_t* values = stored.const_data_ptr<int32_t>() + k * rows * columns;
  file.pixels(std::vector<uint16_t>(values, values + rows * columns), rows, columns, 16);
  file.write(path, ct_storage, make_uid(seeds.series, fmt::format("slice/{}", k + 1)));
}

}  // namespace

void write_synthetic_series(const Volume& volume, const fs::path& folder,
                            const SyntheticSeries& series) {
  const auto [depth, rows, columns] = volume.size_dhw();
  check_dicom_sides(rows, columns, folder);
  const auto stored = (volume.hu.to(torch::kFloat).round().clamp(-1024, 3071) + 1024)
                          .to(torch::kInt32)
                          .contiguous();
  const Seeds seeds = seeds_of(volume, series);
  const fs::path part = partial_path(folder);
  std::error_code ignored;
  try {
    fs::remove_all(part, ignored);
    make_dicom_folder(part);
    for (int64_t k = 0; k < depth; ++k) {
      write_slice(volume, stored, k, part / fmt::format("{:04}.dcm", k + 1), series, seeds);
    }
    fs::remove_all(folder);
    fs::rename(part, folder);
  } catch (const std::exception& e) {
    fs::remove_all(part, ignored);
    throw translate_exception(e, "cannot write " + folder.string());
  }
}

}  // namespace x2ctpa
