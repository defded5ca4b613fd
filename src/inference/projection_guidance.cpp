#include "x2ctpa/inference/projection_guidance.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "inference/xray_detail.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/diffusion/guidance.h"
#include "x2ctpa/imaging/clipped_air.h"
#include "x2ctpa/imaging/drr/drr.h"

namespace x2ctpa {
namespace {

constexpr const char* interval_option = "sample.projection.interval";

Volume placed(const at::Tensor& hu, const DatasetInfo& info) {
  return {hu.to(at::kFloat).contiguous(), {0, 0, 0}, info.typical_spacing_mm};
}

double inner_product(const at::Tensor& a, const at::Tensor& b) {
  return (a * b).sum(at::kDouble).item<double>();
}

}  // namespace

void ProjectionGuidanceOptions::describe(OptionList& options) {
  options.add("strength", &strength,
              "Pull each estimate towards a volume whose own X-ray is the given one: the share of "
              "the way, at each step, to the least difference along the gradient; 0 does not.",
              {.min = 0, .max = 1});
  options.add("until", &until,
              "Pull only while the correlation of both is below this. A true volume's is not 1, "
              "since it ends at its window and its box; evaluate prints it.",
              {.min = -1, .max = 1});
  options.add("interval", &interval,
              "Pull only while noise / signal is above the first and not above the second; empty: "
              "always.",
              {.min = 0, .count = 2});
  options.add("every", &every, "Pull at every so many steps, the last one among them.", {.min = 1});
}

void check_projection_guidance(const ProjectionGuidanceOptions& options,
                               const std::filesystem::path& model) {
  if (!options.is_on()) return;
  const auto file = model / "dataset.yaml";
  DatasetInfo info;
  OptionList known, geometry;
  info.describe(known);
  info.geometry.describe(geometry);
  known.load_yaml(file);
  const ProjectionGuidance guidance(options, info, {});  // throws for data without a projection
  for (const auto& needed : geometry.all())
    for (const auto& option : known.all())
      if (option.key == needed.key && option.source == "default")
        throw Error(fmt::format(
            "sample.projection: {} does not say how the model's X-rays were taken, so that a "
            "projection cannot be compared with them: expected {}, found none. If you know how, "
            "add the line; else set sample.projection.strength 0",
            file.string(), needed.key));
}

ProjectionResidual projection_residual(const at::Tensor& hu, const at::Tensor& cxr,
                                       const DatasetInfo& info, bool with_gradient) {
  const c10::InferenceMode off(false);
  const at::AutoGradMode mode(with_gradient);
  const DrrOptions options = rendering_for(info, cxr.size(0));
  auto given = hu.detach().to(at::kFloat).clone();
  if (with_gradient) given.requires_grad_();
  const auto filled =
      with_clipped_air(given, info.window.min_hu, info.window.max_hu, ClippedAir::ramp);
  const Volume volume = placed(filled.detach(), info);
  auto lines = render_drr(volume, options);
  const auto film = cxr.detach().to(lines.device(), at::kFloat).clone();
  const auto crossed =
      crossed_by_rays(lines).logical_and(film > 0).logical_and(film < 1).to(at::kFloat);
  const double pixels = std::max(1.0, crossed.sum(at::kDouble).item<double>());
  if (with_gradient) lines.requires_grad_();
  // Both with mean 0 where rays cross.
  const auto centred = [&](const at::Tensor& picture) {
    const auto detail = xray_detail(picture) * crossed;
    return (detail - detail.sum() / pixels) * crossed;
  };
  const auto own = centred(lines), xray = centred(film);
  const double of_both = inner_product(own.detach(), xray), of_xray = inner_product(xray, xray),
               of_own = inner_product(own.detach(), own.detach());
  // The map is the best one, so the residual does not change with it, to first order.
  const auto residual = own - (of_xray > 0 ? of_both / of_xray : 0) * xray;
  ProjectionResidual result{residual.detach()};
  if (of_xray > 0 && of_own > 0) result.correlation = of_both / std::sqrt(of_xray * of_own);
  if (!with_gradient) return result;
  (0.5 * residual.square().sum()).backward();
  filled.backward(drr_gradient(volume, options, lines.grad()));
  result.hu_gradient = given.grad();
  return result;
}

ProjectionGuidance::ProjectionGuidance(const ProjectionGuidanceOptions& options,
                                       const DatasetInfo& info, Covariance covariance)
    : options_(options), info_(info), covariance_(std::move(covariance)) {
  if (info.source != PictureSource::cxr || info.unit != "HU")
    throw Error(
        "sample.projection: this model's pictures are no X-rays of its volumes, or these are not "
        "in HU, so that a projection cannot be compared; set sample.projection.strength 0");
  in_noise_interval(options_.interval, {1, 0}, interval_option);  // throws for a wrong one
}

bool ProjectionGuidance::acts(Mixture now, int64_t further) const {
  return options_.is_on() && further % options_.every == 0 &&
         in_noise_interval(options_.interval, now, interval_option);
}

at::Tensor ProjectionGuidance::pulled(const at::Tensor& x0, const at::Tensor& cxr,
                                      const Decoder& decode) const {
  const c10::InferenceMode off(false);
  const auto hu_of = [&](const at::Tensor& volume) {
    return info_.window.to_hu(volume[0][0].clamp(-1, 1));
  };
  const auto start = x0.clone();
  const auto picture = cxr[0].clone();
  at::Tensor volume, direction, residual;
  {
    const at::AutoGradMode with_gradients(true);
    auto x = start.detach().requires_grad_();
    volume = decode.volume(x);
    const auto hu = hu_of(volume);
    const auto found = projection_residual(hu.detach(), picture, info_, true);
    if (found.correlation >= options_.until) return start;
    hu.backward(found.hu_gradient);
    direction = x.grad();
    residual = found.picture;
  }
  const at::AutoGradMode without_gradients(false);
  if (covariance_) direction = covariance_(direction);
  const double length = std::sqrt(inner_product(direction, direction) / double(direction.numel()));
  if (!(length > 0)) return start;
  // How the residual changes along the line, by a step that is small for latents of deviation 1.
  const double small = 0.02 / length;
  const auto moved = decode.near(start, volume.detach(), start - small * direction);
  const auto ahead = projection_residual(hu_of(moved), picture, info_, false).picture;
  const auto slope = (residual - ahead) / small;
  const double steepness = inner_product(slope, slope);
  if (!(steepness > 0)) return start;
  return start - options_.strength * (inner_product(residual, slope) / steepness) * direction;
}

}  // namespace x2ctpa
