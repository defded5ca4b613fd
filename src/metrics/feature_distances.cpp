#include "x2ctpa/metrics/feature_distances.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

at::Tensor checked(const at::Tensor& rows, int64_t at_least, const char* what) {
  if (rows.dim() != 2 || rows.size(0) < at_least || rows.size(1) < 1) {
    throw Error(fmt::format("{}: expected features (N, F) with N at least {}, found [{}]", what,
                            at_least, fmt::join(rows.sizes(), ", ")),
                ExitCode::no_data);
  }
  const at::Tensor values = rows.detach().to(at::kCPU, at::kDouble);
  if (!values.isfinite().all().item<bool>())
    throw Error(fmt::format("{}: features that are not finite", what));
  return values;
}

void check_same_width(const at::Tensor& real, const at::Tensor& generated, const char* what) {
  if (real.size(1) != generated.size(1)) {
    throw Error(fmt::format("{}: expected features of one network, found {} and {} per picture",
                            what, real.size(1), generated.size(1)));
  }
}

double total(const at::Tensor& x) { return x.sum().item<double>(); }

// The kernel of all pairs.
at::Tensor cubic_kernel(const at::Tensor& x, const at::Tensor& y) {
  return (x.matmul(y.t()) / double(x.size(1)) + 1).pow(3);
}

// Distance of each row to its k-th neighbour among the others, (N).
at::Tensor radii(const at::Tensor& rows, int64_t k) {
  // The row itself is its own nearest.
  return std::get<0>(at::cdist(rows, rows, 2, 2).kthvalue(k + 1, 1));
}

}  // namespace

void FeatureMoments::add(const at::Tensor& rows) {
  const at::Tensor x = checked(rows.dim() == 1 ? rows.unsqueeze(0) : rows, 1, "feature moments");
  const double n = double(x.size(0)), before = double(count_);
  const at::Tensor own_mean = x.mean(0), centred = x - own_mean;
  if (count_ == 0) {
    mean_ = own_mean;
    squares_ = centred.t().matmul(centred);
  } else {
    if (x.size(1) != mean_.size(0)) {
      throw Error(fmt::format("feature moments: expected {} features per picture, found {}",
                              mean_.size(0), x.size(1)));
    }
    const at::Tensor shift = own_mean - mean_;
    squares_ += centred.t().matmul(centred) + shift.outer(shift) * (before * n / (before + n));
    mean_ += shift * (n / (before + n));
  }
  count_ += x.size(0);
}

at::Tensor FeatureMoments::mean() const {
  if (count_ < 1) throw Error("feature moments: there are no features", ExitCode::no_data);
  return mean_;
}

at::Tensor FeatureMoments::covariance() const {
  if (count_ < 2) {
    throw Error(fmt::format("feature moments: expected 2 or more pictures, found {}", count_),
                ExitCode::no_data);
  }
  return squares_ / double(count_ - 1);
}

double frechet_distance(const FeatureMoments& real, const FeatureMoments& generated) {
  const at::Tensor a = real.covariance(), b = generated.covariance();
  if (!a.sizes().equals(b.sizes())) {
    throw Error(
        fmt::format("Frechet distance: expected features of one network, found {} and {} "
                    "per picture",
                    a.size(0), b.size(0)));
  }
  // tr (A B)^(1/2) = tr (A^(1/2) B A^(1/2))^(1/2), whose eigenvalues are real and not negative.
  const auto [values, vectors] = at::linalg_eigh(a);
  const at::Tensor root = vectors.matmul(at::diag(values.clamp_min(0).sqrt())).matmul(vectors.t());
  const at::Tensor middle = at::linalg_eigvalsh(root.matmul(b).matmul(root));
  return total((real.mean() - generated.mean()).square()) + total(a.trace()) + total(b.trace()) -
         2 * total(middle.clamp_min(0).sqrt());
}

double kernel_distance(const at::Tensor& real, const at::Tensor& generated) {
  const char* what = "kernel distance";
  const at::Tensor x = checked(real, 2, what), y = checked(generated, 2, what);
  check_same_width(x, y, what);
  const double m = double(x.size(0)), n = double(y.size(0));
  const at::Tensor xx = cubic_kernel(x, x), yy = cubic_kernel(y, y);
  return (total(xx) - total(xx.trace())) / (m * (m - 1)) +
         (total(yy) - total(yy.trace())) / (n * (n - 1)) -
         2 * cubic_kernel(x, y).mean().item<double>();
}

NeighbourMeasures neighbour_measures(const at::Tensor& real, const at::Tensor& generated,
                                     int64_t k) {
  const char* what = "precision and recall";
  if (k < 1) throw Error(fmt::format("{}: expected 1 or more neighbours, found {}", what, k));
  const at::Tensor x = checked(real, k + 1, what), y = checked(generated, k + 1, what);
  check_same_width(x, y, what);
  const at::Tensor reach_x = radii(x, k), reach_y = radii(y, k), distance = at::cdist(x, y, 2, 2);
  const at::Tensor near_x = distance < reach_x.unsqueeze(1),
                   near_y = distance < reach_y.unsqueeze(0);
  const auto share = [](const at::Tensor& flags) {
    return flags.to(at::kDouble).mean().item<double>();
  };
  NeighbourMeasures result;
  result.precision = share(near_x.any(0));
  result.recall = share(near_y.any(1));
  result.density = total(near_x) / double(k) / double(y.size(0));
  result.coverage = share(std::get<0>(distance.min(1)) < reach_x);
  return result;
}

}  // namespace x2ctpa
