// Classifiers that are put together of trained ones.
#pragma once

#include <filesystem>

#include "x2ctpa/core/device.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/models/pe_classifier.h"
#include "x2ctpa/training/classifier_stage.h"

namespace x2ctpa {

/// The classifier in `from`, as it is, in `model`. Returns its classifier.yaml as of arm
/// `transfer`; the threshold is still that of true volumes.
PeClassifierInfo transfer_classifier(const std::filesystem::path& from,
                                     const std::filesystem::path& model);

/// The mean of the logits of the arms that `arm` is made of, per fold, in `model`; slope and
/// intercept are fitted to the validation cases, with folds to every case by the network that has
/// not seen it. Throws Error(no_data) where a classifier is missing, Error where they do not fit
/// each other or the arm.
PeClassifierInfo mean_of_arms(const Dataset& dataset, const ClassifierArm& arm,
                              const RuntimeOptions& runtime, const std::filesystem::path& model);

}  // namespace x2ctpa
