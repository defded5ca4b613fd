#include "training/linear_head.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/random.h"
#include "x2ctpa/metrics/classification.h"

namespace x2ctpa {
namespace {

// The grid of an input (C, D, H, W), (C, H, W) or (E): never larger than the input itself.
std::vector<int64_t> grid_of(const at::Tensor& x, const LinearHeadOptions& options) {
  std::vector<int64_t> grid = x.sizes().vec();
  for (size_t axis = 1; axis < grid.size(); ++axis) {
    const int64_t most = grid.size() == 3 ? options.xray_side : options.volume_grid[axis - 1];
    grid[axis] = std::min(grid[axis], most);
  }
  return grid;
}

at::Tensor index_tensor(const std::vector<int64_t>& rows) { return at::tensor(rows, at::kLong); }

// Rows of labelled cases whose fold is not `held_out`, and of those in it.
struct FoldRows {
  at::Tensor seen, training, held_out;  // seen: with unlabelled cases
};

FoldRows rows_of(const std::vector<int64_t>& folds, const at::Tensor& labels, int64_t held_out) {
  std::vector<int64_t> seen, training, held;
  for (size_t i = 0; i < folds.size(); ++i) {
    const bool labelled = !std::isnan(labels[int64_t(i)].item<double>());
    const bool out = held_out >= 0 && folds[i] == held_out;
    (out ? held : seen).push_back(int64_t(i));
    if (!out && labelled) training.push_back(int64_t(i));
  }
  return {index_tensor(seen), index_tensor(training), index_tensor(held)};
}

// Components of all parts from `seen` rows.
std::vector<PrincipalComponents> components_of(const LinearCases& cases, const at::Tensor& seen,
                                               int64_t most) {
  std::vector<PrincipalComponents> out;
  for (const at::Tensor& part : cases.parts)
    out.push_back(principal_components(part.index_select(0, seen), most));
  return out;
}

// The first `components` of each part, side by side.
at::Tensor joined(const std::vector<at::Tensor>& parts, int64_t components) {
  std::vector<at::Tensor> kept;
  for (const at::Tensor& z : parts) kept.push_back(z.slice(1, 0, components));
  return at::cat(kept, 1);
}

std::vector<at::Tensor> values_of(const std::vector<PrincipalComponents>& components,
                                  const LinearCases& cases) {
  std::vector<at::Tensor> out;
  for (size_t i = 0; i < components.size(); ++i) out.push_back(components[i].of(cases.parts[i]));
  return out;
}

// Labels and scores of the cases that have a fold.
double area_of(const at::Tensor& labels, const at::Tensor& scores,
               const std::vector<int64_t>& folds) {
  std::vector<int> y;
  std::vector<double> s;
  for (size_t i = 0; i < folds.size(); ++i) {
    if (folds[i] < 0) continue;
    y.push_back(labels[int64_t(i)].item<double>() > 0.5);
    s.push_back(scores[int64_t(i)].item<double>());
  }
  return roc_auc(y, s);
}

// One pair of sizes and the logits of held-out cases under it.
struct Candidate {
  int64_t components;
  double penalty;
  at::Tensor held_out;
};

std::vector<Candidate> candidates_of(const LinearHeadOptions& options, int64_t cases) {
  std::vector<int64_t> sizes = options.components;
  for (int64_t& k : sizes) k = std::min(k, std::max<int64_t>(1, cases - 1));
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  std::vector<double> penalties = options.penalties;
  std::sort(penalties.begin(), penalties.end(), std::greater<>());
  std::vector<Candidate> out;
  for (const int64_t k : sizes) {
    for (const double penalty : penalties)
      out.push_back({k, penalty, at::zeros({cases}, at::kDouble)});
  }
  return out;
}

// Logistic regression of the labels, or ridge regression of targets, which every case has.
LinearModel fitted(const LinearCases& cases, const at::Tensor& targets, const at::Tensor& z,
                   const FoldRows& rows, double penalty) {
  if (targets.defined())
    return ridge_regression(z.index_select(0, rows.seen), targets.index_select(0, rows.seen),
                            penalty);
  return logistic_regression(z.index_select(0, rows.training),
                             cases.labels.index_select(0, rows.training), penalty);
}

void cross_validate(const LinearCases& cases, const at::Tensor& targets,
                    const std::vector<int64_t>& folds, std::vector<Candidate>& candidates) {
  const int64_t count = *std::max_element(folds.begin(), folds.end()) + 1;
  for (int64_t fold = 0; fold < count; ++fold) {
    const FoldRows rows = rows_of(folds, cases.labels, fold);
    const auto values =
        values_of(components_of(cases, rows.seen, candidates.back().components), cases);
    for (Candidate& c : candidates) {
      const at::Tensor z = joined(values, c.components);
      const LinearModel model = fitted(cases, targets, z, rows, c.penalty);
      c.held_out.index_copy_(0, rows.held_out, model.of(z.index_select(0, rows.held_out)));
    }
  }
}

}  // namespace

LinearCases linear_cases(const Dataset& dataset, const ClassifierArm& arm,
                         const LinearHeadOptions& options) {
  const std::vector<ClassifierArm> parts =
      arm.parts.empty() ? std::vector<ClassifierArm>{arm} : arm.parts;
  LinearCases out;
  out.inputs.resize(parts.size());
  out.grids.resize(parts.size());
  std::vector<std::vector<at::Tensor>> rows(parts.size());
  std::vector<double> labels;
  for (const Case& c : dataset.split("train")) {
    if (std::any_of(parts.begin(), parts.end(),
                    [&](const ClassifierArm& part) { return part.inputs(c) == 0; }))
      continue;
    labels.push_back(c.pe ? double(*c.pe) : std::numeric_limits<double>::quiet_NaN());
    out.patients.push_back(c.patient_id);
    for (size_t part = 0; part < parts.size(); ++part) {
      at::Tensor sum;
      const int64_t inputs = parts[part].inputs(c);
      for (int64_t i = 0; i < inputs; ++i) {
        const at::Tensor x = parts[part].load(c, i).to(at::kFloat);
        if (!out.inputs[part].defined()) {
          out.inputs[part] = x;
          out.grids[part] = grid_of(x, options);
        }
        const at::Tensor row =
            averaged_to_grid(x.unsqueeze(0), out.grids[part]).squeeze(0).to(at::kDouble);
        sum = sum.defined() ? sum + row : row;
      }
      rows[part].push_back(sum / double(inputs));
    }
  }
  const auto positives = std::count(labels.begin(), labels.end(), 1.0),
             negatives = std::count(labels.begin(), labels.end(), 0.0);
  if (positives == 0 || negatives == 0) {
    throw Error(fmt::format("classify: arm {}: {} labelled training cases of which {} are "
                            "positive; both classes are needed",
                            arm.name, positives + negatives, positives),
                ExitCode::no_data);
  }
  for (const auto& part : rows) out.parts.push_back(at::stack(part));
  out.labels = at::tensor(labels, at::kDouble);
  return out;
}

LinearProbe LinearHead::probe(const LinearCases& cases, size_t index) const {
  int64_t first = 0;
  for (size_t i = 0; i < index; ++i) first += parts[i].directions.size(0);
  const int64_t k = parts[index].directions.size(0);
  LinearProbe probe(LinearProbeOptions{cases.grids[index], k});
  probe->set(parts[index].mean, parts[index].directions, model.weight.slice(0, first, first + k),
             index == 0 ? model.bias : 0);
  return probe;
}

std::vector<int64_t> stratified_folds(const LinearCases& cases, int64_t folds, int64_t seed,
                                      const std::string& stream) {
  // A patient counts as positive when any of the cases is.
  std::map<std::string, bool> positive;
  for (size_t i = 0; i < cases.patients.size(); ++i) {
    const double label = cases.labels[int64_t(i)].item<double>();
    if (!std::isnan(label)) positive[cases.patients[i]] |= label > 0.5;
  }
  const auto random = random_stream(seed, stream);
  std::map<std::string, int64_t> fold_of;
  int64_t fewest = std::numeric_limits<int64_t>::max();
  for (const bool wanted : {true, false}) {
    std::vector<std::string> names;
    for (const auto& [name, is_positive] : positive) {
      if (is_positive == wanted) names.push_back(name);
    }
    fewest = std::min(fewest, int64_t(names.size()));
    const at::Tensor order = at::randperm(int64_t(names.size()), random, at::kLong);
    for (size_t i = 0; i < names.size(); ++i)
      fold_of[names[size_t(order[int64_t(i)].item<int64_t>())]] = int64_t(i);
  }
  const int64_t count = std::min(folds, fewest);
  std::vector<int64_t> out;
  for (size_t i = 0; i < cases.patients.size(); ++i) {
    const bool labelled = !std::isnan(cases.labels[int64_t(i)].item<double>());
    out.push_back(labelled && count >= 2 ? fold_of[cases.patients[i]] % count : -1);
  }
  return out;
}

LinearHead fit_linear_head(const LinearCases& cases, const LinearHeadOptions& options, int64_t seed,
                           const std::string& stream, const at::Tensor& targets) {
  const auto folds = stratified_folds(cases, options.folds, seed, stream);
  auto candidates = candidates_of(options, int64_t(cases.patients.size()));
  LinearHead head;
  const Candidate* best = &candidates.front();
  if (*std::max_element(folds.begin(), folds.end()) > 0) {
    cross_validate(cases, targets, folds, candidates);
    for (const Candidate& c : candidates) {
      const double area = area_of(cases.labels, c.held_out, folds);
      if (area <= head.auc) continue;
      head.auc = area;
      best = &c;
    }
    head.held_out = best->held_out;
  }
  head.penalty = best->penalty;
  const FoldRows all = rows_of(folds, cases.labels, -1);
  head.parts = components_of(cases, all.seen, best->components);
  const at::Tensor z = joined(values_of(head.parts, cases), best->components);
  head.components = head.parts.front().directions.size(0);
  head.model = fitted(cases, targets, z, all, head.penalty);
  head.logits =
      at::where(at::tensor(folds, at::kLong) >= 0,
                head.held_out.defined() ? head.held_out : head.model.of(z), head.model.of(z));
  return head;
}

}  // namespace x2ctpa
