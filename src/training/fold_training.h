// The training of one PE classifier: of one fold, or of all training cases.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

#include "training/classifier_inputs.h"
#include "x2ctpa/models/pe_classifier.h"
#include "x2ctpa/training/classifier_stage.h"

namespace x2ctpa {

class FoldTraining {
 public:
  /// `dataset`, `arm` and `options` must outlive it. Throws Error(no_data) unless both classes are
  /// among the labelled training cases.
  FoldTraining(const Dataset& dataset, const ClassifierArm& arm, const ClassifierOptions& options,
               const RuntimeOptions& runtime, std::optional<int64_t> fold);

  /// Trains in `folder` and writes the network to `model`; false where the process is not to write.
  bool run(const std::filesystem::path& folder, const std::filesystem::path& model,
           const TrainCall& call);

 private:
  StepLoss loss_of(int64_t batch);
  /// 1 - AUC of the validation cases, so that lower is better; a ten-thousandth of the loss parts
  /// equal areas. The loss alone where there is one class.
  Validation validate();

  const ClassifierOptions& options_;
  int64_t seed_;
  c10::Device device_;
  std::string stream_, settings_;
  ClassifierCases training_, validation_;
  PeNetwork network_{nullptr};
  at::Tensor weight_;  // (1), of positive cases
};

}  // namespace x2ctpa
