#include "x2ctpa/models/linear_mean.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

#include "models/checks.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/models/linear_probe.h"
#include "x2ctpa/models/view_models.h"

namespace x2ctpa {
namespace {

constexpr std::array ridges{0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 100.0};
constexpr int64_t latents_at_once = 16;
constexpr int64_t projected = 128;   // principal components that the random features see
constexpr double squared_width = 4;  // of their kernel, in median squared distances of X-rays
constexpr int64_t distances_from = 256;

int64_t views_in(const LinearMeanOptions& o) { return o.views == ViewSet::both ? 2 : 1; }

// (B, views * side * side): of the views that the mean is fitted to, one after the other.
at::Tensor pooled_pixels(const at::Tensor& cxr, const LinearMeanOptions& o) {
  const auto seen = o.views == ViewSet::both ? cxr : cxr.narrow(1, o.views == ViewSet::lateral, 1);
  return averaged_to_grid(seen.to(at::kFloat), {seen.size(1), o.side, o.side});
}

int64_t coarse_side(const LinearMeanOptions& o) { return (o.side + 1) / 2; }

// The median of the squared distances between rows.
double median_squared_distance(const at::Tensor& rows) {
  const int64_t n = rows.size(0), step = std::max<int64_t>(1, n / distances_from);
  const auto some = rows.slice(0, 0, n, step);
  const auto found = at::pdist(some).square();
  return std::max(1e-12, found.median().item<double>());
}

// The factor that gives rows a mean squared length of 1.
double unit_factor(const at::Tensor& rows) {
  return 1 / std::sqrt(std::max(1e-12, rows.square().sum(1).mean().item<double>()));
}

// The left singular vectors of centred rows, largest singular value first.
struct Components {
  at::Tensor rows_to, strength, directions;  // (N, K), (K), (K, P)
};

Components components_of(const at::Tensor& centred, int64_t wanted) {
  auto [u, s, v] = at::linalg_svd(centred, /*full_matrices=*/false);
  const double floor = 1e-6 * std::max(s[0].item<double>(), 1e-12);
  const int64_t found = std::min<int64_t>(wanted, (s > floor).sum().item<int64_t>());
  return {u.narrow(1, 0, found), s.narrow(0, 0, found), v.narrow(0, 0, found)};
}

// Sums over latents, block by block: a set need not fit into memory at once.
struct LatentSums {
  at::Tensor mean;      // (D)
  at::Tensor loadings;  // (K, D): the components' rows times the centred latents
  at::Tensor along;     // (N, K): centred latents times the loadings
  at::Tensor squares;   // (N): squared length of the centred latents
};

LatentSums sums_of(const at::Tensor& rows, const std::function<at::Tensor(int64_t)>& latent) {
  const int64_t n = rows.size(0);
  const auto block = [&](int64_t first) {
    std::vector<at::Tensor> latents;
    for (int64_t i = first; i < std::min(n, first + latents_at_once); ++i)
      latents.push_back(latent(i).to(at::kCPU, at::kFloat).flatten());
    return at::stack(latents);
  };
  LatentSums sums;
  for (int64_t i = 0; i < n; i += latents_at_once) {
    const auto y = block(i);
    const auto part = rows.narrow(0, i, y.size(0)).to(at::kFloat).t();
    const bool first = i == 0;
    sums.mean = first ? y.sum(0) : sums.mean + y.sum(0);
    sums.loadings = first ? part.mm(y) : sums.loadings.addmm_(part, y);
  }
  // The components' rows sum to 0, so that the loadings are those of centred latents.
  sums.mean = sums.mean / double(n);
  std::vector<at::Tensor> along, squares;
  for (int64_t i = 0; i < n; i += latents_at_once) {
    const auto y = block(i) - sums.mean;
    along.push_back(y.mm(sums.loadings.t()).to(at::kDouble));
    squares.push_back(y.to(at::kDouble).square().sum(1));
  }
  sums.along = at::cat(along);
  sums.squares = at::cat(squares);
  return sums;
}

// What ridge regression leaves of each component of the fit, (K).
at::Tensor kept(const Components& c, double ridge, double unit) {
  const auto variance = c.strength.square();
  return variance / (variance + ridge * unit);
}

at::Tensor leverage_of(const Components& c, const at::Tensor& share) {
  return 1.0 / double(c.rows_to.size(0)) + (c.rows_to.square() * share).sum(1);
}

// The squared error of all cases, each left out in turn.
double left_out_error(const Components& c, const LatentSums& sums, const at::Tensor& share) {
  const auto rows = c.rows_to * share;
  const auto gram = sums.loadings.mm(sums.loadings.t()).to(at::kDouble);
  const auto squared =
      sums.squares - 2 * (rows * sums.along).sum(1) + (rows.mm(gram) * rows).sum(1);
  return (squared / (1 - leverage_of(c, share)).square()).sum().item<double>();
}

double best_ridge(const Components& c, const LatentSums& sums, double unit) {
  double best = ridges.front(), least = std::numeric_limits<double>::infinity();
  for (const double ridge : ridges) {
    const double error = left_out_error(c, sums, kept(c, ridge, unit));
    if (error < least) {
      least = error;
      best = ridge;
    }
  }
  return best;
}

}  // namespace

void LinearMeanOptions::describe(OptionList& list) {
  list.add("views", &views, "The views that are there; found in training.", {},
           std::string(word_of(ViewSet::frontal)));
  list.add("side", &side, "Side in pixels to which X-rays are averaged for it.",
           {.min = 2, .max = 512});
  list.add("components", &components, "Principal components of the X-rays, at most.", {.min = 1});
  list.add("random_features", &random_features,
           "Random Fourier features of the X-ray beside its pixels, which are then averaged once "
           "more by two: the mean bends with the X-ray as with a Gaussian kernel. 0: the pixels "
           "alone.",
           {.min = 0});
  list.add("pixel_weight", &pixel_weight,
           "Weight of the pixels beside random features: the more, the more of faint signs is kept "
           "and the less of edges is found.",
           {.min = 0});
  list.add("ridge", &ridge,
           "Strength of the ridge, in units of the components' mean variance; 0: the one with the "
           "least error when each training case is left out in turn.",
           {.min = 0});
  list.add("size", &size, "Channels, depth, height and width of the latents; found in training.");
}

LinearMeanImpl::LinearMeanImpl(LinearMeanOptions options) : options_(std::move(options)) {
  if (options_.size.size() != 4)
    throw Error("linear mean: expected size to be channels, depth, height and width of latents");
  const auto& s = options_.size;
  const int64_t views = views_in(options_), coarse = coarse_side(options_);
  const int64_t pixels = views * options_.side * options_.side, values = s[0] * s[1] * s[2] * s[3];
  const int64_t waves = options_.random_features;
  const int64_t features = waves == 0 ? pixels : views * coarse * coarse + waves;
  if (waves > 0) {
    const int64_t seen = std::min(projected, pixels);
    projection_ = register_buffer("projection", at::zeros({seen, pixels}));
    frequencies_ = register_buffer("frequencies", at::zeros({seen, waves}));
    phases_ = register_buffer("phases", at::zeros({waves}));
    scales_ = register_buffer("scales", at::ones({2}));
    feature_mean_ = register_buffer("feature_mean", at::zeros({features}));
  }
  pixel_mean_ = register_buffer("pixel_mean", at::zeros({pixels}));
  components_ = register_buffer("components", at::zeros({options_.components, features}));
  weights_ = register_buffer("weights", at::zeros({options_.components, values}));
  offset_ = register_buffer("offset", at::zeros({values}));
  rest_std_ = register_buffer("rest_std", at::ones({s[0]}));
}

at::Tensor LinearMeanImpl::features(const at::Tensor& pixels) const {
  if (options_.random_features == 0) return pixels;
  const auto as = [&](const at::Tensor& buffer) { return buffer.to(pixels.scalar_type()); };
  const int64_t side = options_.side, coarse = coarse_side(options_);
  const auto coarser =
      at::adaptive_avg_pool2d(pixels.view({-1, views_in(options_), side, side}), {coarse, coarse})
          .flatten(1);
  const auto waves =
      at::cos(at::addmm(as(phases_), pixels.mm(as(projection_).t()), as(frequencies_)));
  const auto scales = as(scales_);
  return at::cat({coarser * scales[0], waves * scales[1]}, 1) - as(feature_mean_);
}

void LinearMeanImpl::draw_features(const at::Tensor& pixels, at::Generator random) {
  if (options_.random_features == 0) return;
  const auto directions = std::get<2>(at::linalg_svd(pixels, /*full_matrices=*/false));
  const int64_t found = std::min(projection_.size(0), directions.size(0));
  projection_.narrow(0, 0, found).copy_(directions.narrow(0, 0, found));
  const auto seen = pixels.mm(projection_.to(at::kDouble).t());
  const double width = squared_width * median_squared_distance(seen);
  frequencies_.copy_(at::randn(frequencies_.sizes(), random, frequencies_.options()) *
                     std::sqrt(2 / width));
  phases_.copy_(at::rand(phases_.sizes(), random, phases_.options()) * 2 * std::numbers::pi);
  const auto raw = features(pixels);
  const auto mean = raw.mean(0);
  const int64_t coarse = raw.size(1) - options_.random_features;
  scales_[0] = options_.pixel_weight * unit_factor((raw - mean).slice(1, 0, coarse));
  scales_[1] = unit_factor((raw - mean).slice(1, coarse));
  feature_mean_.copy_(
      at::cat({mean.slice(0, 0, coarse) * scales_[0], mean.slice(0, coarse) * scales_[1]}));
}

at::Tensor LinearMeanImpl::forward(const at::Tensor& cxr) const {
  require_shape(cxr, {-1, options_.views == ViewSet::frontal ? -1 : 2, -1, -1},
                "linear mean: X-rays (B, V, S, S)");
  const auto& s = options_.size;
  const auto pixels = pooled_pixels(cxr, options_) - pixel_mean_;
  return at::addmm(offset_, features(pixels).mm(components_.t()), weights_)
      .view({-1, s[0], s[1], s[2], s[3]});
}

LinearMeanFit LinearMeanFit::of(int64_t cases, LinearMeanOptions options,
                                const std::function<at::Tensor(int64_t)>& cxr,
                                const std::function<at::Tensor(int64_t)>& latent,
                                at::Generator random) {
  if (cases < 2)
    throw Error(fmt::format("the linear mean needs 2 or more training cases, found {}", cases),
                ExitCode::no_data);
  at::NoGradGuard no_grad;
  std::vector<at::Tensor> pictures;
  for (int64_t i = 0; i < cases; ++i)
    pictures.push_back(pooled_pixels(cxr(i).unsqueeze(0), options));
  const auto pixels = at::cat(pictures).to(at::kDouble);
  const auto pixel_mean = pixels.mean(0);
  options.size = latent(0).sizes().vec();
  LinearMean drawn(options);
  drawn->draw_features(pixels - pixel_mean, std::move(random));
  const auto features = drawn->features(pixels - pixel_mean);
  const auto c =
      components_of(features - features.mean(0), std::min(options.components, cases - 1));
  const auto sums = sums_of(c.rows_to, latent);
  const double unit = c.strength.square().mean().item<double>();
  if (options.ridge == 0) options.ridge = best_ridge(c, sums, unit);
  options.components = c.strength.size(0);

  LinearMeanFit fit;
  fit.mean = LinearMean(options);
  const auto share = kept(c, options.ridge, unit);
  fit.leverage = leverage_of(c, share);
  if (options.random_features > 0) {
    for (const auto buffer :
         {&LinearMeanImpl::projection_, &LinearMeanImpl::frequencies_, &LinearMeanImpl::phases_,
          &LinearMeanImpl::scales_, &LinearMeanImpl::feature_mean_})
      ((*fit.mean).*buffer).copy_((*drawn).*buffer);
  }
  fit.mean->pixel_mean_.copy_(pixel_mean);
  fit.mean->components_.copy_(c.directions);
  fit.mean->weights_.copy_((share / c.strength).to(at::kFloat).unsqueeze(1) * sums.loadings);
  fit.mean->offset_.copy_(sums.mean);

  at::Tensor squares = at::zeros({options.size[0]}, at::kDouble);
  for (int64_t i = 0; i < cases; ++i) {
    const auto y = latent(i).to(at::kCPU, at::kFloat);
    const auto rest = y - fit.left_out(i, fit.mean->forward(cxr(i).unsqueeze(0))[0], y);
    squares += rest.to(at::kDouble).square().mean({1, 2, 3});
  }
  fit.mean->rest_std_.copy_((squares / double(cases)).sqrt().clamp_min(1e-6));
  return fit;
}

at::Tensor LinearMeanFit::left_out(int64_t i, const at::Tensor& fitted,
                                   const at::Tensor& latent) const {
  return latent - (latent - fitted) / (1 - leverage[i].item<double>());
}

std::string left_out_means_key(const std::filesystem::path& mean, const std::string& dataset_hash) {
  return "left out " + hash_of_view_sets(mean) + dataset_hash;
}

}  // namespace x2ctpa
