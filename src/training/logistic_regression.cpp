#include "training/logistic_regression.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <tuple>

namespace x2ctpa {

at::Tensor PrincipalComponents::of(const at::Tensor& x) const {
  return at::matmul(x - mean, directions.t());
}

PrincipalComponents principal_components(const at::Tensor& x, int64_t most) {
  const int64_t n = x.size(0), p = x.size(1);
  const at::Tensor mean = x.mean(0), centred = x - mean;
  // The smaller of both square matrices has the same eigenvalues above 0.
  const bool by_rows = n <= p;
  const at::Tensor square =
      by_rows ? at::matmul(centred, centred.t()) : at::matmul(centred.t(), centred);
  const auto [ascending, ascending_vectors] = at::linalg_eigh(square);
  const at::Tensor values = ascending.flip(0), vectors = ascending_vectors.flip(1);
  const double largest = std::max(values[0].item<double>(), 1e-300);
  const int64_t full = (values > 1e-10 * largest).sum().item<int64_t>();
  const int64_t k = std::max<int64_t>(1, std::min({most, full, n - 1, p}));
  const at::Tensor squares = values.slice(0, 0, k).clamp_min(1e-300).unsqueeze(1);
  const at::Tensor kept = vectors.slice(1, 0, k).t();
  const at::Tensor unit = by_rows ? at::matmul(kept, centred) / squares.sqrt() : kept;
  return {mean, unit * std::sqrt(double(n - 1) / squares[0].item<double>())};
}

at::Tensor LinearModel::of(const at::Tensor& z) const { return at::matmul(z, weight) + bias; }

namespace {

at::Tensor with_ones(const at::Tensor& z) {
  return at::cat({z, at::ones_like(z.slice(1, 0, 1))}, 1);
}

// The penalty of each number of [weight, bias].
at::Tensor penalties_of(int64_t components, double penalty) {
  at::Tensor out = at::full({components + 1}, penalty, at::kDouble);
  out[components] = 0;
  return out;
}

LinearModel split(const at::Tensor& w) {
  const int64_t k = w.size(0) - 1;
  return {w.slice(0, 0, k).clone(), w[k].item<double>()};
}

double penalised_loss(const at::Tensor& x, const at::Tensor& labels, const at::Tensor& penalties,
                      const at::Tensor& w) {
  const at::Tensor logits = at::matmul(x, w);
  // log(1 + e^l) - y l, which does not overflow.
  const at::Tensor losses = at::logaddexp(logits, at::zeros_like(logits)) - labels * logits;
  return (losses.sum() + 0.5 * (penalties * w * w).sum()).item<double>();
}

}  // namespace

LinearModel logistic_regression(const at::Tensor& z, const at::Tensor& labels, double penalty) {
  const at::Tensor x = with_ones(z), penalties = penalties_of(z.size(1), penalty);
  at::Tensor w = at::zeros({x.size(1)}, at::kDouble);
  double loss = penalised_loss(x, labels, penalties, w);
  for (int step = 0; step < 100; ++step) {
    const at::Tensor p = at::matmul(x, w).sigmoid();
    const at::Tensor gradient = at::matmul(x.t(), p - labels) + penalties * w;
    if (gradient.abs().max().item<double>() < 1e-10) break;
    // A bias whose cases are all decided has next to no curvature of its own.
    const at::Tensor hessian = at::matmul(x.t() * (p * (1 - p)), x) + at::diag(penalties + 1e-12);
    const at::Tensor newton =
        at::cholesky_solve(gradient.unsqueeze(1), at::linalg_cholesky(hessian)).squeeze(1);
    double share = 1, next = penalised_loss(x, labels, penalties, w - newton);
    while (next > loss && share > 1e-9) {
      share /= 2;
      next = penalised_loss(x, labels, penalties, w - share * newton);
    }
    if (next > loss) break;
    w = w - share * newton;
    loss = next;
  }
  return split(w);
}

LinearModel ridge_regression(const at::Tensor& z, const at::Tensor& targets, double penalty) {
  const at::Tensor x = with_ones(z);
  const at::Tensor normal =
      at::matmul(x.t(), x) + at::diag(penalties_of(z.size(1), penalty) + 1e-12);
  return split(
      at::cholesky_solve(at::matmul(x.t(), targets).unsqueeze(1), at::linalg_cholesky(normal))
          .squeeze(1));
}

}  // namespace x2ctpa
