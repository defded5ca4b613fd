#include "x2ctpa/data/preprocess.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <mutex>

#include "preprocess_case.h"
#include "threads.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/data/splits.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

struct Rejection {
  std::string source, reason_code, reason;
};

/// The outcome of one study: a record or a rejection.
struct Outcome {
  std::optional<CaseRecord> record;
  std::optional<Rejection> rejection;
  bool kept = false;
};

/// The options with the window of their preset: of the published CTPA set, of its params.py, and of
/// its LIDC set.
PreprocessOptions with_preset(PreprocessOptions options) {
  const std::string& preset = options.window_preset;
  auto set = [&](double min_hu, double max_hu) {
    options.window.min_hu = min_hu;
    options.window.max_hu = max_hu;
  };
  if (preset == "ctpa") set(-200, 500);
  if (preset == "wide") set(-100, 900);
  if (preset == "lung" || preset == "lidc") set(-1200, 600);
  return options;
}

void check(const PreprocessOptions& options) {
  if (options.window.max_hu <= options.window.min_hu) {
    throw Error(fmt::format("preprocess.window_max_hu must be above window_min_hu, found {} and {}",
                            options.window.max_hu, options.window.min_hu));
  }
  const size_t extents = options.field_of_view_mm.size();
  if (extents != 0 && extents != 3) {
    throw Error(fmt::format(
        "preprocess.field_of_view_mm: expected no value or three (x, y, z), found {}", extents));
  }
  if (extents != 0 && options.interpolation == "published") {
    throw Error(
        "preprocess.field_of_view_mm: expected none with preprocess.interpolation published, which "
        "stretches the box to the grid; choose cubic or linear for a fixed field of view");
  }
}

Outcome process(const Study& study, const PreprocessOptions& options, int64_t seed,
                const fs::path& out) {
  Outcome outcome;
  outcome.record = finished_case(out, study);
  outcome.kept = outcome.record.has_value();
  if (outcome.kept) return outcome;
  try {
    outcome.record = preprocess_case(study, options, seed, out);
    write_record(out, *outcome.record);
    for (const std::string& warning : outcome.record->warnings) {
      log_warning("case {}: {}", study.id, warning);
    }
  } catch (const RejectedStudy& e) {
    const fs::path& source = study.ct.empty() ? study.cxr : study.ct;
    const std::string reason = as_given(study, e.what());
    outcome.rejection = {source.empty() ? study.id : as_given(study, source.string()),
                         e.reason_code(), reason};
    log_warning("rejected {} ({}): {}", study.id, e.reason_code(), reason);
  }
  return outcome;
}

std::vector<Outcome> process_all(const std::vector<Study>& studies,
                                 const PreprocessOptions& options, int64_t seed,
                                 const fs::path& out) {
  std::vector<Outcome> outcomes(studies.size());
  const auto count = static_cast<int64_t>(studies.size());
  Progress progress("preprocess", count);
  std::mutex progress_mutex;
  const int64_t workers = options.workers > 0 ? options.workers : available_cores();
  for_each_parallel(count, workers, [&](int64_t i) {
    stop_if_interrupted();
    const auto n = static_cast<size_t>(i);
    outcomes[n] = process(studies[n], options, seed, out);
    const std::lock_guard lock(progress_mutex);
    progress.advance(1, studies[n].id);
  });
  progress.finish();
  return outcomes;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

/// Statistics over the training cases; those of all cases where training has no CT or no X-ray.
void add_statistics(const std::vector<Case>& cases, const std::vector<CaseRecord>& records,
                    DatasetInfo& info) {
  auto chosen = [&](auto has) {
    std::vector<const CaseRecord*> train, all;
    for (size_t i = 0; i < cases.size(); ++i) {
      if (!has(records[i])) continue;
      all.push_back(&records[i]);
      if (cases[i].split == "train") train.push_back(&records[i]);
    }
    return train.empty() ? all : train;
  };
  const auto with_ct = chosen([](const CaseRecord& r) { return !r.ct.empty(); });
  for (size_t axis = 0; axis < 3 && !with_ct.empty(); ++axis) {
    std::vector<double> spacing;
    for (const CaseRecord* record : with_ct) spacing.push_back(record->spacing_mm[axis]);
    info.typical_spacing_mm[axis] = median(std::move(spacing));
  }
  const auto with_cxr = chosen([](const CaseRecord& r) { return !r.cxr.empty(); });
  if (with_cxr.empty()) return;
  // Every X-ray has the same number of pixels, so means of means are exact.
  double mean = 0, mean_square = 0;
  for (const CaseRecord* record : with_cxr) {
    mean += record->cxr_mean / static_cast<double>(with_cxr.size());
    mean_square += record->cxr_mean_square / static_cast<double>(with_cxr.size());
  }
  info.cxr_mean = mean;
  // Blank pictures must not divide by zero later.
  info.cxr_std = std::sqrt(std::max(1e-6, mean_square - mean * mean));
}

void write_rejections(const fs::path& out, const std::vector<Outcome>& outcomes) {
  CsvTable table({"source", "reason_code", "reason"});
  for (const Outcome& outcome : outcomes) {
    if (const auto& r = outcome.rejection) table.add({r->source, r->reason_code, r->reason});
  }
  table.write(out / "rejected.csv");
}

void log_summary(const PreprocessResult& result, const std::vector<Case>& cases,
                 const fs::path& out) {
  auto count = [&](const char* split) {
    return std::count_if(cases.begin(), cases.end(),
                         [&](const Case& c) { return c.split == split; });
  };
  log_info("{}: {} cases (train {}, val {}, test {}), {} of them done before, {} rejected",
           out.string(), result.cases, count("train"), count("val"), count("test"), result.kept,
           result.rejected);
}

}  // namespace

void PreprocessOptions::describe(OptionList& options) {
  options.add("grid", &grid, "Voxels of every volume as depth, height, width.",
              {.min = 4, .max = 2048, .count = 3});
  options.add("box", &box,
              "What the grid is laid around: the lungs (by the manifest's mask where it names one), "
              "the body, that mask whatever it shows, or the whole scan.",
              {.choices = {"lungs", "body", "mask", "none"}});
  options.add("margin_mm", &margin_mm, "Margin around the box on every side in mm.", {.min = 0});
  options.add("field_of_view_mm", &field_of_view_mm,
              "Fixed extent x, y, z in mm around the centre of the box, which keeps true scale; "
              "empty: the box itself is stretched to the grid.",
              {.min = 1});
  options.add("interpolation", &interpolation,
              "Linear (averaging where the grid is coarser), cubic B-spline, or published: two cubic "
              "splines, to 1 mm and to the grid, equal to the published scipy steps.",
              {.choices = {"linear", "cubic", "published"}});
  options.add("window", &window_preset,
              "A window by name, in place of window_min_hu and window_max_hu: ctpa (-200 to 500), wide "
              "(-100 to 900), lung or lidc (-1200 to 600).",
              {.choices = {"custom", "ctpa", "wide", "lung", "lidc"}});
  window.describe(options);
  options.add("cxr_size", &cxr_size, "Side of the square X-rays in pixels.",
              {.min = 8, .max = 4096});
  options.section("cxr", cxr);
  options.add("cxr_from_ct", &cxr_from_ct,
              "Render X-rays from the CTs: for no study, for those without an X-ray, or for all.",
              {.choices = {"none", "missing", "all"}});
  options.section("drr", drr);
  geometry.describe(options);
  options.add("splits", &splits, "Shares of patients in train, val and test.",
              {.min = 0, .count = 3});
  options.add("workers", &workers, "Studies processed at a time; 0: one per core.",
              {.min = 0, .max = 1024});
  input.describe(options);
}

PreprocessResult preprocess(const std::vector<Study>& studies, const PreprocessOptions& given,
                            int64_t seed, const fs::path& out, bool force) {
  const PreprocessOptions options = with_preset(given);
  check(options);
  if (options.cxr_from_ct != "none" && options.drr.view == "ap") {
    log_warning(
        "preprocess.drr.view is ap: models that project X-ray features into the volume do it along "
        "a beam from the back (pa)");
  }
  claim_folder(out, options, seed, force);
  const std::vector<Outcome> outcomes = process_all(studies, options, seed, out);
  write_rejections(out, outcomes);

  PreprocessResult result;
  std::vector<Case> cases;
  std::vector<CaseRecord> records;
  for (size_t i = 0; i < studies.size(); ++i) {
    const Outcome& outcome = outcomes[i];
    result.rejected += outcome.rejection.has_value();
    result.kept += outcome.kept;
    if (!outcome.record) continue;
    records.push_back(*outcome.record);
    cases.push_back({studies[i].id, studies[i].patient_id, studies[i].split, studies[i].pe,
                     records.back().ct, records.back().cxr});
  }
  if (cases.empty()) {
    throw Error(fmt::format("none of {} studies is usable; {} says why for each", studies.size(),
                            (out / "rejected.csv").string()),
                ExitCode::no_data);
  }
  assign_splits(cases, {options.splits[0], options.splits[1], options.splits[2]}, seed);
  result.cases = static_cast<int64_t>(cases.size());
  result.info.grid_dhw = {options.grid[0], options.grid[1], options.grid[2]};
  result.info.window = options.window;
  result.info.cxr_size = options.cxr_size;
  result.info.geometry = options.geometry;
  add_statistics(cases, records, result.info);
  write_dataset(out, result.info, cases);
  log_summary(result, cases, out);
  return result;
}

}  // namespace x2ctpa
