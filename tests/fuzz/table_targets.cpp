// Tables, experiments, datasets, tensors and checkpoints.
#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "evaluation/steps.h"
#include "fuzz/targets.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/device.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/options.h"
#include "x2ctpa/core/safetensors.h"
#include "x2ctpa/core/utf8.h"
#include "x2ctpa/data/dataset.h"
#include "x2ctpa/data/preprocess/preprocess.h"
#include "x2ctpa/data/preprocess/splits.h"
#include "x2ctpa/data/studies/manifest.h"
#include "x2ctpa/imaging/phantom/phantom.h"
#include "x2ctpa/training/checkpoint.h"

namespace x2ctpa::fuzz {
namespace {

namespace fs = std::filesystem;

// What is written is read as the same.
void csv(std::string_view bytes, const fs::path&) {
  const CsvTable table = CsvTable::parse(std::string(bytes), "a.csv");
  const CsvTable again = CsvTable::parse(table.text(), "b.csv");
  require(again.columns() == table.columns() && again.size() == table.size(), "another table");
  const std::set<std::string> names(table.columns().begin(), table.columns().end());
  for (size_t row = 0; row < table.size(); ++row)
    for (const auto& name : names)
      require(again.at(row, name) == table.at(row, name), "another field");
}

void manifest(std::string_view bytes, const fs::path& folder) {
  const auto studies = read_manifest(put(bytes, folder, "manifest.csv"));
  std::set<std::string> ids;
  for (const Study& study : studies) {
    require(ids.insert(study.id).second, "an id that is there twice");
    require(safe_id(study.id) == study.id, "an id that is no safe name");
    require(valid_utf8(study.patient_id) == study.patient_id, "a patient that is no UTF-8");
  }
}

void splits(std::string_view bytes, const fs::path& folder) {
  read_splits(put(bytes, folder, "splits.csv"));
}

// The first line that is "---" parts dataset.json from index.csv. A refusal for the hash tells the
// right one, and with that the set is opened again.
void dataset(std::string_view bytes, const fs::path& folder) {
  const size_t at = std::min(bytes.find("\n---\n"), bytes.size());
  std::string fields(bytes.substr(0, at));
  put(fields, folder, "dataset.json");
  put(bytes.substr(std::min(at + 5, bytes.size())), folder, "index.csv");
  try {
    Dataset::open(folder);
  } catch (const Error& e) {
    const std::string text = e.what();
    const std::string stated = "says hash ", found = "index.csv have ";
    const size_t begin = text.find(stated) + stated.size(), right = text.find(found);
    if (right == std::string::npos) return;
    const std::string hash = text.substr(begin, text.find(',', begin) - begin);
    if (const size_t place = fields.find('"' + hash + '"'); place != std::string::npos)
      fields.replace(place + 1, hash.size(), text.substr(right + found.size(), 64));
    put(fields, folder, "dataset.json");
    Dataset::open(folder);
  }
}

// Sections of every kind of value; the others are declared alike.
void experiment(std::string_view bytes, const fs::path& folder) {
  RuntimeOptions runtime;
  PhantomOptions phantom;
  PreprocessOptions preprocess;
  OptionList options;
  options.section("runtime", runtime);
  options.section("phantom", phantom);
  options.section("preprocess", preprocess);
  options.load_yaml(put(bytes, folder, "a.yaml"));
  const std::string text = options.to_yaml();
  options.load_yaml(put(text, folder, "b.yaml"));
  require(options.to_yaml() == text, "options that change when they are read again");
}

void safetensors(std::string_view bytes, const fs::path& folder) {
  const fs::path file = put(bytes, folder, "a.safetensors");
  for (const auto& [name, tensor] : read_safetensors(file))
    if (tensor.numel() > 0) tensor.contiguous().view({-1}).view(at::kByte).sum();
  read_safetensors_metadata(file);
}

void checkpoint(std::string_view bytes, const fs::path& folder) {
  const fs::path file = put(bytes, folder, "step-000000001.safetensors");
  put(sha256_of_file(file), folder, "step-000000001.safetensors.sha256");
  newest_checkpoint(folder);
}

void scores(std::string_view bytes, const fs::path& folder) {
  EvaluationInputs inputs;
  inputs.scores.push_back({"ctpa", put(bytes, folder, "scores.csv")});
  EvaluateOptions options;
  options.bootstrap = 20;
  std::vector<Problem> problems;
  for (const ArmResult& arm : evaluate_scores(inputs, options, 1, problems).arms)
    for (const double score : arm.scores) require(std::isfinite(score), "an unsound score");
}

constexpr std::array targets{Target{"csv", csv},
                             Target{"manifest", manifest},
                             Target{"splits", splits},
                             Target{"dataset", dataset},
                             Target{"experiment", experiment},
                             Target{"safetensors", safetensors},
                             Target{"checkpoint", checkpoint},
                             Target{"scores", scores}};

}  // namespace

std::span<const Target> table_targets() { return targets; }

}  // namespace x2ctpa::fuzz
