// README.md of a trained model's folder, a model card as the Hugging Face hub reads it.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "x2ctpa/data/dataset.h"

namespace x2ctpa {

/// What a card tells that is not in the folder itself. It holds no id of a case or patient and no
/// path: what is trained on is told by hash and numbers.
struct ModelCard {
  std::string title;                ///< "3D VQ-GAN of chest CT"
  std::string what;                 ///< a sentence or two: what goes in and comes out
  std::string task;                 ///< of the hub, such as image-to-3d
  std::vector<std::string> tags;    ///< beside those that all models have
  std::string command;              ///< that trained it: train-vae
  std::string recipe;               ///< its options as YAML
  std::vector<std::string> limits;  ///< beside those that all models have
  /// The training's folder, with metrics.jsonl; one for each fold of a cross-validation.
  std::vector<std::filesystem::path> trainings;
  /// Folders of trainings of a part, such as the refiner's; figures take its name:
  /// refiner_val_loss.
  std::map<std::string, std::filesystem::path> parts = {};
};

/// Call before the model's files change: sums that no longer hold are worse than none.
void withdraw_model(const std::filesystem::path& model);

/// Writes `model`/README.md, and SHA256SUMS last.
void publish_model(const std::filesystem::path& model, const ModelCard& card,
                   const Dataset& dataset);

}  // namespace x2ctpa
