#include "x2ctpa/data/dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <variant>

#include "data/dataset_index.h"
#include "x2ctpa/core/csv.h"
#include "x2ctpa/core/error.h"
#include "x2ctpa/core/files.h"
#include "x2ctpa/imaging/files/picture_files.h"
#include "x2ctpa/imaging/volume_io.h"
#include "x2ctpa/imaging/xray/radiograph.h"

namespace fs = std::filesystem;
using nlohmann::ordered_json;

namespace x2ctpa {
namespace {

// Fields that sets made before them lack; their defaults say what such sets are.
const std::set<std::string> later_fields = {"modality",
                                            "intensity",
                                            "unit",
                                            "source",
                                            "lateral_mean",
                                            "lateral_std",
                                            "lateral_source_to_centre_mm"};
constexpr const char* meanings_key = "meanings";

// The fields as JSON, from the same declaration as their YAML.
ordered_json to_json(DatasetInfo info) {
  OptionList list;
  info.describe(list);
  ordered_json json;
  for (const Option& option : list.all()) {
    if (option.is_written())
      with_value(option.value, [&](const auto& value) { json[option.key] = value; });
  }
  return json;
}

DatasetInfo info_from_json(const ordered_json& json, const fs::path& file) {
  DatasetInfo info;
  OptionList list;
  info.describe(list);
  for (const Option& option : list.all()) {
    if (!json.contains(option.key)) {
      if (later_fields.contains(option.key)) continue;
      throw Error(fmt::format(
          "{}: no field '{}': written by another version or damaged; run preprocess again",
          file.string(), option.key));
    }
    const auto& field = json.at(option.key);
    std::visit(
        [&](const auto& value) {
          using Value = std::decay_t<decltype(value)>;
          if constexpr (std::is_same_v<Value, OptionWord>)
            list.set(option.key, field.template get<std::string>(), file.string());
          else
            *value = field.template get<std::remove_pointer_t<Value>>();
        },
        option.value);
  }
  return info;
}

// What each field means, for readers of the file; no part of the hash.
ordered_json meanings(DatasetInfo info) {
  OptionList list;
  info.describe(list);
  ordered_json json;
  for (const Option& option : list.all())
    if (option.is_written()) json[option.key] = option.help;
  return json;
}

// Over the fields as they stand in the file, so that sets of earlier versions keep their hash.
std::string digest(ordered_json fields, const std::string& index_text) {
  fields["hash"] = "";
  fields.erase(meanings_key);
  return sha256(fields.dump() + "\n" + index_text);
}

std::string size_text(at::IntArrayRef size) { return fmt::format("{}", fmt::join(size, "x")); }

// `error` with the case in front and its exit code kept.
Error error_of_case(const Case& c, const fs::path& file, const std::exception& e) {
  const Error error = translate_exception(e, "reading " + file.string());
  return Error(fmt::format("case {}: {}", c.id, error.what()), error.code());
}

std::string required_file(const Case& c, const std::string& file, const char* what) {
  if (file.empty()) {
    throw Error(fmt::format("case {}: has no {} in index.csv", c.id, what), ExitCode::no_data);
  }
  return file;
}

}  // namespace

at::Tensor IntensityWindow::to_unit(const at::Tensor& hu) const {
  return ((hu - min_hu) * (2 / (max_hu - min_hu)) - 1).clamp_(-1, 1);
}

at::Tensor IntensityWindow::to_hu(const at::Tensor& unit) const {
  return (unit + 1) * ((max_hu - min_hu) / 2) + min_hu;
}

void IntensityWindow::describe(OptionList& options) {
  options.add("window_min_hu", &min_hu,
              "HU (or the unit of other volumes) that becomes -1; lower values are clipped.");
  options.add("window_max_hu", &max_hu,
              "HU (or the unit of other volumes) that becomes 1; higher values are clipped.");
}

Vec3 DatasetInfo::typical_spacing_at_mm(const std::vector<int64_t>& size_dhw) const {
  Vec3 spacing = typical_spacing_mm;
  for (size_t a = 0; a < 3; ++a) {
    spacing[a] *= double(grid_dhw[2 - a]) / double(size_dhw.at(2 - a));
  }
  return spacing;
}

void DatasetInfo::describe(OptionList& options) {
  const char* axes_dhw[] = {"depth", "height", "width"};
  const char* axes_xyz[] = {"x", "y", "z"};
  for (size_t i = 0; i < 3; ++i) {
    options.add(fmt::format("grid_{}", axes_dhw[i]), &grid_dhw[i],
                fmt::format("Voxels of a dataset volume along its {}.", axes_dhw[i]), {.min = 1});
  }
  for (size_t i = 0; i < 3; ++i) {
    options.add(
        fmt::format("typical_spacing_{}_mm", axes_xyz[i]), &typical_spacing_mm[i],
        fmt::format("Median voxel spacing along {} over the training cases in mm.", axes_xyz[i]),
        {.min = 0});
  }
  window.describe(options);
  options.add("modality", &modality, "Modality of the volumes.");
  options.add(
      "intensity", &intensity,
      "How the window came about: given (window), from each volume's percentiles, which are "
      "scaled to 0..1000 (volume-percentiles), or from those of the training volumes "
      "(set-percentiles).");
  options.add("unit", &unit, "Unit of the volumes' values and of the window.");
  options.add("source", &source, "What the 2D pictures are: chest X-rays (cxr) or any picture.");
  options.add("cxr_size", &cxr_size, "Side of the square X-rays in pixels.", {.min = 1});
  options.add("cxr_mean", &cxr_mean, "Mean over the training X-rays, in [0, 1].");
  options.add("cxr_std", &cxr_std, "Standard deviation over the training X-rays.");
  geometry.describe(options);
  const Limits later{.unwritten_at = "0"};
  options.add("lateral_mean", &lateral_mean, "Mean over the lateral training X-rays, in [0, 1].",
              later);
  options.add("lateral_std", &lateral_std, "Standard deviation over the lateral training X-rays.",
              later);
  options.add("lateral_source_to_centre_mm", &lateral_source_to_centre_mm,
              "Lateral X-ray source to the centre of the volume in mm.", later);
  options.add("hash", &hash, "SHA-256 of the dataset's index and fields.");
}

void check_no_leakage(const std::vector<Case>& cases) {
  std::map<std::string, const Case*> first_of_patient;
  for (const Case& c : cases) {
    const Case& first = *first_of_patient.emplace(c.patient_id, &c).first->second;
    if (first.split == c.split && first.fold != c.fold) {
      throw Error(
          fmt::format("patient {} is in two folds: cases {} and {}; put all cases of a "
                      "patient into one fold",
                      c.patient_id, first.id, c.id));
    }
    if (first.split != c.split) {
      throw Error(fmt::format(
          "patient {} is in two splits: case {} in {}, case {} in {}; put all cases of a "
          "patient into one split, or leave the split empty to have it chosen",
          c.patient_id, first.id, first.split, c.id, c.split));
    }
  }
}

Dataset Dataset::open(const fs::path& folder) {
  const fs::path info_file = folder / "dataset.json", index_file = folder / "index.csv";
  for (const fs::path& file : {info_file, index_file}) {
    if (!fs::exists(file)) {
      throw Error(
          fmt::format(
              "{} is no dataset: expected the file {}, found none; run `x2ctpa preprocess` first "
              "(an interrupted one goes on when run again)",
              folder.string(), file.filename().string()),
          ExitCode::no_data);
    }
  }
  Dataset dataset;
  dataset.folder_ = folder;
  ordered_json fields;
  try {
    fields = ordered_json::parse(read_file(info_file));
    dataset.info_ = info_from_json(fields, info_file);
  } catch (const nlohmann::json::exception& e) {
    throw Error(fmt::format("{}: not readable as dataset.json: {}; run preprocess again",
                            info_file.string(), e.what()));
  }
  const std::string index_text = read_file(index_file);
  const std::string found = digest(fields, index_text);
  if (found != dataset.info_.hash) {
    throw Error(fmt::format(
        "{}: dataset.json says hash {}, but its fields and index.csv have {}: one of them was "
        "changed by hand or copied in part; run preprocess again",
        folder.string(), dataset.info_.hash, found));
  }
  dataset.cases_ =
      cases_from_table(CsvTable::parse(index_text, index_file.string()), index_file.string());
  check_no_leakage(dataset.cases_);
  return dataset;
}

std::vector<Case> Dataset::split(const std::string& name) const {
  if (name == "all") return cases_;
  if (name != "train" && name != "val" && name != "test") {
    throw Error(fmt::format("no split '{}': expected train, val, test or all", name));
  }
  std::vector<Case> found;
  for (const Case& c : cases_) {
    if (c.split == name) found.push_back(c);
  }
  return found;
}

Volume Dataset::load_volume(const Case& c) const {
  const fs::path file = folder_ / required_file(c, c.ct, "CT");
  Volume volume;
  try {
    volume = oriented_to_lps(read_volume(file));
  } catch (const std::exception& e) {
    throw error_of_case(c, file, e);
  }
  if (volume.size_dhw() != info_.grid_dhw) {
    throw Error(fmt::format(
        "case {}: {} has {} voxels, but the dataset's grid is {} (D x H x W); run preprocess "
        "again with --force",
        c.id, file.string(), size_text(volume.hu.sizes()), size_text(info_.grid_dhw)));
  }
  return volume;
}

int64_t Dataset::folds() const {
  int64_t count = 0;
  for (const Case& c : cases_) count = std::max(count, c.fold.value_or(-1) + 1);
  return count;
}

Dataset Dataset::with_fold(int64_t fold) const {
  if (fold < 0 || fold >= folds()) {
    throw Error(fmt::format("{}: no fold {}; {}", folder_.string(), fold,
                            folds() == 0 ? "it was made without folds (preprocess.folds)"
                                         : fmt::format("its folds are 0 to {}", folds() - 1)));
  }
  Dataset dataset = *this;
  for (Case& c : dataset.cases_) {
    if (c.fold) c.split = *c.fold == fold ? "val" : "train";
  }
  return dataset;
}

at::Tensor read_windowed(const fs::path& file, const IntensityWindow& window) {
  return window.to_unit(read_volume(file).hu).unsqueeze(0);
}

at::Tensor Dataset::load_ct(const Case& c) const {
  return info_.window.to_unit(load_volume(c).hu).unsqueeze(0);
}

at::Tensor Dataset::load_cxr(const Case& c) const {
  return load_picture(c, required_file(c, c.cxr, "X-ray"));
}

at::Tensor Dataset::load_views(const Case& c, CxrViews views) const {
  if (views == CxrViews::frontal || !c.has_xray(views)) return load_cxr(c);
  const auto view = [&](const std::string& name) {
    return name.empty() ? missing_view(info_.cxr_size) : load_picture(c, name);
  };
  return at::cat({view(c.cxr), view(c.cxr_lateral)});
}

at::Tensor Dataset::load_picture(const Case& c, const std::string& name) const {
  const fs::path file = folder_ / name;
  at::Tensor pixels;
  try {
    pixels = read_png(file);
  } catch (const std::exception& e) {
    throw error_of_case(c, file, e);
  }
  if (pixels.size(0) != info_.cxr_size || pixels.size(1) != info_.cxr_size) {
    throw Error(fmt::format(
        "case {}: {} has {} pixels, but the dataset's X-rays are {}x{}; run preprocess again "
        "with --force",
        c.id, file.string(), size_text(pixels.sizes()), info_.cxr_size, info_.cxr_size));
  }
  return pixels.unsqueeze(0);
}

void write_dataset(const fs::path& folder, DatasetInfo& info, const std::vector<Case>& cases) {
  std::set<std::string> ids;
  for (const Case& c : cases) {
    if (!ids.insert(c.id).second)
      throw Error(fmt::format("two cases have the id {}; ids must be unique", c.id));
  }
  check_no_leakage(cases);
  const CsvTable index = index_table(cases);
  info.hash = digest(to_json(info), index.text());
  index.write(folder / "index.csv");
  ordered_json json = to_json(info);
  json[meanings_key] = meanings(info);
  write_file(folder / "dataset.json", json.dump(2) + "\n");
}

}  // namespace x2ctpa
