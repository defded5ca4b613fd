#include "imaging/xray/chest_view.h"

#include <ATen/ops/_upsample_bilinear2d_aa.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

constexpr int64_t working_side = 64;
constexpr double least_likeness = 0.65, least_lead = 0.12;
constexpr double least_lung_contrast = 0.35, most_lung_difference = 0.6;
constexpr double high_likeness = 0.75, most_diseased_difference = 1.2;  // an effusion, an opacity

enum class Part { none, right_lung, left_lung, mediastinum, heart, abdomen, wall };

// The drawing on a unit square: x from the picture's left, y from the top.
Part part_at(double x, double y) {
  const auto inside = [&](double cx, double cy, double rx, double ry) {
    return std::pow((x - cx) / rx, 2) + std::pow((y - cy) / ry, 2) <= 1;
  };
  if (((x < 0.07) || (x > 0.93)) && y > 0.35 && y < 0.85) return Part::wall;
  if (y > 0.80 && std::abs(x - 0.5) < 0.40) return Part::abdomen;
  if (inside(0.56, 0.60, 0.14, 0.13)) return Part::heart;
  if (std::abs(x - 0.5) < 0.075 && y > 0.1 && y < 0.95) return Part::mediastinum;
  if (y < 0.70 && inside(0.25, 0.46, 0.155, 0.36)) return Part::right_lung;
  if (y < 0.70 && inside(0.75, 0.46, 0.155, 0.36)) return Part::left_lung;
  return Part::none;
}

struct Look {
  float brightness, weight;
};

Look look_of(Part part) {
  switch (part) {
    case Part::right_lung:
    case Part::left_lung:
      return {-1, 1};
    case Part::mediastinum:
      return {1, 1};
    case Part::heart:
      return {0.8f, 0.6f};
    case Part::abdomen:
      return {1, 0.7f};
    case Part::wall:
      return {0.3f, 0.4f};
    case Part::none:
      break;
  }
  return {0, 0};
}

// The drawing at one size, as a list of its pixels.
struct Drawing {
  struct Pixel {
    int64_t row, column;
    Part part;
    float weight;    // they sum to 1
    float contrast;  // weight times (brightness - mean brightness)
  };
  std::vector<Pixel> pixels;
  double deviation = 0;

  Drawing(int64_t height, int64_t width) {
    double total = 0, mean = 0;
    for (int64_t r = 0; r < height; ++r)
      for (int64_t c = 0; c < width; ++c) {
        const Part part =
            part_at((double(c) + 0.5) / double(width), (double(r) + 0.5) / double(height));
        if (part == Part::none) continue;
        const Look look = look_of(part);
        pixels.push_back({r, c, part, look.weight, look.brightness});
        total += look.weight;
        mean += look.weight * look.brightness;
      }
    mean /= total;
    for (Pixel& p : pixels) {
      const double difference = p.contrast - mean;
      p.weight = float(p.weight / total);
      p.contrast = float(p.weight * difference);
      deviation += p.weight * difference * difference;
    }
    deviation = std::sqrt(deviation);
  }
};

// Lines of one level above the first row of `pixels`, when at least a quarter of the first line of
// the picture differs from them: bars that make a picture square, of any width. The edge of a
// body, as on a CT slice, touches fewer.
int64_t bar_above(const at::Tensor& pixels) {
  constexpr float same_level = 0.02f;
  constexpr double least_share = 0.25, widest_share = 0.45;
  const int64_t n = pixels.size(0);
  const auto low = pixels.amin(1).contiguous(), high = pixels.amax(1).contiguous();
  const float *lows = low.const_data_ptr<float>(), *highs = high.const_data_ptr<float>();
  int64_t width = 0;
  while (width < n && highs[width] - lows[0] <= same_level && highs[0] - lows[width] <= same_level)
    ++width;
  if (width == 0 || double(width) > widest_share * double(n)) return 0;
  for (int64_t behind = width; behind < std::min(width + 3, n); ++behind) {
    const auto differs = ((pixels[behind] - lows[0]).abs() > same_level).to(torch::kFloat).mean();
    if (differs.item<double>() >= least_share) return width;
  }
  return 0;
}

at::Tensor without_bars(const at::Tensor& pixels) {
  const auto columns = pixels.t().contiguous();
  const int64_t left = bar_above(columns), right = bar_above(columns.flip({0}));
  const auto rows = pixels.slice(1, left, pixels.size(1) - right).contiguous();
  const int64_t top = bar_above(rows), bottom = bar_above(rows.flip({0}));
  return rows.slice(0, top, rows.size(0) - bottom);
}

// The picture at the working size; rows below it repeat the last one.
struct Thumbnail {
  std::vector<float> values;
  int64_t height = 0, width = 0;

  float at(int64_t row, int64_t column) const {
    return values[size_t(std::min(row, height - 1) * width + column)];
  }
};

Thumbnail thumbnail_of(const at::Tensor& pixels) {
  const int64_t side = std::max(pixels.size(0), pixels.size(1));
  const auto scaled = [&](int64_t n) {
    return std::max<int64_t>(8, std::llround(double(n * working_side) / double(side)));
  };
  Thumbnail thumbnail;
  thumbnail.height = scaled(pixels.size(0));
  thumbnail.width = scaled(pixels.size(1));
  const auto small = at::_upsample_bilinear2d_aa(pixels.to(torch::kFloat).unsqueeze(0).unsqueeze(0),
                                                 {thumbnail.height, thumbnail.width}, false)
                         .contiguous();
  thumbnail.values.assign(small.const_data_ptr<float>(),
                          small.const_data_ptr<float>() + small.numel());
  return thumbnail;
}

// Weighted correlation of the drawing with the picture, its corner at (row, column).
double correlation(const Drawing& drawing, const Thumbnail& picture, int64_t row, int64_t column) {
  float sum = 0, squares = 0, product = 0;
  for (const auto& p : drawing.pixels) {
    const float value = picture.at(row + p.row, column + p.column);
    sum += p.weight * value;
    squares += p.weight * value * value;
    product += p.contrast * value;
  }
  const double variance = std::max(double(squares) - double(sum) * sum, 1e-4);
  return product / (std::sqrt(variance) * drawing.deviation);
}

struct Place {
  double likeness = -1;
  int64_t height = 0, width = 0, row = 0, column = 0;
};

void measure_contrasts(const Thumbnail& picture, const Place& place, double sign,
                       ChestLikeness& result) {
  if (place.height == 0) return;
  const Drawing drawing(place.height, place.width);
  double sum = 0, squares = 0;
  std::array<double, 7> total{}, count{};
  for (const auto& p : drawing.pixels) {
    const double value = picture.at(place.row + p.row, place.column + p.column);
    sum += value, squares += value * value;
    total[size_t(p.part)] += value, count[size_t(p.part)] += 1;
  }
  const auto n = double(drawing.pixels.size());
  const double deviation = std::sqrt(std::max(squares / n - sum * sum / (n * n), 1e-8));
  const auto mean = [&](Part part) {
    const auto i = size_t(part);
    return total[i] / std::max(count[i], 1.0);
  };
  double border = 0;
  const int64_t first = picture.width / 4, last = std::max(first + 1, 3 * picture.width / 4);
  for (int64_t c = first; c < last; ++c)
    border += 0.5 * (picture.at(picture.height - 1, c) + picture.at(picture.height - 2, c)) /
              double(last - first);
  const double right = mean(Part::right_lung), left = mean(Part::left_lung);
  result.right_lung = sign * (mean(Part::mediastinum) - right) / deviation;
  result.left_lung = sign * (mean(Part::mediastinum) - left) / deviation;
  result.lower_border = sign * (border - 0.5 * (right + left)) / deviation;
}

}  // namespace

bool ChestLikeness::frontal() const {
  const double likeness = std::max(bone_bright, bone_dark);
  const double most_difference =
      likeness >= high_likeness ? most_diseased_difference : most_lung_difference;
  return likeness >= least_likeness && std::abs(bone_bright - bone_dark) >= least_lead &&
         std::min(right_lung, left_lung) >= least_lung_contrast &&
         std::abs(right_lung - left_lung) <= most_difference && lower_border > 0;
}

bool looks_right(const at::Tensor& pixels) {
  constexpr double least_lean = 0.015;  // of the width; simulated patients have 0.026 to 0.075
  const int64_t height = pixels.size(0), width = pixels.size(1);
  const auto places = (torch::arange(width) + 0.5) / double(width);
  const auto middle = [&](double from, double to) {
    const auto columns =
        pixels.slice(0, int64_t(from * double(height)), int64_t(to * double(height))).sum(0);
    return (columns * places).sum().item<double>() / std::max(columns.sum().item<double>(), 1e-6);
  };
  return middle(0.05, 0.35) - middle(0.5, 0.75) < -least_lean;
}

ChestLikeness chest_likeness(const at::Tensor& pixels) {
  if (!pixels.defined() || pixels.dim() != 2 || pixels.numel() == 0)
    throw Error("chest_likeness: expected a picture of shape (H, W).");
  const Thumbnail picture = thumbnail_of(without_bars(pixels.to(torch::kFloat)));
  Place bright, dark;
  for (const double part : {0.6, 0.7, 0.8, 0.9, 1.0})
    for (const double aspect : {0.85, 1.0, 1.2}) {
      const int64_t width = std::llround(part * double(picture.width));
      const int64_t height = std::llround(aspect * double(width));
      // The abdomen may be missing from the picture.
      if (width < 12 || double(height) > 1.12 * double(picture.height)) continue;
      const Drawing drawing(height, width);
      for (int64_t r = 0; r <= std::max<int64_t>(0, picture.height - height); ++r)
        for (int64_t c = 0; c <= picture.width - width; ++c) {
          const double value = correlation(drawing, picture, r, c);
          if (value > bright.likeness) bright = {value, height, width, r, c};
          if (-value > dark.likeness) dark = {-value, height, width, r, c};
        }
    }
  ChestLikeness result;
  result.bone_bright = bright.likeness;
  result.bone_dark = dark.likeness;
  if (bright.likeness >= dark.likeness)
    measure_contrasts(picture, bright, 1, result);
  else
    measure_contrasts(picture, dark, -1, result);
  return result;
}

}  // namespace x2ctpa
