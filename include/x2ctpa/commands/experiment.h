// The whole experiment: one struct per section of an experiment file.
#pragma once

#include "x2ctpa/commands/evaluate_options.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/core/options.h"

namespace x2ctpa {

struct Experiment {
  RuntimeOptions runtime;
  EvaluateOptions evaluate;

  void describe(OptionList& options);
};

}  // namespace x2ctpa
