// The networks of other people that losses need, from their model folders.
#pragma once

#include <c10/core/Device.h>

#include <filesystem>
#include <string>

#include "x2ctpa/models/densenet3d.h"
#include "x2ctpa/models/lpips.h"

namespace x2ctpa {

/// Throws Error unless `folder` is a model folder: "expected WHAT in FOLDER, found no model folder.
/// REMEDY (docs/weights.md), or give FLAG."
void require_model(const std::filesystem::path& folder, const std::string& what,
                   const std::string& flag, const std::string& remedy);

/// LPIPS for a loss of this weight, frozen. Empty when the weight is 0; and, with a logged line,
/// when `folder` is empty.
Lpips load_lpips(const std::filesystem::path& folder, double weight, c10::Device device);

/// The PE classifier of latents, likewise, in evaluation mode.
DenseNet3d load_latent_classifier(const std::filesystem::path& folder, double weight,
                                  c10::Device device);

}  // namespace x2ctpa
