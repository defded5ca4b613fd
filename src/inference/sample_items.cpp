#include "x2ctpa/inference/sample_items.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "x2ctpa/core/error.h"
#include "x2ctpa/core/file_kinds.h"
#include "x2ctpa/data/studies/manifest.h"
#include "x2ctpa/data/studies/pair_views.h"

namespace x2ctpa {
namespace fs = std::filesystem;
namespace {

std::vector<fs::path> files_in(const fs::path& root) {
  if (fs::is_regular_file(root)) return {root};
  if (!fs::is_directory(root)) {
    throw Error(fmt::format("--cxr {}: no such file or folder", root.string()), ExitCode::no_data);
  }
  return find_xrays(root);
}

// The file's name without its ending; in a name that is a UID, what follows the last dot is none.
std::string xray_name(const fs::path& file) {
  const bool known = is_picture_file(file) || is_dicom_named(file);
  return known ? file_stem(file) : file.filename().string();
}

std::vector<CxrItem> xrays_of_manifest(const fs::path& file, CxrViews views) {
  std::vector<CxrItem> xrays;
  for (const Study& study : read_manifest(file)) {
    const fs::path lateral = views == CxrViews::both ? study.cxr_lateral : fs::path();
    if (study.cxr.empty() && lateral.empty()) continue;
    xrays.push_back({.id = study.id,
                     .unique = study.id,
                     .patient_id = study.patient_id,
                     .split = study.split,
                     .cxr = study.cxr,
                     .cxr_lateral = lateral,
                     .reference = study.ct});
  }
  return xrays;
}

std::vector<CxrItem> xrays_of_files(const fs::path& root, CxrViews views) {
  std::vector<CxrItem> xrays;
  std::set<std::string> taken;
  std::vector<PatientFiles> patients;
  if (views == CxrViews::both) {
    patients = pair_view_files(files_in(root));
  } else {
    for (const auto& file : files_in(root)) patients.push_back({file, {}});
  }
  for (const auto& [frontal, lateral] : patients) {
    const fs::path& file = frontal.empty() ? lateral : frontal;
    const fs::path relative = file == root ? file.filename() : fs::relative(file, root);
    const std::string wanted = safe_id((relative.parent_path() / xray_name(file)).string());
    std::string unique = wanted;
    for (int n = 2; !taken.insert(unique).second; ++n) unique = fmt::format("{}_{}", wanted, n);
    const std::string id = safe_id(xray_name(file));
    xrays.push_back(
        {.id = id, .unique = unique, .patient_id = id, .cxr = frontal, .cxr_lateral = lateral});
  }
  return xrays;
}

std::string expanded(const std::string& pattern, const std::map<std::string, std::string>& fields) {
  std::string name;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '{') {
      name += pattern[i];
      continue;
    }
    const size_t end = pattern.find('}', i);
    const auto field =
        end == std::string::npos ? fields.end() : fields.find(pattern.substr(i + 1, end - i - 1));
    if (field == fields.end()) {
      throw Error(
          fmt::format("sample.name \"{}\": expected the fields {{unique}}, {{id}}, {{stem}}, "
                      "{{patient}}, {{sample}} and "
                      "{{seed}}, found \"{}\"",
                      pattern, pattern.substr(i, end == std::string::npos ? end : end - i + 1)));
    }
    name += field->second;
    i = end;
  }
  return safe_id(name);
}

}  // namespace

std::vector<CxrItem> xrays_in(const fs::path& path, CxrViews views) {
  const bool manifest = file_ending(path) == ".csv" && fs::is_regular_file(path);
  auto xrays = manifest ? xrays_of_manifest(path, views) : xrays_of_files(path, views);
  if (xrays.empty())
    throw Error(fmt::format("no X-ray found in {}", path.string()), ExitCode::no_data);
  return xrays;
}

std::vector<CxrItem> xrays_of(const Dataset& dataset, const std::string& split, CxrViews views) {
  const auto file = [&](const std::string& name) {
    return name.empty() ? fs::path() : dataset.folder() / name;
  };
  std::vector<CxrItem> xrays;
  for (const Case& c : dataset.split(split)) {
    if (!c.has_xray(views)) continue;
    xrays.push_back({.id = c.id,
                     .unique = c.id,
                     .patient_id = c.patient_id,
                     .split = c.split,
                     .cxr = file(c.cxr),
                     .cxr_lateral = views == CxrViews::both ? file(c.cxr_lateral) : fs::path(),
                     .reference = file(c.ct),
                     .of_dataset = true});
  }
  if (xrays.empty())
    throw Error(fmt::format("no X-ray found in split {}", split), ExitCode::no_data);
  return xrays;
}

std::vector<CxrItem> with_views(std::vector<CxrItem> xrays, ViewSet set) {
  std::vector<CxrItem> left;
  for (auto& x : xrays) {
    if (set == ViewSet::frontal) x.cxr_lateral.clear();
    if (set == ViewSet::lateral) x.cxr.clear();
    if (set == ViewSet::both ? !x.cxr.empty() && !x.cxr_lateral.empty() : !x.first().empty())
      left.push_back(std::move(x));
  }
  if (left.empty())
    throw Error(fmt::format("sample.views {}: no patient has it", set), ExitCode::no_data);
  return left;
}

std::vector<SampleItem> samples_of(const std::vector<CxrItem>& xrays, int64_t samples_per_cxr,
                                   const std::string& pattern, int64_t seed) {
  const std::string chosen = !pattern.empty()      ? pattern
                             : samples_per_cxr > 1 ? "{unique}_{sample}"
                                                   : "{unique}";
  std::vector<SampleItem> samples;
  std::map<std::string, std::string> owners;
  for (size_t i = 0; i < xrays.size(); ++i) {
    const CxrItem& x = xrays[i];
    for (int64_t sample = 0; sample < samples_per_cxr; ++sample) {
      const std::string name = expanded(chosen, {{"unique", x.unique},
                                                 {"id", x.id},
                                                 {"stem", xray_name(x.first())},
                                                 {"patient", x.patient_id},
                                                 {"sample", std::to_string(sample)},
                                                 {"seed", std::to_string(seed)}});
      const auto [owner, fresh] = owners.emplace(name, x.first().string());
      if (!fresh) {
        throw Error(fmt::format("sample.name \"{}\" gives {} and {} the same name {}: add {}",
                                chosen, owner->second, x.first().string(), name,
                                owner->second == x.first().string() ? "{sample}" : "{unique}"));
      }
      samples.push_back({i, sample, name});
    }
  }
  return samples;
}

}  // namespace x2ctpa
