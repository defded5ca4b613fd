// The whole experiment: one struct per section of an experiment file.
#pragma once

#include <string>

#include "x2ctpa/core/device.h"
#include "x2ctpa/core/options.h"
#include "x2ctpa/data/preprocess/preprocess.h"
#include "x2ctpa/evaluation/evaluate_options.h"
#include "x2ctpa/imaging/phantom/phantom.h"
#include "x2ctpa/inference/sample_options.h"
#include "x2ctpa/training/stages.h"

namespace x2ctpa {

struct Experiment {
  RuntimeOptions runtime;
  PhantomOptions phantom;
  PreprocessOptions preprocess;
  VaeOptions vae;
  DiffusionOptions diffusion;
  SampleOptions sample;
  ClassifierOptions classifier;
  EvaluateOptions evaluate;

  void describe(OptionList& options);
};

/// docs/options.md: every option of every section, made from their declarations.
std::string options_reference();

}  // namespace x2ctpa
