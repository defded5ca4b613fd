// What an earlier call left in the dataset folder.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>

#include "preprocess_case.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace x2ctpa {
namespace {

/// Everything that decides what the folder holds.
struct FolderOptions {
  PreprocessOptions preprocess;
  int64_t seed = 0;

  void describe(OptionList& options) {
    options.section("preprocess", preprocess);
    options.add("seed", &seed, "seed of the splits");
  }
};

constexpr const char* kWorkersKey = "preprocess.workers";

/// "key: before -> now" for each option that differs.
std::vector<std::string> differences(FolderOptions before, FolderOptions now) {
  OptionList before_list, now_list;
  before.describe(before_list);
  now.describe(now_list);
  std::vector<std::string> found;
  for (size_t i = 0; i < now_list.all().size(); ++i) {
    const Option& option = now_list.all()[i];
    const std::string old_text = option_text(before_list.all()[i].value);
    const std::string new_text = option_text(option.value);
    if (option.key != kWorkersKey && old_text != new_text) {
      found.push_back(fmt::format("{}: {} -> {}", option.key, old_text, new_text));
    }
  }
  return found;
}

fs::path record_file(const fs::path& out, const std::string& id) {
  return out / "records" / (id + ".json");
}

}  // namespace

void claim_folder(const fs::path& out, const PreprocessOptions& options, int64_t seed, bool force) {
  const fs::path options_file = out / "preprocess.yaml";
  if (force) {
    // The set must not open while some of its cases are of the old kind and some of the new.
    fs::remove(out / "dataset.json");
    fs::remove_all(out / "records");
  } else if (fs::exists(options_file)) {
    const auto changed = differences(load_options<FolderOptions>(options_file), {options, seed});
    if (!changed.empty()) {
      throw Error(fmt::format(
          "{} was made with other options:\n  {}\nGive another --out, the former options, or "
          "--force to make every case anew",
          out.string(), fmt::join(changed, "\n  ")));
    }
  } else if (fs::exists(out / "dataset.json")) {
    throw Error(
        fmt::format("{} holds a dataset without preprocess.yaml, so its options are unknown; give "
                    "another --out, or --force to make every case anew",
                    out.string()));
  }
  write_file(options_file, options_to_yaml(FolderOptions{options, seed}));
}

std::optional<CaseRecord> finished_case(const fs::path& out, const Study& study) {
  const fs::path file = record_file(out, study.id);
  if (!fs::exists(file)) return {};
  CaseRecord record;
  try {
    const ordered_json json = ordered_json::parse(read_file(file));
    record.id = json.at("id");
    record.ct_source = json.at("ct_source");
    record.cxr_source = json.at("cxr_source");
    record.mask_source = json.value("mask_source", "");
    record.cxr_rendered = json.value("cxr_rendered", false);
    record.ct = json.at("ct");
    record.cxr = json.at("cxr");
    record.spacing_mm = json.at("spacing_mm").get<Vec3>();
    record.lung_litres = json.at("lung_litres");
    record.cxr_mean = json.at("cxr_mean");
    record.cxr_mean_square = json.at("cxr_mean_square");
    record.warnings = json.at("warnings").get<std::vector<std::string>>();
    record.ct_problems = json.value("ct_problems", std::vector<std::string>());
    record.choices = json.value("choices", std::vector<std::string>());
  } catch (const nlohmann::json::exception& e) {
    log_warning("{} is damaged ({}); the case is made anew", file.string(), e.what());
    return {};
  }
  const bool same_sources =
      record.ct_source == as_given(study, study.ct.string()) &&
      record.cxr_source == as_given(study, study.cxr.string()) &&
      record.mask_source == study.mask.string();
  const bool files_there = (record.ct.empty() || fs::exists(out / record.ct)) &&
                           (record.cxr.empty() || fs::exists(out / record.cxr));
  if (!same_sources || !files_there) return {};
  return record;
}

void write_record(const fs::path& out, const CaseRecord& record) {
  const ordered_json json = {{"id", record.id},
                             {"ct_source", record.ct_source},
                             {"cxr_source", record.cxr_source},
                             {"mask_source", record.mask_source},
                             {"cxr_rendered", record.cxr_rendered},
                             {"ct", record.ct},
                             {"cxr", record.cxr},
                             {"spacing_mm", record.spacing_mm},
                             {"lung_litres", record.lung_litres},
                             {"cxr_mean", record.cxr_mean},
                             {"cxr_mean_square", record.cxr_mean_square},
                             {"warnings", record.warnings},
                             {"ct_problems", record.ct_problems},
                             {"choices", record.choices}};
  write_file(record_file(out, record.id),
             json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace x2ctpa
