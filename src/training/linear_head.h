// The linear head of a PE classifier: logistic regression on principal components of a small copy
// of what the arm sees, both sizes chosen by cross-validation inside the training set.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "training/logistic_regression.h"
#include "x2ctpa/models/linear_probe.h"
#include "x2ctpa/training/classifier_stage.h"

namespace x2ctpa {

/// What the cases of a training set show, one row per case.
struct LinearCases {
  std::vector<at::Tensor> parts;   ///< (N, P) double each, of what the arm sees: one or two
  std::vector<at::Tensor> inputs;  ///< an input of each part as it is loaded, for its shape
  std::vector<std::vector<int64_t>> grids;  ///< to which inputs are averaged
  at::Tensor labels;                        ///< (N) double: 0, 1, or NaN where it is unknown
  std::vector<std::string> patients;        ///< (N)
};

/// The cases of "train" that have what `arm` sees, labelled or not; several inputs of a case are
/// averaged. Throws Error(no_data) unless both classes are among the labels.
LinearCases linear_cases(const Dataset& dataset, const ClassifierArm& arm,
                         const LinearHeadOptions& options);

struct LinearHead {
  std::vector<PrincipalComponents> parts;
  LinearModel model;            ///< of the components of all parts, one part after the other
  int64_t components = 0;       ///< of each part
  double penalty = 0, auc = 0;  ///< as chosen, and the AUC of its cross-validation; 0: none
  at::Tensor held_out;          ///< (N) logits by models without the case, undefined without folds
  at::Tensor logits;  ///< (N) the same where the case has a label, of this model elsewhere

  /// The probe of part `index`; the bias goes to the first.
  LinearProbe probe(const LinearCases& cases, size_t index) const;
};

/// Components come from all cases, regression from the labelled ones. The folds are drawn from
/// random stream `stream` of `seed`, by patient and stratified by the label; each has components of
/// its own, so that no number of a held-out case is known to its model. Of equal areas the fewest
/// components and then the largest penalty count. With `targets` (N), ridge regression of them,
/// which all cases take part in, is in the place of logistic regression; the area is of the labels
/// still.
LinearHead fit_linear_head(const LinearCases& cases, const LinearHeadOptions& options, int64_t seed,
                           const std::string& stream, const at::Tensor& targets = {});

/// The fold of each labelled case, -1 of the others; all -1 where a class has one patient only.
std::vector<int64_t> stratified_folds(const LinearCases& cases, int64_t folds, int64_t seed,
                                      const std::string& stream);

}  // namespace x2ctpa
