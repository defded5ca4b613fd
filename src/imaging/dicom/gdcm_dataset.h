// Reading values and pixels out of GDCM's data sets without its defaults for what is absent.
#pragma once

#include <gdcmDataSet.h>
#include <gdcmPixmapReader.h>
#include <torch/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace x2ctpa {

/// The text of an element without padding; empty when absent.
std::string dicom_text(const gdcm::DataSet& data, uint16_t group, uint16_t element);

/// The decimal numbers of an element ("0.7\0.7"); empty when absent or malformed.
std::vector<double> dicom_numbers(const gdcm::DataSet& data, uint16_t group, uint16_t element);

/// The first 16-bit word of a US, SS or "US or SS" element.
std::optional<uint16_t> dicom_word(const gdcm::DataSet& data, uint16_t group, uint16_t element);

/// All 16-bit words of an element, as lookup tables hold them.
std::vector<uint16_t> dicom_words(const gdcm::DataSet& data, uint16_t group, uint16_t element);

/// True when the file has the DICOM magic.
bool has_dicom_magic(const std::filesystem::path& file);

/// A file with its pixels still compressed. Not gdcm::ImageReader, which also works out the
/// geometry, ends the process where enhanced files do not hold what it expects, and is not needed
/// for it here.
class DicomReader : public gdcm::PixmapReader {
 public:
  const gdcm::Pixmap& GetImage() const { return GetPixmap(); }
};

/// Reads a whole file into `reader`, pixels still compressed. Throws Error naming the file and why
/// it is not a DICOM image.
void read_dicom_image(const std::filesystem::path& file, DicomReader& reader);

/// The stored values of every frame, as the file's own type.
struct StoredPixels {
  std::vector<char>
      bytes;  ///< frames, rows, columns, samples (planar pictures: samples before rows)
  torch::ScalarType type = torch::kInt16;
  int64_t frames = 1, height = 0, width = 0, samples = 1;
  bool planar = false;
};

/// Decodes a file of at most 1 GiB of pixels. Throws Error.
StoredPixels decode_pixels(const std::filesystem::path& file, const DicomReader& reader);

/// The stored values of the first frame as float32 (H, W, samples). Throws Error.
at::Tensor decode_first_frame(const std::filesystem::path& file, const DicomReader& reader);

/// The range of stored values that the header calls padding, by PixelPaddingValue and its range
/// limit, whatever sign its VR claims.
std::optional<std::pair<double, double>> padding_range(const gdcm::DataSet& data);

/// Mask (H, W) of the pixels within padding_range; undefined when there is none. `stored` is (H,
/// W).
at::Tensor padding_mask(const gdcm::DataSet& data, const at::Tensor& stored);

}  // namespace x2ctpa
