#include "x2ctpa/imaging/volume/lungs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "imaging/volume/airway.h"
#include "imaging/volume/components.h"
#include "imaging/volume/distance.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/imaging/volume/resample.h"

namespace x2ctpa {
namespace {

constexpr double working_mm = 2;   // fine enough for airways and vessels, coarse enough to be fast
constexpr double coarsest_mm = 4;  // above this the trachea is lost between two voxels
constexpr double lung_threshold_hu = -400;
constexpr double body_threshold_hu = -500;
constexpr double vessel_radius_mm = 8;    // vessels and nodules up to twice this are closed
constexpr double largest_hole_mm2 = 800;  // of a slice; the heart between merged lungs is larger
constexpr double smallest_litres = 0.5, largest_litres = 12;
constexpr double bare_gas_hu = -970;   // lungs, even with emphysema, hold more tissue
constexpr double thin_share = 0.01;    // of the largest slice
constexpr double most_outside = 0.05;  // of a mask, which sampling on another grid changes too

// A grid along the volume's axes with cubic voxels over the same extent.
Grid cubic_grid(const Volume& volume, double spacing_mm) {
  const auto size = volume.size_dhw();
  Grid grid = grid_of(volume);
  Vec3 shift{};
  for (int a = 0; a < 3; ++a) {
    const double extent = double(size[2 - a]) * volume.spacing_mm[a];
    grid.size_dhw[2 - a] = std::max<int64_t>(1, std::llround(extent / spacing_mm));
    grid.spacing_mm[a] = spacing_mm;
    const double covered = double(grid.size_dhw[2 - a] - 1) * spacing_mm;
    shift[a] =
        0.5 * (double(size[2 - a] - 1) * volume.spacing_mm[a] - covered) / volume.spacing_mm[a];
  }
  grid.origin_mm = volume.point(shift);
  return grid;
}

// Air that is not connected to the sides of the picture.
at::Tensor inner_air(const at::Tensor& hu) {
  const auto air = connected_components(hu < lung_threshold_hu);
  auto outside = torch::zeros({int64_t(air.all.size()) + 1}, torch::kUInt8);
  auto flags = outside.accessor<uint8_t, 1>();
  flags[0] = 1;
  for (const auto& c : air.all) flags[c.label] = c.touches_side;
  return 1 - outside.index_select(0, air.labels.reshape(-1)).reshape(hu.sizes());
}

// The largest piece of air, and the second where it lies beside the first and not below it as air
// in the bowels does.
std::vector<at::Tensor> largest_two(const at::Tensor& air) {
  const auto pieces = connected_components(air);
  const auto sorted = pieces.by_size();
  std::vector<at::Tensor> lungs;
  if (sorted.empty()) return lungs;
  const Component& first = sorted.front();
  lungs.push_back(pieces.mask_of(first.label));
  for (size_t i = 1; i < sorted.size(); ++i) {
    const Component& c = sorted[i];
    if (c.voxels * 8 < first.voxels) break;
    const double overlap =
        double(std::min(c.last[0], first.last[0]) - std::max(c.first[0], first.first[0]));
    const bool beside =
        overlap > 0.4 * double(first.last[0] - first.first[0]) &&
        (c.centre[2] < double(first.first[2]) || c.centre[2] > double(first.last[2]) ||
         std::abs(c.centre[2] - first.centre[2]) > 0.3 * double(first.last[2] - first.first[2]));
    if (!beside) continue;
    lungs.push_back(pieces.mask_of(c.label));
    break;
  }
  return lungs;
}

// Bounding box of the non-zero voxels. `mask` must not be empty.
Box box_of(const at::Tensor& mask) {
  Box box;
  for (int d = 0; d < 3; ++d) {
    std::vector<int64_t> others;
    for (int64_t o = 0; o < 3; ++o)
      if (o != d) others.push_back(o);
    const auto used = mask.amax(others).nonzero();
    box.first[d] = used.min().item<int64_t>();
    box.last[d] = used.max().item<int64_t>();
  }
  return box;
}

// The mask on the volume's own grid; only the part around it is computed.
at::Tensor onto(const at::Tensor& mask, const Grid& from, const Volume& volume) {
  const auto size = volume.size_dhw();
  auto result = torch::zeros({size[0], size[1], size[2]}, torch::kUInt8);
  if (!mask.any().item<bool>()) return result;
  const Volume coarse{mask.to(torch::kFloat), from.origin_mm, from.spacing_mm, from.direction};
  const Box box = box_of(mask);
  Grid part = grid_of(volume);
  at::Tensor target = result;
  Vec3 origin{};
  for (int d = 0; d < 3; ++d) {
    // Both grids have the same axes.
    const int a = 2 - d;
    Vec3 low{}, high{};
    low[a] = double(box.first[d] - 1), high[a] = double(box.last[d] + 1);
    const auto first = int64_t(std::floor(volume.index(coarse.point(low))[a]));
    const auto last = int64_t(std::ceil(volume.index(coarse.point(high))[a]));
    const int64_t begin = std::clamp<int64_t>(first, 0, size[d] - 1),
                  end = std::clamp<int64_t>(last + 1, begin + 1, size[d]);
    part.size_dhw[d] = end - begin;
    origin[a] = double(begin);
    target = target.narrow(d, begin, end - begin);
  }
  part.origin_mm = volume.point(origin);
  target.copy_(resample(coarse, part, Interpolation::linear, 0).hu > 0.5);
  return result;
}

// `mask` without its uppermost slices as long as they hold almost nothing: what is left of the
// trachea's wall above the lungs.
at::Tensor without_thin_top(const at::Tensor& mask) {
  const auto area = mask.sum(std::vector<int64_t>{1, 2}, false, torch::kLong).contiguous();
  const int64_t* slices = area.const_data_ptr<int64_t>();
  int64_t slice = area.numel() - 1;
  const double least = thin_share * double(area.max().item<int64_t>());
  for (; slice > 0 && double(slices[slice]) < least; --slice) mask[slice].zero_();
  return mask;
}

// `mask` with its box and volume.
Lungs measured(const at::Tensor& mask, const Volume& volume) {
  Lungs lungs;
  lungs.mask = mask;
  const double voxel_litres =
      volume.spacing_mm[0] * volume.spacing_mm[1] * volume.spacing_mm[2] * 1e-6;
  const int64_t voxels = mask.sum(torch::kLong).item<int64_t>();
  lungs.litres = double(voxels) * voxel_litres;
  if (voxels == 0) return lungs;
  lungs.box = box_of(mask);
  lungs.cut_off = lungs.box.first[0] == 0 || lungs.box.last[0] + 1 == mask.size(0);
  return lungs;
}

at::Tensor lungs_at_working_size(const at::Tensor& hu, double voxel_mm) {
  const auto air = inner_air(hu);
  const auto airway = find_airway(hu, air, voxel_mm);
  const auto pieces = largest_two(air.bitwise_and(1 - airway));
  auto mask = torch::zeros_like(air);
  const auto largest_hole = int64_t(largest_hole_mm2 / (voxel_mm * voxel_mm));
  for (const auto& piece : pieces) {
    // Closing and filling stay within the piece's own box.
    const Box box = box_of(piece);
    auto part = piece, target = mask;
    for (int64_t d = 0; d < 3; ++d) {
      const int64_t length = box.last[d] - box.first[d] + 1;
      part = part.narrow(d, box.first[d], length);
      target = target.narrow(d, box.first[d], length);
    }
    target.bitwise_or_(holes_filled(closed(part, vessel_radius_mm, voxel_mm), largest_hole));
  }
  return mask.bitwise_and(1 - airway);
}

}  // namespace

Lungs segment_lungs(const Volume& volume) {
  volume.size_dhw();
  // A scan coarser than the working size holds nothing that finer voxels would show.
  const double finest_mm = *std::min_element(volume.spacing_mm.begin(), volume.spacing_mm.end());
  const double voxel_mm = std::clamp(finest_mm, working_mm, coarsest_mm);
  const Grid grid = cubic_grid(volume, voxel_mm);
  const at::Tensor hu = resample(volume, grid, Interpolation::linear, -1024).hu;
  const at::Tensor coarse = lungs_at_working_size(hu, voxel_mm);
  const Lungs lungs = measured(without_thin_top(onto(coarse, grid, volume)), volume);
  if (lungs.litres < smallest_litres || lungs.litres > largest_litres)
    throw Error(
        fmt::format("no lungs found: the air inside the body is {:.2f} litres where lungs hold {} "
                    "to {}. Is it a "
                    "whole chest CT in HU?",
                    lungs.litres, smallest_litres, largest_litres));
  const double middle_hu = hu.masked_select(coarse == 1).median().item<float>();
  if (middle_hu < bare_gas_hu)
    throw Error(
        fmt::format("no lungs found: the air inside the body is bare gas (median {:.0f} HU; lungs "
                    "lie above {}), as "
                    "in the bowels. Is it a chest CT?",
                    middle_hu, bare_gas_hu));
  return lungs;
}

Lungs region_of_mask(const Volume& volume, const Volume& mask, bool of_lungs) {
  const Volume binary{(mask.hu != 0).to(torch::kFloat), mask.origin_mm, mask.spacing_mm,
                      mask.direction};
  const auto voxel_litres = [](const Volume& v) {
    return v.spacing_mm[0] * v.spacing_mm[1] * v.spacing_mm[2] * 1e-6;
  };
  const double given = binary.hu.sum(torch::kDouble).item<double>() * voxel_litres(binary);
  if (given == 0) throw Error("the mask is empty: all of its voxels are 0.");
  const auto inside =
      (resample(binary, grid_of(volume), Interpolation::linear, 0).hu > 0.5).to(torch::kUInt8);
  const double held = double(inside.sum(torch::kLong).item<int64_t>()) * voxel_litres(volume);
  if (held < (1 - most_outside) * given)
    throw Error(
        fmt::format("the mask does not lie in the scan: of its {:.3f} litres {:.3f} are inside. Is "
                    "it the mask of "
                    "another scan, or without its geometry?",
                    given, held));
  if (of_lungs && (held < smallest_litres || held > largest_litres))
    throw Error(
        fmt::format("the mask is {:.2f} litres where lungs hold {} to {}. For another region set "
                    "preprocess.box to "
                    "mask.",
                    held, smallest_litres, largest_litres));
  return measured(inside, volume);
}

Box body_box(const Volume& volume) {
  volume.size_dhw();
  const double coarse_mm = 2 * working_mm;
  const Grid grid = cubic_grid(volume, coarse_mm);
  const auto dense = (resample(volume, grid, Interpolation::linear, -1024).hu > body_threshold_hu)
                         .to(torch::kUInt8);
  // Opened, so that the table, which touches the skin in places, stays outside.
  const auto core = 1 - dilated(1 - dense, coarse_mm, coarse_mm);
  const auto pieces = connected_components(core);
  if (pieces.all.empty())
    throw Error(
        "no body found: nothing in the volume is denser than -500 HU. Is it a chest CT in HU?");
  const auto body = dilated(pieces.mask_of(pieces.by_size().front().label), coarse_mm, coarse_mm)
                        .bitwise_and(dense);
  const auto mask = onto(body, grid, volume);
  if (!mask.any().item<bool>())
    throw Error(
        "no body found: nothing in the volume is denser than -500 HU. Is it a chest CT in HU?");
  return box_of(mask);
}

}  // namespace x2ctpa
