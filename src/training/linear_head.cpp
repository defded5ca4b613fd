#include "training/linear_head.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "x2ctpa/core/random.h"
#include "x2ctpa/metrics/classification.h"

namespace x2ctpa {
namespace {

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

// Labels and scores of the labelled cases that have a fold; 0 where there is none.
double area_of(const at::Tensor& labels, const at::Tensor& scores,
               const std::vector<int64_t>& folds) {
  std::vector<int> y;
  std::vector<double> s;
  for (size_t i = 0; i < folds.size(); ++i) {
    const double label = labels[int64_t(i)].item<double>();
    if (folds[i] < 0 || std::isnan(label)) continue;
    y.push_back(label > 0.5);
    s.push_back(scores[int64_t(i)].item<double>());
  }
  return roc_auc(y, s);
}

// One choice and the logits of held-out cases under it.
struct Candidate {
  size_t view;
  int64_t components;
  double penalty;
  at::Tensor held_out;
};

std::vector<Candidate> candidates_of(const LinearHeadOptions& options, const LinearCases& all) {
  const int64_t cases = int64_t(all.patients.size());
  std::vector<int64_t> sizes = options.components;
  for (int64_t& k : sizes) k = std::min(k, std::max<int64_t>(1, cases - 1));
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  std::vector<double> penalties = options.penalties;
  std::sort(penalties.begin(), penalties.end(), std::greater<>());
  std::vector<Candidate> out;
  for (size_t view = 0; view < all.views.size(); ++view) {
    for (const int64_t k : sizes) {
      for (const double penalty : penalties)
        out.push_back({view, k, penalty, at::zeros({cases}, at::kDouble)});
    }
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
    at::Tensor values;
    for (size_t i = 0; i < candidates.size(); ++i) {
      Candidate& c = candidates[i];
      if (i == 0 || c.view != candidates[i - 1].view) {
        const at::Tensor& x = cases.views[c.view].rows;
        values =
            principal_components(x.index_select(0, rows.seen), candidates.back().components).of(x);
      }
      const at::Tensor z = values.slice(1, 0, c.components);
      const LinearModel model = fitted(cases, targets, z, rows, c.penalty);
      c.held_out.index_copy_(0, rows.held_out, model.of(z.index_select(0, rows.held_out)));
    }
  }
}

// Slope and intercept that make logits of `scores` where labels are known.
LinearModel logits_from(const at::Tensor& scores, const at::Tensor& labels) {
  const at::Tensor known = labels.isnan().logical_not();
  return logistic_regression(scores.masked_select(known).unsqueeze(1), labels.masked_select(known),
                             1e-3);
}

void scale_to_logits(LinearHead& head, const at::Tensor& labels) {
  const LinearModel scale = logits_from(head.held_out, labels);
  const double slope = scale.weight[0].item<double>();
  if (slope <= 0) return;
  const auto scaled = [&](const at::Tensor& scores) { return scores * slope + scale.bias; };
  head.model = {head.model.weight * slope, head.model.bias * slope + scale.bias};
  head.held_out = scaled(head.held_out);
}

}  // namespace

LinearProbe LinearHead::probe(const LinearCases& cases) const {
  LinearProbeOptions options = cases.views[view].probe;
  options.components = components.directions.size(0);
  LinearProbe probe(options);
  probe->set(components.mean, components.directions, model.weight, model.bias);
  return probe;
}

at::Tensor taught_labels(const LinearHead& teacher, const at::Tensor& labels) {
  const at::Tensor probability =
      logits_from(teacher.logits, labels).of(teacher.logits.unsqueeze(1)).sigmoid();
  return at::where(labels.isnan(), probability, labels);
}

std::vector<int64_t> stratified_folds(const LinearCases& cases, int64_t folds, int64_t seed,
                                      const std::string& stream, bool all) {
  // A patient counts as positive when any of the cases is, as unlabelled when all of them are.
  enum Kind { unlabelled, negative, positive };
  std::map<std::string, Kind> kinds;
  for (size_t i = 0; i < cases.patients.size(); ++i) {
    const double label = cases.labels[int64_t(i)].item<double>();
    Kind& kind = kinds.emplace(cases.patients[i], unlabelled).first->second;
    kind = std::max(kind, std::isnan(label) ? unlabelled : label > 0.5 ? positive : negative);
  }
  const auto random = random_stream(seed, stream);
  std::map<std::string, int64_t> fold_of;
  int64_t fewest = std::numeric_limits<int64_t>::max();
  for (const Kind wanted : {positive, negative, unlabelled}) {
    std::vector<std::string> names;
    for (const auto& [name, kind] : kinds) {
      if (kind == wanted) names.push_back(name);
    }
    if (wanted != unlabelled) fewest = std::min(fewest, int64_t(names.size()));
    const at::Tensor order = at::randperm(int64_t(names.size()), random, at::kLong);
    for (size_t i = 0; i < names.size(); ++i)
      fold_of[names[size_t(order[int64_t(i)].item<int64_t>())]] = int64_t(i);
  }
  const int64_t count = std::min(folds, fewest);
  std::vector<int64_t> out;
  for (size_t i = 0; i < cases.patients.size(); ++i) {
    const bool labelled = !std::isnan(cases.labels[int64_t(i)].item<double>());
    out.push_back((labelled || all) && count >= 2 ? fold_of[cases.patients[i]] % count : -1);
  }
  return out;
}

LinearHead fit_linear_head(const LinearCases& cases, const LinearHeadOptions& options, int64_t seed,
                           const std::string& stream, const at::Tensor& targets) {
  const auto folds = stratified_folds(cases, options.folds, seed, stream, targets.defined());
  auto candidates = candidates_of(options, cases);
  LinearHead head;
  const Candidate* best = &candidates.front();
  if (*std::max_element(folds.begin(), folds.end()) > 0) {
    cross_validate(cases, targets, folds, candidates);
    double most = -std::numeric_limits<double>::infinity();
    for (const Candidate& c : candidates) {
      const double merit = targets.defined()
                               ? -(c.held_out - targets).square().mean().item<double>()
                               : area_of(cases.labels, c.held_out, folds);
      if (merit <= most) continue;
      most = merit;
      best = &c;
    }
    head.held_out = best->held_out;
    head.auc = area_of(cases.labels, head.held_out, folds);
  }
  head.view = best->view;
  head.penalty = best->penalty;
  const FoldRows all = rows_of(folds, cases.labels, -1);
  const at::Tensor& x = cases.views[head.view].rows;
  head.components = principal_components(x.index_select(0, all.seen), best->components);
  const at::Tensor z = head.components.of(x);
  head.model = fitted(cases, targets, z, all, head.penalty);
  if (targets.defined() && head.held_out.defined()) scale_to_logits(head, cases.labels);
  const at::Tensor own = head.model.of(z);
  head.logits = head.held_out.defined()
                    ? at::where(at::tensor(folds, at::kLong) >= 0, head.held_out, own)
                    : own;
  return head;
}

}  // namespace x2ctpa
