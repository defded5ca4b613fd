#include "x2ctpa/data/preprocess/preprocess.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "data/preprocess/dataset_lock.h"
#include "data/preprocess/intensity.h"
#include "data/preprocess/preprocess_state.h"
#include "data/preprocess/threads.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/interrupt.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/utf8.h"
#include "x2ctpa/data/preprocess/findings.h"
#include "x2ctpa/data/preprocess/splits.h"
#include "x2ctpa/imaging/dicom/dicom_series.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

using Clock = std::chrono::steady_clock;

void check(const PreprocessOptions& options) {
  check_options(options);
  const size_t extents = options.field_of_view_mm.size();
  if (extents != 0 && extents != 3) {
    throw Error(fmt::format(
        "preprocess.field_of_view_mm: expected no value or three (x, y, z), found {}", extents));
  }
  if (extents != 0 && options.interpolation == GridInterpolation::published) {
    throw Error(
        "preprocess.field_of_view_mm: expected none with preprocess.interpolation published, which "
        "stretches the box to the grid; choose cubic or linear for a fixed field of view");
  }
  if (options.folds == 1) throw Error("preprocess.folds: expected 0 or at least 2, found 1");
  // Found before the work, not after it.
  if (!options.splits_file.empty()) read_splits(options.splits_file);
}

// What the list of studies alone tells is said before the work.
void check_splits(const std::vector<Study>& studies, const PreprocessOptions& options) {
  std::vector<Case> cases;
  for (const Study& study : studies) cases.push_back({study.id, study.patient_id, study.split});
  check_given_splits(
      options.splits_file.empty() ? std::vector<SplitRow>() : read_splits(options.splits_file),
      std::move(cases));
}

// One file for two patients can come to stand in training and in test.
void warn_of_shared_files(const std::vector<Study>& studies) {
  std::map<std::string, std::pair<const Study*, const Study*>> first_two;
  const auto add = [&](const fs::path& file, const std::string& series, const Study& study) {
    if (file.empty()) return;
    auto& [first, second] =
        first_two[fs::absolute(file).lexically_normal().string() + "\n" + series];
    if (first == nullptr) {
      first = &study;
    } else if (second == nullptr && first->patient_id != study.patient_id) {
      second = &study;
    }
  };
  for (const Study& study : studies) {
    add(study.ct, study.ct_series ? study.ct_series->uid : study.ct_series_uid, study);
    add(study.cxr, "", study);
    add(study.cxr_lateral, "", study);
  }
  RepeatedWarning shared;
  for (const auto& [key, two] : first_two) {
    const auto& [first, second] = two;
    if (second == nullptr) continue;
    shared.say(fmt::format(
        "{} belongs to two patients, {} (case {}) and {} (case {}): it may come to stand in "
        "training and in test. Give both cases one patient_id, or mend the path",
        as_given(*first, key.substr(0, key.find('\n'))), first->patient_id, first->id,
        second->patient_id, second->id));
  }
  shared.finish("files belong to two patients");
}

// One study of this call's share. True when it was kept from an earlier call.
bool process(const Study& study, const PreprocessOptions& options, int64_t seed,
             const FolderState& folder, RepeatedWarning& rejected) {
  if (folder.finished(study)) return true;
  try {
    const CaseRecord record = preprocess_case(study, options, seed, folder.out());
    folder.write(record);
    for (const std::string& warning : record.warnings) log_debug("case {}: {}", study.id, warning);
  } catch (const RejectedStudy& e) {
    const fs::path& xray = study.cxr.empty() ? study.cxr_lateral : study.cxr;
    const fs::path& source = study.ct.empty() ? xray : study.ct;
    const std::string reason = as_given(study, e.what());
    folder.write(
        Rejection{study.id, as_given(study, study.ct.string()), as_given(study, study.cxr.string()),
                  as_given(study, study.cxr_lateral.string()), valid_utf8(study.mask.string()),
                  masks_text(study), source.empty() ? study.id : as_given(study, source.string()),
                  e.reason_code(), reason});
    rejected.say(fmt::format("rejected {} ({}): {}", study.id, e.reason_code(), reason));
  }
  return false;
}

// Returns how many were kept.
int64_t process_all(const std::vector<const Study*>& studies, const PreprocessOptions& options,
                    int64_t seed, const FolderState& folder) {
  const auto count = int64_t(studies.size());
  Progress progress("preprocess", count);
  std::mutex mutex;
  int64_t kept = 0;
  RepeatedWarning rejected;
  const auto start = Clock::now();
  const int64_t workers = options.workers > 0 ? options.workers : available_cores();
  for_each_parallel(count, workers, [&](int64_t i) {
    stop_if_interrupted();
    const Study& study = *studies[size_t(i)];
    const bool was_kept = process(study, options, seed, folder, rejected);
    const std::lock_guard lock(mutex);
    kept += was_kept;
    progress.advance(1, study.id);
  });
  progress.finish();
  rejected.finish("studies were rejected, as rejected.csv says");
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  log_info(
      "{} in {:.1f} s ({:.2f} per second, {} at a time), {} of them done before; peak memory {} MB",
      counted(int64_t(count), "study", "studies"), seconds, double(count) / std::max(seconds, 1e-3),
      std::min(workers, count), kept, peak_memory_bytes() >> 20);
  return kept;
}

void lock(DatasetLock& lock, const PreprocessCall& call, const fs::path& out) {
  const bool alone = call.shard.whole();
  // A process that just writes the index leaves soon.
  for (int attempt = 0; attempt < 20; ++attempt) {
    if (lock.take(alone ? DatasetLock::Kind::exclusive : DatasetLock::Kind::shared)) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  throw Error(
      fmt::format("another x2ctpa preprocess is working in {}{}; wait for it, or give each "
                  "of several its --shard i/n",
                  out.string(), alone ? "" : " on the whole of it"));
}

// What is done of all studies, whoever did it.
struct Progressed {
  std::vector<FinishedStudy> finished;
  std::vector<Rejection> rejections;
  int64_t open = 0;  // neither
};

Progressed progressed(const std::vector<const Study*>& studies, const FolderState& folder) {
  Progressed done;
  for (const Study* study : studies) {
    if (auto record = folder.finished(*study)) {
      done.finished.push_back({study, std::move(*record)});
    } else if (auto rejection = folder.rejected(*study)) {
      done.rejections.push_back(std::move(*rejection));
    } else {
      ++done.open;
    }
  }
  return done;
}

// What was doubtful, one line for each code, whether the cases were made now or before.
void report_warnings(const std::vector<FinishedStudy>& finished) {
  struct Doubt {
    std::vector<std::string> ids;
    std::string example;
  };
  std::map<std::string, Doubt> doubts;
  for (const auto& [study, record] : finished) {
    for (const std::string& warning : record.warnings) {
      const auto colon = warning.find(": ");
      Doubt& doubt = doubts[warning.substr(0, colon)];
      if (!doubt.ids.empty() && doubt.ids.back() == study->id) continue;
      doubt.ids.push_back(study->id);
      if (doubt.example.empty() && colon != std::string::npos)
        doubt.example = warning.substr(colon + 2);
    }
  }
  constexpr size_t most_named = 5;
  for (auto& [code, doubt] : doubts) {
    const size_t count = doubt.ids.size();
    doubt.ids.resize(std::min(count, most_named));
    log_warning("{} in {} of {} ({}{}): {}. {}", code, count,
                counted(int64_t(finished.size()), "case"), fmt::join(doubt.ids, ", "),
                count > most_named ? ", ..." : "", doubt.example, advice_for(code));
  }
}

void remove_left_behind(const DatasetLock& lock, const fs::path& out) {
  if (!lock.real()) return;  // others may be writing
  for (const char* folder : {"", "ct", "cxr", "masks", "records", "rejections"})
    remove_partial_files(out / folder);
}

PreprocessResult result_of(const Progressed& done, int64_t kept) {
  PreprocessResult result;
  result.cases = int64_t(done.finished.size());
  result.rejected = int64_t(done.rejections.size());
  result.kept = kept;
  return result;
}

}  // namespace

void PreprocessOptions::describe(OptionList& options) {
  options.add("grid", &grid, "Voxels of every volume as depth, height, width.",
              {.min = 4, .max = 2048, .count = 3});
  options.add(
      "modality", &modality,
      "What the volumes are: CT in HU, MR, or another modality's values as they are stored.");
  options.add("nifti_form", &nifti_form,
              "Where qform and sform of a NIfTI file differ: auto takes the sform, and refuses the "
              "file where they name other sides of the patient; qform or sform holds always.");
  options.add(
      "box", &box,
      "What the grid is laid around: the lungs (by the manifest's mask where it names one), "
      "the body, that mask whatever it shows, or the whole scan.");
  options.add("margin_mm", &margin_mm, "Margin around the box on every side in mm.", {.min = 0});
  options.add("field_of_view_mm", &field_of_view_mm,
              "Fixed extent x, y, z in mm around the centre of the box, which keeps true scale; "
              "empty: the box itself is stretched to the grid.",
              {.min = 1});
  options.add(
      "interpolation", &interpolation,
      "Linear (averaging where the grid is coarser), cubic B-spline, or published: two cubic "
      "splines, to 1 mm and to the grid, equal to the published scipy steps.");
  options.add("intensity", &intensity,
              "What maps values to the models' range: the window below, the percentiles of each "
              "volume, or those of the training volumes (the median over them).");
  options.add(
      "window", &window_preset,
      "A window by name, in place of window_min_hu and window_max_hu: ctpa (-200 to 500), wide "
      "(-100 to 900), lung or lidc (-1200 to 600).");
  window.describe(options);
  options.add("percentiles", &percentiles, "Low and high percentile of the values of a volume.",
              {.min = 0, .max = 100, .count = 2});
  options.add(
      "source", &source,
      "What the 2D pictures are: chest X-rays, which are checked to be some, or any picture.");
  options.add("cxr_size", &cxr_size, "Side of the square X-rays in pixels.",
              {.min = 8, .max = 4096});
  options.section("cxr", cxr);
  options.add("cxr_from_ct", &cxr_from_ct,
              "Render X-rays from the CTs: for no study, for those without an X-ray, or for all.");
  options.section("drr", drr);
  geometry.describe(options);
  options.add("lateral_source_to_centre_mm", &lateral_source_to_centre_mm,
              "The same of lateral X-rays, whose detector stands beside the patient.",
              {.min = 1, .unwritten_at = "1550"});
  options.add("splits", &splits, "Shares of patients in train, val and test.",
              {.min = 0, .count = 3});
  options.add("folds", &folds,
              "Folds of a cross-validation over the patients outside the test set; 0: none.",
              {.min = 0, .max = 100});
  options.add("splits_file", &splits_file,
              "CSV with split, id or patient_id, and perhaps fold, such as another dataset's "
              "splits.csv; empty: the manifest's splits, else dealt by the shares.");
  options.add("workers", &workers, "Studies processed at a time; 0: one per core.",
              {.min = 0, .max = 1024});
  input.describe(options);
}

PreprocessResult preprocess(const std::vector<Study>& studies, const PreprocessOptions& given,
                            int64_t seed, const fs::path& out, const PreprocessCall& call) {
  const PreprocessOptions options = with_preset(given);
  check(options);
  if (options.cxr_from_ct != CxrFromCt::none && options.drr.view == BeamView::ap) {
    log_warning(
        "preprocess.drr.view is ap: models that project X-ray features into the volume do it along "
        "a beam from the back (pa)");
  }
  check_splits(studies, options);
  warn_of_shared_files(studies);
  std::vector<const Study*> all, mine;
  for (size_t i = 0; i < studies.size(); ++i) {
    all.push_back(&studies[i]);
    if (call.shard.owns(int64_t(i))) mine.push_back(&studies[i]);
  }
  DatasetLock dataset_lock(out);
  lock(dataset_lock, call, out);
  const FolderState folder(out, options, seed);
  folder.claim(call, mine);
  if (call.shard.whole()) remove_left_behind(dataset_lock, out);
  const int64_t kept = process_all(mine, options, seed, folder);

  // Others that still work hold the lock; the last of them will get it.
  const bool alone = dataset_lock.take(DatasetLock::Kind::exclusive);
  const Progressed done = progressed(alone ? all : mine, folder);
  PreprocessResult result = result_of(done, kept);
  report_warnings(done.finished);
  if (call.shard.whole() && done.open > 0)
    throw Error(
        fmt::format("{}: {} of {} studies were worked on and left no trace, so there is no "
                    "index. Was the folder changed meanwhile? Run the command again.",
                    out.string(), done.open, all.size()));
  if (!alone || done.open > 0) {
    result.complete = false;
    log_info("{}: share {} of {} is done; the index is written when the other shares are",
             out.string(), call.shard.index + 1, call.shard.count);
    return result;
  }
  remove_left_behind(dataset_lock, out);
  result.info = write_index(out, options, seed, done.finished, done.rejections);
  log_info("{} rejected{}", counted(int64_t(result.rejected), "study", "studies"),
           result.rejected > 0 ? fmt::format(", see {}", (out / "rejected.csv").string()) : "");
  return result;
}

}  // namespace x2ctpa
