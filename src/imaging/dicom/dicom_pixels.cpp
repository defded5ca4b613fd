// Stored pixels of CT slices to HU.
#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <tuple>
#include <vector>

#include "imaging/dicom/dicom_slice.h"
#include "imaging/dicom/gdcm_dataset.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// Stored values that the header calls padding.
struct Padding {
  double low = 0, high = -1;  // empty by default
};

// Writes HU of `count` stored values. One pass: a scan has a hundred million of them.
template <class T>
void to_hu(const char* bytes, int64_t count, const Rescale& rescale, const Padding& padding,
           bool padding_to_air, float* hu) {
  const T* stored = reinterpret_cast<const T*>(bytes);
  for (int64_t i = 0; i < count; ++i) {
    const auto x = double(stored[i]);
    auto value = float(x * rescale.slope + rescale.intercept);
    if (padding_to_air) {
      // Some writers declare a padding value that ordinary tissue has too: only values that no
      // tissue takes are believed.
      if (x >= padding.low && x <= padding.high && (value < -900 || value > 3000)) value = air_hu;
      value = value > air_hu ? value : air_hu;  // also what is not a number
      if (std::isinf(value)) value = air_hu;
    }
    hu[i] = value;
  }
}

void frame_to_hu(const StoredPixels& pixels, int64_t frame, const Rescale& rescale,
                 const Padding& padding, bool padding_to_air, float* hu) {
  const int64_t count = pixels.height * pixels.width;
  const char* bytes = pixels.bytes.data() + frame * count * int64_t(c10::elementSize(pixels.type));
  const auto run = [&](auto type) {
    to_hu<decltype(type)>(bytes, count, rescale, padding, padding_to_air, hu);
  };
  switch (pixels.type) {
    case torch::kUInt8:
      return run(uint8_t{});
    case torch::kInt8:
      return run(int8_t{});
    case torch::kUInt16:
      return run(uint16_t{});
    case torch::kInt16:
      return run(int16_t{});
    case torch::kUInt32:
      return run(uint32_t{});
    case torch::kInt32:
      return run(int32_t{});
    case torch::kFloat:
      return run(float{});
    default:
      return run(double{});
  }
}

}  // namespace

at::Tensor read_frames_hu(const fs::path& file, const std::vector<int64_t>& frames,
                          bool padding_to_air) {
  DicomReader reader;
  read_dicom_image(file, reader);
  const auto& data = reader.GetFile().GetDataSet();
  const StoredPixels pixels = decode_pixels(file, reader);
  if (pixels.samples != 1)
    throw Error(fmt::format("{}: a colour image; expected a CT slice.", file.string()));
  Padding padding;
  if (const auto range = padding_range(data)) std::tie(padding.low, padding.high) = *range;
  const auto n = int64_t(frames.size());
  auto hu = torch::empty({n, pixels.height, pixels.width});
  const auto rescales = rescales_of(data, pixels.frames);
  for (int64_t i = 0; i < n; ++i) {
    if (frames[i] >= pixels.frames)
      throw Error(fmt::format("{}: it has {} frames; expected frame {}.", file.string(),
                              pixels.frames, frames[i] + 1));
    frame_to_hu(pixels, frames[i], rescales[frames[i]], padding, padding_to_air,
                hu.data_ptr<float>() + i * pixels.height * pixels.width);
  }
  return hu;
}

at::Tensor read_dicom_slice(const fs::path& file) { return read_frames_hu(file, {0}, false)[0]; }

}  // namespace x2ctpa
