#include "x2ctpa/data/studies/manifest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

#include "data/studies/finds.h"
#include "data/studies/manifest_rows.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/file_kinds.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/utf8.h"
#include "x2ctpa/data/studies/volume_masks.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

std::optional<Vec3> centre(const ManifestRow& row) {
  const auto x = row.number("cxr_centre_x_mm"), y = row.number("cxr_centre_y_mm"),
             z = row.number("cxr_centre_z_mm");
  if (!x && !y && !z) return {};
  if (!x || !y || !z) row.fail("cxr_centre_x_mm", "given together with y and z, or not at all");
  return Vec3{*x, *y, *z};
}

fs::path beside(const fs::path& manifest, const std::string& text) {
  if (text.empty()) return {};
  return (manifest.parent_path() / text).lexically_normal();  // an absolute path stays as it is
}

Study study_of(const ManifestRow& row) {
  Study study;
  study.id = row.get("id");
  study.patient_id = row.get("patient_id");
  study.ct = beside(row.file, row.get("ct"));
  study.cxr = beside(row.file, row.get("cxr"));
  study.cxr_lateral = beside(row.file, row.get("cxr_lateral"));
  study.mask = beside(row.file, row.get("mask"));
  for (const std::string kind : mask_kinds) {
    if (const auto file = beside(row.file, row.get(kind + "_mask")); !file.empty())
      study.masks.emplace(kind, file);
  }
  study.pe = row.label("pe");
  study.split = row.get("split");
  study.cxr_centre_mm = centre(row);
  if (!study.split.empty() && study.split != "train" && study.split != "val" &&
      study.split != "test") {
    row.fail("split", "train, val, test or empty");
  }
  return study;
}

// An id for a row without one: its patient, else the name of its first file.
std::string natural_id(const Study& study) {
  if (!study.patient_id.empty()) return safe_id(study.patient_id);
  const fs::path& xray = study.cxr.empty() ? study.cxr_lateral : study.cxr;
  const fs::path& source = study.ct.empty() ? xray : study.ct;
  const fs::path name = source.filename().empty() ? source.parent_path().filename() : source.stem();
  return name.empty() ? "study" : safe_id(name.string());
}

std::vector<std::string> names(const std::vector<fs::path>& paths) {
  std::vector<std::string> found;
  for (const fs::path& path : paths) found.push_back(path.string());
  return found;
}

}  // namespace

// The layout of the columns ct, cxr, ...: paths.
static std::vector<Study> read_paths_layout(const CsvTable& table, const fs::path& file,
                                            const ManifestOptions& options) {
  if (!options.groups.empty()) table.require_columns(options.groups);
  std::vector<Study> studies;
  for (size_t i = 0; i < table.size(); ++i) {
    const ManifestRow row{table, i, file};
    studies.push_back(study_of(row));
    Study& study = studies.back();
    for (const auto& group : options.groups) study.groups[group] = row.get(group);
    if (!study.id.empty() && safe_id(study.id) != study.id) {
      row.fail("id", fmt::format(
                         "made of at most {} letters, digits, '.', '_' and '-', begin with none of "
                         "'.' and '-', and not end with .nii",
                         longest_id));
    }
  }
  return studies;
}

std::vector<Study> read_manifest(const fs::path& file, const InputOptions& options) {
  CsvTable table = CsvTable::read(file);
  const ManifestLayout layout = layout_of(table, options.manifest);
  settle_columns(table, file, layout, options.manifest);
  std::vector<Study> studies =
      layout == ManifestLayout::accession ? read_accession_layout(table, file, options)
      : layout == ManifestLayout::lidc    ? read_lidc_layout(table, file, options)
      : layout == ManifestLayout::rspect  ? read_rspect_layout(table, file, options)
      : layout == ManifestLayout::inspect ? read_inspect_layout(table, file, options)
      : layout == ManifestLayout::tcia    ? read_tcia_layout(table, file, options)
      : layout == ManifestLayout::ct_rate ? read_ct_rate_layout(table, file, options)
      : layout == ManifestLayout::mids    ? read_mids_layout(table, file, options)
                                          : read_paths_layout(table, file, options.manifest);
  std::set<std::string> taken;
  for (size_t i = 0; i < studies.size(); ++i) {
    if (studies[i].id.empty() || taken.insert(studies[i].id).second) continue;
    throw Error(fmt::format("{}: row {}: id must be unique, found '{}' again", file.string(), i + 1,
                            studies[i].id));
  }
  for (Study& study : studies) {
    if (study.id.empty()) study.id = unique_id(natural_id(study), taken);
    // The index and its readers take UTF-8 alone.
    study.patient_id = study.patient_id.empty() ? study.id : valid_utf8(study.patient_id);
    std::error_code absent;
    if (!study.cxr.empty() && fs::is_directory(study.cxr, absent)) {
      const fs::path xray = choose_xray(study.cxr);
      if (!xray.empty()) study.cxr = xray;
    }
  }
  return studies;
}

std::string unique_id(const std::string& wanted, std::set<std::string>& taken) {
  std::string id = wanted;
  for (int n = 2; !taken.insert(id).second; ++n) id = fmt::format("{}-{}", wanted, n);
  return id;
}

std::vector<Study> read_inputs(const std::vector<fs::path>& inputs, const InputOptions& options) {
  std::vector<Study> studies;
  std::set<std::string> taken;
  for (const fs::path& input : inputs) {
    if (!fs::exists(input)) {
      throw Error(
          fmt::format("input {} does not exist; expected a manifest (.csv, .tsv), a folder or "
                      "archive of studies, a "
                      "volume or an X-ray",
                      input.string()),
          ExitCode::no_data);
    }
    const bool manifest = file_ending(input) == ".csv" || file_ending(input) == ".tsv";
    std::vector<Study> found =
        manifest ? read_manifest(input, options) : find_studies(input, options);
    if (found.empty()) {
      // Globs bring readme files along; they must not stop the run.
      log_warning("{}: passed over, there is no study in it", input.string());
      continue;
    }
    log_debug("{}: {} studies", input.string(), found.size());
    for (Study& study : found) {
      const bool own_patient = !manifest && study.patient_id == study.id;
      study.id = unique_id(study.id, taken);
      if (own_patient) study.patient_id = study.id;
      studies.push_back(std::move(study));
    }
  }
  if (studies.empty()) {
    throw Error(
        fmt::format("no study in {}; expected manifests (.csv, .tsv), DICOM series, volumes "
                    "({}) or X-rays ({})",
                    fmt::join(names(inputs), ", "), volume_endings(), xray_endings()),
        ExitCode::no_data);
  }
  return studies;
}

}  // namespace x2ctpa
