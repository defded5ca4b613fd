// Options of `x2ctpa evaluate`, the section `evaluate` of an experiment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "x2ctpa/core/options.h"

namespace x2ctpa {

struct EvaluateOptions {
  std::vector<double> window_hu;
  std::string split = "test";
  int64_t bootstrap = 2000;
  double threshold = 0.5;
  int64_t report_cases = 3;
  std::vector<std::string> protocols{"paper"};
  bool audit = true;
  bool references = true;
  bool published = false;
  int64_t feature_size = 0;
  int64_t feature_every = 1;

  void describe(OptionList& options);
};

}  // namespace x2ctpa
