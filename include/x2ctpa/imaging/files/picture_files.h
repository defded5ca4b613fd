// Pictures as PNG files.
#pragma once

#include <torch/types.h>

#include <filesystem>
#include <string>

namespace x2ctpa {

/// Writes a float picture (H, W) in [0, 1] as 16-bit grey PNG, atomically.
void write_png16(const at::Tensor& picture, const std::filesystem::path& file);

/// Reads a grey PNG of 8 or 16 bits as float32 (H, W) in [0, 1].
at::Tensor read_png(const std::filesystem::path& file);

/// Writes a float picture (H, W) or (3, H, W) in [0, 1] as 8-bit PNG, atomically.
void write_png8(const at::Tensor& picture, const std::filesystem::path& file);

/// The same as bytes of a PNG file, for embedding in reports.
std::string png8_bytes(const at::Tensor& picture);

}  // namespace x2ctpa
