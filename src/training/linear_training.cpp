#include "training/linear_training.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <string>

#include "training/linear_head.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/pe_network.h"
#include "x2ctpa/models/pe_pair.h"

namespace x2ctpa {
namespace {

void save_head(const LinearHead& head, const LinearCases& cases,
               const std::filesystem::path& model) {
  PeNetwork first(head.probe(cases, 0));
  if (head.parts.size() == 1) {
    save_module(model, first->weights(), first->config());
    return;
  }
  PeNetwork second(head.probe(cases, 1));
  PePairOptions options{first->options(), second->options(), cases.inputs[0].sizes().vec(),
                        cases.inputs[1].sizes().vec()};
  PePair pair(options, first, second);
  save_module(model, *pair, options_to_yaml(options));
}

LinearCases part_of(const LinearCases& cases, size_t index) {
  return {{cases.parts[index]},
          {cases.inputs[index]},
          {cases.grids[index]},
          cases.labels,
          cases.patients};
}

// From the X-ray to what a linear head of true volumes says of the patient without having learnt
// from that patient.
LinearHead distilled_head(const LinearCases& cases, const LinearHeadOptions& options, int64_t seed,
                          const std::string& stream) {
  const LinearHead teacher = fit_linear_head(part_of(cases, 1), options, seed, stream);
  log_info(
      "{}: the head of true volumes that it learns from: {} components, penalty {:g}, AUC "
      "{:.3f} in cross-validation",
      stream, teacher.components, teacher.penalty, teacher.auc);
  return fit_linear_head(part_of(cases, 0), options, seed, stream, teacher.logits);
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
  const LinearCases cases = linear_cases(dataset, arm, options.linear);
  const int64_t labelled = cases.labels.isnan().logical_not().sum().item<int64_t>();
  log_info("{}: linear head, {} training cases, {} of them labelled, {} numbers per case", stream,
           cases.patients.size(), labelled,
           cases.parts[0].size(1) + (cases.parts.size() > 1 ? cases.parts[1].size(1) : 0));
  if (call.dry_run) return false;
  const std::string folds = stream + "/linear/folds";
  const LinearHead head = arm.name == PeArm::distilled
                              ? distilled_head(cases, options.linear, runtime.seed, folds)
                              : fit_linear_head(cases, options.linear, runtime.seed, folds);
  log_info("{}: {} components{}, penalty {:g}; AUC {:.3f} in cross-validation of training cases",
           stream, head.components, head.parts.size() > 1 ? " of each" : "", head.penalty,
           head.auc);
  save_head(head, cases, model);
  return true;
}

}  // namespace x2ctpa
