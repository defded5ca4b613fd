#include "training/model_card.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "x2ctpa/core/checksums.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/version.h"

namespace x2ctpa {
namespace {

using nlohmann::json;

struct Figure {
  std::string name;  // val_loss
  double value = 0;
};

// The numbers of the last validation of a training; empty when there was none.
struct LastValidation {
  int64_t step = 0;
  std::vector<Figure> figures;
};

LastValidation last_validation(const std::filesystem::path& training) {
  LastValidation last;
  const auto log = training / "metrics.jsonl";
  if (!std::filesystem::exists(log)) return last;
  std::istringstream lines(read_file(log));
  for (std::string line; std::getline(lines, line);) {
    const json entry = json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (!entry.is_object() || !entry.contains("val_loss")) continue;
    last = {entry.value("step", int64_t{0}), {}};
    for (const auto& [name, value] : entry.items()) {
      if (name.rfind("val_", 0) != 0 || !value.is_number()) continue;
      last.figures.push_back({name, value.get<double>()});
    }
  }
  return last;
}

// Each figure's mean over the folds of a cross-validation.
LastValidation last_validation(const std::vector<std::filesystem::path>& trainings) {
  LastValidation mean;
  for (const auto& training : trainings) {
    const LastValidation one = last_validation(training);
    if (mean.figures.empty()) {
      mean = one;
      for (auto& figure : mean.figures) figure.value = 0;
    }
    mean.step = std::max(mean.step, one.step);
    for (auto& figure : mean.figures) {
      for (const auto& own : one.figures) {
        if (own.name == figure.name) figure.value += own.value / double(trainings.size());
      }
    }
  }
  return mean;
}

std::string number_text(double value) {
  return std::isfinite(value) ? fmt::format("{:.6g}", value) : "unknown";
}

// The head that the hub reads. Names are of our own making: nothing in it needs quoting.
std::string hub_head(const ModelCard& card, const Dataset& dataset, const LastValidation& last) {
  std::string text =
      "---\n"
      "license: other  # fill in before you publish: cc-by-4.0, say, as your data allow\n"
      "library_name: x2ctpa\n";
  text += fmt::format("pipeline_tag: {}\ntags:\n", card.task);
  for (const char* tag : {"medical-imaging", "chest-ct", "ctpa", "pulmonary-embolism"}) {
    text += fmt::format("- {}\n", tag);
  }
  for (const auto& tag : card.tags) text += fmt::format("- {}\n", tag);
  if (last.figures.empty()) return text + "---\n";
  text += "metrics:\n";
  for (const auto& figure : last.figures) text += fmt::format("- {}\n", figure.name);
  text += fmt::format(
      "model-index:\n- name: x2ctpa {}\n  results:\n  - task:\n      type: {}\n    dataset:\n"
      "      name: dataset {}\n      type: private\n      split: val\n    metrics:\n",
      card.command, card.task, dataset.info().hash.substr(0, 12));
  for (const auto& figure : last.figures) {
    text +=
        fmt::format("    - type: {}\n      value: {}\n", figure.name, number_text(figure.value));
  }
  return text + "---\n";
}

std::string data_table(const Dataset& dataset) {
  std::string text =
      "| split | cases | patients | with CT | with X-ray | PE | no PE |\n"
      "|---|---|---|---|---|---|---|\n";
  for (const char* split : {"train", "val", "test"}) {
    const std::vector<Case> cases = dataset.split(split);
    const auto count = [&](auto has) { return std::count_if(cases.begin(), cases.end(), has); };
    std::set<std::string> patients;
    for (const auto& c : cases) patients.insert(c.patient_id);
    text += fmt::format("| {} | {} | {} | {} | {} | {} | {} |\n", split, cases.size(),
                        patients.size(), count([](const Case& c) { return !c.ct.empty(); }),
                        count([](const Case& c) { return !c.cxr.empty(); }),
                        count([](const Case& c) { return c.pe == 1; }),
                        count([](const Case& c) { return c.pe == 0; }));
  }
  const DatasetInfo& info = dataset.info();
  if (info.views() == CxrViews::both) {
    const auto& all = dataset.cases();
    text += fmt::format("\n{} of all cases have a lateral X-ray.\n",
                        std::count_if(all.begin(), all.end(),
                                      [](const Case& c) { return !c.cxr_lateral.empty(); }));
  }
  return text + fmt::format(
                    "\nVolumes of {} x {} x {} voxels (W, H, D), typically {:.2f} x {:.2f} x "
                    "{:.2f} mm, window {} to {} {}; X-rays of {} x {} pixels. The dataset's "
                    "SHA-256 is `{}`: x2ctpa refuses data that do not fit.\n",
                    info.grid_dhw[2], info.grid_dhw[1], info.grid_dhw[0],
                    info.typical_spacing_mm[0], info.typical_spacing_mm[1],
                    info.typical_spacing_mm[2], info.window.min_hu, info.window.max_hu, info.unit,
                    info.cxr_size, info.cxr_size, info.hash);
}

std::string validation_table(const ModelCard& card, const LastValidation& last) {
  if (last.figures.empty()) return "There was no validation.\n";
  std::string text = fmt::format(
      "The last validation, after step {}, on the cases of the split val{}:\n\n"
      "| figure | value |\n|---|---|\n",
      last.step,
      card.trainings.size() > 1 ? fmt::format(", means over {} folds", card.trainings.size()) : "");
  for (const auto& figure : last.figures) {
    text += fmt::format("| `{}` | {} |\n", figure.name, number_text(figure.value));
  }
  return text;
}

std::string limits_text(const ModelCard& card) {
  std::vector<std::string> all = {
      "Research use only, not for diagnosis.",
      "It knows what its training data show: other scanners, protocols, ages and diseases than "
      "theirs are unknown to it. Say here where yours come from.",
      "A network may hold traces of its training cases. `x2ctpa evaluate` searches generated "
      "volumes for memorised ones; look at its result before you publish."};
  all.insert(all.end(), card.limits.begin(), card.limits.end());
  return "- " + fmt::format("{}", fmt::join(all, "\n- ")) + "\n";
}

}  // namespace

void withdraw_model(const std::filesystem::path& model) {
  std::filesystem::remove(checksums_file(model));
}

void publish_model(const std::filesystem::path& model, const ModelCard& card,
                   const Dataset& dataset) {
  LastValidation last = last_validation(card.trainings);
  for (const auto& [name, training] : card.parts) {
    for (const Figure& figure : last_validation(training).figures)
      last.figures.push_back({name + "_" + figure.name, figure.value});
  }
  write_file(model / "README.md",
             fmt::format("{}\n# {}\n\n{} Made by `x2ctpa {}`, version {}.\n\n"
                         "## Training data\n\n{}\n## Figures\n\n{}\n## Limits\n\n{}\n"
                         "## Recipe\n\n```yaml\n{}```\n\n## Files\n\n"
                         "`sha256sum --check SHA256SUMS` or `x2ctpa info` on the folder tells "
                         "whether it is as it was written.\n",
                         hub_head(card, dataset, last), card.title, card.what, card.command,
                         version(), data_table(dataset), validation_table(card, last),
                         limits_text(card), card.recipe));
  write_checksums(model);
}

}  // namespace x2ctpa
