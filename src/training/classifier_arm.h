// What the PE classifier of an arm sees, from the files of a run.
#pragma once

#include <filesystem>
#include <string>

#include "x2ctpa/core/device.h"
#include "x2ctpa/training/classifier_stage.h"

namespace x2ctpa {

struct ArmSources {
  std::filesystem::path samples;      ///< folder with samples.csv, for the generated arm
  std::filesystem::path autoencoder;  ///< model folder, for latents
  std::filesystem::path cxr_encoder;  ///< model folder of a vision transformer, for embeddings
  std::filesystem::path classifiers;  ///< of the run: <arm>/model, for arms that build on others
};

/// What is seen of X-rays and of volumes.
struct ArmInputs {
  PeInput cxr = PeInput::xray, volume = PeInput::volume;
  Unlabelled unlabelled = Unlabelled::ignored;
};

/// `dataset` must outlive the arm. Throws Error when a source that it needs is missing.
ClassifierArm classifier_arm(PeArm name, const ArmInputs& inputs, const Dataset& dataset,
                             const ArmSources& sources, const RuntimeOptions& runtime);

}  // namespace x2ctpa
