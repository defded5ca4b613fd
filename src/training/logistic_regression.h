// What linear heads are made of: principal components, logistic regression, ridge regression. In
// double precision on the CPU, in closed form or by Newton's method: nothing is drawn.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace x2ctpa {

struct PrincipalComponents {
  at::Tensor mean;        ///< (P)
  at::Tensor directions;  ///< (K, P), largest variance first, which is scaled to 1 with all others

  at::Tensor of(const at::Tensor& x) const;  ///< (N, K) of (N, P)
};

/// Up to `most` components of the rows x (N, P), N at least 2; fewer where x has no more than
/// rounding errors in further directions.
PrincipalComponents principal_components(const at::Tensor& x, int64_t most);

struct LinearModel {
  at::Tensor weight;  ///< (K)
  double bias = 0;

  at::Tensor of(const at::Tensor& z) const;  ///< (N) of (N, K)
};

/// Least sum of log losses + penalty / 2 |weight|^2; the bias is free. z (N, K), labels (N) of 0
/// and 1, both among them. The penalty must be above 0, so that there is one optimum.
LinearModel logistic_regression(const at::Tensor& z, const at::Tensor& labels, double penalty);

/// Least sum of squares + penalty |weight|^2 of targets (N); the bias is free.
LinearModel ridge_regression(const at::Tensor& z, const at::Tensor& targets, double penalty);

}  // namespace x2ctpa
