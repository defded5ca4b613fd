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
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <array>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "x2ctpa/core/options.h"
#include "x2ctpa/models/densenet3d.h"

namespace x2ctpa {

/// What a classifier is trained on: true volumes, generated ones, or X-rays.
enum class PeArm { ctpa, generated, cxr };
constexpr auto words(PeArm) { return std::array{"ctpa", "generated", "cxr"}; }

enum class PeInput { volume, latent, xray, embedding };
constexpr auto words(PeInput) { return std::array{"volume", "latent", "xray", "embedding"}; }

/// How the threshold is chosen on validation cases.
enum class ThresholdRule { youden, sensitivity };
constexpr auto words(ThresholdRule) { return std::array{"youden", "sensitivity"}; }

struct PeClassifierInfo {
  PeArm arm = PeArm::ctpa;
  PeInput input = PeInput::volume;
  int64_t folds = 0;       ///< 0: one network
  double threshold = 0.5;  ///< a score at or above it counts as PE
  ThresholdRule threshold_rule = ThresholdRule::youden;

  void describe(OptionList& options);
};

/// The network of one fold: DenseNet3d, or logistic regression on a frozen embedding.
struct PeNetworkOptions {
  DenseNet3dOptions densenet;
  int64_t embedding_dim = 0;  ///< above 0: the input is an embedding of that length

  void describe(OptionList& options);
};

class PeNetworkImpl : public torch::nn::Module {
 public:
  explicit PeNetworkImpl(PeNetworkOptions options = {});

  /// Logits (B) of (B, C, D, H, W), (B, C, H, W) or (B, embedding_dim), as the options say.
  at::Tensor forward(const at::Tensor& x);

  /// What a model folder holds: the DenseNet3d or the linear layer itself.
  torch::nn::Module& weights();
  /// Its config.yaml: for a DenseNet3d that model's own, so that whatever reads one reads this.
  std::string config() const;

  const PeNetworkOptions& options() const { return options_; }

 private:
  PeNetworkOptions options_;
  DenseNet3d densenet_{nullptr};
  torch::nn::Linear linear_{nullptr};
};
TORCH_MODULE(PeNetwork);

class PeClassifier {
 public:
  /// Throws Error when `folder` is no PE classifier, in evaluation mode on `device` otherwise.
  PeClassifier(const std::filesystem::path& folder, c10::Device device);

  const PeClassifierInfo& info() const { return info_; }
  int64_t members() const { return int64_t(members_.size()); }

  /// The probability of PE for one input without batch axis: of one member, or the mean of all.
  double score(const at::Tensor& x, std::optional<int64_t> member = std::nullopt);

 private:
  PeClassifierInfo info_;
  c10::Device device_;
  std::vector<PeNetwork> members_;
};

/// Writes classifier.yaml atomically.
void write_classifier_info(const std::filesystem::path& folder, const PeClassifierInfo& info);

/// Where the network of a fold lies below the model folder; the folder itself without folds.
std::filesystem::path member_folder(const std::filesystem::path& folder,
                                    std::optional<int64_t> fold);

}  // namespace x2ctpa
