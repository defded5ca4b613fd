#include "x2ctpa/data/manifest.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cctype>
#include <cmath>
#include <map>
#include <set>

#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

/// One row with its place, for messages.
struct Row {
  const CsvTable& table;
  size_t index;
  const fs::path& file;

  std::string get(const std::string& column) const { return table.get(index, column); }

  [[noreturn]] void fail(const std::string& column, const std::string& expected) const {
    throw Error(fmt::format("{}: row {}: {} must be {}, found '{}'", file.string(), index + 1,
                            column, expected, get(column)));
  }
};

std::optional<double> number(const Row& row, const std::string& column) {
  const std::string text = row.get(column);
  if (text.empty()) return {};
  size_t used = 0;
  double value = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
  }
  if (used != text.size() || !std::isfinite(value)) row.fail(column, "a number or empty");
  return value;
}

std::optional<int> label(const Row& row) {
  const std::string text = row.get("pe");
  if (text.empty() || text == "unknown") return {};
  // Tables that went through a spreadsheet or pandas hold 1.0.
  const std::optional<double> value = number(row, "pe");
  if (*value != 0 && *value != 1) row.fail("pe", "0, 1, empty or unknown");
  return static_cast<int>(*value);
}

std::optional<Vec3> centre(const Row& row) {
  const auto x = number(row, "cxr_centre_x_mm"), y = number(row, "cxr_centre_y_mm"),
             z = number(row, "cxr_centre_z_mm");
  if (!x && !y && !z) return {};
  if (!x || !y || !z) row.fail("cxr_centre_x_mm", "given together with y and z, or not at all");
  return Vec3{*x, *y, *z};
}

fs::path beside(const fs::path& manifest, const std::string& text) {
  if (text.empty()) return {};
  return (manifest.parent_path() / text).lexically_normal();  // an absolute path stays as it is
}

Study study_of(const Row& row) {
  Study study;
  study.id = row.get("id");
  study.patient_id = row.get("patient_id");
  study.ct = beside(row.file, row.get("ct"));
  study.cxr = beside(row.file, row.get("cxr"));
  study.mask = beside(row.file, row.get("mask"));
  study.pe = label(row);
  study.split = row.get("split");
  study.cxr_centre_mm = centre(row);
  if (!study.split.empty() && study.split != "train" && study.split != "val" &&
      study.split != "test") {
    row.fail("split", "train, val, test or empty");
  }
  return study;
}

/// An id for a row without one: its patient, else the name of its first file.
std::string natural_id(const Study& study) {
  if (!study.patient_id.empty()) return safe_id(study.patient_id);
  const fs::path& source = study.ct.empty() ? study.cxr : study.ct;
  const fs::path name = source.filename().empty() ? source.parent_path().filename() : source.stem();
  return name.empty() ? "study" : safe_id(name.string());
}

std::string unique_id(const std::string& wanted, std::set<std::string>& taken) {
  std::string id = wanted;
  for (int n = 2; !taken.insert(id).second; ++n) id = fmt::format("{}-{}", wanted, n);
  return id;
}

std::vector<std::string> names(const std::vector<fs::path>& paths) {
  std::vector<std::string> found;
  for (const fs::path& path : paths) found.push_back(path.string());
  return found;
}

}  // namespace

std::string safe_id(const std::string& text) {
  std::string id = text;
  for (char& c : id) {
    const bool plain =
        std::isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' || c == '-';
    if (!plain || static_cast<unsigned char>(c) > 127) c = '_';
  }
  // A leading dot would hide the file, a leading dash look like a flag.
  if (id.empty() || id[0] == '.' || id[0] == '-') id = "_" + id;
  return id;
}

std::vector<Study> read_manifest(const fs::path& file) {
  const CsvTable table = CsvTable::read(file);
  if (!table.has_column("ct") && !table.has_column("cxr")) table.require_columns({"ct", "cxr"});
  std::vector<Study> studies;
  std::set<std::string> taken;
  for (size_t i = 0; i < table.size(); ++i) {
    const Row row{table, i, file};
    studies.push_back(study_of(row));
    Study& study = studies.back();
    if (study.id.empty()) continue;
    if (safe_id(study.id) != study.id) {
      row.fail("id",
               "made of letters, digits, '.', '_' and '-', and begin with none of '.' and '-'");
    }
    if (!taken.insert(study.id).second) row.fail("id", "unique");
  }
  for (Study& study : studies) {
    if (study.id.empty()) study.id = unique_id(natural_id(study), taken);
    if (study.patient_id.empty()) study.patient_id = study.id;
  }
  return studies;
}

std::vector<Study> read_inputs(const std::vector<fs::path>& inputs) {
  std::vector<Study> studies;
  std::set<std::string> taken;
  for (const fs::path& input : inputs) {
    if (!fs::exists(input)) {
      throw Error(
          fmt::format(
              "input {} does not exist; expected a manifest (.csv), a folder of studies, a volume "
              "or an X-ray",
              input.string()),
          ExitCode::no_data);
    }
    const bool manifest = input.extension() == ".csv";
    std::vector<Study> found = manifest ? read_manifest(input) : find_studies(input);
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
    throw Error(fmt::format("no study in {}; expected manifests (.csv), DICOM series, volumes "
                            "(.nii, .nii.gz, .nrrd, "
                            ".mha, .mhd) or X-rays (.dcm, .png, .jpg, .tif)",
                            fmt::join(names(inputs), ", ")),
                ExitCode::no_data);
  }
  return studies;
}

}  // namespace x2ctpa
