// The inputs of a classifier in batches.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "x2ctpa/training/classifier_stage.h"

namespace x2ctpa {

/// Labelled cases of an arm. Inputs are kept in memory until they fill `most_bytes`; the others are
/// read again each time, so that memory stays bounded.
class ClassifierCases {
 public:
  ClassifierCases(const std::vector<Case>& cases, const ClassifierArm& arm);

  size_t size() const { return cases_.size(); }
  const Case& at(size_t index) const { return cases_[index]; }
  const std::vector<int>& labels() const { return labels_; }
  int64_t positives() const;
  int64_t inputs(size_t index) const { return arm_.inputs(cases_[index]); }
  at::Tensor input(size_t index, int64_t number);

 private:
  static constexpr int64_t most_bytes = int64_t(2) << 30;

  const ClassifierArm& arm_;
  std::vector<Case> cases_;
  std::vector<int> labels_;
  std::map<std::pair<size_t, int64_t>, at::Tensor> kept_;
  int64_t bytes_ = 0;
};

/// Mirrored left and right with probability 1/2, moved by up to options.shift of each side with the
/// border repeated, and with Gaussian noise, all drawn from `random`. x: (B, C, ...).
at::Tensor augmented(at::Tensor x, const ClassifierOptions& options, at::Generator random);

}  // namespace x2ctpa
