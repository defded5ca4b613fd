#include "x2ctpa/imaging/drr/drr.h"

#include <ATen/Parallel.h>

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "imaging/drr/drr_rays.h"
#include "imaging/volume/vector_clones.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"

namespace x2ctpa {
namespace {

void check_clear(const Volume& volume, const ConeBeam& beam, const DrrOptions& options) {
  const auto size = volume.size_dhw();
  double low = 1e300, high = -1e300;
  for (int corner = 0; corner < 8; ++corner) {
    Vec3 index;
    for (int axis : {0, 1, 2})
      index[axis] = (corner >> axis) & 1 ? double(size[2 - axis]) - 0.5 : -0.5;
    const double y = volume.point(index)[1];
    low = std::min(low, y), high = std::max(high, y);
  }
  const auto [front, back] = std::minmax(beam.detector_y, beam.source[1]);
  if (high < back && low > front) return;
  throw Error(fmt::format(
      "rendering an X-ray: the volume spans y = {:.0f} to {:.0f} mm, which must lie between the "
      "detector at y = {:.0f} mm and the source at y = {:.0f} mm. Increase "
      "source_to_detector_mm (now {}) or change source_to_centre_mm (now {}).",
      low, high, beam.detector_y, beam.source[1], options.geometry.source_to_detector_mm,
      options.geometry.source_to_centre_mm));
}

X2CTPA_VECTOR_CLONES
void attenuate(const float* hu, float* mu, int64_t n, float water, float slope, float bone_slope,
               float bone_from) {
  for (int64_t i = 0; i < n; ++i) {
    const float value = water + slope * hu[i] + bone_slope * std::max(hu[i] - bone_from, 0.0f);
    mu[i] = std::max(value, 0.0f);
  }
}

// -1 for PA, where the beam runs to the front, 1 for AP.
double beam_sign(const DrrOptions& options) { return options.view == BeamView::pa ? -1 : 1; }

Vec3 turned_to_side(const Vec3& p) { return {p[1], -p[0], p[2]}; }

// The patient turned by a quarter, so that a PA beam sees the left side.
Volume turned_to_side(const Volume& volume) {
  Volume turned = volume;
  turned.origin_mm = turned_to_side(volume.origin_mm);
  turned.direction = {volume.direction[1], volume.direction[0], volume.direction[2]};
  for (double& cosine : turned.direction[1]) cosine = 0 - cosine;
  return oriented_to_lps(turned);
}

DrrOptions turned_to_side(DrrOptions options) {
  options.view = BeamView::pa;
  return options;
}

}  // namespace

void DrrRendering::describe(OptionList& options) {
  options.add("view", &view, "Beam from back to front (pa) or from front to back (ap).",
              {BeamView::pa, BeamView::ap});
  options.add("method", &method,
              "Trilinear samples at equal steps, or the exact length in each voxel (siddon).");
  options.add("step_mm", &step_mm, "Trilinear: largest step along the beam in mm.",
              {.min = 0.05, .max = 50});
  options.add("mu_water_per_mm", &mu_water_per_mm, "Attenuation of water in 1/mm.",
              {.min = 0.001, .max = 1});
  options.add("bone_gain", &bone_gain,
              "Slope of attenuation over HU above bone_from_hu, as a "
              "multiple of the slope below.",
              {.min = 0, .max = 10});
  options.add("bone_from_hu", &bone_from_hu, "HU from which tissue counts as bone.",
              {.min = 0, .max = 3000});
  options.add("photons", &photons, "Photons a pixel counts without a patient; 0: no noise.",
              {.min = 0});
  options.add(
      "output", &output,
      "Grey levels by the attenuation along the ray (log), or by the share of the beam that "
      "is absorbed (exponential).");
}

at::Tensor attenuation(const at::Tensor& hu, const DrrRendering& options) {
  const at::Tensor values = hu.to(torch::kFloat).contiguous();
  const double per_hu = options.mu_water_per_mm / 1000;
  if (!values.is_cpu()) {
    const auto excess = (values - options.bone_from_hu).clamp_min(0) * (options.bone_gain - 1);
    return ((values + 1000 + excess) * per_hu).clamp_min(0);
  }
  at::Tensor mu = torch::empty_like(values);
  const float* in = values.const_data_ptr<float>();
  float* out = mu.mutable_data_ptr<float>();
  const auto water = float(options.mu_water_per_mm), slope = water / 1000;
  const auto bone = slope * float(options.bone_gain - 1);
  at::parallel_for(0, values.numel(), 1 << 16, [&](int64_t begin, int64_t end) {
    attenuate(in + begin, out + begin, end - begin, water, slope, bone,
              float(options.bone_from_hu));
  });
  return mu;
}

std::vector<double> ConeBeam::columns_mm() const {
  std::vector<double> u;
  for (int64_t column = 0; column < size; ++column) u.push_back(u_mm(column));
  return u;
}

std::vector<double> ConeBeam::rows_mm(int64_t first, int64_t last) const {
  std::vector<double> v;
  for (int64_t row = first; row < last; ++row) v.push_back(v_mm(row));
  return v;
}

ConeBeam cone_beam(const DrrOptions& options, const Vec3& centre) {
  const double sign = beam_sign(options);
  ConeBeam beam;
  beam.centre = centre;
  beam.source = {centre[0], centre[1] - sign * options.geometry.source_to_centre_mm, centre[2]};
  beam.to_detector_mm = options.geometry.source_to_detector_mm;
  beam.detector_y = beam.source[1] + sign * options.geometry.source_to_detector_mm;
  beam.size = options.size;
  beam.pitch_mm = options.geometry.detector_mm / double(options.size);
  return beam;
}

at::Tensor render_drr(const Volume& volume, const DrrOptions& options,
                      const std::optional<Vec3>& centre_mm) {
  const Vec3 centre = centre_mm.value_or(volume.centre_mm());
  if (options.view == BeamView::lateral)
    return render_drr(turned_to_side(volume), turned_to_side(options), turned_to_side(centre));
  const ConeBeam beam = cone_beam(options, centre);
  check_clear(volume, beam, options);
  const bool siddon = options.method == DrrMethod::siddon, layers = has_parallel_layers(volume);
  if (layers && !siddon && !volume.hu.is_cpu())
    return project_matrices(attenuation(volume.hu, options), volume, beam, options.step_mm);
  const at::Tensor mu = attenuation(volume.hu.cpu(), options);
  return layers ? project_layers(mu, volume, beam, options.step_mm, siddon)
                : project_rays(mu, volume, beam, options.step_mm, siddon);
}

at::Tensor drr_gradient(const Volume& volume, const DrrOptions& options, const at::Tensor& picture,
                        const std::optional<Vec3>& centre_mm) {
  if (options.method == DrrMethod::siddon || !has_parallel_layers(volume))
    throw Error(
        "the gradient of a rendered X-ray is there for trilinear samples of volumes whose axes are "
        "the patient's");
  const Vec3 centre = centre_mm.value_or(volume.centre_mm());
  if (options.view == BeamView::lateral)
    return drr_gradient(turned_to_side(volume), turned_to_side(options), picture,
                        turned_to_side(centre))
        .transpose(1, 2)
        .flip(2);
  const ConeBeam beam = cone_beam(options, centre);
  check_clear(volume, beam, options);
  const at::Tensor given = picture.to(volume.hu.device(), torch::kFloat).contiguous();
  const at::Tensor of_mu = volume.hu.is_cpu()
                               ? spread_layers(given, volume, beam, options.step_mm)
                               : spread_matrices(given, volume, beam, options.step_mm);
  const double per_hu = options.mu_water_per_mm / 1000;
  const auto bone = (volume.hu > options.bone_from_hu).to(torch::kFloat) * (options.bone_gain - 1);
  const auto slope = (1 + bone) * per_hu;
  return of_mu * slope.masked_fill_(attenuation(volume.hu, options) <= 0, 0);
}

at::Tensor drr_picture(const Volume& volume, const DrrOptions& options, int64_t seed,
                       std::string_view case_id, const std::optional<Vec3>& centre_mm) {
  at::Tensor lines = render_drr(volume, options, centre_mm);
  if (options.photons > 0) {
    auto generator = random_stream(seed, fmt::format("drr/{}", case_id));
    const auto noise = at::randn(lines.sizes(), generator, lines.options());
    lines.add_(noise.mul_((lines / 2).exp_().div_(std::sqrt(options.photons))));
  }
  if (options.output == DrrOutput::exponential) lines = 1 - lines.clamp_min(0).neg_().exp_();
  return displayed_xray(lines);
}

at::Tensor displayed_xray(const at::Tensor& line_integral, double low, double high,
                          double exponent) {
  constexpr double behind_patient = 0.35;  // line integral of 17 mm of water
  at::Tensor body = line_integral.masked_select(line_integral > behind_patient);
  if (body.numel() == 0) return torch::zeros_like(line_integral);
  body = std::get<0>(body.sort());
  const auto quantile = [&](double q) {
    return body[int64_t(q * double(body.numel() - 1))].item<double>();
  };
  const double from = quantile(low), to = quantile(high);
  const auto scaled = ((line_integral - from) / std::max(to - from, 1e-6)).clamp(0, 1);
  return exponent == 1.0 ? scaled : scaled.pow(exponent);
}

}  // namespace x2ctpa
