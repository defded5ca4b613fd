// Digitally reconstructed radiographs: cone-beam projections of a CT by ray marching.
//
// Geometry, in LPS millimetres (x to the patient's left, y to the back, z to the head), PA: the
// source is behind the patient, the detector before the chest. With c the point on the central ray:
//
//   source     s = (cx, cy + source_to_centre, cz)
//   detector   the plane y = cy + source_to_centre - source_to_detector
//   a point p  lands at u = m (px - cx), v = m (pz - cz),
//              m = source_to_detector / (cy + source_to_centre - py)
//   its pixel  column = (u + detector / 2) / detector * size - 0.5
//              row    = (detector / 2 - v) / detector * size - 0.5
//
// so the picture hangs as films do: the patient's right at its left, the head up.
#pragma once

#include <torch/types.h>

#include <array>
#include <optional>

#include "x2ctpa/core/options.h"
#include "x2ctpa/imaging/volume.h"

namespace x2ctpa {

struct DrrOptions {
  int64_t size = 256;
  double source_to_detector_mm = 1800;
  double source_to_centre_mm = 1600;
  double detector_mm = 430;
  double step_mm = 2;
  double mu_water_per_mm = 0.0206;
  double bone_gain = 1.45;
  double bone_from_hu = 100;

  void describe(OptionList& options);
};

/// The attenuation of HU in 1/mm: mu_water (1 + HU / 1000), steeper by bone_gain above
/// bone_from_hu; never negative. Water 0.0206/mm at 60 keV, and bone's excess of an X-ray's energy
/// over a CT's, from the NIST tables of mass attenuation (Hubbell and Seltzer, NISTIR 5632).
torch::Tensor attenuation(const torch::Tensor& hu, const DrrOptions& options);

/// Line integrals of attenuation, float32 (size, size), without unit. `centre_mm`: the point on
/// the central ray, else the volume's middle. Trilinear samples at equal steps of at most step_mm
/// inside the volume's outer faces; nothing outside them. Works on oblique volumes.
/// Throws Error when the source or the detector lies inside the volume.
torch::Tensor render_drr(const Volume& volume, const DrrOptions& options,
                         const std::optional<Vec3>& centre_mm = std::nullopt);

/// (row, column) in pixels at which the LPS point lands.
std::array<double, 2> project_point(const Vec3& point_mm, const Vec3& centre_mm,
                                    const DrrOptions& options);

/// Line integrals as a displayed radiograph in [0, 1], bone bright: linear between the `low` and
/// `high` quantile of the pixels behind the patient, then raised to `exponent`.
torch::Tensor film_picture(const torch::Tensor& line_integral, double low = 0.02,
                           double high = 0.997, double exponent = 1.0);

}  // namespace x2ctpa
