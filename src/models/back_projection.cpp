#include "x2ctpa/models/back_projection.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "models/checks.h"
#include "models/kernels/fixed_order.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

// Places of `count` voxel centres along an axis, in mm from the middle.
at::Tensor centred_axis(int64_t count, double spacing_mm) {
  return (at::arange(count, at::kDouble) - 0.5 * double(count - 1)) * spacing_mm;
}

void check_geometry(const BackProjectionGeometry& g, const std::array<int64_t, 3>& grid_dhw) {
  const auto& s = g.spacing_xyz_mm;
  const auto& [source_to_detector_mm, source_to_centre_mm, detector_mm] = g.beam;
  if (source_to_detector_mm <= 0 || source_to_centre_mm <= 0 || detector_mm <= 0 || s[0] <= 0 ||
      s[1] <= 0 || s[2] <= 0) {
    throw Error(fmt::format(
        "back-projection: expected positive lengths in mm, found source_to_detector {}, "
        "source_to_centre {}, detector {}, spacing {} x {} x {}",
        source_to_detector_mm, source_to_centre_mm, detector_mm, s[0], s[1], s[2]));
  }
  const double last_y_mm = 0.5 * double(grid_dhw[1] - 1) * s[1];
  if (last_y_mm >= source_to_centre_mm) {
    throw Error(
        fmt::format("back-projection: the volume reaches {} mm behind its centre, "
                    "up to the X-ray source at {} mm",
                    last_y_mm, source_to_centre_mm));
  }
}

}  // namespace

ViewBeams::ViewBeams(CxrViews views, const ProjectionGeometry& frontal,
                     double lateral_source_to_centre_mm,
                     const std::array<double, 3>& spacing_xyz_mm)
    : beams{{frontal, spacing_xyz_mm}} {
  if (views == CxrViews::both)
    beams.push_back(
        {frontal.lateral(lateral_source_to_centre_mm), spacing_xyz_mm, CxrView::lateral});
}

at::Tensor detector_coordinates(const BackProjectionGeometry& geometry,
                                const std::array<int64_t, 3>& grid_dhw) {
  const auto [depth, height, width] = grid_dhw;
  if (geometry.view == CxrView::lateral) {
    const auto [x, y, z] = geometry.spacing_xyz_mm;
    const auto turned = detector_coordinates({geometry.beam, {y, x, z}}, {depth, width, height});
    return turned.transpose(1, 2).flip(2).contiguous();
  }
  check_geometry(geometry, grid_dhw);
  const auto x = centred_axis(width, geometry.spacing_xyz_mm[0]).view({1, 1, width});
  const auto y = centred_axis(height, geometry.spacing_xyz_mm[1]).view({1, height, 1});
  const auto z = centred_axis(depth, geometry.spacing_xyz_mm[2]).view({depth, 1, 1});
  const auto magnification =
      geometry.beam.source_to_detector_mm / (geometry.beam.source_to_centre_mm - y);
  const double half_detector_mm = 0.5 * geometry.beam.detector_mm;
  const auto column = (magnification * x / half_detector_mm).expand({depth, height, width});
  const auto row = (-magnification * z / half_detector_mm).expand({depth, height, width});
  return at::stack({column, row}, -1).to(at::kFloat);
}

BackProjection::BackProjection(const BackProjectionGeometry& geometry,
                               const std::array<int64_t, 3>& grid_dhw)
    : geometry_(geometry),
      grid_dhw_(grid_dhw),
      coordinates_(detector_coordinates(geometry, grid_dhw)
                       .view({1, grid_dhw[0] * grid_dhw[1], grid_dhw[2], 2})) {}

at::Tensor BackProjection::operator()(const at::Tensor& features,
                                      const at::Tensor& alignment) const {
  require_shape(features, {-1, -1, -1, -1}, "back-projection: feature map (B, C, h, w)");
  const int64_t batch = features.size(0), channels = features.size(1);
  // Half-precision coordinates would miss pixels: sample in float32.
  coordinates_ = coordinates_.to(features.device());
  auto places = coordinates_.expand({batch, -1, -1, -1});
  if (alignment.defined()) {
    require_shape(alignment, {batch, 2, 3}, "back-projection: alignment (B, 2, 3)");
    const auto a = alignment.to(at::kFloat);
    const auto turned =
        at::matmul(coordinates_.view({1, -1, 2}), a.narrow(2, 0, 2).transpose(1, 2));
    places = (turned + a.select(2, 2).unsqueeze(1)).view(places.sizes());
  }
  const auto map = features.to(at::kFloat);
  const auto volume = fixed_order::wanted(map)
                          ? fixed_order::grid_sampler_2d(map, places)
                          : at::grid_sampler_2d(map, places,
                                                /*interpolation_mode=*/0,
                                                /*padding_mode=*/0, /*align_corners=*/false);
  return volume.reshape({batch, channels, grid_dhw_[0], grid_dhw_[1], grid_dhw_[2]})
      .to(features.scalar_type());
}

}  // namespace x2ctpa
