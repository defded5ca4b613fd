// Distances of `evaluate` between sets of volumes, by the features of networks given as files.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include "x2ctpa/evaluation/evaluation.h"

namespace x2ctpa {

/// A network that gives features (B, F) of pictures (B, 3, H, W) or (B, 3, D, H, W).
///
/// A TorchScript file, called with the pictures alone; its output is a tensor, or a tuple or list
/// whose first element is one; positions that are left are averaged. Or a model folder: a vision
/// transformer for 2D, a classifier of volumes (which takes one channel) for 3D.
class FeatureNetwork {
 public:
  /// Throws Error when the file is no network that can be read.
  FeatureNetwork(const std::filesystem::path& file, bool volumes);
  ~FeatureNetwork();

  /// float32 (B, F) on the CPU. Throws Error naming the file when the network fails.
  at::Tensor operator()(const at::Tensor& pictures) const;

 private:
  std::filesystem::path file_;
  std::function<at::Tensor(const at::Tensor&)> run_;
};

/// FID, KID, precision, recall, density and coverage over axial slices (protocol "paper") and FID
/// over slices of three planes ("maisi-2.5d") by inputs.features; FVD by inputs.video_features.
std::vector<FeatureMeasure> evaluate_features(const EvaluationInputs& inputs,
                                              const ImageEvaluation& images,
                                              const EvaluateOptions& options, int64_t seed);

}  // namespace x2ctpa
