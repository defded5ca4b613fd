// Distances between a set of real and a set of generated pictures, by the features that a network
// finds in them.
//
// Features are (N, F), one row per picture, of any floating type; all is computed in float64.
// Throws Error for other shapes, features that are not finite, and sets that are too small.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace x2ctpa {

/// Mean and covariance of rows that come in batches, so that memory does not grow with their
/// number.
class FeatureMoments {
 public:
  /// Rows (N, F), or one row (F); F as the first time.
  void add(const at::Tensor& rows);
  int64_t count() const { return count_; }
  at::Tensor mean() const;        ///< (F)
  at::Tensor covariance() const;  ///< (F, F), divisor N - 1; throws Error for fewer than 2 rows

 private:
  int64_t count_ = 0;
  at::Tensor mean_, squares_;  // Chan's update of sums of squares about the mean
};

/// Frechet distance of two Gaussians (Heusel et al., arXiv 1706.08500), FID when the features are
/// InceptionV3's: |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)).
double frechet_distance(const FeatureMoments& real, const FeatureMoments& generated);

/// Unbiased squared MMD under the kernel (x y / F + 1)^3 over all rows at once (Binkowski et al.,
/// arXiv 1801.01401), the KID; may be slightly negative. Two or more rows each.
double kernel_distance(const at::Tensor& real, const at::Tensor& generated);

/// Shares of one set that lie within reach of the other, by distances to the k-th neighbour in
/// their own set: precision and recall (Kynkaanniemi et al., arXiv 1904.06991), density and
/// coverage (Naeem et al., arXiv 2002.09797). More than k rows each.
struct NeighbourMeasures {
  double precision = 0, recall = 0, density = 0, coverage = 0;
};
NeighbourMeasures neighbour_measures(const at::Tensor& real, const at::Tensor& generated,
                                     int64_t k = 5);

}  // namespace x2ctpa
