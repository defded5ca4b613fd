// The safetensors file format (huggingface/safetensors): 8-byte header length, JSON header, data.
// Own code: the reference implementation is in Rust, which would bring a second compiler and its
// packages into the build, and reading is a JSON header, checks that distrust it, and mmap.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>

namespace x2ctpa {

using TensorMap = std::map<std::string, at::Tensor>;

/// Reads every tensor to CPU memory. The file is memory-mapped and each tensor is a view that keeps
/// the mapping alive (private: writes to a tensor do not reach the file).
/// Throws Error naming file and tensor for a header that lies: lengths, overlaps, unknown types.
TensorMap read_safetensors(const std::filesystem::path& file);

/// The file's "__metadata__" strings.
std::map<std::string, std::string> read_safetensors_metadata(const std::filesystem::path& file);

/// Writes atomically; tensors of any device, strides and of types F64, F32, F16, BF16, I64, I32,
/// I16, I8, U8, BOOL.
void write_safetensors(const std::filesystem::path& file, const TensorMap& tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace x2ctpa
