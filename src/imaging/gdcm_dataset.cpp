#include "gdcm_dataset.h"

#include <gdcmImage.h>

#include <charconv>
#include <cmath>
#include <cstring>

#include "dicom_structure.h"
#include "itk_image_file.h"
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
  throw Error(fmt::format("{}: truncated: the file ends before the last of its pixels. Copy it again from its source.",
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

bool pixels_cut_off(const fs::path& file) {
  std::ifstream stream(file, std::ios::binary);
  gdcm::Reader reader;
  reader.SetStream(stream);
  const gdcm::Tag pixels(0x7fe0, 0x0010);
  if (!reader.ReadUpToTag(pixels, {pixels})) return true;
  const auto& syntax = reader.GetFile().GetHeader().GetDataSetTransferSyntax();
  if (syntax.IsEncapsulated() || syntax == gdcm::TransferSyntax::DeflatedExplicitVRLittleEndian) return false;
  const auto& data = reader.GetFile().GetDataSet();
  double bytes = dicom_word(data, 0x0028, 0x0100).value_or(16) / 8.0;
  for (const uint16_t element : {0x0010, 0x0011}) bytes *= dicom_word(data, 0x0028, element).value_or(0);
  bytes *= dicom_word(data, 0x0028, 0x0002).value_or(1);
  const auto frames = dicom_numbers(data, 0x0028, 0x0008);
  bytes *= frames.empty() ? 1 : std::max(1.0, frames[0]);
  // The reader stops where the pixels begin, or at the end of a file without any.
  if (stream.eof()) return true;
  return static_cast<double>(fs::file_size(file)) - static_cast<double>(stream.tellg()) < bytes;
}

void read_dicom_image(const fs::path& file, gdcm::ImageReader& reader) {
  silence_imaging_libraries();
  bool read = false;
  std::error_code error;
  if (!fs::is_regular_file(file, error)) throw Error(fmt::format("{}: no such file.", file.string()));
  const DicomStructure structure = walk_dicom(file);
  if (!structure.fault.empty())
    throw Error(fmt::format("{}: {}: {}. Copy it again from its source.", file.string(),
                            has_dicom_magic(file) ? "broken DICOM file"
                                                  : "not a DICOM file, or one whose header is broken",
                            structure.fault));
  if (!structure.has_pixels)
    throw Error(fmt::format("{}: it holds no pixel data (modality '{}'); the file is truncated or not an image.",
                            file.string(), structure.modality));
  if (structure.pixels_cut) refuse_cut_pixels(file);
  try {
    reader.SetFileName(file.c_str());
    read = reader.Read();
  } catch (const std::exception& e) {
    throw Error(fmt::format("{}: broken DICOM file: it cannot be parsed. Copy it again from its source.",
                            file.string()));
  }
  if (read && pixels_cut_off(file)) refuse_cut_pixels(file);
  if (read) return;
  const auto& data = reader.GetFile().GetDataSet();
  if (data.IsEmpty())
    throw Error(fmt::format("{}: not a DICOM file, or one whose header is broken.", file.string()));
  throw Error(fmt::format("{}: broken DICOM file: its image cannot be read (truncated, or a transfer syntax that "
                          "is not supported).", file.string()));
}

namespace {

torch::ScalarType stored_type(const gdcm::PixelFormat& format, const fs::path& file) {
  switch (format.GetScalarType()) {
    case gdcm::PixelFormat::UINT8: return torch::kUInt8;
    case gdcm::PixelFormat::INT8: return torch::kInt8;
    case gdcm::PixelFormat::UINT12:
    case gdcm::PixelFormat::UINT16: return torch::kUInt16;
    case gdcm::PixelFormat::INT12:
    case gdcm::PixelFormat::INT16: return torch::kInt16;
    case gdcm::PixelFormat::UINT32: return torch::kUInt32;
    case gdcm::PixelFormat::INT32: return torch::kInt32;
    case gdcm::PixelFormat::FLOAT32: return torch::kFloat;
    case gdcm::PixelFormat::FLOAT64: return torch::kDouble;
    default: break;
  }
  throw Error(fmt::format("{}: its pixels are of a type that is not supported ({}).", file.string(),
                          format.GetScalarTypeAsString()));
}

/// Width and height after checking them, since GDCM allocates whatever the header says.
std::array<int64_t, 2> checked_size(const gdcm::Image& image, const fs::path& file) {
  const int64_t width = image.GetDimension(0), height = image.GetDimension(1);
  if (width < 2 || height < 2 || width > largest_picture_side || height > largest_picture_side)
    throw Error(fmt::format("{}: an image of {} x {} pixels; expected sides between 2 and {}.", file.string(),
                            width, height, largest_picture_side));
  return {height, width};
}

}  // namespace

torch::Tensor decode_first_frame(const fs::path& file, const gdcm::ImageReader& reader) {
  const gdcm::Image& image = reader.GetImage();
  const auto [height, width] = checked_size(image, file);
  const auto& format = image.GetPixelFormat();
  const auto type = stored_type(format, file);
  const int64_t samples = format.GetSamplesPerPixel();
  std::vector<char> buffer;
  bool decoded = false;
  try {
    const size_t frame = static_cast<size_t>(height * width * samples) * c10::elementSize(type);
    const size_t length = image.GetBufferLength();
    if (length < frame || length > (size_t{1} << 32))
      throw Error(fmt::format("{}: its header says {} bytes of pixels; expected {} a frame.", file.string(),
                              length, frame));
    buffer.resize(length);
    decoded = image.GetBuffer(buffer.data());
  } catch (const Error&) {
    throw;
  } catch (const std::exception&) {
    decoded = false;
  }
  if (!decoded)
    throw Error(fmt::format("{}: its pixels cannot be decoded (transfer syntax {}); the file is truncated or "
                            "damaged.", file.string(),
                            reader.GetFile().GetHeader().GetDataSetTransferSyntax().GetString()));
  const bool planar = samples > 1 && image.GetPlanarConfiguration() == 1;
  const auto shape = planar ? std::vector<int64_t>{samples, height, width}
                            : std::vector<int64_t>{height, width, samples};
  auto values = torch::from_blob(buffer.data(), shape, torch::TensorOptions().dtype(type)).to(torch::kFloat);
  if (planar) values = values.permute({1, 2, 0});
  // A float picture shares the buffer's memory until it is copied.
  return type == torch::kFloat ? values.clone() : values.contiguous();
}

torch::Tensor padding_mask(const gdcm::DataSet& data, const torch::Tensor& stored) {
  const auto value = dicom_word(data, 0x0028, 0x0120);
  if (!value) return {};
  const auto limit = dicom_word(data, 0x0028, 0x0121);
  const bool is_signed = dicom_word(data, 0x0028, 0x0103).value_or(0) == 1;
  // The word is read by the sign of the pixels: writers often give it the other VR.
  const auto number = [&](uint16_t word) {
    return is_signed ? static_cast<double>(static_cast<int16_t>(word)) : static_cast<double>(word);
  };
  const double a = number(*value), b = limit ? number(*limit) : a;
  return (stored >= std::min(a, b)).logical_and(stored <= std::max(a, b));
}

}  // namespace x2ctpa
