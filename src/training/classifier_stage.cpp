#include <torch/nn/functional.h>

#include <cmath>

#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/training/stages.h"

namespace x2ctpa {

ClassifierOptions::ClassifierOptions() {
  train.batch_size = 8;
  train.learning_rate = 1e-4;
}

void ClassifierOptions::describe(OptionList& options) {
  options.section("model", model);
  options.section("train", train);
  options.add("flip", &flip, "Augment by mirroring left and right.");
}

namespace {

struct Labelled {
  std::vector<Case> cases;
  at::Tensor inputs;  ///< (N, C, ...)
  at::Tensor labels;  ///< (N) float32
};

Labelled load(const std::vector<Case>& cases, const ClassifierInput& input) {
  Labelled out;
  std::vector<at::Tensor> inputs;
  std::vector<float> labels;
  for (const auto& c : cases) {
    if (!c.pe) continue;
    const at::Tensor x = input(c);
    if (!x.defined()) continue;
    out.cases.push_back(c);
    inputs.push_back(x);
    labels.push_back(float(*c.pe));
  }
  if (inputs.empty()) return out;
  out.inputs = at::stack(inputs);
  out.labels = at::tensor(labels);
  return out;
}

/// Indices of batch number `step`: an epoch-wise permutation that depends on seed, arm and epoch alone.
at::Tensor batch_indices(int64_t seed, const std::string& arm, int64_t step, int64_t batch, int64_t n) {
  std::vector<int64_t> out;
  at::Tensor order;
  int64_t order_epoch = -1;
  for (int64_t i = step * batch; i < (step + 1) * batch; ++i) {
    if (i / n != order_epoch) {
      order_epoch = i / n;
      order = at::randperm(n, random_stream(seed, fmt::format("classifier/{}/epoch/{}", arm, order_epoch)), at::kLong);
    }
    out.push_back(order[i % n].item<int64_t>());
  }
  return at::tensor(out, at::kLong);
}

std::vector<double> scores_of(DenseNet3d& model, const at::Tensor& inputs, torch::Device device) {
  at::NoGradGuard no_grad;
  std::vector<double> out;
  for (int64_t i = 0; i < inputs.size(0); ++i) {
    out.push_back(model->forward(inputs.slice(0, i, i + 1).to(device)).sigmoid().item<double>());
  }
  return out;
}

/// The threshold with the largest sensitivity + specificity (Youden 1950), half-way between scores.
double youden_threshold(const std::vector<double>& scores, const at::Tensor& labels) {
  std::vector<double> sorted = scores;
  std::sort(sorted.begin(), sorted.end());
  const double positives = labels.sum().item<double>(), negatives = double(scores.size()) - positives;
  double best = -1, threshold = 0.5;
  for (size_t i = 0; i + 1 < sorted.size(); ++i) {
    const double cut = (sorted[i] + sorted[i + 1]) / 2;
    double hits = 0, rejections = 0;
    for (size_t k = 0; k < scores.size(); ++k) {
      const bool positive = labels[int64_t(k)].item<float>() > 0.5f;
      if (positive && scores[k] >= cut) ++hits;
      if (!positive && scores[k] < cut) ++rejections;
    }
    const double index = hits / std::max(positives, 1.0) + rejections / std::max(negatives, 1.0);
    if (index > best) {
      best = index;
      threshold = cut;
    }
  }
  return threshold;
}

}  // namespace

void train_classifier(const Dataset& dataset, const std::string& arm, const ClassifierInput& input,
                      const ClassifierOptions& given, const RuntimeOptions& runtime,
                      const std::filesystem::path& folder, const TrainCall& call) {
  const auto device = select_device(runtime);
  const Labelled training = load(dataset.split("train"), input), val = load(dataset.split("val"), input),
                 test = load(dataset.split("test"), input);
  const int64_t n = int64_t(training.cases.size());
  const double positives = n > 0 ? training.labels.sum().item<double>() : 0;
  if (positives == 0 || positives == double(n)) {
    throw Error(fmt::format("classify: arm {}: {} labelled training cases of which {} are positive; both classes are needed", arm,
                            n, positives), ExitCode::no_data);
  }
  ClassifierOptions options = given;
  options.model.planar = training.inputs.dim() == 4;
  options.model.channels = training.inputs.size(1);
  torch::manual_seed(stream_seed(runtime.seed, "classifier/weights/" + arm));
  DenseNet3d model(options.model);
  model->to(device);
  const auto weight = at::tensor({(double(n) - positives) / positives}, at::kFloat).to(device);

  const auto loss_of = [&](const at::Tensor& x, const at::Tensor& y) {
    return at::binary_cross_entropy_with_logits(model->forward(x.to(device)).squeeze(1), y.to(device), {}, weight);
  };
  TrainingStage stage;
  stage.name = "classify " + arm;
  stage.module = model.get();
  stage.start_at = [](int64_t) {};
  stage.loss = [&](int64_t batch) {
    const auto rows = batch_indices(runtime.seed, arm, batch, options.train.batch_size, n);
    auto x = training.inputs.index_select(0, rows);
    if (options.flip) {
      const auto random = random_stream(runtime.seed, fmt::format("classifier/{}/flip/{}", arm, batch));
      const auto flips = at::rand({x.size(0)}, random, at::TensorOptions(at::kFloat)) < 0.5;
      std::vector<int64_t> per_case(size_t(x.dim()), 1);
      per_case[0] = x.size(0);
      x = at::where(flips.view(per_case), x.flip({-1}), x);
    }
    torch::manual_seed(stream_seed(runtime.seed, fmt::format("classifier/{}/dropout/{}", arm, batch)));
    StepLoss loss = loss_of(x, training.labels.index_select(0, rows));
    for (int64_t i = 0; i < rows.numel(); ++i) loss.cases.push_back(training.cases[size_t(rows[i].item<int64_t>())].id);
    loss.inputs = {x};
    return loss;
  };
  stage.validate = [&] {
    at::NoGradGuard no_grad;
    return val.cases.empty() ? 0.0 : loss_of(val.inputs, val.labels).item<double>();
  };
  const std::string settings = options_to_yaml(options) + "dataset: " + dataset.info().hash + "\narm: " + arm + "\nseed: " + std::to_string(runtime.seed) + "\n";
  if (!train(stage, options.train, settings, folder, call)) return;

  const auto val_scores = val.cases.empty() ? std::vector<double>{} : scores_of(model, val.inputs, device);
  const double threshold = val.cases.empty() ? 0.5 : youden_threshold(val_scores, val.labels);
  save_module(folder / "model", *model, options_to_yaml(options.model));
  write_file(folder / "model" / "threshold.yaml", fmt::format("arm: {}\nthreshold: {}\n", arm, threshold));
  CsvTable table({"study_id", "patient_id", "label", "score", "split", "threshold"});
  const auto add = [&](const Labelled& set, const std::vector<double>& scores) {
    for (size_t i = 0; i < scores.size(); ++i) {
      const Case& c = set.cases[i];
      table.add({c.id, c.patient_id, std::to_string(*c.pe), fmt::format("{:.9g}", scores[i]), c.split, fmt::format("{:.9g}", threshold)});
    }
  };
  add(val, val_scores);
  if (!test.cases.empty()) add(test, scores_of(model, test.inputs, device));
  table.write(folder / "scores.csv");
}

}  // namespace x2ctpa
