#include "training/linear_training.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <string>

#include "training/linear_head.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/pe_network.h"

namespace x2ctpa {
namespace {

std::string text_of(const LinearHead& head, const LinearCases& cases) {
  const auto& window = cases.views[head.view].probe.window;
  return fmt::format("{} components, penalty {:g}{}; AUC {:.3f} in cross-validation",
                     head.components.directions.size(0), head.penalty,
                     window.empty() ? "" : ", volumes clipped to a window", head.auc);
}

LinearHead head_of(const ArmCases& cases, const LinearHeadOptions& options, int64_t seed,
                   const std::string& stream) {
  if (cases.teacher.views.empty()) return fit_linear_head(cases.seen, options, seed, stream);
  const LinearHead teacher = fit_linear_head(cases.teacher, options, seed, stream);
  log_info("{}: it learns from the head of true volumes: {}", stream,
           text_of(teacher, cases.teacher));
  return fit_linear_head(cases.seen, options, seed, stream,
                         taught_labels(teacher, cases.seen.labels));
}

}  // namespace

bool train_linear_head(const Dataset& dataset, const ClassifierArm& arm,
                       const ClassifierOptions& options, const RuntimeOptions& runtime,
                       std::optional<int64_t> fold, const std::filesystem::path& model,
                       const TrainCall& call) {
  if (!call.processes->first()) return false;
  at::NoGradGuard no_grad;
  const std::string stream = fold ? fmt::format("classifier/{}/fold{}", arm.name, *fold)
                                  : fmt::format("classifier/{}", arm.name);
  const ArmCases cases = linear_cases(dataset, arm, options.linear);
  const at::Tensor& labels = cases.seen.labels;
  log_info("{}: linear head, {} training cases, {} of them labelled", stream, labels.size(0),
           labels.isnan().logical_not().sum().item<int64_t>());
  if (call.dry_run) return false;
  const LinearHead head = head_of(cases, options.linear, runtime.seed, stream + "/linear/folds");
  log_info("{}: {}", stream, text_of(head, cases.seen));
  PeNetwork network(head.probe(cases.seen));
  save_module(model, network->weights(), network->config());
  return true;
}

}  // namespace x2ctpa
