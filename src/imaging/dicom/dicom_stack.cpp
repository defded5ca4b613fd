// Decoding the slices of a series and putting them in their places.
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "imaging/dicom/dicom_slice.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// What came of decoding: the slices (n, H, W) and which of them are good.
struct Decoded {
  at::Tensor slices;
  std::vector<char> good;
};

Decoded decode_slices(const DicomSeries& series) {
  const auto n = int64_t(series.files.size());
  const auto [height, width] = series.slice_size_hw;
  Decoded decoded{torch::empty({n, height, width}), std::vector<char>(series.files.size(), 0)};
  float* out = decoded.slices.data_ptr<float>();
  // A file is decoded once, whatever the number of its frames.
  std::map<fs::path, std::vector<int64_t>> slices_of;
  for (int64_t i = 0; i < n; ++i) slices_of[series.files[i]].push_back(i);
  const std::vector<std::pair<fs::path, std::vector<int64_t>>> jobs(slices_of.begin(),
                                                                    slices_of.end());
  at::parallel_for(0, int64_t(jobs.size()), 1,
                   [&, height = height, width = width](int64_t begin, int64_t end) {
                     for (int64_t j = begin; j < end; ++j) {
                       const auto& [file, slices] = jobs[j];
                       std::vector<int64_t> frames;
                       for (int64_t i : slices) frames.push_back(series.frames[i]);
                       try {
                         const auto hu = read_frames_hu(file, frames, true);
                         if (hu.size(1) != height || hu.size(2) != width) continue;
                         for (size_t k = 0; k < slices.size(); ++k) {
                           std::copy_n(hu.data_ptr<float>() + int64_t(k) * height * width,
                                       height * width, out + slices[k] * height * width);
                           decoded.good[slices[k]] = 1;
                         }
                       } catch (const std::exception& e) {
                         log_debug("{}", e.what());
                       }
                     }
                   });
  return decoded;
}

// The headers of the slices that were decoded, in the series' order.
std::vector<SliceHeader> good_headers(const DicomSeries& series, const Decoded& decoded,
                                      std::vector<int64_t>& kept) {
  std::map<fs::path, std::vector<SliceHeader>> of_file;
  std::vector<SliceHeader> headers;
  for (size_t i = 0; i < series.files.size(); ++i) {
    if (!decoded.good[i]) continue;
    const auto [entry, is_new] = of_file.try_emplace(series.files[i]);
    if (is_new) parse_slice_headers(series.files[i], entry->second);
    if (size_t(series.frames[i]) >= entry->second.size()) continue;
    headers.push_back(entry->second[series.frames[i]]);
    kept.push_back(int64_t(i));
  }
  return headers;
}

// Judges the series again without the slices that could not be decoded.
void drop_bad_slices(DicomSeries& series, Decoded& decoded) {
  std::vector<int64_t> kept;
  auto headers = good_headers(series, decoded, kept);
  const auto bad = std::find(decoded.good.begin(), decoded.good.end(), 0) - decoded.good.begin();
  const std::string first_bad = series.files[bad].filename().string();
  const size_t count = series.files.size() - headers.size();
  if (headers.empty())
    throw SeriesError(
        "unreadable-file",
        fmt::format("series {}: none of its {} can be decoded, the first being {}.", series.uid,
                    counted(int64_t(series.files.size()), "slice"), series.files.front().string()));
  DicomSeries again = assess_series(std::move(headers), series.limits);
  // The order along the normal is the one that the files had, so `kept` addresses the same slices.
  if (again.files.size() != kept.size())
    throw Error("series changed while it was read; read it again.");
  for (const auto& note : series.notes) again.notes.push_back(note);
  for (const auto& code : series.problems)
    if (!again.has_problem(code)) again.problems.push_back(code);
  again.add_problem("unreadable-file", fmt::format("{} cannot be decoded ({}) and {} as missing",
                                                   counted(int64_t(count), "slice"), first_bad,
                                                   count == 1 ? "counts" : "count"));
  again.left_out.insert(again.left_out.end(), series.left_out.begin(), series.left_out.end());
  series = std::move(again);
  decoded.slices = decoded.slices.index_select(0, torch::tensor(kept));
}

// Adds `weight` * slice, moved by (shift_x, shift_y) voxels with linear interpolation, to `out`;
// outside the slice is air.
void add_shifted(const float* slice, int64_t height, int64_t width, double shift_x, double shift_y,
                 float weight, float* out, int64_t out_height, int64_t out_width) {
  const auto x0 = int64_t(std::floor(shift_x)), y0 = int64_t(std::floor(shift_y));
  const auto fx = float(shift_x - double(x0));
  const auto fy = float(shift_y - double(y0));
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

// Places of the slices in voxels of the grid.
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

at::Tensor resample_stack(const DicomSeries& series, const at::Tensor& slices) {
  const auto [depth, height, width] = series.size_dhw;
  const int64_t in_height = slices.size(1), in_width = slices.size(2), n = slices.size(0);
  const auto places = slice_places(series);
  auto out = torch::zeros({depth, height, width});
  const float* source = slices.data_ptr<float>();
  float* target = out.data_ptr<float>();
  at::parallel_for(0, depth, 1, [&, height = height, width = width](int64_t begin, int64_t end) {
    for (int64_t k = begin; k < end; ++k) {
      const auto z = double(k);
      const auto above = std::lower_bound(places.begin(), places.end(), z,
                                          [](const Vec3& p, double value) { return p[2] < value; });
      const int64_t hi = std::min<int64_t>(above - places.begin(), n - 1),
                    lo = std::max<int64_t>(hi - 1, 0);
      const double distance = places[hi][2] - places[lo][2];
      const double w = distance > 0 ? std::clamp((z - places[lo][2]) / distance, 0.0, 1.0) : 1.0;
      // A slice that lies where a grid plane lies is taken as it is.
      for (const auto& [i, weight] : {std::pair(lo, w > 0.99   ? 0.0
                                                    : w < 0.01 ? 1.0
                                                               : 1 - w),
                                      std::pair(hi, w > 0.99   ? 1.0
                                                    : w < 0.01 ? 0.0
                                                               : w)})
        if (weight > 0)
          add_shifted(source + i * in_height * in_width, in_height, in_width, places[i][0],
                      places[i][1], float(weight), target + k * height * width, height, width);
    }
  });
  return out;
}

}  // namespace

Volume read_dicom_series(DicomSeries& series) {
  const auto refuse = [&] {
    throw SeriesError(
        series.reason_code,
        fmt::format("DICOM series {} in {} cannot be read as a volume: {}.", series.uid,
                    series.files.empty() ? "?" : series.files.front().parent_path().string(),
                    series.reason));
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
