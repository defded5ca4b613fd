#include "x2ctpa/inference/sample_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>
#include <variant>

#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/safetensors.h"
#include "x2ctpa/core/version.h"
#include "x2ctpa/imaging/dicom/dicom_export.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/preview.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace x2ctpa {
namespace fs = std::filesystem;
using nlohmann::ordered_json;
namespace {

std::string program() { return std::string("x2ctpa ") + version(); }

constexpr const char* notice =
    "SYNTHETIC CTPA generated from a chest X-ray; research use only, not for diagnosis";

const std::vector<std::string> columns = {"name",
                                          "case_id",
                                          "sample",
                                          "patient_id",
                                          "split",
                                          "cxr",
                                          "file",
                                          "seed",
                                          "steps",
                                          "sampler",
                                          "guidance_scale",
                                          "seconds",
                                          "model_hash",
                                          "settings",
                                          "cxr_sha256",
                                          "picture_novelty",
                                          "embedding_novelty",
                                          "unlike_training"};

// Waits until no other process changes tables in the folder and keeps others from it; on file
// systems without locks, as many as come change them.
class TableLock {
 public:
  explicit TableLock(const fs::path& folder)
      : descriptor_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY)) {
    if (descriptor_ >= 0 && ::flock(descriptor_, LOCK_EX) != 0)
      log_debug("{} cannot be locked", folder.string());
  }
  ~TableLock() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  TableLock(const TableLock&) = delete;
  TableLock& operator=(const TableLock&) = delete;

 private:
  int descriptor_;
};

template <class Options>
ordered_json options_json(Options options) {
  OptionList list;
  options.describe(list);
  ordered_json out;
  for (const auto& option : list.all()) {
    with_value(option.value, [&](const auto& value) { out[option.key] = value; });
  }
  return out;
}

ordered_json sidecar_of(const Provenance& p, const Volume& volume, const IntensityWindow& window) {
  ordered_json json;
  json["synthetic"] = true;
  json["notice"] = notice;
  json["program"] = program();
  json["name"] = p.name;
  json["case_id"] = p.case_id;
  json["sample"] = p.sample;
  json["patient_id"] = p.patient_id;
  json["split"] = p.split;
  json["seed"] = p.seed;
  json["settings"] = p.settings;
  json["model"] = {
      {"sha256", p.model_hash}, {"dataset", p.dataset_hash}, {"precision", p.precision}};
  if (p.left_out_mean) json["model"]["mean"] = "fitted without this training case";
  json["sampler"] = options_json(p.sampler);
  if (p.projection.is_on()) json["projection"] = options_json(p.projection);
  json["cxr"] = {{"path", p.cxr_path}, {"sha256", p.cxr_sha256}};
  if (!p.views.empty()) json["cxr"]["views"] = p.views;
  if (!p.lateral_path.empty())
    json["cxr_lateral"] = {{"path", p.lateral_path}, {"sha256", p.lateral_sha256}};
  if (p.novelty) {
    json["cxr"]["picture_novelty"] = p.novelty->picture;
    json["cxr"]["embedding_novelty"] = p.novelty->embedding;
    json["cxr"]["unlike_training"] = p.novelty->unlike_training();
  }
  json["volume"] = {{"unit", "HU"},
                    {"size_dhw", volume.size_dhw()},
                    {"spacing_xyz_mm", volume.spacing_mm},
                    {"origin_lps_mm", volume.origin_mm},
                    {"direction", volume.direction},
                    {"placed_by", p.placed_by},
                    {"window_hu", {window.min_hu, window.max_hu}}};
  return json;
}

std::optional<ordered_json> read_sidecar(const fs::path& file) {
  if (!fs::exists(file)) return std::nullopt;
  try {
    return ordered_json::parse(read_file(file));
  } catch (const nlohmann::json::exception&) {
    return std::nullopt;  // not one of ours
  }
}

// Rows hold what `field` of `json` says, or nothing.
std::string text_of(const ordered_json& json, const std::string& pointer) {
  const nlohmann::ordered_json::json_pointer place(pointer);
  if (!json.contains(place)) return "";
  const auto& value = json[place];
  if (value.is_string()) return value.get<std::string>();
  if (value.is_boolean()) return value.get<bool>() ? "1" : "0";
  if (value.is_number_float()) return fmt::format("{:.6g}", value.get<double>());
  return value.dump();
}

std::vector<std::string> row_of(const ordered_json& json, const std::string& seconds) {
  const auto get = [&](const char* pointer) { return text_of(json, pointer); };
  return {get("/name"),
          get("/case_id"),
          get("/sample"),
          get("/patient_id"),
          get("/split"),
          get("/cxr/path"),
          get("/name") + ".nii.gz",
          get("/seed"),
          get("/sampler/steps"),
          get("/sampler/kind"),
          get("/sampler/guidance_scale"),
          seconds,
          get("/model/sha256"),
          get("/settings"),
          get("/cxr/sha256"),
          get("/cxr/picture_novelty"),
          get("/cxr/embedding_novelty"),
          get("/cxr/unlike_training")};
}

std::string derivation_of(const Provenance& p) {
  return fmt::format(
      "Generated from a chest X-ray by {}: model {}, sampler {}, {}, guidance {}{}, seed {}, "
      "sample {}. "
      "Not an image of a patient.",
      program(), p.model_hash.substr(0, 16), p.sampler.kind, counted(p.sampler.steps, "step"),
      p.sampler.guidance_scale,
      p.projection.is_on() ? fmt::format(" and by projection {}", p.projection.strength) : "",
      p.seed, p.sample);
}

}  // namespace

void SampleOptions::describe(OptionList& options) {
  options.section("sampler", sampler);
  options.section("projection", projection);
  options.section("cxr", cxr);
  options.add("label", &label, "PE label given to a model with label guidance.");
  options.add("batch_size", &batch_size, "Volumes denoised together.", {.min = 1});
  options.add("views", &views,
              "For a model of both views: what it is given of each patient's X-rays, all that are "
              "there, or one view alone, or both of the patients that have both.",
              {}, std::string(word_of(SampleViews::given)));
  options.add("samples_per_cxr", &samples_per_cxr,
              "Volumes per X-ray; from two on, their mean, spread and ranking too.",
              {.min = 1, .max = 100000});
  options.add("name", &name,
              "Names of outputs, of {unique}, {id}, {stem}, {patient}, {sample}, {seed}; empty: "
              "{unique}, or "
              "{unique}_{sample} with several samples.");
  options.add("on_conflict", &on_conflict,
              "Where a volume of other settings has the name: skip leaves it (exit code 3), "
              "overwrite replaces it, suffix takes another name.");
  options.add("preview", &preview, "Write a PNG of slices and projections of each volume.");
  options.add("dicom", &dicom, "Write each volume as a DICOM series too.");
  options.add("latents", &latents, "Write the latent of each volume too.");
}

SampleFolder::SampleFolder(fs::path root, const SampleOptions& options)
    : root_(std::move(root)), options_(options) {
  AtomicFile probe(root_ / "probe");
  std::ofstream stream(probe.temporary());
  stream << program() << std::flush;
  if (!stream)
    throw Error(fmt::format(
        "cannot write to the folder {}. Choose --out where you may write and there is space.",
        root_.string()));
}

void SampleFolder::remove_parts(const std::vector<std::string>& names) const {
  const std::set<std::string> wanted(names.begin(), names.end());
  std::vector<fs::path> parts;
  for (const auto& folder : {root_, root_ / "previews", root_ / "dicom", root_ / "latents"}) {
    if (!fs::exists(folder)) continue;
    for (const auto& entry : fs::directory_iterator(folder)) {
      std::string name = name_of_partial(entry.path());
      for (const char* ending : {".nii.gz.stamped", ".nii.gz", ".json", ".png", ".safetensors"}) {
        if (name.ends_with(ending)) name.resize(name.size() - std::string(ending).size());
      }
      if (wanted.count(name)) parts.push_back(entry.path());
    }
  }
  std::error_code ignored;
  for (const auto& part : parts) fs::remove_all(part, ignored);
}

Existing SampleFolder::existing(const std::string& name, const std::string& case_id, int64_t sample,
                                const std::string& settings) const {
  if (!fs::exists(volume_file(name))) return Existing::nothing;
  const auto sidecar = read_sidecar(sidecar_file(name));
  if (!sidecar || text_of(*sidecar, "/settings") != settings ||
      text_of(*sidecar, "/case_id") != case_id ||
      text_of(*sidecar, "/sample") != std::to_string(sample)) {
    return Existing::other;
  }
  const bool whole = (!options_.preview || fs::exists(root_ / "previews" / (name + ".png"))) &&
                     (!options_.dicom || fs::exists(root_ / "dicom" / name)) &&
                     (!options_.latents || fs::exists(root_ / "latents" / (name + ".safetensors")));
  return whole ? Existing::same : Existing::unfinished;
}

void SampleFolder::write(const Volume& volume, const IntensityWindow& window,
                         const at::Tensor& latent, const at::Tensor& cxr,
                         const Provenance& p) const {
  std::error_code ignored;
  fs::remove(volume_file(p.name), ignored);
  if (options_.latents) {
    write_safetensors(root_ / "latents" / (p.name + ".safetensors"), {{"latent", latent}},
                      {{"synthetic", "true"}, {"settings", p.settings}, {"case_id", p.case_id}});
  }
  if (options_.preview) {
    write_png8(preview_picture(volume, window.min_hu, window.max_hu, cxr, /*synthetic=*/true),
               root_ / "previews" / (p.name + ".png"));
  }
  if (options_.dicom) {
    write_synthetic_series(
        volume, root_ / "dicom" / p.name,
        {.subject_id = p.patient_id,
         .derivation = derivation_of(p),
         .version = version(),
         .unique = p.settings + "/" + p.cxr_sha256 + "/" + p.name + "/" + std::to_string(p.sample),
         .study = p.case_id + "/" + p.cxr_sha256,
         .number = p.sample + 1,
         .which = fmt::format("sample {}, seed {}", p.sample, p.seed),
         .window_centre_hu = (window.min_hu + window.max_hu) / 2,
         .window_width_hu = window.max_hu - window.min_hu});
  }
  write_file(
      sidecar_file(p.name),
      sidecar_of(p, volume, window).dump(2, ' ', false, ordered_json::error_handler_t::replace) +
          "\n");
  write_nifti(volume, volume_file(p.name), "SYNTHETIC CTPA by x2ctpa, research use only");
}

void SampleFolder::record(const std::vector<std::string>& names,
                          const std::map<std::string, double>& seconds) const {
  CsvTable rows(columns);
  for (const auto& name : names) {
    const auto sidecar = read_sidecar(sidecar_file(name));
    const auto found = seconds.find(name);
    if (sidecar)
      rows.add(
          row_of(*sidecar, found == seconds.end() ? "" : fmt::format("{:.3f}", found->second)));
  }
  if (rows.size() > 0) merge("samples.csv", rows, "name");
}

std::vector<std::string> SampleFolder::recorded() const {
  std::vector<std::string> names;
  if (!fs::exists(root_ / "samples.csv")) return names;
  const auto table = CsvTable::read(root_ / "samples.csv");
  for (size_t r = 0; r < table.size(); ++r) names.push_back(table.get(r, "name"));
  return names;
}

void SampleFolder::record_failures(
    const std::map<std::string, std::pair<std::string, std::string>>& failed,
    const std::vector<std::string>& made) const {
  if (failed.empty() && !fs::exists(root_ / "failures.csv")) return;
  CsvTable rows({"name", "cxr", "reason"});
  for (const auto& [name, what] : failed) rows.add({name, what.first, what.second});
  merge("failures.csv", rows, "name", made);
}

void SampleFolder::merge(const std::string& file, const CsvTable& rows, const std::string& key,
                         const std::vector<std::string>& remove) const {
  const TableLock lock(root_);
  const fs::path path = root_ / file;
  std::map<std::string, std::vector<std::string>> merged;
  const auto take = [&](const CsvTable& table) {
    for (size_t r = 0; r < table.size(); ++r) {
      auto& row = merged[table.at(r, key)];
      row.clear();
      for (const auto& column : rows.columns()) row.push_back(table.get(r, column));
    }
  };
  if (fs::exists(path)) take(CsvTable::read(path));
  for (const auto& name : remove) merged.erase(name);
  take(rows);
  CsvTable table(rows.columns());
  for (auto& [name, row] : merged) table.add(std::move(row));
  if (table.size() > 0)
    table.write(path);
  else
    fs::remove(path);
}

}  // namespace x2ctpa
