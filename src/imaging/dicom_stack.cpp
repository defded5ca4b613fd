// Decoding the slices of a series and putting them in their places.
#include <ATen/Parallel.h>

#include <cmath>

#include "dicom_slice.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa {
namespace {

constexpr float air_hu = -1024;

/// What came of decoding: the slices (n, H, W) and which of them are good.
struct Decoded {
  torch::Tensor slices;
  std::vector<char> good;
};

Decoded decode_slices(const DicomSeries& series) {
  const auto n = static_cast<int64_t>(series.files.size());
  const auto [height, width] = series.slice_size_hw;
  Decoded decoded{torch::empty({n, height, width}), std::vector<char>(series.files.size(), 0)};
  float* out = decoded.slices.data_ptr<float>();
  at::parallel_for(0, n, 1, [&, height = height, width = width](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      try {
        const auto hu = read_slice_hu(series.files[i], true).contiguous();
        if (hu.size(0) != height || hu.size(1) != width) continue;
        std::copy_n(hu.data_ptr<float>(), height * width, out + i * height * width);
        decoded.good[i] = 1;
      } catch (const Error& e) {
        log_debug("{}", e.what());
      }
    }
  });
  return decoded;
}

/// Judges the series again without the slices that could not be decoded.
void drop_bad_slices(DicomSeries& series, Decoded& decoded) {
  std::vector<SliceHeader> headers;
  std::vector<int64_t> kept;
  std::string first_bad;
  for (size_t i = 0; i < series.files.size(); ++i) {
    SliceHeader header;
    const auto kind = parse_slice_header(series.files[i], header);
    if (decoded.good[i] && kind == FileKind::image) {
      headers.push_back(header);
      kept.push_back(static_cast<int64_t>(i));
    } else if (first_bad.empty()) {
      first_bad = series.files[i].filename().string();
    }
  }
  const size_t bad = series.files.size() - headers.size();
  if (headers.empty())
    throw Error(fmt::format("series {}: none of its {} slices can be decoded, the first being {}.", series.uid,
                            series.files.size(), series.files.front().string()));
  DicomSeries again = assess_series(headers);
  // The order along the normal is the one that the files had, so `kept` addresses the same slices.
  if (again.files.size() != kept.size()) throw Error("series changed while it was read; read it again.");
  for (const auto& note : series.notes) again.notes.push_back(note);
  for (const auto& code : series.problems)
    if (!again.has_problem(code)) again.problems.push_back(code);
  again.add_problem("unreadable-file", fmt::format("{} slices cannot be decoded ({}); they count as missing", bad,
                                                   first_bad));
  series = std::move(again);
  decoded.slices = decoded.slices.index_select(0, torch::tensor(kept));
}

/// Adds `weight` * slice, moved by (shift_x, shift_y) voxels with linear interpolation, to `out`;
/// outside the slice is air.
void add_shifted(const float* slice, int64_t height, int64_t width, double shift_x, double shift_y, float weight,
                 float* out, int64_t out_height, int64_t out_width) {
  const auto x0 = static_cast<int64_t>(std::floor(shift_x)), y0 = static_cast<int64_t>(std::floor(shift_y));
  const auto fx = static_cast<float>(shift_x - static_cast<double>(x0));
  const auto fy = static_cast<float>(shift_y - static_cast<double>(y0));
  const auto at = [&](int64_t y, int64_t x) {
    return y >= 0 && y < height && x >= 0 && x < width ? slice[y * width + x] : air_hu;
  };
  for (int64_t y = 0; y < out_height; ++y) {
    const int64_t v = y - y0;  // out(y) lies between slice rows v - 1 and v
    for (int64_t x = 0; x < out_width; ++x) {
      const int64_t u = x - x0;
      float value = (1 - fx) * (1 - fy) * at(v, u);
      if (fx > 0) value += fx * (1 - fy) * at(v, u - 1);
      if (fy > 0) value += fy * (1 - fx) * at(v - 1, u);
      if (fx > 0 && fy > 0) value += fx * fy * at(v - 1, u - 1);
      out[y * out_width + x] += weight * value;
    }
  }
}

/// Places of the slices in voxels of the grid.
std::vector<Vec3> slice_places(const DicomSeries& series) {
  Volume grid;
  grid.origin_mm = series.origin_mm;
  grid.spacing_mm = series.spacing_mm;
  grid.direction = series.direction;
  std::vector<Vec3> places;
  for (const auto& origin : series.slice_origins_mm) {
    Vec3 place = grid.index(origin);
    // Thousandths of a voxel are rounding in the headers.
    for (double& p : place)
      if (std::abs(p - std::round(p)) < 2e-3) p = std::round(p);
    places.push_back(place);
  }
  return places;
}

torch::Tensor resample_stack(const DicomSeries& series, const torch::Tensor& slices) {
  const auto [depth, height, width] = series.size_dhw;
  const int64_t in_height = slices.size(1), in_width = slices.size(2), n = slices.size(0);
  const auto places = slice_places(series);
  auto out = torch::zeros({depth, height, width});
  const float* source = slices.data_ptr<float>();
  float* target = out.data_ptr<float>();
  at::parallel_for(0, depth, 1, [&, height = height, width = width](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const auto z = static_cast<double>(k);
      const auto above = std::lower_bound(places.begin(), places.end(), z,
                                          [](const Vec3& p, double value) { return p[2] < value; });
      const int64_t hi = std::min<int64_t>(above - places.begin(), n - 1), lo = std::max<int64_t>(hi - 1, 0);
      const double distance = places[hi][2] - places[lo][2];
      const double w = distance > 0 ? std::clamp((z - places[lo][2]) / distance, 0.0, 1.0) : 1.0;
      // A slice that lies where a grid plane lies is taken as it is.
      for (const auto& [i, weight] : {std::pair(lo, w > 0.99 ? 0.0 : w < 0.01 ? 1.0 : 1 - w),
                                      std::pair(hi, w > 0.99 ? 1.0 : w < 0.01 ? 0.0 : w)})
        if (weight > 0)
          add_shifted(source + i * in_height * in_width, in_height, in_width, places[i][0], places[i][1],
                      static_cast<float>(weight), target + k * height * width, height, width);
    }
  });
  return out;
}

}  // namespace

Volume read_dicom_series(DicomSeries& series) {
  const auto refuse = [&] {
    throw Error(fmt::format("DICOM series {} in {} cannot be read as a volume: {}.", series.uid,
                            series.files.empty() ? "?" : series.files.front().parent_path().string(), series.reason));
  };
  if (!series.readable()) refuse();
  Decoded decoded = decode_slices(series);
  if (std::find(decoded.good.begin(), decoded.good.end(), 0) != decoded.good.end()) {
    drop_bad_slices(series, decoded);
    if (!series.readable()) refuse();
  }
  for (const auto& note : series.notes)
    log_warning("{}: {}", series.files.front().parent_path().string(), note);
  Volume volume;
  volume.origin_mm = series.origin_mm;
  volume.spacing_mm = series.spacing_mm;
  volume.direction = series.direction;
  volume.hu = series.resampled ? resample_stack(series, decoded.slices) : decoded.slices;
  return volume;
}

}  // namespace x2ctpa
