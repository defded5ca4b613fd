#include "training/derived_arms.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include "training/logistic_regression.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/models/model_folder.h"
#include "x2ctpa/models/pe_pair.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

PeClassifierInfo trained_info(const fs::path& model) {
  const fs::path file = model / "classifier.yaml";
  if (!fs::exists(file)) {
    throw Error(fmt::format("classify: this arm takes a trained classifier: expected one at {}, "
                            "found none; run x2ctpa classify train for that arm first",
                            model.string()),
                ExitCode::no_data);
  }
  return load_options<PeClassifierInfo>(file);
}

// The pairs of both arms, one per fold or one alone.
class MeanOfArms {
 public:
  MeanOfArms(const Dataset& dataset, const ClassifierArm& arm, const RuntimeOptions& runtime)
      : dataset_(dataset), arm_(arm), device_(select_device(runtime)) {
    const PeClassifierInfo xray = trained_info(arm.trained.at(0)),
                           volume = trained_info(arm.trained.at(1));
    if (xray.folds != volume.folds || xray.input != arm.parts.at(0).input ||
        volume.input != arm.parts.at(1).input) {
      throw Error(fmt::format(
          "classify: arm fused: the classifiers of its arms must fit: expected {} and {}, trained "
          "with equal folds; found {} with {} folds and {} with {}. Train both anew under these "
          "options",
          arm.parts[0].input, arm.parts[1].input, xray.input, xray.folds, volume.input,
          volume.folds));
    }
    folds_ = xray.folds;
  }

  PeClassifierInfo save(const fs::path& model) {
    const LinearModel fit = fitted();
    for (int64_t fold = 0; fold < std::max<int64_t>(folds_, 1); ++fold) {
      PePair pair = pair_of(fold, fit.weight[0].item<double>(), fit.bias);
      save_module(member_folder(model, own(fold)), *pair, options_to_yaml(pair->options()));
    }
    PeClassifierInfo info{PeArm::fused, arm_.input, folds_};
    info.head = trained_info(arm_.trained[1]).head;
    info.cxr = arm_.parts[0].input;
    return info;
  }

 private:
  std::optional<int64_t> own(int64_t fold) const {
    return folds_ > 0 ? std::optional(fold) : std::nullopt;
  }

  PePair pair_of(int64_t fold, double slope, double intercept) const {
    PeNetwork xray = load_pe_network(member_folder(arm_.trained[0], own(fold)));
    PeNetwork volume = load_pe_network(member_folder(arm_.trained[1], own(fold)));
    PePairOptions options{xray->options(), volume->options()};
    for (const Case& c : dataset_.cases()) {
      if (arm_.inputs(c) == 0) continue;
      options.xray_shape = arm_.parts[0].load(c, 0).sizes().vec();
      options.volume_shape = arm_.parts[1].load(c, 0).sizes().vec();
      break;
    }
    options.slope = slope;
    options.intercept = intercept;
    return PePair(options, xray, volume);
  }

  // Slope and intercept over the mean logits of validation cases.
  LinearModel fitted() const {
    at::NoGradGuard no_grad;
    std::vector<double> logits, labels;
    for (int64_t fold = 0; fold < std::max<int64_t>(folds_, 1); ++fold) {
      PePair pair = pair_of(fold, 1, 0);
      pair->to(device_);
      pair->eval();
      const Dataset seen = folds_ > 0 ? dataset_.with_fold(fold) : dataset_;
      for (const Case& c : seen.split("val")) {
        const int64_t inputs = arm_.inputs(c);
        if (!c.pe || inputs == 0) continue;
        double sum = 0;
        for (int64_t i = 0; i < inputs; ++i)
          sum += pair->forward(arm_.load(c, i).unsqueeze(0).to(device_)).item<double>();
        logits.push_back(sum / double(inputs));
        labels.push_back(double(*c.pe));
      }
    }
    const LinearModel plain{at::ones({1}, at::kDouble), 0};
    const auto positives = std::count(labels.begin(), labels.end(), 1.0);
    if (positives == 0 || positives == int64_t(labels.size())) {
      log_warning("arm fused: the validation cases hold one class only: logits stay as they are");
      return plain;
    }
    const LinearModel fit = logistic_regression(at::tensor(logits, at::kDouble).unsqueeze(1),
                                                at::tensor(labels, at::kDouble), 1e-3);
    if (fit.weight[0].item<double>() > 0) return fit;
    log_warning(
        "arm fused: the mean of the logits does not tell the validation cases apart; it stays as "
        "it is");
    return plain;
  }

  const Dataset& dataset_;
  const ClassifierArm& arm_;
  c10::Device device_;
  int64_t folds_ = 0;
};

}  // namespace

PeClassifierInfo transfer_classifier(const fs::path& from, const fs::path& model) {
  PeClassifierInfo info = trained_info(from);
  for (int64_t fold = 0; fold < std::max<int64_t>(info.folds, 1); ++fold) {
    const auto own = info.folds > 0 ? std::optional(fold) : std::nullopt;
    PeNetwork network = load_pe_network(member_folder(from, own));
    save_module(member_folder(model, own), network->weights(), network->config());
  }
  info.arm = PeArm::transfer;
  info.other_head_auc = 0;
  return info;
}

PeClassifierInfo mean_of_arms(const Dataset& dataset, const ClassifierArm& arm,
                              const RuntimeOptions& runtime, const fs::path& model) {
  return MeanOfArms(dataset, arm, runtime).save(model);
}

}  // namespace x2ctpa
