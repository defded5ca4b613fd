#include "training/fold_training.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <torch/utils.h>

#include <vector>

#include "x2ctpa/core/device.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/data/loader.h"
#include "x2ctpa/metrics/classification.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/training/losses.h"

namespace x2ctpa {
namespace {

PeNetworkOptions network_options(const ClassifierOptions& options, const ClassifierArm& arm,
                                 const at::Tensor& example) {
  PeNetworkOptions network;
  if (arm.input == PeInput::embedding) {
    network.embedding_dim = example.size(0);
    return network;
  }
  network.densenet = options.model;
  network.densenet.planar = example.dim() == 3;
  network.densenet.channels = example.size(0);
  return network;
}

}  // namespace

FoldTraining::FoldTraining(const Dataset& dataset, const ClassifierArm& arm,
                           const ClassifierOptions& options, const RuntimeOptions& runtime,
                           std::optional<int64_t> fold)
    : options_(options),
      seed_(runtime.seed),
      device_(select_device(runtime)),
      stream_(fold ? fmt::format("classifier/{}/fold{}", arm.name, *fold)
                   : fmt::format("classifier/{}", arm.name)),
      training_(dataset.split("train"), arm),
      validation_(dataset.split("val"), arm) {
  const int64_t n = int64_t(training_.size()), positives = training_.positives();
  if (positives == 0 || positives == n) {
    throw Error(fmt::format("classify: arm {}: {} labelled training cases of which {} are "
                            "positive; both classes are needed",
                            arm.name, n, positives),
                ExitCode::no_data);
  }
  torch::manual_seed(stream_seed(seed_, stream_ + "/weights"));
  network_ = PeNetwork(network_options(options, arm, training_.input(0, 0)));
  network_->to(device_);
  const double weight = options.positive_weight > 0 ? options.positive_weight
                                                    : double(n - positives) / double(positives);
  weight_ = at::tensor({weight}, at::kFloat).to(device_);
  settings_ =
      options_to_yaml(options) +
      fmt::format("dataset: {}\narm: {}\ninput: {}\nfold: {}\nseed: {}\n", dataset.info().hash,
                  arm.name, arm.input, fold ? std::to_string(*fold) : "none", seed_);
}

bool FoldTraining::run(const std::filesystem::path& folder, const std::filesystem::path& model,
                       const TrainCall& call) {
  TrainingStage stage;
  stage.name = stream_;
  stage.module = network_.get();
  stage.start_at = [](int64_t) {};
  stage.loss = [this](int64_t batch) { return loss_of(batch); };
  if (validation_.size() > 0) stage.validate = [this] { return validate(); };
  if (!train(stage, options_.train, settings_, folder, call)) return false;
  save_module(model, network_->weights(), network_->config());
  return true;
}

StepLoss FoldTraining::loss_of(int64_t batch) {
  const auto random = random_stream(seed_, fmt::format("{}/batch/{}", stream_, batch));
  std::vector<at::Tensor> inputs;
  std::vector<float> labels;
  std::vector<std::string> ids;
  for (size_t i : shuffled_batch(seed_, stream_ + "/epoch", batch, options_.train.batch_size,
                                 training_.size())) {
    const int64_t number = at::randint(training_.inputs(i), {1}, random, at::kLong).item<int64_t>();
    inputs.push_back(training_.input(i, number));
    labels.push_back(float(training_.labels()[i]));
    ids.push_back(training_.at(i).id);
  }
  const at::Tensor x = augmented(at::stack(inputs), options_, random);
  torch::manual_seed(stream_seed(seed_, fmt::format("{}/dropout/{}", stream_, batch)));
  StepLoss loss =
      cross_entropy(network_->forward(x.to(device_)), at::tensor(labels).to(device_), weight_);
  loss.cases = ids;
  loss.inputs = {x};
  return loss;
}

Validation FoldTraining::validate() {
  at::NoGradGuard no_grad;
  std::vector<double> logits;
  double loss = 0;
  for (size_t i = 0; i < validation_.size(); ++i) {
    const at::Tensor x = validation_.input(i, 0).unsqueeze(0).to(device_);
    const at::Tensor logit = network_->forward(x);
    logits.push_back(logit.item<double>());
    const at::Tensor label = at::full({1}, double(validation_.labels()[i]), logit.options());
    loss += cross_entropy(logit, label, weight_).item<double>() / double(validation_.size());
  }
  const int64_t positives = validation_.positives();
  if (positives == 0 || positives == int64_t(validation_.size())) return loss;
  const double area = roc_auc(validation_.labels(), logits);
  Validation result(1 - area + 1e-4 * loss);
  result.terms = {{"auc", area}, {"bce", loss}};
  return result;
}

}  // namespace x2ctpa
