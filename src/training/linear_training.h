// The training of one linear head: of one fold, or of all training cases.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

#include "x2ctpa/training/classifier_stage.h"

namespace x2ctpa {

/// Fits the head and writes it to `model`. False in processes other than the first and after a dry
/// run, which write nothing. It takes seconds to minutes, so that a stopped one starts anew.
bool train_linear_head(const Dataset& dataset, const ClassifierArm& arm,
                       const ClassifierOptions& options, const RuntimeOptions& runtime,
                       std::optional<int64_t> fold, const std::filesystem::path& model,
                       const TrainCall& call);

}  // namespace x2ctpa
