// Finding what there is to evaluate.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "evaluation/steps.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/file_kinds.h"
#include "x2ctpa/data/studies/volume_masks.h"
#include "x2ctpa/imaging/volume_io.h"

namespace x2ctpa {
namespace {

namespace fs = std::filesystem;

// In the order of tables: from what an X-ray alone tells to what a CTPA tells.
constexpr const char* arms[] = {"cxr", "generated", "transfer", "fused", "distilled", "ctpa"};

void choose_window(EvaluationInputs& inputs, const EvaluateOptions& options,
                   const Dataset* dataset) {
  if (!options.window_hu.empty()) {
    inputs.window = {options.window_hu[0], options.window_hu[1]};
    inputs.window_source = "evaluate.window_hu";
  } else if (dataset != nullptr) {
    inputs.window = dataset->info().window;
    inputs.window_source = "dataset";
  } else {
    inputs.window_source = "default";
  }
  if (!(inputs.window.max_hu > inputs.window.min_hu)) {
    throw Error(
        fmt::format("evaluate.window_hu: expected [min, max] with min < max, found [{}, {}]",
                    inputs.window.min_hu, inputs.window.max_hu));
  }
}

// A model folder is where the run left one; nothing otherwise.
fs::path if_there(const fs::path& folder) {
  return fs::exists(folder / "config.yaml") ? folder : fs::path();
}

void add_sample(EvaluationInputs& inputs, const CsvTable& table, size_t row,
                const fs::path& samples, const Case& c, const fs::path& dataset) {
  SamplePair pair;
  pair.case_id = c.id;
  pair.patient_id = c.patient_id;
  pair.generated = samples / table.at(row, "file");
  pair.real = dataset / c.ct;
  if (!c.cxr.empty()) pair.cxr = dataset / c.cxr;
  const fs::path mask = inputs.run / "phantom" / c.id / "artery_mask.nii.gz";
  if (fs::exists(mask)) pair.vessels = mask;
  for (const char* kind : mask_kinds) {
    if (const fs::path file = dataset / mask_file(c.id, kind); fs::exists(file))
      pair.masks.emplace(kind, file);
  }
  pair.sampler = table.get(row, "sampler");
  pair.steps = table.get(row, "steps");
  pair.seed = table.get(row, "seed");
  pair.guidance_scale = table.get(row, "guidance_scale");
  inputs.pairs.push_back(pair);
}

// Rows of samples.csv of the wanted split; the first sample of a case counts.
void pair_samples(EvaluationInputs& inputs, const fs::path& samples, const Dataset& dataset,
                  const std::string& split) {
  const CsvTable table = CsvTable::read(samples / "samples.csv");
  table.require_columns({"case_id", "file"});
  std::map<std::string, Case> cases;
  for (const Case& c : dataset.cases()) cases.emplace(c.id, c);
  std::map<std::string, size_t> seen;
  size_t other_splits = 0;
  for (size_t row = 0; row < table.size(); ++row) {
    const std::string& id = table.at(row, "case_id");
    const auto found = cases.find(id);
    const std::string name = table.get(row, "name", id);
    if (found == cases.end()) {
      inputs.problems.push_back({"unpaired sample", name, "the dataset has no such case"});
    } else if (split != "all" && found->second.split != split) {
      ++other_splits;
    } else if (found->second.ct.empty()) {
      inputs.problems.push_back({"unpaired sample", name, "the case has no true volume"});
    } else if (const auto [place, first] = seen.emplace(id, inputs.pairs.size()); !first) {
      inputs.pairs[place->second].further.push_back(samples / table.at(row, "file"));
    } else {
      add_sample(inputs, table, row, samples, found->second, dataset.folder());
    }
  }
  if (other_splits > 0) {
    inputs.problems.push_back(
        {"other split", "samples.csv",
         fmt::format("{} outside of split {} not evaluated",
                     counted(int64_t(other_splits), "sample of a case", "samples of cases"),
                     other_splits == 1 ? split + " is" : split + " are")});
  }
  for (const SamplePair& pair : inputs.pairs) {
    if (pair.further.empty()) continue;
    inputs.problems.push_back({"further sample", pair.case_id,
                               fmt::format("the first of {} samples is compared with the true "
                                           "volume; all count for diversity",
                                           pair.further.size() + 1)});
  }
  for (const Case& c : dataset.split(split)) {
    if (!c.ct.empty() && seen.count(c.id) == 0) {
      inputs.problems.push_back(
          {"missing sample", c.id, "the split has this case, samples.csv does not"});
    }
  }
}

void read_reconstruction(EvaluationInputs& inputs, const fs::path& file) {
  if (!fs::exists(file)) return;
  const CsvTable table = CsvTable::read(file);
  table.require_columns({"psnr_db"});
  double sum = 0;
  for (size_t row = 0; row < table.size(); ++row) {
    try {
      const double value = std::stod(table.at(row, "psnr_db"));
      if (!std::isfinite(value)) throw Error("not finite");
      sum += value;
      ++inputs.reconstruction_cases;
    } catch (const std::exception&) {
      inputs.problems.push_back(
          {"unreadable number", table.get(row, "case_id", "?"),
           fmt::format("psnr_db is \"{}\" in {}", table.at(row, "psnr_db"), file.string()), true});
    }
  }
  if (inputs.reconstruction_cases > 0)
    inputs.reconstruction_psnr_db = sum / double(inputs.reconstruction_cases);
}

bool is_xray_named(const fs::path& file) { return is_picture_file(file) || is_dicom_named(file); }

// Files of a folder by stem; a stem that occurs twice keeps its first file by name.
std::map<std::string, fs::path> files_in(const fs::path& folder, bool (*wanted)(const fs::path&),
                                         std::vector<Problem>& problems) {
  if (!fs::is_directory(folder))
    throw Error(fmt::format("evaluate: expected a folder, found none at {}", folder.string()),
                ExitCode::no_data);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (wanted(entry.path())) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::map<std::string, fs::path> volumes;
  for (const auto& file : files) {
    if (!volumes.emplace(file_stem(file), file).second) {
      problems.push_back(
          {"duplicate", file.filename().string(), "another file of this name was taken"});
    }
  }
  return volumes;
}

void pair_folders(EvaluationInputs& inputs, const PlainFolders& folders) {
  const auto made = files_in(folders.generated, is_volume_file, inputs.problems),
             truth = files_in(folders.real, is_volume_file, inputs.problems);
  std::map<std::string, fs::path> cxr, vessels;
  if (!folders.cxr.empty()) cxr = files_in(folders.cxr, is_xray_named, inputs.problems);
  if (!folders.vessels.empty())
    vessels = files_in(folders.vessels, is_volume_file, inputs.problems);
  for (const auto& [stem, file] : made) {
    const auto found = truth.find(stem);
    if (found == truth.end()) {
      inputs.problems.push_back({"unpaired generated", stem, "no true volume of this name"});
      continue;
    }
    SamplePair pair;
    pair.case_id = pair.patient_id = stem;
    pair.generated = file;
    pair.real = found->second;
    if (const auto picture = cxr.find(stem); picture != cxr.end()) pair.cxr = picture->second;
    if (const auto mask = vessels.find(stem); mask != vessels.end()) pair.vessels = mask->second;
    if (!cxr.empty() && pair.cxr.empty())
      inputs.problems.push_back({"unpaired CXR", stem, "no X-ray of this name"});
    inputs.pairs.push_back(pair);
  }
  for (const auto& [stem, file] : truth) {
    if (made.count(stem) == 0)
      inputs.problems.push_back({"unpaired real", stem, "no generated volume of this name"});
  }
}

void add_score_tables(EvaluationInputs& inputs, const std::vector<std::string>& scores) {
  std::set<std::string> names;
  for (const auto& entry : scores) {
    const size_t equals = entry.find('=');
    if (equals == std::string::npos || equals == 0) {
      throw Error(fmt::format("--scores: expected NAME=FILE.csv, found \"{}\"", entry));
    }
    const ScoreTable table{entry.substr(0, equals), entry.substr(equals + 1)};
    if (!names.insert(table.name).second)
      throw Error(fmt::format("--scores: the name {} is given twice", table.name));
    if (!fs::exists(table.file))
      throw Error(fmt::format("--scores: there is no file {}", table.file.string()),
                  ExitCode::no_data);
    inputs.scores.push_back(table);
  }
}

}  // namespace

Volume read_oriented(const fs::path& file) { return oriented_to_lps(read_volume(file)); }

EvaluationInputs inputs_of_run(const fs::path& run, const EvaluateOptions& options) {
  if (!fs::is_directory(run)) {
    throw Error(
        fmt::format("evaluate: there is no run folder {}. Give --run, or --generated and --real.",
                    run.string()),
        ExitCode::no_data);
  }
  EvaluationInputs inputs;
  inputs.run = run;
  inputs.title = fs::absolute(run).lexically_normal().filename().string();
  if (inputs.title.empty()) inputs.title = run.string();
  const bool has_samples = fs::exists(run / "samples" / "samples.csv");
  std::optional<Dataset> dataset;
  if (fs::exists(run / "dataset" / "dataset.json")) dataset = Dataset::open(run / "dataset");
  choose_window(inputs, options, dataset ? &*dataset : nullptr);
  if (dataset) {
    inputs.dataset_hash = dataset->info().hash;
    inputs.info = dataset->info();
    inputs.dataset = dataset;
    for (const Case& c : dataset->cases()) inputs.labels.emplace(c.id, c.pe);
    for (const Case& c : dataset->split("train")) {
      if (c.ct.empty()) continue;
      inputs.training_volumes.push_back(dataset->folder() / c.ct);
      inputs.training_cases.push_back(c);
    }
    if (has_samples) pair_samples(inputs, run / "samples", *dataset, options.split);
  } else if (has_samples) {
    inputs.problems.push_back({"missing dataset", "dataset",
                               "samples cannot be compared without the run's dataset folder",
                               true});
  }
  if (!has_samples)
    inputs.problems.push_back({"missing samples", "samples/samples.csv", "no image metrics"});
  for (const char* arm : arms) {
    const fs::path file = run / "classifier" / arm / "scores.csv";
    if (fs::exists(file)) inputs.scores.push_back({arm, file});
  }
  inputs.autoencoder = if_there(run / "vae" / "model");
  inputs.model = if_there(run / "diffusion" / "model");
  read_reconstruction(inputs, run / "vae" / "reconstruction.csv");
  return inputs;
}

EvaluationInputs inputs_of_folders(const PlainFolders& folders, const EvaluateOptions& options) {
  EvaluationInputs inputs;
  inputs.title = folders.generated.empty() ? score_tables_title : folders.generated.string();
  choose_window(inputs, options, nullptr);
  inputs.info.window = inputs.window;
  if (!folders.generated.empty()) pair_folders(inputs, folders);
  if (!folders.training.empty()) {
    for (const auto& [stem, file] : files_in(folders.training, is_volume_file, inputs.problems))
      inputs.training_volumes.push_back(file);
  }
  add_score_tables(inputs, folders.scores);
  return inputs;
}

}  // namespace x2ctpa
