// The whole experiment: one struct per section of an experiment file.
#pragma once

#include <filesystem>
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

/// The file that --config names: a path, or "demo" for the demo.yaml that comes with the program
/// (share/x2ctpa/configs). A file of the name goes first. Throws Error with the names that there
/// are.
std::filesystem::path find_experiment_file(const std::string& name);

/// docs/options.md: every option of every section, made from their declarations.
std::string options_reference();

}  // namespace x2ctpa
