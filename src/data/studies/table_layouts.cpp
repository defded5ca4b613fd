// Public sets whose tables name volume files: INSPECT and CT-RATE.
#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <limits>
#include <map>
#include <optional>
#include <regex>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "data/studies/image_index.h"
#include "data/studies/manifest_rows.h"
#include "x2ctpa/core/counted.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/file_kinds.h"
#include "x2ctpa/core/log.h"

namespace fs = std::filesystem;

namespace x2ctpa {
namespace {

std::string lower_case(std::string text) {
  for (char& c : text) c = char(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

// The tables beside `file` whose names begin with `beginning`, without `file` itself.
std::vector<fs::path> tables_beside(const fs::path& file, const std::string& beginning) {
  std::vector<fs::path> found;
  const fs::path folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string ending = file_ending(entry.path());
    const bool table = ending == ".tsv" || ending == ".csv";
    if (table && entry.path().filename().string().starts_with(beginning) &&
        entry.path().filename() != file.filename())
      found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

// A table joined to the manifest's rows by one of its columns.
class JoinedTable {
 public:
  // The newest of the tables beside `file` (their names end with a date); without one no row has
  // anything. Throws Error for a key that is given twice with different fields.
  JoinedTable(const fs::path& file, const std::string& beginning, const std::string& key) {
    const auto found = tables_beside(file, beginning);
    if (found.empty()) return;
    file_ = found.back();
    table_ = CsvTable::read(file_);
    table_.require_columns({key});
    for (size_t i = 0; i < table_.size(); ++i) {
      const auto [known, is_new] = row_of_.try_emplace(table_.at(i, key), i);
      if (is_new) continue;
      for (const auto& column : table_.columns())
        if (table_.at(i, column) != table_.at(known->second, column))
          throw Error(fmt::format("{}: row {}: {} {} is there before with another {}",
                                  file_.string(), i + 1, key, table_.at(i, key), column));
    }
  }

  bool has_column(const std::string& column) const { return table_.has_column(column); }
  std::optional<ManifestRow> row(const std::string& key) const {
    const auto found = row_of_.find(key);
    if (found == row_of_.end()) return {};
    return ManifestRow{table_, found->second, file_};
  }

 private:
  fs::path file_;
  CsvTable table_;
  std::map<std::string, size_t> row_of_;
};

// One study of INSPECT, whose fields are in three tables.
class InspectRows {
 public:
  InspectRows(const fs::path& file, const InputOptions& options)
      : labels_(file, "labels", "impression_id"), splits_(file, "splits", "impression_id") {
    const std::string& wanted = options.manifest.label_column;
    label_column_ = wanted == ManifestOptions().label_column ? "pe_positive_nlp" : wanted;
    inverted_ = options.manifest.label_inverted;
  }

  // The row that has the column: the manifest's own, or the joined table's.
  std::optional<ManifestRow> with(const std::string& column, const ManifestRow& row) const {
    if (row.table.has_column(column)) return row;
    for (const JoinedTable* joined : {&labels_, &splits_})
      if (joined->has_column(column)) return joined->row(row.get("impression_id"));
    return {};
  }

  void fill(const ManifestRow& row, const std::vector<std::string>& groups, Study& study) {
    if (const auto labelled = with(label_column_, row)) {
      const std::string text = lower_case(labelled->get(label_column_));
      const bool censored = text == "censored" || text == "censor";
      if (text == "true" || text == "false")
        study.pe = text == "true";
      else if (!censored)
        study.pe = labelled->label(label_column_);
      if (study.pe && inverted_) study.pe = 1 - *study.pe;
      censored_ += censored;
    } else {
      ++unlabelled_;
    }
    if (const auto divided = with("split", row)) {
      study.split = divided->get("split");
      if (study.split == "valid") study.split = "val";
    }
    for (const auto& group : groups)
      if (const auto found = with(group, row)) study.groups[group] = found->get(group);
  }

  void tell(const fs::path& file) const {
    if (censored_ > 0)
      log_info("{}: {} censored are taken as of unknown PE", file.string(),
               counted(censored_, "label"));
    if (unlabelled_ > 0)
      log_warning(
          "{}: {} without a row for {}, taken as of unknown PE. Put INSPECT's labels_*.tsv beside "
          "it.",
          file.string(), counted(unlabelled_, "study", "studies"), label_column_);
  }

 private:
  JoinedTable labels_, splits_;
  std::string label_column_;
  bool inverted_ = false;
  int64_t censored_ = 0, unlabelled_ = 0;
};

// "valid_12_b_2.nii.gz": the second reconstruction of the second scan of patient 12.
struct CtRateVolume {
  std::string name, split, patient, scan;
  int64_t reconstruction = 0;
  size_t kernel = 0;  // its place in preprocess.series.kernels
  double spacing_mm = std::numeric_limits<double>::infinity();
  std::string description;
  fs::path file;  // empty: not there

  auto rank() const { return std::tuple(file.empty(), kernel, spacing_mm, reconstruction); }
};

CtRateVolume ct_rate_volume(const ManifestRow& row, const InputOptions& options) {
  static const std::regex form(R"((train|valid)_(\d+)_([a-z]+)_(\d+)(\.nii\.gz)?)");
  CtRateVolume volume;
  const std::string text = row.get("VolumeName");
  std::smatch parts;
  if (!std::regex_match(text, parts, form))
    row.fail("VolumeName", "of the form valid_1_a_1.nii.gz");
  volume.split = parts[1];
  volume.patient = volume.split + "_" + parts[2].str();
  volume.scan = volume.patient + "_" + parts[3].str();
  volume.name = volume.scan + "_" + parts[4].str();
  volume.reconstruction = std::stoll(parts[4]);
  // "['Br40f', '3']" or "B30f"
  const std::string kernel = row.get("ConvolutionKernel");
  const auto first = kernel.find_first_not_of("[' \"");
  volume.kernel =
      kernel_place(first == std::string::npos ? "" : kernel.substr(first), options.series);
  volume.spacing_mm = row.number("ZSpacing").value_or(volume.spacing_mm);
  volume.description =
      fmt::format("reconstruction {} ({})", parts[4].str(), kernel.empty() ? "?" : kernel);
  return volume;
}

}  // namespace

std::vector<Study> read_inspect_layout(const CsvTable& table, const fs::path& file,
                                       const InputOptions& options) {
  table.require_columns({"impression_id", "image_id"});
  ImageIndex index(images_folder(file, options), options);
  InspectRows rows(file, options);
  const std::vector<std::string> groups = group_columns(ManifestLayout::inspect, options.manifest);
  std::vector<Study> studies;
  std::set<std::string> taken;
  int64_t without_image = 0, repeated = 0;
  for (size_t i = 0; i < table.size(); ++i) {
    const ManifestRow row{table, i, file};
    const std::string image = file_stem(row.get("image_id"));
    without_image += image.empty();
    if (image.empty()) continue;
    const bool is_new = taken.insert(image).second;
    repeated += !is_new;
    if (!is_new) continue;
    Study study;
    study.id = safe_id(image);
    study.patient_id = row.get("person_id");
    study.ct = index.ct_named(image);
    if (study.ct.empty()) study.ct = images_folder(file, options) / (image + ".nii.gz");
    rows.fill(row, groups, study);
    studies.push_back(std::move(study));
  }
  rows.tell(file);
  if (without_image > 0)
    log_info("{}: {} without image_id", file.string(), counted(without_image, "row"));
  if (repeated > 0)
    log_info("{}: {} of an image given before", file.string(), counted(repeated, "row"));
  return studies;
}

std::vector<Study> read_ct_rate_layout(const CsvTable& table, const fs::path& file,
                                       const InputOptions& options) {
  table.require_columns({"VolumeName"});
  const fs::path root = images_folder(file, options);
  ImageIndex index(root, options);
  std::map<std::string, std::vector<CtRateVolume>> scans;
  std::vector<std::string> order;
  for (size_t i = 0; i < table.size(); ++i) {
    CtRateVolume volume = ct_rate_volume({table, i, file}, options);
    volume.file = index.ct_named(volume.name);
    auto& scan = scans[volume.scan];
    if (scan.empty()) order.push_back(volume.scan);
    scan.push_back(std::move(volume));
  }
  std::vector<Study> studies;
  for (const auto& name : order) {
    auto& volumes = scans.at(name);
    std::stable_sort(volumes.begin(), volumes.end(),
                     [](const auto& a, const auto& b) { return a.rank() < b.rank(); });
    const CtRateVolume& best = volumes.front();
    Study study;
    study.id = name;
    study.patient_id = best.patient;
    study.split = best.split == "valid" ? "val" : "train";
    study.ct = best.file.empty() ? root / (best.name + ".nii.gz") : best.file;
    if (volumes.size() > 1) study.notes.push_back("chosen: " + best.description);
    for (size_t i = 1; i < volumes.size(); ++i)
      study.notes.push_back("passed over: " + volumes[i].description);
    studies.push_back(std::move(study));
  }
  log_info("{}: {} of {}, one reconstruction of each is taken", file.string(),
           counted(int64_t(studies.size()), "scan"), counted(int64_t(table.size()), "volume"));
  return studies;
}

}  // namespace x2ctpa
