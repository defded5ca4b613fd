// What a run folder holds, counted in what each part is made of.
#include <fmt/format.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <system_error>
#include <vector>

#include "commands/info/describe_path.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/data/dataset.h"

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace x2ctpa {
namespace {

// Files or folders directly in `folder` that count; what a killed process left half-written does
// not.
int64_t count_in(const fs::path& folder, const std::function<bool(const fs::path&)>& counts) {
  int64_t count = 0;
  std::error_code error;
  for (fs::directory_iterator it(folder, error); !error && it != fs::directory_iterator();
       it.increment(error))
    count += name_of_partial(it->path()).empty() && counts(it->path());
  return count;
}

std::function<bool(const fs::path&)> ending_in(const std::string& ending) {
  return [ending](const fs::path& path) { return path.filename().string().ends_with(ending); };
}

std::string count_text(int64_t count, const std::string& one, const std::string& several) {
  return fmt::format("{} {}", count, count == 1 ? one : several);
}

std::string phantom_text(const fs::path& folder) {
  return "simulated patients: " +
         (fs::exists(folder / "manifest.csv")
              ? std::to_string(CsvTable::read(folder / "manifest.csv").size())
              : "not finished, no manifest.csv");
}

std::string dataset_text(const fs::path& folder) {
  if (fs::exists(folder / "dataset.json"))
    return "dataset of volumes and X-rays: " +
           count_text(int64_t(Dataset::open(folder).cases().size()), "case", "cases");
  const ordered_json unfinished = describe_unfinished_dataset(folder);
  return fmt::format("dataset, not finished: {} so far; the same preprocess command goes on",
                     count_text(unfinished.at("cases_so_far").get<int64_t>(), "case", "cases"));
}

std::string model_text(const std::string& what, const fs::path& folder) {
  return what + (fs::exists(folder / "config.yaml") ? "" : ", not whole: no config.yaml");
}

std::string samples_text(const fs::path& folder) {
  return "generated volumes: " + std::to_string(count_in(folder, ending_in(".nii.gz")));
}

std::string evaluation_text(const fs::path& folder) {
  return fs::exists(folder / "metrics.json") ? "results" : "results, not finished: no metrics.json";
}

struct RunPart {
  const char* name;
  std::function<std::string(const fs::path&)> text;
};

const std::vector<RunPart>& parts_of_runs() {
  const auto checkpoints = [](const char* of) {
    return [of](const fs::path& folder) {
      return fmt::format("checkpoints of the {}: {}", of,
                         count_in(folder, ending_in(".safetensors")));
    };
  };
  const auto model = [](const char* what) {
    return [what](const fs::path& folder) { return model_text(what, folder); };
  };
  static const std::vector<RunPart> parts = {
      {"phantom", phantom_text},
      {"dataset", dataset_text},
      {"vae/model", model("latent encoder")},
      {"vae/checkpoints", checkpoints("latent encoder")},
      {"diffusion/model", model("diffusion model")},
      {"diffusion/checkpoints", checkpoints("diffusion model")},
      {"samples", samples_text},
      {"classifier",
       [](const fs::path& folder) {
         return "PE classifiers: " + std::to_string(count_in(folder, [](const fs::path& p) {
                  return fs::exists(p / "model");
                }));
       }},
      {"evaluation", evaluation_text}};
  return parts;
}

}  // namespace

ordered_json describe_run_parts(const fs::path& run) {
  ordered_json found = ordered_json::object();
  for (const RunPart& part : parts_of_runs()) {
    if (!fs::exists(run / part.name)) continue;
    try {
      found[part.name] = part.text(run / part.name);
    } catch (const std::exception& e) {
      found[part.name] = std::string("damaged: ") + e.what();
    }
  }
  return found;
}

ordered_json describe_unfinished_dataset(const fs::path& folder) {
  return {{"kind", "unfinished dataset"},
          {"cases_so_far", count_in(folder / "records", ending_in(".json"))},
          {"rejected_so_far", count_in(folder / "rejections", ending_in(".json"))},
          {"missing", "dataset.json and index.csv, which are written last"},
          {"what_to_do", "run the same preprocess command again: it goes on"}};
}

}  // namespace x2ctpa
