// Reading JPEG pictures with libjpeg itself: ITK's reader writes beyond its memory on damaged ones,
// and TurboJPEG can stop at every warning or at none, where three of them mean lost pixels and the
// others, such as stray bytes before a marker, come with sound pictures.
#pragma once

#include <filesystem>
#include <functional>

#include "imaging/files/image_file.h"

namespace x2ctpa {

/// Samples (y, x, components) of a grey or colour JPEG, with the header. `check` may throw at the
/// header. Throws Error naming the file and the reason, also where the picture's data are damaged.
at::Tensor read_jpeg(const std::filesystem::path& file, ImageHeader& header,
                     const std::function<void(const ImageHeader&)>& check);

}  // namespace x2ctpa
