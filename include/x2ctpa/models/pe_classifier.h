// A trained PE classifier as `classify train` leaves it: one network, or one for each fold of the
// cross-validation, with the threshold that was chosen on validation cases.
//
//   classifier.yaml            PeClassifierInfo
//   config.yaml, model.safetensors           without folds
//   fold0/config.yaml, fold0/model.safetensors, fold1/...     with folds
//
// A converted DenseNet3d, which has no classifier.yaml, is one too, with a threshold of 0.5.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/options.h"
#include "x2ctpa/models/pe_network.h"

namespace x2ctpa {

/// What a classifier sees: true volumes, generated ones, X-rays; with the classifier of true
/// volumes generated ones (transfer); X-ray and generated volume together (fused); an X-ray, having
/// learnt what the classifier of true volumes says of the patient (distilled).
enum class PeArm { ctpa, generated, cxr, transfer, fused, distilled };
constexpr auto words(PeArm) {
  return std::array{"ctpa", "generated", "cxr", "transfer", "fused", "distilled"};
}

enum class PeInput { volume, latent, xray, embedding };
constexpr auto words(PeInput) { return std::array{"volume", "latent", "xray", "embedding"}; }

/// The published network; logistic regression on principal components; the better of both.
enum class PeHead { densenet, linear, best };
constexpr auto words(PeHead) { return std::array{"densenet", "linear", "best"}; }

/// How the threshold is chosen on validation cases.
enum class ThresholdRule { youden, sensitivity };
constexpr auto words(ThresholdRule) { return std::array{"youden", "sensitivity"}; }

struct PeClassifierInfo {
  PeArm arm = PeArm::ctpa;
  PeInput input = PeInput::volume;
  int64_t folds = 0;       ///< 0: one network
  double threshold = 0.5;  ///< a score at or above it counts as PE
  ThresholdRule threshold_rule = ThresholdRule::youden;
  PeHead head = PeHead::densenet;
  double validation_auc = 0;    ///< out of fold with folds; 0: not known
  double other_head_auc = 0;    ///< the same of the head that was not taken; 0: there was none
  PeInput cxr = PeInput::xray;  ///< what a fused arm sees of the X-ray

  void describe(OptionList& options);
};

class PeClassifier {
 public:
  /// Throws Error when `folder` is no PE classifier, in evaluation mode on `device` otherwise.
  PeClassifier(const std::filesystem::path& folder, c10::Device device);

  const PeClassifierInfo& info() const { return info_; }
  int64_t members() const { return int64_t(members_.size()); }

  /// The probability of PE for one input without batch axis: of one member, or the mean of all.
  /// The input of a fused arm is one row of numbers, those of the X-ray and then of the volume.
  double score(const at::Tensor& x, std::optional<int64_t> member = std::nullopt);

 private:
  void describe_by(const PeNetworkOptions& network);

  PeClassifierInfo info_;
  c10::Device device_;
  std::vector<std::function<at::Tensor(const at::Tensor&)>> members_;  // logits (B) of a batch
};

/// Writes classifier.yaml atomically.
void write_classifier_info(const std::filesystem::path& folder, const PeClassifierInfo& info);

/// Where the network of a fold lies below the model folder; the folder itself without folds.
std::filesystem::path member_folder(const std::filesystem::path& folder,
                                    std::optional<int64_t> fold);

}  // namespace x2ctpa
