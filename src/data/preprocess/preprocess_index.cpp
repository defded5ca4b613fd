// From records to the index: splits, statistics and the files that make a folder a dataset.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <utility>
#include <vector>

#include "data/preprocess/intensity.h"
#include "data/preprocess/preprocess_state.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/data/preprocess/splits.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// Statistics over the training cases; those of all cases where training has no CT or no X-ray.
void add_statistics(const std::vector<Case>& cases, const std::vector<FinishedStudy>& finished,
                    DatasetInfo& info) {
  auto chosen = [&](auto has) {
    std::vector<const CaseRecord*> train, all;
    for (size_t i = 0; i < cases.size(); ++i) {
      if (!has(finished[i].record)) continue;
      all.push_back(&finished[i].record);
      if (cases[i].split == "train") train.push_back(&finished[i].record);
    }
    return train.empty() ? all : train;
  };
  const auto with_ct = chosen([](const CaseRecord& r) { return !r.ct.empty(); });
  for (size_t axis = 0; axis < 3 && !with_ct.empty(); ++axis) {
    std::vector<double> spacing;
    for (const CaseRecord* record : with_ct) spacing.push_back(record->spacing_mm[axis]);
    info.typical_spacing_mm[axis] = median(std::move(spacing));
  }
  for (const size_t v : {0, 1}) {
    const auto with_cxr = chosen([&](const CaseRecord& r) { return !r.xrays[v].file.empty(); });
    if (with_cxr.empty()) continue;
    // Every X-ray has the same number of pixels, so means of means are exact.
    double mean = 0, mean_square = 0;
    for (const CaseRecord* record : with_cxr) {
      mean += record->xrays[v].mean / double(with_cxr.size());
      mean_square += record->xrays[v].mean_square / double(with_cxr.size());
    }
    (v == 0 ? info.cxr_mean : info.lateral_mean) = mean;
    // Blank pictures must not divide by zero later.
    (v == 0 ? info.cxr_std : info.lateral_std) =
        std::sqrt(std::max(1e-6, mean_square - mean * mean));
  }
}

// The window of the dataset, in its unit.
IntensityWindow window_of(const PreprocessOptions& options, const std::vector<Case>& cases,
                          const std::vector<FinishedStudy>& finished) {
  if (options.intensity == Intensity::volume_percentiles) return {0, percentile_scale};
  if (options.intensity == Intensity::window) return options.window;
  std::vector<double> low, high;
  for (const bool train_only : {true, false}) {
    for (size_t i = 0; i < cases.size(); ++i) {
      if (cases[i].ct.empty() || (train_only && cases[i].split != "train")) continue;
      low.push_back(finished[i].record.low_value);
      high.push_back(finished[i].record.high_value);
    }
    if (!low.empty()) break;
  }
  if (low.empty()) return options.window;
  return {median(std::move(low)), median(std::move(high))};
}

void write_rejections(const fs::path& out, const std::vector<Rejection>& rejections) {
  CsvTable table({"source", "reason_code", "reason"});
  for (const Rejection& r : rejections) table.add({r.source, r.reason_code, r.reason});
  table.write(out / "rejected.csv");
}

void log_splits(const std::vector<Case>& cases, const fs::path& out) {
  auto count = [&](const char* split) {
    return std::count_if(cases.begin(), cases.end(),
                         [&](const Case& c) { return c.split == split; });
  };
  log_info("{}: {} (train {}, val {}, test {})", out.string(),
           counted(int64_t(cases.size()), "case"), count("train"), count("val"), count("test"));
}

// A part that was to have cases and has none is easily overlooked until a training lacks it.
void warn_of_empty_splits(const std::vector<Case>& cases, const PreprocessOptions& options) {
  static const std::array<std::pair<const char*, const char*>, 3> splits{
      {{"train", "there is nothing to train on"},
       {"val", "no training can tell when to stop or which network is the best"},
       {"test", "sample and evaluate find nothing, unless another split is named"}}};
  for (size_t i = 0; i < splits.size(); ++i) {
    const auto& [name, consequence] = splits[i];
    const bool empty = std::none_of(cases.begin(), cases.end(),
                                    [&](const Case& c) { return c.split == splits[i].first; });
    if (empty && options.splits[i] > 0)
      log_warning(
          "no case is in the split {}: {}. There are too few patients for preprocess.splits, or "
          "the splits were given; change either, and add --resplit to keep the cases.",
          name, consequence);
  }
}

// Splits and folds, in this order: the file's, the manifest's, dealt.
void assign(std::vector<Case>& cases, const PreprocessOptions& options, int64_t seed) {
  if (!options.splits_file.empty())
    apply_splits(read_splits(options.splits_file), options.splits_file, cases);
  SplitFractions shares{options.splits[0], options.splits[1], options.splits[2]};
  assign_splits(cases, shares, seed);
  if (options.folds > 0) assign_folds(cases, options.folds, seed);
}

}  // namespace

DatasetInfo write_index(const fs::path& out, const PreprocessOptions& options, int64_t seed,
                        const std::vector<FinishedStudy>& finished,
                        const std::vector<Rejection>& rejections) {
  write_rejections(out, rejections);
  if (finished.empty()) {
    throw Error(fmt::format("none of {} is usable; {} says why for each",
                            counted(int64_t(rejections.size()), "study", "studies"),
                            (out / "rejected.csv").string()),
                ExitCode::no_data);
  }
  std::vector<Case> cases;
  for (const auto& [study, record] : finished) {
    const auto& [frontal, lateral] = record.xrays;
    cases.push_back({study->id,
                     study->patient_id,
                     study->split,
                     study->pe,
                     record.ct,
                     frontal.file,
                     {},
                     lateral.file});
    cases.back().groups = study->groups;
  }
  assign(cases, options, seed);
  DatasetInfo info;
  info.grid_dhw = {options.grid[0], options.grid[1], options.grid[2]};
  info.modality = options.modality;
  info.intensity = options.intensity;
  info.unit = intensity_unit(options);
  info.window = window_of(options, cases, finished);
  info.source = options.source;
  info.cxr_size = options.cxr_size;
  info.geometry = options.geometry;
  add_statistics(cases, finished, info);
  if (info.views() == CxrViews::both)
    info.lateral_source_to_centre_mm = options.lateral_source_to_centre_mm;
  write_splits(cases, out / "splits.csv");
  write_dataset(out, info, cases);
  log_splits(cases, out);
  warn_of_empty_splits(cases, options);
  return info;
}

}  // namespace x2ctpa
