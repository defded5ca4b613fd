#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include <fmt/format.h>

#include "metrics/checks.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/metrics/classification.h"

namespace x2ctpa {
namespace {

// DeLong's structural components: how each positive case compares with all negative ones (v10) and
// each negative with all positive ones (v01), from midranks over all and within a class.
struct Components {
  double auc = 0;
  std::vector<double> v10, v01;
};

Components structural_components(std::span<const int> labels, std::span<const double> scores) {
  std::vector<double> positive, negative;
  for (size_t i = 0; i < labels.size(); ++i) (labels[i] ? positive : negative).push_back(scores[i]);
  const std::vector<double> all = midranks(scores);
  const std::vector<double> among_positive = midranks(positive),
                            among_negative = midranks(negative);
  const double m = double(positive.size()), n = double(negative.size());
  Components c;
  size_t p = 0, q = 0;
  for (size_t i = 0; i < labels.size(); ++i) {
    if (labels[i]) {
      c.v10.push_back((all[i] - among_positive[p++]) / n);
      c.auc += c.v10.back() / m;
    } else {
      c.v01.push_back(1 - (all[i] - among_negative[q++]) / m);
    }
  }
  return c;
}

// Unbiased covariance.
double covariance(const std::vector<double>& x, const std::vector<double>& y) {
  const double n = double(x.size());
  double mean_x = 0, mean_y = 0, sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    mean_x += x[i] / n;
    mean_y += y[i] / n;
  }
  for (size_t i = 0; i < x.size(); ++i) sum += (x[i] - mean_x) * (y[i] - mean_y);
  return sum / (n - 1);
}

// Covariance of two areas on the same cases; NaN for a class of one case.
double area_covariance(const Components& a, const Components& b) {
  return covariance(a.v10, b.v10) / double(a.v10.size()) +
         covariance(a.v01, b.v01) / double(a.v01.size());
}

// A variance below rounding is none.
double deviation(double variance) { return variance < 1e-20 ? 0 : std::sqrt(variance); }

}  // namespace

double roc_auc(std::span<const int> labels, std::span<const double> scores) {
  const ClassCounts n = check_two_classes(labels, scores);
  const std::vector<double> ranks = midranks(scores);
  double sum = 0;
  for (size_t i = 0; i < labels.size(); ++i) sum += labels[i] ? ranks[i] : 0;
  return (sum - 0.5 * double(n.positive) * double(n.positive + 1)) /
         (double(n.positive) * double(n.negative));
}

AucEstimate delong_auc(std::span<const int> labels, std::span<const double> scores) {
  AucEstimate result;
  result.auc = roc_auc(labels, scores);
  const Components c = structural_components(labels, scores);
  result.standard_error = deviation(area_covariance(c, c));
  if (result.standard_error > 0 && result.auc > 0 && result.auc < 1) {
    const double logit = std::log(result.auc / (1 - result.auc));
    const double half = normal975 * result.standard_error / (result.auc * (1 - result.auc));
    result.interval = Interval{1 / (1 + std::exp(half - logit)), 1 / (1 + std::exp(-half - logit))};
  }
  return result;
}

AucComparison delong_paired(std::span<const int> labels, std::span<const double> scores_a,
                            std::span<const double> scores_b) {
  AucComparison result;
  result.auc_a = roc_auc(labels, scores_a);
  result.auc_b = roc_auc(labels, scores_b);
  const Components a = structural_components(labels, scores_a);
  const Components b = structural_components(labels, scores_b);
  const double variance = area_covariance(a, a) + area_covariance(b, b) - 2 * area_covariance(a, b);
  const double difference = result.auc_a - result.auc_b;
  result.standard_error = deviation(variance);
  const double half = normal975 * result.standard_error;
  result.interval = {difference - half, difference + half};
  if (result.standard_error > 0) {
    result.z = difference / result.standard_error;
    result.p = normal_two_sided_p(result.z);
  } else if (std::isnan(result.standard_error) || difference != 0) {
    result.z = result.p = std::numeric_limits<double>::quiet_NaN();
  }
  return result;
}

std::vector<RocPoint> roc_curve(std::span<const int> labels, std::span<const double> scores) {
  const ClassCounts n = check_two_classes(labels, scores);
  const std::vector<int64_t> order = ascending_order(scores);
  std::vector<RocPoint> curve{{0, 0, std::numeric_limits<double>::infinity()}};
  int64_t true_positive = 0, false_positive = 0;
  for (size_t k = order.size(); k-- > 0;) {
    (labels[order[k]] ? true_positive : false_positive) += 1;
    if (k > 0 && scores[order[k - 1]] == scores[order[k]]) continue;
    curve.push_back({double(false_positive) / double(n.negative),
                     double(true_positive) / double(n.positive), scores[order[k]]});
  }
  return curve;
}

double youden_threshold(std::span<const int> labels, std::span<const double> scores) {
  const std::vector<RocPoint> curve = roc_curve(labels, scores);
  // The first of several maxima has the largest threshold. The point at infinity is no score.
  const auto best =
      std::max_element(curve.begin() + 1, curve.end(), [](const auto& a, const auto& b) {
        return a.true_positive_rate - a.false_positive_rate <
               b.true_positive_rate - b.false_positive_rate - 1e-12;
      });
  return best->threshold;
}

double threshold_for_sensitivity(std::span<const int> labels, std::span<const double> scores,
                                 double sensitivity) {
  if (!(sensitivity > 0 && sensitivity <= 1)) {
    throw Error(fmt::format("threshold: expected a sensitivity above 0 and at most 1, found {}",
                            sensitivity));
  }
  for (const RocPoint& point : roc_curve(labels, scores)) {
    if (point.true_positive_rate >= sensitivity - 1e-12) return point.threshold;
  }
  return -std::numeric_limits<double>::infinity();  // not reached: the curve ends at (1, 1)
}

double detectable_difference(double standard_error) {
  constexpr double normal_80 = 0.8416212335729143;
  return (normal975 + normal_80) * standard_error;
}

double average_precision(std::span<const int> labels, std::span<const double> scores) {
  const ClassCounts n = check_two_classes(labels, scores);
  double sum = 0, last_recall = 0;
  for (const RocPoint& point : roc_curve(labels, scores)) {
    const double true_positive = point.true_positive_rate * double(n.positive);
    const double called = true_positive + point.false_positive_rate * double(n.negative);
    if (called == 0) continue;
    sum += (point.true_positive_rate - last_recall) * true_positive / called;
    last_recall = point.true_positive_rate;
  }
  return sum;
}

}  // namespace x2ctpa
