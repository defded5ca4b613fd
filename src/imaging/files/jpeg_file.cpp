#include "imaging/files/jpeg_file.h"

#include <csetjmp>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <string>

// After the standard headers that it needs.
#include <fmt/format.h>
#include <jerror.h>
#include <jpeglib.h>

#include "imaging/files/picture_checks.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// libjpeg's error handler with the place to go on at; libjpeg calls back with a pointer to its
// base.
struct ErrorHandler {
  jpeg_error_mgr base;
  std::jmp_buf go_on;
  char reason[JMSG_LENGTH_MAX];
};

void fail(j_common_ptr decoder) {
  auto* handler = reinterpret_cast<ErrorHandler*>(decoder->err);
  handler->base.format_message(decoder, handler->reason);
  std::longjmp(handler->go_on, 1);
}

// Damage to the picture's data is a warning to libjpeg, which paints over it.
void on_message(j_common_ptr decoder, int level) {
  if (level >= 0) return;
  const int code = decoder->err->msg_code;
  if (code == JWRN_HUFF_BAD_CODE || code == JWRN_HIT_MARKER || code == JWRN_JPEG_EOF) fail(decoder);
}

// A small file may ask for passes over a large picture without end.
void on_progress(j_common_ptr decoder) {
  constexpr int most_scans = 200;
  if (reinterpret_cast<j_decompress_ptr>(decoder)->input_scan_number > most_scans)
    ERREXIT(decoder, JERR_BAD_PROGRESSION);
}

// A decoder on bytes in memory. Only plain data live between setjmp and longjmp.
class Decoder {
 public:
  explicit Decoder(const std::string& bytes) {
    jpeg_.err = jpeg_std_error(&handler_.base);
    handler_.base.error_exit = fail;
    handler_.base.emit_message = on_message;
    handler_.reason[0] = '\0';
    progress_.progress_monitor = on_progress;
    created_ = create(bytes);
  }
  ~Decoder() {
    if (created_) jpeg_destroy_decompress(&jpeg_);
  }
  Decoder(const Decoder&) = delete;
  Decoder& operator=(const Decoder&) = delete;

  bool created() const { return created_; }
  const jpeg_decompress_struct& jpeg() const { return jpeg_; }
  const char* reason() const { return handler_.reason; }

  bool read_header() {
    if (setjmp(handler_.go_on)) return false;
    jpeg_read_header(&jpeg_, TRUE);
    return true;
  }

  // Rows of `stride` bytes into `out`.
  bool read_pixels(unsigned char* out, size_t stride) {
    if (setjmp(handler_.go_on)) return false;
    jpeg_.out_color_space = jpeg_.num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(&jpeg_);
    while (jpeg_.output_scanline < jpeg_.output_height) {
      JSAMPROW row = out + stride * jpeg_.output_scanline;
      jpeg_read_scanlines(&jpeg_, &row, 1);
    }
    jpeg_finish_decompress(&jpeg_);
    return true;
  }

 private:
  bool create(const std::string& bytes) {
    if (setjmp(handler_.go_on)) return false;
    jpeg_create_decompress(&jpeg_);
    jpeg_.progress = &progress_;
    jpeg_mem_src(&jpeg_, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size());
    return true;
  }

  jpeg_decompress_struct jpeg_{};
  jpeg_progress_mgr progress_{};
  ErrorHandler handler_{};
  bool created_ = false;
};

}  // namespace

at::Tensor read_jpeg(const fs::path& file, ImageHeader& header,
                     const std::function<void(const ImageHeader&)>& check) {
  require_whole_jpeg(file);
  const std::string bytes = read_file(file);
  Decoder decoder(bytes);
  const auto refuse = [&] {
    throw Error(fmt::format("{}: damaged JPEG file: {}. Copy it again from its source.",
                            file.string(), decoder.reason()));
  };
  if (!decoder.created() || !decoder.read_header()) refuse();
  const auto& jpeg = decoder.jpeg();
  if (jpeg.num_components != 1 && jpeg.num_components != 3)
    throw Error(fmt::format(
        "{}: a JPEG with {} colour components, or a damaged one; expected 1 (grey) or 3 (colour).",
        file.string(), jpeg.num_components));
  header = {};
  header.format = "JPEG";
  header.size = {int64_t(jpeg.image_width), int64_t(jpeg.image_height)};
  header.components = jpeg.num_components;
  header.bits = 8;
  header.type = torch::kUInt8;
  if (check) check(header);
  const size_t stride = size_t(jpeg.image_width) * size_t(header.components);
  require_possible_size(file, double(stride) * double(jpeg.image_height));
  auto samples = torch::empty({header.size[1], header.size[0], header.components}, torch::kUInt8);
  if (!decoder.read_pixels(samples.mutable_data_ptr<uint8_t>(), stride)) refuse();
  return samples;
}

}  // namespace x2ctpa
