// The linear head of a PE classifier: logistic regression on principal components of a small copy
// of what the arm sees, its sizes chosen by cross-validation inside the training set.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "training/linear_cases.h"
#include "training/logistic_regression.h"
#include "x2ctpa/models/linear_probe.h"
#include "x2ctpa/training/classifier_stage.h"

namespace x2ctpa {

struct LinearHead {
  size_t view = 0;  ///< of the cases, as chosen
  PrincipalComponents components;
  LinearModel model;    ///< of the components
  double penalty = 0;   ///< as chosen
  double auc = 0;       ///< of the labels, in cross-validation; 0: there was none
  at::Tensor held_out;  ///< (N) logits by models without the case, undefined without folds
  at::Tensor logits;    ///< (N) the same where the case has a fold, of this model elsewhere

  LinearProbe probe(const LinearCases& cases) const;
};

/// Components come from all cases, regression from the labelled ones. The folds are drawn from
/// random stream `stream` of `seed`, by patient and stratified by the label; each has components of
/// its own, so that no number of a held-out case is known to its model. Of equal areas the first
/// view, the fewest components and then the largest penalty count.
///
/// With `targets` (N) between 0 and 1, ridge regression of them, which all cases take part in, is
/// in the place of logistic regression, and the least squared error in that of the largest area;
/// the model is then scaled to logits of the labels.
LinearHead fit_linear_head(const LinearCases& cases, const LinearHeadOptions& options, int64_t seed,
                           const std::string& stream, const at::Tensor& targets = {});

/// The labels where they are known; elsewhere the probability that `teacher`, fitted to the true
/// volumes of the same cases, gives (its logits calibrated as by Platt, 1999).
at::Tensor taught_labels(const LinearHead& teacher, const at::Tensor& labels);

/// The fold of each labelled case, or with `all` of each case, -1 of the others; all -1 where a
/// class has one patient only.
std::vector<int64_t> stratified_folds(const LinearCases& cases, int64_t folds, int64_t seed,
                                      const std::string& stream, bool all = false);

}  // namespace x2ctpa
