#include "imaging/dicom/gdcm_dataset.h"

#include <fmt/format.h>
#include <gdcmPixmap.h>

#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <system_error>
#include <utility>

#include "imaging/dicom/dicom_structure.h"
#include "imaging/files/image_file.h"
#include "imaging/files/picture_checks.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

const gdcm::ByteValue* bytes_of(const gdcm::DataSet& data, uint16_t group, uint16_t element) {
  const gdcm::Tag tag(group, element);
  if (!data.FindDataElement(tag)) return nullptr;
  return data.GetDataElement(tag).GetByteValue();
}

[[noreturn]] void refuse_cut_pixels(const fs::path& file) {
  throw Error(fmt::format(
      "{}: truncated: the file ends before the last of its pixels. Copy it again from its source.",
      file.string()));
}

}  // namespace

std::string dicom_text(const gdcm::DataSet& data, uint16_t group, uint16_t element) {
  const auto* bytes = bytes_of(data, group, element);
  if (!bytes || !bytes->GetPointer()) return {};
  std::string text(bytes->GetPointer(), bytes->GetLength());
  const auto padding = [](unsigned char c) { return c == 0 || std::isspace(c); };
  while (!text.empty() && padding(text.back())) text.pop_back();
  size_t first = 0;
  while (first < text.size() && padding(text[first])) ++first;
  return text.substr(first);
}

std::vector<double> dicom_numbers(const gdcm::DataSet& data, uint16_t group, uint16_t element) {
  std::string text = dicom_text(data, group, element);
  std::vector<double> numbers;
  if (text.empty()) return numbers;
  size_t start = 0;
  while (start <= text.size()) {
    const size_t stop = std::min(text.find('\\', start), text.size());
    // Not strtod, which would read "0,7" as 0 or as 0.7 by the user's locale.
    const char* first = text.data() + start;
    const char* last = text.data() + stop;
    while (first < last && (*first == ' ' || *first == '+')) ++first;
    double value = 0;
    const auto result = std::from_chars(first, last, value);
    if (result.ec != std::errc() || !std::isfinite(value)) return {};
    for (const char* rest = result.ptr; rest < last; ++rest)
      if (*rest != ' ' && *rest != '\0') return {};
    numbers.push_back(value);
    start = stop + 1;
  }
  return numbers;
}

std::vector<uint16_t> dicom_words(const gdcm::DataSet& data, uint16_t group, uint16_t element) {
  const auto* bytes = bytes_of(data, group, element);
  if (!bytes || !bytes->GetPointer()) return {};
  std::vector<uint16_t> words(bytes->GetLength() / 2);
  if (!words.empty()) std::memcpy(words.data(), bytes->GetPointer(), words.size() * 2);
  return words;
}

std::optional<uint16_t> dicom_word(const gdcm::DataSet& data, uint16_t group, uint16_t element) {
  const auto words = dicom_words(data, group, element);
  if (words.empty()) return std::nullopt;
  return words.front();
}

bool has_dicom_magic(const fs::path& file) {
  char head[132] = {};
  std::ifstream in(file, std::ios::binary);
  in.read(head, sizeof head);
  return in.gcount() == sizeof head && std::memcmp(head + 128, "DICM", 4) == 0;
}

void read_dicom_image(const fs::path& file, DicomReader& reader) {
  prepare_imaging_libraries();
  bool read = false;
  std::error_code error;
  if (!fs::is_regular_file(file, error))
    throw Error(fmt::format("{}: no such file.", file.string()));
  const DicomStructure structure = walk_dicom(file);
  if (!structure.fault.empty())
    throw Error(fmt::format("{}: {}: {}. Copy it again from its source.", file.string(),
                            has_dicom_magic(file)
                                ? "broken DICOM file"
                                : "not a DICOM file, or one whose header is broken",
                            structure.fault));
  if (!structure.has_pixels)
    throw Error(fmt::format(
        "{}: it holds no pixel data (modality '{}'); the file is truncated or not an image.",
        file.string(), structure.modality));
  if (structure.pixels_cut) refuse_cut_pixels(file);
  try {
    reader.SetFileName(file.c_str());
    read = reader.Read();
  } catch (const std::exception& e) {
    throw Error(
        fmt::format("{}: broken DICOM file: it cannot be parsed. Copy it again from its source.",
                    file.string()));
  }
  if (read) return;
  const auto& data = reader.GetFile().GetDataSet();
  if (data.IsEmpty())
    throw Error(fmt::format("{}: not a DICOM file, or one whose header is broken.", file.string()));
  throw Error(fmt::format(
      "{}: broken DICOM file: its image cannot be read (truncated, or a transfer syntax that "
      "is not supported).",
      file.string()));
}

namespace {

torch::ScalarType stored_type(const gdcm::PixelFormat& format, const fs::path& file) {
  switch (format.GetScalarType()) {
    case gdcm::PixelFormat::UINT8:
      return torch::kUInt8;
    case gdcm::PixelFormat::INT8:
      return torch::kInt8;
    case gdcm::PixelFormat::UINT12:
    case gdcm::PixelFormat::UINT16:
      return torch::kUInt16;
    case gdcm::PixelFormat::INT12:
    case gdcm::PixelFormat::INT16:
      return torch::kInt16;
    case gdcm::PixelFormat::UINT32:
      return torch::kUInt32;
    case gdcm::PixelFormat::INT32:
      return torch::kInt32;
    case gdcm::PixelFormat::FLOAT32:
      return torch::kFloat;
    case gdcm::PixelFormat::FLOAT64:
      return torch::kDouble;
    default:
      break;
  }
  throw Error(fmt::format("{}: its pixels are of a type that is not supported ({}).", file.string(),
                          format.GetScalarTypeAsString()));
}

// Width and height after checking them, since GDCM allocates whatever the header says.
std::array<int64_t, 2> checked_size(const gdcm::Pixmap& image, const fs::path& file) {
  const int64_t width = image.GetDimension(0), height = image.GetDimension(1);
  if (width < 2 || height < 2 || width > largest_picture_side || height > largest_picture_side)
    throw Error(fmt::format("{}: an image of {} x {} pixels; expected sides between 2 and {}.",
                            file.string(), width, height, largest_picture_side));
  return {height, width};
}

}  // namespace

StoredPixels decode_pixels(const fs::path& file, const DicomReader& reader) {
  constexpr size_t most_bytes = size_t{1} << 30;
  const gdcm::Pixmap& image = reader.GetImage();
  StoredPixels pixels;
  const auto [height, width] = checked_size(image, file);
  pixels.height = height;
  pixels.width = width;
  const auto& format = image.GetPixelFormat();
  pixels.type = stored_type(format, file);
  pixels.samples = format.GetSamplesPerPixel();
  pixels.planar = pixels.samples > 1 && image.GetPlanarConfiguration() == 1;
  bool decoded = false;
  try {
    const size_t frame =
        size_t(pixels.height * pixels.width * pixels.samples) * c10::elementSize(pixels.type);
    const size_t length = image.GetBufferLength();
    if (length < frame || length > most_bytes)
      throw Error(
          fmt::format("{}: its header says {} bytes of pixels; expected {} a frame and at most {}.",
                      file.string(), length, frame, most_bytes));
    require_possible_size(file, double(length));
    pixels.frames = int64_t(length / frame);
    pixels.bytes.resize(length);
    decoded = image.GetBuffer(pixels.bytes.data());
  } catch (const Error&) {
    throw;
  } catch (const std::exception&) {
    decoded = false;
  }
  if (!decoded)
    throw Error(fmt::format(
        "{}: its pixels cannot be decoded (transfer syntax {}); the file is truncated or "
        "damaged.",
        file.string(), reader.GetFile().GetHeader().GetDataSetTransferSyntax().GetString()));
  return pixels;
}

at::Tensor decode_first_frame(const fs::path& file, const DicomReader& reader) {
  StoredPixels pixels = decode_pixels(file, reader);
  const auto shape = pixels.planar
                         ? std::vector<int64_t>{pixels.samples, pixels.height, pixels.width}
                         : std::vector<int64_t>{pixels.height, pixels.width, pixels.samples};
  auto values =
      torch::from_blob(pixels.bytes.data(), shape, torch::TensorOptions().dtype(pixels.type))
          .to(torch::kFloat);
  if (pixels.planar) values = values.permute({1, 2, 0});
  // A float picture shares the buffer's memory until it is copied.
  return pixels.type == torch::kFloat ? values.clone() : values.contiguous();
}

std::optional<std::pair<double, double>> padding_range(const gdcm::DataSet& data) {
  const auto value = dicom_word(data, 0x0028, 0x0120);
  if (!value) return std::nullopt;
  const auto limit = dicom_word(data, 0x0028, 0x0121);
  const bool is_signed = dicom_word(data, 0x0028, 0x0103).value_or(0) == 1;
  // The word is read by the sign of the pixels: writers often give it the other VR.
  const auto number = [&](uint16_t word) {
    return is_signed ? double(int16_t(word)) : double(word);
  };
  const double a = number(*value), b = limit ? number(*limit) : a;
  return std::pair(std::min(a, b), std::max(a, b));
}

at::Tensor padding_mask(const gdcm::DataSet& data, const at::Tensor& stored) {
  const auto range = padding_range(data);
  if (!range) return {};
  return (stored >= range->first).logical_and(stored <= range->second);
}

}  // namespace x2ctpa
