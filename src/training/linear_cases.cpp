#include "training/linear_cases.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "x2ctpa/core/error.h"

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

// As it is and, of volumes in HU, in each window that lies within the dataset's.
std::vector<LinearProbeOptions> views_of(const at::Tensor& x, const ClassifierArm& arm,
                                         const LinearHeadOptions& options,
                                         const DatasetInfo& info) {
  std::vector<LinearProbeOptions> views{{grid_of(x, options)}};
  if (arm.input != PeInput::volume || info.unit != "HU") return views;
  for (size_t i = 0; i + 1 < options.windows_hu.size(); i += 2) {
    const auto limits = info.window.to_unit(
        at::tensor({options.windows_hu[i], options.windows_hu[i + 1]}, at::kDouble));
    LinearProbeOptions view = views.front();
    view.window = {limits[0].item<double>(), limits[1].item<double>()};
    if (view.window[0] < view.window[1]) views.push_back(view);
  }
  return views;
}

// Collects the rows of an arm, case by case.
class ArmRows {
 public:
  ArmRows(const ClassifierArm& arm, const LinearHeadOptions& options, const DatasetInfo& info)
      : arm_(arm), options_(options), info_(info) {}

  bool has(const Case& c) const { return arm_.inputs(c) > 0; }

  void add(const Case& c) {
    const int64_t inputs = arm_.inputs(c);
    std::vector<at::Tensor> sums;
    for (int64_t i = 0; i < inputs; ++i) {
      const at::Tensor x = arm_.load(c, i).to(at::kFloat);
      if (views_.empty()) {
        views_ = views_of(x, arm_, options_, info_);
        rows_.resize(views_.size());
      }
      sums.resize(views_.size());
      for (size_t v = 0; v < views_.size(); ++v) {
        const at::Tensor row = averaged_to_grid(x.unsqueeze(0), views_[v].grid, views_[v].window)
                                   .squeeze(0)
                                   .to(at::kDouble);
        sums[v] = sums[v].defined() ? sums[v] + row : row;
      }
    }
    for (size_t v = 0; v < views_.size(); ++v) rows_[v].push_back(sums[v] / double(inputs));
  }

  std::vector<LinearView> views() const {
    std::vector<LinearView> out;
    for (size_t v = 0; v < views_.size(); ++v) out.push_back({views_[v], at::stack(rows_[v])});
    return out;
  }

 private:
  ClassifierArm arm_;
  const LinearHeadOptions& options_;
  const DatasetInfo& info_;
  std::vector<LinearProbeOptions> views_;
  std::vector<std::vector<at::Tensor>> rows_;
};

}  // namespace

ArmCases linear_cases(const Dataset& dataset, const ClassifierArm& arm,
                      const LinearHeadOptions& options) {
  const DatasetInfo& info = dataset.info();
  std::vector<ArmRows> rows{{arm, options, info}};
  for (const ClassifierArm& teacher : arm.teacher) rows.emplace_back(teacher, options, info);
  ArmCases out;
  std::vector<double> labels;
  for (const Case& c : dataset.split("train")) {
    if (std::any_of(rows.begin(), rows.end(), [&](const ArmRows& r) { return !r.has(c); }))
      continue;
    labels.push_back(c.pe ? double(*c.pe) : std::numeric_limits<double>::quiet_NaN());
    out.seen.patients.push_back(c.patient_id);
    for (ArmRows& r : rows) r.add(c);
  }
  const auto positives = std::count(labels.begin(), labels.end(), 1.0),
             negatives = std::count(labels.begin(), labels.end(), 0.0);
  if (positives == 0 || negatives == 0) {
    throw Error(fmt::format("classify: arm {}: {} labelled training cases of which {} are "
                            "positive; both classes are needed",
                            arm.name, positives + negatives, positives),
                ExitCode::no_data);
  }
  out.seen.labels = at::tensor(labels, at::kDouble);
  out.seen.views = rows.front().views();
  if (!arm.teacher.empty()) out.teacher = {rows.back().views(), out.seen.labels, out.seen.patients};
  return out;
}

}  // namespace x2ctpa
