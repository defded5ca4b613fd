// What the cases of a training set show a linear head, averaged to a small grid.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "x2ctpa/data/dataset.h"
#include "x2ctpa/models/linear_probe.h"
#include "x2ctpa/training/classifier_stage.h"

namespace x2ctpa {

/// One way to see the inputs.
struct LinearView {
  LinearProbeOptions probe;  ///< its grid and window
  at::Tensor rows;           ///< (N, P) double
};

struct LinearCases {
  std::vector<LinearView> views;      ///< at least one
  at::Tensor labels;                  ///< (N) double: 0, 1, or NaN where it is unknown
  std::vector<std::string> patients;  ///< (N)
};

struct ArmCases {
  LinearCases seen;
  LinearCases teacher;  ///< of the same cases; no views without a teacher
};

/// The cases of "train" that have what `arm` and its teacher see, labelled or not; several inputs
/// of a case are averaged. Throws Error(no_data) unless both classes are among the labels.
ArmCases linear_cases(const Dataset& dataset, const ClassifierArm& arm,
                      const LinearHeadOptions& options);

}  // namespace x2ctpa
