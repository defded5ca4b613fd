#include "x2ctpa/imaging/radiograph.h"

#include "gdcm_dataset.h"
#include "picture_io.h"
#include "radiograph_dicom.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

constexpr int64_t smallest_side = 16;   ///< below this a file holds an icon, not a film
constexpr double widest_aspect = 2.0;   ///< frontal films are between 1:1 and 1:1.5

std::string lower_extension(const fs::path& file) {
  std::string extension = file.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return extension;
}

void check_size(int64_t height, int64_t width, const fs::path& file) {
  if (height < smallest_side || width < smallest_side || height > largest_picture_side ||
      width > largest_picture_side)
    throw Error(fmt::format("{}: a picture of {} x {} pixels; expected sides between {} and {}.", file.string(), width,
                            height, smallest_side, largest_picture_side));
}

Radiograph read_picture(const fs::path& file) {
  ImageHeader header = read_image_header(file, ImageKind::picture);
  if (header.size.size() < 2 || (header.size.size() > 2 && header.size[2] != 1))
    throw Error(fmt::format("{}: expected a single picture, found size {}.", file.string(),
                            fmt::join(header.size, " x ")));
  check_size(header.size[1], header.size[0], file);
  auto samples = read_image_file(file, ImageKind::picture, header);
  samples = samples.reshape({header.size[1], header.size[0], header.components});
  Radiograph xray;
  xray.pixels = grey_picture(samples);
  xray.photometric = header.components >= 3 ? "RGB" : "MONOCHROME2";
  xray.bits = header.bits;
  if (is_colourful(samples)) xray.warnings.push_back("not a chest X-ray? it is a colour picture");
  return xray;
}

/// The doubts that any picture may raise.
void add_picture_warnings(Radiograph& xray) {
  const auto height = static_cast<double>(xray.pixels.size(0)), width = static_cast<double>(xray.pixels.size(1));
  if (std::max(height, width) > widest_aspect * std::min(height, width))
    xray.warnings.push_back(fmt::format("not a chest X-ray? its sides are {} x {} pixels, more than {} to 1", width,
                                        height, widest_aspect));
  if (xray.pixels.std().item<float>() < 0.01)
    xray.warnings.push_back("it has almost no contrast");
}

}  // namespace

bool is_radiograph_file(const fs::path& file) {
  static const std::array<std::string, 7> known{".dcm", ".dicom", ".png", ".jpg", ".jpeg", ".tif", ".tiff"};
  const std::string extension = lower_extension(file);
  std::error_code error;
  if (!fs::is_regular_file(file, error)) return false;
  if (extension.empty()) return has_dicom_magic(file);
  return std::find(known.begin(), known.end(), extension) != known.end();
}

Radiograph read_radiograph(const fs::path& file) {
  std::error_code error;
  if (!fs::is_regular_file(file, error)) throw Error(fmt::format("{}: no such file.", file.string()));
  const std::string extension = lower_extension(file);
  const bool dicom = has_dicom_magic(file) || extension == ".dcm" || extension == ".dicom";
  Radiograph xray = dicom ? read_dicom_radiograph(file) : read_picture(file);
  check_size(xray.pixels.size(0), xray.pixels.size(1), file);
  add_picture_warnings(xray);
  return xray;
}

}  // namespace x2ctpa
