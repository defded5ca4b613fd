// PNG pictures by libpng itself, which writes them too (png_bytes.h): a file is inflated once and
// what is damaged is refused, where ITK's reader leaves pixels unset or ends the process. libspng
// would need no setjmp, but names of formats for every colour type, and be one library more.
#pragma once

#include <filesystem>
#include <functional>

#include "imaging/files/image_file.h"

namespace x2ctpa {

/// Samples (y, x, components) of a PNG of any kind, with the header: a palette gives its colours,
/// fewer than 8 bits give 8, and what is transparent gives an alpha channel. `check` may throw at
/// the header. Throws Error naming the file and the reason, also for damage that libpng only warns
/// of.
at::Tensor read_png_file(const std::filesystem::path& file, ImageHeader& header,
                         const std::function<void(const ImageHeader&)>& check);

}  // namespace x2ctpa
