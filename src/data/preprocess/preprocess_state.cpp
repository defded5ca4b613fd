#include "data/preprocess/preprocess_state.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <nlohmann/json.hpp>
#include <set>

#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/utf8.h"

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace x2ctpa {
namespace {

// Everything that decides what the folder holds.
struct FolderOptions {
  PreprocessOptions preprocess;
  int64_t seed = 0;

  void describe(OptionList& options) {
    options.section("preprocess", preprocess);
    options.add("seed", &seed, "Seed of the splits.");
  }
};

// Options that change no case and may differ between calls, and those of the splits.
const std::set<std::string> free_keys = {"preprocess.workers", "preprocess.manifest.groups"};
const std::set<std::string> split_keys = {"preprocess.splits", "preprocess.folds",
                                          "preprocess.splits_file", "seed"};

bool of_splits(const Option& option, const PreprocessOptions& options) {
  // The noise of rendered X-rays comes from the seed as well.
  if (option.key == "seed" && options.cxr_from_ct != CxrFromCt::none) return false;
  return split_keys.contains(option.key);
}

// "key: before -> now" for each option that differs.
std::vector<std::string> differences(FolderOptions before, FolderOptions now, bool with_splits) {
  OptionList before_list, now_list;
  before.describe(before_list);
  now.describe(now_list);
  std::vector<std::string> found;
  for (size_t i = 0; i < now_list.all().size(); ++i) {
    const Option& option = now_list.all()[i];
    if (free_keys.contains(option.key) || (!with_splits && of_splits(option, now.preprocess)))
      continue;
    const std::string old_text = option_text(before_list.all()[i].value);
    const std::string new_text = option_text(option.value);
    if (old_text != new_text)
      found.push_back(fmt::format("{}: {} -> {}", option.key, old_text, new_text));
  }
  return found;
}

// A digest of the options that a case depends on.
std::string case_options_digest(FolderOptions options) {
  OptionList list;
  options.describe(list);
  std::string text;
  for (const Option& option : list.all()) {
    if (!free_keys.contains(option.key) && !of_splits(option, options.preprocess) &&
        option.is_written())
      text += option.key + "=" + option_text(option.value) + "\n";
  }
  return sha256(text).substr(0, 16);
}

ordered_json to_json(const CaseRecord& record) {
  const auto& [frontal, lateral] = record.xrays;
  ordered_json json = {{"id", record.id},
                       {"ct_source", record.ct_source},
                       {"cxr_source", frontal.source},
                       {"mask_source", record.mask_source},
                       {"masks", record.masks},
                       {"mask_bytes", record.mask_bytes},
                       {"cxr_rendered", record.cxr_rendered},
                       {"ct", record.ct},
                       {"cxr", frontal.file},
                       {"ct_bytes", record.ct_bytes},
                       {"cxr_bytes", frontal.bytes},
                       {"spacing_mm", record.spacing_mm},
                       {"lung_litres", record.lung_litres},
                       {"low_value", record.low_value},
                       {"high_value", record.high_value},
                       {"cxr_mean", frontal.mean},
                       {"cxr_mean_square", frontal.mean_square},
                       {"warnings", record.warnings},
                       {"ct_problems", record.ct_problems},
                       {"choices", record.choices}};
  if (!lateral.source.empty() || !lateral.file.empty())
    json["lateral"] = {{"source", lateral.source},
                       {"file", lateral.file},
                       {"bytes", lateral.bytes},
                       {"mean", lateral.mean},
                       {"mean_square", lateral.mean_square}};
  return json;
}

CaseRecord record_from(const ordered_json& json) {
  CaseRecord record;
  record.id = json.at("id");
  record.ct_source = json.at("ct_source");
  auto& [frontal, lateral] = record.xrays;
  frontal.source = json.at("cxr_source");
  record.mask_source = json.at("mask_source");
  // Records of 0.1.0 know no masks for evaluation.
  record.masks = json.value("masks", "");
  record.mask_bytes = json.value("mask_bytes", record.mask_bytes);
  record.cxr_rendered = json.at("cxr_rendered");
  record.ct = json.at("ct");
  frontal.file = json.at("cxr");
  record.ct_bytes = json.at("ct_bytes");
  frontal.bytes = json.at("cxr_bytes");
  record.spacing_mm = json.at("spacing_mm").get<Vec3>();
  record.lung_litres = json.at("lung_litres");
  record.low_value = json.at("low_value");
  record.high_value = json.at("high_value");
  frontal.mean = json.at("cxr_mean");
  frontal.mean_square = json.at("cxr_mean_square");
  if (json.contains("lateral")) {
    const auto& of = json.at("lateral");
    lateral = {of.at("source"), of.at("file"), of.at("bytes"), of.at("mean"), of.at("mean_square")};
  }
  record.warnings = json.at("warnings").get<std::vector<std::string>>();
  record.ct_problems = json.at("ct_problems").get<std::vector<std::string>>();
  record.choices = json.at("choices").get<std::vector<std::string>>();
  return record;
}

// Those of a record or a rejection.
bool same_sources(const std::string& cxr, const std::string& lateral, const auto& record,
                  const Study& study) {
  return record.ct_source == as_given(study, study.ct.string()) &&
         cxr == as_given(study, study.cxr.string()) &&
         lateral == as_given(study, study.cxr_lateral.string()) &&
         record.mask_source == valid_utf8(study.mask.string()) && record.masks == masks_text(study);
}

// True when `file` is empty, or is there with its recorded size: a disk that was full or torn off
// may have kept a name without all of its bytes.
bool is_whole(const fs::path& out, const std::string& file, int64_t bytes) {
  std::error_code code;
  return file.empty() || (fs::file_size(out / file, code) == uintmax_t(bytes) && !code);
}

// The JSON of a record made with these options, or nothing; `what` names it in the warning.
std::optional<ordered_json> read_made_by(const fs::path& file, const std::string& made_by) {
  if (!fs::exists(file)) return {};
  try {
    ordered_json json = ordered_json::parse(read_file(file));
    if (json.at("made_by") != made_by) return {};
    return json;
  } catch (const nlohmann::json::exception& e) {
    log_warning("{} is damaged ({}); the study is done anew", file.string(), e.what());
    return {};
  }
}

void write_json(const fs::path& file, ordered_json json, const std::string& made_by) {
  json["made_by"] = made_by;
  write_file(file, json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n");
}

}  // namespace

FolderState::FolderState(fs::path out, const PreprocessOptions& options, int64_t seed)
    : out_(std::move(out)),
      options_(options),
      seed_(seed),
      made_by_(case_options_digest({options, seed})) {}

fs::path FolderState::record_file(const std::string& id) const {
  return out_ / "records" / (id + ".json");
}

fs::path FolderState::rejection_file(const std::string& id) const {
  return out_ / "rejections" / (id + ".json");
}

void FolderState::claim(const PreprocessCall& call, const std::vector<const Study*>& mine) const {
  const fs::path options_file = out_ / "preprocess.yaml";
  if (call.force) {
    // The set must not open while some of its cases are of the old kind and some of the new.
    fs::remove(out_ / "dataset.json");
    if (call.shard.whole()) {
      fs::remove_all(out_ / "records");
      fs::remove_all(out_ / "rejections");
    }
    for (const Study* study : mine) {
      fs::remove(record_file(study->id));
      fs::remove(rejection_file(study->id));
    }
  } else if (fs::exists(options_file)) {
    const auto changed =
        differences(load_options<FolderOptions>(options_file), {options_, seed_}, !call.resplit);
    const auto of_cases =
        differences(load_options<FolderOptions>(options_file), {options_, seed_}, false);
    if (!changed.empty()) {
      throw Error(
          fmt::format("{} was made with other options:\n  {}\nGive another --out, the "
                      "former options, {}or --force to make every case anew",
                      out_.string(), fmt::join(changed, "\n  "),
                      of_cases.empty() ? "--resplit to keep the cases and deal them anew, " : ""));
    }
  } else if (fs::exists(out_ / "dataset.json")) {
    throw Error(
        fmt::format("{} holds a dataset without preprocess.yaml, so its options are unknown; give "
                    "another --out, or --force to make every case anew",
                    out_.string()));
  }
  write_file(options_file, options_to_yaml(FolderOptions{options_, seed_}));
}

std::optional<CaseRecord> FolderState::finished(const Study& study) const {
  const fs::path file = record_file(study.id);
  const auto json = read_made_by(file, made_by_);
  if (!json) return {};
  CaseRecord record;
  try {
    record = record_from(*json);
  } catch (const nlohmann::json::exception& e) {
    log_warning("{} is damaged ({}); the case is made anew", file.string(), e.what());
    return {};
  }
  const auto& [frontal, lateral] = record.xrays;
  if (!same_sources(frontal.source, lateral.source, record, study) ||
      !is_whole(out_, record.ct, record.ct_bytes) || !is_whole(out_, frontal.file, frontal.bytes) ||
      !is_whole(out_, lateral.file, lateral.bytes)) {
    return {};
  }
  for (const auto& [mask, bytes] : record.mask_bytes) {
    if (!is_whole(out_, mask, bytes)) return {};
  }
  return record;
}

std::optional<Rejection> FolderState::rejected(const Study& study) const {
  const auto json = read_made_by(rejection_file(study.id), made_by_);
  if (!json) return {};
  Rejection rejection;
  try {
    rejection = {json->at("id"),          json->at("ct_source"),
                 json->at("cxr_source"),  json->value("lateral_source", ""),
                 json->at("mask_source"), json->value("masks", ""),
                 json->at("source"),      json->at("reason_code"),
                 json->at("reason")};
  } catch (const nlohmann::json::exception&) {
    return {};
  }
  if (!same_sources(rejection.cxr_source, rejection.lateral_source, rejection, study)) return {};
  return rejection;
}

void FolderState::write(const CaseRecord& record) const {
  write_json(record_file(record.id), to_json(record), made_by_);
  fs::remove(rejection_file(record.id));
}

void FolderState::write(const Rejection& rejection) const {
  ordered_json json = {{"id", rejection.id},
                       {"ct_source", rejection.ct_source},
                       {"cxr_source", rejection.cxr_source},
                       {"mask_source", rejection.mask_source},
                       {"masks", rejection.masks},
                       {"source", rejection.source},
                       {"reason_code", rejection.reason_code},
                       {"reason", rejection.reason}};
  if (!rejection.lateral_source.empty()) json["lateral_source"] = rejection.lateral_source;
  write_json(rejection_file(rejection.id), std::move(json), made_by_);
  fs::remove(record_file(rejection.id));
}

}  // namespace x2ctpa
