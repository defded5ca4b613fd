#include "x2ctpa/metrics/calibration.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "metrics/checks.h"
#include "x2ctpa/core/error.h"

namespace x2ctpa {
namespace {

void check_probabilities(std::span<const int> labels, std::span<const double> scores) {
  check_scores(labels, scores);
  for (double score : scores) {
    if (score < 0 || score > 1)
      throw Error(fmt::format("calibration: expected scores in [0, 1], found {}", score));
  }
}

std::vector<double> logits(std::span<const double> scores) {
  std::vector<double> x;
  for (double score : scores) {
    const double p = std::clamp(score, 1e-7, 1 - 1e-7);
    x.push_back(std::log(p / (1 - p)));
  }
  return x;
}

struct LogisticFit {
  double slope = 1, intercept = 0, slope_error = 0, intercept_error = 0;
};

double log_likelihood(std::span<const int> labels, const std::vector<double>& x,
                      const LogisticFit& f) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double z = (labels[i] ? 1 : -1) * (f.intercept + f.slope * x[i]);
    sum -= z > 0 ? std::log1p(std::exp(-z)) : std::log1p(std::exp(z)) - z;
  }
  return sum;
}

// Gradient and negative Hessian of the log likelihood.
struct Derivatives {
  double g0 = 0, g1 = 0, h00 = 0, h01 = 0, h11 = 0;
  double determinant() const { return h00 * h11 - h01 * h01; }
};

Derivatives derivatives(std::span<const int> labels, const std::vector<double>& x,
                        const LogisticFit& f) {
  Derivatives d;
  for (size_t i = 0; i < x.size(); ++i) {
    const double p = 1 / (1 + std::exp(-(f.intercept + f.slope * x[i])));
    const double residual = labels[i] - p, weight = p * (1 - p);
    d.g0 += residual;
    d.g1 += residual * x[i];
    d.h00 += weight;
    d.h01 += weight * x[i];
    d.h11 += weight * x[i] * x[i];
  }
  return d;
}

// Newton's method for the logistic regression of labels on x, with steps halved until the
// likelihood grows. Without an optimum (separated classes, constant x) it does not converge.
// `fixed_slope` keeps the slope at 1.
std::optional<LogisticFit> fit(std::span<const int> labels, const std::vector<double>& x,
                               bool fixed_slope) {
  LogisticFit f;
  if (!fixed_slope) f.slope = 0;
  double likelihood = log_likelihood(labels, x, f);
  for (int round = 0; round < 200; ++round) {
    const Derivatives d = derivatives(labels, x, f);
    if (!(d.h00 > 0) || (!fixed_slope && d.determinant() < 1e-12 * d.h00 * d.h11))
      return std::nullopt;
    const double step0 =
        fixed_slope ? d.g0 / d.h00 : (d.h11 * d.g0 - d.h01 * d.g1) / d.determinant();
    const double step1 = fixed_slope ? 0 : (d.h00 * d.g1 - d.h01 * d.g0) / d.determinant();
    const double scale = 1 + std::abs(f.intercept) + std::abs(f.slope);
    if (std::abs(step0) + std::abs(step1) < 1e-10 * scale) {
      f.slope_error = fixed_slope ? 0 : std::sqrt(d.h00 / d.determinant());
      f.intercept_error = std::sqrt(fixed_slope ? 1 / d.h00 : d.h11 / d.determinant());
      return f;
    }
    LogisticFit next = f;
    double share = 1;
    for (; share > 1e-12; share /= 2) {
      next.intercept = f.intercept + share * step0;
      next.slope = f.slope + share * step1;
      if (log_likelihood(labels, x, next) >= likelihood - 1e-12 * std::abs(likelihood)) break;
    }
    if (!std::isfinite(next.intercept) || std::abs(next.slope) > 1e6) return std::nullopt;
    f = next;
    likelihood = log_likelihood(labels, x, f);
  }
  return std::nullopt;
}

std::optional<Recalibration> recalibration_of(std::span<const int> labels,
                                              std::span<const double> scores) {
  const ClassCounts counts = check_scores(labels, scores);
  if (counts.positive == 0 || counts.negative == 0) return std::nullopt;
  const double area = roc_auc(labels, scores);
  if (area == 0 || area == 1) return std::nullopt;
  const std::vector<double> x = logits(scores);
  const auto both = fit(labels, x, false), shift = fit(labels, x, true);
  if (!both || !shift) return std::nullopt;
  return Recalibration{both->slope, both->slope_error, both->intercept, both->intercept_error,
                       shift->intercept};
}

}  // namespace

Calibration calibration_of(std::span<const int> labels, std::span<const double> scores,
                           int64_t bins) {
  check_probabilities(labels, scores);
  if (bins < 1) throw Error(fmt::format("calibration: expected 1 or more bins, found {}", bins));
  std::vector<double> sums(bins, 0);
  std::vector<int64_t> cases(bins, 0), positives(bins, 0);
  for (size_t i = 0; i < labels.size(); ++i) {
    const int64_t bin = std::min(bins - 1, int64_t(scores[i] * double(bins)));
    sums[bin] += scores[i];
    ++cases[bin];
    positives[bin] += labels[i];
  }
  Calibration result;
  result.brier = brier_score(labels, scores);
  const double n = double(labels.size());
  double rate = 0;
  for (int64_t count : positives) rate += double(count) / n;
  for (int64_t k = 0; k < bins; ++k) {
    ReliabilityBin bin{double(k) / double(bins), double(k + 1) / double(bins), cases[k]};
    bin.observed = wilson_proportion(positives[k], cases[k]);
    if (bin.cases > 0) {
      bin.mean_score = sums[k] / double(bin.cases);
      const double share = double(bin.cases) / n, gap = bin.mean_score - bin.observed.value;
      result.expected_error += share * std::abs(gap);
      result.reliability += share * gap * gap;
      result.resolution += share * (bin.observed.value - rate) * (bin.observed.value - rate);
    }
    result.bins.push_back(bin);
  }
  result.uncertainty = rate * (1 - rate);
  result.within_bins = result.brier - result.reliability + result.resolution - result.uncertainty;
  result.recalibration = recalibration_of(labels, scores);
  return result;
}

std::vector<NetBenefit> net_benefit_curve(std::span<const int> labels,
                                          std::span<const double> scores) {
  check_probabilities(labels, scores);
  const double n = double(labels.size());
  std::vector<NetBenefit> curve;
  for (int percent = 1; percent < 100; ++percent) {
    const double threshold = percent / 100.0, odds = threshold / (1 - threshold);
    const Confusion c = confusion_at(labels, scores, threshold);
    const double rate = double(c.true_positive + c.false_negative) / n;
    curve.push_back({threshold, (double(c.true_positive) - odds * double(c.false_positive)) / n,
                     rate - odds * (1 - rate)});
  }
  return curve;
}

}  // namespace x2ctpa
