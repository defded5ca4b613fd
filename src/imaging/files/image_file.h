// Image files behind plain tensors: PNG and JPEG by their own libraries, the others by ITK. The
// format is chosen here, not by ITK's object factories, whose automatic registration a static
// library would drop.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

/// Before any use of ITK or GDCM: sets up what several threads must not set up at once, and lets
/// both write nothing to stderr; errors arrive as exceptions all the same.
void prepare_imaging_libraries();

/// The header of an image file in ITK's order (x first). Missing axes have size 1.
struct ImageHeader {
  std::string format;         ///< "NIfTI", "NRRD", "MetaImage", "PNG", "JPEG", "TIFF"
  std::vector<int64_t> size;  ///< x, y, z, ... as stored
  int64_t components = 1;     ///< samples per voxel
  int64_t bits = 0;           ///< of one sample
  torch::ScalarType type = torch::kFloat;
  Vec3 origin_mm{0, 0, 0}, spacing_mm{1, 1, 1};
  Mat3 direction{{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}};
  std::string description;
  int orientation = 1;  ///< EXIF's, of pictures; the samples are as stored (picture_turn.h)
};

enum class ImageKind { volume, picture };

/// Samples as stored, shape (..., z, y, x, components), with the header.
/// Throws Error, also when the image would hold more than `max_samples`. `check` may throw at the
/// header, before the samples take memory.
at::Tensor read_image_file(const std::filesystem::path& file, ImageKind kind, ImageHeader& header,
                           int64_t max_samples = int64_t{1} << 30,
                           const std::function<void(const ImageHeader&)>& check = {});

/// Writes a volume's `samples` (z, y, x), contiguous, atomically; the format follows the ending of
/// `file`.
void write_image_file(const at::Tensor& samples, const ImageHeader& header,
                      const std::filesystem::path& file);

}  // namespace x2ctpa
