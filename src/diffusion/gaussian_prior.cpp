#include "x2ctpa/diffusion/gaussian_prior.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <utility>

#include "x2ctpa/core/cxr_view.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

constexpr int64_t most_cases = 512, folds = 4;

// Orthonormal rows (K, D), those along which the rows of x (N, D) vary most first.
at::Tensor directions_of(const at::Tensor& x, int64_t wanted) {
  const auto [values, vectors] = at::linalg_eigh(x.mm(x.t()).to(at::kDouble));
  const int64_t k = std::min<int64_t>(wanted, x.size(0));
  const auto kept = vectors.flip(1).narrow(1, 0, k),
             lengths = values.flip(0).narrow(0, 0, k).clamp_min(1e-12).sqrt();
  return (kept / lengths).t().to(at::kFloat).mm(x);
}

at::Tensor rows_of_fold(int64_t cases, int64_t fold, bool inside) {
  std::vector<int64_t> rows;
  for (int64_t i = 0; i < cases; ++i)
    if ((i % folds == fold) == inside) rows.push_back(i);
  return at::tensor(rows, at::kLong);
}

}  // namespace

void GaussianPriorOptions::describe(OptionList& options) {
  options.add(
      "components", &components,
      "Directions of a Gaussian model of what the denoiser makes, fitted in closed form; the "
      "network then learns what the best linear denoiser leaves. 0: the network learns all.",
      {.min = 0});
  options.add("size", &size,
              "Channels, depth, height and width of the latents; found in training.");
}

GaussianPriorImpl::GaussianPriorImpl(GaussianPriorOptions options) : options_(std::move(options)) {
  if (options_.size.size() != 4 || options_.components < 1)
    throw Error(
        "Gaussian prior: expected components, and a size of channels, depth, height and width");
  int64_t values = 1;
  for (const int64_t side : options_.size) values *= side;
  mean_ = register_buffer("mean", at::zeros({values}));
  spread_ = register_buffer("spread", at::zeros({options_.components, values}));
  rest_ = register_buffer("rest", at::ones({values}));
}

void GaussianPriorImpl::fit(int64_t cases, const std::function<at::Tensor(int64_t)>& latent) {
  const int64_t n = std::min(cases, most_cases);
  if (n < 2 * folds)
    throw Error(fmt::format("the Gaussian prior needs {} or more training cases, found {}; set "
                            "diffusion.prior.components 0",
                            2 * folds, cases),
                ExitCode::no_data);
  at::NoGradGuard no_grad;
  auto x = at::empty({n, mean_.numel()});
  for (int64_t i = 0; i < n; ++i) x[i].copy_(latent(i * cases / n).flatten());
  mean_.copy_(x.mean(0));
  x -= mean_.to(at::kCPU);
  // As many as every fold can have.
  const int64_t k = std::min(options_.components, n - (n + folds - 1) / folds);
  auto variances = at::zeros({k}, at::kDouble), rest = at::zeros({x.size(1)}, at::kDouble);
  for (int64_t fold = 0; fold < folds; ++fold) {
    const auto held_out = x.index_select(0, rows_of_fold(n, fold, true));
    const auto directions = directions_of(x.index_select(0, rows_of_fold(n, fold, false)), k);
    const auto along = held_out.mm(directions.t());
    variances += along.to(at::kDouble).square().sum(0);
    rest += (held_out - along.mm(directions)).to(at::kDouble).square().sum(0);
  }
  const auto deviations = (variances / double(n)).sqrt().to(at::kFloat);
  spread_.zero_();
  spread_.narrow(0, 0, k).copy_(directions_of(x, k) * deviations.unsqueeze(1));
  rest_.copy_((rest / double(n)).clamp_min(1e-8));
}

GaussianPriorImpl::Parts GaussianPriorImpl::parts(const at::Tensor& x_t, Mixture now) const {
  const auto [signal, noise] = now;
  const auto x = x_t.to(at::kFloat).flatten(1) - signal * mean_;
  // The covariance of x_t is the diagonal `own` plus that of the directions.
  const auto own = signal * signal * rest_ + noise * noise;
  const auto scaled = spread_ / own;
  const auto among = (signal * signal * scaled.mm(spread_.t())).to(at::kDouble) +
                     at::eye(spread_.size(0), spread_.options().dtype(at::kDouble));
  const auto along =
      (signal * at::linalg_solve(among, scaled.mm(x.t()).to(at::kDouble))).to(at::kFloat).t();
  // What lies along the directions is taken off before anything is divided by the noise: the other
  // way round float32 would subtract large numbers that are nearly equal.
  const auto known = along.mm(spread_);
  const auto whitened = (x - signal * known) / own;
  return {(mean_ + known + signal * rest_ * whitened).view(x_t.sizes()),
          (noise * whitened).view(x_t.sizes())};
}

at::Tensor GaussianPriorImpl::x0(const at::Tensor& x_t, Mixture now) const {
  return parts(x_t, now).x0;
}

at::Tensor GaussianPriorImpl::covariance_times(const at::Tensor& x) const {
  const auto flat = x.to(at::kFloat).flatten(1);
  return (flat.mm(spread_.t()).mm(spread_) + flat * rest_).view(x.sizes());
}

at::Tensor GaussianPriorImpl::prediction(const NoiseSchedule& schedule, Prediction kind,
                                         const at::Tensor& x_t, const at::Tensor& t) const {
  at::NoGradGuard no_grad;
  const auto steps = t.to(at::kCPU);
  std::map<int64_t, std::vector<int64_t>> rows;
  for (int64_t i = 0; i < steps.numel(); ++i) rows[steps[i].item<int64_t>()].push_back(i);
  auto x0_hat = at::empty_like(x_t, at::kFloat), noise_hat = at::empty_like(x0_hat);
  for (const auto& [step, own] : rows) {
    const auto index = at::tensor(own, at::kLong).to(x_t.device());
    const Parts found = parts(x_t.index_select(0, index), schedule.at(step));
    x0_hat.index_copy_(0, index, found.x0);
    noise_hat.index_copy_(0, index, found.noise);
  }
  return prediction_target(schedule, kind, x0_hat, t, noise_hat);
}

void ViewPriors::to(c10::Device device) {
  for (auto& prior : priors_) prior->to(device);
}

at::Tensor ViewPriors::prediction(const NoiseSchedule& schedule, Prediction kind,
                                  const at::Tensor& x_t, const at::Tensor& t,
                                  const at::Tensor& sets) const {
  return over_view_sets(sets, [&](int64_t set, const at::Tensor& rows) {
    return priors_.at(size_t(set))
        ->prediction(schedule, kind, rows_of(x_t, rows), rows_of(t, rows));
  });
}

}  // namespace x2ctpa
