// The header of a DICOM file as slices of a series.
#include "imaging/dicom/dicom_slice.h"

#include <fmt/format.h>
#include <gdcmReader.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <set>
#include <utility>

#include "imaging/dicom/dicom_structure.h"
#include "imaging/dicom/gdcm_dataset.h"
#include "imaging/files/image_file.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/file_kinds.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// More frames than any scanner writes; a damaged header must not cost memory.
constexpr int64_t most_frames = 20000;

// Row and column cosines made orthonormal; false when they are not nearly so.
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

int64_t first_integer(const gdcm::DataSet& data, uint16_t group, uint16_t element,
                      int64_t fallback) {
  const auto numbers = dicom_numbers(data, group, element);
  if (numbers.empty() || std::abs(numbers[0]) > 1e15) return fallback;
  return int64_t(numbers[0]);
}

bool may_lack_magic(const fs::path& file) {
  return file_ending(file).empty() || is_dicom_named(file);
}

// The number that `count` digits of `text` give; nothing when one is no digit.
std::optional<int> digits(const std::string& text, size_t at, size_t count) {
  if (text.size() < at + count) return std::nullopt;
  int value = 0;
  for (size_t i = at; i < at + count; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    value = 10 * value + (text[i] - '0');
  }
  return value;
}

// Seconds since 1970 of DICOM's DA ("20200131") and TM ("134500.5"); a date without a time is
// noon.
std::optional<double> seconds_of(const std::string& date, const std::string& time) {
  const auto y = digits(date, 0, 4), m = digits(date, 4, 2), d = digits(date, 6, 2);
  if (!y || !m || !d) return std::nullopt;
  const std::chrono::year_month_day day{std::chrono::year(*y), std::chrono::month(unsigned(*m)),
                                        std::chrono::day(unsigned(*d))};
  if (!day.ok()) return std::nullopt;
  const auto days = std::chrono::sys_days(day).time_since_epoch().count();
  const double of_day = 3600.0 * digits(time, 0, 2).value_or(12) +
                        60.0 * digits(time, 2, 2).value_or(0) + digits(time, 4, 2).value_or(0);
  return 86400.0 * double(days) + of_day;
}

std::optional<double> time_of(const gdcm::DataSet& data) {
  if (const auto both = dicom_text(data, 0x0008, 0x002a); both.size() >= 8)
    if (const auto seconds = seconds_of(both.substr(0, 8), both.substr(8))) return seconds;
  for (const auto& [date, time] :
       {std::pair(0x0022, 0x0032), std::pair(0x0021, 0x0031), std::pair(0x0020, 0x0030)})
    if (const auto seconds = seconds_of(dicom_text(data, 0x0008, uint16_t(date)),
                                        dicom_text(data, 0x0008, uint16_t(time))))
      return seconds;
  return std::nullopt;
}

SeriesTags tags_of(const gdcm::DataSet& data) {
  SeriesTags tags;
  tags.patient_id = dicom_text(data, 0x0010, 0x0020);
  tags.patient_name = dicom_text(data, 0x0010, 0x0010);
  tags.study_uid = dicom_text(data, 0x0020, 0x000d);
  tags.accession = dicom_text(data, 0x0008, 0x0050);
  tags.description = dicom_text(data, 0x0008, 0x103e);
  tags.protocol = dicom_text(data, 0x0018, 0x1030);
  tags.image_type = dicom_text(data, 0x0008, 0x0008);
  tags.kernel = dicom_text(data, 0x0018, 0x1210);
  tags.contrast = dicom_text(data, 0x0018, 0x0010);
  tags.view_position = dicom_text(data, 0x0018, 0x5101);
  tags.time_s = time_of(data);
  return tags;
}

// Scouts by the names that the makers of scanners give them.
bool is_localizer(const std::string& image_type) {
  for (const char* word : {"LOCALIZER", "SCOUT", "TOPOGRAM", "SCANOGRAM"})
    if (image_type.find(word) != std::string::npos) return true;
  return false;
}

void fill_header(const gdcm::Reader& reader, SliceHeader& header) {
  static const std::set<std::string> ct_classes{
      "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"};
  const auto& data = reader.GetFile().GetDataSet();
  header.tags = std::make_shared<const SeriesTags>(tags_of(data));
  header.series_uid = dicom_text(data, 0x0020, 0x000e);
  header.modality = dicom_text(data, 0x0008, 0x0060);
  const std::string sop_class = dicom_text(data, 0x0008, 0x0016);
  if (header.modality.empty() && ct_classes.contains(sop_class)) header.modality = "CT";
  header.transfer_syntax = reader.GetFile().GetHeader().GetDataSetTransferSyntax().GetString();
  header.rows = dicom_word(data, 0x0028, 0x0010).value_or(0);
  header.columns = dicom_word(data, 0x0028, 0x0011).value_or(0);
  header.frames = std::clamp<int64_t>(first_integer(data, 0x0028, 0x0008, 1), 1, most_frames);
  header.instance = first_integer(data, 0x0020, 0x0013, 0);
  header.acquisition = first_integer(data, 0x0020, 0x0012, 0);
  header.localizer = is_localizer(header.tags->image_type);
  header.secondary = sop_class.starts_with("1.2.840.10008.5.1.4.1.1.7");
  header.has_rescale = rescales_of(data, 1)[0].known;
  header.has_geometry =
      set_geometry(dicom_numbers(data, 0x0020, 0x0032), dicom_numbers(data, 0x0020, 0x0037),
                   dicom_numbers(data, 0x0028, 0x0030), header);
}

// Parses up to the pixels; false when GDCM cannot.
bool read_header(const fs::path& file, gdcm::Reader& reader) {
  try {
    std::ifstream stream(file, std::ios::binary);
    reader.SetStream(stream);
    const gdcm::Tag pixels(0x7fe0, 0x0010);
    return reader.ReadUpToTag(pixels, {pixels}) && !reader.GetFile().GetDataSet().IsEmpty();
  } catch (const std::exception&) {
    return false;
  }
}

}  // namespace

bool set_geometry(const std::vector<double>& position, const std::vector<double>& cosines,
                  const std::vector<double>& spacing, SliceHeader& header) {
  if (position.size() != 3 || spacing.size() != 2) return false;
  std::copy_n(position.begin(), 3, header.position.begin());
  for (double p : position)
    if (std::abs(p) > 1e5) return false;
  // PixelSpacing is row pitch, column pitch: y before x.
  header.spacing_xy = {spacing[1], spacing[0]};
  for (double s : spacing)
    if (s <= 1e-3 || s > 100) return false;
  return set_orientation(cosines, header);
}

FileKind parse_slice_headers(const fs::path& file, std::vector<SliceHeader>& slices) {
  prepare_imaging_libraries();
  slices.clear();
  const bool magic = has_dicom_magic(file);
  if (!magic && !may_lack_magic(file)) return FileKind::not_dicom;
  const FileKind failed =
      magic || !file.extension().empty() ? FileKind::broken : FileKind::not_dicom;
  const DicomStructure structure = walk_dicom(file);
  if (!structure.fault.empty()) return failed;
  gdcm::Reader reader;
  if (!read_header(file, reader)) return failed;
  const auto& data = reader.GetFile().GetDataSet();
  // A folder's index is DICOM but holds no image.
  if (dicom_text(data, 0x0008, 0x0016).empty() && !data.FindDataElement(gdcm::Tag(0x0028, 0x0010)))
    return magic ? FileKind::not_dicom : failed;
  try {
    SliceHeader header;
    header.file = file;
    fill_header(reader, header);
    header.truncated = structure.pixels_cut || (header.rows > 0 && !structure.has_pixels);
    if (header.frames > 1)
      slices = frame_headers(data, header);
    else
      slices.push_back(std::move(header));
  } catch (const std::exception&) {
    return failed;
  }
  return FileKind::image;
}

bool is_dicom_image(const fs::path& file) {
  std::vector<SliceHeader> slices;
  return parse_slice_headers(file, slices) != FileKind::not_dicom;
}

SeriesTags read_dicom_tags(const fs::path& file) {
  prepare_imaging_libraries();
  const DicomStructure structure = walk_dicom(file);
  gdcm::Reader reader;
  if (!structure.fault.empty() || !read_header(file, reader))
    throw Error(fmt::format("{}: not a DICOM file, or one whose header is broken{}{}.",
                            file.string(), structure.fault.empty() ? "" : ": ", structure.fault));
  return tags_of(reader.GetFile().GetDataSet());
}

std::optional<CxrView> view_of_position(const std::string& position) {
  static const std::set<std::string> lateral{"LL", "RL", "LAT", "LATERAL", "LLD", "RLD"};
  if (lateral.contains(position)) return CxrView::lateral;
  if (position == "PA" || position == "AP") return CxrView::frontal;
  return std::nullopt;
}

}  // namespace x2ctpa
