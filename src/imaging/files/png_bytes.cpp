#include "imaging/files/png_bytes.h"

#include <fmt/format.h>
#include <png.h>

#include <vector>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

void append(png_structp png, png_bytep data, size_t size) {
  static_cast<std::string*>(png_get_io_ptr(png))->append(reinterpret_cast<const char*>(data), size);
}

void no_flush(png_structp) {}

// libpng leaves by longjmp where it fails, so nothing here has a destructor. `rows`: one pointer
// each.
bool encode(png_bytepp rows, png_uint_32 width, png_uint_32 height, int bits, int colour,
            std::string* out) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  if (png == nullptr) return false;
  png_infop info = png_create_info_struct(png);
  if (info == nullptr || setjmp(png_jmpbuf(png))) {
    png_destroy_write_struct(&png, &info);
    return false;
  }
  png_set_write_fn(png, out, append, no_flush);
  png_set_IHDR(png, info, width, height, bits, colour, PNG_INTERLACE_NONE,
               PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  if (bits == 16)
    png_set_swap(png);  // PNG is big endian, every machine that LibTorch runs on is little
  png_write_image(png, rows);
  png_write_end(png, nullptr);
  png_destroy_write_struct(&png, &info);
  return true;
}

}  // namespace

std::string png_bytes(const at::Tensor& samples) {
  const bool wide = samples.scalar_type() == torch::kUInt16,
             colour = samples.dim() == 3 && samples.size(2) == 3;
  const bool plain = samples.dim() == 2 || (samples.dim() == 3 && samples.size(2) == 1);
  if ((!wide && samples.scalar_type() != torch::kUInt8) || (!plain && !colour) ||
      samples.numel() == 0 || !samples.is_contiguous()) {
    throw Error(
        "png_bytes: expected contiguous samples (H, W), (H, W, 1) or (H, W, 3), uint8 or uint16");
  }
  const int64_t height = samples.size(0), width = samples.size(1),
                pitch = width * (colour ? 3 : 1) * (wide ? 2 : 1);
  auto* first = static_cast<png_bytep>(samples.data_ptr());
  std::vector<png_bytep> rows;
  for (int64_t row = 0; row < height; ++row) rows.push_back(first + row * pitch);
  std::string out;
  if (!encode(rows.data(), png_uint_32(width), png_uint_32(height), wide ? 16 : 8,
              colour ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_GRAY, &out)) {
    throw Error(fmt::format("a picture of {} x {} pixels could not be made a PNG", width, height));
  }
  return out;
}

}  // namespace x2ctpa
