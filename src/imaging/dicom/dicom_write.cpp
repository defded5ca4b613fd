#include "x2ctpa/imaging/dicom/dicom_write.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "imaging/dicom/dicom_file.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

constexpr const char* dx_storage = "1.2.840.10008.5.1.4.1.1.1.1";  // for presentation
constexpr double intercept_hu = -1024;
// Simulated patients live on one day, so that the same seed gives the same bytes.
constexpr const char* study_date = "20200101";

// Patient, study and series: what all files of a study share.
void add_study(DicomFile& file, const DicomTags& tags, const char* modality, const char* series) {
  using gdcm::VR;
  file.text(0x0008, 0x0005, VR::CS, "ISO_IR 100");
  file.text(0x0008, 0x0020, VR::DA, study_date);
  file.text(0x0008, 0x0030, VR::TM, "120000");
  file.text(0x0008, 0x0050, VR::SH, tags.patient_id);
  file.text(0x0008, 0x0060, VR::CS, modality);
  file.text(0x0008, 0x0070, VR::LO, "x2ctpa phantom");
  file.text(0x0008, 0x0090, VR::PN, "");
  file.text(0x0008, 0x103e, VR::LO, std::string("SYNTHETIC ") + series);
  file.text(0x0010, 0x0010, VR::PN, "Phantom^" + tags.patient_id);
  file.text(0x0010, 0x0020, VR::LO, tags.patient_id);
  file.text(0x0010, 0x0030, VR::DA, "");
  file.text(0x0010, 0x0040, VR::CS, tags.sex);
  file.text(0x0018, 0x0015, VR::CS, "CHEST");
  file.text(0x0020, 0x000d, VR::UI, make_uid(tags.uid_seed, std::string(modality) + "/study"));
  file.text(0x0020, 0x000e, VR::UI, make_uid(tags.uid_seed, std::string(modality) + "/series"));
  file.text(0x0020, 0x0010, VR::SH, "1");
  file.text(0x0020, 0x0011, VR::IS, "2");
}

struct CtSeries {
  const Volume& volume;
  const DicomTags& tags;
  at::Tensor hu;
};

void write_slice(const CtSeries& series, int64_t k, const fs::path& path) {
  using gdcm::VR;
  const Volume& v = series.volume;
  const auto [depth, rows, columns] = v.size_dhw();
  const int64_t number = depth - k;
  DicomFile file;
  add_study(file, series.tags, "CT", "CTPA");
  file.text(0x0008, 0x0008, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL");
  file.text(0x0018, 0x0010, VR::LO, "iodine");
  file.text(0x0018, 0x0060, VR::DS, "120");
  file.text(0x0018, 0x5100, VR::CS, "HFS");
  file.text(0x0020, 0x0012, VR::IS, "1");
  file.text(0x0020, 0x0013, VR::IS, std::to_string(number));
  file.slice_geometry(v, k);
  file.text(0x0020, 0x0052, VR::UI, make_uid(series.tags.uid_seed, "CT/frame"));
  file.text(0x0020, 0x1040, VR::LO, "");
  file.text(0x0028, 0x0004, VR::CS, "MONOCHROME2");
  file.text(0x0028, 0x1050, VR::DS, "150");
  file.text(0x0028, 0x1051, VR::DS, "700");
  file.text(0x0028, 0x1052, VR::DS, decimal(intercept_hu));
  file.text(0x0028, 0x1053, VR::DS, "1");
  file.text(0x0028, 0x1054, VR::LO, "HU");
  const float* hu = series.hu.const_data_ptr<float>() + k * rows * columns;
  std::vector<uint16_t> pixels(rows * columns);
  for (size_t i = 0; i < pixels.size(); ++i)
    pixels[i] = uint16_t(std::lround(std::clamp(hu[i], -1024.0f, 3071.0f)) + 1024);
  file.pixels(pixels, rows, columns, 12);
  file.write(path, ct_storage, make_uid(series.tags.uid_seed, fmt::format("CT/{}", number)));
}

}  // namespace

void write_ct_series(const Volume& volume, const fs::path& folder, const DicomTags& tags) {
  if (volume.hu.dim() != 3)
    throw Error(fmt::format("writing {}: a CT series needs a volume (D, H, W); found {} axes.",
                            folder.string(), volume.hu.dim()));
  check_dicom_sides(volume.hu.size(1), volume.hu.size(2), folder);
  make_dicom_folder(folder);
  const CtSeries series{volume, tags, volume.hu.to(torch::kFloat).contiguous()};
  const int64_t depth = volume.hu.size(0);
  std::vector<int64_t> names(depth);
  std::iota(names.begin(), names.end(), 1);
  for (int64_t i = depth - 1; i > 0; --i) {
    const uint64_t draw = stream_seed(int64_t(tags.uid_seed), fmt::format("file/{}", i));
    std::swap(names[i], names[draw % (i + 1)]);
  }
  for (int64_t k = 0; k < depth; ++k)
    write_slice(series, k, folder / fmt::format("IM{:05}.dcm", names[k]));
}

void write_cxr(const at::Tensor& picture, const fs::path& path, const CxrTags& tags) {
  using gdcm::VR;
  if (picture.dim() != 2)
    throw Error(fmt::format("writing {}: an X-ray needs a picture (H, W); found {} axes.",
                            path.string(), picture.dim()));
  const int64_t rows = picture.size(0), columns = picture.size(1);
  check_dicom_sides(rows, columns, path);
  if (path.has_parent_path()) make_dicom_folder(path.parent_path());
  const bool lateral = tags.view == CxrView::lateral;
  DicomFile file;
  add_study(file, tags, "DX", lateral ? "CXR lateral" : "CXR");
  file.text(0x0008, 0x0008, VR::CS, "ORIGINAL\\PRIMARY");
  file.text(0x0008, 0x0068, VR::CS, "FOR PRESENTATION");
  file.code(0x0008, 0x2218, "51185008", "SCT", "Chest");
  // Type 2: there, and empty where nothing is known.
  file.text(0x0018, 0x7004, VR::CS, "");
  file.text(0x0040, 0x0555, VR::SQ, "");
  file.text(0x0018, 0x1508, VR::CS, "NONE");
  file.text(0x0018, 0x5101, VR::CS, lateral ? "LL" : "PA");
  file.text(0x0020, 0x0013, VR::IS, lateral ? "2" : "1");
  file.text(0x0020, 0x0020, VR::CS, lateral ? "P\\F" : "L\\F");
  file.text(0x0020, 0x0062, VR::CS, "U");
  file.text(0x0028, 0x0004, VR::CS, tags.mono1 ? "MONOCHROME1" : "MONOCHROME2");
  if (tags.pixel_spacing_mm > 0) {
    const double pitch = tags.pixel_spacing_mm;
    file.text(0x0018, 0x1164, VR::DS, decimals({pitch, pitch}));
    file.text(0x0028, 0x0030, VR::DS, decimals({pitch, pitch}));
  }
  file.text(0x0028, 0x0301, VR::CS, "NO");
  file.text(0x0028, 0x1040, VR::CS, "LIN");
  // -1: higher values mean less X-ray intensity, as bone bright does; inverted values, +1.
  file.number(0x0028, 0x1041, uint16_t(tags.mono1 ? 1 : -1), VR::SS);
  file.text(0x0028, 0x1050, VR::DS, "2048");
  file.text(0x0028, 0x1051, VR::DS, "4096");
  file.text(0x0028, 0x1052, VR::DS, "0");
  file.text(0x0028, 0x1053, VR::DS, "1");
  file.text(0x0028, 0x1054, VR::LO, "US");
  file.text(0x0028, 0x2110, VR::CS, "00");
  file.text(0x2050, 0x0020, VR::CS, tags.mono1 ? "INVERSE" : "IDENTITY");
  const at::Tensor grey = picture.to(torch::kFloat).contiguous();
  const float* values = grey.const_data_ptr<float>();
  std::vector<uint16_t> pixels(rows * columns);
  for (size_t i = 0; i < pixels.size(); ++i) {
    const long level = std::lround(std::clamp(values[i], 0.0f, 1.0f) * 4095.0f);
    pixels[i] = uint16_t(tags.mono1 ? 4095 - level : level);
  }
  file.pixels(pixels, rows, columns, 12);
  file.write(path, dx_storage, make_uid(tags.uid_seed, lateral ? "DX/2" : "DX/1"));
}

}  // namespace x2ctpa
