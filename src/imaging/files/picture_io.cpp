#include "imaging/files/picture_io.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <string>

#include "imaging/files/png_bytes.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/files/picture_files.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

double type_maximum(const at::Tensor& samples) {
  switch (samples.scalar_type()) {
    case torch::kUInt8:
      return 255;
    case torch::kInt8:
      return 127;
    case torch::kUInt16:
      return 65535;
    case torch::kInt16:
      return 32767;
    case torch::kUInt32:
      return 4294967295.0;
    case torch::kInt32:
      return 2147483647.0;
    default:
      return 1;
  }
}

at::Tensor unit_range(const at::Tensor& samples, int64_t bits) {
  const double top = bits > 0 ? std::ldexp(1.0, int(bits)) - 1 : type_maximum(samples);
  at::Tensor x = samples.to(torch::kFloat) / top;
  if (!samples.is_floating_point()) return x.clamp_(0, 1);
  const auto finite = x.isfinite();
  if (!finite.any().item<bool>()) return torch::zeros_like(x);
  const auto known = x.masked_select(finite);
  const double low = known.min().item<float>(), high = known.max().item<float>();
  x = x.nan_to_num(low, high, low);
  if (low >= 0 && high <= 1) return x;
  return high > low ? (x - low) / (high - low) : torch::zeros_like(x);
}

at::Tensor checked_picture(const at::Tensor& picture, bool colour_too) {
  const bool grey = picture.defined() && picture.dim() == 2;
  const bool colour = colour_too && picture.defined() && picture.dim() == 3 && picture.size(0) == 3;
  if ((!grey && !colour) || picture.numel() == 0)
    throw Error(fmt::format(
        "picture: expected shape (H, W){}, found {}.", colour_too ? " or (3, H, W)" : "",
        picture.defined() ? fmt::format("({})", fmt::join(picture.sizes(), ", ")) : "nothing"));
  return picture.detach().to(torch::kCPU, torch::kFloat).nan_to_num(0, 1, 0).clamp(0, 1);
}

at::Tensor png8_samples(const at::Tensor& picture) {
  auto x = checked_picture(picture, true);
  if (x.dim() == 3) x = x.permute({1, 2, 0});
  return x.mul(255).round_().to(torch::kUInt8).contiguous();
}

}  // namespace

int64_t used_bits(const at::Tensor& samples) {
  if (samples.is_floating_point()) return 0;
  const auto all = int64_t(std::llround(std::log2(type_maximum(samples) + 1)));
  if (all <= 8) return all;
  const int64_t colours = samples.size(2) < 3 ? 1 : 3;  // without alpha
  const auto values = samples.narrow(2, 0, colours).to(torch::kFloat);
  for (const int64_t bits : {8, 10, 12, 14}) {
    const double top = std::ldexp(1.0, int(bits)) - 1;
    const auto beyond = (values > top).sum().item<int64_t>();
    if (double(beyond) <= 0.005 * double(values.numel())) return bits;
  }
  return all;
}

at::Tensor grey_picture(const at::Tensor& samples, int64_t bits) {
  const auto x = unit_range(samples, bits);
  if (x.size(2) < 3) return x.select(2, 0).contiguous();
  return (0.299 * x.select(2, 0) + 0.587 * x.select(2, 1) + 0.114 * x.select(2, 2)).contiguous();
}

bool is_colourful(const at::Tensor& samples, int64_t bits) {
  if (samples.size(2) < 3) return false;
  const auto colour = unit_range(samples, bits).narrow(2, 0, 3);
  return (colour.amax(2) - colour.amin(2)).mean().item<float>() > 0.02;
}

void write_png16(const at::Tensor& picture, const fs::path& file) {
  const auto x =
      checked_picture(picture, false).mul(65535).round_().to(torch::kInt32).to(torch::kUInt16);
  write_file(file, png_bytes(x.contiguous()));
}

void write_png8(const at::Tensor& picture, const fs::path& file) {
  write_file(file, png8_bytes(picture));
}

at::Tensor read_png(const fs::path& file) {
  ImageHeader header;
  const auto samples = read_image_file(file, ImageKind::picture, header, most_picture_samples);
  if (header.format != "PNG" || header.components > 2)
    throw Error(fmt::format("{}: expected a grey PNG, found {} with {} samples per pixel.",
                            file.string(), header.format, header.components));
  return grey_picture(samples);
}

std::string png8_bytes(const at::Tensor& picture) { return png_bytes(png8_samples(picture)); }

}  // namespace x2ctpa
