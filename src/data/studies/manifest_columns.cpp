// Which columns of a manifest mean what: names in any case, and names that are nearly right.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "data/studies/manifest_rows.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/log.h"
#include "x2ctpa/core/options.h"
#include "x2ctpa/data/studies/volume_masks.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

using Columns = std::vector<std::string>;

const Columns& lidc_columns() {
  static const Columns columns{"Subject ID", "Modality", "File Location", "Series UID",
                               "Series Instance UID"};
  return columns;
}

const Columns& rspect_columns() {
  static const Columns columns{"StudyInstanceUID", "SeriesInstanceUID", "negative_exam_for_pe",
                               "indeterminate", "split"};
  return columns;
}

Columns known_columns(ManifestLayout layout, const ManifestOptions& options) {
  if (layout == ManifestLayout::lidc) return lidc_columns();
  if (layout == ManifestLayout::rspect) return rspect_columns();
  if (layout == ManifestLayout::accession)
    return {options.ct_column, options.cxr_column, options.label_column, options.patient_column,
            "split"};
  Columns columns{"id",
                  "patient_id",
                  "ct",
                  "cxr",
                  "mask",
                  "pe",
                  "split",
                  "cxr_centre_x_mm",
                  "cxr_centre_y_mm",
                  "cxr_centre_z_mm"};
  for (const std::string kind : mask_kinds) columns.push_back(kind + "_mask");
  return columns;
}

// Letters and digits in lower case: "CT path" is "ctpath".
std::string squeezed(const std::string& column) {
  std::string text;
  for (const unsigned char c : column)
    if (std::isalnum(c)) text += char(std::tolower(c));
  return text;
}

// What people call the columns of our own layout.
const std::map<std::string, Columns>& other_names() {
  static const std::map<std::string, Columns> names{
      {"id", {"caseid", "case", "study", "studyid", "identifier", "name"}},
      {"patient_id",
       {"patient", "patientid", "patientno", "patientnumber", "pid", "subject", "subjectid",
        "mrn"}},
      {"ct",
       {"ctpath", "ctfile", "ctfolder", "ctdir", "ctscan", "ctvolume", "ctimage", "ctpa",
        "ctpapath", "volume", "volumepath", "scan", "image", "imagepath"}},
      {"cxr",
       {"cxrpath", "cxrfile", "cxrimage", "xray", "xraypath", "xrayfile", "chestxray", "radiograph",
        "film"}},
      {"pe",
       {"label", "labels", "pelabel", "pestatus", "pepresent", "haspe", "embolism",
        "pulmonaryembolism", "class", "target", "diagnosis", "positive"}},
      {"split", {"set", "subset", "partition", "phase"}},
      {"mask", {"maskpath", "segmentation"}}};
  return names;
}

// The column of `absent` that `column` looks like; empty: none.
std::string meant_by(const std::string& column, const Columns& absent) {
  const std::string text = squeezed(column);
  for (const auto& name : absent) {
    if (squeezed(name) == text) return name;
    const auto known = other_names().find(name);
    if (known != other_names().end() &&
        std::find(known->second.begin(), known->second.end(), text) != known->second.end())
      return name;
  }
  const std::string near = text.size() < 4 ? "" : nearest_name(text, absent);
  return !near.empty() && squeezed(near).front() == text.front() ? near : "";
}

}  // namespace

ManifestLayout layout_of(const CsvTable& given, const ManifestOptions& options) {
  if (options.layout != ManifestLayout::automatic) return options.layout;
  const auto has = [&](const std::string& column) {
    CsvTable table(given.columns());
    table.match_columns({column});
    return table.has_column(column);
  };
  if (has("ct") || has("cxr")) return ManifestLayout::x2ctpa;
  if (has(options.ct_column) || has(options.cxr_column)) return ManifestLayout::accession;
  if (has("StudyInstanceUID") && has("SeriesInstanceUID")) return ManifestLayout::rspect;
  if (has("Subject ID")) return ManifestLayout::lidc;
  return ManifestLayout::x2ctpa;
}

void settle_columns(CsvTable& table, const fs::path& file, ManifestLayout layout,
                    const ManifestOptions& options) {
  const Columns known = known_columns(layout, options);
  const Columns others = table.match_columns(known);
  Columns absent;
  for (const auto& column : known)
    if (!table.has_column(column)) absent.push_back(column);
  std::string doubts;
  Columns unread;
  for (const auto& column : others) {
    // Tables of archives have many columns of their own.
    const std::string meant =
        layout == ManifestLayout::x2ctpa ? meant_by(column, absent) : std::string();
    if (meant.empty())
      unread.push_back(column);
    else
      doubts += fmt::format("{}the column \"{}\" is not read; if it is \"{}\", give it that name",
                            doubts.empty() ? "" : "; ", column, meant);
  }
  const bool has_images = table.has_column("ct") || table.has_column("cxr");
  if (layout == ManifestLayout::x2ctpa && !has_images)
    throw Error(fmt::format(
        "{}: a manifest needs a column ct or cxr with the paths of its images; found {}{}",
        file.string(), fmt::join(table.columns(), ", "), doubts.empty() ? "" : "; " + doubts));
  if (!doubts.empty()) log_warning("{}: {}", file.string(), doubts);
  if (!unread.empty())
    log_info("{}: columns that are not read: {}", file.string(), fmt::join(unread, ", "));
}

}  // namespace x2ctpa
