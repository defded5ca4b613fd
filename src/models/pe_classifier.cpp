#include "x2ctpa/models/pe_classifier.h"

#include <ATen/ATen.h>
#include <c10/core/InferenceMode.h>
#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/pe_pair.h"

namespace x2ctpa {

namespace fs = std::filesystem;

void PeClassifierInfo::describe(OptionList& options) {
  options.add("arm", &arm, "What it was trained on.");
  options.add("input", &input, "What it sees.");
  options.add("folds", &folds, "Networks, one per fold; 0: one without folds.", {.min = 0});
  options.add("threshold", &threshold, "A score at or above it counts as PE.");
  options.add("threshold_rule", &threshold_rule, "How it was chosen on validation cases.");
  options.add("head", &head, "What classifies.", {PeHead::densenet, PeHead::linear});
  options.add("validation_auc", &validation_auc,
              "AUC of validation cases, with folds of each case by the network that has not seen "
              "it; 0: not known.",
              {.min = 0, .max = 1});
  options.add("other_head_auc", &other_head_auc,
              "The same of the head that was tried and not taken; 0: none was.",
              {.min = 0, .max = 1});
  options.add("cxr", &cxr, "What a fused arm sees of the X-ray.",
              {PeInput::xray, PeInput::embedding});
}

fs::path member_folder(const fs::path& folder, std::optional<int64_t> fold) {
  return fold ? folder / fmt::format("fold{}", *fold) : folder;
}

void write_classifier_info(const fs::path& folder, const PeClassifierInfo& info) {
  write_file(folder / "classifier.yaml", options_to_yaml(info));
}

PeClassifier::PeClassifier(const fs::path& folder, c10::Device device) : device_(device) {
  const bool described = fs::exists(folder / "classifier.yaml");
  if (!described && !fs::exists(model_config_file(folder))) {
    throw Error(fmt::format("{}: expected a PE classifier with classifier.yaml or config.yaml, as "
                            "x2ctpa classify train leaves in <run>/classifier/<arm>/model",
                            folder.string()),
                ExitCode::no_data);
  }
  if (described) info_ = load_options<PeClassifierInfo>(folder / "classifier.yaml");
  for (int64_t fold = 0; fold < std::max<int64_t>(info_.folds, 1); ++fold) {
    const fs::path own =
        member_folder(folder, info_.folds > 0 ? std::optional(fold) : std::nullopt);
    if (info_.arm == PeArm::fused) {
      auto pair = load_model<PePair>(own);
      pair->to(device_);
      pair->eval();
      members_.emplace_back([pair](const at::Tensor& x) mutable { return pair->forward(x); });
      continue;
    }
    auto network = load_pe_network(own);
    network->to(device_);
    members_.emplace_back([network](const at::Tensor& x) mutable { return network->forward(x); });
    if (!described) describe_by(network->options());
  }
}

// A DenseNet3d that came without classifier.yaml.
void PeClassifier::describe_by(const PeNetworkOptions& network) {
  const DenseNet3dOptions& options = network.densenet;
  info_.arm = options.planar ? PeArm::cxr : PeArm::ctpa;
  info_.input = options.planar          ? PeInput::xray
                : options.channels == 1 ? PeInput::volume
                                        : PeInput::latent;
}

double PeClassifier::score(const at::Tensor& x, std::optional<int64_t> member) {
  at::InferenceMode no_grad;
  const at::Tensor batch = x.unsqueeze(0).to(device_);
  if (member) return members_.at(size_t(*member))(batch).sigmoid().item<double>();
  double sum = 0;
  for (const auto& network : members_) sum += network(batch).sigmoid().item<double>();
  return sum / double(members_.size());
}

}  // namespace x2ctpa
