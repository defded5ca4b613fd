// Digitally reconstructed radiographs: cone-beam projections of a CT.
//
// Geometry, in LPS millimetres (x to the patient's left, y to the back, z to the head). PA: the
// source is behind the patient, the detector before the chest (b = 1); AP: the other way (b = -1).
// Lateral: the source is at the patient's right, the detector at the left side, which is a PA beam
// through a patient turned by a quarter: x' = y, y' = -x, so that the X-ray shows the patient
// looking to its left.
// With c the point on the central ray:
//
//   source     s = (cx, cy + b source_to_centre, cz)
//   detector   the plane y = cy + b (source_to_centre - source_to_detector)
//   a point p  lands at u = m (px - cx), v = m (pz - cz),
//              m = source_to_detector / |sy - py|
//   its pixel  column = (u + detector / 2) / detector * size - 0.5
//              row    = (detector / 2 - v) / detector * size - 0.5
//
// so the X-ray hangs as radiologists hang it: the patient's right at its left, the head up.
#pragma once

#include <torch/types.h>

#include <array>
#include <optional>
#include <string_view>

#include "x2ctpa/core/options.h"
#include "x2ctpa/core/projection_geometry.h"
#include "x2ctpa/imaging/volume/volume.h"

namespace x2ctpa {

enum class BeamView { pa, ap, lateral };
constexpr auto words(BeamView) { return std::array{"pa", "ap", "lateral"}; }

enum class DrrMethod { trilinear, siddon };
constexpr auto words(DrrMethod) { return std::array{"trilinear", "siddon"}; }

enum class DrrOutput { log, exponential };
constexpr auto words(DrrOutput) { return std::array{"log", "exponential"}; }

/// How rays become grey levels.
struct DrrRendering {
  BeamView view = BeamView::pa;
  DrrMethod method = DrrMethod::trilinear;
  double step_mm = 2;
  double mu_water_per_mm = 0.0206;
  double bone_gain = 1.45;
  double bone_from_hu = 100;
  double photons = 0;
  DrrOutput output = DrrOutput::log;

  void describe(OptionList& options);
};

struct DrrOptions : DrrRendering {
  int64_t size = 256;
  ProjectionGeometry geometry;
};

/// The attenuation of HU in 1/mm: mu_water (1 + HU / 1000), steeper by bone_gain above
/// bone_from_hu; never negative. Water 0.0206/mm at 60 keV, and bone's excess of an X-ray's energy
/// over a CT's, from the NIST tables of mass attenuation (Hubbell and Seltzer, NISTIR 5632). On the
/// device of `hu`.
at::Tensor attenuation(const at::Tensor& hu, const DrrRendering& options);

/// Line integrals of attenuation, float32 (size, size), without unit, on the volume's device (on
/// the CPU for Siddon's method and turned volumes). `centre_mm`: the point on the central ray, else
/// the volume's middle. Trilinear samples at equal steps of at most step_mm, or Siddon's exact
/// lengths (Medical Physics 12 (1985) 252), inside the volume's outer faces; nothing outside them.
/// Works on oblique volumes; fastest where the axes are the patient's. Throws Error when the source
/// or the detector lies inside the volume.
at::Tensor render_drr(const Volume& volume, const DrrOptions& options,
                      const std::optional<Vec3>& centre_mm = std::nullopt);

/// The gradient, with respect to the HU (D, H, W) of `volume`, of a number whose gradient with
/// respect to render_drr() of it is `picture` (size, size), on the volume's device. The same with
/// any number of threads. Throws Error for Siddon's method and for a volume whose axes are not the
/// patient's.
at::Tensor drr_gradient(const Volume& volume, const DrrOptions& options, const at::Tensor& picture,
                        const std::optional<Vec3>& centre_mm = std::nullopt);

/// The rendered X-ray as it is displayed (see displayed_xray), with the noise of counting
/// photons, which depends on `seed` and `case_id`: a line integral L deviates by sqrt(exp(L) /
/// photons).
at::Tensor drr_picture(const Volume& volume, const DrrOptions& options, int64_t seed,
                       std::string_view case_id,
                       const std::optional<Vec3>& centre_mm = std::nullopt);

/// Line integrals as a displayed X-ray in [0, 1], bone bright: linear between the `low` and
/// `high` quantile of the pixels behind the patient, then raised to `exponent`.
at::Tensor displayed_xray(const at::Tensor& line_integral, double low = 0.02, double high = 0.997,
                          double exponent = 1.0);

}  // namespace x2ctpa
