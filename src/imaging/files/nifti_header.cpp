#include "imaging/files/nifti_header.h"

#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <memory>

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

constexpr size_t first_size = 348, second_size = 540;

// NIfTI counts to the right and to the front, LPS to the left and to the back.
void to_lps(NiftiPlace& place) {
  for (size_t row = 0; row < 2; ++row) {
    for (double& value : place.direction[row]) value = -value;
    place.origin_mm[row] = -place.origin_mm[row];
  }
}

double largest_cosine(const Mat3& m) {
  double largest = 0;
  for (size_t a = 0; a < 3; ++a)
    for (size_t b = a + 1; b < 3; ++b)
      largest =
          std::max(largest, std::abs(m[0][a] * m[0][b] + m[1][a] * m[1][b] + m[2][a] * m[2][b]));
  return largest;
}

}  // namespace

std::optional<NiftiHeader> NiftiHeader::read(const fs::path& file) {
  NiftiHeader header;
  header.bytes_.resize(second_size + 4);
  // zlib hands files through that are not compressed.
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> in(gzopen(file.c_str(), "rb"), gzclose);
  const int n = in ? gzread(in.get(), header.bytes_.data(), unsigned(header.bytes_.size())) : 0;
  header.bytes_.resize(size_t(std::max(n, 0)));
  if (header.bytes_.size() < first_size) return std::nullopt;
  for (const bool swapped : {false, true}) {
    header.swapped_ = swapped;
    const auto size = header.number_at<int32_t>(0);
    header.second_ = size == int32_t(second_size);
    if (size == int32_t(first_size)) return header;
    if (header.second_ && header.bytes_.size() >= second_size) return header;
  }
  return std::nullopt;
}

double NiftiHeader::real(size_t first, size_t later, size_t index) const {
  return second_ ? number_at<double>(later + 8 * index) : number_at<float>(first + 4 * index);
}

int64_t NiftiHeader::code(size_t first, size_t later) const {
  return second_ ? number_at<int32_t>(later) : number_at<int16_t>(first);
}

double NiftiHeader::end() const {
  const auto dim = [&](size_t i) {
    return second_ ? number_at<int64_t>(16 + 8 * i) : number_at<int16_t>(40 + 2 * i);
  };
  const auto dims = std::clamp<int64_t>(dim(0), 0, 7);
  double voxels = 1;
  for (int64_t d = 1; d <= dims; ++d) voxels *= double(dim(size_t(d)));
  const double bits = number_at<int16_t>(second_ ? 14 : 72);
  const double offset = second_ ? double(number_at<int64_t>(168)) : number_at<float>(108);
  return offset + voxels * bits / 8;
}

std::array<double, 3> NiftiHeader::pixdim() const {
  return {real(80, 112, 0), real(80, 112, 1), real(80, 112, 2)};
}

// The header's unit of length; without one, millimetres.
double NiftiHeader::millimetres() const {
  const int unit = (second_ ? number_at<int32_t>(500) : number_at<uint8_t>(123)) & 7;
  return unit == 1 ? 1000 : unit == 3 ? 1e-3 : 1;
}

std::optional<NiftiPlace> NiftiHeader::qform() const {
  if (code(252, 344) == 0) return std::nullopt;
  double b = real(256, 352, 0), c = real(256, 352, 1), d = real(256, 352, 2);
  double a = std::sqrt(std::max(0.0, 1 - (b * b + c * c + d * d)));
  const double length = std::sqrt(a * a + b * b + c * c + d * d);
  a /= length, b /= length, c /= length, d /= length;
  NiftiPlace place;
  place.direction = {{{a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)},
                      {2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)},
                      {2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c}}};
  const bool third_axis_turned = real(76, 104) < 0;
  const auto spacing = pixdim();
  for (size_t i = 0; i < 3; ++i) {
    if (third_axis_turned) place.direction[i][2] = -place.direction[i][2];
    place.spacing_mm[i] = std::abs(spacing[i]) * millimetres();
    place.origin_mm[i] = real(268, 376, i) * millimetres();
  }
  to_lps(place);
  return place;
}

std::optional<NiftiPlace> NiftiHeader::sform() const {
  if (code(254, 348) == 0) return std::nullopt;
  NiftiPlace place;
  for (size_t row = 0; row < 3; ++row) {
    for (size_t i = 0; i < 3; ++i) place.direction[row][i] = real(280, 400, 4 * row + i);
    place.origin_mm[row] = real(280, 400, 4 * row + 3) * millimetres();
  }
  for (size_t i = 0; i < 3; ++i) {
    auto& m = place.direction;
    const double length = std::hypot(m[0][i], m[1][i], m[2][i]);
    // A matrix without an axis is none.
    if (!(length > 0)) return std::nullopt;
    for (auto& row : m) row[i] /= length;
    place.spacing_mm[i] = length * millimetres();
  }
  place.skew = largest_cosine(place.direction);
  to_lps(place);
  return place;
}

}  // namespace x2ctpa
