#include "dicom_slice.h"

#include <gdcmReader.h>

#include <cmath>

#include "dicom_structure.h"
#include "gdcm_dataset.h"
#include "itk_image_file.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

double dot(const Vec3& a, const Vec3& b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]; }

/// Row and column cosines made orthonormal; false when they are not nearly so.
bool set_orientation(const std::vector<double>& cosines, SliceHeader& header) {
  if (cosines.size() != 6) return false;
  std::copy_n(cosines.begin(), 3, header.row.begin());
  std::copy_n(cosines.begin() + 3, 3, header.column.begin());
  const double row_length = std::sqrt(dot(header.row, header.row));
  const double column_length = std::sqrt(dot(header.column, header.column));
  if (std::abs(row_length - 1) > 0.05 || std::abs(column_length - 1) > 0.05) return false;
  for (double& x : header.row) x /= row_length;
  const double along = dot(header.row, header.column);
  if (std::abs(along) > 0.05) return false;
  for (int i = 0; i < 3; ++i) header.column[i] -= along * header.row[i];
  const double length = std::sqrt(dot(header.column, header.column));
  for (double& x : header.column) x /= length;
  return true;
}

bool set_geometry(const gdcm::DataSet& data, SliceHeader& header) {
  const auto position = dicom_numbers(data, 0x0020, 0x0032);
  const auto spacing = dicom_numbers(data, 0x0028, 0x0030);
  if (position.size() != 3 || spacing.size() != 2) return false;
  std::copy_n(position.begin(), 3, header.position.begin());
  // PixelSpacing is row pitch, column pitch: y before x.
  header.spacing_xy = {spacing[1], spacing[0]};
  for (double s : spacing)
    if (s <= 1e-3 || s > 100) return false;
  return set_orientation(dicom_numbers(data, 0x0020, 0x0037), header);
}

int64_t first_integer(const gdcm::DataSet& data, uint16_t group, uint16_t element, int64_t fallback) {
  const auto numbers = dicom_numbers(data, group, element);
  if (numbers.empty() || std::abs(numbers[0]) > 1e15) return fallback;
  return static_cast<int64_t>(numbers[0]);
}

bool may_lack_magic(const fs::path& file) {
  const auto extension = file.extension().string();
  return extension.empty() || extension == ".dcm" || extension == ".DCM" || extension == ".ima" ||
         extension == ".IMA" || extension == ".dicom";
}

void fill_header(const gdcm::Reader& reader, SliceHeader& header) {
  const auto& data = reader.GetFile().GetDataSet();
  header.series_uid = dicom_text(data, 0x0020, 0x000e);
  header.modality = dicom_text(data, 0x0008, 0x0060);
  const std::string sop_class = dicom_text(data, 0x0008, 0x0016);
  if (header.modality.empty() && sop_class == "1.2.840.10008.5.1.4.1.1.2") header.modality = "CT";
  header.transfer_syntax = reader.GetFile().GetHeader().GetDataSetTransferSyntax().GetString();
  header.rows = dicom_word(data, 0x0028, 0x0010).value_or(0);
  header.columns = dicom_word(data, 0x0028, 0x0011).value_or(0);
  header.frames = std::max<int64_t>(1, first_integer(data, 0x0028, 0x0008, 1));
  header.instance = first_integer(data, 0x0020, 0x0013, 0);
  header.acquisition = first_integer(data, 0x0020, 0x0012, 0);
  header.localizer = dicom_text(data, 0x0008, 0x0008).find("LOCALIZER") != std::string::npos;
  header.has_geometry = set_geometry(data, header);
}

}  // namespace

FileKind parse_slice_header(const fs::path& file, SliceHeader& header) {
  silence_imaging_libraries();
  header = {};
  header.file = file;
  const bool magic = has_dicom_magic(file);
  if (!magic && !may_lack_magic(file)) return FileKind::not_dicom;
  const FileKind failed = magic || !file.extension().empty() ? FileKind::broken : FileKind::not_dicom;
  const DicomStructure structure = walk_dicom(file);
  if (!structure.fault.empty()) return failed;
  try {
    std::ifstream stream(file, std::ios::binary);
    gdcm::Reader reader;
    reader.SetStream(stream);
    const gdcm::Tag pixels(0x7fe0, 0x0010);
    if (!reader.ReadUpToTag(pixels, {pixels})) return failed;
    if (reader.GetFile().GetDataSet().IsEmpty()) return failed;
    // A folder's index is DICOM but holds no image.
    if (dicom_text(reader.GetFile().GetDataSet(), 0x0008, 0x0016).empty() &&
        !reader.GetFile().GetDataSet().FindDataElement(gdcm::Tag(0x0028, 0x0010)))
      return magic ? FileKind::not_dicom : failed;
    fill_header(reader, header);
    header.truncated = structure.pixels_cut || pixels_cut_off(file);
    return FileKind::image;
  } catch (const std::exception&) {
    return failed;
  }
}

torch::Tensor read_slice_hu(const fs::path& file, bool padding_to_air) {
  gdcm::ImageReader reader;
  read_dicom_image(file, reader);
  const auto& data = reader.GetFile().GetDataSet();
  torch::Tensor stored = decode_first_frame(file, reader);
  if (stored.size(2) != 1)
    throw Error(fmt::format("{}: a colour image; expected a CT slice.", file.string()));
  stored = stored.squeeze(2);
  const auto slope_text = dicom_numbers(data, 0x0028, 0x1053);
  const auto intercept_text = dicom_numbers(data, 0x0028, 0x1052);
  const double slope = slope_text.empty() || slope_text[0] == 0 ? 1.0 : slope_text[0];
  const double intercept = intercept_text.empty() ? 0.0 : intercept_text[0];
  torch::Tensor hu = stored * slope + intercept;
  if (!padding_to_air) return hu;
  const auto padding = padding_mask(data, stored);
  if (padding.defined()) {
    // Some writers declare a padding value that ordinary tissue has too: only values that no
    // tissue takes are believed.
    const auto implausible = (hu < -900).logical_or(hu > 3000);
    hu.masked_fill_(padding.logical_and(implausible), -1024);
  }
  return hu.clamp_min_(-1024).nan_to_num_(-1024, -1024, -1024);
}

torch::Tensor read_dicom_slice(const fs::path& file) { return read_slice_hu(file, false); }

}  // namespace x2ctpa
