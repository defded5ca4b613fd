#include "x2ctpa/data/studies/column_names.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "x2ctpa/core/log.h"
#include "x2ctpa/core/options.h"

namespace x2ctpa {
namespace {

using Columns = std::vector<std::string>;

// Letters and digits in lower case: "CT path" is "ctpath".
std::string squeezed(const std::string& column) {
  std::string text;
  for (const unsigned char c : column)
    if (std::isalnum(c)) text += char(std::tolower(c));
  return text;
}

// What people call the columns of manifests and of score tables.
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
      {"cxr_lateral",
       {"lateral", "lateralcxr", "cxrlat", "lateralpath", "cxrlateralpath", "lateralxray",
        "xraylateral"}},
      {"pe",
       {"label", "labels", "pelabel", "pestatus", "pepresent", "haspe", "embolism",
        "pulmonaryembolism", "class", "target", "diagnosis", "positive"}},
      {"split", {"set", "subset", "partition", "phase"}},
      {"mask", {"maskpath", "segmentation"}},
      {"study_id", {"id", "caseid", "case", "study", "identifier", "name", "accession"}},
      {"label",
       {"labels", "pe", "pelabel", "truth", "groundtruth", "class", "target", "diagnosis"}},
      {"score",
       {"scores", "prob", "probability", "prediction", "predicted", "pred", "output", "p"}},
      {"threshold", {"cutoff", "operatingpoint"}}};
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

OtherColumns settle_names(CsvTable& table, const Columns& known) {
  const Columns others = table.match_columns(known);
  Columns absent;
  for (const auto& column : known)
    if (!table.has_column(column)) absent.push_back(column);
  OtherColumns result;
  for (const auto& column : others) {
    const std::string meant = meant_by(column, absent);
    if (meant.empty())
      result.unread.push_back(column);
    else
      result.doubts +=
          fmt::format("{}the column \"{}\" is not read; if it is \"{}\", give it that name",
                      result.doubts.empty() ? "" : "; ", column, meant);
  }
  return result;
}

void tell_of(const OtherColumns& others, const std::filesystem::path& file) {
  if (!others.doubts.empty()) log_warning("{}: {}", file.string(), others.doubts);
  if (!others.unread.empty())
    log_info("{}: columns that are not read: {}", file.string(), fmt::join(others.unread, ", "));
}

}  // namespace x2ctpa
