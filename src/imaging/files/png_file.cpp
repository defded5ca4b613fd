#include "imaging/files/png_file.h"

#include <fmt/format.h>
#include <png.h>

#include <cstdio>
#include <filesystem>
#include <functional>
#include <memory>
#include <string_view>
#include <vector>

#include "imaging/files/picture_checks.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// libpng leaves by longjmp where it fails. Only plain data live between setjmp and that.
class PngDecoder {
 public:
  explicit PngDecoder(std::FILE* in) {
    png_ = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, fail, on_warning);
    if (png_ != nullptr) info_ = png_create_info_struct(png_);
    if (info_ != nullptr) png_init_io(png_, in);
  }
  ~PngDecoder() { png_destroy_read_struct(&png_, &info_, nullptr); }
  PngDecoder(const PngDecoder&) = delete;
  PngDecoder& operator=(const PngDecoder&) = delete;

  const char* reason() const { return reason_; }
  int64_t width() const { return png_get_image_width(png_, info_); }
  int64_t height() const { return png_get_image_height(png_, info_); }
  int64_t components() const { return png_get_channels(png_, info_); }
  int64_t bits() const { return png_get_bit_depth(png_, info_); }

  bool read_header() {
    if (info_ == nullptr || setjmp(png_jmpbuf(png_))) return false;
    png_set_crc_action(png_, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    // Chunks that say nothing of the samples; -1: all but those that do.
    png_set_keep_unknown_chunks(png_, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
    png_read_info(png_, info_);
    png_set_expand(png_);
    png_set_swap(png_);  // PNG is big endian, every machine that LibTorch runs on is little
    png_set_interlace_handling(png_);
    png_read_update_info(png_, info_);
    return true;
  }

  // `rows`: one pointer each.
  bool read_pixels(png_bytepp rows) {
    if (setjmp(png_jmpbuf(png_))) return false;
    png_read_image(png_, rows);
    png_read_end(png_, nullptr);
    return true;
  }

 private:
  static void fail(png_structp png, png_const_charp what) {
    auto* decoder = static_cast<PngDecoder*>(png_get_error_ptr(png));
    std::snprintf(decoder->reason_, sizeof decoder->reason_, "%s", what);
    png_longjmp(png, 1);
  }

  // libpng warns of a wrong check sum of the samples, and of bytes behind a whole picture too,
  // which do no harm.
  static void on_warning(png_structp png, png_const_charp what) {
    const std::string_view warning = what;
    if (warning.starts_with("IDAT: ") && warning != "IDAT: Extra compressed data" &&
        warning != "IDAT: Too much image data")
      fail(png, what);
  }

  png_structp png_ = nullptr;
  png_infop info_ = nullptr;
  char reason_[128] = "there is no memory for it";
};

}  // namespace

at::Tensor read_png_file(const fs::path& file, ImageHeader& header,
                         const std::function<void(const ImageHeader&)>& check) {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "rb"),
                                                           std::fclose);
  if (!in) throw Error(fmt::format("{}: the file cannot be opened.", file.string()));
  PngDecoder decoder(in.get());
  const auto refuse = [&] {
    throw Error(fmt::format("{}: damaged PNG file: {}. Copy it again from its source.",
                            file.string(), decoder.reason()));
  };
  if (!decoder.read_header()) refuse();
  const int64_t width = decoder.width(), height = decoder.height();
  require_possible_sides(file, width, height);
  header = {};
  header.format = "PNG";
  header.size = {width, height};
  header.components = decoder.components();
  header.bits = decoder.bits();
  header.type = header.bits == 16 ? torch::kUInt16 : torch::kUInt8;
  if (check) check(header);
  const int64_t row_bytes = width * header.components * header.bits / 8;
  require_possible_size(file, double(row_bytes) * double(height));
  auto samples =
      torch::empty({height, width, header.components}, torch::TensorOptions().dtype(header.type));
  auto* first = static_cast<png_bytep>(samples.data_ptr());
  std::vector<png_bytep> rows;
  for (int64_t row = 0; row < height; ++row) rows.push_back(first + row * row_bytes);
  if (!decoder.read_pixels(rows.data())) refuse();
  return samples;
}

}  // namespace x2ctpa
