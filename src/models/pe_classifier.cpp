#include "x2ctpa/models/pe_classifier.h"

#include <fmt/format.h>
#include <torch/torch.h>

#include <string>

#include "models/checks.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/models/model_folder.h"

namespace x2ctpa {

namespace fs = std::filesystem;

void PeClassifierInfo::describe(OptionList& options) {
  options.add("arm", &arm, "What it was trained on.");
  options.add("input", &input, "What it sees.");
  options.add("folds", &folds, "Networks, one per fold; 0: one without folds.", {.min = 0});
  options.add("threshold", &threshold, "A score at or above it counts as PE.");
  options.add("threshold_rule", &threshold_rule, "How it was chosen on validation cases.");
}

void PeNetworkOptions::describe(OptionList& options) {
  densenet.describe(options);
  options.add("embedding_dim", &embedding_dim,
              "Length of the embedding that a linear layer classifies; 0: a DenseNet.", {.min = 0});
}

PeNetworkImpl::PeNetworkImpl(PeNetworkOptions options) : options_(std::move(options)) {
  if (options_.embedding_dim > 0) {
    linear_ = register_module("linear", torch::nn::Linear(options_.embedding_dim, 1));
  } else {
    densenet_ = register_module("densenet", DenseNet3d(options_.densenet));
  }
}

at::Tensor PeNetworkImpl::forward(const at::Tensor& x) {
  if (linear_.is_empty()) return densenet_->forward(x).squeeze(1);
  require_shape(x, {-1, options_.embedding_dim}, "PE classifier: embedding (B, E)");
  return linear_->forward(x).squeeze(1);
}

torch::nn::Module& PeNetworkImpl::weights() {
  if (linear_.is_empty()) return *densenet_;
  return *linear_;
}

std::string PeNetworkImpl::config() const {
  return linear_.is_empty() ? options_to_yaml(options_.densenet) : options_to_yaml(options_);
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
    auto network = without_initial_values(
        [&] { return PeNetwork(load_options<PeNetworkOptions>(model_config_file(own))); });
    load_module(own, network->weights());
    network->to(device_);
    network->eval();
    members_.push_back(network);
  }
  if (described) return;
  const DenseNet3dOptions& options = members_[0]->options().densenet;
  info_.arm = options.planar ? PeArm::cxr : PeArm::ctpa;
  info_.input = options.planar          ? PeInput::xray
                : options.channels == 1 ? PeInput::volume
                                        : PeInput::latent;
}

double PeClassifier::score(const at::Tensor& x, std::optional<int64_t> member) {
  at::InferenceMode no_grad;
  const at::Tensor batch = x.unsqueeze(0).to(device_);
  if (member) return members_.at(size_t(*member))->forward(batch).sigmoid().item<double>();
  double sum = 0;
  for (PeNetwork& network : members_) sum += network->forward(batch).sigmoid().item<double>();
  return sum / double(members_.size());
}

}  // namespace x2ctpa
