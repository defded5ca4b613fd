// Chest X-rays as DICOM (CR, DX, RF) or picture files.
#pragma once

#include <torch/types.h>

#include <array>
#include <filesystem>
#include <string>
#include <vector>

namespace x2ctpa {

/// One X-ray picture with bone bright.
struct Radiograph {
  torch::Tensor pixels;  ///< float32 (H, W) in [0, 1], bone bright, rows from superior to inferior,
                         ///< columns from patient right to left (as a PA film is hung)
  std::array<double, 2> spacing_mm{0, 0};  ///< row, column pitch at the detector; 0: unknown
  std::string photometric;                 ///< "MONOCHROME1", "MONOCHROME2", "RGB", ...
  std::string modality;                    ///< DICOM modality; empty for pictures
  int64_t bits = 0;                        ///< stored bits per sample
  bool inverted = false;                   ///< true when the stored values were bone dark
  std::vector<std::string> warnings;       ///< doubts such as "not a chest X-ray"
};

/// True for a name that may hold an X-ray: .dcm, .dicom, .png, .jpg, .jpeg, .tif, .tiff, or no
/// extension with the DICOM magic.
bool is_radiograph_file(const std::filesystem::path& file);

/// Reads one X-ray. DICOM: first frame, modality LUT or rescale, VOI LUT or window (else the 0.5 to
/// 99.5 percentile range), MONOCHROME1 inverted. Pictures: grey or colour to grey, full range of the
/// stored type. Throws Error naming the file and the reason.
Radiograph read_radiograph(const std::filesystem::path& file);

/// Pads `pixels` (H, W) with `fill` to a square around its middle and resizes it, anti-aliased, to
/// (size, size).
torch::Tensor square_radiograph(const torch::Tensor& pixels, int64_t size, double fill = 0);

/// Writes a float picture (H, W) in [0, 1] as 16-bit grey PNG, atomically.
void write_png16(const torch::Tensor& picture, const std::filesystem::path& file);

/// Reads a grey PNG of 8 or 16 bits as float32 (H, W) in [0, 1].
torch::Tensor read_png(const std::filesystem::path& file);

/// Writes a float picture (H, W) or (3, H, W) in [0, 1] as 8-bit PNG, atomically.
void write_png8(const torch::Tensor& picture, const std::filesystem::path& file);

/// The same as bytes of a PNG file, for embedding in reports.
std::string png8_bytes(const torch::Tensor& picture);

}  // namespace x2ctpa
