// What a published autoencoder takes for a volume, where it is not the program's own form: its
// axes, its range of numbers, and the window that it was trained in.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/options.h"

namespace x2ctpa {

struct VolumeForm {
  std::vector<int64_t> axes{1, 2, 3};
  double low = -1, high = 1;
  double window_min_hu = -1000, window_max_hu = 1000;

  void describe(OptionList& options);

  /// Volumes or latents (B, C, D, H, W) along canonical axes -> along the autoencoder's, and the
  /// inverse. Views, or copies where an axis is turned round.
  at::Tensor turned(const at::Tensor& x) const;
  at::Tensor turned_back(const at::Tensor& x) const;

  /// The shape of turned().
  std::vector<int64_t> turned(at::IntArrayRef shape) const;

  /// [-1, 1] -> [low, high], and the inverse.
  at::Tensor to_range(const at::Tensor& x) const;
  at::Tensor from_range(const at::Tensor& x) const;
};

/// The file of a model folder that holds it.
std::filesystem::path volume_form_file(const std::filesystem::path& folder);

/// The text of that file; empty where there is none.
std::string volume_form_text(const std::filesystem::path& folder);

/// That of the autoencoder in `folder`; empty where it takes volumes as the program has them.
/// Throws Error for axes that are not 1, 2 and 3 in some order, each with either sign, and for a
/// range or a window that is empty.
std::optional<VolumeForm> load_volume_form(const std::filesystem::path& folder);

}  // namespace x2ctpa
